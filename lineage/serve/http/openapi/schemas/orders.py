"""Orders, approvals, lifts, acknowledgements and receivers."""

from typing import Literal, NotRequired, TypedDict

from lineage.serve.http.openapi.schemas.answers import Approval, ElementCounts, Elements, _ReachPart
from lineage.serve.http.openapi.schemas.common import AsOf, Thing, Time
from lineage.serve.http.openapi.schemas.findings import Finding


class Ordered(_ReachPart):
    """An order that was given, and what it ended."""

    revocation: str
    mode: str
    reason: str
    ordered_by: str
    approved_by: str | None
    effective_at: Time
    executed: bool
    repeated: bool
    lifted_at: NotRequired[Time]
    lifted_by: NotRequired[str]
    seconds: float


class TargetActions(TypedDict):
    """The number of actions under what the revocation of one of several targets would end."""

    count: int


class BatchTarget(TypedDict):
    """The elements that revoking one of several targets would end by itself."""

    target: Thing
    kills: Elements
    already_dead: ElementCounts
    actions: TargetActions


class OrderedTarget(BatchTarget):
    """The elements that revoking one of several targets ended, and the id of the order."""

    revocation: str
    lifted_at: NotRequired[Time]
    lifted_by: NotRequired[str]


class Spared(TypedDict):
    """Something that stays alive next to the targets, and why."""

    id: str
    why: str


class _BatchPart(TypedDict):
    kills: Elements
    shared: list[str]
    agents: list[str]
    humans: list[str]
    survivors: list[Spared]
    plan_digest: str
    mode: str
    cascade: bool
    issued_before: Time | None
    effective_at: Time
    warnings: list[str]
    trust: str | None
    as_of: AsOf


class BatchReach(_BatchPart):
    """The elements that revoking several targets would end: the plan over all of them."""

    targets: list[BatchTarget]
    findings: list[Finding]
    findings_complete: NotRequired[bool]
    approvals: list[Approval]


class BatchOrdered(_BatchPart):
    """The orders on several targets that were given, and what they ended together."""

    incident: str
    targets: list[OrderedTarget]
    reason: str
    ordered_by: str
    approved_by: str | None
    executed: bool
    repeated: bool
    seconds: float


class Judged(TypedDict):
    """A judgement that was recorded, and the status of the finding now."""

    finding: str
    status: str
    by: str
    reason: str
    until: Time | None
    judged_at: Time
    as_of: AsOf


class Lifted(TypedDict):
    """A lift, and what it reinstated."""

    revocation: str
    repeated: bool
    lifted_by: str
    approved_by: str | None
    lifted_at: Time
    orders: int
    without_effect: list[str]
    comes_back: Elements
    stays_suspended: Elements
    stays_dead: ElementCounts
    as_of: AsOf


class Acknowledged(TypedDict):
    """An acknowledgement by a receiver."""

    revocation: str
    receiver: str
    outcome: str
    token: str | None
    note: str | None
    acknowledged_at: Time
    as_of: AsOf


class Registration(TypedDict):
    """An enforcement point, and what it covers: an empty list covers everything."""

    receiver: str
    issuers: list[str]
    audiences: list[str]
    kinds: list[str]
    deadline_seconds: int | None
    registered_at: Time


class RegisteredReceiver(Registration):
    """An enforcement point that was registered."""

    replaces: bool
    as_of: AsOf


class ListedReceiver(Registration):
    """An enforcement point in the list of all."""

    contact: str | None


class Registered(TypedDict):
    """The registered enforcement points."""

    items: list[ListedReceiver]
    total: int | None
    complete: bool
    next: str | None
    as_of: AsOf


class Marked(TypedDict):
    """A person's statement that an enforcement point has enforced an order."""

    revocation: str
    receiver: str
    by: str
    reason: str
    said_at: Time
    elements: int
    verdict: Literal["CLOSED", "PARTIAL", "UNKNOWN"]
    as_of: AsOf


class DeliveredAgain(TypedDict):
    """The elements that are delivered again."""

    revocation: str
    receiver: str | None
    elements: int
    written: int
    by: str
    as_of: AsOf
