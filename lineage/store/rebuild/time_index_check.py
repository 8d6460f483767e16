"""Compare the index of facts by time (``acts_in_time``) with the facts: missing, stray and wrong rows.

Each part is checked by itself; then its rows are compared with those built from the facts, in a temporary file, since
both may be larger than memory. Concurrent writers may write a row that matches every value more than once.
"""

import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.model.errors import IntegrityError
from lineage.core.model.records import lane_of, position_of
from lineage.core.model.references import subject_of
from lineage.store.acts_in_time import ANY, COLUMNS, STATED, Row, is_complete, row_of, size_of, sort_of
from lineage.store.database.tables import act, fact
from lineage.store.store import Store

_PAGE: Final = 1_000
_WORDS: Final = {0: "action", 1: "token", 2: "delegation", 3: "other"}
_NAMES: Final = ("sort", *COLUMNS)
_ALL: Final = ", ".join(_NAMES)
_TABLES: Final = ("stored", "expected")


def time_index_differences(store: Store) -> Iterator[str]:
    """Find what is wrong with the index: a sentence about the first case of each kind of fault, and their number.

    A store written by an older version, whose index is not used until it is rebuilt, has none.
    """
    with store.connection() as connection, closing(sqlite3.connect("")) as scratch:  # a temporary file
        if not is_complete(connection):
            return
        for table in _TABLES:
            scratch.execute(f"CREATE TABLE {table} ({_ALL})")
        found = list(_parts(connection, scratch))
        _expect(store, connection, scratch)
        yield from _counted(found)
        yield from _rows(scratch)


def _parts(connection: Connection, scratch: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Check each part by itself, and copy its rows; yield each fault as its kind and a sentence."""
    for part in connection.execute(sa.select(act).order_by(act.c.part).execution_options(yield_per=100)):
        lengths = {name: len(getattr(part, name)) for name in COLUMNS}
        uneven = [name for name in COLUMNS if lengths[name] != lengths["at"] or lengths[name] % array("q").itemsize]
        if uneven:
            yield "uneven", f"in part {part.part} column {uneven[0]!r} has another length than 'at'"
            continue
        rows: list[Row] = list(zip(*(_numbers(getattr(part, name)) for name in COLUMNS), strict=True))
        if not rows:
            yield "empty", f"part {part.part} is empty"
            continue
        counted = {
            "first_at": min(row[0] for row in rows),
            "last_at": max(row[0] for row in rows),
            "size": size_of(len(rows)),
            "lane": lane_of(part.part),  # a row may be of an earlier fact in another partition
        }
        for name, value in counted.items():
            if getattr(part, name) != value:
                yield name, f"part {part.part} has {name!r} {getattr(part, name)}, and its rows give {value}"
        if rows != sorted(rows):
            yield "order", f"part {part.part} is not in the order of time"
        _insert(scratch, "stored", ((part.sort, *row) for row in rows))


def _expect(store: Store, connection: Connection, scratch: sqlite3.Connection) -> None:
    """Write the rows built from the facts."""
    several = sa.select(fact.c.about).group_by(fact.c.about).having(sa.func.count() > 1)
    repeated = set(connection.execute(several).scalars())
    query = sa.select(fact.c.n, fact.c.about, fact.c.value).execution_options(yield_per=_PAGE)

    def rows() -> Iterator[tuple[int, ...]]:
        for number, about, value in connection.execute(query):
            try:
                event = store.decode(value)
            except IntegrityError:  # reported by the comparison of facts
                continue
            row, sort = row_of(event, number, about, store.keys), sort_of(subject_of(event)[0])
            yield (sort, *row)
            if about in repeated and _WORDS[sort] == "action":
                yield (sort, *row[: -len(STATED)], *(ANY,) * len(STATED))

    _insert(scratch, "expected", rows())


def _rows(scratch: sqlite3.Connection) -> Iterator[str]:
    """Compare the rows built from the facts with the stored ones."""
    for table, other, fault in (("expected", "stored", "is missing"), ("stored", "expected", "is stray")):
        scratch.execute(f"CREATE INDEX {other}_n ON {other} (n, sort)")
        query = f"SELECT {_ALL} FROM {table} EXCEPT SELECT {_ALL} FROM {other} ORDER BY n, sort"  # noqa: S608 (our names)
        rows = scratch.execute(query).fetchmany(_PAGE)
        if rows:
            more = "" if len(rows) == 1 else f" ({len(rows):,} such rows{' or more' if len(rows) == _PAGE else ''})"
            yield f"time index: {_of(rows[0])} {fault}{_close(scratch, rows[0], other)}{more}"
    twice = f"SELECT {_ALL} FROM stored WHERE outcome <> ? GROUP BY {_ALL} HAVING count(*) > 1 ORDER BY n"  # noqa: S608
    again = scratch.execute(twice, (ANY,)).fetchone()
    if again is not None:
        yield f"time index: {_of(again)} stands twice"


def _close(scratch: sqlite3.Connection, row: tuple[int, ...], other: str) -> str:
    """Name the columns in which a row differs from one of the same fact in the other table."""
    query = f"SELECT {_ALL} FROM {other} WHERE n = ? AND (outcome = ?) = ?"  # noqa: S608 (our names)
    number, outcome = row[_NAMES.index("n")], row[_NAMES.index("outcome")]
    near = scratch.execute(query, (number, ANY, outcome == ANY)).fetchone()
    if near is None:
        return ""
    differing = [name for name, one, another in zip(_NAMES, row, near, strict=True) if one != another]
    return f": {', '.join(differing)} differ{'s' if len(differing) == 1 else ''}"


def _of(row: tuple[int, ...]) -> str:
    topic, partition, offset = position_of(row[_NAMES.index("n")])
    every = " for any value" if row[-1] == ANY else ""
    return f"the row{every} of the fact at {topic}/{partition}/{offset} ({_WORDS.get(row[0], row[0])})"


def _counted(found: list[tuple[str, str]]) -> Iterator[str]:
    for kind in dict.fromkeys(kind for kind, _ in found):
        first, *rest = (sentence for one, sentence in found if one == kind)
        yield f"time index: {first}{f' ({len(rest) + 1:,} such parts)' if rest else ''}"


def _insert(scratch: sqlite3.Connection, table: str, rows: Iterator[tuple[int, ...]]) -> None:
    scratch.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(_NAMES))})", rows)  # noqa: S608 (our names)


def _numbers(stored: bytes) -> Any:
    numbers = array("q")
    numbers.frombytes(stored)
    return numbers
