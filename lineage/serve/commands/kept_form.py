"""The stored form of findings in the index."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from lineage.core.authority.world import World
from lineage.core.findings.evaluation import Report
from lineage.core.findings.judging import status_of
from lineage.core.findings.options import Options
from lineage.core.findings.rules.catalogue import severity_of
from lineage.core.model.finding import Finding, last_seen
from lineage.core.model.times import Instant
from lineage.serve.documents.core_documents import finding_document
from lineage.store.kept_findings import CHANGED, OPENED, REFRESHED, RESOLVED, Current, StoredFinding


def kept(one: Finding, options: Options, status: str) -> StoredFinding:
    """Convert a finding to its stored form."""
    return StoredFinding(
        *(one.id, one.kind, one.of, one.about),
        severity=int(severity_of(one.kind, one.severity, options)),
        status=status,
        last_seen=last_seen(one),
        recorded_at=max((fact.recorded_at for fact in one.facts), default=0),
        document=finding_document(one, options, status),
    )


def kept_report(report: Report, world: World, options: Options, at: Instant) -> dict[str, StoredFinding]:
    """Convert everything that an evaluation found to its stored form."""
    return {
        one.id: kept(one, options, status_of(one, world.judgements, options, at)) for one in report.findings.values()
    }


def differences(
    before: Mapping[str, Current], found: Mapping[str, StoredFinding]
) -> Iterator[tuple[str, StoredFinding]]:
    """Yield how the findings differ from the stored ones."""
    for id_, one in found.items():
        known = before.get(id_)
        if known is None or known.change == RESOLVED:
            yield OPENED, one
        elif (known.severity, known.status) != (one.severity, one.status):
            yield CHANGED, one
        elif known.digest != one.digest:
            yield REFRESHED, one


def resolved(one: StoredFinding) -> StoredFinding:
    """Return a stored finding as resolved."""
    return replace(one, status=RESOLVED, document={**one.document, "status": RESOLVED})
