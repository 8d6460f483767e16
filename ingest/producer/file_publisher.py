"""Publish the events of files to a log: the implementation of ``delegraph emit``.

An embedded log is written directly; events for Kafka go through a spool. If the broker is unavailable for too long,
the spool is kept, even a temporary one, and the error says how to send it. Emitting the files again is safe as well:
an event that arrives twice counts once.
"""

import shlex
import shutil
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
from ingest.opening import open_log, sink_opener
from ingest.producer.api import LIMIT_BYTES, LIMIT_EVENTS
from ingest.producer.sender import Sender
from ingest.producer.spool import RefusedEvent, Spool
from ingest.sources.file_import import ingest_files, refuse_unreadable
from lineage.core.model.errors import UnavailableError
from lineage.core.model.records import Position, RejectedRecord
from lineage.core.model.times import Instant

Document = dict[str, Any]

WAIT_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.2
_STOP_SECONDS: Final = 1.0


def publish(
    files: Sequence[str],
    log_url: str,
    *,
    clock: Callable[[], Instant],
    settings: KafkaSettings | None = None,
    spool: str | None = None,
    wait_seconds: float = WAIT_SECONDS,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Document:
    """Publish the events of JSONL files, and any events still in the spool.

    Args:
        files: Paths; ``-`` is standard input.
        log_url: The log.
        clock: Returns the current time.
        settings: How to connect to Kafka.
        spool: The file of a spool to keep; by default a temporary one, removed once the log has all its events.
        wait_seconds: Give up when the log has accepted nothing for this long.
        progress: Called now and then with the number of bytes read.

    Returns:
        ``read``, ``published`` and ``refused``. The last has ``file``, ``line``, ``reason`` and ``detail`` for each
        line that is not an event and each event that the log refused.

    Raises:
        RefusedError: A file cannot be opened; nothing was published.
        UnavailableError: The log is unavailable. The message says how many events wait in which spool, and how to
        send them.
    """
    refuse_unreadable(files)
    if spool is None and not log_url.startswith("kafka://"):
        log = open_log(log_url, create=True, clock=clock, settings=settings)
        try:
            return _publish(files, log, clock, progress)
        finally:
            log.close()
    with _spool_file(spool) as file:
        return _spooled(
            files,
            log_url,
            file,
            durable=spool is not None,
            clock=clock,
            settings=settings,
            wait_seconds=wait_seconds,
            progress=progress,
        )


@contextmanager
def _spool_file(spool: str | None) -> Iterator[str]:
    """Yield the file of the spool. A temporary one is removed afterwards, unless it has events that the log lacks."""
    if spool is not None:
        yield spool
        return
    folder = tempfile.mkdtemp(prefix="delegraph-emit-")
    try:
        yield str(Path(folder) / "spool.db")
    except UnavailableError:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True)
class _Rejected:
    """Collects the lines that are not events."""

    lines: list[RejectedRecord] = field(default_factory=list)

    def quarantine(self, records: Iterable[RejectedRecord]) -> None:
        self.lines.extend(records)


class _SpoolLog:
    """Appends to a spool in place of a log; the positions in the log are not known yet."""

    def __init__(self, spool: Spool, sender: Sender, wait_seconds: float) -> None:
        self._spool, self._sender, self._wait_seconds = spool, sender, wait_seconds

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        self._spool.put_entries(list(entries), wait_seconds=self._wait_seconds)
        self._sender.wake()
        return []


def _publish(files: Sequence[str], log: Log, clock: Callable[[], Instant], progress: Callable[[int], None]) -> Document:
    rejected = _Rejected()
    intake = ingest_files(files, log, rejected, format="jsonl", clock=clock, progress=progress)
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
    durable: bool,
    clock: Callable[[], Instant],
    settings: KafkaSettings | None,
    wait_seconds: float,
    progress: Callable[[int], None],
) -> Document:
    open_sink = sink_opener(log_url, settings, clock, None)
    spool = Spool(file, limit_bytes=LIMIT_BYTES, limit_events=LIMIT_EVENTS, clock=clock, durable=durable)
    try:
        spool.retry_refused()
        sender = Sender(spool, open_sink)
        sender.start()
        into = _SpoolLog(spool, sender, wait_seconds)  # ``append`` is the only method of a log that is used
        document: Document | None = None
        try:
            document = _publish(files, cast("Log", into), clock, progress)
            _wait(spool, sender, wait_seconds)
        except UnavailableError as fault:
            raise UnavailableError(_resume_hint(spool, sender, fault, document)) from fault
        finally:
            sender.stop(_STOP_SECONDS)
        refused = [_refusal(log_url, item) for item in spool.refused(limit=LIMIT_EVENTS)]
    finally:
        spool.close()
    return document | {"published": sender.acknowledged, "refused": document["refused"] + refused}


def _wait(spool: Spool, sender: Sender, wait_seconds: float) -> None:
    """Wait until all events are sent.

    Raises:
        UnavailableError: The log has accepted nothing for ``wait_seconds``.
    """
    waiting, since = spool.holding().waiting, time.monotonic()
    while not spool.wait_until_sent(_LOOK_SECONDS):
        left = spool.holding().waiting
        if left < waiting:
            waiting, since = left, time.monotonic()
        elif time.monotonic() - since > wait_seconds:
            raise UnavailableError(sender.fault or f"the log has accepted nothing for {wait_seconds:g} s")


def _resume_hint(spool: Spool, sender: Sender, fault: UnavailableError, read: Document | None) -> str:
    """Report what has been published, where the rest is, and what to do with it.

    Args:
        spool: The spool with the events that are left.
        sender: The sender, which knows how many were sent.
        fault: Why publishing ended.
        read: The result of reading the files; None if they were not read to the end because the spool is full.
    """
    command = f"delegraph emit --spool {shlex.quote(str(spool.path))}"
    left = (
        f"{sender.acknowledged:,} events were published, and {spool.holding().waiting:,} wait in the spool {spool.path}"
    )
    if read is None:
        return (
            f"{left}, which cannot take the rest of the files ({fault}). Once the log is back, send them with "
            f"'{command}' and the same files; what arrives twice counts once. {sender.fault or ''}".rstrip()
        )
    skipped = f" {len(read['refused']):,} lines are not events and were skipped." if read["refused"] else ""
    return f"{left}. Once the log is back, send them with '{command}'.{skipped} The cause: {fault}"


def _refusal(log_url: str, item: RefusedEvent) -> Document:
    event = codec.read(item.entry.value)
    detail = f"event {event.event_id} of {event.source}: {item.detail}"
    return {"file": log_url, "line": item.number, "reason": item.reason, "detail": detail}
