"""Quarantine, conflicts, and the health of the projection."""

from typing import Any, TypedDict

from lineage.serve.http.openapi.schemas.common import AsOf, ListPage, Time


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


class Quarantine(ListPage):
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


class Conflicts(ListPage):
    """Identities under which different contents were sent."""

    items: list[Conflict]
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


class ProjectionHealth(TypedDict):
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
