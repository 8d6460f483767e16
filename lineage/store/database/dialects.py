"""What differs between the databases, so that everything else is written once for both.

Transactions, inserts and locks, which ``sqlite`` and ``postgres`` implement; and expressions of SQL that each database
words in its own way: a set of keys as one parameter, conditions, and text that any database accepts.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from functools import lru_cache
from itertools import islice
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final, Protocol

import orjson
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from lineage.core.model.errors import DelegraphError, IntegrityError, OverloadedError
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

    def maintaining(self, engine: Engine) -> Engine:
        """The engine for short steps of maintenance by a writer."""
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

    def collect_first_statistics(self, connection: Connection) -> None:
        """Collect the statistics of the index that the planner needs, if there are none yet."""
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


@contextmanager
def faults(engine: Engine) -> Iterator[None]:
    """Translate database errors raised within the block."""
    where = engine.url.render_as_string(hide_password=True)
    try:
        yield
    except exc.IntegrityError as error:
        raise IntegrityError(
            f"the store {where} contradicts the log ({error.orig}); check with 'delegraph fsck', repair with "
            "'delegraph rebuild'"
        ) from error
    except exc.TimeoutError as error:
        raise OverloadedError(f"the store {where} has all its connections in use; try again") from error
    except exc.DBAPIError as error:
        raise backend_of(engine.dialect).fault_of(error.orig or error, where) from error
    except engine.dialect.loaded_dbapi.Error as error:  # raised by calls that bypass SQLAlchemy
        raise backend_of(engine.dialect).fault_of(error, where) from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that writes; database errors within it are translated."""
    with faults(engine), backend_of(engine.dialect).writing(engine).begin() as connection:
        yield connection


def rows_found(
    connection: Connection, statement: sa.Select[Any] | sa.CompoundSelect[Any], parameters: Mapping[str, Any]
) -> list[Row]:
    """Run a statement that was built once, and return its rows.

    SQLAlchemy compiles the statement, once, and begins the transaction. It takes longer to run a statement than most
    look-ups take, so the driver runs it, unless something listens to statements.
    """
    if connection.dispatch.before_cursor_execute:
        return [tuple(row) for row in connection.execute(statement, parameters)]
    if not connection.in_transaction():
        connection.begin()
    text, names, values = _compiled(statement, connection.dialect, tuple(parameters))
    found = {**values, **{name: convert(parameters[name]) for name, convert in names}}
    raw: Any = connection.connection.driver_connection
    rows: list[Row] = raw.execute(text, found).fetchall()
    return rows


_Compiled = tuple[str, list[tuple[str, Callable[[Any], Any]]], dict[str, Any]]


@lru_cache(maxsize=256)
def _compiled(
    statement: sa.Select[Any] | sa.CompoundSelect[Any], dialect: Dialect, given: tuple[str, ...]
) -> _Compiled:
    """Return the text of a statement with named parameters, how to convert those that are given, and all others."""
    named = copy(dialect)
    named.paramstyle, named.positional = _NAMED[dialect.name], False
    compiled = statement.compile(dialect=named)
    convert = compiled._bind_processors  # noqa: SLF001 (how SQLAlchemy converts them)
    names = [(name, convert.get(name, _unchanged)) for name in given]
    values = compiled.construct_params(dict.fromkeys(given))
    return str(compiled), names, {name: value for name, value in values.items() if name not in given}


_NAMED: Final = {"sqlite": "named", "postgresql": "pyformat"}


def _unchanged(value: Any) -> Any:
    return value


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


_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
# Keys in one statement: few enough for any database, and enough that the cost of round trips is negligible.
CHUNK: Final = 50_000


def chunks(keys: Collection[int]) -> Iterator[list[int]]:
    """Split keys into parts that fit into one statement."""
    rest = iter(keys)
    while part := list(islice(rest, CHUNK)):
        yield part


class _Integers(sa.types.TypeDecorator[list[int]]):
    """Integers as one parameter: JSON on SQLite, an array on PostgreSQL."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: list[int] | None, dialect: Dialect) -> Any:
        return orjson.dumps(value).decode() if dialect.name == "sqlite" else value


class _Texts(sa.types.TypeDecorator[list[str]]):
    """Texts as one parameter: JSON on SQLite, an array on PostgreSQL."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: list[str] | None, dialect: Dialect) -> Any:
        return json.dumps(value) if dialect.name == "sqlite" else value


def nothing_of(parameter: sa.types.TypeEngine[Any]) -> Any:
    """Return a value for a parameter with which nothing is found: a hash that no key has, or a text."""
    return [""] if isinstance(parameter, _Texts) else [0] if isinstance(parameter, _Integers) else 0


class _Unnested(FunctionElement[int]):
    """A parameter of integers as a table with the column ``value``."""

    inherit_cache = True


class _UnnestedTexts(FunctionElement[str]):
    """A parameter of texts as a table with the column ``value``."""

    inherit_cache = True


@compiles(_Unnested)
@compiles(_UnnestedTexts)
def _sqlite(element: _Unnested | _UnnestedTexts, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(_Unnested, "postgresql")
def _postgresql(element: _Unnested, compiler: SQLCompiler, **kw: Any) -> str:
    return f"unnest(CAST({compiler.process(element.clauses, **kw)} AS bigint[])) AS unnested(value)"


@compiles(_UnnestedTexts, "postgresql")
def _texts_on_postgresql(element: _UnnestedTexts, compiler: SQLCompiler, **kw: Any) -> str:
    return f"unnest(CAST({compiler.process(element.clauses, **kw)} AS text[])) AS unnested(value)"


class OnSQLite(FunctionElement[bool]):
    """A condition on SQLite, and another one for other databases."""

    inherit_cache = True  # and without a type: SQLAlchemy would compare a boolean with 1, which uses no index


@compiles(OnSQLite)
def _not_on_sqlite(element: OnSQLite, compiler: SQLCompiler, **kw: Any) -> str:
    _, condition = element.clauses
    return f"({compiler.process(condition, **kw)})"


@compiles(OnSQLite, "sqlite")
def _on_sqlite(element: OnSQLite, compiler: SQLCompiler, **kw: Any) -> str:
    condition, _ = element.clauses
    return f"({compiler.process(condition, **kw)})"


def texts_of(name: str) -> sa.Select[str]:
    """Return the texts of the named parameter as rows of one column, ``key``."""
    parameter = sa.bindparam(name, type_=_Texts())
    return sa.select(sa.literal_column("value", sa.Text).label("key")).select_from(_UnnestedTexts(parameter))


def values_of(keys: Collection[int] | str) -> sa.Select[int]:
    """Return keys as rows of one column, ``key``: a collection, or the value of the named parameter."""
    parameter = (
        sa.bindparam(keys, type_=_Integers())
        if isinstance(keys, str)
        else sa.bindparam(None, list(keys), type_=_Integers())
    )
    return sa.select(sa.literal_column("value", sa.BigInteger).label("key")).select_from(_Unnested(parameter))


def in_array(column: sa.ColumnElement[int], keys: Collection[int] | str) -> sa.ColumnElement[bool]:
    """Build the condition that a column is one of some keys."""
    return column.in_(values_of(keys))


def lateral_for_each(keys: sa.FromClause, rows: sa.Select[Any] | sa.CompoundSelect[Any]) -> sa.Select[Any]:
    """Run a query, which correlates with ``keys``, for each of them; PostgreSQL only."""
    looked_up = rows.offset(sa.literal_column("0")).lateral()
    return sa.select(*looked_up.c).select_from(keys).join(looked_up, sa.true())


def storable(text: str) -> str:
    """Make a text acceptable to every database: unpaired surrogates and NUL become escape sequences."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def ascii_lower(text: str) -> str:
    """Return a text with its ASCII letters in lower case, as a search compares it."""
    return text.translate(_LOWER)
