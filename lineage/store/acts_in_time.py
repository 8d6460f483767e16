"""The facts about actions in chronological order, in packed columns, so that a million can be scanned quickly.

A row represents one fact: when the action occurred, the number of the fact, the hash of the action, and hashes of its
values. Rows are stored in parts, sorted by time; each batch writes a part, and many small parts of one partition are
merged into a large one. A row may match too much, never too little: the reader checks the facts. Several facts may be
about one action, and the value of one applies at the place of another, so each of them has a second row, whose values
are ``ANY``.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import islice
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.model.events import ActionPerformed, Event
from lineage.core.model.records import Position, position_of
from lineage.core.model.times import Instant
from lineage.store.database.dialects import add
from lineage.store.database.sql import among, chunks
from lineage.store.database.tables import Keys, act, fact, meta

ANY: Final = -(1 << 63)
NOTHING: Final = 0  # the value of an unstated field
LONGEST: Final = 512  # characters of a value that are hashed; longer values are compared by the facts
STATED: Final = ("operation", "tool", "resource", "outcome")
_ANYTHING: Final = (ANY,) * len(STATED)
_COLUMNS: Final = ("at", "n", "about", *STATED)
_MERGED: Final = 16  # parts of one size that are merged into one of the next
_SIZES: Final = (16, 256, 4_096)  # the size class of a part by its number of rows; the last is not merged
_OPENED: Final = 16  # parts read at a time
_MARK: Final = sa.select(meta.c.name).where(meta.c.name == "acts")  # migration 0010 sets it, and a rebuild removes it
_HEADS: Final = sa.select(act.c.part, act.c.first_at, act.c.last_at).order_by(act.c.last_at.desc(), act.c.part)
_PARTS: Final = sa.select(act.c.part, *(act.c[name] for name in _COLUMNS)).where(among(act.c.part, "keys"))

Row = tuple[int, ...]
"""The values of a fact, in column order."""


class Place(NamedTuple):
    """The place of an action in a list: when it occurred, and the number of the first fact that says so."""

    at: Instant
    n: int


class Candidate(NamedTuple):
    """A fact about an action that may be at its place."""

    place: Place
    about: int


class Looked(NamedTuple):
    """What to look for.

    Attributes:
        stated: Values of some columns, as hashes.
        about: Only actions with one of these hashes; None for any.
        after: Only actions after this place; None for all.
        first_at, last_at: The earliest and the latest time, both included; None for no limit.
    """

    stated: Mapping[str, int]
    about: Collection[int] | None = None
    after: Place | None = None
    first_at: Instant | None = None
    last_at: Instant | None = None


def value_hash(hashes: Mapping[str, int], value: str) -> int:
    """Hash a value; for a long one, its beginning."""
    return hashes[value[:LONGEST]]


def row_of(event: Event, number: int, about: int, hashes: Mapping[str, Mapping[str, int]]) -> Row:
    """Build the row of a fact about an action."""
    body = event.body
    assert isinstance(body, ActionPerformed)  # noqa: S101 (the caller chose it)
    return (
        event.occurred_at,
        number,
        about,
        value_hash(hashes["operation"], body.operation),
        NOTHING if body.tool is None else value_hash(hashes["tool"], body.tool),
        NOTHING if body.resource is None else value_hash(hashes["resource"], body.resource.id),
        hashes["outcome"][body.outcome],
    )


# Writing


def write(
    connection: Connection,
    rows: list[Row],
    decode: Callable[[bytes], Event],
    *,
    lanes: Collection[tuple[str, int]],
) -> set[int]:
    """Write the rows of new facts, before the facts themselves are written.

    Args:
        connection: In a transaction of a writer.
        rows: The rows.
        decode: Decodes a stored value.
        lanes: The partitions in which no one else writes until the end of the transaction, by topic and number.

    Returns:
        The hashes of the actions, which were looked up.
    """
    told = Counter(row[2] for row in rows)
    earlier = _earlier(connection, told, decode)
    rows = rows + [(*row[:3], *_ANYTHING) for row in rows if told[row[2]] > 1 or row[2] in earlier]
    by_lane: dict[Position, list[Row]] = {}
    for row in rows:
        by_lane.setdefault(_lane(row[1]), []).append(row)
    parts = {lane: some[0][1] for lane, some in by_lane.items()}
    for about, places in earlier.items():
        lane = _lane(next(row[1] for row in rows if row[2] == about))
        by_lane[lane] += [(*place, about, *_ANYTHING) for place in places]
    for lane, some in by_lane.items():
        add(connection, act, [_stored(parts[lane], lane.number, some)])
        if (lane.topic, lane.partition) in lanes:
            _merge(connection, lane.number)
    return set(told)


def _lane(number: int) -> Position:
    return position_of(number)._replace(offset=0)


def _earlier(
    connection: Connection, abouts: Collection[int], decode: Callable[[bytes], Event]
) -> dict[int, list[Place]]:
    """Return the actions with stored facts; for one with a single fact, its place."""
    found: dict[int, list[Place]] = {}
    single: list[int] = []
    for part in chunks(abouts):
        query = sa.select(fact.c.about, sa.func.count(), sa.func.min(fact.c.n)).where(among(fact.c.about, part))
        for about, count, number in connection.execute(query.group_by(fact.c.about)):
            found[about] = []
            if count == 1:
                single.append(number)
    for part in chunks(single):
        query = sa.select(fact.c.about, fact.c.n, fact.c.value).where(among(fact.c.n, part))
        for about, number, value in connection.execute(query):
            found[about].append(Place(decode(value).occurred_at, number))
    return found


def _stored(part: int, lane: int, rows: list[Row]) -> tuple[Any, ...]:
    rows.sort()
    size = next((place for place, most in enumerate(_SIZES) if len(rows) < most), len(_SIZES))
    columns = (array("q", column).tobytes() for column in zip(*rows, strict=True))
    return (part, lane, size, rows[0][0], rows[-1][0], *columns)


def _merge(connection: Connection, lane: int) -> None:
    """Merge the parts of one size, if there are many."""
    for size in range(len(_SIZES)):
        of_size = (act.c.lane == lane, act.c.size == size)
        many = connection.execute(sa.select(act.c.part).where(*of_size).limit(_MERGED)).scalars().all()
        if len(many) < _MERGED:
            continue
        rows = [
            row
            for stored in connection.execute(_PARTS, {"keys": list(many)})
            for row in zip(*map(_numbers, stored[1:]), strict=True)
        ]
        connection.execute(act.delete().where(among(act.c.part, list(many))))
        add(connection, act, [_stored(min(many), lane, rows)])


# Reading


class Acts:
    """The rows as of one snapshot of the store."""

    def __init__(self, connection: Connection, keys: Keys, decode: Callable[[bytes], Event]) -> None:
        """Use a snapshot of the store."""
        self._connection = connection
        self._keys = keys
        self._decode = decode

    def latest(self, looked: Looked) -> Iterator[Candidate]:
        """Yield what is looked for, latest first, each fact once."""
        before: Candidate | None = None
        for candidate in self._merged(looked):
            if candidate != before:
                yield candidate
            before = candidate

    def _merged(self, looked: Looked) -> Iterator[Candidate]:
        heads = list(self._heads(looked))
        opened: list[_Open] = []  # a heap
        start, many = 0, 1
        while start < len(heads):
            some = heads[start : start + many]
            while opened and opened[0].candidate.place.at > some[0].last_at:
                yield _taken(opened)
            for head, columns in zip(some, self._columns(some), strict=True):
                rest = _found(columns, looked)
                if (first := next(rest, None)) is not None:
                    opened.append(_Open(_order(first), head.part, first, rest))
            heapify(opened)
            start, many = start + many, min(2 * many, _OPENED)
        while opened:
            yield _taken(opened)

    def _heads(self, looked: Looked) -> Iterator["_Head"]:
        """Yield the parts that may contain something, the one with the latest time first."""
        latest = looked.last_at
        if looked.after is not None:
            latest = looked.after.at if latest is None else min(latest, looked.after.at)
        is_whole = self._connection.execute(_MARK).first() is None
        stored = (_Head(*row) for row in self._connection.execute(_HEADS).all()) if is_whole else self._read()
        for head in stored:
            if (latest is None or head.first_at <= latest) and (
                looked.first_at is None or head.last_at >= looked.first_at
            ):
                yield head

    def _columns(self, heads: Sequence["_Head"]) -> Iterator[Mapping[str, bytes]]:
        read = [head.part for head in heads if head.columns is None]
        rows = self._connection.execute(_PARTS, {"keys": read}) if read else ()
        stored = {part: dict(zip(_COLUMNS, columns, strict=True)) for part, *columns in rows}
        for head in heads:
            yield stored[head.part] if head.columns is None else head.columns

    def _read(self) -> Iterator["_Head"]:
        """Yield the same from all facts, for a store written by an older version, until it is rebuilt."""
        rows: list[Row] = []
        query = sa.select(fact.c.n, fact.c.about, fact.c.value).execution_options(yield_per=10_000)
        for number, about, value in self._connection.execute(query):
            event = self._decode(value)
            if isinstance(event.body, ActionPerformed):
                rows.append(row_of(event, number, about, self._keys))
        told = Counter(row[2] for row in rows)
        rows += [(*row[:3], *_ANYTHING) for row in rows if told[row[2]] > 1]
        rows.sort(reverse=True)
        rest = iter(rows)
        while some := list(islice(rest, _SIZES[-1])):
            part, _, _, first_at, last_at, *columns = _stored(some[0][1], 0, some)
            yield _Head(part, first_at, last_at, dict(zip(_COLUMNS, columns, strict=True)))


class _Head(NamedTuple):
    """A part, whose columns may not be loaded."""

    part: int
    first_at: Instant
    last_at: Instant
    columns: Mapping[str, bytes] | None = None


class _Open(NamedTuple):
    """A part being read: its next candidate and the following ones."""

    order: tuple[int, int]
    part: int
    candidate: Candidate
    rest: Iterator[Candidate]


def _order(candidate: Candidate) -> tuple[int, int]:
    return -candidate.place.at, -candidate.place.n


def _taken(opened: list[_Open]) -> Candidate:
    """Take the latest candidate of the open parts, of which there is at least one."""
    _, part, found, rest = opened[0]
    following = next(rest, None)
    if following is None:
        heappop(opened)
    else:
        heapreplace(opened, _Open(_order(following), part, following, rest))
    return found


def _found(columns: Mapping[str, Any], looked: Looked) -> Iterator[Candidate]:
    """Yield what is looked for in one part, latest first."""
    for name, value in looked.stated.items():  # searching in bytes is much faster than number by number
        column = columns[name]
        if _as_bytes(value) not in column and _as_bytes(ANY) not in column:
            return
    moments, numbers, abouts = (_numbers(columns[name]) for name in ("at", "n", "about"))
    first = 0 if looked.first_at is None else bisect_left(moments, looked.first_at)
    end = len(moments) if looked.last_at is None else bisect_right(moments, looked.last_at)
    if looked.after is not None:
        end = min(end, bisect_right(moments, looked.after.at))
    places: Iterable[int] = range(end - 1, first - 1, -1)
    for name, value in looked.stated.items():
        column = _numbers(columns[name])
        places = [place for place in places if column[place] in (value, ANY)]
    about = looked.about
    after = looked.after
    for place in places:
        if about is None or abouts[place] in about:
            found = Place(moments[place], numbers[place])
            if after is None or found < after:
                yield Candidate(found, abouts[place])


def _numbers(stored: bytes) -> "array[int]":
    numbers = array("q")
    numbers.frombytes(stored)
    return numbers


def _as_bytes(value: int) -> bytes:
    return array("q", (value,)).tobytes()
