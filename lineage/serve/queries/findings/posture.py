"""The posture: one line per check, with its outcome; from the index of findings where one can answer."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lineage.core.authority.elements import FactIndex
from lineage.core.findings.frameworks import SHORT_NAMES
from lineage.core.findings.judging import SUPPRESSED, judgement_of
from lineage.core.findings.options import Options
from lineage.core.findings.rules.catalogue import RULES, severity_of
from lineage.core.findings.rules.exceptions import exempted
from lineage.core.findings.rules.rule import Rule
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import FindingJudged
from lineage.core.model.finding import Finding
from lineage.core.model.times import Instant, format_instant
from lineage.serve.cache.loader import judgements_of
from lineage.serve.documents.core_documents import Document, instant, listing
from lineage.serve.queries.findings.findings import survey
from lineage.serve.queries.findings.kept_list import KeptAsked, asked_of_index, counts_of, progress_of
from lineage.serve.queries.findings.one_finding import finding_as_kept
from lineage.serve.queries.service import Service
from lineage.store import kept_findings
from lineage.store.kept_findings import Filters, StoredFinding

OUTCOMES: Final = ("pass", "fail", "suppressed", "not_evaluated")
_EXAMPLES: Final = 5  # failures of a check that are shown
_LISTED: Final = 1_000  # suppressed findings of a check that are listed


@dataclass(slots=True)
class _RuleResult:
    """The result of a rule.

    Attributes:
        failed: The number of findings that are open.
        suppressed: The number of findings that are suppressed.
        first: The worst open ones.
        decided: The suppressed ones: by whom, why and until when.
    """

    failed: int = 0
    suppressed: int = 0
    first: list[Document] = field(default_factory=list)
    decided: list[Document] = field(default_factory=list)


def posture(
    service: Service,
    *,
    at: Instant,
    known_at: Instant | None = None,
    framework: str | None = None,
    fresh: bool = False,
) -> Document:
    """List every check with its outcome and counts: pass, fail, suppressed, or not evaluated.

    Args:
        service: The service to query.
        at: The moment asked about.
        known_at: Only facts recorded by then; None for all.
        framework: Only checks that map to it, by its short name.
        fresh: Evaluate everything even if an index could answer.
    """
    if framework is not None and framework not in SHORT_NAMES:
        raise RefusedError(f"there is no framework {framework!a}; there are {', '.join(SHORT_NAMES)}")
    index = None if fresh or known_at is not None else asked_of_index(service, at)
    if index is None:
        found, not_evaluated = _computed(service, at, known_at)
        progress: Document = {"as_of": service.as_of()}
    else:
        found, not_evaluated = _from_index(service, index, at), index.state.not_evaluated
        progress = progress_of(service, index)
    items = [
        _check(rule, references, found.get(rule.kind) or _RuleResult(), not_evaluated.get(rule.kind), service.options)
        for rule in RULES.values()
        if (references := [one._asdict() for one in rule.references if framework in (None, _short(one.framework))])
    ]
    counts = {name: sum(item["outcome"] == name for item in items) for name in OUTCOMES}
    return {"framework": framework, "counts": counts, **listing(items, total=len(items)), **progress}


def _check(
    rule: Rule, references: list[dict[str, Any]], found: _RuleResult, why: str | None, options: Options
) -> Document:
    outcome = "not_evaluated" if why else "fail" if found.failed else "suppressed" if found.suppressed else "pass"
    return {
        "kind": rule.kind,
        "title": rule.title,
        "severity": severity_of(rule.kind, None, options).word,
        "outcome": outcome,
        "failed": found.failed,
        "suppressed": found.suppressed,
        "suppressed_by": found.decided,
        "first": found.first,
        "why": why,
        "maps_to": references,
        "fix": rule.fix,
    }


def _short(framework: str) -> str | None:
    return next((short for short, name in SHORT_NAMES.items() if name == framework), None)


def _computed(
    service: Service, at: Instant, known_at: Instant | None
) -> tuple[dict[str, _RuleResult], Mapping[str, str]]:
    """Evaluate every rule over every known fact."""
    evaluated = survey(service, at, known_at)
    rules: dict[str, _RuleResult] = {}
    for one, severity, status in evaluated.ordered():
        found = rules.setdefault(one.kind, _RuleResult())
        if status == SUPPRESSED:
            found.suppressed += 1
            if len(found.decided) < _LISTED:
                found.decided.append(_decided(one, evaluated.judgements, service.options, at))
        else:
            found.failed += 1
            if len(found.first) < _EXAMPLES:
                found.first.append({"id": one.id, "of": one.of, "severity": severity.word, "why": one.why})
    return rules, evaluated.report.not_evaluated


def _from_index(service: Service, index: KeptAsked, at: Instant) -> dict[str, _RuleResult]:
    """Read the index: its counts, the worst of each rule, and the facts of what exceptions of the settings cover."""
    rules: dict[str, _RuleResult] = {}
    for (kind, _, status), count in counts_of(service, index).items():
        found = rules.setdefault(kind, _RuleResult())
        if status == SUPPRESSED:
            found.suppressed += count
        else:
            found.failed += count
    for kind, found in rules.items():
        if found.failed:
            worst = Filters(kinds=(kind,), not_statuses=(SUPPRESSED,))
            found.first = [
                {name: one.document[name] for name in ("id", "of", "severity", "why")}
                for one in kept_findings.page(service.store, worst, index.moment, None, _EXAMPLES)
            ]
        if found.suppressed:
            hidden = Filters(kinds=(kind,), statuses=(SUPPRESSED,))
            found.decided = [
                *_decided_as_kept(service, kept_findings.page(service.store, hidden, index.moment, None, _LISTED), at)
            ]
    return rules


def _decided_as_kept(service: Service, suppressed: Collection[StoredFinding], at: Instant) -> Iterator[Document]:
    with service.reader() as reader:
        judgements = judgements_of(reader, [one.id for one in suppressed])
    for one in suppressed:
        yield _decided(finding_as_kept(service, one.document), judgements, service.options, at)


def _decided(one: Finding, judgements: FactIndex, options: Options, at: Instant) -> Document:
    """Return who suppressed a finding, why and until when: by a judgement, else by an exception in the settings."""
    document = {"id": one.id, "of": one.of}
    judged = judgement_of(judgements, one.id, at)
    if judged is not None and isinstance(body := judged.event.body, FindingJudged):
        return {**document, "by": body.by, "reason": body.reason, "until": instant(body.until)}
    each = exempted(one, options, at)
    return (
        document
        if each is None
        else {**document, "by": each.by, "reason": each.reason, "until": format_instant(each.until)}
    )
