"""One finding: why, the evidence in chronological order, related findings, and the judgements."""

from collections.abc import Iterable
from typing import Final

from lineage.core.authority.elements import in_order
from lineage.core.authority.findings import Finding
from lineage.core.findings.catalogue import RULES, severity_of
from lineage.core.findings.exceptions import exempted
from lineage.core.findings.finding import CITED
from lineage.core.findings.judging import judgement_of, status_of, worst_first
from lineage.core.model.events import Fact, FindingJudged
from lineage.core.model.times import Instant, format_instant
from lineage.serve.documents.core_documents import Document, finding_document, instant
from lineage.serve.queries.activity import mention_document
from lineage.serve.queries.findings import Survey, survey
from lineage.serve.queries.service import Service

_SHOWN: Final = 100  # findings of a list that is counted in full


def finding(service: Service, id_: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
    """Return a finding with its evidence, causes, consequences and judgements; None if there is none with this id.

    Cost:
        As for the list of findings, because related ones may be anywhere.
    """
    found = survey(service, at, known_at)
    one = found.report.findings.get(id_)
    if one is None:
        return None
    rule = RULES.get(one.kind)
    every = found.report.findings
    causes = [every[cause] for cause in one.caused_by if cause in every]
    consequences = [other for other in every.values() if id_ in other.caused_by]
    connected = {id_, *(other.id for other in (*causes, *consequences))}
    related = [other for other in every.values() if other.id not in connected and _is_related(one, other)]
    return {
        **finding_document(one, found.options, status_of(one, found.judgements, found.options, at)),
        "title": rule.title if rule else one.kind,
        "evidence": [mention_document(fact) for fact in in_order(one.facts)],
        "evidence_complete": len(one.facts) < CITED,
        "causes": _listed(found, causes),
        "consequences": _listed(found, consequences),
        "related": _listed(found, related),
        "judgement": _in_force(found, one),
        "judgements": [_judgement(fact) for fact in in_order(found.judgements.get(id_)) if fact.given_at <= at],
        "as_of": service.as_of(),
    }


def _is_related(one: Finding, other: Finding) -> bool:
    """Whether two findings are about the same thing, or cite the same fact."""
    if one.of == other.of:
        return True
    cited = {(fact.event.source, fact.event.event_id) for fact in one.facts}
    return any((fact.event.source, fact.event.event_id) in cited for fact in other.facts)


def _listed(found: Survey, findings: Iterable[Finding]) -> Document:
    """Summarise findings, the worst first, with their number."""
    ranked = worst_first(findings, found.options)
    items = [
        {
            "id": one.id,
            "kind": one.kind,
            "severity": severity_of(one.kind, one.severity, found.options).word,
            "status": status_of(one, found.judgements, found.options, found.at),
            "of": one.of,
            "why": one.why,
        }
        for one in ranked[:_SHOWN]
    ]
    return {"items": items, "total": len(ranked), "complete": len(items) == len(ranked)}


def _in_force(found: Survey, one: Finding) -> Document | None:
    """Return the judgement in force, else the exception in the settings that covers it, or None."""
    judged = judgement_of(found.judgements, one.id, found.at)
    if judged is not None:
        return _judgement(judged)
    each = exempted(one, found.options, found.at)
    if each is None:
        return None
    return {
        "judgement": "suppressed",
        "by": each.by,
        "reason": each.reason,
        "until": format_instant(each.until),
        "judged_at": None,
        "source": "settings",
    }


def _judgement(fact: Fact) -> Document:
    body = fact.event.body
    assert isinstance(body, FindingJudged)  # noqa: S101 (the index holds no others)
    return {
        "judgement": body.judgement,
        "by": body.by,
        "reason": body.reason,
        "until": instant(body.until),
        "judged_at": format_instant(fact.given_at),
        "source": fact.event.source,
    }
