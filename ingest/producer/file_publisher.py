"""Events of files to a log: what ``delegraph emit`` does.

To an embedded log they are appended at once. To a Kafka they go through a spool, of which a broker that is away takes
nothing: with a spool of one's own they are sent by the next one who opens it, else by emitting the files again, which
makes duplicates and nothing else.
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
    """Publish the events of JSONL files, and what a spool still holds.

    Args:
        files: Paths; ``-`` is standard input.
        log_url: The log.
        clock: The moment now.
        settings: How to get into the Kafka.
        spool: The file of a spool that is kept; by default one that is gone afterwards.
        patience_seconds: How long a log may take nothing before it is given up.
        progress: Told how many bytes were read, now and then.

    Returns:
        ``read``, ``published`` and ``refused``: of each line that is no event, and of each event that the log refused,
        ``file``, ``line``, ``reason`` and ``detail``.

    Raises:
        RefusedError: A file cannot be opened; nothing was published.
        UnavailableError: The log is away. The message says how many events wait in the spool, or were not published.
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
class _Aside:
    """The lines that are no events."""

    lines: list[Unreadable] = field(default_factory=list)

    def put_aside(self, records: Iterable[Unreadable]) -> None:
        self.lines.extend(records)


class _IntoSpool:
    """Appends to a spool; where an event stands in the log is not known yet."""

    def __init__(self, spool: Spool, sender: Sender, patience_seconds: float) -> None:
        self._spool, self._sender, self._patience_seconds = spool, sender, patience_seconds

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        self._spool.put_entries(list(entries), wait_seconds=self._patience_seconds)
        self._sender.wake()
        return []


def _taken(files: Sequence[str], log: Log, clock: Callable[[], Instant], progress: Callable[[int], None]) -> Document:
    aside = _Aside()
    intake = take_in(files, log, aside, format="jsonl", clock=clock, progress=progress)
    refused = [
        {"file": line.origin, "line": line.place, "reason": line.reason, "detail": line.detail} for line in aside.lines
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
        into = _IntoSpool(spool, sender, patience_seconds)  # of a log the intake needs ``append`` alone
        try:
            document = _taken(files, cast("Log", into), clock, progress)
            _wait(spool, sender, patience_seconds)
        except UnavailableError as fault:
            raise UnavailableError(_what_is_left(spool, sender, fault, kept=kept)) from fault
        finally:
            sender.stop(_STOP_SECONDS)
        refused = [_refusal(log_url, item) for item in spool.refused(limit=LIMIT_EVENTS)]
    finally:
        spool.close()
    return document | {"published": sender.acknowledged, "refused": document["refused"] + refused}


def _wait(spool: Spool, sender: Sender, patience_seconds: float) -> None:
    """Wait until all is sent.

    Raises:
        UnavailableError: The log has taken nothing for so long.
    """
    waiting, since = spool.holding().waiting, time.monotonic()
    while not spool.wait_until_sent(_LOOK_SECONDS):
        left = spool.holding().waiting
        if left < waiting:
            waiting, since = left, time.monotonic()
        elif time.monotonic() - since > patience_seconds:
            raise UnavailableError(sender.fault or f"the log has taken nothing for {patience_seconds:g} s")


def _what_is_left(spool: Spool, sender: Sender, fault: UnavailableError, *, kept: bool) -> str:
    waiting = spool.holding().waiting
    if kept:
        return f"{waiting:,} events wait in the spool {spool.path}, and are sent when it is used again: {fault}"
    return (
        f"{waiting:,} events were not published, {sender.acknowledged:,} were; emit the files again later, since what "
        f"arrives twice counts once: {sender.fault or fault}"
    )


def _refusal(log_url: str, item: Refused) -> Document:
    event = codec.read(item.entry.value)
    detail = f"event {event.event_id} of {event.source}: {item.detail}"
    return {"file": log_url, "line": item.number, "reason": item.reason, "detail": detail}
