"""Which runs of the index a batch has to ask for its keys on PostgreSQL, so that it does not read all of them.

A complete run, to which nobody adds any more, gets a filter of the keys that writers look up: the identities and the
subjects of its facts, and what has a bound in its rows of ``ref``. A run without a filter is always asked. A filter
never misses a key: an identity that is not found would be accepted twice, and a bound that is not found would hide a
living child from a revocation.

A filter is built from the run itself, a part after each batch, and belongs to the mark that the run got when it became
complete, which no other run ever has. If the process ends before it is stored, the next one begins again.
"""

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from lineage.plumbing.key_filter import KeyFilter, bits_of
from lineage.store.database.dialects import CHUNK
from lineage.store.database.sorted_runs import fact_in_run, run_filter, sorted_ref
from lineage.store.database.sorted_runs import run_on_postgresql as run

_STEP: Final = 10_000  # keys that are read at a time
_FEW: Final = 1_000  # records for which no filter is loaded: an order should not wait for megabytes
_KEYS_PER_FACT: Final = 3
_LEAST: Final = -(1 << 63) - 1
# A rebuild that replaces the runs locks the filters, and waits for whoever has read a run: do not wait for it in turn.
_BRIEFLY: Final = "SET LOCAL lock_timeout = '200ms'"

_RUNS: Final = (
    sa.select(run.c.id, run.c.level, run.c.facts, run.c.mark, run_filter.c.mark.is_not(None).label("filtered"))
    .outerjoin(run_filter, run_filter.c.mark == run.c.mark)
    .order_by(run.c.id)
)
_WORDS: Final = sa.select(run_filter.c.words).where(run_filter.c.mark == sa.bindparam("mark"))
_SOURCES: Final = (
    (fact_in_run, fact_in_run.c.ident, sa.true()),
    (fact_in_run, fact_in_run.c.about, sa.true()),
    (sorted_ref, sorted_ref.c.key, sorted_ref.c.until > 0),
)


class RunsToAsk(NamedTuple):
    """The runs at the beginning of a batch.

    Attributes:
        newest: The run to which it adds.
        unfiltered: All runs that are always asked, the newest among them.
        filters: The filters of the others.
    """

    newest: int
    unfiltered: list[int]
    filters: dict[int, KeyFilter]

    def asked(self, keys: Collection[int]) -> Iterator[dict[str, list[int]]]:
        """Yield the parameters of statements that look up keys (``sorted_runs.asked``): each with the runs to ask."""
        with_bits = [(key, bits_of(key)) for key in keys] if self.filters else []
        found = [(id_, keys) for id_ in self.unfiltered]
        found += [(id_, each.possible(with_bits)) for id_, each in self.filters.items()]
        runs = [id_ for id_, some in found for _ in some]
        in_runs = [key for _, some in found for key in some]
        for start in range(0, len(runs), CHUNK):
            yield {"runs": runs[start : start + CHUNK], "keys": in_runs[start : start + CHUNK]}


class _Building(NamedTuple):
    """A filter that is being built: the run, and how far its keys were read."""

    run: int
    mark: int
    filter: KeyFilter
    source: int
    last: int


class RunFilters:
    """The filters that a process has loaded, and the one that it builds. For one transaction at a time."""

    def __init__(self) -> None:
        """Begin with none."""
        self._loaded: dict[int, KeyFilter] = {}
        self._missing: list[Any] = []  # the complete runs without a filter, when a batch last looked
        self._building: _Building | None = None

    def runs(self, connection: Connection, records: int) -> RunsToAsk:
        """Read which runs there are, and load filters that are new if that is worth it for the records of a batch."""
        runs = connection.execute(_RUNS).all()
        filtered = {each.mark for each in runs if each.filtered}
        self._loaded = {mark: found for mark, found in self._loaded.items() if mark in filtered}
        if records > _FEW:
            for mark in filtered - self._loaded.keys():
                self._loaded[mark] = KeyFilter.load(connection.execute(_WORDS, {"mark": mark}).scalar_one())
        self._missing = [each for each in runs if each.level and not each.filtered]
        [newest] = [each.id for each in runs if each.level == 0]
        return RunsToAsk(
            newest,
            [each.id for each in runs if each.mark not in self._loaded],
            {each.id: self._loaded[each.mark] for each in runs if each.mark in self._loaded},
        )

    @property
    def is_due(self) -> bool:
        """Whether a complete run had no filter when a batch last looked."""
        return bool(self._missing)

    def build_some(self, connection: Connection, most: int) -> None:
        """Continue to build a filter, and store it when it is complete.

        Args:
            connection: In a transaction of a writer, which begins after the run was found to be complete.
            most: About how many keys to read.
        """
        due = {each.mark: each for each in self._missing}
        if not due:  # another thread has stored it meanwhile
            return
        if self._building is None or self._building.mark not in due:
            each = self._missing[0]
            empty = KeyFilter.for_keys(each.facts * _KEYS_PER_FACT)
            self._building = _Building(each.id, each.mark, empty, 0, _LEAST)
        while most > 0:
            now = self._building
            table, column, which = _SOURCES[now.source]
            query = sa.select(column).where(table.c.run == now.run, which).order_by(column).limit(_STEP)
            if now.last != _LEAST:
                query = query.where(column > now.last)
            # As one value: reading rows takes twice the time of adding their keys.
            keys = connection.execute(sa.select(sa.func.array(query.scalar_subquery()))).scalar_one()
            now.filter.add(set(keys))
            most -= max(len(keys), 1)
            if len(keys) == _STEP:
                self._building = now._replace(last=keys[-1])
            elif now.source + 1 < len(_SOURCES):
                self._building = now._replace(source=now.source + 1, last=_LEAST)
            else:
                self._store(connection, now)
                self._missing = [each for each in self._missing if each.mark != now.mark]
                self._building = None
                return

    @staticmethod
    def _store(connection: Connection, built: _Building) -> None:
        """Store a filter, unless another process has, or the run belongs to a store that was replaced.

        Raises:
            OperationalError: The table of filters is locked; the next attempt reads the last keys again.
        """
        connection.exec_driver_sql(_BRIEFLY)
        words = sa.literal(built.filter.dump(), sa.LargeBinary)
        rows = sa.select(run.c.mark, words).where(run.c.mark == built.mark, run.c.level > 0)
        stored = postgresql.insert(run_filter).from_select(["mark", "words"], rows)
        connection.execute(stored.on_conflict_do_nothing())


def denied_keys(connection: Connection) -> Iterator[tuple[int, int]]:
    """Yield each run with a filter that denies keys of it, and how many: there should be none."""
    for id_, mark in connection.execute(
        sa.select(run.c.id, run.c.mark).join(run_filter, run_filter.c.mark == run.c.mark)
    ):
        kept = KeyFilter.load(connection.execute(_WORDS, {"mark": mark}).scalar_one())
        denied = 0
        for table, column, which in _SOURCES:
            query = sa.select(column).where(table.c.run == id_, which).execution_options(yield_per=_STEP)
            for part in connection.execute(query).scalars().partitions():
                denied += len(part) - len(kept.possible((key, bits_of(key)) for key in part))
        if denied:
            yield id_, denied
