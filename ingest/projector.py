"""The projector: from the log into the store, a batch at a time.

A batch of records becomes facts, sightings and quarantine together with the positions, in one transaction of the store;
so after any crash the projection is exactly what the positions say, and reading on from there loses nothing and
repeats nothing.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from ingest import codec, credentials
from ingest.log import Log
from lineage.core.collector import collector_put_off
from lineage.core.errors import BadRecordError, FencedError
from lineage.core.events import Fact
from lineage.core.records import DECISIONS, Batch, Readable, Record, Unreadable, position_of
from lineage.core.trust import TrustTable, authorised

BATCH: Final = 50_000  # records in one transaction: the larger, the fewer pages are written twice


class Projection(Protocol):
    """What the projector needs of a store."""

    def bind(self, log: bytes) -> None:
        """Refuse to go on if another log than this was projected here."""
        ...

    def positions(self) -> dict[tuple[str, int], int]:
        """The offset that comes next, by topic and partition."""
        ...

    def write(self, batch: Batch) -> None:
        """Write facts, sightings, quarantine and positions in one transaction."""
        ...


def project(
    log: Log,
    store: Projection,
    trust: TrustTable | None,
    *,
    ends: Mapping[tuple[str, int], int] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], None] = lambda _records: None,
) -> int:
    """Project everything up to the end that the log has now (or ``ends``), or until ``stop`` says so between batches.

    Another consumer on the same store is no harm: its batches fence ours, and we read on from where it is.

    Returns:
        How many records were projected.
    """
    store.bind(log.identity)
    count = 0
    for place, end in sorted((log.ends() if ends is None else ends).items()):
        start = store.positions().get(place, 0)
        while start < end and not stop():
            with collector_put_off():
                batch = _next_batch(log, trust, place, start, end)
                if batch is None:
                    break
                try:
                    store.write(batch)
                except FencedError:  # another consumer was quicker: go on from where it is
                    start = store.positions().get(place, 0)
                    continue
            following = batch.advance[place][1]
            count += following - start
            progress(following - start)
            start = following
    return count


def _next_batch(log: Log, trust: TrustTable | None, place: tuple[str, int], start: int, end: int) -> Batch | None:
    records = log.read(*place, start, limit=min(BATCH, end - start))
    if not records:
        return None
    batch = Batch(advance={place: (start, position_of(records[-1].number).offset + 1)})
    for record in records:
        result = read_record(record, trust)
        if isinstance(result, Readable):
            batch.readable.append(result)
        else:
            batch.unreadable.append(result)
    return batch


def read_record(record: Record, trust: TrustTable | None) -> Readable | Unreadable:
    """A record as a fact, or as a row for quarantine."""
    number, recorded_at, value = record
    try:
        event = codec.decode(value)
    except BadRecordError as fault:
        topic, partition, offset = position_of(number)
        origin = f"{topic}/{partition}"
        return unreadable(value, fault, number=number, origin=origin, place=offset, recorded_at=recorded_at)
    fact = Fact(event, recorded_at, misrouted=event.is_order and position_of(number).topic == DECISIONS)
    return Readable(number, fact, value, authorised(fact, trust))


def unreadable(
    raw: bytes, fault: BadRecordError, *, number: int | None, origin: str, place: int, recorded_at: int
) -> Unreadable:
    """A row for quarantine: the record whole, but a raw credential only as its digest."""
    # A credential that is spelled with escapes cannot be cut out: of such a record only the digest may be kept.
    value = None if credentials.hides_credential(raw) else credentials.redact(raw)
    return Unreadable(
        number=number,
        origin=origin,
        place=place,
        recorded_at=recorded_at,
        reason=fault.reason,
        detail=fault.detail,
        sha256=hashlib.sha256(raw).hexdigest(),
        size=len(raw),
        value=value,
    )
