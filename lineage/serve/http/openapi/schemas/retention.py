"""Legal holds, and what retention deleted."""

from typing import Literal, TypedDict

from lineage.serve.http.openapi.schemas.common import AsOf, Time


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
    """The deletions by retention."""

    items: list[Deletion]
    total: int
    complete: bool
    next: None
    as_of: AsOf
