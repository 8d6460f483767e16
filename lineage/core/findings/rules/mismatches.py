"""Inconsistencies of an action: in its own facts, and with its token."""

from collections.abc import Iterator
from typing import Final

from lineage.core.authority.chain import Chain, wielder
from lineage.core.authority.elements import Element, first_stated
from lineage.core.authority.world import World
from lineage.core.findings.rules.chains import chain_findings
from lineage.core.findings.rules.contradictions import contradictions, decision_findings, principal_findings, shown
from lineage.core.model.events import Fact, WorkloadBound
from lineage.core.model.finding import Finding, Severity
from lineage.core.model.sentences import keyed, sentence
from lineage.core.model.times import Instant

# The message for each field in which an action may differ from its token.
_THEFTS: Final = {
    "actor": "Possible token theft: {} used a token issued to {} ({} with {})",
    "workload": "Possible token theft: workload {} used a token bound to {} ({} with {})",
    "key_thumbprint": "Possible token theft: key {} signed for a token bound to key {} ({} with {})",
}
# The fields of an action that its token states too: the noun for the message, and the name of the token's field.
# The actor of an action is compared with the user of its token, which is its subject if it names no other.
_WIELDED: Final = (
    ("actor", "wielder-mismatch", "subject"),
    ("workload", "wielder-mismatch", "workload"),
    ("key_thumbprint", "wielder-mismatch", "key_thumbprint"),
    ("delegation", "delegation-mismatch", "delegation"),
    ("on_behalf_of", "subject-mismatch", "subject"),
)
_IDENTICAL: Final = frozenset({"key_thumbprint", "delegation"})  # the fields that do not name a party


def own_action_findings(world: World, action: str) -> Iterator[Finding]:
    """Find what is inconsistent in one action alone, and between it and its token."""
    yield from contradictions(world, f"action:{action}", world.actions.get(action))
    yield from _token_mismatches(world, action)


def action_findings(world: World, action: str, chain: Chain, at: Instant) -> list[Finding]:
    """Find what is inconsistent in an action: with its chain, within itself, and with its token."""
    authority = world.authority(action)
    facts = world.actions.get(action)
    decision = first_stated(facts, "decision")
    found = chain_findings(world, authority, chain, at) if authority else []
    if not authority:
        for hop in chain.hops:
            found += principal_findings(world, hop.principal)
    if decision:
        found += decision_findings(world, decision.value)
    return found + list(own_action_findings(world, action))


def _token_mismatches(world: World, action: str) -> Iterator[Finding]:
    """Find where the action's own actor, workload, key, delegation or on_behalf_of differs from its token.

    A token states for whom it was issued, not who used it.
    """
    facts = world.actions.get(action)
    named = first_stated(facts, "token")
    key = f"token:{named.value}" if named else None
    element = world.graph.element(key) if key else None
    if key is None or element is None:
        return
    same = world.principals.same
    cited = (*facts, *element.facts)
    for field, kind, of_token in _WIELDED:
        stated = first_stated(facts, field)
        if stated is None:
            continue
        held_by = wielder(world, key) if field == "actor" else None
        expected = held_by.principal if held_by else element.first(of_token)
        if expected is None or stated.value == expected:
            continue
        if field in _IDENTICAL or not same(stated.value, expected):
            is_exempt = field == "actor" and (
                _runs_as(world, str(stated.value), str(expected)) or _is_approved(world, facts, str(stated.value))
            )
            severity = Severity.INFORMATIONAL if is_exempt else _severity_of_mismatch(facts, element, field)
            used, made_for = shown(field, stated.value), shown(field, expected)
            why = sentence(
                "{} was done with {} {}; {} was issued to {}",
                keyed(f"action:{action}"),
                field,
                used,
                keyed(key),
                made_for,
            )
            if kind == "subject-mismatch":
                why = sentence(
                    "{} was done on behalf of {} with {}, which acts for {}",
                    keyed(f"action:{action}"),
                    used,
                    keyed(key),
                    made_for,
                )
            elif kind == "delegation-mismatch":
                why = sentence(
                    "{} was done under delegation {} with {}, which was issued under delegation {}",
                    keyed(f"action:{action}"),
                    used,
                    keyed(key),
                    made_for,
                )
            if kind == "wielder-mismatch" and severity != Severity.INFORMATIONAL:
                why = sentence(_THEFTS[field], used, made_for, keyed(f"action:{action}"), keyed(key))
            yield Finding(kind, f"action:{action}", why, cited, about=field, severity=severity)


def _severity_of_mismatch(facts: tuple[Fact, ...], element: Element, field: str) -> Severity | None:
    """Lower the severity of a failed attempt, and of another actor under an unbound token, who may be a gateway."""
    if not any(getattr(fact.event.body, "outcome", None) == "succeeded" for fact in facts):
        return Severity.INFORMATIONAL
    bound = element.first("workload") is not None or element.first("key_thumbprint") is not None
    return Severity.MEDIUM if field == "actor" and not bound else None


def _runs_as(world: World, workload: str, agent: str) -> bool:
    """Whether an agent is bound to a workload, so that it may act under that name."""
    return any(
        isinstance(body := fact.event.body, WorkloadBound)
        and world.principals.same(body.agent, agent)
        and world.principals.same(body.workload, workload)
        for fact in world.principals.bindings.get(workload)
    )


def _is_approved(world: World, action_facts: tuple[Fact, ...], actor: str) -> bool:
    """Whether a decision permits this actor to act, and another person approved that ("break glass")."""
    decision = world.decision_facts(action_facts)
    asked, approver = first_stated(decision, "actor"), first_stated(decision, "approved_by")
    if asked is None or approver is None or not all(getattr(fact.event.body, "permitted", False) for fact in decision):
        return False
    principals = world.principals
    by_another = principals.kind(str(approver.value)) == "human" and not principals.same(str(approver.value), actor)
    return by_another and principals.same(str(asked.value), actor)
