"""The way of one source into the log, for records that keep coming.

A delivery is answered, and a place advances, only once the log has the events: first the log, then in one transaction
of the store what the adapter remembers, the places, and the counts. A process that ends between the two reads the same
records again with the memory of before; their events have the same ids, so the log tells them apart as duplicates.
After a fault the memory is read again from the store, which makes a fault the same as such an end.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ingest.log.port import Log
from ingest.sources.adapters import RawRecord
from ingest.sources.file_import import Aside, Intake, take_in_records
from ingest.sources.foreign_import import ForeignLog, Keeper, Read
from ingest.sources.named import NamedSource
from lineage.core.model.errors import BadRecordError, UnavailableError
from lineage.core.model.times import Instant

logger = logging.getLogger(__name__)

# Records of several deliveries that go into the log together.
_TOGETHER: Final = 5_000
# What is due is said once a source has been quiet for so long, or keeps coming for so long.
QUIET_SECONDS: Final = 0.5
_BUSY_SECONDS: Final = 10.0
# No more is coming for now: longer than the usual interval at which traces are exported.
STILL_SECONDS: Final = 6.0


class Place(NamedTuple):
    """How far an input was read: kept beside what an adapter remembers, under a topic of its own.

    Attributes:
        topic: Of the input, such as ``follow``.
        key: Of what is read: a file, a partition.
        value: What JSON can hold; None: it is forgotten.
    """

    topic: str
    key: str
    value: Any


class Taken(NamedTuple):
    """What became of a delivery.

    Attributes:
        records: How many there were.
        events: How many events they gave.
        skipped: How many records say nothing of authority or action, by reason.
        quarantined: How many are in quarantine, by reason.
    """

    records: int
    events: int
    skipped: dict[str, int]
    quarantined: dict[str, int]


@dataclass(slots=True)
class _Delivery:
    origin: str
    records: Sequence[RawRecord]
    places: Sequence[Place]
    taken: Taken | None = None
    fault: Exception | None = field(default=None)


class SourceIntake:
    """Takes the records of one source. Any thread may hand them over; those that wait go into the log together."""

    def __init__(
        self,
        named: NamedSource,
        *,
        log: Log,
        aside: Aside,
        keeper: Keeper,
        clock: Callable[[], Instant],
        committed: Callable[[NamedSource, Taken], None] = lambda _named, _taken: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take where everything goes.

        Args:
            named: The source.
            log: Where its events go; any thread may use it.
            aside: Where records go that cannot be read.
            keeper: Where its memory, its places and its counts are kept.
            clock: The moment now.
            committed: Told what was taken once the log has it.
            monotonic: A clock that is never set.
        """
        self.named = named
        self._log, self._aside, self._keeper, self._clock = log, aside, keeper, clock
        self._committed, self._monotonic = committed, monotonic
        self._turn = threading.Lock()
        self._waiting: deque[_Delivery] = deque()
        self._foreign: ForeignLog | None = None
        # At the start: what an earlier process left to be said is due as well.
        self._came_at, self._settled_at = monotonic(), 0.0
        self._due, self._ended = True, False

    def take(self, origin: str, records: Sequence[RawRecord], places: Sequence[Place] = ()) -> Taken:
        """Take records; when this returns the log has their events, and the places are kept.

        Raises:
            UnavailableError: The log or the store is away: nothing is kept, and the log may have some of the events.
        """
        delivery = _Delivery(origin, records, places)
        self._waiting.append(delivery)
        with self._turn:
            while delivery.taken is None and delivery.fault is None:
                self._commit(self._together())
        if delivery.fault is not None:
            raise delivery.fault
        assert delivery.taken is not None  # noqa: S101 (it was committed)
        return delivery.taken

    def places(self, topic: str) -> dict[str, Any]:
        """The places that are kept under a topic, by key, the oldest first."""
        with self._turn:
            return dict(self._reader().memory.entries(topic))

    def settle(self, *, at_once: bool = False) -> None:
        """Say what is due: once the source has been quiet for a moment, and again when it stays still.

        Args:
            at_once: No more is coming.

        Raises:
            UnavailableError: The log or the store is away; it is due later.
        """
        now = self._monotonic()
        quiet = now - self._came_at
        still = at_once or quiet >= STILL_SECONDS
        soon = self._due and (quiet >= QUIET_SECONDS or now - self._settled_at >= _BUSY_SECONDS)
        if not ((still and not self._ended) or soon):
            return
        with self._turn:
            self._due, self._ended, self._settled_at = False, still, now
            try:
                foreign = self._reader()
                before = foreign.counts()
                self._append(foreign, list(foreign.settled(self.named.name, end=still)))
            except BaseException:
                self._foreign, self._due, self._ended = None, True, False
                raise
        self._tell(_difference(foreign.counts(), before))

    def _together(self) -> list[_Delivery]:
        group: list[_Delivery] = []
        size = 0
        while self._waiting and (not group or size + len(self._waiting[0].records) <= _TOGETHER):
            group.append(self._waiting.popleft())
            size += len(group[-1].records)
        return group

    def _commit(self, group: list[_Delivery]) -> None:
        """Commit deliveries, or none of them: each learns what became of it, in whatever thread it waits."""
        try:
            self._commit_group(group)
        except Exception as fault:  # noqa: BLE001 (each of them is told)
            self._foreign = None
            for delivery in group:
                delivery.taken, delivery.fault = None, _fresh(fault)

    def _commit_group(self, group: list[_Delivery]) -> None:
        foreign = self._reader()
        self._foreign = None  # if anything goes wrong it is read again
        reads: list[Read] = []
        taken = []
        for delivery in group:
            before = foreign.counts()
            for record in delivery.records:
                reads += self._read(foreign, delivery.origin, record)
            for place in delivery.places:
                if place.value is None:
                    foreign.memory.drop(place.topic, place.key)
                else:
                    foreign.memory.put(place.topic, place.key, place.value)
            taken.append(_difference(foreign.counts(), before))
        self._append(foreign, reads)
        self._foreign = foreign
        if reads:
            self._came_at, self._due, self._ended = self._monotonic(), True, False
        for delivery, one in zip(group, taken, strict=True):
            delivery.taken = one
            self._tell(one)

    def _read(self, foreign: ForeignLog, origin: str, record: RawRecord) -> Iterable[Read]:
        try:
            return list(foreign.entries(origin, [record]))
        except Exception as error:  # a record that trips its adapter must not come again for ever
            logger.exception("the %s adapter fails on a record of %s", self.named.format, origin)
            fault = BadRecordError("adapter-fault", f"its adapter fails on it: {type(error).__name__}")
            return [(foreign.put_aside(origin, record, fault), len(record.raw))]

    def _append(self, foreign: ForeignLog, reads: list[Read]) -> None:
        take_in_records(reads, self._log, self._aside, Intake())
        foreign.keep()

    def _reader(self) -> ForeignLog:
        if self._foreign is None:
            self._foreign = ForeignLog(self.named, self._keeper, self._clock)
        return self._foreign

    def _tell(self, taken: Taken) -> None:
        self._committed(self.named, taken)


def _difference(now: Counter[tuple[str, str]], before: Counter[tuple[str, str]]) -> Taken:
    more = now - before
    by_reason = {
        outcome: {reason: count for (of, reason), count in more.items() if of == outcome}
        for outcome in ("skipped", "quarantined")
    }
    return Taken(more["record", ""], more["event", ""], by_reason["skipped"], by_reason["quarantined"])


def _fresh(fault: Exception) -> Exception:
    """A fault that several threads may raise, each its own."""
    return UnavailableError(str(fault)) if isinstance(fault, UnavailableError) else fault
