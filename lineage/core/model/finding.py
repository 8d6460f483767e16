"""A finding: an inconsistency with the facts that show it, its severity, and its identity. A finding is no verdict.

The kinds are listed under clause 8.2: ``branch``, ``chain-mismatch``, ``disagreement``, ``cycle``, ``suspect``,
``wielder-mismatch``, ``delegation-mismatch``, ``subject-mismatch``, ``kind-contradiction``, ``shared-order-id``,
``lift-without-effect``, ``far-effective-at``, ``sequence-hole``; ``unauthorised`` for a fact that is kept but has no
effect on the state; ``subject-change``, if a token on a path has another subject than the one before it and neither an
actor nor a delegation explains it (ADR 0006); ``shared-status-list``, if two tokens have the same entry; and
``coverage-narrowed``, if a receiver covers less than before. ``closure_findings.py`` has the
inconsistencies of acknowledgements and late uses.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Final

from lineage.core.model.events import Fact, canonical_json, fact_order
from lineage.core.model.times import Instant

CITED: Final = 20  # the most facts that a finding cites
_ID_DIGITS: Final = 20


class Severity(IntEnum):
    """The severities, from informational to critical: the five levels and numbers of OCSF's ``severity_id``."""

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    @property
    def word(self) -> str:
        """The severity as answers show it."""
        return self.name.lower()


SEVERITIES: dict[str, Severity] = {severity.word: severity for severity in reversed(Severity)}
"""Every severity by its word, the worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong or inconsistent.

    Attributes:
        kind: One of the kinds above, or of the rules in ``lineage.core.findings``.
        of: ``KIND:ID`` of the subject.
        why: One sentence for people; a ``Sentence`` has tags for the things that it names.
        facts: The facts that show it.
        about: The other element, or the field; None if there is none. With ``kind`` and ``of`` it is the identity.
        severity: The severity; None for the default of its rule.
        first_seen: When it was first true; None for when the last of its facts was given.
        last_seen: When it was last true; None for when the last of its facts was given.
        count: The number of times that it was observed.
        caused_by: The ids of the findings without which this one would not exist.
    """

    kind: str
    of: str
    why: str
    facts: tuple[Fact, ...]
    about: str | None = None
    severity: Severity | None = None
    first_seen: Instant | None = None
    last_seen: Instant | None = None
    count: int = 1
    caused_by: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its identity, which does not change when further facts arrive."""
        return finding_id(self.kind, self.of, self.about)


@lru_cache(maxsize=4_096)  # the id of one finding is asked for several times
def finding_id(kind: str, of: str, about: str | None = None) -> str:
    """Return the id of a finding: it depends on the rule and its subject, never on facts, times or words.

    Examples:
        >>> finding_id("cycle", "delegation:d1")
        'F-fa99baf66ef9a1729be9'
    """
    identity = canonical_json({"rule": kind, "of": of, "about": about})
    return f"F-{hashlib.sha256(identity).hexdigest()[:_ID_DIGITS]}"


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
