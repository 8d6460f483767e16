"""The graphs of elements and of principals."""

from typing import Literal, NotRequired, TypedDict

from lineage.serve.http.openapi.schemas.common import AsOf, Because, State, Thing, Time

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
    findings: NotRequired["FindingCount"]


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
    """The elements that a thing depends on and those that depend on it, laid out."""

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


class FindingCount(TypedDict):
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
    findings: FindingCount
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
        "findings": FindingCount,
        "would_end": int | None,
    },
)


Handed.__doc__ = "What one principal handed to another."


UsedByAnother = TypedDict(
    "UsedByAnother",
    {"from": str, "to": str, "element": str, "actions": list[str], "findings": FindingCount, "why": str},
)


UsedByAnother.__doc__ = "What one principal holds and another used: possible theft."


class LaidOver(Thing):
    """The elements that a revocation of the target would end."""

    would_end: dict[str, int]
    elsewhere: int


class LeftOut(TypedDict):
    """The number of elements that the graph does not show."""

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
