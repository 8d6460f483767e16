"""The projector: from the log into the store, a batch at a time.

A batch of records becomes facts, sightings and quarantine together with the positions, in one transaction of the store;
so after any crash the projection is exactly what the positions say, and reading on from there loses nothing and
repeats nothing.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from ingest.codec import api as codec
from ingest.codec import credentials
from ingest.log.port import Log
from lineage.core.model.errors import BadRecordError, FencedError
from lineage.core.model.events import Fact
from lineage.core.model.records import DECISIONS, Batch, Headers, Outcomes, Readable, Record, Unreadable, position_of
from lineage.core.model.trust import Trusted, TrustTable, authorised, in_force
from lineage.plumbing.gc_pause import collector_put_off

BATCH: Final = 50_000  # records in one transaction: the larger, the fewer pages are written twice
# Of a record in quarantine so many headers are kept, and so much of the name and the value of each.
_HEADERS_KEPT: Final = 64
_HEADER_CHARACTERS: Final = 1_024


# A batch that is in the store, what became of it, seconds since its first record was read, seconds of the transaction.
Committed = Callable[[Batch, Outcomes, float, float], None]


class Projection(Protocol):
    """What the projector needs of a store."""

    def bind(self, log: bytes) -> None:
        """Refuse to go on if another log than this was projected here."""
        ...

    def positions(self) -> dict[tuple[str, int], int]:
        """The offset that comes next, by topic and partition."""
        ...

    def write(self, batch: Batch) -> Outcomes:
        """Write facts, sightings, quarantine and positions in one transaction."""
        ...


def project(
    log: Log,
    store: Projection,
    trust: Trusted | None,
    *,
    ends: Mapping[tuple[str, int], int] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda _records: None,
    committed: Committed = lambda _batch, _outcomes, _batch_seconds, _transaction_seconds: None,
) -> int:
    """Project everything up to the end that the log has now (or ``ends``), or until ``stop`` says so between batches.

    Another consumer on the same store is no harm: its batches fence ours, and we read on from where it is.

    Args:
        log: Where records come from.
        store: Where facts and positions go.
        trust: Says which trust table is in force.
        ends: How far to go, by topic and partition.
        stop: Asked between batches.
        progress: Told after each batch how many records it had.
        committed: Given every batch that is in the store.

    Returns:
        How many records were projected.
    """
    store.bind(log.identity)
    count = 0
    for place, end in sorted((log.ends() if ends is None else ends).items()):
        start = store.positions().get(place, 0)
        while start < end and not stop():
            with collector_put_off():
                began = time.monotonic()
                records, following = log.read(*place, start, limit=min(BATCH, end - start))
                if following == start:
                    break
                if following > end:  # offsets that the log leaves out made room for records beyond
                    following = end
                    records = [record for record in records if position_of(record.number).offset < end]
                batch = Batch(advance={place: (start, following)})
                read_records(records, in_force(trust), batch)
                writing = time.monotonic()
                try:
                    outcomes = store.write(batch)
                except FencedError:  # another consumer was quicker: go on from where it is
                    start = store.positions().get(place, 0)
                    continue
                written = time.monotonic()
            committed(batch, outcomes, written - began, written - writing)
            count += len(records)
            progress(len(records))
            start = following
    return count


def read_records(records: Iterable[Record], trust: TrustTable | None, batch: Batch) -> None:
    """Read records into a batch: each becomes a fact, or a row for quarantine."""
    readable, unreadable = batch.readable, batch.unreadable
    for record in records:
        result = read_record(record, trust)
        if isinstance(result, Readable):
            readable.append(result)
        else:
            unreadable.append(result)


def read_record(record: Record, trust: TrustTable | None) -> Readable | Unreadable:
    """A record as a fact, or as a row for quarantine."""
    number, recorded_at, raw, headers = record
    try:
        value = _present(raw)
        event = codec.decode(value)
    except BadRecordError as fault:
        topic, partition, offset = position_of(number)
        origin = f"{topic}/{partition}"
        return unreadable(
            raw or b"", fault, number=number, origin=origin, place=offset, recorded_at=recorded_at, headers=headers
        )
    fact = Fact(event, recorded_at, misrouted=event.is_order and position_of(number).topic == DECISIONS)
    return Readable(number, fact, value, authorised(fact, trust))


def _present(value: bytes | None) -> bytes:
    if value is None:
        raise BadRecordError("no-value", "the record has no value")
    return value


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
    columns: credentials.Columns | None = None,
) -> Unreadable:
    """A row for quarantine: the record whole, but for its credentials.

    Args:
        raw: The record as it came.
        fault: Why it cannot be read.
        number: Its place in the log, if it is a record of the log.
        origin: The file, the topic and partition, or who sent it.
        place: The line or index in the file, or the offset.
        recorded_at: When it was taken.
        headers: Those of a record of Kafka.
        sources: Of a record that came over HTTP, the sources that its sender may use.
        columns: Of a line of a table, which of its columns hold secrets.
    """
    value = credentials.kept(raw, columns)
    detail = credentials.scrubbed(fault.detail)
    if value != raw and fault.reason != "credential":
        detail += "; it holds a credential, " + ("of which no byte is kept" if value is not None else "and is not kept")
    return Unreadable(
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
    )


def _kept(headers: Headers) -> bytes:
    """Headers as they are kept: what stands in them is anybody's, so they are bounded, and the digests of credentials.

    A list of [name, value] as JSON; what is no text is in hexadecimal. Of what is cut off the number is told.
    """
    kept = [[_safe(name, name.encode(errors="replace")), _safe(name, value)] for name, value in headers[:_HEADERS_KEPT]]
    if len(headers) > _HEADERS_KEPT:
        kept.append(["", f"and {len(headers) - _HEADERS_KEPT:,} more headers"])
    return json.dumps(kept, ensure_ascii=True, separators=(",", ":")).encode()


def _safe(name: str, raw: bytes) -> str:
    """What may be kept of the name or the value of a header."""
    safe = credentials.kept_under(name, raw) or b""
    try:
        text = safe.decode()
    except UnicodeDecodeError:
        text = safe.hex()
    return text[:_HEADER_CHARACTERS]
