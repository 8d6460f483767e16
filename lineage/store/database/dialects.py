"""The operations in which the databases differ; ``sqlite`` and ``postgres`` implement them."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect, Engine

from lineage.core.model.errors import DelegraphError
from lineage.store.database import postgres, sqlite

Row = tuple[Any, ...]


class Backend(Protocol):
    """The operations of a database that differ between SQLite and PostgreSQL."""

    @property
    def TAKES_TURNS(self) -> bool:  # noqa: N802 (a constant of a module)
        """Whether several transactions may write concurrently, so that writers must take turns to commit."""
        ...

    @property
    def KEPT_CONNECTIONS(self) -> int:  # noqa: N802 (a constant of a module)
        """The number of idle connections that are kept open for the next questions."""
        ...

    def reading(self, engine: Engine) -> Engine:
        """The engine for queries: every transaction reads from one snapshot."""
        ...

    def writing(self, engine: Engine) -> Engine:
        """The engine for writers."""
        ...

    def change_probe(self, engine: Engine) -> sqlite.ChangeProbe | None:
        """A non-blocking check for new commits; None if the database has none."""
        ...

    def remote_probe(self, engine: Engine, query: sa.Select[Any], /) -> postgres.RemoteProbe | None:
        """Open a connection that runs a query in two steps, without blocking; None if there is no server to ask."""
        ...

    def wait_for_turn(self, connection: Connection) -> None:
        """Become the only writer until the end of the transaction, so that what is read now stays true."""
        ...

    def hold(self, connection: Connection, table: sa.Table) -> None:
        """Become the only writer of a table until the end of the transaction; readers are not blocked."""
        ...

    def without_limits(self, connection: Connection) -> None:
        """Remove the time limits on the statements of this transaction and on the pauses between them."""
        ...

    def scan_in_parallel(self, connection: Connection) -> None:
        """Let the server scan large tables with several processes until the end of the transaction."""
        ...

    def low_memory(self, connection: Connection) -> AbstractContextManager[None]:
        """Limit the memory for cached pages within the block."""
        ...

    def grant_reader(self, connection: Connection, role: str, /) -> None:
        """Allow a role to read our tables, and nothing else."""
        ...

    def add(self, connection: Connection, table: sa.Table, columns: list[sa.Column[Any]], rows: list[Row]) -> None:
        """Insert many rows, none of which exists yet; equal adjacent rows are inserted once."""
        ...

    def add_missing(
        self, connection: Connection, table: sa.Table, columns: list[sa.Column[Any]], rows: list[Row]
    ) -> int:
        """Insert the rows that do not exist yet, and return how many there were."""
        ...

    def fault_of(self, error: BaseException, where: str) -> DelegraphError:
        """Translate an error of the database into one of ours, with a clear message."""
        ...


def backend_of(dialect: Dialect) -> Backend:
    """The implementation for a database."""
    return sqlite if dialect.name == "sqlite" else postgres


def add(connection: Connection, table: sa.Table, rows: list[Row]) -> None:
    """Insert many rows, none of which exists yet; equal adjacent rows are inserted once.

    Args:
        connection: In a transaction of a writer.
        table: The table.
        rows: The values of all columns except an autoincrement column.
    """
    if rows:
        backend_of(connection.dialect).add(connection, table, _given(table), rows)


def add_missing(connection: Connection, table: sa.Table, rows: list[Row]) -> int:
    """Insert the rows that do not exist yet, and return how many there were; arguments as for ``add``."""
    return backend_of(connection.dialect).add_missing(connection, table, _given(table), rows) if rows else 0


def wait_for_turn(connection: Connection) -> None:
    """Become the only writer until the end of the transaction, so that what is read now stays true."""
    backend_of(connection.dialect).wait_for_turn(connection)


def hold(connection: Connection, table: sa.Table) -> None:
    """Become the only writer of a table until the end of the transaction; readers are not blocked."""
    backend_of(connection.dialect).hold(connection, table)


def takes_turns(connection: Connection) -> bool:
    """Whether several transactions may write concurrently, so that writers must take turns to commit."""
    return backend_of(connection.dialect).TAKES_TURNS


def without_limits(connection: Connection) -> None:
    """Remove the time limits on the statements of this transaction and on the pauses between them."""
    backend_of(connection.dialect).without_limits(connection)


def _given(table: sa.Table) -> list[sa.Column[Any]]:
    """The columns of a table that we supply: all except an autoincrement column."""
    return [column for column in table.columns if column is not table.autoincrement_column]
