"""Publish the events of files to a log: the implementation of ``delegraph emit``.

Events are appended to an embedded log directly, and sent to Kafka through a spool. If the broker is down, the events in
a spool that the user named stay there and are sent when it is opened again; otherwise the files must be emitted again,
which is safe since duplicates count once.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from ingest.codec import api as codec
from ingest.kafka.settings import KafkaSettings
from ingest.log.port import Entry, Log
from ingest.opening import open_log, outlet_opener
from ingest.producer.api import LIMIT_BYTES, LIMIT_EVENTS
from ingest.producer.sender import Sender
from ingest.producer.spool import Refused, Spool
from ingest.sources.file_import import refuse_unreadable, take_in
from lineage.core.model.errors import UnavailableError
from lineage.core.model.records import Position, Unreadable
from lineage.core.model.times import Instant

Document = dict[str, Any]

PATIENCE_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.2
_STOP_SECONDS: Final = 1.0


def publish(
    files: Sequence[str],
    log_url: str,
    *,
    clock: Callable[[], Instant],
    settings: KafkaSettings | None = None,
    spool: str | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Document:
    """Publish the events of JSONL files, and any events still in the spool.

    Args:
        files: Paths; ``-`` is standard input.
        log_url: The log.
        clock: Returns the current time.
        settings: How to connect to Kafka.
        spool: The file of a permanent spool; None for a temporary one.
        patience_seconds: Give up if the log accepts nothing for this long.
        progress: Called now and then with the number of bytes read.

    Returns:
        ``read``, ``published`` and ``refused``. The latter has ``file``, ``line``, ``reason`` and ``detail`` for each
        line that is not an event and each event that the log refused.

    Raises:
        RefusedError: A file cannot be opened; nothing was published.
        UnavailableError: The log is unavailable. The message says how many events are spooled or were not published.
    """
    refuse_unreadable(files)
    if spool is None and not log_url.startswith("kafka://"):
        log = open_log(log_url, create=True, clock=clock, settings=settings)
        try:
            return _taken(files, log, clock, progress)
        finally:
            log.close()
    with _spool_file(spool) as file:
        return _spooled(
            files,
            log_url,
            file,
            kept=spool is not None,
            clock=clock,
            settings=settings,
            patience_seconds=patience_seconds,
            progress=progress,
        )


@contextmanager
def _spool_file(spool: str | None) -> Iterator[str]:
    if spool is not None:
        yield spool
        return
    with tempfile.TemporaryDirectory(prefix="delegraph-emit-") as folder:
        yield str(Path(folder) / "spool.db")


@dataclass(slots=True)
class _Rejected:
    """Collects the lines that are not events."""

    lines: list[Unreadable] = field(default_factory=list)

    def put_aside(self, records: Iterable[Unreadable]) -> None:
        self.lines.extend(records)


class _SpoolLog:
    """Appends to a spool in place of a log; the positions in the log are not known yet."""

    def __init__(self, spool: Spool, sender: Sender, patience_seconds: float) -> None:
        self._spool, self._sender, self._patience_seconds = spool, sender, patience_seconds

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        self._spool.put_entries(list(entries), wait_seconds=self._patience_seconds)
        self._sender.wake()
        return []


def _taken(files: Sequence[str], log: Log, clock: Callable[[], Instant], progress: Callable[[int], None]) -> Document:
    rejected = _Rejected()
    intake = take_in(files, log, rejected, format="jsonl", clock=clock, progress=progress)
    refused = [
        {"file": line.origin, "line": line.place, "reason": line.reason, "detail": line.detail}
        for line in rejected.lines
    ]
    return {"read": intake.read, "published": intake.read - len(refused), "refused": refused}


def _spooled(
    files: Sequence[str],
    log_url: str,
    file: str,
    *,
    kept: bool,
    clock: Callable[[], Instant],
    settings: KafkaSettings | None,
    patience_seconds: float,
    progress: Callable[[int], None],
) -> Document:
    open_outlet = outlet_opener(log_url, settings, clock, None)
    spool = Spool(file, limit_bytes=LIMIT_BYTES, limit_events=LIMIT_EVENTS, clock=clock, durable=kept)
    try:
        spool.retry_refused()
        sender = Sender(spool, open_outlet)
        sender.start()
        into = _SpoolLog(spool, sender, patience_seconds)  # ``append`` is the only method of a log that is used
        try:
            document = _taken(files, cast("Log", into), clock, progress)
            _wait(spool, sender, patience_seconds)
        except UnavailableError as fault:
            raise UnavailableError(_unsent(spool, sender, fault, kept=kept)) from fault
        finally:
            sender.stop(_STOP_SECONDS)
        refused = [_refusal(log_url, item) for item in spool.refused(limit=LIMIT_EVENTS)]
    finally:
        spool.close()
    return document | {"published": sender.acknowledged, "refused": document["refused"] + refused}


def _wait(spool: Spool, sender: Sender, patience_seconds: float) -> None:
    """Wait until all events are sent.

    Raises:
        UnavailableError: The log has accepted nothing for ``patience_seconds``.
    """
    waiting, since = spool.holding().waiting, time.monotonic()
    while not spool.wait_until_sent(_LOOK_SECONDS):
        left = spool.holding().waiting
        if left < waiting:
            waiting, since = left, time.monotonic()
        elif time.monotonic() - since > patience_seconds:
            raise UnavailableError(sender.fault or f"the log has accepted nothing for {patience_seconds:g} s")


def _unsent(spool: Spool, sender: Sender, fault: UnavailableError, *, kept: bool) -> str:
    waiting = spool.holding().waiting
    if kept:
        return f"{waiting:,} events wait in the spool {spool.path} and will be sent when it is used again: {fault}"
    return (
        f"{waiting:,} events were not published, {sender.acknowledged:,} were; emit the files again later (an event "
        f"that arrives twice counts once): {sender.fault or fault}"
    )


def _refusal(log_url: str, item: Refused) -> Document:
    event = codec.read(item.entry.value)
    detail = f"event {event.event_id} of {event.source}: {item.detail}"
    return {"file": log_url, "line": item.number, "reason": item.reason, "detail": detail}
