"""Give an order: revoke or suspend a target, and wait until the order is projected.

An id chosen by the caller belongs to exactly one order, even if several callers use it at once or a process crashes:
the event is claimed before it is appended, and a process that finds the claim appends that same event, which is
harmless.
"""

import time
import uuid
from dataclasses import replace

from ingest.log.port import entry_of
from lineage.core.authority.orders import Order
from lineage.core.authority.rule import verdicts_of
from lineage.core.authority.world import World
from lineage.core.model.events import Event, RevocationOrdered
from lineage.core.model.times import Instant, format_instant
from lineage.core.revocation.reach import Reach, reach_of
from lineage.serve.commands.append import append, event_of
from lineage.serve.commands.order_request import (
    OrderRequest,
    differing,
    last_lifted,
    lift_document,
    orders_about,
    other_order,
    refuse_drift,
    refuse_people,
    second_person,
)
from lineage.serve.documents.core_documents import Document, reach_document
from lineage.serve.queries.service import Service, acted_by
from lineage.store.plans import claim_revocation, claimed_event


def give_order(service: Service, request: OrderRequest) -> Document | None:
    """Give an order and wait until it is projected; None if no fact names the target.

    A repeated order with the same chosen id is not given twice: its effects are evaluated again. If it was lifted
    meanwhile, the document says so (``lifted_at``, ``lifted_by``).

    Raises:
        DriftError: Its target, mode, ``cascade`` or ``issued_before`` differ from the plan with the given digest, or
            it would end what the plan does not list.
        RefusedError: It would end more than ``max_kills``, lacks a second person, or may not be given.
    """
    began = time.monotonic()
    service.refuse_target(request.target)
    refuse_people(by=request.ordered_by, approved_by=request.approved_by)
    service.catch_up()  # the log may contain more elements that would be killed
    given = _given(service, request)
    if given is not None:
        return _again(service, request, given, began)
    claimed = _claimed(service, request)
    now = service.clock() if claimed is None else claimed.occurred_at
    proposal = request.proposal(now)
    service.refuse_stale("nothing was ordered")
    with service.reader() as reader:
        world = service.below(reader, proposal, unseen=request.unseen)
        if world is None:
            return None
        reach = reach_of(world, proposal, acted=acted_by(reader, proposal.target))
        refuse_drift(service, request, reach)
        request = replace(request, approved_by=second_person(service, reader, request, reach, now))
    revocation = request.revocation or f"rev-{uuid.uuid4()}"
    event = claimed or event_of(service, request.body(revocation, request.plan_digest or reach.plan_digest), now)
    if request.revocation is not None and claimed is None and not _claim(service, revocation, event):
        return give_order(service, request)  # another caller claimed this id first: return its order
    given_at = append(service, event).given_at
    if claimed is not None and (given := _given(service, request)) is not None:
        return _again(service, request, given, began)
    if request.effective_at is None:  # effective from when it was given, which may be earlier by the log
        reach = replace(reach, proposal=replace(proposal, at=given_at))
    return _ordered(service, request, revocation, world, reach, began=began, given_at=given_at, repeated=False)


def _claim(service: Service, revocation: str, event: Event) -> bool:
    value = entry_of(event).value
    return claim_revocation(service.store, revocation, value) == value


def _claimed(service: Service, request: OrderRequest) -> Event | None:
    """Return the claimed order of the id that has not reached the log yet, or None.

    Raises:
        OtherOrderError: It is a different order.
    """
    value = None if request.revocation is None else claimed_event(service.store, request.revocation)
    if value is None:
        return None
    event = service.store.decode(value)
    assert isinstance(event.body, RevocationOrdered)  # noqa: S101 (nothing else is claimed)
    if differs := differing(event.body, request, plan_digest=request.plan_digest):
        raise other_order(event.body.revocation, differs)
    return event


def _ordered(
    service: Service,
    request: OrderRequest,
    revocation: str,
    world: World,
    reach: Reach,
    *,
    began: float,
    given_at: Instant,
    repeated: bool,
) -> Document:
    return {
        "revocation": revocation,
        **reach_document(world, reach),
        "mode": request.mode,
        "reason": request.reason,
        "ordered_by": request.ordered_by,
        "approved_by": request.approved_by,
        "effective_at": format_instant(reach.proposal.at),
        "executed": True,
        "repeated": repeated,
        "warnings": [*reach.proposal.warnings(given_at), *service.trust_warnings()],
        "seconds": round(time.monotonic() - began, 6),
        "trust": service.trust.file,
        "as_of": service.as_of(),
    }


def _given(service: Service, request: OrderRequest) -> Order | None:
    """Return the order already given under the id, or None; of several equal ones that which is lifted last, if at all.

    Raises:
        OtherOrderError: It is a different order.
    """
    if request.revocation is None:
        return None
    orders = orders_about(service, request.revocation).orders.with_id(request.revocation)
    differences_of = [differing(order.body, request) for order in orders]
    if equal := [order for order, differs in zip(orders, differences_of, strict=True) if not differs]:
        return last_lifted(equal)
    if orders:
        raise other_order(request.revocation, differences_of[0])
    return None


def _again(service: Service, request: OrderRequest, order: Order, began: float) -> Document:
    """Evaluate an order that was given before, as if it were not in force, and report its effects."""
    request = replace(request, approved_by=order.body.approved_by)
    proposal = replace(request.proposal(order.given_at), at=order.effective_at)
    with service.reader() as reader:
        world = service.below(reader, proposal, unseen=True)
        acted = acted_by(reader, proposal.target)
    assert world is not None  # noqa: S101 (the target may be unseen)
    everything, world.orders = world.orders, world.orders.without(order.body.revocation)
    reach = reach_of(world, proposal, acted=acted)
    world.orders = everything
    now = service.clock()
    states = verdicts_of(world, reach.kills, max(now, order.effective_at))
    dead = {key for key, verdict in states.items() if verdict.because is not None}
    lift = lift_document(order, now)
    if lift and (order.suspends or not order.takes_effect):
        dead = set()  # what is dead is so because of other orders
    reach = replace(
        reach,
        tokens=tuple(id_ for id_ in reach.tokens if f"token:{id_}" in dead),
        delegations=tuple(id_ for id_ in reach.delegations if f"delegation:{id_}" in dead),
    )
    document = _ordered(
        service, request, order.body.revocation, world, reach, began=began, given_at=order.given_at, repeated=True
    )
    return {**document, **lift}
