"""All facts in chronological order, packed, so that a million are scanned quickly.

A row represents one fact: when it occurred, its number, the hash of its subject, and for an action hashes of its
values. Rows are stored in parts, sorted by time; each batch writes a part, and many small parts of one partition are
merged into a large one. A row may match too much, never too little: the reader checks the facts. Several facts may be
about one action, and the value of one applies at the position of another, so each of them has a second row, whose
values are ``ANY``.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heapreplace
from itertools import islice
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.model.events import ActionPerformed, Event
from lineage.core.model.records import lane_of, position_of
from lineage.core.model.references import subject_of
from lineage.core.model.times import HOUR, Instant
from lineage.store.database.dialects import add, chunks, in_array
from lineage.store.database.sorted_runs import asked_rows, fact_in_run, in_asked, sorted_about
from lineage.store.database.tables import Keys, act, fact, meta

ANY: Final = -(1 << 63)
NOTHING: Final = 0  # the value of an unstated field
LONGEST: Final = 512  # characters of a value that are hashed; longer values are compared by the facts
STATED: Final = ("operation", "tool", "resource", "outcome")
_UNSTATED: Final = (NOTHING,) * len(STATED)
_ANYTHING: Final = (ANY,) * len(STATED)
COLUMNS: Final = ("at", "n", "about", *STATED)
_MERGED: Final = 16  # parts of one size that are merged into one of the next
_SIZES: Final = (16, 256, 4_096)  # the size class of a part by its number of rows; the last is not merged
_BLOCK: Final = 2_048  # rows that are examined at a time
_MOST: Final = 1 << 63  # greater than the number of any fact
_OPENED: Final = 16  # parts read at a time
_MARK: Final = sa.select(meta.c.name).where(meta.c.name == "acts")  # migration 0010 sets it, and a rebuild removes it
_HEADS: Final = sa.select(act.c.part, act.c.sort, act.c.first_at, act.c.last_at)
_PARTS: Final = sa.select(act.c.part, *(act.c[name] for name in COLUMNS)).where(in_array(act.c.part, "keys"))


class Sort:
    """The subject of the facts of a part. The numbers are stored."""

    ACTION: Final = 0
    TOKEN: Final = 1
    DELEGATION: Final = 2
    OTHER: Final = 3


SORTS: Final = {"action": Sort.ACTION, "token": Sort.TOKEN, "delegation": Sort.DELEGATION}
EVERY_SORT: Final = frozenset({*SORTS.values(), Sort.OTHER})

# The sorts of a partition of which many parts have the same size.
_CROWDED: Final = (
    sa.select(act.c.sort, act.c.size)
    .where(
        act.c.lane == sa.bindparam("lane"),
        act.c.sort.in_([sa.literal_column(str(sort)) for sort in sorted(EVERY_SORT)]),
        act.c.size.in_([sa.literal_column(str(size)) for size in range(len(_SIZES))]),
    )
    .group_by(act.c.sort, act.c.size)
    .having(sa.func.count() >= _MERGED)
)
# The number of facts about some things, and one of them, in each run that is asked.
_EARLIER: Final = {
    "sqlite": sa.select(sorted_about.c.key, sa.func.count(), sa.func.min(sorted_about.c.n))
    .where(in_asked(sorted_about, sorted_about.c.key))
    .group_by(sorted_about.c.key),
    "postgresql": asked_rows(
        fact_in_run,
        fact_in_run.c.about,
        [fact_in_run.c.about, sa.func.count().label("facts"), sa.func.min(fact_in_run.c.n).label("first")],
        group_by=fact_in_run.c.about,
    ),
}

Row = tuple[int, ...]
"""The values of a fact, in column order."""

# Places in a row of ``act``.
_LANE: Final = 1
_SORT: Final = 2
_FIRST_COLUMN: Final = 6
_ABOUT: Final = _FIRST_COLUMN + COLUMNS.index("about")


class ListPosition(NamedTuple):
    """A position in a list: when something occurred, and the number of the first fact that says so."""

    at: Instant
    n: int


class Candidate(NamedTuple):
    """A fact that may match, and the hash of its subject."""

    place: ListPosition
    about: int


class ListFilter(NamedTuple):
    """The facts to find.

    Attributes:
        sorts: The sorts of facts.
        stated: Values of some columns, as hashes.
        about: Only facts whose subject has one of these hashes; None for any.
        after: Only facts after this position in the requested order; None for all.
        first_at, last_at: The earliest and the latest time, both included; None for no limit.
        numbers: Only facts with these numbers; None for any.
        earliest_first: Whether the earliest come first; otherwise the latest do.
    """

    sorts: AbstractSet[int]
    stated: Mapping[str, int]
    about: AbstractSet[int] | None = None
    after: ListPosition | None = None
    first_at: Instant | None = None
    last_at: Instant | None = None
    numbers: AbstractSet[int] | None = None
    earliest_first: bool = False

    def order(self, place: ListPosition) -> tuple[int, int]:
        """Return the sort key of a position."""
        return (place.at, place.n) if self.earliest_first else (-place.at, -place.n)


def value_hash(hashes: Mapping[str, int], value: str) -> int:
    """Hash a value; for a long one, its beginning."""
    return hashes[value[:LONGEST]]


def sort_of(kind: str) -> int:
    """Return the ``Sort`` of facts about a kind of thing."""
    return SORTS.get(kind, Sort.OTHER)


def is_complete(connection: Connection) -> bool:
    """Whether every fact has its rows: a store written by an older version lacks some until it is rebuilt."""
    return connection.execute(_MARK).first() is None


def row_of(event: Event, number: int, about: int, hashes: Mapping[str, Mapping[str, int]]) -> Row:
    """Build the row of a fact."""
    body = event.body
    if not isinstance(body, ActionPerformed):
        return (event.occurred_at, number, about, *_UNSTATED)
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


Part = tuple[Any, ...]
"""A row of ``act``."""


def parts_of(rows: Mapping[int, list[Row]]) -> list[Part]:
    """Build a part of the rows of facts of each sort and partition, as if no action had several facts."""
    parts: list[Part] = []
    for sort, some in rows.items():
        by_lane: dict[int, list[Row]] = {}
        for row in some:
            by_lane.setdefault(lane_of(row[1]), []).append(row)
        parts += [_stored(own[0][1], lane, sort, own) for lane, own in by_lane.items()]
    return parts


def without(parts: list[Part], numbers: AbstractSet[int]) -> list[Part]:
    """Leave out the rows of some facts."""
    found: list[Part] = []
    for each in parts:
        part, lane, sort = each[:3]
        rows = _rows(each)
        kept = [row for row in rows if row[1] not in numbers]
        if len(kept) == len(rows):
            found.append(each)
        elif kept:
            found.append(_stored(min(row[1] for row in kept) if part in numbers else part, lane, sort, kept))
    return found


def write(
    connection: Connection,
    parts: list[Part],
    decode: Callable[[bytes], Event],
    *,
    lanes: Collection[tuple[str, int]],
    asked: Callable[[Collection[int]], Iterable[dict[str, list[int]]]],
) -> set[int]:
    """Write the parts of new facts, before the facts themselves are written.

    Args:
        connection: In a transaction of a writer.
        parts: The parts (``parts_of``).
        decode: Decodes a stored value.
        lanes: The partitions in which no one else writes until the end of the transaction, by topic and number.
        asked: Makes the parameters of statements that look up keys.

    Returns:
        The hashes of the actions, which were looked up.
    """
    acts = [about for part in parts if part[_SORT] == Sort.ACTION for about in _numbers(part[_ABOUT])]
    numbers = set(acts)
    earlier = _earlier(connection, asked(numbers), decode) if numbers else {}
    several = set(earlier)  # actions that several facts report
    if len(numbers) < len(acts):
        several |= {about for about, count in Counter(acts).items() if count > 1}
    if several:
        parts = [_with_besides(part, several, earlier) if part[_SORT] == Sort.ACTION else part for part in parts]
    add(connection, act, parts)
    for lane in sorted({part[_LANE] for part in parts}):
        first = position_of(lane)
        if (first.topic, first.partition) in lanes:
            _merge_all(connection, lane)
    return numbers


def _with_besides(part: Part, several: AbstractSet[int], earlier: Mapping[int, Sequence[ListPosition]]) -> Part:
    """Add the second rows of actions that several facts report to a part."""
    rows = _rows(part)
    if more := [each for row in rows if row[2] in several for each in _besides(row, earlier)]:
        return _stored(part[0], part[_LANE], part[_SORT], rows + more)
    return part


def _rows(part: Part) -> list[Row]:
    return list(zip(*map(_numbers, part[_FIRST_COLUMN:]), strict=True))


def _besides(row: Row, earlier: Mapping[int, Sequence[ListPosition]]) -> Iterator[Row]:
    """Yield the rows that match every value, of facts about actions that several facts report."""
    about = row[2]
    yield (*row[:3], *_ANYTHING)
    for place in earlier.get(about, ()):
        yield (*place, about, *_ANYTHING)


def size_of(rows: int) -> int:
    """Return the size class of a part with this many rows."""
    return next((place for place, most in enumerate(_SIZES) if rows < most), len(_SIZES))


def _earlier(
    connection: Connection, asked: Iterable[dict[str, list[int]]], decode: Callable[[bytes], Event]
) -> dict[int, list[ListPosition]]:
    """Return the actions with stored facts; for one with a single fact, its position."""
    counts: Counter[int] = Counter()
    first: dict[int, int] = {}
    for part in asked:
        for about, count, number in connection.execute(_EARLIER[connection.dialect.name], part):
            counts[about] += count
            first[about] = number
    found: dict[int, list[ListPosition]] = {about: [] for about in counts}
    single = [first[about] for about, count in counts.items() if count == 1]
    for numbers in chunks(single):
        query = sa.select(fact.c.about, fact.c.n, fact.c.value).where(in_array(fact.c.n, numbers))
        for about, number, value in connection.execute(query):
            found[about].append(ListPosition(decode(value).occurred_at, number))
    return found


def _stored(part: int, lane: int, sort: int, rows: list[Row]) -> tuple[Any, ...]:
    rows.sort()
    columns = (array("q", column).tobytes() for column in zip(*rows, strict=True))
    return (part, lane, sort, size_of(len(rows)), rows[0][0], rows[-1][0], *columns)


def _merge_all(connection: Connection, lane: int) -> None:
    """Merge the parts of one sort and size of a partition, wherever there are many."""
    while crowded := connection.execute(_CROWDED, {"lane": lane}).all():
        for sort, size in crowded:
            _merge(connection, lane, sort, size)


def _merge(connection: Connection, lane: int, sort: int, size: int) -> None:
    of_size = (act.c.lane == lane, act.c.sort == sort, act.c.size == size)
    many = connection.execute(sa.select(act.c.part).where(*of_size).limit(_MERGED)).scalars().all()
    rows = [
        row
        for stored in connection.execute(_PARTS, {"keys": list(many)})
        for row in zip(*map(_numbers, stored[1:]), strict=True)
    ]
    connection.execute(act.delete().where(in_array(act.c.part, list(many))))
    add(connection, act, [_stored(min(many), lane, sort, rows)])


# Reading


class Acts:
    """The rows as of one snapshot of the store."""

    def __init__(self, connection: Connection, keys: Keys, decode: Callable[[bytes], Event]) -> None:
        """Use a snapshot of the store."""
        self._connection = connection
        self._keys = keys
        self._decode = decode

    def in_order(self, looked: ListFilter) -> Iterator[Candidate]:
        """Yield the requested facts, each once."""
        before: Candidate | None = None
        for candidate in self._merged(looked):
            if candidate != before:
                yield candidate
            before = candidate

    def count_by_hour(self, start: Instant, end: Instant) -> dict[Instant, int]:
        """Count the facts that report actions in each hour that has any, between two instants, the second excluded.

        Unauthorised facts count as well.
        """
        found: Counter[Instant] = Counter()
        heads = self._heads(ListFilter({Sort.ACTION}, {}, first_at=start, last_at=end - 1))
        for place in range(0, len(heads), _OPENED):
            for columns in self._columns(heads[place : place + _OPENED]):
                moments, operations = _numbers(columns["at"]), _numbers(columns["operation"])
                first, last = bisect_left(moments, start), bisect_left(moments, end)
                while first < last:
                    hour = moments[first] - moments[first] % HOUR
                    beyond = bisect_left(moments, hour + HOUR, first, last)
                    found[hour] += beyond - first - operations[first:beyond].count(ANY)
                    first = beyond
        return +found

    def _merged(self, looked: ListFilter) -> Iterator[Candidate]:
        heads = self._heads(looked)
        opened: list[_OpenPart] = []  # a heap
        start, many = 0, 1
        while start < len(heads):
            some = heads[start : start + many]
            while opened and opened[0].order < some[0].order(looked):
                yield _next_candidate(opened, looked)
            for head, columns in zip(some, self._columns(some), strict=True):
                rest = _found(columns, looked)
                if (first := next(rest, None)) is not None:
                    opened.append(_OpenPart(looked.order(first.place), head.part, first, rest))
            heapify(opened)
            start, many = start + many, min(2 * many, _OPENED)
        while opened:
            yield _next_candidate(opened, looked)

    def _heads(self, looked: ListFilter) -> list["_PartHead"]:
        """Return the parts that may contain requested facts, in the requested order."""
        first, last = looked.first_at, looked.last_at
        if looked.after is not None:
            if looked.earliest_first:
                first = looked.after.at if first is None else max(first, looked.after.at)
            else:
                last = looked.after.at if last is None else min(last, looked.after.at)
        is_whole = is_complete(self._connection)
        rows = self._connection.execute(_HEADS) if is_whole else ()
        stored = (_PartHead(*row) for row in rows) if is_whole else self._read(looked.sorts)
        found = [
            head
            for head in stored
            if head.sort in looked.sorts
            and (last is None or head.first_at <= last)
            and (first is None or head.last_at >= first)
        ]
        found.sort(key=lambda head: head.order(looked))
        return found

    def _columns(self, heads: Sequence["_PartHead"]) -> Iterator[Mapping[str, bytes]]:
        read = [head.part for head in heads if head.columns is None]
        rows = self._connection.execute(_PARTS, {"keys": read}) if read else ()
        stored = {part: dict(zip(COLUMNS, columns, strict=True)) for part, *columns in rows}
        for head in heads:
            yield stored[head.part] if head.columns is None else head.columns

    def _read(self, sorts: AbstractSet[int]) -> Iterator["_PartHead"]:
        """Yield the same from all facts; every list uses this in a store of an older version until it is rebuilt."""
        rows: list[Row] = []
        query = sa.select(fact.c.n, fact.c.about, fact.c.value).execution_options(yield_per=10_000)
        for number, about, value in self._connection.execute(query):
            event = self._decode(value)
            if sort_of(subject_of(event)[0]) in sorts:
                rows.append(row_of(event, number, about, self._keys))
        counts = Counter(row[2] for row in rows)
        rows += [(*row[:3], *_ANYTHING) for row in rows if counts[row[2]] > 1]
        rows.sort()
        rest, sort = iter(rows), min(sorts)
        while some := list(islice(rest, _SIZES[-1])):
            part, _, _, _, first_at, last_at, *columns = _stored(some[0][1], 0, sort, some)
            yield _PartHead(part, sort, first_at, last_at, dict(zip(COLUMNS, columns, strict=True)))


class _PartHead(NamedTuple):
    """A part whose columns need not be loaded yet."""

    part: int
    sort: int
    first_at: Instant
    last_at: Instant
    columns: Mapping[str, bytes] | None = None

    def order(self, looked: ListFilter) -> tuple[int, int]:
        """Return the sort key: nothing in the part comes before it."""
        return (self.first_at, 0) if looked.earliest_first else (-self.last_at, -_MOST)


class _OpenPart(NamedTuple):
    """A part being read: its next candidate and the following ones."""

    order: tuple[int, int]
    part: int
    candidate: Candidate
    rest: Iterator[Candidate]


def _next_candidate(opened: list[_OpenPart], looked: ListFilter) -> Candidate:
    """Take the next candidate of the open parts; there must be at least one."""
    _, part, found, rest = opened[0]
    following = next(rest, None)
    if following is None:
        heappop(opened)
    else:
        heapreplace(opened, _OpenPart(looked.order(following.place), part, following, rest))
    return found


def _found(columns: Mapping[str, Any], looked: ListFilter) -> Iterator[Candidate]:
    """Yield the requested facts of one part, in order."""
    for name, value in looked.stated.items():  # searching in bytes is much faster than number by number
        column = columns[name]
        if _as_bytes(value) not in column and _as_bytes(ANY) not in column:
            return
    moments, numbers, abouts = (_numbers(columns[name]) for name in ("at", "n", "about"))
    first = 0 if looked.first_at is None else bisect_left(moments, looked.first_at)
    end = len(moments) if looked.last_at is None else bisect_right(moments, looked.last_at)
    after = looked.after
    if after is not None and looked.earliest_first:
        first = max(first, bisect_left(moments, after.at))
    elif after is not None:
        end = min(end, bisect_right(moments, after.at))
    filters: list[tuple[Sequence[int], AbstractSet[int]]]
    filters = [(_numbers(columns[name]), {value, ANY}) for name, value in looked.stated.items()]
    for column, only in ((abouts, looked.about), (numbers, looked.numbers)):
        if only is not None:
            if only.isdisjoint(column[first:end]):
                return
            filters.append((column, only))
    begin = None if after is None else looked.order(after)
    for block in _blocks(first, end, earliest_first=looked.earliest_first):
        places: Iterable[int] = block
        for column, only in filters:
            places = [place for place in places if column[place] in only]
        for place in places:
            found = ListPosition(moments[place], numbers[place])
            if begin is None or looked.order(found) > begin:
                yield Candidate(found, abouts[place])


def _blocks(first: int, end: int, *, earliest_first: bool) -> Iterator[range]:
    """Divide a range, so that no more of a part is examined than is requested."""
    if earliest_first:
        for start in range(first, end, _BLOCK):
            yield range(start, min(end, start + _BLOCK))
    else:
        for stop in range(end, first, -_BLOCK):
            yield range(stop - 1, max(first, stop - _BLOCK) - 1, -1)


def _numbers(stored: bytes) -> "array[int]":
    numbers = array("q")
    numbers.frombytes(stored)
    return numbers


def _as_bytes(value: int) -> bytes:
    return array("q", (value,)).tobytes()
