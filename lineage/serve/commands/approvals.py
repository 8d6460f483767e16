"""The four-eyes rule: one authenticated person approves a plan, another orders by its digest.

An order by that digest is refused if it would end more than the plan lists. Every approval is stored permanently with
its time and person.
"""

from lineage.core.model.errors import RefusedError
from lineage.core.model.times import Instant
from lineage.serve.commands.order_checks import is_no_second_person
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.approvals import approval_document, good_approvals
from lineage.serve.queries.service import Service
from lineage.store.reading.reader import Reader


def approve(service: Service, digest: str, *, approved_by: str) -> Document | None:
    """Approve a plan; None if no such plan is stored.

    Raises:
        RefusedError: This person may not be the second person of any order.
    """
    plan, now = service.stored_plan(digest), service.clock()
    if plan is None:
        return None
    with service.reader() as reader:
        why = is_no_second_person(reader, None, approved_by)
    if why is not None:
        raise RefusedError(f"nothing was approved: {why}")
    service.store.approve(digest, approved_by, now)
    return {"plan_digest": digest, "target": plan["target"], **approval_document(approved_by, now)}


def approver_of(service: Service, reader: Reader, digest: str, *, by: str, at: Instant) -> str | None:
    """Return the first approver of a plan who may be the second person of an order by someone.

    None if there is none.
    """
    good = good_approvals(service.store, digest, at)
    return next((who for who, _ in good if is_no_second_person(reader, by, who) is None), None)
