"""The projector: from the log into the store, a batch at a time.

A batch of records becomes facts, sightings and quarantine together with the positions, in one transaction of the store;
so after any crash the projection is exactly what the positions say, and reading on from there loses nothing and
repeats nothing.
"""

import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol

from ingest import codec, credentials
from ingest.log import Log
from lineage.core.errors import BadRecordError, FencedError
from lineage.core.events import Fact
from lineage.core.records import DECISIONS, Batch, Readable, Record, Unreadable
from lineage.core.trust import TrustTable, authorised

BATCH: Final = 20_000  # records in one transaction: large enough that the disk's flush does not count


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
        while not stop():
            start = store.positions().get(place, 0)
            if start >= end:
                break
            with _no_collection():
                records = log.read(*place, start, limit=min(BATCH, end - start))
                if not records:
                    break
                try:
                    store.write(batch_of(records, place, start, trust))
                except FencedError:
                    continue
            count += len(records)
            progress(len(records))
    return count


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the garbage collector: a batch is many values and no cycle, and looking for one costs a third again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def batch_of(records: list[Record], place: tuple[str, int], start: int, trust: TrustTable | None) -> Batch:
    """The batch of some records that follow one another in one partition."""
    batch = Batch(advance={place: (start, records[-1].position.offset + 1)})
    for record in records:
        result = read_record(record, trust)
        if isinstance(result, Readable):
            batch.readable.append(result)
        else:
            batch.unreadable.append(result)
    return batch


def read_record(record: Record, trust: TrustTable | None) -> Readable | Unreadable:
    """A record as a fact, or as a row for quarantine."""
    topic, partition, offset = record.position
    try:
        event = codec.decode(record.value)
    except BadRecordError as fault:
        return unreadable(
            record.value,
            fault,
            number=record.position.number,
            origin=f"{topic}/{partition}",
            place=offset,
            recorded_at=record.recorded_at,
        )
    fact = Fact(event, record.recorded_at, misrouted=event.is_order and topic == DECISIONS)
    return Readable(record.position.number, fact, record.value, authorised(fact, trust))


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
