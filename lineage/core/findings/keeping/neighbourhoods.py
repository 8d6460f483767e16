"""The surroundings of a thing on which each rule depends: the changes after which it must be evaluated again.

Time is not listed: a rule that compares something with the current time is evaluated again when the outcome of the
comparison changes (``clock.py``). A rule without an entry is evaluated again after every change.

``ONLY_OF`` has the input that a grant, a token, an action or a decision must offer for a rule to find anything, so that
nearly all rules can skip the things about which they can find nothing. ``ONLY_AROUND`` has the same for what its
surroundings must offer when it is examined, unless it offers that itself.
"""

from typing import Final

from lineage.core.findings.scene import inputs


class Aspect:
    """An aspect of a thing's surroundings that may change. Each is a bit, so that a set of aspects is a sum.

    Attributes:
        OWN: The facts about it, about its transitive dependencies, and about the parties that these name.
        USES: The successes under it, or by it.
        CHILDREN: The elements that depend on it directly.
        ACTIVITY: The last use, the last derivation and the needed scopes, at any depth below it.
        ALIVE: Whether it is alive; for a party, whether anything that names it is.
        REACH: The living elements at any depth below it.
        ORDERS: The orders on it, on its dependencies, and on its asserted prior actors.
        HISTORY: What its party received, delegated or did before.
        ISSUER: The facts about its issuer.
        PLACE: The other tokens with its status list entry.
        DECISIONS: How usual a decision is for its source and operation.
        DENIALS: The requests of its party that were denied or permitted.
        WORDS: How its source spells operations.
        SOURCE: Whether its source names authority, and whether anybody sends decisions.
        POLICY: The versions of the policy it was decided by.
        SIGHTS: When it was first and last named.
    """

    OWN: Final = 1
    USES: Final = 2
    CHILDREN: Final = 4
    ACTIVITY: Final = 8
    ALIVE: Final = 16
    REACH: Final = 32
    ORDERS: Final = 64
    HISTORY: Final = 128
    ISSUER: Final = 256
    PLACE: Final = 512
    DECISIONS: Final = 1_024
    DENIALS: Final = 2_048
    WORDS: Final = 4_096
    SOURCE: Final = 8_192
    POLICY: Final = 16_384
    SIGHTS: Final = 32_768


EVERYTHING: Final = -1

NEIGHBOURHOODS: Final[dict[str, int]] = {
    "scope-exceeds-parent": Aspect.OWN,
    "audience-exceeds-parent": Aspect.OWN,
    "outlives-parent": Aspect.OWN,
    "delegation-depth-exceeded": Aspect.OWN,
    "granted-after-expiry": Aspect.OWN,
    "granted-after-revocation": Aspect.OWN | Aspect.ORDERS,
    "renewal-widened": Aspect.OWN | Aspect.HISTORY,
    "ungrounded-delegation": Aspect.OWN | Aspect.HISTORY,
    "self-approval": Aspect.OWN,
    "unapproved-delegation": Aspect.OWN,
    "delegation-from-untrusted-instruction": Aspect.OWN | Aspect.HISTORY | Aspect.ORDERS,
    "chain-mismatch": Aspect.OWN,
    "cycle": Aspect.OWN,
    "branch": Aspect.OWN,
    "subject-change": Aspect.OWN,
    "subject-mismatch": Aspect.OWN,
    "wielder-mismatch": Aspect.OWN,
    "delegation-mismatch": Aspect.OWN,
    "suspect": Aspect.OWN | Aspect.ORDERS,
    "shared-status-list": Aspect.OWN | Aspect.PLACE,
    "kind-contradiction": Aspect.OWN,
    "disagreement": Aspect.OWN,
    "action-outside-scope": Aspect.OWN | Aspect.WORDS,
    "action-outside-audience": Aspect.OWN,
    "action-outside-task": Aspect.OWN,
    "used-after-expiry": Aspect.OWN,
    "used-before-valid": Aspect.OWN,
    "used-after-revocation": Aspect.OWN | Aspect.ORDERS,
    "tainted-use": Aspect.OWN | Aspect.ORDERS,
    "used-while-suspended": Aspect.OWN | Aspect.ORDERS,
    "unattributed-action": Aspect.OWN | Aspect.SOURCE,
    "action-without-decision": Aspect.OWN | Aspect.DECISIONS,
    "action-after-deny": Aspect.OWN | Aspect.DENIALS,
    "decision-mismatch": Aspect.OWN,
    "decision-reused": Aspect.OWN | Aspect.USES,
    "decision-stale": Aspect.OWN | Aspect.ORDERS | Aspect.POLICY,
    "action-from-untrusted-instruction": Aspect.OWN | Aspect.HISTORY | Aspect.WORDS,
    "impersonating-exchange": Aspect.OWN | Aspect.USES,
    "human-uses-agent-credential": Aspect.OWN,
    "environment-crossed": Aspect.OWN,
    "credential-replay": Aspect.OWN | Aspect.USES | Aspect.CHILDREN,
    "refresh-token-reuse": Aspect.OWN | Aspect.USES | Aspect.CHILDREN,
    "credential-shared": Aspect.OWN | Aspect.USES,
    "credential-across-tools": Aspect.OWN | Aspect.USES,
    "identity-shared": Aspect.OWN,
    "client-shared": Aspect.OWN,
    "unbound-credential": Aspect.OWN | Aspect.ISSUER,
    "unknown-issuer": Aspect.OWN | Aspect.ISSUER,
    "long-lived-credential": Aspect.OWN | Aspect.ORDERS,
    "standing-access": Aspect.OWN | Aspect.ORDERS,
    "broad-scope": Aspect.OWN,
    "scope-unstated": Aspect.OWN,
    "unused-access": Aspect.OWN | Aspect.ACTIVITY | Aspect.ALIVE,
    "dormant-but-alive": Aspect.OWN | Aspect.ACTIVITY | Aspect.ALIVE,
    "no-human-root": Aspect.OWN | Aspect.REACH,
    "revocation-unreachable": Aspect.OWN | Aspect.ALIVE,
    "agent-unregistered": Aspect.OWN | Aspect.SIGHTS,
    "agent-ownerless": Aspect.OWN,
    "owner-offboarded": Aspect.OWN | Aspect.ALIVE | Aspect.ORDERS,
    "agent-without-purpose": Aspect.OWN,
    "agent-unbound": Aspect.OWN | Aspect.ALIVE | Aspect.HISTORY,
    "excessive-reach": Aspect.OWN | Aspect.REACH,
    "revocation-overdue": Aspect.OWN | Aspect.ORDERS | Aspect.REACH,
    "mass-revocation": Aspect.OWN | Aspect.ORDERS | Aspect.REACH,
    "coverage-narrowed": Aspect.OWN,
    "shared-order-id": Aspect.OWN,
    "far-effective-at": Aspect.OWN,
    "lift-without-effect": Aspect.OWN,
    "acknowledgement-before-order": Aspect.OWN,
    "acknowledgement-without-order": Aspect.OWN,
    "unregistered-receiver": Aspect.OWN,
    "fan-out-burst": Aspect.OWN | Aspect.USES | Aspect.CHILDREN,
    "repeated-denials": Aspect.OWN | Aspect.DENIALS,
    "first-seen-edge": Aspect.OWN | Aspect.HISTORY,
    "source-silent": Aspect.OWN,
    "late-fact": Aspect.OWN,
    "future-fact": Aspect.OWN,
    "sequence-hole": Aspect.OWN,
    "unauthorised": Aspect.OWN,
    "raw-credential-sent": Aspect.OWN,
    "conflict": Aspect.OWN,
    "exception-expired": Aspect.OWN,
}


def neighbourhood(kind: str) -> int:
    """Return the aspects of a thing's surroundings on which a rule depends."""
    return NEIGHBOURHOODS.get(kind, EVERYTHING)


ONLY_OF: Final[dict[str, str]] = {
    "scope-exceeds-parent": inputs.WIDER,
    "audience-exceeds-parent": inputs.FARTHER,
    "outlives-parent": inputs.LONGER,
    "granted-after-expiry": inputs.TOO_LATE,
    "renewal-widened": inputs.TASK,
    "ungrounded-delegation": inputs.BY_AGENT,
    "self-approval": inputs.APPROVAL,
    "delegation-from-untrusted-instruction": inputs.INSTRUCTED,
    "chain-mismatch": inputs.LOOSE_LINK,
    "cycle": inputs.LOOSE_LINK,
    "branch": inputs.LOOSE_LINK,
    "subject-change": inputs.LOOSE_LINK,
    "subject-mismatch": inputs.ON_BEHALF,
    "wielder-mismatch": inputs.MISFIT,
    "delegation-mismatch": inputs.PLACED,
    "suspect": inputs.PRIOR_ACTORS,
    "shared-status-list": inputs.LISTED,
    "disagreement": inputs.RESTATED,
    "action-outside-scope": inputs.USE,
    "action-outside-audience": inputs.AT_TOOL,
    "action-outside-task": inputs.USE,
    "used-after-expiry": inputs.LATE_USE,
    "used-before-valid": inputs.EARLY_USE,
    "used-after-revocation": inputs.SUCCESS,
    "tainted-use": inputs.SUCCESS,
    "used-while-suspended": inputs.SUCCESS,
    "unattributed-action": inputs.UNGRANTED_USE,
    "action-without-decision": inputs.UNDECIDED,
    "action-after-deny": inputs.SUCCESS,
    "decision-mismatch": inputs.DECIDED,
    "decision-stale": inputs.DECIDED,
    "action-from-untrusted-instruction": inputs.UNTRUSTED,
    "impersonating-exchange": inputs.UNACTED,
    "human-uses-agent-credential": inputs.MISFIT,
    "environment-crossed": inputs.SUCCESS,
    "credential-replay": inputs.REPLAYABLE,
    "unbound-credential": inputs.UNBOUND,
    "long-lived-credential": inputs.LONG_LIVED,
    "standing-access": inputs.LONG_LIVED,
    "broad-scope": inputs.BROAD,
    "scope-unstated": inputs.UNSCOPED,
    "dormant-but-alive": inputs.LASTING,
    "no-human-root": inputs.MACHINE_ROOT,
}

ONLY_AROUND: Final[dict[str, str]] = {
    "refresh-token-reuse": inputs.REPLACED,
    "credential-shared": inputs.SHARED,
    "credential-across-tools": inputs.MANY_TOOLS,
    "fan-out-burst": inputs.CROWDED,
    "granted-after-revocation": inputs.ORDERED,
    "unknown-issuer": inputs.FOREIGN,
    "excessive-reach": inputs.MANY_BELOW,
    "action-without-decision": inputs.USUALLY_DECIDED,
    "repeated-denials": inputs.DENIED,
    "kind-contradiction": inputs.REGISTRATION,
    "disagreement": inputs.RESTATED,
}


def can_find(kind: str, offered: frozenset[str] | None, around: frozenset[str] | None = None) -> bool:
    """Whether a rule can find anything about a thing.

    Args:
        kind: The rule.
        offered: The inputs that the thing offers; None for a thing that is not a grant, token, action or decision.
        around: The inputs that its surroundings offer; None if this is not known.
    """
    if offered is not None and (needed := ONLY_OF.get(kind)) is not None and needed not in offered:
        return False
    if around is None or (needed := ONLY_AROUND.get(kind)) is None or needed in around:
        return True
    return offered is not None and needed in offered
