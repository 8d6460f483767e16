"""Build findings, and merge those with the same identity."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from lineage.core.authority.findings import Finding
from lineage.core.model.events import Fact, fact_order
from lineage.core.model.severities import Severity
from lineage.core.model.times import Instant

CITED = 20  # the most facts that a finding cites


def finding(
    kind: str,
    of: str,
    why: str,
    facts: Iterable[Fact],
    *,
    at: Instant,
    last: Instant | None = None,
    about: str | None = None,
    severity: Severity | None = None,
    count: int = 1,
    caused_by: Iterable[str] = (),
) -> Finding:
    """Build a finding of something that was true at an instant, or from one instant to another."""
    return Finding(
        kind,
        of,
        why,
        tuple(dict.fromkeys(facts)),
        about=about,
        severity=severity,
        first_seen=at,
        last_seen=at if last is None else last,
        count=count,
        caused_by=tuple(sorted(set(caused_by))),
    )


def merged(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Index findings by id, merging those with the same identity in any order."""
    alike: dict[str, set[Finding]] = {}
    for one in findings:
        alike.setdefault(one.id, set()).add(one)
    return {id_: _one(group) for id_, group in alike.items()}


def merge(group: Collection[Finding]) -> Finding:
    """Merge findings with one identity, in any order."""
    return _alone(next(iter(group))) if len(group) == 1 else _one(set(group))


def _alone(only: Finding) -> Finding:
    return replace(only, first_seen=first_seen(only), last_seen=last_seen(only), facts=_first(only.facts))


def _one(group: set[Finding]) -> Finding:
    if len(group) == 1:
        return _alone(*group)
    ranked = sorted(group, key=lambda one: (-(one.severity or 0), one.why))
    return replace(
        ranked[0],
        facts=_first(fact for one in group for fact in one.facts),
        first_seen=min(map(first_seen, group)),
        last_seen=max(map(last_seen, group)),
        count=sum(one.count for one in group),
        caused_by=tuple(sorted({cause for one in group for cause in one.caused_by})),
    )


def _first(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    return tuple(sorted(set(facts), key=fact_order)[:CITED])


def first_seen(one: Finding) -> Instant:
    """Return when it was first true: as its rule states, else when the last of its facts was given."""
    return one.first_seen if one.first_seen is not None else _given(one)


def last_seen(one: Finding) -> Instant:
    """Return when it was last true."""
    return one.last_seen if one.last_seen is not None else _given(one)


def _given(one: Finding) -> Instant:
    return max((fact.given_at for fact in one.facts), default=0)
