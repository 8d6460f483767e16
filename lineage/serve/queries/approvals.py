"""Valid approvals of plans: who may be the second person of an order by the plan's digest.

An approval covers exactly what the plan lists. It expires after an hour.
"""

from typing import Final

from lineage.core.model.times import SECOND, Instant, format_instant
from lineage.serve.documents.core_documents import Document
from lineage.store.plans import plan_approvals
from lineage.store.store import Store

APPROVED_SECONDS: Final = 60 * 60  # long enough to find the other person, too short to be forgotten


def approvals_of(store: Store, digest: str, at: Instant) -> list[Document]:
    """List the approvals of a plan that are valid at an instant, one per person, earliest first."""
    return [approval_document(who, when) for who, when in good_approvals(store, digest, at)]


def good_approvals(store: Store, digest: str, at: Instant) -> list[tuple[str, Instant]]:
    """Return who approved a plan and when, as far as valid at an instant, earliest first."""
    found = plan_approvals(store, digest, after=at - APPROVED_SECONDS * SECOND, until=at)
    latest = dict(found)  # a second approval by the same person extends the first
    return sorted(latest.items(), key=lambda item: (item[1], item[0]))


def approval_document(approved_by: str, approved_at: Instant) -> Document:
    """Convert one approval."""
    return {
        "approved_by": approved_by,
        "approved_at": format_instant(approved_at),
        "expires_at": format_instant(approved_at + APPROVED_SECONDS * SECOND),
    }
