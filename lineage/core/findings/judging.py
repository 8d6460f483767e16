"""Judgements of findings, and the order in which findings are shown. Pure."""

from collections.abc import Iterable
from typing import Final

from lineage.core.authority.elements import FactIndex
from lineage.core.findings.options import Options
from lineage.core.findings.rules.catalogue import severity_of
from lineage.core.findings.rules.exceptions import exempted
from lineage.core.model.events import Fact, FindingJudged, fact_order
from lineage.core.model.finding import Finding, last_seen
from lineage.core.model.times import Instant

NEW: Final = "new"
ACKNOWLEDGED: Final = "acknowledged"
SUPPRESSED: Final = "suppressed"
RESOLVED: Final = "resolved"
STATUSES: Final = (NEW, ACKNOWLEDGED, SUPPRESSED, RESOLVED)


def counts(body: FindingJudged) -> bool:
    """Whether a judgement counts: each needs a reason, and a suppression also an end."""
    return bool(body.reason.strip()) and (body.judgement != SUPPRESSED or body.until is not None)


def judgement_of(judgements: FactIndex, finding: str, at: Instant) -> Fact | None:
    """Return the judgement in force at an instant: the last one that counts, unless it expired or was reopened."""
    given = [
        fact
        for fact in judgements.get(finding)
        if fact.given_at <= at and isinstance(fact.event.body, FindingJudged) and counts(fact.event.body)
    ]
    last = max(given, key=lambda fact: (fact.given_at, fact_order(fact)), default=None)
    body = last.event.body if last is not None else None
    if not isinstance(body, FindingJudged) or body.judgement == "reopened":
        return None
    return last if body.until is None or at < body.until else None


def status_of(one: Finding, judgements: FactIndex, options: Options, at: Instant) -> str:
    """Return the status of a finding at an instant: by judgement, else by an exception in the settings."""
    judged = judgement_of(judgements, one.id, at)
    if judged is not None and isinstance(judged.event.body, FindingJudged):
        return judged.event.body.judgement
    return NEW if exempted(one, options, at) is None else SUPPRESSED


def worst_first(findings: Iterable[Finding], options: Options) -> list[Finding]:
    """Sort findings by severity, then by when they were last seen, latest first, then by id."""
    return sorted(findings, key=lambda one: (-severity_of(one.kind, one.severity, options), -last_seen(one), one.id))
