"""Approvals of plans that are good at a moment: who may be the second person of an order by the plan's digest.

An approval is of what the plan lists, and of nothing else. It ends after an hour.
"""

from typing import Final

from lineage.core.model.times import SECOND, Instant, format_instant
from lineage.serve.documents.core_documents import Document
from lineage.store.store import Store

APPROVED_SECONDS: Final = 60 * 60  # long enough to find the other person, too short to be forgotten


def approvals_of(store: Store, digest: str, at: Instant) -> list[Document]:
    """The approvals of a plan that are good at a moment, one a person, the earliest first."""
    return [approval_document(who, when) for who, when in good_approvals(store, digest, at)]


def good_approvals(store: Store, digest: str, at: Instant) -> list[tuple[str, Instant]]:
    """Who approved a plan and when, as far as it is good at a moment, the earliest first."""
    found = store.approvals(digest, after=at - APPROVED_SECONDS * SECOND, until=at)
    latest = dict(found)  # a second approval by the same person extends the first
    return sorted(latest.items(), key=lambda item: (item[1], item[0]))


def approval_document(approved_by: str, approved_at: Instant) -> Document:
    """One approval as a document."""
    return {
        "approved_by": approved_by,
        "approved_at": format_instant(approved_at),
        "expires_at": format_instant(approved_at + APPROVED_SECONDS * SECOND),
    }
