"""Entries of the index on SQLite, written and read as they are stored."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.store.database import sorted_runs
from lineage.store.database.sorted_runs import by_about, by_child, by_ident, run
from lineage.store.database.tables import ref
from lineage.store.store import Store
from lineage.store.writing.fact_rows import entries_of

# Rows of `fact` and `ref`, as far as the index has them.
Fact = tuple[int, int, int, int]  # n, ident, about, until
Ref = tuple[int, int, int, int, int]
Up = tuple[int, int, int, int]


def emptied(store: Store) -> None:
    """Delete all entries of a store."""
    with store._write() as connection:
        for table in ("run", "sorted_ref", "sorted_about", "sorted_ident", "sorted_upward"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
        connection.execute(run.insert(), [{"id": 1, "level": 0, "facts": 0}])


def fact_row(one: Fact) -> tuple[Any, ...]:
    """Return the row of a fact."""
    n, ident, about, until = one
    return (n, ident, about, 0, 0, 1, until, 7, None, b"")


def add_entries(connection: Connection, facts: list[tuple[Any, ...]], refs: list[Ref]) -> None:
    """Add the entries of facts, as the projection does."""
    sorted_runs.add_entries(connection, len(facts), refs, entries_of(facts, refs))


def stored(store: Store) -> tuple[list[Ref], list[Fact], list[Fact], list[Up]]:
    """Return the entries of the views, with repetitions."""
    with store.connection() as connection:
        refs = sorted(tuple(row) for row in connection.execute(sa.select(*ref.c)))
        abouts = sorted(tuple(row) for row in connection.execute(sa.select(by_about)))
        idents = sorted(tuple(row) for row in connection.execute(sa.select(by_ident)))
        ways = sorted(tuple(row) for row in connection.execute(sa.select(by_child)))
    return refs, abouts, idents, ways
