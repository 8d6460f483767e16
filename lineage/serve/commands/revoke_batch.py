"""Revoking several targets at once: one plan with one digest, then one order for each target, all or nothing.

The orders share an incident, which is the ``txn`` of their events; the id of each is ``INCIDENT.N``, where N counts the
targets in their sorted order. They are appended to the log together.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ingest.codec import credentials, limits
from ingest.log.port import entry_of
from lineage.core.model.errors import RefusedError, UnavailableError, UnprojectedError
from lineage.core.model.events import Event, RevocationOrdered, Target
from lineage.core.model.keys import key_of
from lineage.core.model.times import Instant, format_instant
from lineage.core.revocation.batch import BatchReach
from lineage.core.revocation.reach import reach_of
from lineage.serve.commands.append import event_of
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
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.activity.uses import findings_beside_all
from lineage.serve.queries.plan_report import approvals_of
from lineage.serve.queries.service import Service, acted_by
from lineage.store.plans import claim_revocation, claimed_event, keep_plan

MOST_TARGETS: Final = 1_000


class UnknownTargetsError(RefusedError):
    """No fact names some of the targets, so nothing was revoked.

    Attributes:
        targets: ``KIND:ID`` of each of them.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        """Build the message from the targets."""
        self.targets = list(targets)
        super().__init__(f"no fact names {', '.join(targets)}; nothing was revoked, and no other target either")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """The request of a responder.

    Attributes:
        targets: What to revoke.
        order: What all the orders have in common; its target and revocation id are ignored.
        incident: The id of the incident; None to generate one.
    """

    targets: tuple[Target, ...]
    order: OrderRequest
    incident: str | None = None

    def __post_init__(self) -> None:
        """Refuse an empty list of targets, one that is too long, and an unusable id of the incident."""
        if not self.targets:
            raise RefusedError("name at least one target; nothing was revoked")
        if len(self.targets) > MOST_TARGETS:
            raise RefusedError(
                f"these are {len(self.targets):,} targets, more than {MOST_TARGETS:,}: revoke what they have in "
                "common, such as a principal, a session or a client; nothing was revoked"
            )
        if self.incident is not None and credentials.find(self.incident):
            raise RefusedError("the id of the incident is a raw credential, which must not be kept; choose another")
        if self.incident is not None and (fault := limits.fault_of_id(f"{self.incident}.{MOST_TARGETS}")):
            raise RefusedError(f"the id of the incident, with the number of an order behind it, {fault}")

    def each(self, incident: str) -> list[OrderRequest]:
        """Return the orders, sorted by target; a target that is named twice gets one order."""
        targets = sorted(set(self.targets), key=lambda one: (one.kind, one.id))
        return [
            replace(self.order, target=target, revocation=f"{incident}.{number}")
            for number, target in enumerate(targets, start=1)
        ]


def reach_batch(service: Service, request: BatchRequest) -> Document:
    """Compute what the orders would end together and store the plan by its digest.

    Raises:
        RefusedError: A target cannot be one, or no fact names it (``UnknownTargetsError``).
        UnavailableError: The log cannot be read for records that are not projected yet.
    """
    service.refuse_stale(service.face.stale)
    now = service.clock()
    reach = _reached(service, request, now)
    keep_plan(service.store, reach.plan_digest, reach.plan, now)
    return {
        **_document(service, request, reach),
        **findings_beside_all(service, request.targets, now),
        "approvals": approvals_of(service.store, reach.plan_digest, now),
    }


def plan_batch(service: Service, request: BatchRequest) -> Document:
    """Compute what the orders would end together, checking the person and the reason.

    Raises:
        RefusedError: As ``reach_batch``, or the name of the person is invalid.
        UnavailableError: As ``reach_batch``.
    """
    refuse_people(by=request.order.ordered_by, approved_by=request.order.approved_by)
    plan = reach_batch(service, request)
    return {"incident": request.incident, **plan, **_attribution(request), "executed": False}


def give_batch(service: Service, request: BatchRequest) -> Document:
    """Revoke all targets and wait until that is projected; a repeated incident is not ordered twice.

    Of a repeated incident each target says whether its order was lifted meanwhile (``lifted_at``, ``lifted_by``).

    Raises:
        DriftError: The orders are not those of the plan with the given digest, or would end what it does not list.
        OtherOrderError: The id of the incident is in use by other orders.
        RefusedError: They would end more than ``max_kills``, lack a second person, or may not be given; or no fact
            names a target (``UnknownTargetsError``). In each case nothing was ordered.
    """
    began = time.monotonic()
    refuse_people(by=request.order.ordered_by, approved_by=request.order.approved_by)
    service.catch_up()
    service.refuse_stale("nothing was revoked")
    now = service.clock()
    incident = request.incident or f"inc-{uuid.uuid4()}"
    orders = request.each(incident)
    reach = _reached(service, request, now)
    begun = request.incident is not None and _is_begun(service, orders)
    if not begun:
        refuse_drift(service, request.order, reach)
        with service.reader() as reader:
            approved_by = second_person(service, reader, request.order, reach, now)
        orders = [replace(one, approved_by=approved_by) for one in orders]
    digest = request.order.plan_digest or reach.plan_digest
    _append(service, [_event(service, one, digest, incident, now) for one in orders])
    document = _document(service, request, reach)
    lifts = [_lift(service, str(one.revocation), now) if begun else {} for one in orders]
    targets = zip(document["targets"], orders, lifts, strict=True)
    return {
        "incident": incident,
        **document,
        **_attribution(request),
        "approved_by": orders[0].approved_by,
        "executed": True,
        "targets": [{**of, "revocation": one.revocation, **lift} for of, one, lift in targets],
        "repeated": begun,
        "seconds": round(time.monotonic() - began, 6),
        "as_of": service.as_of(),
    }


def _reached(service: Service, request: BatchRequest, at: Instant) -> BatchReach:
    reaches, unknown = [], []
    with service.reader() as reader:
        for order in request.each(""):
            service.refuse_target(order.target)
            proposal = order.proposal(at)
            world = service.below(reader, proposal, unseen=order.unseen)
            if world is None:
                unknown.append(key_of(order.target.kind, order.target.id))
            else:
                reaches.append(reach_of(world, proposal, acted=acted_by(reader, order.target)))
    if unknown:
        raise UnknownTargetsError(unknown)
    return BatchReach.of(reaches)


def _is_begun(service: Service, orders: Sequence[OrderRequest]) -> bool:
    """Whether these orders are in the log already, at least in part.

    Every order is claimed before the first is appended, so an order that is neither in the log nor claimed was not part
    of the incident, and what was checked for the incident was not checked for it.

    Raises:
        OtherOrderError: Another order has the id of one of them, or the incident was ordered for fewer or more targets.
    """
    begun, added = False, []
    for order in orders:
        revocation = str(order.revocation)
        given = [one.body for one in orders_about(service, revocation).orders.with_id(revocation)]
        begun = begun or bool(given)
        for body in given:
            _refuse_other(order, body)
        if not given and claimed_event(service.store, revocation) is None:
            added.append(revocation)
    incident = str(orders[0].revocation).rpartition(".")[0]
    if begun and (added or claimed_event(service.store, f"{incident}.{len(orders) + 1}") is not None):
        raise other_order(incident, ["list of targets"])
    return begun


def _lift(service: Service, revocation: str, at: Instant) -> Document:
    return lift_document(last_lifted(orders_about(service, revocation).orders.with_id(revocation)), at)


def _refuse_other(order: OrderRequest, body: RevocationOrdered) -> None:
    if differs := differing(body, order, plan_digest=order.plan_digest):
        raise other_order(body.revocation, differs)


def _event(service: Service, order: OrderRequest, digest: str, incident: str, now: Instant) -> Event:
    """Return the event for which the order's id was claimed, so that a repetition appends a duplicate."""
    revocation = str(order.revocation)
    event = event_of(service, order.body(revocation, digest), now)._replace(txn=incident)
    claimed = service.store.decode(claim_revocation(service.store, revocation, entry_of(event).value))
    assert isinstance(claimed.body, RevocationOrdered)  # noqa: S101 (nothing else is claimed)
    _refuse_other(order, claimed.body)
    return claimed


def _append(service: Service, events: Sequence[Event]) -> None:
    service.require_log().append([entry_of(event) for event in events])
    try:
        service.catch_up()
    except UnavailableError as fault:
        raise UnprojectedError(
            f"these {len(events):,} orders stand in the log and take effect once the store can be written; "
            f"do not send them again: {fault}"
        ) from fault


def _attribution(request: BatchRequest) -> Document:
    return {"reason": request.order.reason, "ordered_by": request.order.ordered_by}


def _document(service: Service, request: BatchRequest, reach: BatchReach) -> Document:
    plan = reach.plan
    return {
        "targets": [
            {
                "target": one.plan["target"],
                "kills": one.plan["kills"],
                "already_dead": {"tokens": one.already_dead[0], "delegations": one.already_dead[1]},
                "actions": {"count": one.actions},
            }
            for one in reach.reaches
        ],
        "kills": plan["kills"],
        "shared": reach.shared,
        "agents": sorted({agent for one in reach.reaches for agent in one.agents}),
        "humans": sorted({human for one in reach.reaches for human in one.humans}),
        "survivors": [{"id": key, "why": why} for key, why in sorted(reach.survivors.items())],
        "plan_digest": reach.plan_digest,
        "mode": request.order.mode,
        "cascade": request.order.cascade,
        "issued_before": plan["issued_before"],
        "effective_at": format_instant(reach.reaches[0].proposal.at),
        "warnings": service.trust_warnings(),
        "trust": service.trust.file,
        "as_of": service.as_of(),
    }
