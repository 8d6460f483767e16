"""The producer SDK, with which an agent runtime, a gateway or a token service emits its events.

``emit`` validates an event, stores it in a durable spool on this machine and returns; a background thread sends it to
the log. So the caller never waits for a broker, and a broker that is down does not raise. Once ``emit`` has returned,
the event reaches the log at least once, even if processes are killed in between (the projection counts it once). An
invalid event and a full spool raise an exception: nothing is dropped silently.

Usage: docs/producing.md. To build events from tokens, decisions and tool calls: ``ingest.producer.event_builders``.
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
from ingest.opening import sink_opener
from ingest.producer.action_recorder import ActionRecorder, recorded
from ingest.producer.sender import Sender
from ingest.producer.spool import RefusedEvent, Spool, SpoolEntry
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import Body, Event
from lineage.core.model.times import SECOND, Instant, format_instant

logger = logging.getLogger(__name__)

_P = ParamSpec("_P")
_R = TypeVar("_R")

LIMIT_BYTES: Final = 256 * 1024 * 1024
LIMIT_EVENTS: Final = 1_000_000
BLOCK_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 10.0
# How long the sender's thread may take to stop.
_STOP_SECONDS: Final = 1.0


class Emitted(NamedTuple):
    """An event that is in the spool.

    Attributes:
        event_id: Its id.
        sequence: Its sequence number at its source; None if it has none.
    """

    event_id: str
    sequence: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The work that a producer has done, and what is still pending.

    Attributes:
        emitted: Events accepted by ``emit`` since the producer was opened.
        acknowledged: Events acknowledged by the log since then, including those of earlier runs.
        refused: Events in the spool that the log has permanently refused.
        spooled: Events in the spool that wait for the log.
        spooled_bytes: Size of all events in the spool, including refused ones.
        retries: How often sending started again after an error.
        oldest_age_seconds: How long the oldest event has waited; 0 if none waits.
        fault: What prevents sending at the moment; None if nothing does.
        sender_alive: Whether the sending thread is running.
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
    """The current time by the clock of this machine."""
    return time.time_ns() // 1_000  # noqa: TID251  (an edge of the system: the caller passes no clock)


class Producer:
    """Emits events to a log, through a spool. Thread-safe; must not be used in the child of a fork."""

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
        """Open the spool and start to send its events. The log may be unavailable.

        Events that the log refused in an earlier run are tried once more.

        Args:
            url: The log: ``kafka://host:port[,host:port][/prefix]`` or ``sqlite:///path``.
            source: The URI of this producer, the ``source`` of its events.
            spool: The file of the spool, a separate one for each process.
            settings: How to connect to Kafka.
            limit_bytes: The size limit of the spool.
            limit_events: The largest number of events in the spool.
            when_full: Whether ``emit`` raises at once, or first waits up to ``block_seconds`` for room.
            block_seconds: That time limit.
            close_seconds: How long ``close`` waits for the events in the spool to be sent.
            durable: What an emitted event survives: a power failure (``disk``), or only the death of the process
                (``process``), which does not wait for the disk.
            sequences: Whether to number the events, so that a missing one is noticed.
            cloudevents: Whether to add CloudEvents headers, for other tools.
            traceparent: Whether to add the OpenTelemetry trace context, if that library is installed, to the events
                and as a header.
            clock: Returns the current time.

        Raises:
            RefusedError: An argument is invalid.
            UnavailableError: The spool cannot be used, for example because another process has it open.
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
        open_sink = sink_opener(url, settings, clock, headers_maker(cloudevents=cloudevents, traceparent=traceparent))
        self._spool = Spool(
            spool, limit_bytes=limit_bytes, limit_events=limit_events, clock=clock, durable=durable == "disk"
        )
        try:
            self._spool.retry_refused()
            self._sender = Sender(self._spool, open_sink)
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
        """Store an event in the spool; it is durable when this returns, and is sent as soon as possible.

        A body, or a JSON document without ``event_id``, is completed: it gets an id, this producer's source, the
        current time and the next sequence number, unless it states them. An event with an id is complete and is
        emitted unchanged, so that emitting it again makes a duplicate, not a conflict.

        Args:
            event: What happened.
            occurred_at: When it happened, if the event does not say; the default is now.
            txn: The id of the call chain, if the event does not say.

        Raises:
            BadRecordError: The event is invalid (``CredentialError``: it contains a raw credential).
            RefusedError: The producer is closed, or this is the child of a fork.
            UnavailableError: The spool is full or cannot be written. The event was not stored.
        """
        return self.emit_all([event], occurred_at=occurred_at, txn=txn)[0]

    def emit_all(
        self,
        events: Iterable[Event | Body | Mapping[str, object]],
        *,
        occurred_at: Instant | None = None,
        txn: str | None = None,
    ) -> list[Emitted]:
        """Store several events at once, all or none: like ``emit``, but faster."""
        self._spool.require_owner()
        given = [self._given(event, occurred_at, txn) for event in events]
        kept = self._spool.put(given, wait_seconds=self._wait_seconds)
        self._sender.wake()
        return [Emitted(event.event_id, event.sequence) for event in kept]

    def _given(
        self, what: Event | Body | Mapping[str, object], occurred_at: Instant | None, txn: str | None
    ) -> SpoolEntry:
        if isinstance(what, Event):
            return SpoolEntry(what, numbered=False)
        moment = self._clock() if occurred_at is None else occurred_at
        if not isinstance(what, Mapping):
            event = Event(str(uuid4()), self.source, moment, what, txn=txn, traceparent=self._traceparent())
            return SpoolEntry(event, numbered=self._sequences)
        stated = {name: value for name, value in what.items() if value is not None}
        if "event_id" in stated:
            # Complete: any field added here would differ on every emit and make it a conflicting event.
            return SpoolEntry(codec.event_from_document({"source": self.source} | stated), numbered=False)
        added = {"event_id": str(uuid4()), "source": self.source, "occurred_at": format_instant(moment)}
        event = codec.event_from_document(added | {"txn": txn, "traceparent": self._traceparent()} | stated)
        return SpoolEntry(event, numbered=self._sequences and event.sequence is None)

    def flush(self, seconds: float) -> bool:
        """Wait until all events emitted so far are in the log.

        Args:
            seconds: The longest wait.

        Returns:
            Whether they are. If not, ``metrics`` says how many wait and why, and how many the log refused.
        """
        self._spool.require_owner()
        return self._spool.wait_until_sent(seconds) and self._spool.holding().refused == 0

    def metrics(self) -> Metrics:
        """The current metrics; of a closed producer, those at its end."""
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
            oldest_age_seconds=0.0 if oldest is None else max(0, self._clock() - oldest) / SECOND,
            fault=self._sender.fault,
            sender_alive=self._sender.alive,
        )

    def refused(self, *, limit: int = 1_000) -> list[RefusedEvent]:
        """The events that the log has permanently refused, oldest first, each with the reason."""
        return self._spool.refused(limit=limit)

    def retry_refused(self) -> int:
        """Send the refused events once more, for example after the ACLs were corrected.

        Returns:
            The number of these events.
        """
        moved = self._spool.retry_refused()
        self._sender.wake()
        return moved

    def action(self, operation: str, **fields: object) -> ActionRecorder:
        """Record an action: ``with producer.action("accounts.update", tool="crm", token=...) as action: ...``.

        Args:
            operation: The operation, such as the name of an API method.
            fields: Other fields of ``action.performed``. In addition, ``params``, of which only the digest is recorded,
                and ``raw_token``, of which only the id is recorded.
        """
        return ActionRecorder(self.emit, self._clock, operation, fields)

    def tool(
        self, operation: str, *, about: Callable[..., Mapping[str, object]] | None = None, **fields: object
    ) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
        """Record every call of a function, sync or async, as an action: ``@producer.tool("accounts.update")``.

        Args:
            operation: The operation that the function performs.
            about: Called with the arguments of each call; returns the fields that depend on them.
            fields: As for ``action``.
        """

        def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
            return recorded(function, lambda more: self.action(operation, **{**fields, **more}), about)

        return decorate

    def close(self) -> bool:
        """Send events for up to ``close_seconds``, then release the spool; the next producer sends the rest.

        Returns:
            Whether all events are in the log. In the child of a fork nothing is done: the parent owns the producer.
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
                "%d events wait in the spool %s for the next start, and the log refused %d",
                *(left.spooled, self._spool.path, left.refused),
            )
        return replace(left, sender_alive=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
