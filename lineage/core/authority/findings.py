"""Findings: inconsistencies, each with the facts that show it. A finding is never a verdict.

The kinds are listed under clause 8.2: ``branch``, ``chain-mismatch``, ``disagreement``, ``cycle``, ``suspect``,
``wielder-mismatch``, ``delegation-mismatch``, ``subject-mismatch``, ``kind-contradiction``, ``shared-order-id``,
``lift-without-effect``, ``far-effective-at``, ``sequence-hole``; ``unauthorised`` for a fact that is kept but has no
effect on the state; ``subject-change``, if a token on a path has another subject than the one before it and neither an
actor nor a delegation explains it (ADR 0006); ``shared-status-list``, if two tokens have the same entry; and
``coverage-narrowed``, if a receiver covers less than before. ``closure_findings.py`` has the
inconsistencies of acknowledgements and late uses.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lineage.core.authority.receivers import Receivers, narrowed, registration_of
from lineage.core.model.events import Fact, canonical_json
from lineage.core.model.sentences import moment, sentence, thing
from lineage.core.model.severities import Severity
from lineage.core.model.times import Instant

_ID_DIGITS: Final = 20


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
        count: How many times it was observed.
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


def finding_id(kind: str, of: str, about: str | None = None) -> str:
    """Return the id of a finding: it depends on the rule and its subject, never on facts, times or words.

    Examples:
        >>> finding_id("cycle", "delegation:d1")
        'F-fa99baf66ef9a1729be9'
    """
    identity = canonical_json({"rule": kind, "of": of, "about": about})
    return f"F-{hashlib.sha256(identity).hexdigest()[:_ID_DIGITS]}"


def coverage_findings(receivers: Receivers, receiver: str) -> Iterator[Finding]:
    """Find registrations by which a receiver covers less than it did before: ``coverage-narrowed``."""
    for before, after in receivers.narrowings(receiver):
        earlier, later = registration_of(before), registration_of(after)
        less = "; ".join(
            f"{field}: {_shown(getattr(later, field))}, before {_shown(getattr(earlier, field) or 'all')}"
            for field in narrowed(earlier, later)
        )
        why = sentence(
            "{} covers less since {} ({}); orders given earlier still count what it covered before",
            thing("receiver", receiver),
            moment(after.given_at),
            less,
        )
        yield Finding("coverage-narrowed", f"receiver:{receiver}", why, (before, after))


def _shown(value: object) -> str:
    return f"({', '.join(map(str, value))})" if isinstance(value, tuple) else str(value)
