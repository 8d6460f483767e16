"""The declaration of a rule: its name, severity, requirements, mappings and remedy."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lineage.core.findings.frameworks import REFERENCES, Reference
from lineage.core.model.finding import Finding, Severity

if TYPE_CHECKING:
    from lineage.core.findings.scene.scene import Scene

Check = Callable[["Scene", str], Iterable[Finding]]
"""Examines one thing (``KIND:ID``) and yields findings."""
Missing = Callable[["Scene"], str | None]
"""Explains why a rule cannot be evaluated in a scene, as a clause; None if it can."""

TOKEN: Final = "token"
UNGRANTED: Final = "ungranted"  # tokens that are used or drawn on, although nobody granted them
DELEGATION: Final = "delegation"
ACTION: Final = "action"
DECISION: Final = "decision"
PRINCIPAL: Final = "principal"
NAMED: Final = "named"  # names in tokens other than principals: clients and sessions
KEY: Final = "key"  # the thumbprint of a key
REVOCATION: Final = "revocation"
RECEIVER: Final = "receiver"
SOURCE: Final = "source"
RULE: Final = "rule"  # exceptions in the settings
SUBJECTS: Final = (
    TOKEN, UNGRANTED, DELEGATION, ACTION, DECISION, PRINCIPAL, NAMED, KEY, REVOCATION, RECEIVER, SOURCE, RULE,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the catalogue.

    Attributes:
        kind: Its name, which is the ``kind`` of its findings.
        severity: The default severity of its findings.
        title: The problem in a few words.
        of: The kinds of thing that it examines.
        check: Examines one of them.
        needs: The facts that it needs, described for people.
        looks_at: The kinds of ``inputs``, each of which must occur for the rule to be evaluated.
        settings: The settings that it reads.
        maps_to: Codes of ``frameworks.REFERENCES``.
        fix: The remedy, in a sentence.
        missing: Explains why it cannot be evaluated.
        posture: Whether it checks a state rather than detects an event.
        wide: Whether it needs all facts rather than a thing's surroundings.
        optional: Whether it is off by default.
    """

    kind: str
    severity: Severity
    title: str
    of: tuple[str, ...]
    check: Check
    needs: str
    fix: str
    maps_to: tuple[str, ...]
    looks_at: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    missing: Missing | None = None
    posture: bool = False
    wide: bool = False
    optional: bool = False

    @property
    def references(self) -> tuple[Reference, ...]:
        """The framework entries it maps to."""
        return tuple(REFERENCES[code] for code in self.maps_to)
