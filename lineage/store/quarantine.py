"""Read the quarantine: the records that could not be read, by source, and those beyond the quota of their source."""

import json
from typing import NamedTuple

import sqlalchemy as sa

from lineage.core.model.records import RejectedRecord
from lineage.core.model.times import Instant
from lineage.store.database.tables import quarantine, release
from lineage.store.store import Store
from lineage.store.writing.quarantine_quota import count_beyond, sources_over_quota


class Quarantined(NamedTuple):
    """A record in quarantine."""

    id: int
    record: RejectedRecord
    released_at: Instant | None


def quarantined(store: Store, *, waiting: bool = True, after: int = 0, limit: int | None = None) -> list[Quarantined]:
    """Return records in quarantine, ordered by id; with ``waiting`` only those that have not been released."""
    query = (
        sa.select(quarantine, release.c.released_at)
        .outerjoin(release, release.c.quarantine == quarantine.c.id)
        .where(quarantine.c.id > after)
        .order_by(quarantine.c.id)
        .limit(limit)
    )
    if waiting:
        query = query.where(release.c.quarantine.is_(None))
    with store.connection() as connection:
        return [
            Quarantined(
                row.id,
                RejectedRecord(
                    number=row.n,
                    origin=row.origin,
                    place=row.place,
                    recorded_at=row.recorded_at,
                    reason=row.reason,
                    detail=row.detail,
                    sha256=row.sha256,
                    size=row.size,
                    value=row.value,
                    headers=row.headers,
                    sources=None if row.sources is None else tuple(json.loads(row.sources)),
                    charged_to=row.charged_to,
                    beyond_quota=row.kept is None,
                ),
                row.released_at,
            )
            for row in connection.execute(query)
        ]


def count_quarantined(store: Store) -> int:
    """Count the records in quarantine that have not been released."""
    query = (
        sa.select(sa.func.count())
        .select_from(quarantine)
        .where(quarantine.c.id.not_in(sa.select(release.c.quarantine)))
    )
    with store.connection() as connection:
        return int(connection.execute(query).scalar_one())


def count_quarantined_holding(store: Store, text: str) -> int:
    """Count the unreleased records in quarantine whose bytes contain a text."""
    needle = sa.literal(text.encode(errors="surrogateescape"), sa.LargeBinary)
    waiting = quarantine.c.id.not_in(sa.select(release.c.quarantine))
    with store.connection() as connection:
        place = (
            sa.func.instr(quarantine.c.value, needle)
            if connection.dialect.name == "sqlite"
            else sa.func.position(needle.op("IN")(quarantine.c.value))
        )
        query = sa.select(sa.func.count()).select_from(quarantine).where(waiting, place > 0)
        return int(connection.execute(query).scalar_one())


def count_beyond_quota(store: Store) -> int:
    """Count the records in quarantine of which only the digest and the position are kept."""
    with store.connection() as connection:
        return count_beyond(connection)


def beyond_quota(store: Store, *, limit: int) -> list[tuple[str, int]]:
    """Return the sources with such records, and their number, the largest first."""
    with store.connection() as connection:
        return sources_over_quota(connection, limit=limit)


def credentials_sent(store: Store, *, until: Instant | None = None) -> list[tuple[str, int, Instant, Instant]]:
    """Count the records refused for a raw credential, by source, with the times of the first and the last.

    Args:
        until: Only those received by then; None for all.
    """
    source = sa.func.coalesce(quarantine.c.charged_to, quarantine.c.origin)
    came = quarantine.c.recorded_at
    query = (
        sa.select(source, sa.func.count(), sa.func.min(came), sa.func.max(came))
        .where(quarantine.c.reason == "credential", sa.true() if until is None else came <= until)
        .group_by(source)
        .order_by(source)
    )
    with store.connection() as connection:
        return [tuple(row) for row in connection.execute(query)]
