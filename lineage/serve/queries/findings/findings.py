"""Findings: every rule over every fact, filtered, paged and exported; and gates.

Findings are computed from all facts on request. A page states the time it was computed for, and the next page is
computed for the same time and knowledge, so that no finding is on two pages.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from lineage.core.authority.elements import FactIndex
from lineage.core.authority.world import World
from lineage.core.findings.evaluation import Report, evaluate
from lineage.core.findings.judging import STATUSES, SUPPRESSED, status_of, worst_first
from lineage.core.findings.options import Options
from lineage.core.findings.rules.catalogue import RULES, severity_of
from lineage.core.model.errors import RefusedError, TooManyError
from lineage.core.model.finding import SEVERITIES, Finding, Severity, last_seen
from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS, key_of, split_key, split_of
from lineage.core.model.times import Instant, format_instant, parse_instant
from lineage.serve.documents.core_documents import Document, finding_document, listing
from lineage.serve.documents.finding_formats import as_csv, as_lines, as_ocsf, as_sarif
from lineage.serve.documents.refusal_wording import no_such
from lineage.serve.queries.findings.finding_facts import gathered
from lineage.serve.queries.findings.kept_list import asked_of_index, every_kept, filters_of, kept_page
from lineage.serve.queries.service import Service
from lineage.store.kept_findings import Filters

# What a finding can be of, or about.
SUBJECT_KINDS: Final = tuple(
    sorted(ELEMENT_KINDS | NAME_KINDS | {"action", "decision", "key", "receiver", "revocation", "rule", "source"})
)
PAGE: Final = 1_000  # the default limit of a list


class FindingFilter(NamedTuple):
    """A filter of findings.

    Attributes:
        of: ``KIND:ID`` of what is wrong, or what it is about; None for anything.
        kinds, severities, statuses: The allowed values; empty for all. Suppressed findings are only returned on
            request.
        since: Only findings last seen then or later.
    """

    of: str | None = None
    kinds: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    since: Instant | None = None
    everything: bool = False

    def check(self) -> None:
        """Refuse invalid values.

        Raises:
            RefusedError: There is no such rule, severity, status or kind of thing; the message says which there are.
        """
        for name, values, known in (
            ("kind", self.kinds, RULES),
            ("severity", self.severities, SEVERITIES),
            ("status", self.statuses, STATUSES),
        ):
            if unknown := [one for one in values if one not in known]:
                raise RefusedError(no_such(name, unknown[0], known, listed_by="'delegraph posture'"))
        if self.of is not None and split_of(self.of)[0] not in SUBJECT_KINDS:
            raise RefusedError(no_such("kind", split_of(self.of)[0], SUBJECT_KINDS))

    def given(self) -> Filters:
        """Return the same filters as the index has them."""
        return filters_of(
            *(self.of, self.kinds, self.severities, self.statuses, self.since),
            everything=self.everything,
        )

    def takes(self, one: Finding, severity: Severity, status: str) -> bool:
        """Whether a finding matches."""
        if status == SUPPRESSED and not (self.everything or SUPPRESSED in self.statuses):
            return False
        return (
            (self.of is None or self.of in (one.of, one.about))
            and (not self.kinds or one.kind in self.kinds)
            and (not self.severities or severity.word in self.severities)
            and (not self.statuses or status in self.statuses)
            and (self.since is None or last_seen(one) >= self.since)
        )


class Survey(NamedTuple):
    """All findings at an instant, and the world they were found in."""

    world: World
    report: Report
    judgements: FactIndex
    options: Options
    at: Instant

    def ordered(self) -> list[tuple[Finding, Severity, str]]:
        """Return the findings with severity and status, worst first."""
        return [
            (
                one,
                severity_of(one.kind, one.severity, self.options),
                status_of(one, self.judgements, self.options, self.at),
            )
            for one in worst_first(self.report.findings.values(), self.options)
        ]


def survey(service: Service, at: Instant, known_at: Instant | None = None, options: Options | None = None) -> Survey:
    """Evaluate every rule over every known fact.

    Cost:
        Every fact is read into memory: about 0.2 ms and 2 KB per fact.

    Raises:
        TooManyError: There are more records than one request may cost.
    """
    records = sum(service.store.progress()[0].values())
    if records > service.most:
        raise TooManyError(
            f"every rule would be evaluated over {records:,} records, too many for a request. Findings can be kept in "
            "an index that answers at once (delegraph findings keep); on the command line, delegraph findings and "
            "delegraph posture take their time"
        )
    options = service.options if options is None else options
    everything = gathered(service.store, service.trust.table, known_at)
    report = evaluate(everything.facts, options, at, world=everything.world, intake=everything.intake)
    return Survey(everything.world, report, everything.world.judgements, options, at)


def findings(
    service: Service,
    *,
    at: Instant,
    known_at: Instant | None = None,
    filters: FindingFilter | None = None,
    after: str | None = None,
    limit: int = PAGE,
    options: Options | None = None,
    fresh: bool = False,
) -> Document:
    """List what is wrong, worst first, one page at a time.

    Args:
        service: The service to query.
        at: The time asked about; for later pages, that of the first.
        known_at: Only facts recorded by then; None for all.
        filters: Which findings.
        after: The ``next`` of the previous page.
        limit: The most items of a page.
        options: The settings of the rules.
        fresh: Evaluate everything even if an index could answer.
    """
    filters = FindingFilter() if filters is None else filters
    filters.check()
    if known_at is None and options is None and not fresh and (index := asked_of_index(service, at, after)) is not None:
        return kept_page(service, index, filters.given(), limit)
    behind = None
    if after is not None:
        at, known_at, behind = _place(after)
    elif known_at is None:
        _, known_at = service.store.progress()  # the next page must not use newer facts than this one
    found = survey(service, at, known_at, options)
    every = found.ordered()
    matching = [row for row in every if filters.takes(*row)]
    hidden = sum(filters._replace(everything=True).takes(*row) for row in every) - len(matching)
    start = 0 if behind is None else sum(_rank(*row[:2]) <= behind for row in matching)
    page = matching[start : start + limit]
    more = start + limit < len(matching)
    following = _cursor(at, known_at, _rank(*page[-1][:2])) if more else None
    return {
        **listing(
            [finding_document(one, found.options, status) for one, _, status in page],
            total=len(matching),
            following=following,
        ),
        "as_of": service.as_of(),
        "not_evaluated": [{"kind": kind, "why": why} for kind, why in sorted(found.report.not_evaluated.items())],
        "by_severity": severities(severity for _, severity, _ in matching),
        "suppressed": hidden,
    }


def severities(found: Iterable[Severity]) -> dict[str, int]:
    """Count the findings of each severity, worst first, without zeros."""
    counts = Counter(found)
    return {severity.word: counts[severity] for severity in sorted(counts, reverse=True)}


_CHAINS: Final = 500  # findings whose chains are loaded at once
_EXPORTS: Final = ("jsonl", "csv", "ocsf", "sarif")
FORMATS: Final = ("table", "json", *_EXPORTS)


def exported(
    service: Service,
    format_: str,
    *,
    at: Instant,
    known_at: Instant | None = None,
    filters: FindingFilter | None = None,
    baseline: Collection[str] | None = None,
    fresh: bool = False,
) -> str:
    """Export the matching findings for other tools: ``jsonl``, ``csv``, ``ocsf`` or ``sarif``.

    Args:
        service: The service to query.
        format_: One of these four.
        at: The time asked about.
        known_at: Only facts recorded by then; None for all.
        filters: Which findings.
        baseline: The ids that are not new, for ``sarif``.
        fresh: Evaluate them even if an index is up to date.
    """
    filters = FindingFilter() if filters is None else filters
    filters.check()
    if format_ not in _EXPORTS:
        raise RefusedError(f"there is no format {format_!a}; there are {', '.join(FORMATS)}")
    read = None if fresh or known_at is not None else asked_of_index(service, at, exact=True)
    if read is not None:
        documents = [dict(one.document) for one in every_kept(service, read, filters.given())]
        return _kept_as_ocsf(service, documents) if format_ == "ocsf" else _written(format_, documents, baseline)
    found = survey(service, at, known_at)
    rows = [row for row in found.ordered() if filters.takes(*row)]
    documents = [finding_document(one, found.options, status) for one, _, status in rows]
    return as_ocsf(documents, found.world) if format_ == "ocsf" else _written(format_, documents, baseline)


def _kept_as_ocsf(service: Service, documents: list[Document]) -> str:
    """Convert findings of the index, for each part of which the chains are loaded."""
    written = []
    with service.reader() as reader:
        for start in range(0, len(documents), _CHAINS):
            part, world = documents[start : start + _CHAINS], reader.world()
            subjects = [split_key(one["of"]) for one in part]
            reader.load_actions(world, [id_ for kind, id_ in subjects if kind == "action"])
            reader.load_elements(world, [key_of(kind, id_) for kind, id_ in subjects if kind in ELEMENT_KINDS])
            written.append(as_ocsf(part, world))
    return "".join(written)


def _written(format_: str, documents: list[Document], baseline: Collection[str] | None) -> str:
    match format_:
        case "jsonl":
            return as_lines(documents)
        case "csv":
            return as_csv(documents)
        case _:
            return f"{as_sarif(documents, baseline)}\n"


_Rank = tuple[int, int, str]


def _rank(one: Finding, severity: Severity) -> _Rank:
    return -severity, -last_seen(one), one.id


def _cursor(at: Instant, known_at: Instant | None, rank: _Rank) -> str:
    known = "" if known_at is None else format_instant(known_at)
    return f"{format_instant(at)},{known},{-rank[0]},{-rank[1]},{rank[2]}"


def _place(after: str) -> tuple[Instant, Instant | None, _Rank]:
    try:
        at, known, severity, seen, id_ = after.split(",")
        known_at = parse_instant(known) if known else None
        return parse_instant(at), known_at, (-int(severity), -int(seen), id_)
    except ValueError:
        raise RefusedError("'after' is not the `next` of this list; begin again without it") from None


class OpenFinding(NamedTuple):
    """The part of an open finding that a gate needs."""

    id: str
    severity: Severity


def gate(
    service: Service,
    *,
    at: Instant,
    known_at: Instant | None = None,
    filters: FindingFilter | None = None,
    fresh: bool = False,
) -> list[OpenFinding]:
    """Return the open findings that match, for a gate; suppressed ones do not count.

    They are read from the index if it is up to date, unless ``fresh`` ones are asked for.
    """
    filters = FindingFilter() if filters is None else filters
    filters.check()
    if not fresh and known_at is None and (index := asked_of_index(service, at, exact=True)) is not None:
        kept = every_kept(service, index, filters.given())
        return [OpenFinding(one.id, Severity(one.severity)) for one in kept if one.status != SUPPRESSED]
    rows = survey(service, at, known_at).ordered()
    return [OpenFinding(row[0].id, row[1]) for row in rows if filters.takes(*row) and row[2] != SUPPRESSED]


def failing(found: list[OpenFinding], severity: Severity, baseline: Collection[str]) -> list[str]:
    """Return the ids of the findings of a severity or above that are not in the baseline."""
    return [one.id for one in found if one.severity >= severity and one.id not in baseline]


def posture_ids(found: list[OpenFinding]) -> list[str]:
    """Return the sorted ids of findings, as in a baseline."""
    return sorted(one.id for one in found)
