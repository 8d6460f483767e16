"""Parts of documents of every kind: things, verdicts, gaps, cited facts, and problems."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

Time = Annotated[str, "date-time"]


State = Literal["revoked", "cascaded", "expired", "suspended", "unknown", "not_yet_valid", "active"]


class AsOf(TypedDict):
    """The progress of the projection."""

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


class Counts(TypedDict):
    """The outcomes of the events sent, counted."""

    read: int
    accepted: int
    duplicates: int
    conflicts: int
    unauthorised: int
    quarantined: int
    as_of: AsOf


class ListPage(TypedDict):
    """A list that is returned a page at a time."""

    total: int | None
    complete: bool
    next: str | None


class Mention(TypedDict):
    """A fact that mentions something."""

    occurred_at: Time
    recorded_at: Time
    type: str
    of: str
    event: dict[str, Any]


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
