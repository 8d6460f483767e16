"""The index of facts on SQLite, in sorted runs: what a batch writes fits into the cache, however large the store is.

A B-tree of random keys costs more the larger it is: a batch changes nearly every page of it. So the first column of
every index is the run, and new entries go to the newest one. When that is large enough, another one is started, and
runs are merged later. A look-up searches every run; there are a handful.

Merging moves entries from some runs to a new one, in order and a few thousand at a time. Every step is a transaction in
which each entry is moved from one run to the other, so a look-up finds it once at any time, and a process that is
killed leaves a smaller merge, which the next step continues.

The views have the columns without the run, and ``ref`` is one of them, so that statements are the same as on
PostgreSQL, which keeps its indexes: there ``about_among`` and ``ident_among`` search the indexes of ``fact``.
"""

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from itertools import count
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Integer, MetaData, SmallInteger, Table
from sqlalchemy.engine import Connection

from lineage.store.database.dialects import OnSQLite, add, add_missing, in_array
from lineage.store.database.sqlite import add_to_run
from lineage.store.database.tables import UPWARD, fact, ref

HOT: Final = 200_000  # facts after which the newest run is complete: its pages still fit into the cache
FAN: Final = 6  # runs of one level that are merged into one of the next level

Row = tuple[Any, ...]

on_sqlite = MetaData()


def _sorted(name: str, *columns: Column[int]) -> Table:
    """Describe a table of entries, whose primary key consists of all its columns, the run first."""
    return Table(name, on_sqlite, Column("run", SmallInteger), *columns)


# The runs. New entries go to the one on level 0.
run = Table(
    "run",
    on_sqlite,
    Column("id", Integer, primary_key=True),
    Column("level", SmallInteger, nullable=False),  # a run of level 2 was merged from some of level 1
    Column("facts", BigInteger, nullable=False),  # whose entries it received
    Column("target", Integer),  # the run into which it is being merged
)

# The entries of ``ref``.
sorted_ref = _sorted(
    "sorted_ref",
    Column("key", BigInteger),
    Column("until", Integer),
    Column("role", SmallInteger),
    Column("about", BigInteger),
    Column("n", BigInteger),
)
# The facts by the hash of their subject, with their bounds.
sorted_about = _sorted("sorted_about", Column("key", BigInteger), Column("until", Integer), Column("n", BigInteger))
# The facts by the hash of their identity.
sorted_ident = _sorted("sorted_ident", Column("key", BigInteger), Column("n", BigInteger))

# What the entries of the roles UPWARD say, by the element: once for each fact, whatever their bounds.
sorted_upward = _sorted(
    "sorted_upward",
    Column("about", BigInteger),
    Column("key", BigInteger),
    Column("role", SmallInteger),
    Column("n", BigInteger),
)

SORTED: Final = (sorted_ref, sorted_about, sorted_ident, sorted_upward)

by_about = sa.table("by_about", sa.column("key", BigInteger), sa.column("until", Integer), sa.column("n", BigInteger))
by_ident = sa.table("by_ident", sa.column("key", BigInteger), sa.column("n", BigInteger))
by_child = sa.table(
    "by_child",
    sa.column("about", BigInteger),
    sa.column("key", BigInteger),
    sa.column("role", SmallInteger),
    sa.column("n", BigInteger),
)


def about_among(keys: sa.Select[int]) -> sa.ColumnElement[bool]:
    """Build the condition that the subject of a fact has one of some hashes."""
    numbers = sa.select(by_about.c.n).where(by_about.c.key.in_(keys))
    return OnSQLite(fact.c.n.in_(numbers), fact.c.about.in_(keys))


def about_is(key: sa.ColumnElement[int] | int) -> sa.ColumnElement[bool]:
    """Build the condition that the subject of a fact has a hash."""
    return OnSQLite(fact.c.n.in_(sa.select(by_about.c.n).where(by_about.c.key == key)), fact.c.about == key)


def ident_among(keys: sa.Select[int]) -> sa.ColumnElement[bool]:
    """Build the condition that the identity of a fact has one of some hashes."""
    numbers = sa.select(by_ident.c.n).where(by_ident.c.key.in_(keys))
    return OnSQLite(fact.c.n.in_(numbers), fact.c.ident.in_(keys))


def upward(dialect: str, role: int) -> tuple[sa.FromClause, tuple[sa.ColumnElement[bool], ...]]:
    """Return where the way up is found (``about``, ``key``, ``n``), and the condition for a role of UPWARD.

    On PostgreSQL the condition is worded like the partial index of ``ref``, so that it is used.
    """
    of_role: sa.ColumnElement[int] = sa.literal_column(str(role))
    if dialect == "sqlite":
        return by_child, (by_child.c.role == of_role,)
    return ref, (ref.c.role.in_([sa.literal_column(str(each)) for each in UPWARD]), ref.c.role == of_role)


def repeated_idents(dialect: str, among: Collection[int] | None = None) -> sa.Select[int]:
    """Select the hashes of identities that several facts have, of all or of some.

    Args:
        dialect: The name of the database.
        among: The hashes to look at; None for all.
    """
    column = by_ident.c.key if dialect == "sqlite" else fact.c.ident
    some = sa.true() if among is None else in_array(column, among)
    return sa.select(column).where(some).group_by(column).having(sa.func.count() > 1)


def highest_in_runs(table: Table, key: sa.ColumnElement[int]) -> sa.ScalarSelect[int]:
    """Select the highest ``until`` of the entries with a key: one look-up in each run, however many entries it has."""
    in_run = sa.select(sa.func.max(table.c.until)).where(table.c.run == run.c.id, table.c.key == key)
    return sa.select(sa.func.max(in_run.correlate_except(table).scalar_subquery())).select_from(run).scalar_subquery()


class Entries(NamedTuple):
    """The sorted entries of facts in the index on SQLite, besides those of ``ref``; the number of the fact comes last.

    Attributes:
        upward: What is found on the way up.
        about: The facts by subject.
        ident: The facts by identity.
    """

    upward: list[Row]
    about: list[Row]
    ident: list[Row]

    def without(self, numbers: AbstractSet[int]) -> "Entries":
        """Leave out the entries of some facts."""
        return Entries(*([row for row in rows if row[-1] not in numbers] for rows in self))


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


class IndexRuns(NamedTuple):
    """The state of the index.

    Attributes:
        runs: The number of runs.
        waiting: The number of facts whose entries wait to be merged or are being merged.
    """

    runs: int
    waiting: int


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
