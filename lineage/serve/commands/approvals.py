"""Two persons for one order, where each of them is authenticated: one approves a plan, another orders by its digest.

An approval is of what the plan lists, and of nothing else: an order by that digest is refused if it would kill more. It
ends after an hour, and is kept for good with who gave it and when.
"""

from typing import Final

from lineage.core.model.errors import RefusedError
from lineage.core.model.times import SECOND, Instant, format_instant
from lineage.core.model.trust import TrustTable
from lineage.serve.commands.order_checks import is_no_second_person
from lineage.serve.documents.core_documents import Document
from lineage.store.reading.reader import Reader
from lineage.store.store import Store

APPROVED_SECONDS: Final = 60 * 60  # long enough to find the other one, too short to be forgotten


def approve(store: Store, trust: TrustTable | None, digest: str, *, approved_by: str, now: Instant) -> Document | None:
    """Approve a plan; None if no such plan is kept.

    Raises:
        RefusedError: Who approves is none whose word would count.
    """
    plan = store.plan(digest)
    if plan is None:
        return None
    with store.reader(trust=trust) as reader:
        why = is_no_second_person(reader, None, approved_by)
    if why is not None:
        raise RefusedError(f"nothing was approved: {why}")
    store.approve(digest, approved_by, now)
    return {"plan_digest": digest, "target": plan["target"], **_document(approved_by, now)}


def approvals_of(store: Store, digest: str, at: Instant) -> list[Document]:
    """The approvals of a plan that are good at a moment, one a person, the earliest first."""
    return [_document(who, when) for who, when in _good(store, digest, at)]


def approver_of(store: Store, reader: Reader, digest: str, *, by: str, at: Instant) -> str | None:
    """Who has approved a plan before somebody else orders by it, the earliest; None: nobody whose word counts."""
    good = _good(store, digest, at)
    return next((who for who, _ in good if is_no_second_person(reader, by, who) is None), None)


def _good(store: Store, digest: str, at: Instant) -> list[tuple[str, Instant]]:
    found = store.approvals(digest, after=at - APPROVED_SECONDS * SECOND, until=at)
    latest = dict(found)  # who approves again approves for longer
    return sorted(latest.items(), key=lambda item: (item[1], item[0]))


def _document(approved_by: str, approved_at: Instant) -> Document:
    return {
        "approved_by": approved_by,
        "approved_at": format_instant(approved_at),
        "expires_at": format_instant(approved_at + APPROVED_SECONDS * SECOND),
    }
