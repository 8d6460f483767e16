"""What the databases do differently, under one name each; ``sqlite`` and ``postgres`` are the two ways."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect, Engine

from lineage.core.model.errors import DelegraphError
from lineage.store.database import postgres, sqlite

Row = tuple[Any, ...]


class Backend(Protocol):
    """What a database must be able to do."""

    @property
    def TAKES_TURNS(self) -> bool:  # noqa: N802 (a constant of a module)
        """Whether others may write at the same time."""
        ...

    def reading(self, engine: Engine) -> Engine:
        """The engine for questions: a transaction sees one moment of the store."""
        ...

    def writing(self, engine: Engine) -> Engine:
        """The engine for writers."""
        ...

    def glance(self, engine: Engine) -> sqlite.Glance | None:
        """What tells at once, and without waiting, whether anything was committed; None: nothing does."""
        ...

    def wait_for_turn(self, connection: Connection) -> None:
        """Write alone from here to the end of the transaction: what is read now stays true."""
        ...

    def without_limits(self, connection: Connection) -> None:
        """Let the statements of this transaction, and the pauses between them, take as long as they take."""
        ...

    def frugally(self, connection: Connection) -> AbstractContextManager[None]:
        """Keep little of what is read in memory, for as long as this lasts."""
        ...

    def grant_reader(self, connection: Connection, role: str, /) -> None:
        """Let a role read our tables, and nothing else."""
        ...

    def add(self, connection: Connection, table: sa.Table, columns: list[sa.Column[Any]], rows: list[Row]) -> None:
        """Add many rows, none of which stands already; of equal neighbours one."""
        ...

    def add_missing(
        self, connection: Connection, table: sa.Table, columns: list[sa.Column[Any]], rows: list[Row]
    ) -> int:
        """Add rows; those that stand already are left as they are. How many were added."""
        ...

    def fault_of(self, error: BaseException, where: str) -> DelegraphError:
        """What an error of the database means, as one clear sentence."""
        ...


def backend_of(dialect: Dialect) -> Backend:
    """The way of a database."""
    return sqlite if dialect.name == "sqlite" else postgres


def add(connection: Connection, table: sa.Table, rows: list[Row]) -> None:
    """Add many rows, none of which stands already; of equal neighbours one. A number of its own is not given."""
    if rows:
        backend_of(connection.dialect).add(connection, table, _given(table), rows)


def add_missing(connection: Connection, table: sa.Table, rows: list[Row]) -> int:
    """Add rows; those that stand already are left as they are. How many were added."""
    return backend_of(connection.dialect).add_missing(connection, table, _given(table), rows) if rows else 0


def wait_for_turn(connection: Connection) -> None:
    """Write alone from here to the end of the transaction: what is read now stays true."""
    backend_of(connection.dialect).wait_for_turn(connection)


def takes_turns(connection: Connection) -> bool:
    """Whether others may write at the same time."""
    return backend_of(connection.dialect).TAKES_TURNS


def without_limits(connection: Connection) -> None:
    """Let the statements of this transaction, and the pauses between them, take as long as they take."""
    backend_of(connection.dialect).without_limits(connection)


def frugally(connection: Connection) -> AbstractContextManager[None]:
    """Keep little of what is read in memory, for as long as this lasts."""
    return backend_of(connection.dialect).frugally(connection)


def _given(table: sa.Table) -> list[sa.Column[Any]]:
    """The columns of a table that are written; the database numbers the rows of some by itself."""
    return [column for column in table.columns if column is not table.autoincrement_column]
