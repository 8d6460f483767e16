"""Stored plans of revocations, who approved them, and which event claimed the id of a revocation."""

import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from lineage.core.model.events import canonical_json
from lineage.core.model.times import SECOND, Instant
from lineage.store.database.dialects import add_missing, storable, writing
from lineage.store.database.tables import approval, claim, plan
from lineage.store.store import Store

APPROVED_SECONDS: Final = 60 * 60  # long enough to find the other person, too short to be forgotten


def stored_plan(store: Store, digest: str) -> dict[str, Any] | None:
    """Return the stored plan with a digest; None if there is none."""
    with store.connection() as connection:
        found = connection.execute(sa.select(plan.c.document).where(plan.c.digest == storable(digest))).scalar()
    return None if found is None else dict(json.loads(zlib.decompress(found)))


def keep_plan(store: Store, digest: str, document: Mapping[str, Any], made_at: Instant) -> None:
    """Store a plan by its digest; if it is stored already, its first time is kept."""
    with store.connection() as connection:
        if connection.execute(sa.select(plan.c.digest).where(plan.c.digest == digest)).first():
            return
    with writing(store.engine) as connection:
        add_missing(connection, plan, [(digest, made_at, zlib.compress(canonical_json(document)))])


def add_approval(store: Store, digest: str, approved_by: str, approved_at: Instant) -> None:
    """Record the approval of a plan."""
    row = {"plan": storable(digest), "approved_by": storable(approved_by), "approved_at": approved_at}
    with writing(store.engine) as connection:
        connection.execute(approval.insert(), [row])


def valid_approvals(store: Store, digest: str, at: Instant) -> list[tuple[str, Instant]]:
    """Return who approved a plan and when, as far as that is valid at an instant, earliest first.

    An approval covers exactly what the plan lists and expires after an hour. A second one by the same person extends
    the first.
    """
    query = (
        sa.select(approval.c.approved_by, approval.c.approved_at)
        .where(approval.c.plan == storable(digest))
        .where(approval.c.approved_at > at - APPROVED_SECONDS * SECOND, approval.c.approved_at <= at)
        .order_by(approval.c.approved_at, approval.c.id)
    )
    with store.connection() as connection:
        latest = {row.approved_by: row.approved_at for row in connection.execute(query)}
    return sorted(latest.items(), key=lambda item: (item[1], item[0]))


def claim_revocation(store: Store, revocation: str, value: bytes) -> bytes:
    """Claim the id of a revocation for an event.

    Returns:
        The event that claimed the id first: ``value``, or an earlier one.
    """
    with writing(store.engine) as connection:
        add_missing(connection, claim, [(storable(revocation), value)])
    return claimed_event(store, revocation) or value


def claimed_event(store: Store, revocation: str) -> bytes | None:
    """Return the event that claimed the id of a revocation; None if there is none."""
    with store.connection() as connection:
        query = sa.select(claim.c.value).where(claim.c.revocation == storable(revocation))
        return connection.execute(query).scalar()
