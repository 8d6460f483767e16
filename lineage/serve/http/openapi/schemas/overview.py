"""The overview, and the dossier of one thing."""

from typing import Any, TypedDict

from lineage.serve.http.openapi.schemas.common import AsOf, Mention, Thing, Time
from lineage.serve.http.openapi.schemas.findings import Finding
from lineage.serve.http.openapi.schemas.graphs import Graph


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
    """A summary of what needs attention, and of the amount of activity."""

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
