"""The producer SDK: what an agent runtime, a gateway or a token service emits its events with.

``emit`` checks an event, keeps it in a durable spool on this machine and returns; a thread sends it to the log. So the
caller never waits for a broker and never hears of one that is away, and an event that ``emit`` returned for reaches the
log at least once, whatever is killed in between (the facts count it once). What is wrong with an event is told to the
caller, and so is a spool that is full: nothing is dropped in silence.

How to use it: docs/producing.md. Making events from what a producer has in hand: ``ingest.producer.event_builders``.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Literal, NamedTuple, ParamSpec, Self, TypeVar
from uuid import uuid4

from ingest.codec import api as codec
from ingest.kafka.cloudevents_headers import current_traceparent, headers_maker
from ingest.kafka.settings import KafkaSettings
from ingest.opening import outlet_opener
from ingest.producer.action_recorder import Recording, recorded
from ingest.producer.sender import Sender
from ingest.producer.spool import Given, Refused, Spool
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import Body, Event
from lineage.core.model.times import Instant, format_instant

logger = logging.getLogger(__name__)

_P = ParamSpec("_P")
_R = TypeVar("_R")

LIMIT_BYTES: Final = 256 * 1024 * 1024
LIMIT_EVENTS: Final = 1_000_000
BLOCK_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 10.0
# How long the thread may take to notice that it is to end.
_STOP_SECONDS: Final = 1.0


class Emitted(NamedTuple):
    """An event that is in the spool.

    Attributes:
        event_id: Its id.
        sequence: Its number at its source; None if it was not numbered.
    """

    event_id: str
    sequence: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What a producer has done, and what it has still to do.

    Attributes:
        emitted: Events that ``emit`` returned for, since the producer was opened.
        acknowledged: Events that the log has acknowledged since then, those of earlier runs included.
        refused: Events in the spool that the log refused for good.
        spooled: Events in the spool that wait for the log.
        spooled_bytes: How much all in the spool takes, what was refused included.
        retries: How often sending began anew after a fault.
        oldest_age_seconds: How long the oldest event has waited; 0 if none waits.
        fault: What keeps events from the log at the moment; None if nothing does.
        sender_alive: Whether the thread runs that sends.
    """

    emitted: int
    acknowledged: int
    refused: int
    spooled: int
    spooled_bytes: int
    retries: int
    oldest_age_seconds: float
    fault: str | None
    sender_alive: bool


def now() -> Instant:
    """The moment now, by the clock of this machine."""
    return time.time_ns() // 1_000  # noqa: TID251  (an edge: an agent's code hands us no clock)


class Producer:
    """Emits events to a log, through a spool. Any number of threads may use one; a child of a fork may not."""

    def __init__(
        self,
        url: str,
        *,
        source: str,
        spool: str,
        settings: KafkaSettings | None = None,
        limit_bytes: int = LIMIT_BYTES,
        limit_events: int = LIMIT_EVENTS,
        when_full: Literal["refuse", "block"] = "refuse",
        block_seconds: float = BLOCK_SECONDS,
        close_seconds: float = CLOSE_SECONDS,
        durable: Literal["disk", "process"] = "disk",
        sequences: bool = True,
        cloudevents: bool = False,
        traceparent: bool = False,
        clock: Callable[[], Instant] = now,
    ) -> None:
        """Open the spool and begin to send what is in it. The log may be away.

        What the log refused in an earlier run is tried once more.

        Args:
            url: The log: ``kafka://host:port[,host:port][/prefix]`` or ``sqlite:///path``.
            source: URI of this producer, which its events bear.
            spool: The file of the spool, one for each process.
            settings: How to get into the Kafka.
            limit_bytes: How much the spool may hold.
            limit_events: How many events the spool may hold.
            when_full: Whether ``emit`` refuses at once, or blocks for at most ``block_seconds`` and refuses then.
            block_seconds: That bound.
            close_seconds: How long ``close`` waits for what is in the spool.
            durable: What an emitted event outlives: a power cut (``disk``), or only the death of the process
                (``process``), which spares the wait for the disk.
            sequences: Whether events are numbered, so that a missing one is noticed.
            cloudevents: Whether to send the headers of CloudEvents, for other people's tools.
            traceparent: Whether events bear the trace context of OpenTelemetry, if that library is there, and send
                it as a header.
            clock: The moment now.

        Raises:
            RefusedError: What is asked for cannot be.
            UnavailableError: The spool cannot be used, such as by a second process.
        """
        if when_full not in ("refuse", "block"):
            raise RefusedError(f"when_full is {when_full!r}; it can be 'refuse' or 'block'")
        if durable not in ("disk", "process"):
            raise RefusedError(f"durable is {durable!r}; it can be 'disk' or 'process'")
        self.source = source
        self._clock = clock
        self._sequences = sequences
        self._wait_seconds = block_seconds if when_full == "block" else 0.0
        self._close_seconds = close_seconds
        self._traceparent = current_traceparent if traceparent else lambda: None
        self._closing = threading.Lock()
        self._final: Metrics | None = None
        open_outlet = outlet_opener(
            url, settings, clock, headers_maker(cloudevents=cloudevents, traceparent=traceparent)
        )
        self._spool = Spool(
            spool, limit_bytes=limit_bytes, limit_events=limit_events, clock=clock, durable=durable == "disk"
        )
        try:
            self._spool.retry_refused()
            self._sender = Sender(self._spool, open_outlet)
            self._sender.start()
        except BaseException:
            self._spool.close()
            raise

    def emit(
        self,
        event: Event | Body | Mapping[str, object],
        *,
        occurred_at: Instant | None = None,
        txn: str | None = None,
    ) -> Emitted:
        """Keep an event in the spool; it is durable when this returns, and is sent as soon as can be.

        A body, or an object in the JSON form without ``event_id``, becomes an event here: it gets an id, this
        producer's source, the moment now and the next sequence number, where it states no other. An event that bears
        an id is complete and is taken as it stands, so that emitting it again is a duplicate and not a conflict.

        Args:
            event: What happened.
            occurred_at: When, if the event does not say so; by default now.
            txn: The id of the call chain, if the event does not say so.

        Raises:
            BadRecordError: It does not keep the contract; ``CredentialError``: it holds a raw credential.
            RefusedError: The producer is closed, or this is a child of a fork.
            UnavailableError: The spool is full, or cannot be written. The event was not taken.
        """
        return self.emit_all([event], occurred_at=occurred_at, txn=txn)[0]

    def emit_all(
        self,
        events: Iterable[Event | Body | Mapping[str, object]],
        *,
        occurred_at: Instant | None = None,
        txn: str | None = None,
    ) -> list[Emitted]:
        """Keep several events at once, all or none; otherwise as ``emit``, and quicker."""
        self._spool.require_owner()
        given = [self._given(event, occurred_at, txn) for event in events]
        kept = self._spool.put(given, wait_seconds=self._wait_seconds)
        self._sender.wake()
        return [Emitted(event.event_id, event.sequence) for event in kept]

    def _given(self, what: Event | Body | Mapping[str, object], occurred_at: Instant | None, txn: str | None) -> Given:
        if isinstance(what, Event):
            return Given(what, numbered=False)
        moment = self._clock() if occurred_at is None else occurred_at
        if not isinstance(what, Mapping):
            event = Event(str(uuid4()), self.source, moment, what, txn=txn, traceparent=self._traceparent())
            return Given(event, numbered=self._sequences)
        stated = {name: value for name, value in what.items() if value is not None}
        if "event_id" in stated:
            # Complete: whatever were added would make it another event each time.
            return Given(codec.event_from_document({"source": self.source} | stated), numbered=False)
        added = {"event_id": str(uuid4()), "source": self.source, "occurred_at": format_instant(moment)}
        event = codec.event_from_document(added | {"txn": txn, "traceparent": self._traceparent()} | stated)
        return Given(event, numbered=self._sequences and event.sequence is None)

    def flush(self, seconds: float) -> bool:
        """Wait until all that was emitted before is in the log.

        Returns:
            Whether it is. If not, ``metrics`` says what waits and why, and how many the log refused.
        """
        self._spool.require_owner()
        return self._spool.wait_until_sent(seconds) and self._spool.holding().refused == 0

    def metrics(self) -> Metrics:
        """What was done, and what is still to do; of a closed producer, what was left."""
        if self._final is not None:
            return self._final
        holding, oldest = self._spool.holding(), self._spool.oldest()
        return Metrics(
            emitted=holding.taken,
            acknowledged=self._sender.acknowledged,
            refused=holding.refused,
            spooled=holding.waiting,
            spooled_bytes=holding.size,
            retries=self._sender.retries,
            oldest_age_seconds=0.0 if oldest is None else max(0, self._clock() - oldest) / 1_000_000,
            fault=self._sender.fault,
            sender_alive=self._sender.alive,
        )

    def refused(self, *, limit: int = 1_000) -> list[Refused]:
        """The events that the log refused for good, the oldest first, with the reason of each."""
        return self._spool.refused(limit=limit)

    def retry_refused(self) -> int:
        """Send once more what the log refused, such as after its access lists were mended; how many that are."""
        moved = self._spool.retry_refused()
        self._sender.wake()
        return moved

    def action(self, operation: str, **fields: object) -> Recording:
        """Record an action: ``with producer.action("accounts.update", tool="crm", token=...) as action: ...``.

        Args:
            operation: What is done.
            fields: Other fields of ``action.performed``; besides, ``params``, of which only the digest is kept, and
                ``raw_token``, of which only the id is kept.
        """
        return Recording(self.emit, self._clock, operation, fields)

    def tool(
        self, operation: str, *, about: Callable[..., Mapping[str, object]] | None = None, **fields: object
    ) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
        """Record every call of a function, sync or async, as an action: ``@producer.tool("accounts.update")``.

        Args:
            operation: What the function does.
            about: Called with the arguments of each call; gives the fields that depend on them.
            fields: As for ``action``.
        """

        def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
            return recorded(function, lambda more: self.action(operation, **{**fields, **more}), about)

        return decorate

    def close(self) -> bool:
        """Send what can be sent in ``close_seconds``, and give the spool back; the next producer sends the rest.

        Returns:
            Whether all of it is in the log. In a child of a fork nothing is done: the producer is the parent's.
        """
        if not self._spool.is_ours:
            return False
        with self._closing:
            if self._final is None:
                self._final = self._close()
        return self._final.spooled == self._final.refused == 0

    def _close(self) -> Metrics:
        self._spool.seal()
        try:
            self._spool.wait_until_sent(self._close_seconds)
            left = self.metrics()
        finally:
            self._sender.stop(_STOP_SECONDS)
            self._spool.close()
        if left.spooled or left.refused:
            logger.warning(
                "%d events wait in the spool %s for the next start, and %d were refused by the log",
                *(left.spooled, self._spool.path, left.refused),
            )
        return replace(left, sender_alive=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
