"""The index of facts on SQLite, in sorted runs: what a batch writes fits into the cache, however large the store is.

A B-tree of random keys costs more the larger it is: a batch changes nearly every page of it. So the first column of
every index is the run, and new entries go to the newest one. When that is large enough, another one is started, and
runs are merged later (``writing.index_entries``). A look-up searches every run; there are a handful.

The views have the columns without the run, and ``ref`` is one of them, so that statements are the same as on
PostgreSQL, which keeps its indexes: there ``about_among`` and ``ident_among`` search the indexes of ``fact``.
"""

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Integer, MetaData, SmallInteger, Table

from lineage.store.database.dialects import OnSQLite, in_array
from lineage.store.database.tables import UPWARD, fact, ref

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
