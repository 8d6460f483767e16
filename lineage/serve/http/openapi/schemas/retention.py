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

    repeated: bool
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


class RetentionOfTopic(TypedDict):
    """How long the records of a topic are kept."""

    topic: str
    days: int | None


class RetentionRun(TypedDict):
    """A run of retention."""

    started_at: Time
    ended_at: Time | None
    by: str
    before: Time
    records: int
    old: int
    held: int
    unwitnessed: int
    fault: str | None
    succeeded_at: Time | None


class Retention(TypedDict):
    """How long records are kept, and the last run."""

    topics: list[RetentionOfTopic]
    every_hours: int | None
    due_at: Time | None
    overdue: bool
    last_run: RetentionRun | None
    holds_in_force: int
    deletions: int
    deleted_records: int
    deleted_before: Time | None
    as_of: AsOf


class KeptByHold(TypedDict):
    """The number of records that a hold or an open case keeps and nothing else needs."""

    kind: Literal["hold", "case"]
    id: str
    records: int


class PlannedPartition(TypedDict):
    """What would be deleted of a partition."""

    topic: str
    partition: int
    old_until: int
    records: int


class RetentionPlan(TypedDict):
    """What would be deleted."""

    before: Time
    records: int
    old: int
    held: int
    held_by: list[KeptByHold]
    unwitnessed: int
    partitions: list[PlannedPartition]
    as_of: AsOf
