"""The feed: sends the rows of the outbox to the topic of revocations, which followers keep in memory.

Progress is recorded after sending: after a crash rows are sent again, in the same order and with the same versions. One
of several processes feeds; the topic fences off the previous one.
"""

import heapq
import time
from collections.abc import Iterator
from typing import Final

from ingest.kafka.revocation_topic import ElementStatus, RevocationTopic, heartbeat, value_of
from lineage.core.model.times import Instant, format_instant
from lineage.core.revocation.state_changes import GRACE
from lineage.store.delivery import outbox
from lineage.store.delivery.outbox import OutboxRow
from lineage.store.store import Store

FEED: Final = "feed"  # its name among the receivers in `delivered`
BEAT_SECONDS: Final = 1.0
_TOGETHER: Final = 2_500  # rows in one transaction: followers apply one while the next is written


def take_over(topic: RevocationTopic, store: Store, receiver: str) -> tuple[bytes, outbox.Cursor]:
    """Make this the only feed of a topic, and return the topic's id and how far the previous feed got.

    Raises:
        RefusedError: We may not write the topic.
        UnavailableError: The topic or the store is unavailable; try again.
    """
    place = topic.ensure()
    topic.begin()
    return place, outbox.cursor_of(store, receiver)  # read after the previous feed was fenced off


class Feed:
    """Sends the rows of the outbox. Used by one thread."""

    def __init__(self, store: Store, topic: RevocationTopic) -> None:
        """Create a feed from the outbox of a store to a topic; call ``begin`` first."""
        self._store = store
        self._topic = topic
        self._cursor = outbox.Cursor()
        self._latest: dict[str, int] = {}  # element -> its latest row
        self._ending: list[tuple[Instant, int, str]] = []  # a heap: when a row becomes irrelevant, row, element
        self._beaten: float | None = None
        self._place = b""  # the id of the topic
        self._foreign: set[str] = set()  # elements in the topic that another store has published
        self._origin = outbox.origin_of(store)

    def begin(self) -> None:
        """Make this the only feed, and find where to continue.

        Raises:
            RefusedError: We may not write the topic.
            UnavailableError: The topic or the store is unavailable; try again.
        """
        self._place, self._cursor = take_over(self._topic, self._store, FEED)
        self._latest, self._ending, self._foreign, self._beaten = {}, [], set(), None
        if self._cursor.place != self._place:  # another topic: send everything, and remove what others published
            self._cursor = self._cursor._replace(seq=0, at=0)
            self._foreign = self._topic.keys()
        for row in self._rows_sent():
            self._remember(row)
        while self._ending and self._ending[0][0] <= self._cursor.at:  # tombstones of these were sent
            heapq.heappop(self._ending)

    def deliver(self, at: Instant) -> int:
        """Send the new rows of the outbox, tombstones for expired elements, and a heartbeat if one is due.

        Returns:
            The number of rows that were sent.

        Raises:
            FencedError: Another process has become the feed.
            UnavailableError: The topic or the store is unavailable; ``begin`` again.
        """
        sent = 0
        if at < self._cursor.at - GRACE:  # the clock was ahead, so elements that are alive may have tombstones
            self._latest, self._ending = {}, []
            self._cursor = self._cursor._replace(seq=0, at=at)
        while rows := outbox.rows(self._store, after=self._cursor.seq, limit=_TOGETHER):
            self._topic.write([self._message(row, at) for row in rows])
            for row in rows:
                self._remember(row)
            # While the topic has entries of another store, progress is not recorded: after a crash start over.
            if not self._foreign:
                self._move(rows[-1].seq, self._cursor.at)
            else:
                self._cursor = self._cursor._replace(seq=rows[-1].seq)
            sent += len(rows)
        tombstones = [(key, None) for key in sorted(self._foreign - self._latest.keys())] + list(self._over(at))
        now = time.monotonic()
        if tombstones or self._beaten is None or now - self._beaten >= BEAT_SECONDS:
            self._topic.write([*tombstones, heartbeat(self._cursor.seq, at)])
            # The latest time up to which tombstones were sent: the clock may go back in steps below the grace period.
            self._move(self._cursor.seq, max(self._cursor.at, at))
            self._foreign = set()
            self._beaten = now
        return sent

    def _move(self, seq: int, at: Instant) -> None:
        self._cursor = outbox.move(self._store, FEED, self._cursor, seq=seq, at=at, place=self._place)

    def _remember(self, row: OutboxRow) -> None:
        self._latest[row.change.key] = row.seq
        outcome = row.change.version.outcome
        if outcome.expires_at is not None:
            heapq.heappush(self._ending, (outcome.over_at, row.seq, row.change.key))

    def _over(self, at: Instant) -> Iterator[tuple[str, None]]:
        while self._ending and self._ending[0][0] <= at:
            _, seq, key = heapq.heappop(self._ending)
            if self._latest.get(key) == seq:
                del self._latest[key]
                yield key, None

    def _rows_sent(self) -> Iterator[OutboxRow]:
        after = 0
        while after < self._cursor.seq and (rows := outbox.rows(self._store, after=after, limit=_TOGETHER)):
            yield from (row for row in rows if row.seq <= self._cursor.seq)
            after = rows[-1].seq

    def _message(self, row: OutboxRow, at: Instant) -> tuple[str, bytes | None]:
        key, (number, outcome) = row.change.key, row.change.version
        if outcome.over_at <= at:
            return key, None
        status = ElementStatus(
            state=str(outcome.state),
            version=number,
            origin=self._origin,
            revocation=outcome.revocation,
            effective_at=_written(outcome.effective_at),
            expires_at=_written(outcome.expires_at),
        )
        return key, value_of(key, status)


def _written(instant: Instant | None) -> str | None:
    return None if instant is None else format_instant(instant)


class StallWatch:
    """Detects whether any process is feeding or pushing, by changes of its cursor, timed by our own clock."""

    def __init__(self, store: Store, receiver: str = FEED) -> None:
        """Watch the cursor of a receiver in a store."""
        self._store = store
        self._receiver = receiver
        self._turn = -1
        self._since = time.monotonic()

    def still_seconds(self) -> float:
        """Return for how many seconds no process has been feeding or pushing."""
        turn = outbox.cursor_of(self._store, self._receiver).turn
        if turn != self._turn:
            self._turn, self._since = turn, time.monotonic()
        return time.monotonic() - self._since
