"""Every rule by kind, in catalogue order."""

from typing import Final

from lineage.core.findings.options import Options
from lineage.core.findings.rules import (
    acting,
    agents,
    behaviour,
    consistency,
    credentials,
    deciding,
    exceptions,
    granting,
    identities,
    responding,
    sources,
    standing,
    using,
    widening,
)
from lineage.core.findings.rules.rule import Rule
from lineage.core.model.finding import Severity

FAMILIES: Final = (
    widening,
    granting,
    consistency,
    using,
    deciding,
    acting,
    credentials,
    identities,
    standing,
    agents,
    responding,
    behaviour,
    sources,
    exceptions,
)
RULES: Final[dict[str, Rule]] = {rule.kind: rule for family in FAMILIES for rule in family.RULES}
"""The rules by kind."""


def is_on(rule: Rule, options: Options) -> bool:
    """Whether the settings enable a rule."""
    settings = options.rules.get(rule.kind)
    return not rule.optional if settings is None or settings.enabled is None else settings.enabled


def severity_of(kind: str, own_severity: Severity | None, options: Options) -> Severity:
    """Return the severity of a finding: from the settings of its rule, else its own, else the rule's default."""
    own = options.rules.get(kind)
    if own is not None and own.severity is not None:
        return own.severity
    if own_severity is not None:
        return own_severity
    return RULES[kind].severity if kind in RULES else Severity.MEDIUM
