"""One finding: why, the evidence in chronological order, related findings, and the judgements."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from lineage.core.authority.elements import FactIndex, in_order
from lineage.core.findings.judging import RESOLVED, counts, judgement_of, status_of, worst_first
from lineage.core.findings.options import Options
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.findings.rules.exceptions import exempted
from lineage.core.model.events import Fact, FindingJudged, digest
from lineage.core.model.finding import CITED, Finding
from lineage.core.model.references import about
from lineage.core.model.times import Instant, format_instant
from lineage.serve.cache.loader import as_of, judgements_of
from lineage.serve.documents.core_documents import Document, finding_document, instant
from lineage.serve.queries.findings import kept_list
from lineage.serve.queries.findings.findings import Survey, survey
from lineage.serve.queries.findings.kept_list import KeptAsked, asked_of_index
from lineage.serve.queries.history.timeline import mention_document
from lineage.serve.queries.service import Service
from lineage.store import kept_findings
from lineage.store.kept_findings import Filters, StoredFinding

_SHOWN: Final = 100  # findings of a list that is counted in full
_LOOKED_UP: Final = 10  # things whose findings are looked up in the index
_BRIEF: Final = ("id", "kind", "severity", "status", "of", "why")


def finding(service: Service, id_: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
    """Return a finding with its evidence, causes, consequences and judgements; None if there is none with this id.

    Cost:
        As for the list of findings, because related ones may be anywhere. In a large store the index answers, if there
        is one: then consequences are not looked up, and related findings only by what the cited facts are about.
    """
    if (index := _asked_of_index(service, at, known_at)) is not None:
        return _from_index(service, index, id_, at)
    found = survey(service, at, known_at)
    one = found.report.findings.get(id_)
    if one is None:
        return None
    every = found.report.findings
    causes = [every[cause] for cause in one.caused_by if cause in every]
    consequences = [other for other in every.values() if id_ in other.caused_by]
    connected = {id_, *(other.id for other in (*causes, *consequences))}
    related = [other for other in every.values() if other.id not in connected and _is_related(one, other)]
    document = finding_document(one, found.options, status_of(one, found.judgements, found.options, at))
    return {
        **_details(document, one.facts),
        "causes": _listed(found, causes),
        "consequences": _listed(found, consequences),
        "related": _listed(found, related),
        **_decided(one, found.judgements, found.options, at),
        "as_of": service.as_of(),
    }


def found_by_id(service: Service, id_: str, at: Instant) -> tuple[Finding, FactIndex] | None:
    """Return a finding and its judgements in the cheapest way; None if there is none with this id."""
    if (index := _asked_of_index(service, at, None)) is not None:
        kept = _kept(service, index, id_)
        if kept is None or kept.status == RESOLVED:
            return None
        with service.reader() as reader:
            return finding_as_kept(service, kept.document), judgements_of(reader, [id_])
    found = survey(service, at)
    one = found.report.findings.get(id_)
    return None if one is None else (one, found.judgements)


def finding_as_kept(service: Service, document: Mapping[str, Any]) -> Finding:
    """Return the finding of a document of the index, with the facts that it cites."""
    return _finding_of(document, _cited(service, document))


def _asked_of_index(service: Service, at: Instant, known_at: Instant | None) -> KeptAsked | None:
    """Return the index to ask if the store is too large to be evaluated for one finding, or None."""
    if known_at is not None or sum(service.store.positions().values()) <= kept_list.COMPUTED:
        return None
    return asked_of_index(service, at, None)


def _from_index(service: Service, index: KeptAsked, id_: str, at: Instant) -> Document | None:
    kept = _kept(service, index, id_)
    if kept is None:
        return None
    facts = _cited(service, kept.document)
    one, options = _finding_of(kept.document, facts), service.options
    with service.reader() as reader:
        judgements = judgements_of(reader, [id_])
    status = RESOLVED if kept.status == RESOLVED else status_of(one, judgements, options, at)
    causes = kept_findings.kept_of(service.store, kept.document["caused_by"])
    related: dict[str, StoredFinding] = {}
    for key in list(dict.fromkeys([one.of, *(about(fact.event) for fact in facts)]))[:_LOOKED_UP]:
        rows = kept_findings.page(service.store, Filters(of=key), index.moment, None, _SHOWN + 1)
        related.update((row.id, row) for row in rows if row.id != id_ and row.id not in causes)
    ranked = sorted(related.values(), key=lambda row: (-row.severity, -row.last_seen, row.id))
    return {
        **_details({**kept.document, "status": status}, facts),
        "causes": _in_brief([row.document for row in causes.values()]),
        "consequences": {"items": [], "total": None, "complete": False},
        "related": _in_brief([row.document for row in ranked]),
        **_decided(one, judgements, options, at),
        "as_of": as_of(service.store, service.log, index.state.swept or {}, index.state.recorded_at),
    }


def _kept(service: Service, index: KeptAsked, id_: str) -> StoredFinding | None:
    found = kept_findings.kept_of(service.store, [id_]).get(id_)
    return None if found is None or index.state.swept is None else found


def _cited(service: Service, document: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Return the facts that a document cites."""
    digests = {fact["digest"] for fact in document["facts"]}
    facts = service.store.facts_cited([(fact["source"], fact["event_id"]) for fact in document["facts"]])
    return in_order(fact for fact in facts if digest(fact.event) in digests)


def _finding_of(document: Mapping[str, Any], facts: tuple[Fact, ...]) -> Finding:
    return Finding(document["kind"], document["of"], document["why"], facts, about=document["about"])


def _details(document: Mapping[str, Any], facts: tuple[Fact, ...]) -> Document:
    rule = RULES.get(document["kind"])
    return {
        **document,
        "title": rule.title if rule else document["kind"],
        "evidence": [mention_document(fact) for fact in in_order(facts)],
        "evidence_complete": len(facts) < CITED,
    }


def _decided(one: Finding, judgements: FactIndex, options: Options, at: Instant) -> Document:
    """Return the judgements of a finding: the one in force, and all."""
    return {
        "judgement": _in_force(one, judgements, options, at),
        "judgements": [_judgement(fact) for fact in in_order(judgements.get(one.id)) if fact.given_at <= at],
    }


def _is_related(one: Finding, other: Finding) -> bool:
    """Whether two findings are about the same thing, or cite the same fact."""
    if one.of == other.of:
        return True
    cited = {(fact.event.source, fact.event.event_id) for fact in one.facts}
    return any((fact.event.source, fact.event.event_id) in cited for fact in other.facts)


def _listed(found: Survey, findings: Iterable[Finding]) -> Document:
    ranked = worst_first(findings, found.options)
    return _in_brief(
        [
            finding_document(one, found.options, status_of(one, found.judgements, found.options, found.at))
            for one in ranked
        ]
    )


def _in_brief(documents: Sequence[Mapping[str, Any]]) -> Document:
    """Summarise findings, worst first, and count them."""
    items = [{name: one[name] for name in _BRIEF} for one in documents[:_SHOWN]]
    return {"items": items, "total": len(documents), "complete": len(items) == len(documents)}


def _in_force(one: Finding, judgements: FactIndex, options: Options, at: Instant) -> Document | None:
    """Return the judgement in force, else the exception in the settings that covers it, else None."""
    judged = judgement_of(judgements, one.id, at)
    if judged is not None:
        return _judgement(judged)
    each = exempted(one, options, at)
    if each is None:
        return None
    return {
        "judgement": "suppressed",
        "by": each.by,
        "reason": each.reason,
        "until": format_instant(each.until),
        "judged_at": None,
        "source": "settings",
        "counts": True,
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
        "counts": counts(body),
    }


def briefs_of(
    service: Service, ids: Collection[str], *, at: Instant, known_at: Instant | None = None
) -> dict[str, Document]:
    """Return the documents of some findings, by id; unknown ones are omitted.

    Cost:
        As for the list of findings, once for all of them.
    """
    if known_at is None and (index := _asked_of_index(service, at, known_at)) is not None:
        kept = kept_findings.kept_of(service.store, ids) if index.state.swept is not None else {}
        return {id_: {**row.document, "status": row.status} for id_, row in kept.items()}
    found = survey(service, at, known_at)
    every = {id_: found.report.findings[id_] for id_ in ids if id_ in found.report.findings}
    return {
        id_: finding_document(one, found.options, status_of(one, found.judgements, found.options, at))
        for id_, one in every.items()
    }
