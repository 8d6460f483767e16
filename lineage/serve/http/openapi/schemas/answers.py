"""Who, chain, status, reach and identity of one thing."""

from typing import Any, Literal, NotRequired, TypedDict

from lineage.serve.http.openapi.schemas.common import AsOf, Because, Cited, Gap, State, Thing, Time, Verdict
from lineage.serve.http.openapi.schemas.findings import Finding


class Hop(TypedDict):
    """One principal of a chain, and which source states it."""

    principal: str
    known_as: str
    display_name: str | None
    kind: str
    evidence: str
    source: str | None
    token: str | None
    delegation: str | None
    scopes: list[str]
    effective_scopes: list[str] | None
    issued_at: Time | None
    expires_at: Time | None
    state: State | None


class Authority(TypedDict):
    """The authority of an action, with its state at the time (as known then and as known now) and now."""

    element: str | None
    then_as_known_then: Verdict
    then_as_known_now: Verdict
    now: Verdict


class Resource(TypedDict):
    """The resource of an action."""

    type: NotRequired[str | None]
    id: str
    environment: NotRequired[str | None]


class _ChainPart(TypedDict):
    root: str | None
    human: str | None
    accountable: str | None
    agents: list[str]
    tokens: list[str]
    delegations: list[str]
    chain: list[Hop]


class Who(_ChainPart):
    """Who stood behind an action."""

    action: str
    operation: str | None
    tool: str | None
    resource: Resource | None
    outcome: str | None
    occurred_at: Time
    decision: dict[str, Any] | None
    authority: Authority
    gaps: list[Gap]
    findings: list[Finding]
    findings_complete: NotRequired[bool]
    as_of: AsOf


class Chain(_ChainPart):
    """Who stood behind a token or a delegation."""

    kind: str
    id: str
    state: State
    because: Because | None
    gaps: list[Gap]
    findings: list[Finding]
    findings_complete: NotRequired[bool]
    as_of: AsOf


class Status(TypedDict):
    """The state of something."""

    kind: str
    id: str
    state: State
    because: Because | None
    at: Time
    known_at: Time | None
    gaps: list[Gap]
    findings: list[Finding]
    findings_complete: NotRequired[bool]
    as_of: AsOf


class Elements(TypedDict):
    """Ids of elements."""

    tokens: list[str]
    delegations: list[str]


class ElementCounts(TypedDict):
    """The number of elements."""

    tokens: int
    delegations: int


class Action(TypedDict):
    """An action in one line."""

    action: str
    operation: str | None
    tool: str | None
    outcome: str | None
    actor: str | None
    occurred_at: Time
    authority: str | None


class CountedActions(TypedDict):
    """The number of actions, and the latest of them."""

    count: int
    recent: list[Action]


class OwnActions(TypedDict):
    """The number of actions that the target, a principal, took under authority that would not end."""

    count: int


class Survivor(TypedDict):
    """Something that would stay alive, and why."""

    kind: str
    id: str
    why: str


class _ReachPart(TypedDict):
    target: Thing
    kills: Elements
    already_dead: ElementCounts
    agents: list[str]
    humans: list[str]
    actions: CountedActions
    own_actions: OwnActions
    survivors: list[Survivor]
    last_expiry: Time | None
    plan_digest: str
    warnings: list[str]
    trust: str | None
    as_of: AsOf


class Approval(TypedDict):
    """An approval of a plan."""

    approved_by: str
    approved_at: Time
    expires_at: Time


class Approved(Approval):
    """A plan that was approved just now."""

    plan_digest: str
    target: Thing | list[Thing]


class Reach(_ReachPart):
    """The elements that a revocation would end: the plan."""

    approvals: list[Approval]
    depths: list[dict[str, int]]
    receivers: list[dict[str, Any]]
    uncovered: dict[str, Any]
    recent_hour: dict[str, Any]
    shared: list[dict[str, Any]]
    spared: int
    unjudged: dict[str, Any]
    backdated: dict[str, Any] | None
    narrower: Thing | None
    findings: list[Finding]
    findings_complete: NotRequired[bool]


class StatedText(Cited):
    """A text, and the fact that states it."""

    value: str
    occurred_at: Time


class StatedNumber(Cited):
    """A number, and the fact that states it."""

    value: int
    occurred_at: Time


class Binding(Cited):
    """A binding of an agent to an attested workload."""

    agent: str
    workload: str
    key_thumbprint: str | None
    since: Time
    until: Time | None
    bound: bool


class Identity(TypedDict):
    """The identity of a principal."""

    kind: Literal["principal"]
    id: str
    principal_kind: str
    registered: bool
    display_name: StatedText | None
    owner: StatedText | None
    purpose: StatedText | None
    environment: StatedText | None
    max_delegation_depth: StatedNumber | None
    aliases: list[str]
    workloads: list[Binding]
    findings: list[Finding]
    at: Time
    known_at: Time | None
    as_of: AsOf
