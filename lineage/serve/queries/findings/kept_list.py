"""List findings from the index, if it can answer.

A small store is evaluated on request, unless the index is exact. A large one is answered from the index as it is, and
the answer states its age: ``as_of`` is that of the last full evaluation.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from lineage.core.findings.judging import RESOLVED, SUPPRESSED
from lineage.core.model.errors import RefusedError
from lineage.core.model.finding import SEVERITIES, Severity
from lineage.core.model.times import Instant, format_instant
from lineage.serve.cache.loader import as_of
from lineage.serve.documents.core_documents import Document, listing
from lineage.serve.queries.findings.finding_basis import basis_of
from lineage.serve.queries.service import Service
from lineage.store import kept_findings
from lineage.store.kept_findings import Filters, FindingPosition, IndexState, Moment, StoredFinding

COMPUTED: Final = 20_000  # records of the log up to which an evaluation takes a few seconds
_FRESH: Final = 60_000_000  # microseconds within which nothing urgent becomes wrong merely because time passes
_MARK: Final = "kept"
_AT_ONCE: Final = 2_000  # findings read at once


class KeptAsked(NamedTuple):
    """A question to the index: its state, and the place after which to continue."""

    state: IndexState
    moment: Moment
    behind: FindingPosition | None


def asked_of_index(service: Service, at: Instant, after: str | None = None, *, exact: bool = False) -> KeptAsked | None:
    """Return the question for the index if it can answer; None if the answer must be computed.

    Args:
        service: The service to query.
        at: The time asked about.
        after: The ``next`` of a page.
        exact: Whether an index that is behind is not good enough, even for a large store.

    Raises:
        RefusedError: A list that was started from the index can no longer be continued.
    """
    state = kept_findings.state_of(service.store)
    is_usable = (
        state.swept is not None
        and state.edition == service.store.edition()
        and state.basis == basis_of(service.options, service.trust.table)
    )
    if after is not None:
        if not after.startswith(f"{_MARK},"):
            return None
        moment, place = _place(after)
        if not is_usable or not kept_findings.is_remembered(moment, service.clock()):
            raise RefusedError("the findings have changed since this list was begun; begin again without 'after'")
        return KeptAsked(state, moment, place)
    if not is_usable or not state.swept_at <= at <= service.clock() + _FRESH:
        return None
    positions = service.store.positions()
    is_exact = dict(state.swept or {}) == positions and at - state.swept_at <= _FRESH
    if not is_exact and (exact or sum(positions.values()) <= COMPUTED):
        return None
    return KeptAsked(state, Moment(state.turn, service.clock()), None)


def every_kept(service: Service, index: KeptAsked, filters: Filters) -> Iterator[StoredFinding]:
    """Yield all findings that match, worst first, from one state of the index."""
    behind: FindingPosition | None = None
    while rows := kept_findings.page(service.store, filters, index.moment, behind, _AT_ONCE):
        yield from rows
        last = rows[-1]
        behind = FindingPosition(-last.severity, -last.last_seen, last.id)


def kept_page(service: Service, index: KeptAsked, filters: Filters, limit: int) -> Document:
    """Return a page of the list."""
    state = index.state
    numbers = _numbers(service, index, replace(filters, not_statuses=()))
    severities: Counter[int] = Counter()
    for (severity, status), count in numbers.items():
        severities[severity] += count if status not in filters.not_statuses else 0
    severities += Counter()  # without zero counts
    total = severities.total()
    rows = kept_findings.page(service.store, filters, index.moment, index.behind, limit + 1) if total else []
    page = rows[:limit]
    following = _next(index.moment, page[-1]) if len(rows) > limit else None
    return {
        **listing([dict(one.document) for one in page], total=total, following=following),
        "not_evaluated": [{"kind": kind, "why": why} for kind, why in sorted(state.not_evaluated.items())],
        "by_severity": {Severity(number).word: severities[number] for number in sorted(severities, reverse=True)},
        "suppressed": sum(numbers.values()) - total,
        **progress_of(service, index),
    }


def progress_of(service: Service, index: KeptAsked) -> Document:
    """Return how far the index is: as of which record, for which moment, and how many records it does not know."""
    state = index.state
    return {
        "as_of": as_of(service.store, service.log, state.swept or {}, state.recorded_at),
        "kept": {
            "evaluated_at": format_instant(state.swept_at),
            "not_looked_at": sum(end - state.looked.get(place, 0) for place, end in service.store.positions().items()),
        },
    }


def counts_of(service: Service, index: KeptAsked) -> Mapping[tuple[str, int, str], int]:
    """Count the findings of the index by kind, severity and status."""
    return index.state.numbers or kept_findings.counts(service.store)


def _numbers(service: Service, index: KeptAsked, filters: Filters) -> dict[tuple[int, str], int]:
    """Count what matches, by severity and status, from the counts of the index if they suffice."""
    state = index.state
    uncounted = not state.numbers or index.moment.turn != state.turn or RESOLVED in filters.statuses
    if uncounted or filters.of is not None or filters.since is not None:
        return kept_findings.numbers(service.store, filters, index.moment)
    found: Counter[tuple[int, str]] = Counter()
    for (kind, severity, status), count in state.numbers.items():
        if (
            (not filters.kinds or kind in filters.kinds)
            and (not filters.severities or severity in filters.severities)
            and (not filters.statuses or status in filters.statuses)
        ):
            found[severity, status] += count
    return found


def filters_of(
    of: str | None,
    kinds: tuple[str, ...],
    severities: tuple[str, ...],
    statuses: tuple[str, ...],
    since: Instant | None,
    *,
    everything: bool,
) -> Filters:
    """Convert filters for the index. Suppressed and resolved findings are only returned on request."""
    hidden = () if everything or SUPPRESSED in statuses else (SUPPRESSED,)
    return Filters(
        of=of,
        kinds=kinds,
        severities=tuple(int(SEVERITIES[word]) for word in severities),
        statuses=statuses,
        not_statuses=hidden,
        since=since,
    )


def _next(moment: Moment, last: StoredFinding) -> str:
    return f"{_MARK},{moment.turn},{moment.at},{-last.severity},{-last.last_seen},{last.id}"


def _place(after: str) -> tuple[Moment, FindingPosition]:
    try:
        _, turn, at, rank, seen, id_ = after.split(",")
        return Moment(int(turn), int(at)), FindingPosition(int(rank), int(seen), id_)
    except ValueError:
        raise RefusedError("'after' is not the `next` of this list; begin again without it") from None
