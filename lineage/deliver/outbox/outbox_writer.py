"""The outbox writer: finds the elements whose state revocations have changed, and writes them to the outbox.

It follows the store. For new facts, and when an order takes effect, it reads the part of the graph that they may have
changed, and writes a row for every element whose state has changed. It keeps none of it, so its memory does not grow
with the history. When it starts, and after a rebuild or a change of trust, all orders and rows count as new.

It runs outside the transactions of the projection, so a revocation costs the same however many elements depend on its
target. Any number of processes may run it at once, and each may crash at any time: a process reads the rows of
others, and writes again if it has newer facts.

No clock can be trusted, so nothing that has ended is published as active because of one. The time of the states never
decreases, so a clock that is set back undoes no end; until it has caught up, what has ended by the clock as it is has
ended as well, so a lift that a clock which was ahead has published too early is undone. Whether an element has expired
is decided by the clock as it is. Once the clock is set back, everything is examined again.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lineage.core.authority.elements import granted_key
from lineage.core.authority.world import World
from lineage.core.model.errors import FencedError
from lineage.core.model.events import ActionPerformed, DecisionMade, Event, Fact
from lineage.core.model.records import DECISIONS, ORDERS, position_of
from lineage.core.model.times import SECOND, Instant
from lineage.core.model.trust import Trusted, TrustTable, in_force
from lineage.core.revocation.state_changes import (
    Change,
    affected,
    affected_by,
    changes,
    effective_times,
    perhaps_widened,
    widened,
)
from lineage.store.delivery import outbox
from lineage.store.delivery.outbox import SPREAD, OutboxRow, Standing
from lineage.store.reading.affected import load_affected
from lineage.store.reading.reader import Reader
from lineage.store.store import Store

logger = logging.getLogger(__name__)

_FACTS: Final = 5_000  # new records that are not orders, examined at a time
_ORDERS: Final = 500  # new orders examined at a time: everything that they reach is read at once
_ROWS: Final = 5_000  # rows examined at a time
_ATTEMPTS: Final = 20  # while other processes also write
# After a restart, a fact projected up to this long after it was recorded is still recognised as new.
_LATE: Final = 600_000_000  # microseconds
_CLOCK_STEP: Final = SECOND  # a clock that is set back by less was only adjusted
_CLOCK_SKEW: Final = 5 * SECOND  # by which the clocks of the processes over one store may differ

Positions = Mapping[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class _Start:
    """Where it began to follow the store.

    Attributes:
        edition: The edition of the store.
        trust: The trust table in force.
        last: The last row at that time.
        is_change: Whether the edition or the trust table was another one before, so that any fact may be new.
    """

    edition: bytes
    trust: TrustTable | None
    last: int
    is_change: bool


@dataclass(frozen=True, slots=True)
class _News:
    """What is examined next.

    Attributes:
        facts: New facts, except actions and decisions, on which no state depends.
        rows: Rows by other writers, or all after a start. They may have had older facts than we have.
        due: The ids of revocations that have changed states by themselves.
    """

    facts: list[Fact]
    rows: list[OutboxRow]
    due: set[str]


class OutboxWriter:
    """Writes state changes to the outbox. Used by one thread."""

    def __init__(self, store: Store, trust: Trusted | None) -> None:
        """Follow a store; the first round examines all orders and rows."""
        self._store = store
        self._trust = trust
        self._start: _Start | None = None
        self._positions: Positions = {}  # the facts that have been examined
        self._seq = 0  # the last row that has been examined
        self._at: Instant = 0
        self._now: Instant = 0
        self._repeated: set[str] = set()  # elements to publish again on request
        self._coming: set[tuple[Instant, str]] = set()  # when a revocation will change states by itself

    def publish_again(self, keys: Iterable[str]) -> None:
        """Publish the ends of some elements again in the next round, so that every receiver gets them again."""
        self._repeated.update(keys)

    def round(self, clock: Callable[[], Instant], examined: Callable[[int], None] = lambda _left: None) -> int:
        """Write all state changes that are due.

        Args:
            clock: Returns the current time. It is read for each part, since other processes write during a long round.
            examined: Called after each part with the number of facts and rows that are left to examine.

        Returns:
            The number of rows that were written.

        Raises:
            FencedError: Other writers were faster every time; try again.
            UnavailableError: The store is unavailable; try again.
        """
        written = attempts = 0
        while attempts < _ATTEMPTS:
            try:
                found, left = self._examine_some(clock)
            except FencedError:
                logger.debug("another outbox writer was faster")
                attempts += 1
                continue
            written, attempts = written + found, 0
            examined(left)
            if not left:
                return written
        raise FencedError(f"other outbox writers were faster {_ATTEMPTS} times in a row")

    def _examine_some(self, clock: Callable[[], Instant]) -> tuple[int, int]:
        """Examine some of what may have changed states; nothing counts as examined if that fails.

        Returns:
            The number of rows that were written, and the number of facts and rows that are left to examine.
        """
        with self._store.snapshot() as still:
            edition, positions = still.version()
            cursor = outbox.cursor_of(still, SPREAD)
            now = clock()  # after the snapshot, so that the time of the cursor is only later if a clock is wrong
            if now < self._now - _CLOCK_STEP:
                self._start = None
            start = self._started(edition, positions, cursor.seq)
            at = max(self._at, cursor.at, now)
            until = _some_of(self._positions, positions)
            news = _News(
                [
                    stored.fact
                    for stored in still.stored_after(self._positions, until)
                    if not isinstance(stored.fact.event.body, ActionPerformed | DecisionMade)
                ],
                outbox.rows(still, after=self._seq, limit=_ROWS) if self._seq < cursor.seq else [],
                {
                    revocation
                    for moment, revocation in self._coming
                    if self._at < moment <= at or self._now < moment <= now
                },
            )
            found = self._found(still, news, start, at, now)
        seq = news.rows[-1].seq if news.rows else self._seq
        if found:
            written = outbox.write(self._store, found, after=cursor.seq, at=at, standing=Standing(edition, positions))
            seq = written if seq == cursor.seq else seq
        self._positions, self._seq, self._at, self._now = until, seq, at, now
        self._repeated.clear()
        self._coming = {each for each in (*self._coming, *effective_times(news.facts)) if each[0] > now}
        left = sum(following - until[place] for place, following in positions.items())
        return len(found), left + max(0, cursor.seq - seq)

    def _started(self, edition: bytes, positions: Positions, last: int) -> _Start:
        """Start, or start again where facts may have been added anywhere, or are judged differently."""
        trust, before = in_force(self._trust), self._start
        if before is not None and before.edition == edition and before.trust is trust:
            return before
        self._start = _Start(edition, trust, last, is_change=before is not None)
        # Whatever became known before matters only if an order reaches it, or if it was published.
        self._positions = {place: 0 if place[0] == ORDERS else following for place, following in positions.items()}
        self._seq = 0
        self._coming.clear()
        return self._start

    def _found(self, still: Store, news: _News, start: _Start, at: Instant, now: Instant) -> list[Change]:
        """List the changes to publish; what had expired by now is omitted."""
        if not (news.facts or news.rows or news.due or self._repeated):
            return []
        told = {row.change.key for row in news.rows}
        with still.reader(trust=start.trust) as reader:
            world = load_affected(reader, news.facts, news.due, told | self._repeated, now)
            doubtful = affected(world, news.facts, now) | affected_by(world, news.due, now) | told | self._repeated
            latest = outbox.latest_rows(still, doubtful)
            again = self._repeated | self._widened_by(reader, world, news.facts, latest)
            again |= _widened_before(reader, world, news.rows, latest, start)
            published = {key: row.change.version for key, row in latest.items()}
            also_at = now if now < at - _CLOCK_SKEW else None
            return changes(world, doubtful, at, published, again, now=now, also_at=also_at)

    def _widened_by(self, reader: Reader, world: World, facts: list[Fact], published: Collection[str]) -> set[str]:
        """Return the published elements for which new facts state an additional audience.

        The world also contains the facts of the next steps, which count as new now: then they will not be new.
        """
        granted = {str(granted_key(fact.event.body)) for fact in facts}.intersection(published)
        examined: dict[str, set[Event]] = {key: set() for key in widened(world, granted, lambda *_: True)}
        for number, fact in reader.numbered_about(examined) if examined else ():
            topic, partition, offset = position_of(number)
            key = granted_key(fact.event.body)
            if key in examined and offset < self._positions.get((topic, partition), 0):
                examined[key].add(fact.event)
        return widened(world, examined, lambda key, fact: fact.event not in examined[key])


def _some_of(examined: Positions, positions: Positions) -> Positions:
    """Return the positions up to which the next records are examined."""
    left, until = {ORDERS: _ORDERS, DECISIONS: _FACTS}, dict(positions)
    for (topic, partition), following in positions.items():
        first = examined.get((topic, partition), 0)
        until[topic, partition] = min(following, first + left[topic])
        left[topic] -= until[topic, partition] - first
    return until


def _widened_before(
    reader: Reader, world: World, rows: list[OutboxRow], latest: Mapping[str, OutboxRow], start: _Start
) -> set[str]:
    """Return the elements, by rows before a start, that more receivers cover or may cover than were notified.

    It is not known which facts were new, only when each was recorded; after a change not even that matters.
    """
    told = (row for row in rows if row.seq <= start.last)
    checked = {row.change.key: row.recorded_at for row in told if row.seq == latest[row.change.key].seq}
    if start.is_change:
        return perhaps_widened(world, World(reader.facts_about(checked)), checked) if checked else set()
    return widened(world, checked, lambda key, fact: fact.recorded_at > checked[key] - _LATE)
