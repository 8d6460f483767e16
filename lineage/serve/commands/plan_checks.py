"""Checks of an order, or of several at once, against the plan that was reviewed and approved."""

from lineage.core.model.errors import DriftError, RefusedError
from lineage.core.model.times import Instant
from lineage.core.revocation.batch import BatchReach
from lineage.core.revocation.reach import Reach, differences
from lineage.serve.commands.approvals import approver_of
from lineage.serve.commands.order_checks import refuse_one_person
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.queries.service import Service
from lineage.store.reading.reader import Reader


def refuse_drift(service: Service, request: OrderRequest, reach: Reach | BatchReach) -> None:
    """Refuse an order that differs from the plan with its digest, or, without a digest, would end too much.

    Raises:
        DriftError: The plan is of another order, or does not list everything that this one would end.
        RefusedError: Without a digest: it would end more than ``max_kills``.
    """
    kills, digest = reach.kills, request.plan_digest
    would_kill = f"the {'order' if isinstance(reach, Reach) else 'orders'} would kill"
    if digest is None:
        if len(kills) > request.max_kills:
            more = service.face.without_plan.format(most=request.max_kills, digest=reach.plan_digest)
            raise RefusedError(f"{would_kill} {len(kills):,} elements, more than {more}")
        return
    if digest == reach.plan_digest:
        return
    now = f"nothing was ordered. The plan as of now is {reach.plan_digest}"
    plan = service.stored_plan(digest)
    if plan is None:
        raise DriftError(
            f"the plan {digest} is not stored here, so it lists nothing: {would_kill} {len(kills):,} more; {now}",
            sorted(kills),
        )
    listed = {f"token:{id_}" for id_ in plan["kills"]["tokens"]}
    listed |= {f"delegation:{id_}" for id_ in plan["kills"]["delegations"]}
    unlisted = sorted(kills - listed)
    if differs := differences(plan, reach.plan):
        what = " and ".join(differs)
        raise DriftError(f"the plan {digest} belongs to an order with another {what}; {now}", unlisted, differs)
    if unlisted:
        raise DriftError(f"the plan {digest} has drifted: {would_kill} {len(unlisted):,} more; {now}", unlisted)


def second_person(
    service: Service, reader: Reader, request: OrderRequest, reach: Reach | BatchReach, at: Instant
) -> str | None:
    """Return the second person, who approved the plan or is named in the request; None if there is none.

    Raises:
        RefusedError: The order needs one (``four_eyes``), and there is none, or it is not another person.
    """
    approved_by = _approver(service, reader, request, reach, at) if request.by_approval else request.approved_by
    if request.four_eyes is not None and len(reach.kills) > request.four_eyes:
        words = {"one_person": service.face.one_person, "remedy": service.face.second_orders}
        refuse_one_person(reader, len(reach.kills), request.four_eyes, request.ordered_by, approved_by, **words)
    return approved_by


def _approver(
    service: Service, reader: Reader, request: OrderRequest, reach: Reach | BatchReach, at: Instant
) -> str | None:
    """Return the approver of the plan; None if there is none, or the plan is of another order."""
    digest = request.plan_digest
    plan = None if digest is None else service.stored_plan(digest)
    if digest is None or plan is None or differences(plan, reach.plan):
        return None
    return approver_of(service, reader, digest, by=request.ordered_by, at=at)
