"""Cases, their changes and their export."""

from typing import Any, TypedDict

from lineage.serve.http.openapi.schemas.common import AsOf, Time
from lineage.serve.http.openapi.schemas.evidence import EvidenceOfCase


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
    evidence: EvidenceOfCase | None


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
