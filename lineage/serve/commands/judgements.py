"""Judge a finding: accept, suppress or reopen it with a reason, recorded as a fact in the log."""

from lineage.core.authority.world import World
from lineage.core.findings.judging import SUPPRESSED, status_of
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import FindingJudged
from lineage.core.model.times import Instant, format_instant
from lineage.serve.commands.append import send
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.findings.one_finding import found_by_id
from lineage.serve.queries.service import Service


def judge(
    service: Service, finding: str, judgement: str, *, by: str, reason: str, until: Instant | None = None
) -> Document | None:
    """Record a judgement of a finding in the log; None if there is no such finding.

    Raises:
        RefusedError: There is no reason, or a suppression has no end or one in the past; nothing was judged.
    """
    at = service.clock()
    if not reason.strip():
        raise RefusedError("a judgement needs a reason: give it in a sentence")
    if judgement == SUPPRESSED and until is None:
        raise RefusedError("a suppression needs an end: give the time until which the finding is accepted")
    if until is not None and until <= at:
        raise RefusedError(f"{format_instant(until)} has passed: give an end in the future")
    service.catch_up()
    found = found_by_id(service, finding, at)
    if found is None:
        return None
    one, judgements = found
    sent = send(service, FindingJudged(finding=finding, judgement=judgement, by=by, reason=reason, until=until), at)
    judged = World([*judgements.get(finding), sent])
    status = status_of(one, judged.judgements, service.options, max(at, sent.given_at))
    return {
        "finding": finding,
        "status": status,
        "by": by,
        "reason": reason,
        "until": None if until is None else format_instant(until),
        "judged_at": format_instant(sent.given_at),
        "as_of": service.as_of(),
    }
