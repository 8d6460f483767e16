"""Extensions of SQL: a set of keys as one parameter, conditions by database, and text that any database accepts."""

import json
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

# Keys in one statement: few enough for any database, and enough that the cost of round trips is negligible.
_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
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
        return json.dumps(value) if dialect.name == "sqlite" else value


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


def found_by(
    dialect: str,
    column: sa.ColumnElement[int],
    keys: sa.FromClause | str,
    columns: Sequence[sa.ColumnElement[Any]],
    *where: sa.ColumnElement[bool],
) -> sa.Select[Any]:
    """Select the rows in which a column is one of some keys, by one index lookup for each key.

    PostgreSQL's planner, without statistics for a table, assumes that the other conditions are selective and compares
    every such row with every key. ``OFFSET 0`` in a lateral join prevents that. SQLite has no lateral join and does not
    need one.

    Args:
        dialect: The name of the database.
        column: The column, the first of an index.
        keys: A table with the column ``key``, or the name of the parameter with the keys.
        columns: The columns to select.
        where: Further conditions.
    """
    if dialect == "sqlite":
        if isinstance(keys, str):
            return sa.select(*columns).where(in_array(column, keys), *where)
        if isinstance(keys, sa.CTE):  # SQLite's planner begins with the recursive table, which it must not have in IN
            return sa.select(*columns).join(keys, column == keys.c.key).where(*where)
        return sa.select(*columns).where(column.in_(sa.select(keys.c.key)), *where)
    each = values_of(keys).subquery() if isinstance(keys, str) else keys
    rows = sa.select(*columns).where(column == each.c.key, *where).correlate(each)
    return lateral_for_each(each, rows)


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
