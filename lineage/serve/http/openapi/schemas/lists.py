"""Lists that continue: search, actions, inventory, uses, timeline, diff."""

from typing import Any, NotRequired, TypedDict

from lineage.serve.http.openapi.schemas.answers import Action, Resource
from lineage.serve.http.openapi.schemas.common import AsOf, ListPage, Mention, State, Thing, Time, Verdict
from lineage.serve.http.openapi.schemas.findings import Finding


class Match(Thing):
    """A thing that a search found."""

    display_name: NotRequired[str]
    exact: NotRequired[bool]


class Search(ListPage):
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


class Actions(ListPage):
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


class CountedDecisions(Counted):
    """The number of actions whose decisions had an outcome."""

    actions: list[str]


class CountedParty(TypedDict):
    """The number of actions of a party."""

    principal: str | None
    display_name: str | None
    count: int
    last_at: Time


class Usage(TypedDict):
    """The use of a tool, a resource or an operation."""

    kind: str
    id: str
    at: Time
    known_at: Time | None
    looked_at: int
    complete: bool
    outcomes: list[Counted]
    decisions: list[CountedDecisions]
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


class _Inventory(ListPage):
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


class Use(Action):
    """One use of a token."""

    resource: Resource | None
    wielder: str | None
    workload: str | None
    key_thumbprint: str | None
    session: str | None
    source: str


class Place(TypedDict):
    """A place where a token was used."""

    tool: str | None
    actor: str | None
    wielder: str | None
    workload: str | None
    key_thumbprint: str | None
    count: int
    first: Time
    last: Time
    used_after: int


class Uses(ListPage):
    """The uses of a token: where, by whom and when."""

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


class Timeline(ListPage):
    """Every fact that mentions something."""

    kind: str
    id: str
    items: list[Mention]
    as_of: AsOf


Change = TypedDict("Change", {"kind": str, "id": str, "from": Verdict, "to": Verdict})


Change.__doc__ = "What changed its state."


class Diff(ListPage):
    """The changes of state between two instants."""

    kind: str
    id: str
    items: list[Change]
    as_of: AsOf
