"""The runs of the index on SQLite with their filters, which say which keys a complete run may have.

Writers and readers both use them; ``writing.run_filters`` builds them and says why no key is missed.
"""

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.plumbing.key_filter import KeyFilter
from lineage.store.database.dialects import Row, rows_found
from lineage.store.database.sorted_runs import filter_on_sqlite, filter_part, run

_RUNS: Final = (
    sa.select(
        run.c.id,
        run.c.level,
        run.c.facts,
        run.c.mark,
        run.c.target,
        filter_on_sqlite.c.mark.label("filter"),
        filter_on_sqlite.c.words,
        filter_on_sqlite.c.whole,
    )
    .outerjoin(filter_on_sqlite, filter_on_sqlite.c.of == run.c.mark)
    .order_by(run.c.id)
)
_PARTS: Final = (
    sa.select(filter_part.c.words).where(filter_part.c.mark == sa.bindparam("mark")).order_by(filter_part.c.part)
)


class DueRun(NamedTuple):
    """A complete run without a filter of its own, or with one that lacks keys of readers."""

    id: int
    facts: int
    mark: int


class FilteredRuns(NamedTuple):
    """The runs and their filters as of one transaction.

    Attributes:
        newest: The run to which a batch adds.
        ids: All runs.
        filters: The filters of each run that has some: together they have all its keys.
        words: The size of each filter.
        due: The runs that can get a filter of their own.
        for_writers: The filters that lack keys that only readers look up.
        is_wide: Whether readers search a complete run also for keys that it does not have, on PostgreSQL.
    """

    newest: int
    ids: list[int]
    filters: dict[int, list[int]]
    words: dict[int, int]
    due: list[DueRun]
    for_writers: AbstractSet[int] = frozenset()
    is_wide: bool = False


def rows_on_sqlite(connection: Connection) -> list[Row]:
    """Read the runs and their filters, as ``runs_of_rows`` expects them."""
    return rows_found(connection, _RUNS, {})


def runs_of_rows(rows: Sequence[Row]) -> FilteredRuns:
    """Determine from rows of the runs on SQLite which filters have the keys of each."""
    newest = 0
    filters: dict[int, list[int]] = {}
    sources: defaultdict[int, list[int]] = defaultdict(list)
    words: dict[int, int] = {}
    complete: dict[int, DueRun] = {}
    for_writers: set[int] = set()
    for id_, level, facts, mark, target, own, size, is_whole in rows:
        filters.setdefault(id_, [])
        if own is not None:
            filters[id_].append(own)
            words[own] = size
            if not is_whole:
                for_writers.add(own)
        if not level:
            newest = id_
        elif target is None and mark is not None:
            complete[id_] = DueRun(id_, facts, mark)
        if target is not None and id_ not in sources[target]:
            sources[target].append(id_)
    for target, some in sources.items():
        if all(filters[each] for each in some):
            filters[target] = [own for each in some for own in filters[each]]
    return FilteredRuns(
        newest,
        list(filters),
        {id_: some for id_, some in filters.items() if some},
        words,
        # One that has those of several runs still needs its own.
        [each for id_, each in complete.items() if len(filters[id_]) != 1 or not for_writers.isdisjoint(filters[id_])],
        for_writers,
    )


def load_filter(connection: Connection, mark: int) -> KeyFilter:
    """Read a filter on SQLite; it has another size than its row says if the store is damaged."""
    return KeyFilter.load(b"".join(words for (words,) in rows_found(connection, _PARTS, {"mark": mark})))
