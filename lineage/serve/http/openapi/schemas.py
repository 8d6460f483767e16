"""The types of documents: the client's answers, and the schemas of the OpenAPI document.

They are not enforced when documents are served; a test compares them with actual answers.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

Time = Annotated[str, "date-time"]
State = Literal["revoked", "cascaded", "expired", "suspended", "unknown", "not_yet_valid", "active"]


class AsOf(TypedDict):
    """How far the projection is."""

    recorded_at: Time | None
    behind: int | None
    deleted_before: NotRequired[Time]


class Thing(TypedDict):
    """Anything that has an id."""

    kind: str
    id: str


class Because(TypedDict):
    """The order behind a state."""

    revocation: str
    mode: str
    target: Thing
    effective_at: Time
    ordered_by: str
    reason: str
    path: list[str]


class Verdict(TypedDict):
    """A state, and the order behind it."""

    state: State
    because: Because | None


class Gap(TypedDict):
    """Something that is missing."""

    kind: str
    id: str
    why: str


class Cited(TypedDict):
    """A fact that shows something."""

    source: str
    event_id: str
    digest: str


class Reference(TypedDict):
    """A weakness or control that a rule maps to."""

    framework: str
    version: str
    id: str
    title: str


class Finding(TypedDict):
    """Something that is wrong."""

    id: str
    kind: str
    severity: str
    status: str
    of: str
    about: str | None
    why: str
    facts: list[Cited]
    first_seen: str
    last_seen: str
    count: int
    caused_by: list[str]
    maps_to: list[Reference]
    fix: str


class FindingInBrief(TypedDict):
    """A finding that another one is connected with."""

    id: str
    kind: str
    severity: str
    status: str
    of: str
    why: str


class FindingsInBrief(TypedDict):
    """Findings that another one is connected with, the worst first."""

    items: list[FindingInBrief]
    total: int | None
    complete: bool


class Judgement(TypedDict):
    """A person's decision about a finding, or an exception in the settings."""

    judgement: str
    by: str
    reason: str
    until: Time | None
    judged_at: Time | None
    source: str
    counts: bool


class NotEvaluated(TypedDict):
    """A rule that could not be evaluated."""

    kind: str
    why: str


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
    """What would stay alive, and why."""

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
    """What a revocation would end: the plan."""

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
    seconds: float


class TargetActions(TypedDict):
    """The number of actions under what the revocation of one of several targets would end."""

    count: int


class BatchTarget(TypedDict):
    """What revoking one of several targets would end by itself."""

    target: Thing
    kills: Elements
    already_dead: ElementCounts
    actions: TargetActions


class OrderedTarget(BatchTarget):
    """What revoking one of several targets ended, and the id of the order."""

    revocation: str


class Spared(TypedDict):
    """What stays alive next to the targets, and why."""

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
    """What revoking several targets would end: the plan over all of them."""

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


class _CaseInBrief(TypedDict):
    case: str
    title: str | None
    status: str
    assignee: str | None
    opened_at: Time
    opened_by: str
    changed_at: Time
    changed_by: str
    contains: int
    notes: int
    version: str
    is_whole: bool


class CaseInBrief(_CaseInBrief):
    """A case in a list."""


class OpenedCase(_CaseInBrief):
    """A case that was opened."""

    as_of: AsOf
    repeated: bool


class ChangedCase(_CaseInBrief):
    """A case that was changed."""

    as_of: AsOf
    items_changed: int


class ItemOfChange(TypedDict):
    """An item that a change of a case added or removed."""

    kind: str
    id: str


class CaseChange(TypedDict):
    """A change of a case."""

    change: str
    by: str
    given_at: Time
    contained: list[ItemOfChange]
    title: str | None
    assignee: str | None
    note: str | None
    source: str
    event_id: str
    digest: str


class CaseItem(TypedDict):
    """An item of a case, and its present state."""

    kind: str
    id: str
    is_range: bool
    added_at: Time
    added_by: str
    note: str | None
    state: str
    sentence: str


class LatestChanges(TypedDict):
    """The latest changes of a case."""

    items: list[CaseChange]
    total: int
    complete: bool


class Case(_CaseInBrief):
    """A case with its items."""

    at: Time
    items: list[CaseItem]
    total: int | None
    complete: bool
    next: str | None
    changes: LatestChanges
    as_of: AsOf


class StatementOfCase(TypedDict):
    """A statement about an item; which further fields it has depends on `says`."""

    says: str
    rests_on: list[str]


class ExportedItem(TypedDict):
    """An item of an exported case."""

    kind: str
    id: str
    added_at: Time
    added_by: str
    note: str | None
    rests_on: list[str]
    state: str
    sentence: str
    statements: list[StatementOfCase]


class ExportedChange(TypedDict):
    """A change of an exported case."""

    change: str
    by: str
    given_at: Time
    contained: list[ItemOfChange]
    title: str | None
    assignee: str | None
    note: str | None
    rests_on: list[str]


class ExportedEvent(TypedDict):
    """An event that an export cites."""

    digest: str
    position: dict[str, Any] | None
    recorded_at: Time
    event: dict[str, Any]


class ExportOfCase(TypedDict):
    """A case, and the events that each of its statements rests on."""

    format: str
    case: str
    title: str | None
    status: str
    assignee: str | None
    version: str
    at: Time
    known_at: Time | None
    recorded_at: Time | None
    source: str
    changes: list[ExportedChange]
    items: list[ExportedItem]
    events: list[ExportedEvent]


class CaseExport(TypedDict):
    """An export of a case, and how its integrity is checked."""

    export: ExportOfCase
    sha256: str
    jws: str | None
    jwk: dict[str, Any] | None


class CaseChanges(TypedDict):
    """The changes of a case."""

    case: str
    items: list[CaseChange]
    total: int | None
    complete: bool
    next: str | None
    as_of: AsOf


class Cases(TypedDict):
    """The cases."""

    items: list[CaseInBrief]
    total: int | None
    complete: bool
    next: str | None
    filters: dict[str, str]
    as_of: AsOf


class HoldChange(TypedDict):
    """A placement or the release of a legal hold."""

    change: Literal["placed", "released"]
    by: str
    reason: str
    principal: str | None
    case: str | None
    starts_at: Time | None
    ends_at: Time | None
    given_at: Time
    in_force: bool


class Hold(TypedDict):
    """A legal hold."""

    hold: str
    in_force: bool
    changes: list[HoldChange]


class ChangedHold(Hold):
    """A legal hold that was placed or released."""

    as_of: AsOf


class Holds(TypedDict):
    """The legal holds."""

    items: list[Hold]
    total: int
    complete: bool
    next: None
    as_of: AsOf


class Deletion(TypedDict):
    """A deletion of old records of a partition."""

    deletion: str
    topic: str
    partition: int
    first_tile: int
    last_tile: int
    records: int
    rule: str
    recorded_before: Time
    deleted_at: Time
    deleted_by: str
    list_sha256: str
    certificate: str
    faults: list[str]
    signed: bool


class Deletions(TypedDict):
    """What retention deleted."""

    items: list[Deletion]
    total: int
    complete: bool
    next: None
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


class Counts(TypedDict):
    """The outcomes of the events sent, counted."""

    read: int
    accepted: int
    duplicates: int
    conflicts: int
    unauthorised: int
    quarantined: int
    as_of: AsOf


class _List(TypedDict):
    total: int | None
    complete: bool
    next: str | None


class Match(Thing):
    """A thing that a search found."""

    display_name: NotRequired[str]
    exact: NotRequired[bool]


class Search(_List):
    """The things that contain every word of a text."""

    items: list[Match]
    did_you_mean: list[Thing]
    at: Time | None
    known_at: Time | None
    as_of: AsOf


class ListedAction(Action):
    """An action, and who stood behind it."""

    resource: Resource | None
    root: str | None
    human: str | None
    human_known_as: str | None
    human_name: str | None
    agents: list[str]
    actor_name: str | None
    token: str | None
    delegation: str | None
    decision: str | None
    state: State | None


class Actions(_List):
    """The matching actions."""

    kind: NotRequired[str]
    id: NotRequired[str]
    items: list[ListedAction]
    filters: dict[str, str]
    as_of: AsOf


class Counted(TypedDict):
    """The number of actions with a value."""

    name: str
    count: int


class CountedParty(TypedDict):
    """The number of actions of a party."""

    principal: str | None
    display_name: str | None
    count: int
    last_at: Time


class Usage(TypedDict):
    """How a tool, a resource or an operation was used."""

    kind: str
    id: str
    at: Time
    known_at: Time | None
    looked_at: int
    complete: bool
    outcomes: list[Counted]
    decisions: list[Counted]
    actors: list[CountedParty]
    humans: list[CountedParty]
    tools: NotRequired[list[Counted]]
    resources: NotRequired[list[Counted]]
    operations: NotRequired[list[Counted]]
    items: list[ListedAction]
    findings: list[Finding]
    findings_complete: bool
    as_of: AsOf


class _HeldItem(TypedDict):
    issuer: str | None
    holder: str
    holder_known_as: str
    holder_name: str | None
    owner: str | None
    human: str | None
    human_known_as: str | None
    human_name: str | None
    depth: int
    scopes: list[str]
    audience: list[str]
    issued_at: Time
    expires_at: Time | None
    state: State
    revocation: str | None


class ListedToken(_HeldItem):
    """A token of the inventory."""

    token: str
    kind: str | None
    subject: str
    client: str | None
    session: str | None
    delegation: str | None
    last_used_at: Time | None
    used: bool


class ListedDelegation(_HeldItem):
    """A delegation of the inventory."""

    delegation: str
    purpose: str | None
    parents: list[str]


class ListedPrincipal(TypedDict):
    """A principal of the inventory."""

    id: str
    kind: str
    display_name: str | None
    owner: str | None
    aliases: list[str]
    registered: bool
    state: State
    alive_tokens: int | None
    last_acted_at: Time | None
    acted: bool
    by_severity: dict[str, int] | None


class _Inventory(_List):
    filters: dict[str, str]
    at: Time
    known_at: Time | None
    as_of: AsOf


class Principals(_Inventory):
    """Principals."""

    items: list[ListedPrincipal]


class Tokens(_Inventory):
    """Tokens."""

    items: list[ListedToken]


class Delegations(_Inventory):
    """Delegations."""

    items: list[ListedDelegation]


class OverviewFindings(TypedDict):
    """The number of findings of each severity."""

    total: int | None
    by_severity: dict[str, int] | None
    suppressed: int | None
    worst: list[Finding]
    why: str | None


class OpenRevocation(TypedDict):
    """A revocation that is not enforced everywhere yet."""

    revocation: str
    target: Thing
    mode: str
    verdict: str | None
    ordered_at: Time
    age_seconds: float
    elements: int | None
    missing: int | None


class OpenRevocations(TypedDict):
    """The latest revocations that are not enforced everywhere yet."""

    open: int
    looked_at: int
    total: int
    items: list[OpenRevocation]


class InQuarantine(TypedDict):
    """The records in quarantine, counted."""

    records: int
    beyond_quota: int


class SourceHeard(TypedDict):
    """The last event of a source."""

    source: str
    last_recorded_at: Time
    age_seconds: float
    usual_pause_seconds: float | None
    silent: bool


class SourcesHeard(TypedDict):
    """The sources, and which of them are silent."""

    silent: int
    items: list[SourceHeard]
    looked_at: int
    complete: bool


class LatestActions(TypedDict):
    """The number of the latest actions with a human at the root."""

    looked_at: int
    complete: bool
    with_human: int
    share_with_human: float | None


class OfDepth(TypedDict):
    """The number of tokens with a chain of this many parties."""

    parties: int
    tokens: int


class Depth(TypedDict):
    """The lengths of chains."""

    longest: int
    by_parties: list[OfDepth]


class LatestTokens(TypedDict):
    """The number of the latest tokens that are alive."""

    looked_at: int
    complete: bool
    alive: int
    by_state: dict[str, int]
    depth: Depth


class InAnHour(TypedDict):
    """The activity in one hour."""

    hour: Time
    facts: int


Activity = TypedDict("Activity", {"from": Time, "to": Time, "by_hour": list[InAnHour], "total": int})


class Overview(TypedDict):
    """What needs attention, and the amount of activity."""

    findings: OverviewFindings
    revocations: OpenRevocations
    quarantine: InQuarantine
    sources: SourcesHeard
    actions: LatestActions
    activity: Activity
    tokens: LatestTokens
    at: Time
    known_at: Time | None
    as_of: AsOf


class Use(Action):
    """One use of a token."""

    resource: Resource | None
    wielder: str | None
    workload: str | None
    key_thumbprint: str | None
    session: str | None
    source: str


class Place(TypedDict):
    """Where a token was used."""

    tool: str | None
    actor: str | None
    wielder: str | None
    workload: str | None
    key_thumbprint: str | None
    count: int
    first: Time
    last: Time
    used_after: int


class Uses(_List):
    """Where a token was used, by whom and when."""

    kind: str
    id: str
    items: list[Use]
    first: Time | None
    last: Time | None
    places: list[Place]
    revoked_by: list[str]
    unconfirmed: list[dict[str, Any]]
    used_after: list[str]
    findings: list[Finding]
    findings_complete: NotRequired[bool]
    whole: NotRequired[bool]
    as_of: AsOf


class Mention(TypedDict):
    """A fact that mentions something."""

    occurred_at: Time
    recorded_at: Time
    type: str
    of: str
    event: dict[str, Any]


class FindingDetails(Finding):
    """A finding with its evidence, what it is connected with, and what people decided about it."""

    title: str
    evidence: list[Mention]
    evidence_complete: bool
    causes: FindingsInBrief
    consequences: FindingsInBrief
    related: FindingsInBrief
    judgement: Judgement | None
    judgements: list[Judgement]
    as_of: AsOf


class Timeline(_List):
    """Every fact that mentions something."""

    kind: str
    id: str
    items: list[Mention]
    as_of: AsOf


Change = TypedDict("Change", {"kind": str, "id": str, "from": Verdict, "to": Verdict})
Change.__doc__ = "What changed its state."


class Diff(_List):
    """What changed its state between two instants."""

    kind: str
    id: str
    items: list[Change]
    as_of: AsOf


class KeptFindings(TypedDict):
    """The progress of the index from which findings were listed."""

    evaluated_at: str
    not_looked_at: int


class Findings(_List):
    """What is wrong."""

    items: list[Finding]
    by_severity: dict[str, int]
    suppressed: int
    as_of: AsOf
    not_evaluated: list[NotEvaluated]
    kept: NotRequired[KeptFindings]


class FailedCheck(TypedDict):
    """A finding of a check, in brief."""

    id: str
    of: str
    severity: str
    why: str


class SuppressedCheck(TypedDict):
    """A finding of a check that is suppressed, and who decided that."""

    id: str
    of: str
    by: NotRequired[str]
    reason: NotRequired[str]
    until: NotRequired[Time | None]


class Check(TypedDict):
    """A check and its outcome."""

    kind: str
    title: str
    severity: str
    outcome: Literal["pass", "fail", "suppressed", "not_evaluated"]
    failed: int
    suppressed: int
    suppressed_by: list[SuppressedCheck]
    first: list[FailedCheck]
    why: str | None
    maps_to: list[Reference]
    fix: str


class Posture(_List):
    """Every check with its outcome."""

    framework: str | None
    counts: dict[str, int]
    items: list[Check]
    as_of: AsOf
    kept: NotRequired[KeptFindings]


class _Named(TypedDict):
    known_as: str
    display_name: str | None
    owner: str | None


class ActiveAgent(_Named):
    """An agent that acted, or was granted anything."""

    first: Time
    last: Time
    actions: int
    tokens: int
    delegations: int


_Between = TypedDict("_Between", {"from": Time, "to": Time})


class ActiveAgents(_List, _Between):
    """The agents that were active between two instants, the most active first."""

    items: list[ActiveAgent]
    as_of: AsOf


class Grant(TypedDict):
    """A token or a delegation that an agent holds."""

    kind: str
    id: str
    given_by: str | None
    on_behalf_of: str | None
    scopes: list[str]
    audience: list[str]
    task: str | None
    issued_at: Time
    expires_at: Time | None


class AllowedGrant(Grant):
    """A live grant, with what it effectively allows and where it was used."""

    effective_scopes: list[str] | None
    ends_at: Time | None
    tools: list[str]


class Allowed(_List, _Named):
    """What an agent could do at an instant."""

    agent: str
    at: Time
    effective_scopes: list[str]
    scopes_known: bool
    tools: list[str]
    items: list[AllowedGrant]
    as_of: AsOf


class HeldGrant(Grant):
    """A grant that an agent held, and what ended it."""

    ended_at: Time | None
    ended_by: str | None


class Held(_List, _Named, _Between):
    """What an agent held between two instants."""

    agent: str
    items: list[HeldGrant]
    as_of: AsOf


class DoneAction(Action):
    """An action of an agent, with its chain."""

    human: str | None
    chain: list[str]


class Done(_List, _Named, _Between):
    """What an agent did between two instants, the latest first."""

    agent: str
    items: list[DoneAction]
    as_of: AsOf


class QuarantineQuota(TypedDict):
    """The limits up to which unreadable records of each source are stored whole."""

    records: int
    bytes: int


class SourceBeyondQuota(TypedDict):
    """A source that has used up its quota, and the number of its records stored only as digest and position."""

    source: str
    records: int


class BeyondQuota(TypedDict):
    """The records stored only as digest and position, and the hundred sources with the most of them."""

    records: int
    quota: QuarantineQuota
    sources: list[SourceBeyondQuota]


class Quarantined(TypedDict):
    """A record that could not be read."""

    id: int
    reason: str
    detail: str
    origin: str
    position: int
    recorded_at: Time
    sha256: str
    size: int
    value: str | None
    encoding: str | None
    beyond_quota: bool
    released_at: Time | None


class Quarantine(_List):
    """Records that could not be read."""

    items: list[Quarantined]
    beyond_quota: BeyondQuota
    as_of: AsOf


class Content(TypedDict):
    """One of several contents under one identity."""

    recorded_at: Time
    misrouted: bool
    event: dict[str, Any]
    digest: str
    authorised: bool


class Conflict(TypedDict):
    """An identity under which different contents were sent."""

    source: str
    event_id: str
    contents: list[Content]


class Conflicts(_List):
    """Identities under which different contents were sent."""

    items: list[Conflict]
    as_of: AsOf


class Order(TypedDict):
    """An order as it was given."""

    revocation: str
    target: Thing
    mode: str
    cascade: bool
    issued_before: Time | None
    reason: str
    note: str | None
    ordered_by: str
    approved_by: str | None
    ordered_at: Time
    effective_at: Time
    in_force_at: Time
    lifted_at: Time | None


class BoardEntry(Order):
    """An order with a summary of its verdict; null if it ends more than is examined for a list."""

    elements: int | None
    verdict: str | None
    closed_at: Time | None
    open: int | None


class Revocations(_List):
    """All orders, the latest first."""

    items: list[BoardEntry]
    as_of: AsOf


class Tally(TypedDict):
    """The progress of one receiver."""

    receiver: str
    covers: int
    delivered: int
    enforced: int
    rejected: int
    pending: int


class Open(TypedDict):
    """An element that is open."""

    kind: str
    id: str
    receiver: NotRequired[str]
    reason: str


class HandMark(TypedDict):
    """A person's statement that elements are enforced at a receiver, and how many elements depend on it."""

    receiver: str
    by: str
    reason: str
    said_at: Time
    elements: int


class Revocation(TypedDict):
    """A revocation, and whether it is enforced."""

    revocation: str
    verdict: Literal["CLOSED", "PARTIAL", "UNKNOWN"]
    ordered_at: Time
    in_force_at: Time
    closed_at: Time | None
    seconds: float | None
    elements: int
    receivers: list[Tally]
    open: list[Open]
    reopened_by: list[str]
    by_hand: NotRequired[list[HandMark]]
    findings: list[Finding]
    orders: list[Order]
    incident: str | None
    as_of: AsOf


class ReceiptLine(TypedDict):
    """An element that a revocation ended."""

    kind: str
    id: str
    state: State
    revocation: str
    effective_at: Time
    path: list[str]
    path_length: NotRequired[int]
    principals: list[str]
    expires_at: Time | None
    born_dead: bool
    recorded_at: Time


class SignedStatement(TypedDict):
    """The statement that a revocation is enforced everywhere."""

    type: Literal["delegraph-receipt"]
    revocation: str
    verdict: Literal["CLOSED"]
    ordered_at: Time
    in_force_at: Time
    closed_at: Time
    elements: int
    receivers: list[Tally]
    by_hand: list[HandMark]
    orders: list[Order]
    states: dict[str, int]
    lines_sha256: str
    signed_at: Time
    recorded_at: Time | None


class SignedReceipt(TypedDict):
    """The statement, its signature, and the key that verifies it."""

    receipt: SignedStatement
    jws: str
    jwk: dict[str, str]


class ProvedPoint(TypedDict):
    """What an enforcement point has shown."""

    receiver: str
    asked_by: str | None
    verdict: Literal["CLOSED", "PARTIAL", "UNKNOWN"]
    covers: int
    denied: int
    accepted: int
    not_asked: int
    revocation_unsupported: int
    revocation_unavailable: int
    acknowledged: int
    last_success: Time | None
    first_denial: Time | None


class CountedThings(TypedDict):
    """The number of elements, and the first thousand of them."""

    count: int
    first: list[dict[str, str]]


class StopProof(TypedDict):
    """Whether enforcement points still accept what a revocation has ended."""

    type: Literal["delegraph-stop-proof"]
    revocation: str
    nonce: str
    verdict: Literal["CLOSED", "PARTIAL", "UNKNOWN"]
    began_at: Time
    ended_at: Time
    closure: Literal["CLOSED", "PARTIAL", "UNKNOWN"]
    elements: int
    expired: int
    accepted: CountedThings
    uncovered: CountedThings
    points: list[ProvedPoint]
    recorded_at: Time | None


class SignedProof(TypedDict):
    """The proof, its signature, and the key that verifies it."""

    proof: StopProof
    jws: str
    jwk: dict[str, str]


class Missing(TypedDict):
    """One of several ids asked for that no fact names."""

    error: Literal["not_found"]
    id: str


class Problem(TypedDict):
    """A fault (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    parameter: NotRequired[str]
    id: NotRequired[str]
    unlisted: NotRequired[list[str]]
    differs: NotRequired[dict[str, Any]]
    ids: NotRequired[list[str]]
    verdict: NotRequired[str]


_Node = TypedDict("_Node", {"from": str | None, "to": str | None})


class Node(_Node):
    """An element of a graph, and its position."""

    key: str
    kind: str
    id: str
    focus: bool
    granted: bool
    scopes: list[str]
    issued_at: Time | None
    expires_at: Time | None
    state: State
    because: Because | None
    layer: int
    row: int
    x: int
    y: int
    findings: NotRequired["Wrong"]


class Spot(TypedDict):
    """A point where a line passes other boxes, laid out like a box."""

    x: int
    y: int


Edge = TypedDict("Edge", {"from": str, "to": str, "roles": list[str], "via": list[Spot]})
Edge.__doc__ = "What depends on what."


class Collapsed(TypedDict):
    """Elements that are not shown, counted at the node that they depend on or that depends on them."""

    key: str
    of: str
    where: Literal["above", "below"]
    count: int
    layer: int
    row: int
    x: int
    y: int


class Graph(TypedDict):
    """What a thing depends on and what depends on it, laid out."""

    kind: str
    id: str
    at: Time
    known_at: Time | None
    nodes: list[Node]
    edges: list[Edge]
    collapsed: list[Collapsed]
    more_name_it: bool
    findings_complete: bool
    complete: bool
    as_of: AsOf


class Amounts(TypedDict):
    """The number of tokens or delegations by state."""

    alive: int
    suspended: int
    expired: int
    revoked: int


class Wrong(TypedDict):
    """The number of findings, and the severity and sentence of the worst."""

    count: int
    worst: str | None
    why: str | None


class Principal(TypedDict):
    """A principal with its aliases, its position in the graph, and what it holds."""

    id: str
    kind: str
    display_name: str | None
    ids: list[str]
    focus: bool
    tokens: Amounts
    delegations: Amounts
    findings: Wrong
    would_end: int | None
    layer: int
    row: int
    x: int
    y: int


Handed = TypedDict(
    "Handed",
    {
        "from": str,
        "to": str,
        "tokens": Amounts,
        "delegations": Amounts,
        "scopes": list[str],
        "unverified": int,
        "elements": list[str],
        "findings": Wrong,
        "would_end": int | None,
    },
)
Handed.__doc__ = "What one principal handed to another."

UsedByAnother = TypedDict(
    "UsedByAnother",
    {"from": str, "to": str, "element": str, "actions": list[str], "findings": Wrong, "why": str},
)
UsedByAnother.__doc__ = "What one principal holds and another used: possible theft."


class LaidOver(Thing):
    """What a revocation of the target would end."""

    would_end: dict[str, int]
    elsewhere: int


class LeftOut(TypedDict):
    """What the graph does not show."""

    elements: int | None
    principals: int
    edges: int


class PrincipalGraph(TypedDict):
    """Who handed what to whom: principals as nodes."""

    view: Literal["principals"]
    of: Thing | None
    target: LaidOver | None
    at: Time
    known_at: Time | None
    nodes: list[Principal]
    edges: list[Handed]
    uses: list[UsedByAnother]
    left_out: LeftOut
    issued_later: int
    findings_complete: bool
    complete: bool
    as_of: AsOf


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
    """Who a principal is."""

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


class Projected(TypedDict):
    """The progress of the projection in one partition."""

    topic: str
    partition: int
    next_offset: int
    end: int | None
    behind: int | None


class Heard(TypedDict):
    """The last event of a source."""

    source: str
    events: int
    recorded_at: Time
    occurred_at: Time
    type: str
    event_id: str


class Health(TypedDict):
    """The progress of the projection."""

    now: Time
    recorded_at: Time | None
    age_seconds: float | None
    log_answers: bool
    positions: list[Projected]
    quarantined: int
    trust: str | None
    sources: list[Heard]
    looked_at: int
    complete: bool
    as_of: AsOf


class Facts(TypedDict):
    """The facts of a dossier."""

    items: list[Mention]
    total: int | None
    complete: bool


class Dossier(TypedDict):
    """Everything about one thing at one time."""

    kind: str
    id: str
    at: Time
    known_at: Time | None
    made_at: Time
    sentence: str
    answer: dict[str, Any]
    graph: Graph | None
    facts: Facts
    as_of: AsOf


class StoredCheckpoint(TypedDict):
    """A signed checkpoint of a partition."""

    origin: str
    size: int
    signed_at: Time
    witnessed_at: Time | None
    note: str


class Checkpoints(TypedDict):
    """The latest checkpoints."""

    origin: str
    checkpoints: list[StoredCheckpoint]
    combined: str | None


class ProvingCheckpoint(TypedDict):
    """The checkpoint that a proof leads to."""

    origin: str
    size: int
    root: str
    note: str


class RecordProof(TypedDict):
    """The proof that a record is under a checkpoint."""

    position: str
    gap: int
    recorded_at: Time
    sha256: str
    index: int
    entry: str
    proof: list[str]
    checkpoint: ProvingCheckpoint
    witnessed: bool
    tlog_proof: str


class ProvedRecord(TypedDict):
    """A proved record, and the next one of its partition if that was asked for."""

    first: RecordProof
    next: RecordProof | None


class RecordProofs(TypedDict):
    """The proofs of every record of a fact."""

    items: list[ProvedRecord]
    total: int | None
    complete: bool
    next: str | None


class TreeHead(TypedDict):
    """The size and the root of a tree."""

    size: int
    root: str


class ConsistencyProof(TypedDict):
    """The proof that a tree extends an earlier one."""

    topic: str
    partition: int
    old: TreeHead
    new: TreeHead
    proof: list[str]


class AbsenceProof(TypedDict):
    """The proofs of what a source sent around a number that never arrived."""

    source: str
    sequence: int
    before: RecordProof | None
    after: RecordProof | None


ANSWERS: dict[str, Any] = {
    shape.__name__: shape
    for shape in (
        *(Who, Chain, Status, Reach, Search, Actions, Timeline, Diff, Uses, Quarantine, Conflicts),
        *(Findings, FindingDetails, Posture),
        *(Principals, Tokens, Delegations, Overview, Usage),
        *(
            Revocations,
            Revocation,
            Ordered,
            BatchReach,
            BatchOrdered,
            Approved,
            Judged,
            OpenedCase,
            ChangedCase,
            Case,
            Cases,
            Holds,
            ChangedHold,
            Deletions,
            CaseChanges,
            CaseExport,
            Lifted,
            Acknowledged,
            RegisteredReceiver,
            Registered,
            Marked,
            DeliveredAgain,
            Counts,
            ReceiptLine,
            SignedReceipt,
            SignedProof,
            Missing,
            Problem,
        ),
        *(Graph, PrincipalGraph, Identity, Health, Dossier),
        *(ActiveAgents, Allowed, Held, Done),
        *(Checkpoints, RecordProofs, ConsistencyProof, AbsenceProof),
    )
}
