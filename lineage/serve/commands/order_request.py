"""An order as requested by a responder, and its differences from one given under the same id."""

from dataclasses import dataclass
from typing import Final

from lineage.core.model.errors import OtherOrderError
from lineage.core.model.events import RevocationOrdered, Target
from lineage.core.model.times import Instant
from lineage.core.revocation.reach import Proposal

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
