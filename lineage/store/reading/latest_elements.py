"""Find the elements of a whole store that matter at an instant: living ones first, then the latest in the log.

No index of elements is needed: the latest ones are at the end of each partition. For an earlier instant the start is
found by bisection, because a log is ordered by recording and roughly by time. The elements that were not examined are
counted, or reported as not counted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.model.records import DECISIONS, Position
from lineage.core.model.times import Instant
from lineage.store.database.tables import fact, position, span_of

LOOKED_AT: Final = 50_000  # rows, of all partitions together

_PARTITIONS: Final = sa.select(position.c.partition, position.c.next_offset).where(position.c.topic == DECISIONS)
_NEXT: Final = (
    sa.select(fact.c.n, fact.c.recorded_at, fact.c.value)
    .where(fact.c.n >= sa.bindparam("first"), fact.c.n < sa.bindparam("beyond"))
    .order_by(fact.c.n)
    .limit(1)
)


def _last_rows() -> sa.Subquery:
    return (
        sa.select(fact.c.n, fact.c.about, fact.c.until, fact.c.recorded_at)
        .where(fact.c.n >= sa.bindparam("first"), fact.c.n < sa.bindparam("beyond"))
        .order_by(fact.c.n.desc())
        .limit(sa.bindparam("looked_at"))
        .subquery()
    )


def _granting(*where: Callable[[sa.Subquery], sa.ColumnElement[bool]]) -> sa.Select[Any]:
    rows = _last_rows()
    found = sa.select(rows.c.about, rows.c.recorded_at, rows.c.n).where(*(one(rows) for one in where))
    return found.order_by(rows.c.n.desc()).limit(sa.bindparam("most"))


def _count() -> "sa.Select[int, int]":
    rows = _last_rows()
    granting = sa.case((rows.c.until > 0, rows.c.about))
    return sa.select(sa.func.count(), sa.func.count(granting.distinct())).select_from(rows)


_ALIVE: Final = _granting(lambda rows: rows.c.until > sa.bindparam("span"))
_ENDED: Final = _granting(lambda rows: rows.c.until > 0, lambda rows: rows.c.until <= sa.bindparam("span"))
_COUNT: Final = _count()


class Latest(NamedTuple):
    """Some elements, and the number of others.

    Attributes:
        hashes: The hashes of the elements.
        left_out: The number of further ones, including unauthorised ones; None if they were not counted to the end.
    """

    hashes: list[int]
    left_out: int | None


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of a partition to examine: everything before ``start`` had been recorded by the instant asked about."""

    first: int
    start: int
    beyond: int


def latest_elements(
    connection: Connection, most: int, *, at: Instant, has_come: Callable[[Any], bool], looked_at: int = LOOKED_AT
) -> Latest:
    """Return the elements recorded last, those alive at an instant first.

    Args:
        connection: A snapshot of the store.
        most: The largest number to return.
        at: The instant.
        has_come: Whether a row (``recorded_at``, ``value``) had been recorded by the instant asked about.
        looked_at: The most rows examined in each pass.

    Cost:
        Three passes over the end of the log at most, without decoding events, and some dozens of events to find the
        start.
    """
    parts = list(_parts(connection, has_come))
    share = max(looked_at // max(len(parts), 1), 1)
    found: dict[int, None] = {}
    for select, is_before in ((_ALIVE, True), (_ENDED, True), (_ALIVE, False), (_ENDED, False)):
        rows: list[Any] = []
        for part in parts:
            first, beyond = (part.first, part.start) if is_before else (part.start, part.beyond)
            if first < beyond and len(found) < most:
                asked = {"first": first, "beyond": beyond, "looked_at": share, "span": span_of(at), "most": most}
                rows += connection.execute(select, asked)
        rows.sort(key=lambda row: (-row.recorded_at, -row.n))
        found |= dict.fromkeys(row.about for row in rows)
    hashes = list(found)[:most]
    if len(found) < most:
        is_whole = all(part.beyond - part.first <= share for part in parts)
        return Latest(hashes, 0 if is_whole else _left_out(connection, parts, share, len(hashes)))
    return Latest(hashes, _left_out(connection, parts, share, len(hashes)))


def _left_out(connection: Connection, parts: list[_Part], share: int, read: int) -> int | None:
    total = 0
    for part in parts:
        asked = {"first": part.first, "beyond": part.beyond, "looked_at": share}
        rows, elements = connection.execute(_COUNT, asked).one()
        if rows >= share:
            return None
        total += elements
    return max(total - read, 0)


def _parts(connection: Connection, has_come: Callable[[Any], bool]) -> Iterator[_Part]:
    for partition, following in connection.execute(_PARTITIONS).all():
        first, beyond = (Position(DECISIONS, partition, offset).number for offset in (0, following))
        yield _Part(first, _start(connection, first, beyond, has_come), beyond)


def _start(connection: Connection, first: int, beyond: int, has_come: Callable[[Any], bool]) -> int:
    """Return where the records begin that were recorded later, if the log is in chronological order."""
    low, high = first, beyond
    middle = max(beyond - 1, first)  # usually the question is about now, and everything has been recorded
    while low < high:
        row = connection.execute(_NEXT, {"first": middle, "beyond": high}).one_or_none()
        if row is None:  # the log has a gap up to there
            high = middle
        elif has_come(row):
            low = row.n + 1
        else:
            high = middle
        middle = (low + high) // 2
    return low
