"""Settings of the rules: thresholds, the meaning of scopes and audiences, severities, exceptions. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lineage.core.model.finding import Severity
from lineage.core.model.times import DAY, HOUR, MINUTE, SECOND, Instant

# Scopes that identify someone and permit nothing (OpenID Connect Core 1.0 sections 5.4 and 11).
LOGIN_SCOPES: Final = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})


def this_minute(at: Instant) -> Instant:
    """Return the start of the minute: the ``last_seen`` of ongoing findings, which must not change constantly."""
    return at // MINUTE * MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOptions:
    """The settings of one rule; None means the declared default."""

    enabled: bool | None = None
    severity: Severity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exempted:
    """An exception: findings that are accepted until an instant.

    Attributes:
        rule: The kind of the findings.
        of: A pattern for their subject; ``*`` stands for any characters. None for anything.
        principal: A pattern for a principal that one of their facts names. None for any.
        source: A pattern for the source of one of their facts. None for any.
        reason: Why they are accepted.
        by: Who accepted them.
        until: The first instant at which they are no longer accepted.
    """

    rule: str
    of: str | None = None
    principal: str | None = None
    source: str | None = None
    reason: str
    by: str
    until: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything that rules read besides facts. Durations are in microseconds.

    Attributes:
        rules: The settings of rules, by kind.
        exempted: The exceptions.
        scope_match: ``exact``, or ``prefix`` where ``crm:*`` contains ``crm:read``.
        implies: The scopes that a scope contains besides itself.
        needed: The scopes that an operation or a tool needs, by its name.
        operations: ``scopes`` if operations are spelled like scopes, ``names`` if not, ``auto`` to assume it for a
            source once one of its operations is a scope of the authority used.
        audiences: The audience of a tool, by its name.
        sensitive: Patterns of scopes and operations that need a person's approval.
        broad: Scopes that are too wide for an agent, besides wildcards.
        caching: Sources whose permits are intentionally used more than once.
        restating: Sources that state their grants again after a restart, under new event ids.
        history: How many earlier actions of an agent must be known before an operation is new for it.
    """

    rules: Mapping[str, RuleOptions] = field(default_factory=dict)
    exempted: tuple[Exempted, ...] = ()
    scope_match: str = "exact"
    implies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    needed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    operations: str = "auto"
    audiences: Mapping[str, str] = field(default_factory=dict)
    sensitive: tuple[str, ...] = ()
    broad: frozenset[str] = frozenset({"*", "admin", "*:write"})
    caching: frozenset[str] = frozenset()
    restating: frozenset[str] = frozenset()

    leeway: Instant = 30 * SECOND  # RFC 7519 section 4.1.4: "some small leeway, usually no more than a few minutes"
    retry_window: Instant = 60 * SECOND
    decision_age: Instant = 300 * SECOND
    decision_share: float = 0.9
    decision_window: Instant = 30 * DAY
    decision_least: int = 10
    rotation_grace: Instant = 10 * SECOND
    history: int = 3
    tools: int = 3
    tools_window: Instant = HOUR
    client_agents: int = 2
    issuer_age: Instant = 30 * DAY
    token_life: Instant = DAY
    refresh_life: Instant = 30 * DAY
    delegation_life: Instant = 30 * DAY
    scopes: int = 20
    unused: Instant = 90 * DAY
    dormant: Instant = 30 * DAY
    dormant_left: Instant = 7 * DAY
    reach_elements: int = 1_000
    reach_agents: int = 100
    burst: int = 50
    burst_window: Instant = MINUTE
    denials: int = 5
    denials_kinds: int = 3
    denials_window: Instant = 10 * MINUTE
    offences: int = 3
    offences_window: Instant = DAY
    revocations: int = 20
    revocations_window: Instant = 10 * MINUTE
    revocation_kills: int = 1_000
    silence: int = 10
    silence_facts: int = 50
    late: Instant = DAY


DEFAULT: Final = Options()
"""The defaults."""
