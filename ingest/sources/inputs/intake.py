"""Ingestion of one source's records as they arrive.

A delivery is acknowledged, and a position advances, only once the log has the events: first the log, then in one
store transaction the adapter's memory, the positions, and the counts. A process that ends between the two reads the
same records again with the earlier memory; their events have the same ids, so the log recognises them as duplicates.
After an error the memory is reloaded from the store, which makes an error equivalent to a restart.
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
from ingest.sources.file_import import FileImport, QuarantineSink, ingest_records
from ingest.sources.foreign_import import ForeignLog, Read, SourceMemory
from ingest.sources.named import NamedSource
from lineage.core.model.errors import BadRecordError, UnavailableError
from lineage.core.model.times import Instant

logger = logging.getLogger(__name__)

# Records of several deliveries that are written to the log together.
_TOGETHER: Final = 5_000
# Events that are due are emitted once a source has been quiet, or has been sending, for this long.
QUIET_SECONDS: Final = 0.5
_BUSY_SECONDS: Final = 10.0
# No more records are expected after this silence, which is longer than the usual interval of trace exporters.
STILL_SECONDS: Final = 6.0


class ReadPosition(NamedTuple):
    """The read position of an input, stored with the adapter's memory under a separate topic.

    Attributes:
        topic: The topic of the input, such as ``follow``.
        key: The object that is read: a file, a partition.
        value: A JSON value; None to delete it.
    """

    topic: str
    key: str
    value: Any


class DeliveryOutcome(NamedTuple):
    """The outcome of a delivery.

    Attributes:
        records: The number of records.
        events: The number of events built from them.
        skipped: Records without information about authority or action, by reason.
        quarantined: Quarantined records, by reason.
    """

    records: int
    events: int
    skipped: dict[str, int]
    quarantined: dict[str, int]


@dataclass(slots=True)
class _Delivery:
    origin: str
    records: Sequence[RawRecord]
    places: Sequence[ReadPosition]
    taken: DeliveryOutcome | None = None
    fault: Exception | None = field(default=None)


class SourceIntake:
    """Ingests the records of one source. Thread-safe; waiting deliveries are written to the log together."""

    def __init__(
        self,
        named: NamedSource,
        *,
        log: Log,
        aside: QuarantineSink,
        keeper: SourceMemory,
        clock: Callable[[], Instant],
        committed: Callable[[NamedSource, DeliveryOutcome], None] = lambda _named, _taken: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the intake of a source.

        Args:
            named: The source.
            log: The log, which must be thread-safe.
            aside: Receives unreadable records.
            keeper: Stores its memory, positions and counts.
            clock: Returns the current time.
            committed: Called with the outcome once the log has a delivery.
            monotonic: A monotonic clock.
        """
        self.named = named
        self._log, self._aside, self._keeper, self._clock = log, aside, keeper, clock
        self._committed, self._monotonic = committed, monotonic
        self._turn = threading.Lock()
        self._waiting: deque[_Delivery] = deque()
        self._foreign: ForeignLog | None = None
        # At the start, the events that an earlier process left pending are due as well.
        self._came_at, self._settled_at = monotonic(), 0.0
        self._due, self._ended = True, False

    def take(self, origin: str, records: Sequence[RawRecord], places: Sequence[ReadPosition] = ()) -> DeliveryOutcome:
        """Ingest records; when this returns, the log has their events, and the positions are stored.

        Raises:
            UnavailableError: The log or the store is unavailable: nothing is stored, and the log may have some of the
                events.
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
        """Return the stored positions of a topic, by key, oldest first."""
        with self._turn:
            return dict(self._reader().memory.entries(topic))

    def settle(self, *, at_once: bool = False) -> None:
        """Emit the events that are due: after a short silence of the source, and again if it stays silent.

        Args:
            at_once: Whether no more records are expected.

        Raises:
            UnavailableError: The log or the store is unavailable; the events stay due.
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
        """Commit deliveries, all or none; each receives its outcome, in the thread that waits for it."""
        try:
            self._commit_group(group)
        except Exception as fault:  # noqa: BLE001 (each of them is told)
            self._foreign = None
            for delivery in group:
                delivery.taken, delivery.fault = None, _fresh(fault)

    def _commit_group(self, group: list[_Delivery]) -> None:
        foreign = self._reader()
        self._foreign = None  # reloaded if anything goes wrong
        reads: list[Read] = []
        accepted = []
        for delivery in group:
            before = foreign.counts()
            for record in delivery.records:
                reads += self._read(foreign, delivery.origin, record)
            for place in delivery.places:
                if place.value is None:
                    foreign.memory.drop(place.topic, place.key)
                else:
                    foreign.memory.put(place.topic, place.key, place.value)
            accepted.append(_difference(foreign.counts(), before))
        self._append(foreign, reads)
        self._foreign = foreign
        if reads:
            self._came_at, self._due, self._ended = self._monotonic(), True, False
        for delivery, one in zip(group, accepted, strict=True):
            delivery.taken = one
            self._tell(one)

    def _read(self, foreign: ForeignLog, origin: str, record: RawRecord) -> Iterable[Read]:
        try:
            return list(foreign.entries(origin, [record]))
        except Exception as error:  # a record that crashes its adapter must not be retried forever
            logger.exception("the %s adapter fails on a record of %s", self.named.format, origin)
            fault = BadRecordError("adapter-fault", f"its adapter fails on it: {type(error).__name__}")
            return [(foreign.rejected(origin, record, fault), len(record.raw))]

    def _append(self, foreign: ForeignLog, reads: list[Read]) -> None:
        ingest_records(reads, self._log, self._aside, FileImport())
        foreign.keep()

    def _reader(self) -> ForeignLog:
        if self._foreign is None:
            self._foreign = ForeignLog(self.named, self._keeper, self._clock)
        return self._foreign

    def _tell(self, outcome: DeliveryOutcome) -> None:
        self._committed(self.named, outcome)


def _difference(now: Counter[tuple[str, str]], before: Counter[tuple[str, str]]) -> DeliveryOutcome:
    more = now - before
    by_reason = {
        outcome: {reason: count for (of, reason), count in more.items() if of == outcome}
        for outcome in ("skipped", "quarantined")
    }
    return DeliveryOutcome(more["record", ""], more["event", ""], by_reason["skipped"], by_reason["quarantined"])


def _fresh(fault: Exception) -> Exception:
    """Copy an error, so that several threads can each raise their own."""
    return UnavailableError(str(fault)) if isinstance(fault, UnavailableError) else fault
