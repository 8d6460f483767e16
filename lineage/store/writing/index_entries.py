"""Add the entries of facts to the index, and merge the sorted runs that it consists of on SQLite.

Merging moves entries from some runs to a new one, in order and a few thousand at a time. Every step is a transaction in
which each entry is moved from one run to the other, so a look-up finds it once at any time, and a process that is
killed leaves a smaller merge, which the next step continues.
"""

from itertools import count
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.store.database.dialects import add, add_missing
from lineage.store.database.sorted_runs import SORTED, run, sorted_about, sorted_ident, sorted_ref, sorted_upward
from lineage.store.database.sqlite import add_to_run
from lineage.store.database.tables import ref
from lineage.store.writing.fact_rows import Entries

HOT: Final = 200_000  # facts after which the newest run is complete: its pages still fit into the cache
FAN: Final = 6  # runs of one level that are merged into one of the next level

Row = tuple[Any, ...]


class IndexRuns(NamedTuple):
    """The state of the index.

    Attributes:
        runs: The number of runs.
        waiting: The number of facts whose entries wait to be merged or are being merged.
    """

    runs: int
    waiting: int


def add_entries(connection: Connection, facts: int, refs: list[Row], entries: Entries | None) -> None:
    """Add the entries of new facts.

    Args:
        connection: In a transaction of a writer.
        facts: The number of facts.
        refs: Rows of ``ref``, sorted.
        entries: The other entries on SQLite; on PostgreSQL, where they are indexes of ``fact``, None.
    """
    if entries is None:
        add(connection, ref, refs)
        return
    newest = _newest(connection)
    add_to_run(connection, sorted_ref, newest, refs)
    for table, rows in zip((sorted_upward, sorted_about, sorted_ident), entries, strict=True):
        add_to_run(connection, table, newest, rows)
    _count(connection, newest, facts)


def add_raised(connection: Connection, refs: list[Row]) -> None:
    """Add further rows of ``ref`` for facts that have entries already; rows that exist are not added again."""
    if connection.dialect.name != "sqlite":
        add_missing(connection, ref, refs)
    elif refs:
        add_to_run(connection, sorted_ref, _newest(connection), refs)


def _newest(connection: Connection) -> int:
    return int(connection.execute(sa.select(run.c.id).where(run.c.level == 0)).scalar_one())


def _count(connection: Connection, newest: int, facts: int) -> None:
    """Count the facts of the newest run, and start another one when it is complete."""
    connection.execute(run.update().where(run.c.id == newest).values(facts=run.c.facts + facts))
    complete = run.update().where(run.c.id == newest, run.c.facts >= HOT).values(level=1)
    if connection.execute(complete).rowcount:
        _start(connection, level=0, facts=0)


def _start(connection: Connection, *, level: int, facts: int) -> int:
    """Start a run with the smallest free number, which takes the least space in its entries."""
    used = set(connection.execute(sa.select(run.c.id)).scalars())
    id_ = next(number for number in count(1) if number not in used)
    connection.execute(run.insert(), [{"id": id_, "level": level, "facts": facts}])
    return id_


def state_of(connection: Connection) -> IndexRuns | None:
    """Return the state of the index; None on PostgreSQL, where it has no runs."""
    if connection.dialect.name != "sqlite":
        return None
    runs = connection.execute(sa.select(run)).all()
    complete = [each for each in runs if each.level]
    waiting = sum(each.facts for each in complete if each.target is not None)
    for level in {each.level for each in complete}:
        ready = [each for each in _ready(complete) if each.level == level]
        waiting += sum(each.facts for each in ready[: len(ready) // FAN * FAN])
    return IndexRuns(len(runs), waiting)


def merge_some(connection: Connection, most: int) -> int | None:
    """Move some entries of runs that are being merged, beginning a merge if one is due.

    Args:
        connection: In a transaction of a writer on SQLite.
        most: The most entries to move.

    Returns:
        The number of entries moved; None if no merge is due.
    """
    runs = connection.execute(sa.select(run).order_by(run.c.level, run.c.id)).all()
    ready = _ready(runs)
    for level in sorted({each.level for each in ready}):
        due = [each for each in ready if each.level == level][:FAN]
        if len(due) == FAN:
            target = _start(connection, level=level + 1, facts=sum(each.facts for each in due))
            merged = run.c.id.in_([each.id for each in due])
            connection.execute(run.update().where(merged).values(target=target))
            runs = connection.execute(sa.select(run).order_by(run.c.level, run.c.id)).all()
            break
    under_way = next((each.target for each in runs if each.target is not None), None)
    if under_way is None:
        return None
    sources = [each.id for each in runs if each.target == under_way]
    for table in SORTED:
        if moved := _move(connection, table, sources, under_way, most):
            return moved
    connection.execute(run.delete().where(run.c.target == under_way))
    return 0


def _ready(runs: Any) -> list[Any]:
    """The complete runs that are neither being merged nor still receiving entries of others, oldest level first."""
    targets = {each.target for each in runs}
    return [each for each in runs if each.level and each.target is None and each.id not in targets]


def _move(connection: Connection, table: sa.Table, sources: list[int], target: int, most: int) -> int:
    """Move the first entries of some runs to another; they all come before those that remain."""
    columns = [column for column in table.c if column.name != "run"]
    # In each run the entry that is this far from its beginning; the first of these has fewer than `most` before it.
    beyond = [
        row
        for source in sources
        if (
            row := connection.execute(
                sa.select(*columns)
                .where(table.c.run == source)
                .order_by(*columns)
                .limit(1)
                .offset(max(most // len(sources), 1))
            ).first()
        )
    ]
    which: sa.ColumnElement[bool] = table.c.run.in_(sources)
    if beyond:
        which &= sa.tuple_(*columns) < sa.tuple_(*min(tuple(row) for row in beyond))
    entries = sa.select(sa.literal_column(str(target)), *columns).where(which).order_by(*columns)
    # An entry may be in several runs; it need not be twice in one.
    connection.execute(table.insert().prefix_with("OR IGNORE").from_select(list(table.c), entries))
    return connection.execute(table.delete().where(which)).rowcount
