"""An order as requested by a responder, and the checks before an order or a lift is given.

Who gives it, the second person, the plan that was approved, and an order that was given under the same id.

The four-eyes rule: one authenticated person approves a plan, another orders by its digest. An order by that digest is
refused if it would end more than the plan lists. Every approval is stored permanently with its time and person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ingest.codec import credentials, limits
from lineage.core.authority.orders import Order
from lineage.core.authority.world import World
from lineage.core.model.errors import DriftError, OtherOrderError, RefusedError
from lineage.core.model.events import RevocationLifted, RevocationOrdered, Target
from lineage.core.model.times import NEVER, Instant, format_instant
from lineage.core.revocation.batch import BatchReach
from lineage.core.revocation.reach import Proposal, Reach, differences
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.plan_report import approval_document
from lineage.serve.queries.service import Service
from lineage.store.plans import add_approval, valid_approvals
from lineage.store.reading.reader import Reader

MAX_KILLS: Final = 1_000  # the default limit of an order without a plan's digest


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """An order as requested by a responder; ``proposal`` describes what it hits."""

    target: Target
    reason: str
    ordered_by: str
    mode: str = "revoke"
    cascade: bool = True
    issued_before: Instant | None = None
    effective_at: Instant | None = None
    note: str | None = None
    approved_by: str | None = None
    revocation: str | None = None
    plan_digest: str | None = None
    max_kills: int = MAX_KILLS
    four_eyes: int | None = None
    unseen: bool = False
    by_approval: bool = False  # the second person is the approver of the plan and cannot be named

    def proposal(self, given_at: Instant) -> Proposal:
        """Build the order as it would be given at an instant."""
        return Proposal(
            target=self.target,
            at=given_at if self.effective_at is None else self.effective_at,
            mode=self.mode,
            issued_before=self.issued_before,
            cascade=self.cascade,
        )

    def body(self, revocation: str, plan_digest: str | None) -> RevocationOrdered:
        """Build the body of the order's event."""
        return RevocationOrdered(
            revocation=revocation,
            target=self.target,
            reason=self.reason,
            ordered_by=self.ordered_by,
            mode=self.mode,
            cascade=self.cascade,
            effective_at=self.effective_at,
            issued_before=self.issued_before,
            note=self.note,
            approved_by=self.approved_by,
            plan_digest=plan_digest,
        )


def differing(order: RevocationOrdered, request: OrderRequest, *, plan_digest: str | None = None) -> list[str]:
    """List the fields in which a request differs from an order; the plan's digest only counts if one is given."""
    requested = request.body(order.revocation, plan_digest or order.plan_digest)
    if request.by_approval:  # the caller decides neither the approver nor whether the approval is still valid
        requested = requested._replace(approved_by=order.approved_by)
    return [name for name, value in requested._asdict().items() if value != getattr(order, name)]


def other_order(revocation: str, differs: list[str]) -> OtherOrderError:
    """Build the error for an id already used by an order that differs in some fields."""
    return OtherOrderError(
        f"the id {revocation} belongs to another order, with another {' and '.join(differs)}; nothing was ordered. "
        "Give this order a different id"
    )


def refuse_people(*, by: str, approved_by: str | None) -> None:
    """Refuse invalid names of the person who orders or approves.

    Raises:
        RefusedError: The name is blank, has spaces around it, or is a raw credential.
    """
    for option, id_ in (("--by", by), ("--approved-by", approved_by)):
        if id_ is None:
            continue
        if credentials.find(id_):
            raise RefusedError(f"{option} is a raw credential, which must not be kept; name the person by an id")
        if fault := limits.fault_of_id(id_):
            raise RefusedError(f"the id of {option} {fault}")


def refuse_one_person(
    reader: Reader,
    elements: int,
    four_eyes: int,
    by: str,
    approved_by: str | None,
    *,
    one_person: str,
    remedy: str,
) -> None:
    """Refuse one person above a number of elements; aliases are one person, and an agent is none."""
    most = one_person.format(most=four_eyes)
    why = f"this concerns {elements:,} elements, more than {most}, and needs a second person: "
    fault = remedy if approved_by is None else is_no_second_person(reader, by, approved_by)
    if fault is not None:
        raise RefusedError(f"{why}{fault}")


def is_no_second_person(reader: Reader, by: str | None, approved_by: str) -> str | None:
    """Explain why ``approved_by`` may not approve for ``by`` (or for anyone, if None); None if they may."""
    world = reader.world()
    for id_ in filter(None, (by, approved_by)):
        reader.load_name(world, f"principal:{id_}")
    if by is not None and world.principals.same(by, approved_by):
        return f"{approved_by} is {by}"
    kind = world.principals.kind(approved_by)
    return None if kind in ("human", "unknown") else f"{approved_by} is of kind {kind}"


def orders_about(service: Service, revocation: str) -> World:
    """Load what is known about the orders and lifts of an id."""
    with service.reader() as reader:
        world = reader.world()
        reader.load_about(world, [f"revocation:{revocation}"])
    return world


def last_lifted(orders: Sequence[Order]) -> Order:
    """Return the one of several equal orders that is lifted last, or the first that is not lifted."""
    return max(orders, key=lambda order: order.lifted_at if order.is_lifted else NEVER)


def lift_document(order: Order, at: Instant) -> Document:
    """Return when and by whom an order was lifted; empty if it may be in force at an instant or later."""
    if order.lift is None or not order.is_over(at):
        return {}
    lift = order.lift.event.body
    assert isinstance(lift, RevocationLifted)  # noqa: S101 (nothing else is indexed as a lift)
    return {"lifted_at": format_instant(order.lifted_at), "lifted_by": lift.lifted_by}


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


def approver_of(service: Service, reader: Reader, digest: str, *, by: str, at: Instant) -> str | None:
    """Return the first approver of a plan who may be the second person of an order by someone.

    None if there is none.
    """
    valid = valid_approvals(service.store, digest, at)
    return next((who for who, _ in valid if is_no_second_person(reader, by, who) is None), None)


def approve_plan(service: Service, digest: str, *, approved_by: str) -> Document | None:
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
    add_approval(service.store, digest, approved_by, now)
    return {"plan_digest": digest, "target": plan["target"], **approval_document(approved_by, now)}
