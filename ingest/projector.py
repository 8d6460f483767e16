"""The projector: moves records from the log into the store, one batch at a time.

The facts, sightings and quarantined records of a batch are written together with the positions, in one transaction of
the store. So after any crash the projection matches the positions exactly, and resuming from them loses nothing and
repeats nothing.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NoReturn, Protocol

from ingest.codec import api as codec
from ingest.codec import credentials
from ingest.log.port import Log
from lineage.core.model.errors import BadRecordError, FencedError
from lineage.core.model.events import Fact
from lineage.core.model.records import (
    DECISIONS,
    Batch,
    DecodedRecord,
    Headers,
    Outcomes,
    Record,
    RejectedRecord,
    position_of,
)
from lineage.core.model.trust import Trusted, TrustTable, authorised, in_force
from lineage.plumbing.gc_pause import gc_paused

BATCH: Final = 50_000  # records in one transaction: the more, the fewer database pages are written twice
# The number of headers of a quarantined record that are kept, and the length of the name and value of each.
_HEADERS_KEPT: Final = 64
_HEADER_CHARACTERS: Final = 1_024


# Called with a committed batch, its outcomes, seconds since its first record was read, seconds of the transaction.
Committed = Callable[[Batch, Outcomes, float, float], None]


class Deleted(Protocol):
    """The records that retention deleted from a store; the log may still have them."""

    def from_(self, topic: str, partition: int, offset: int, *, limit: int) -> tuple[list[tuple[int, int, bytes]], int]:
        """Return the deleted records that follow one another from an offset on, and the offset after them.

        Each is its number, when it was recorded, and the digest of its value.
        """
        ...

    def between(self, topic: str, partition: int, first: int, following: int) -> list[tuple[int, int, bytes]]:
        """Return the deleted records from an offset on and before another."""
        ...


class ProjectionPort(Protocol):
    """The operations of a store that the projector needs."""

    def bind(self, log: bytes) -> None:
        """Bind the store to a log by its identity; raise IntegrityError if it is bound to another."""
        ...

    def positions(self) -> dict[tuple[str, int], int]:
        """The next offset to read, by topic and partition."""
        ...

    def affordable(self, most: int) -> int:
        """Return how many records the next batch may have at most."""
        ...

    def write(self, batch: Batch) -> Outcomes:
        """Write facts, sightings, quarantine and positions in one transaction."""
        ...


def project(
    log: Log,
    store: ProjectionPort,
    trust: Trusted | None,
    *,
    ends: Mapping[tuple[str, int], int] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda _records: None,
    committed: Committed = lambda _batch, _outcomes, _batch_seconds, _transaction_seconds: None,
    deleted: Deleted | None = None,
) -> int:
    """Project all records up to the current end of the log (or ``ends``).

    Another consumer may write to the same store: its batches fence off ours, and we resume from its position.

    Args:
        log: The log to read.
        store: The store to which facts and positions are written.
        trust: Provides the trust table in force.
        ends: How far to go, by topic and partition.
        stop: Called between batches; if it returns true, projection ends early.
        progress: Called after each batch with its number of records.
        committed: Called with every batch that has been committed.
        deleted: The records that are not projected again, for a rebuild.

    Returns:
        The number of records that were projected.
    """

    def project_next(place: tuple[str, int], start: int, end: int) -> tuple[int, int] | None:
        """Project the next batch; return its number of records and the offset after them, None if there are none."""
        began = time.monotonic()
        batch = Batch()
        limit = min(store.affordable(BATCH), end - start)
        records, following = _next(log, place, start, end, limit, deleted=deleted, batch=batch)
        if following == start:
            return None
        batch.advance[place] = (start, following)
        read_records(records, in_force(trust), batch)
        writing = time.monotonic()
        try:
            outcomes = store.write(batch)
        except FencedError:  # another consumer has written them: resume from its position
            return 0, store.positions().get(place, 0)
        written = time.monotonic()
        committed(batch, outcomes, written - began, written - writing)
        return len(records), following

    store.bind(log.identity)
    count = 0
    for place, end in sorted((log.ends() if ends is None else ends).items()):
        start = store.positions().get(place, 0)
        while start < end and not stop():
            # When the collector is resumed, the batch is gone: it would look at everything in it.
            with gc_paused():
                projected = project_next(place, start, end)
            if projected is None:
                break
            records, start = projected
            count += records
            progress(records)
    return count


def _next(
    log: Log, place: tuple[str, int], start: int, end: int, limit: int, *, deleted: Deleted | None, batch: Batch
) -> tuple[list[Record], int]:
    """Read the next records, and the offset after them; what was deleted goes into the batch."""
    if deleted is not None:
        gone, following = deleted.from_(*place, start, limit=limit)
        if gone:  # the log may not even begin here any more
            batch.deleted.extend(gone)
            return [], min(following, end)
    records, following = log.read(*place, start, limit=limit)
    if following > end:  # gaps in the offsets left room for records beyond the end
        following = end
        records = [record for record in records if position_of(record.number).offset < end]
    if deleted is not None and following > start:
        batch.deleted.extend(deleted.between(*place, start, following))
        numbers = {number for number, _, _ in batch.deleted}
        records = [record for record in records if record.number not in numbers]
    return records, following


def read_records(records: Iterable[Record], trust: TrustTable | None, batch: Batch) -> None:
    """Decode records into a batch: each becomes a fact or a quarantined record."""
    readable, unreadable = batch.readable, batch.unreadable
    for record in records:
        result = read_record(record, trust)
        if isinstance(result, DecodedRecord):
            readable.append(result)
        else:
            unreadable.append(result)


def read_record(record: Record, trust: TrustTable | None) -> DecodedRecord | RejectedRecord:
    """Decode a record into a fact; one that cannot be decoded becomes a quarantined record."""
    number, recorded_at, raw, headers = record
    try:
        value = _absent() if raw is None else raw
        event = codec.decode(value)
    except BadRecordError as fault:
        topic, partition, offset = position_of(number)
        origin = f"{topic}/{partition}"
        return unreadable(
            raw or b"", fault, number=number, origin=origin, place=offset, recorded_at=recorded_at, headers=headers
        )
    fact = Fact(event, recorded_at, event.is_order and position_of(number).topic == DECISIONS)
    return DecodedRecord(number, fact, value, authorised(fact, trust))


def _absent() -> NoReturn:
    raise BadRecordError("no-value", "the record has no value")


def unreadable(
    raw: bytes,
    fault: BadRecordError,
    *,
    number: int | None,
    origin: str,
    place: int,
    recorded_at: int,
    headers: Headers = (),
    sources: tuple[str, ...] | None = None,
    charged_to: str | None = None,
    columns: credentials.Columns | None = None,
) -> RejectedRecord:
    """Build a record for quarantine: the whole record except its credentials.

    Args:
        raw: The bytes of the record.
        fault: Why it cannot be decoded.
        number: Its number in the log; None if it is not a record of the log.
        origin: The file, the topic and partition, or the sender.
        place: The line or index in the file, or the offset.
        recorded_at: When it was received.
        headers: The headers of a Kafka record.
        sources: For a record received over HTTP, the sources that its sender may use.
        charged_to: Whose quota of the quarantine it counts against; None for that of the origin.
        columns: For a line of a table, which of its columns hold secrets.
    """
    value = credentials.kept(raw, columns)
    detail = credentials.scrubbed(fault.detail)
    if value != raw and fault.reason != "credential":
        detail += "; it contains a credential, " + (
            "which has been removed" if value is not None else "so the record is not kept"
        )
    return RejectedRecord(
        number=number,
        origin=credentials.scrubbed(origin),
        place=place,
        recorded_at=recorded_at,
        reason=fault.reason,
        detail=detail,
        sha256=hashlib.sha256(raw).hexdigest(),
        size=len(raw),
        value=value,
        headers=_kept(headers) if headers else None,
        sources=sources,
        charged_to=charged_to,
    )


def _kept(headers: Headers) -> bytes:
    """Encode headers for quarantine. They are untrusted, so they are bounded, and credentials are removed.

    Returns:
        A JSON list of [name, value]; bytes that are not UTF-8 are in hexadecimal. If headers were dropped, the last
        entry says how many.
    """
    kept = [[_safe(name, name.encode(errors="replace")), _safe(name, value)] for name, value in headers[:_HEADERS_KEPT]]
    if len(headers) > _HEADERS_KEPT:
        kept.append(["", f"and {len(headers) - _HEADERS_KEPT:,} more headers"])
    return json.dumps(kept, ensure_ascii=True, separators=(",", ":")).encode()


def _safe(name: str, raw: bytes) -> str:
    """The part of a header's name or value that may be stored."""
    safe = credentials.kept_under(name, raw) or b""
    try:
        text = safe.decode()
    except UnicodeDecodeError:
        text = safe.hex()
    return text[:_HEADER_CHARACTERS]
