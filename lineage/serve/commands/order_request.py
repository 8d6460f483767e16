"""An order as a responder asks for it, and how it differs from one that was given under the same id."""

from dataclasses import dataclass
from typing import Final

from lineage.core.model.errors import OtherOrderError
from lineage.core.model.events import RevocationOrdered, Target
from lineage.core.model.times import Instant

MAX_KILLS: Final = 1_000  # what an order without a plan's digest may kill by default


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """An order as a responder asks for it; what it hits is in ``proposal``."""

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
    by_approval: bool = False  # the second person is who approved the plan, and cannot be named

    def body(self, revocation: str, plan_digest: str | None) -> RevocationOrdered:
        """The order as an event says it."""
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
    """The fields in which what is asked for differs from an order; in the plan's digest only if one is given."""
    asked = request.body(order.revocation, plan_digest or order.plan_digest)
    if request.by_approval:  # by whom is not for the caller to say, nor whether that is still good
        asked = asked._replace(approved_by=order.approved_by)
    return [name for name, value in asked._asdict().items() if value != getattr(order, name)]


def other_order(revocation: str, differs: list[str]) -> OtherOrderError:
    """The error that the id of an order is in use already, by one that differs in some fields."""
    return OtherOrderError(
        f"the id {revocation} is that of another order, with another {' and '.join(differs)}; nothing was ordered. "
        "Give this one an id of its own"
    )
