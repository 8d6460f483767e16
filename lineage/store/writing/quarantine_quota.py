"""The quota up to which the unreadable records of a source are kept whole, so that no source fills the store.

A source (a partition of the log, a caller over HTTP, a named source of foreign logs, or a file) is charged for the kept
part of its records. Once its quota is used up, only the digest and the position of a record are kept. Records of the
log are charged in the order of their partition and independently of other sources, so that a rebuild has the same
result.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.model.records import RejectedRecord
from lineage.store.database.dialects import chunks, in_array, storable, takes_turns
from lineage.store.database.tables import quarantine

RECORDS: Final = 10_000
BYTES: Final = 64 * 1024 * 1024
_OVER_QUOTA: Final = "the quota of its source is used up, so that only the digest and the place of it are kept"
_LOCKS: Final = 0x61736964  # the first half of the key of the lock for each source


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits up to which records of each source are kept whole.

    Attributes:
        records: The number of records.
        bytes: Their size in bytes, with headers and details.
    """

    records: int = RECORDS
    bytes: int = BYTES


def charged(record: RejectedRecord) -> str:
    """Return the owner of the quota that a record counts against."""
    return storable(record.charged_to or record.origin)


def size_kept(record: RejectedRecord) -> int:
    """Return how many bytes a record takes in quarantine if it is kept whole."""
    return len(record.value or b"") + len(record.headers or b"") + len(record.detail.encode(errors="replace"))


def within(
    connection: Connection, quota: Quota, records: Sequence[RejectedRecord]
) -> list[tuple[RejectedRecord, int | None]]:
    """Return records as they are stored, each with the bytes that it takes of the quota; None if it is beyond.

    Args:
        connection: The connection with the transaction that writes them.
        quota: The quota of each source.
        records: The records, in order of arrival for each source.
    """
    sources = sorted({charged(record) for record in records})
    _wait_for_turn(connection, sources)
    used = {source: _used(connection, source) for source in sources}
    stored = _stored(connection, records)
    kept: list[tuple[RejectedRecord, int | None]] = []
    for record in records:
        source, size = charged(record), size_kept(record)
        count, total = used[source]
        if (record.origin, record.place, record.sha256) in stored:
            kept.append((record, size))  # it is not written again
        elif count < quota.records and total + size <= quota.bytes:
            used[source] = count + 1, total + size
            kept.append((record, size))
        else:
            kept.append((replace(record, value=None, headers=None, sources=None, detail=_OVER_QUOTA), None))
    return kept


def sources_over_quota(connection: Connection, *, limit: int) -> list[tuple[str, int]]:
    """Return the sources with records beyond their quota, and the number for each, the largest first."""
    count = sa.func.count().label("records")
    query = (
        sa.select(quarantine.c.charged_to, count)
        .where(quarantine.c.charged_to.is_not(None), quarantine.c.kept.is_(None))
        .group_by(quarantine.c.charged_to)
        .order_by(count.desc(), quarantine.c.charged_to)
        .limit(limit)
    )
    return [(row.charged_to, row.records) for row in connection.execute(query)]


def count_beyond(connection: Connection) -> int:
    """Count the records beyond the quota of their source."""
    query = (
        sa.select(sa.func.count())
        .select_from(quarantine)
        .where(quarantine.c.charged_to.is_not(None), quarantine.c.kept.is_(None))
    )
    return int(connection.execute(query).scalar_one())


def discharge(connection: Connection, ids: Iterable[int]) -> None:
    """Release the quota of records that have become facts."""
    for part in chunks(sorted(ids)):
        connection.execute(quarantine.update().where(in_array(quarantine.c.id, part)).values(charged_to=None))


def _wait_for_turn(connection: Connection, sources: Iterable[str]) -> None:
    """Wait until no other transaction charges these sources. On SQLite there is none, since it has one writer."""
    if takes_turns(connection):
        for source in sources:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCKS, sa.func.hashtext(source))))


def _used(connection: Connection, source: str) -> tuple[int, int]:
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(quarantine.c.kept), 0)).where(
        quarantine.c.charged_to == source, quarantine.c.kept >= 0
    )
    count, total = connection.execute(query).one()
    return int(count), int(total)


def _stored(connection: Connection, records: Sequence[RejectedRecord]) -> set[tuple[str, int, str]]:
    """Find the records that are in quarantine already, such as lines of a file that is read again."""
    places: dict[str, set[int]] = {}
    for record in records:
        places.setdefault(record.origin, set()).add(record.place)
    found: set[tuple[str, int, str]] = set()
    for origin, numbers in places.items():
        for part in chunks(sorted(numbers)):
            query = sa.select(quarantine.c.place, quarantine.c.sha256).where(
                quarantine.c.origin == origin, in_array(quarantine.c.place, part)
            )
            found |= {(origin, row.place, row.sha256) for row in connection.execute(query)}
    return found
