"""A rule as it is declared: what it is called, how much it matters, what it needs, what it maps to, what to do."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lineage.core.authority.findings import Finding
from lineage.core.findings.frameworks import REFERENCES, Reference
from lineage.core.model.severities import Severity

if TYPE_CHECKING:
    from lineage.core.findings.scene import Scene

Check = Callable[["Scene", str], Iterable[Finding]]
"""Looks at one thing (``KIND:ID``) and says what is wrong with it."""
Missing = Callable[["Scene"], str | None]
"""Why a rule cannot be evaluated in a scene, as a clause; None if it can."""

TOKEN: Final = "token"
DELEGATION: Final = "delegation"
ACTION: Final = "action"
DECISION: Final = "decision"
PRINCIPAL: Final = "principal"
NAMED: Final = "named"  # what tokens name besides principals: clients and sessions
KEY: Final = "key"  # the thumbprint of a key
REVOCATION: Final = "revocation"
RECEIVER: Final = "receiver"
SOURCE: Final = "source"
RULE: Final = "rule"  # of the settings
SUBJECTS: Final = (TOKEN, DELEGATION, ACTION, DECISION, PRINCIPAL, NAMED, KEY, REVOCATION, RECEIVER, SOURCE, RULE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the catalogue.

    Attributes:
        kind: Its name, which is the ``kind`` of its findings.
        severity: How much a finding matters if the rule does not say otherwise of one.
        title: What is wrong, in a few words.
        of: The kinds of thing that it looks at.
        check: Looks at one of them.
        needs: The facts that it needs, in words.
        settings: The settings that it reads.
        maps_to: Codes of ``frameworks.REFERENCES``.
        fix: What to do about it, in a sentence.
        missing: Why it cannot be evaluated.
        posture: Whether it is a check of how things stand, rather than a detection of something that happened.
        wide: Whether it needs to have seen everything, rather than what surrounds the thing it looks at.
        optional: Whether it is off unless the settings switch it on.
    """

    kind: str
    severity: Severity
    title: str
    of: tuple[str, ...]
    check: Check
    needs: str
    fix: str
    maps_to: tuple[str, ...]
    settings: tuple[str, ...] = ()
    missing: Missing | None = None
    posture: bool = False
    wide: bool = False
    optional: bool = False

    @property
    def references(self) -> tuple[Reference, ...]:
        """What it maps to."""
        return tuple(REFERENCES[code] for code in self.maps_to)
