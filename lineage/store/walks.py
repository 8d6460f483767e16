"""The facts that mention a thing in the order in which the log took them: a part at a time, however many there are.

The index of mentions is searched by what is mentioned, and the next numbers are sorted out of it by the database. No
more than a part is ever in memory, and values are read when they are asked for.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from heapq import merge
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.mentions import Role
from lineage.core.records import Position, position_of
from lineage.core.times import Instant
from lineage.store.tables import fact, position, ref, sighting

Places = Mapping[tuple[str, int], int]
"""Where to go on, by topic and partition: the offset that is next, or where the latest come first the one before."""

_POSITIONS: Final = sa.select(position.c.topic, position.c.partition, position.c.next_offset)
_ACTS: Final = tuple(sa.literal_column(str(role), sa.Integer) for role in (Role.USES, Role.MENTIONS))


@dataclass(frozen=True, slots=True)
class Walk:
    """Which facts, and in which order.

    Attributes:
        key: The hash of what they mention.
        latest_first: Whether those that the log took last come first.
        of_acts: Whether none but actions and decisions are wanted; others may come all the same.
        known_at: None but those that were recorded by then.
    """

    key: int
    latest_first: bool = False
    of_acts: bool = False
    known_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """The next rows of ``FACT``, to be read once, and whether more follow."""

    rows: Iterator[Any]
    more: bool


@cache
def _numbers(dialect: str, *, latest_first: bool, of_acts: bool, known: bool) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """The next numbers of the facts that mention a thing, which may repeat themselves; of those about it."""
    mentioned = sa.select(ref.c.n).where(ref.c.key == sa.bindparam("key"), *_in_partition(ref.c.n))
    if of_acts:
        mentioned = mentioned.where(ref.c.until == 0, ref.c.role.in_(_ACTS))
    of_it = sa.select(fact.c.n).where(fact.c.about == sa.bindparam("key"))
    if dialect == "postgresql":  # or its planner may look for a few facts in the order of all of them
        of_it = of_it.offset(sa.literal_column("0"))
    told = of_it.subquery()
    about = sa.select(told.c.n).where(*_in_partition(told.c.n))
    first = [mentioned, about]
    for place, column in enumerate((ref.c.n, told.c.n)):
        if known:
            first[place] = first[place].where(_is_known(column))
        first[place] = first[place].order_by(column.desc() if latest_first else column).limit(sa.bindparam("most"))
    return first[0], first[1]


def _in_partition(number: sa.ColumnElement[int]) -> tuple[sa.ColumnElement[bool], ...]:
    return number >= sa.bindparam("first"), number < sa.bindparam("beyond")


def _is_known(number: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """That a fact, or a record that said the same, was recorded by then; looked up fact by fact."""
    told, again = fact.alias(), sighting.alias()
    by = sa.bindparam("known_at", type_=sa.BigInteger)
    first = sa.select(told.c.recorded_at).where(told.c.n == number).scalar_subquery()
    return sa.or_(first <= by, sa.exists().where(again.c.fact == number, again.c.recorded_at <= by))


def part_of(
    connection: Connection,
    walk: Walk,
    places: Places,
    most: int,
    read: Callable[[list[int]], list[Any]],
) -> Part:
    """The next so many facts at most, authorised or not; each once.

    Partitions are told apart by nothing but when the log took each record.

    Args:
        connection: One moment of the store.
        walk: Which facts.
        places: Where to go on; what it does not name is begun.
        most: How many.
        read: Gives the rows of ``FACT`` of some numbers, with ``recorded_at`` as the second column.
    """
    runs: list[list[Any]] = []
    more = False
    for topic, partition, following in connection.execute(_POSITIONS).all():
        start = places.get((topic, partition))
        first, beyond = (0, following if start is None else start) if walk.latest_first else (start or 0, following)
        if first < beyond:
            bounds = {"first": _number(topic, partition, first), "beyond": _number(topic, partition, beyond)}
            numbers, cut = _next(connection, walk, bounds, most)
            more = more or cut
            by_number = {row.n: row for row in read(numbers)}
            runs.append([by_number[number] for number in numbers])
    sign = -1 if walk.latest_first else 1
    rows = merge(*runs, key=lambda row: sign * row.recorded_at)
    return Part(islice(rows, most), more or sum(map(len, runs)) > most)


def _next(connection: Connection, walk: Walk, bounds: dict[str, int], most: int) -> tuple[list[int], bool]:
    """The next numbers in one partition, and whether there may be more."""
    statements = _numbers(
        connection.dialect.name,
        latest_first=walk.latest_first,
        of_acts=walk.of_acts,
        known=walk.known_at is not None,
    )
    said = {"key": walk.key, "known_at": walk.known_at, "most": most, **bounds}
    found = [[int(number) for (number,) in connection.execute(statement, said)] for statement in statements]
    numbers: list[int] = sorted({number for some in found for number in some}, reverse=walk.latest_first)
    ends = [some[-1] for some in found if len(some) == most]  # as far as each of them is whole
    if ends:
        end = max(ends) if walk.latest_first else min(ends)
        numbers = [number for number in numbers if (number >= end if walk.latest_first else number <= end)]
    return numbers[:most], bool(ends) or len(numbers) > most


def _number(topic: str, partition: int, offset: int) -> int:
    return Position(topic, partition, offset).number


def behind(places: Places, number: int, *, latest_first: bool) -> Places:
    """Where to go on behind a fact."""
    topic, partition, offset = position_of(number)
    return {**places, (topic, partition): offset if latest_first else offset + 1}
