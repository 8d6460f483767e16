"""Findings, their judgements, and the posture."""

from typing import Literal, NotRequired, TypedDict

from lineage.serve.http.openapi.schemas.common import AsOf, Cited, ListPage, Mention, Reference, Time


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


class KeptFindings(TypedDict):
    """The progress of the index from which findings were listed."""

    evaluated_at: str
    not_looked_at: int


class Findings(ListPage):
    """The findings."""

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


class Posture(ListPage):
    """Every check with its outcome."""

    framework: str | None
    counts: dict[str, int]
    items: list[Check]
    as_of: AsOf
    kept: NotRequired[KeptFindings]
