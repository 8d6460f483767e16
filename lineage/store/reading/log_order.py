"""Read the facts that mention a key in log order, one part at a time, however many there are.

The database searches the index of mentions by key and sorts out the next numbers. Only one part is in memory at a time,
and values are read on demand.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from heapq import merge
from itertools import islice, takewhile
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.model.records import Position, position_of
from lineage.core.model.references import Role
from lineage.core.model.times import Instant
from lineage.store.database.tables import fact, position, ref, sighting

Places = Mapping[tuple[str, int], int]
"""Where to continue, by topic and partition: the next offset; with ``latest_first``, the offset to stop before."""

LOOKED_UP: Final = 25_000  # the most facts (at 2.5 µs each) for which a page looks up whether they were known

_POSITIONS: Final = sa.select(position.c.topic, position.c.partition, position.c.next_offset)
_ACTS: Final = tuple(
    sa.literal_column(str(role), sa.Integer) for role in (Role.USES, Role.MENTIONS, Role.ACTS, Role.ASKS)
)


@dataclass(frozen=True, slots=True)
class Walk:
    """Which facts to read, and in which order.

    Attributes:
        key: The hash of the key that they mention.
        most: How many at most.
        latest_first: Whether the latest come first.
        of_acts: Whether only actions and decisions are wanted; some others may still be returned.
        known_at: Only facts recorded by then; None for all.
        looked_up: For how many facts, at most, to look that up.
    """

    key: int
    most: int
    latest_first: bool = False
    of_acts: bool = False
    known_at: Instant | None = None
    looked_up: int = LOOKED_UP


@dataclass(frozen=True, slots=True)
class Part:
    """The next rows of ``FACT``.

    Attributes:
        rows: The rows; can be iterated once.
        more: Whether more follow.
        end: Where to continue after the rows, if more follow and that is farther than after the last row: no other fact
            up to there was known. None to continue after the last row.
        is_spent: Whether the limit on lookups was reached.
    """

    rows: Iterator[Any]
    more: bool
    end: Places | None
    is_spent: bool


class _Run(NamedTuple):
    """The next rows in one partition.

    Attributes:
        rows: The rows, in order.
        end: The number up to which they are complete; None if they are complete to the end of the partition.
        is_spent: Whether it ends there because the limit on lookups was reached.
    """

    rows: list[Any]
    end: int | None
    is_spent: bool = False


@cache
def _numbers(dialect: str, *, latest_first: bool, of_acts: bool) -> tuple[sa.Select[Any], ...]:
    """Two statements for the next numbers of the facts that mention a key (with repeats), and of those about it."""
    mentioned = sa.select(ref.c.n).where(ref.c.key == sa.bindparam("key"), *_in_partition(ref.c.n))
    if of_acts:
        mentioned = mentioned.where(ref.c.until == 0, ref.c.role.in_(_ACTS))
    of_it = sa.select(fact.c.n).where(fact.c.about == sa.bindparam("key"))
    if dialect == "postgresql":  # otherwise the planner may scan all facts in order to find a few
        of_it = of_it.offset(sa.literal_column("0"))
    told = of_it.subquery()
    about = sa.select(told.c.n).where(*_in_partition(told.c.n))
    return tuple(
        statement.order_by(column.desc() if latest_first else column).limit(sa.bindparam("most"))
        for statement, column in ((mentioned, ref.c.n), (about, told.c.n))
    )


@cache
def _known_numbers(dialect: str, *, latest_first: bool, of_acts: bool) -> tuple[sa.Select[Any], ...]:
    """The first numbers known at ``known_at``; each row repeats how many numbers were examined, and the last one."""

    def known(numbers: sa.Select[Any]) -> sa.Select[Any]:
        next_ = numbers.limit(sa.bindparam("looked_up")).cte("next_numbers")
        last = sa.func.min(next_.c.n) if latest_first else sa.func.max(next_.c.n)
        looked_at = sa.select(sa.func.count().label("count"), last.label("last")).select_from(next_).subquery()
        first = sa.select(next_.c.n).where(_is_known(next_.c.n))
        first = first.order_by(next_.c.n.desc() if latest_first else next_.c.n).limit(sa.bindparam("most"))
        found = first.subquery()
        rows = sa.select(found.c.n, looked_at.c.count, looked_at.c.last)
        return rows.select_from(looked_at.outerjoin(found, sa.true()))

    return tuple(known(numbers) for numbers in _numbers(dialect, latest_first=latest_first, of_acts=of_acts))


def _in_partition(number: sa.ColumnElement[int]) -> tuple[sa.ColumnElement[bool], ...]:
    return number >= sa.bindparam("first"), number < sa.bindparam("beyond")


def _is_known(number: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """The condition that a fact, or a duplicate of it, was recorded by ``known_at``; looked up fact by fact."""
    told, again = fact.alias(), sighting.alias()
    by = sa.bindparam("known_at", type_=sa.BigInteger)
    first = sa.select(told.c.recorded_at).where(told.c.n == number).scalar_subquery()
    return sa.or_(first <= by, sa.exists().where(again.c.fact == number, again.c.recorded_at <= by))


def part_of(
    connection: Connection,
    walk: Walk,
    places: Places,
    read: Callable[[list[int]], list[Any]],
) -> Part:
    """Read the next facts, authorised or not, each once.

    Partitions are merged by the time at which the log accepted each record.

    Args:
        connection: A snapshot of the store.
        walk: Which facts.
        places: Where to continue; a partition that it does not name is read from its beginning.
        read: Returns the rows of ``FACT`` with the given numbers, with ``recorded_at`` as the second column.
    """
    spans = list(_spans(connection, walk, places))
    each = replace(walk, looked_up=max(walk.looked_up // max(len(spans), 1), 1))
    runs = [_run(connection, each, span, read) for span in spans]
    is_spent = any(run.is_spent for run in runs)
    runs, end = _even(runs, walk, places, read)
    sign = -1 if walk.latest_first else 1
    rows = merge(*(run.rows for run in runs), key=lambda row: sign * row.recorded_at)
    is_cut = sum(len(run.rows) for run in runs) > walk.most
    return Part(islice(rows, walk.most), is_cut or end is not None, None if is_cut else end, is_spent)


def _spans(connection: Connection, walk: Walk, places: Places) -> Iterator[tuple[int, int]]:
    """The remaining numbers in each partition: the first, and the one after the last."""
    for topic, partition, following in connection.execute(_POSITIONS).all():
        start = places.get((topic, partition))
        first, beyond = (0, following if start is None else start) if walk.latest_first else (start or 0, following)
        if first < beyond:
            yield _number(topic, partition, first), _number(topic, partition, beyond)


def _run(
    connection: Connection,
    walk: Walk,
    span: tuple[int, int],
    read: Callable[[list[int]], list[Any]],
) -> _Run:
    """Read the next rows in one partition, at most ``walk.most``."""
    found, ends, is_spent = [], [], False  # ends: up to where each statement's numbers are complete
    for numbers, end in _next(connection, walk, span):
        found += numbers
        if end is not None:
            ends.append(end)
            is_spent = is_spent or len(numbers) < walk.most
    end = (max if walk.latest_first else min)(ends, default=None)
    whole = {number for number in found if end is None or (number >= end if walk.latest_first else number <= end)}
    by_number = {row.n: row for row in read(list(whole))}
    rows = [by_number[number] for number in sorted(whole, reverse=walk.latest_first)]
    if len(rows) > walk.most:
        return _Run(rows[: walk.most], rows[walk.most - 1].n)
    return _Run(rows, end, is_spent)


def _next(connection: Connection, walk: Walk, span: tuple[int, int]) -> Iterator[tuple[list[int], int | None]]:
    """The next numbers in one partition by each statement, and up to where they are complete (None: to the end)."""
    how = {"latest_first": walk.latest_first, "of_acts": walk.of_acts}
    parameters = {"key": walk.key, "first": span[0], "beyond": span[1], "most": walk.most}
    if walk.known_at is None:
        for statement in _numbers(connection.dialect.name, **how):
            numbers = [int(number) for (number,) in connection.execute(statement, parameters)]
            yield numbers, numbers[-1] if len(numbers) == walk.most else None
        return
    parameters |= {"known_at": walk.known_at, "looked_up": walk.looked_up}
    for statement in _known_numbers(connection.dialect.name, **how):
        rows = connection.execute(statement, parameters).all()
        numbers = sorted((int(row.n) for row in rows if row.n is not None), reverse=walk.latest_first)
        _, count, last = rows[0]
        if len(numbers) == walk.most:
            yield numbers, numbers[-1]
        else:
            yield numbers, int(last) if count == walk.looked_up else None


def _even(
    runs: list[_Run], walk: Walk, places: Places, read: Callable[[list[int]], list[Any]]
) -> tuple[list[_Run], Places | None]:
    """Cut all runs at the earliest point up to which one of them is complete.

    Returns:
        The runs, and where to continue after that point; None if all runs are complete.
    """
    ends = [run.end for run in runs if run.end is not None]
    if not ends:
        return runs, None
    sign = -1 if walk.latest_first else 1
    moments = {row.n: sign * row.recorded_at for row in read(ends)}
    nearest = min(ends, key=lambda end: (moments[end], sign * end))
    evened = []
    for run in runs:
        rows = list(takewhile(lambda row: sign * row.recorded_at <= moments[nearest], run.rows))
        is_whole = run.end == nearest or len(rows) == len(run.rows)
        evened.append(run if is_whole else _Run(rows, None))
    for run in evened:
        if run.end is not None or run.rows:
            places = behind(places, run.rows[-1].n if run.end is None else run.end, latest_first=walk.latest_first)
    return evened, places


def _number(topic: str, partition: int, offset: int) -> int:
    return Position(topic, partition, offset).number


def behind(places: Places, number: int, *, latest_first: bool) -> Places:
    """Where to continue after a fact."""
    topic, partition, offset = position_of(number)
    return {**places, (topic, partition): offset if latest_first else offset + 1}
