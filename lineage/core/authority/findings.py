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
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import networkx as nx

from lineage.core.authority.chain import Chain, chain_of, wielder
from lineage.core.authority.elements import Element, Stated, disagreements, first_stated
from lineage.core.authority.orders import far_apart, lift_effect
from lineage.core.authority.principals import declared_kind
from lineage.core.authority.receivers import Receivers, narrowed, registration_of
from lineage.core.authority.status_list_index import MOST_SHARING
from lineage.core.authority.targets import aliases
from lineage.core.authority.world import World
from lineage.core.model.events import Fact, PrincipalRegistered, WorkloadBound, canonical_json
from lineage.core.model.keys import split_key
from lineage.core.model.sentences import keyed, listed, moment, principal, sentence, thing
from lineage.core.model.severities import Severity
from lineage.core.model.times import Instant

_ID_DIGITS: Final = 20
# Fields whose first stated value counts, so that a second value is suspicious. Not included are fields that combine
# (dependencies, aliases), change (a principal's name or owner) or count by the latest value (expiry). Names, audiences
# and status list entries combine as well but are included: two values mean that two parties used the same id.
_COMPARED: Final[dict[str, tuple[str, ...]]] = {
    "token": (
        "subject", "actor", "prior_actors", "client", "session", "delegation", "token_type", "scopes", "audience",
        "not_before", "workload", "key_thumbprint", "exchange", "status_list",
        "single_use", "no_scopes", "task",
    ),
    "delegation": (
        "delegator", "delegatee", "scopes", "audience", "purpose", "task", "max_depth", "not_before",
        "instruction_source", "approved_by", "single_use", "no_scopes",
    ),
    "principal": ("kind", "max_delegation_depth"),
    "decision": (
        "permitted", "operation", "resource", "token", "actor", "on_behalf_of", "workload", "session", "delegation",
        "policy", "reasons", "context", "approved_by", "prior_actors", "required_scopes", "params_digest",
    ),
    "action": (
        "operation", "outcome", "tool", "resource", "token", "actor", "prior_actors", "workload", "session",
        "delegation", "decision", "on_behalf_of", "key_thumbprint", "parent_action", "params_digest",
        "instruction_source", "required_scopes", "task",
    ),
}  # fmt: skip


# The message for each field in which an action may differ from its token.
_THEFTS: Final = {
    "actor": "Possible token theft: {} used a token issued to {} ({} with {})",
    "workload": "Possible token theft: workload {} used a token bound to {} ({} with {})",
    "key_thumbprint": "Possible token theft: key {} signed for a token bound to key {} ({} with {})",
}
# The fields of an action that its token states as well: what differs then, and under which name the token states it.
# The actor of an action is compared with the user of its token, which is its subject if it names no other.
_WIELDED: Final = (
    ("actor", "wielder-mismatch", "subject"),
    ("workload", "wielder-mismatch", "workload"),
    ("key_thumbprint", "wielder-mismatch", "key_thumbprint"),
    ("delegation", "delegation-mismatch", "delegation"),
    ("on_behalf_of", "subject-mismatch", "subject"),
)
_IDENTICAL: Final = frozenset({"key_thumbprint", "delegation"})  # those that are no parties
_PARTIES: Final = frozenset(
    {"subject", "actor", "prior_actors", "workload", "delegator", "delegatee", "approved_by", "on_behalf_of"}
)
_UNITED: Final = frozenset({"audience", "status_list"})
# The kinds of the things that fields name.
_NAMED: Final = {
    **dict.fromkeys(_PARTIES, "principal"),
    **{field: field for field in ("client", "session", "delegation", "token", "decision", "tool")},
    "parent_action": "action",
    "key_thumbprint": "key",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong or inconsistent.

    Attributes:
        kind: One of the kinds above, or of the rules in ``lineage.core.findings``.
        of: ``KIND:ID`` of the subject.
        why: One sentence for people; a ``Sentence`` knows what it names.
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


def chain_findings(world: World, key: str, chain: Chain, at: Instant) -> list[Finding]:
    """Find what is inconsistent in the chain of an element."""
    found: list[Finding] = []
    path = (*chain.tokens, *chain.delegations)
    for element, others in chain.branches.items():
        why = sentence("{} has other parents than the one on this path: {}", keyed(element), listed(map(keyed, others)))
        found.append(Finding("branch", element, why, world.graph.facts.get(element)))
    found += [Finding("chain-mismatch", key, why, _facts_of(world, path)) for why in chain.mismatch]
    found += cycles(world, key)
    for element in path:
        found += element_findings(world, element, at)
    found += _subject_changes(world, chain, chain.tokens)
    for id_ in dict.fromkeys(hop.principal for hop in chain.hops):
        found += principal_findings(world, id_)
    return found


def element_findings(world: World, key: str, at: Instant) -> list[Finding]:
    """Find inconsistencies in the facts about one element: ``disagreement``, ``suspect``, ``shared-status-list``."""
    facts = world.graph.facts.get(key)
    shared = [*_shared_places(world, key, facts)]
    if len(facts) == 1 and not getattr(facts[0].event.body, "prior_actors", ()):
        return shared
    found = shared + (list(_disagreements(world, key, facts)) if len(facts) > 1 else [])
    element = world.graph.element(key)
    asserted = {prior for fact in facts for prior in getattr(fact.event.body, "prior_actors", ())}
    for prior in sorted(asserted):
        names = set(aliases(world, f"principal:{prior}"))
        if element and names.isdisjoint(element.names):
            orders = [order for name in names for order in world.orders.on(name) if order.in_force(at)]
            if orders:
                order = min(orders, key=lambda candidate: candidate.rank)
                why = sentence(
                    "{}, a prior actor of {}, is the target of {}; a prior actor is asserted, "
                    "so the token is suspect and not dead",
                    principal(prior),
                    keyed(key),
                    thing("revocation", order.body.revocation),
                )
                found.append(Finding("suspect", key, why, (*facts, order.fact), about=f"principal:{prior}"))
    return found


def _shared_places(world: World, key: str, facts: Iterable[Fact]) -> Iterator[Finding]:
    """Find other tokens with the same status list entry: one status cannot hold for both."""
    for place in dict.fromkeys(getattr(fact.event.body, "status_list", None) for fact in facts):
        if place is None:
            continue
        others = sorted(other for other in world.listings.tokens.get(place, ()) if other != key)
        if len(others) > MOST_SHARING:  # which of them were loaded for a question is arbitrary: name none
            why = sentence(
                "{} stands at {} in {}, and so do more than {} other tokens, which are not listed",
                keyed(key),
                place.idx,
                place.uri,
                MOST_SHARING,
            )
            about = f"status_list:{place.uri}#{place.idx}"
            yield Finding("shared-status-list", key, why, _facts_of(world, (key,)), about=about)
        elif others:
            why = sentence(
                "{} stands at {} in {}, and so does {}", keyed(key), place.idx, place.uri, listed(map(keyed, others))
            )
            about = f"status_list:{place.uri}#{place.idx}"
            yield Finding("shared-status-list", key, why, _facts_of(world, (key, *others)), about=about)


def own_element_findings(world: World, key: str, at: Instant) -> Iterator[Finding]:
    """Find what is inconsistent in one element alone: in its facts, in its own links of the chain, and its cycles."""
    chain = chain_of(world, key)
    if (others := chain.branches.get(key)) is not None:
        why = sentence("{} has other parents than the one on this path: {}", keyed(key), listed(map(keyed, others)))
        yield Finding("branch", key, why, world.graph.facts.get(key))
    path = (*chain.tokens, *chain.delegations)
    yield from (Finding("chain-mismatch", key, said, _facts_of(world, path)) for said in chain.mismatch)
    yield from cycles(world, key)
    if key in path:
        yield from element_findings(world, key, at)
    yield from _subject_changes(world, chain, chain.tokens[-2:])


def own_action_findings(world: World, action: str) -> Iterator[Finding]:
    """Find what is inconsistent in one action alone, and between it and its token."""
    yield from _disagreements(world, f"action:{action}", world.actions.get(action))
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


def decision_findings(world: World, decision: str) -> list[Finding]:
    """Find what is inconsistent in the facts about one decision: ``disagreement``."""
    return list(_disagreements(world, f"decision:{decision}", world.decisions.get(decision)))


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
        said = first_stated(facts, field)
        if said is None:
            continue
        held_by = wielder(world, key) if field == "actor" else None
        expected = held_by.principal if held_by else element.first(of_token)
        if expected is None or said.value == expected:
            continue
        if field in _IDENTICAL or not same(said.value, expected):
            meant = field == "actor" and (
                _runs_as(world, str(said.value), str(expected)) or _is_approved(world, facts, str(said.value))
            )
            severity = Severity.INFORMATIONAL if meant else _severity_of_mismatch(facts, element, field)
            used, made_for = _shown(field, said.value), _shown(field, expected)
            why = sentence(
                "{} was done with {} {}; {} was issued to {}",
                keyed(f"action:{action}"),
                field,
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


def principal_findings(world: World, id_: str) -> list[Finding]:
    """Find what is inconsistent in the facts about a principal: ``kind-contradiction``, ``disagreement``."""
    facts = world.principals.registrations.get(id_)
    if not facts:
        return []
    declared = declared_kind(id_)
    contradicting = [
        fact
        for fact in facts
        if isinstance(fact.event.body, PrincipalRegistered) and declared not in (None, fact.event.body.kind)
    ]
    found = list(_disagreements(world, f"principal:{id_}", facts))
    if contradicting:
        kinds = sorted({fact.event.body.kind for fact in contradicting})  # type: ignore[union-attr]
        why = sentence(
            "{} is of the kind {} by its prefix and was registered as {}", principal(id_), declared, ", ".join(kinds)
        )
        found.append(Finding("kind-contradiction", f"principal:{id_}", why, tuple(contradicting)))
    return found


def order_findings(world: World, revocation: str) -> list[Finding]:
    """Find what is inconsistent in the orders and lifts of one id: ``shared-order-id``, ``lift-without-effect``."""
    orders, lifts = world.orders.by_id.get(revocation), world.orders.lifts.get(revocation)
    of = f"revocation:{revocation}"
    found = []
    if len(orders) > 1:
        why = sentence("{} orders share the id {}; all of them stand", len(orders), thing("revocation", revocation))
        found.append(Finding("shared-order-id", of, why, orders))
    for given in orders:
        order = world.orders.resolve(given)
        effective_at, given_at = order.effective_at, order.given_at
        if far_apart(effective_at, given_at):
            why = sentence(
                "{} was ordered at {} and takes effect at {}, more than a year away",
                thing("revocation", revocation),
                moment(given_at),
                moment(effective_at),
            )
            found.append(Finding("far-effective-at", of, why, (given,)))
    for lift in lifts:
        before = [order for order in orders if order.given_at <= lift.given_at]
        if not before:
            why = sentence(
                "no order {} was given before this lift of {}", thing("revocation", revocation), moment(lift.given_at)
            )
            found.append(Finding("lift-without-effect", of, why, (lift,)))
        for fact in before:
            order = world.orders.resolve(fact)
            if not world.orders.applies(lift, fact):
                why = sentence(
                    "the trust table does not let {} speak about {}, so its lift of {} does not count for {}",
                    thing("source", lift.event.source),
                    thing(order.target.kind, order.target.id),
                    thing("revocation", revocation),
                    keyed(order.key),
                )
                found.append(Finding("lift-without-effect", of, why, (fact, lift)))
            elif order.on_element and not order.suspends and lift_effect(lift) > order.effective_at:
                why = sentence(
                    "{} revoked {} for good before this lift; lifting it brings nothing back",
                    thing("revocation", revocation),
                    keyed(order.key),
                )
                found.append(Finding("lift-without-effect", of, why, (fact, lift)))
    return found


def coverage_findings(receivers: Receivers, receiver: str) -> Iterator[Finding]:
    """Find registrations by which a receiver covers less than it did before: ``coverage-narrowed``."""
    for before, after in receivers.narrowings(receiver):
        earlier, later = registration_of(before), registration_of(after)
        less = "; ".join(
            f"{field}: {_shown(field, getattr(later, field))}, before {_shown(field, getattr(earlier, field) or 'all')}"
            for field in narrowed(earlier, later)
        )
        why = sentence(
            "{} covers less since {} ({}); orders given earlier still count what it covered before",
            thing("receiver", receiver),
            moment(after.given_at),
            less,
        )
        yield Finding("coverage-narrowed", f"receiver:{receiver}", why, (before, after))


def cycles(world: World, key: str) -> list[Finding]:
    """Find the cycles among the transitive dependencies of an element."""
    above = world.graph.above(key)
    if _ever_later(world, above):
        return []
    # Remove the elements without a parent in the set, until only cycles and their descendants remain.
    waiting = {node: sum(parent in above for parent in world.graph.parents(node)) for node in above}
    ready = [node for node, count in waiting.items() if count == 0]
    while ready:
        node = ready.pop()
        del waiting[node]
        for child in world.graph.children(node):
            if child in waiting:
                waiting[child] -= 1
                if waiting[child] == 0:
                    ready.append(child)
    if not waiting:
        return []
    found = []
    left = nx.DiGraph((node, child) for node in waiting for child in world.graph.children(node) if child in waiting)
    for component in nx.strongly_connected_components(left):
        smallest = min(component)
        if len(component) > 1 or smallest in world.graph.parents(smallest):
            members = sorted(component)
            why = sentence("these depend on one another: {}", listed(map(keyed, members)))
            found.append(Finding("cycle", smallest, why, _facts_of(world, members)))
    return sorted(found, key=lambda finding: finding.of)


def _ever_later(world: World, keys: Iterable[str]) -> bool:
    """Whether every element was issued later than its dependencies, as is usual: then there is no cycle."""
    graph = world.graph
    for key in keys:
        element = graph.element(key)
        for parent in element.parents if element else ():
            above = graph.element(parent)
            if element and above and above.issued_at >= element.issued_at:
                return False
    return True


def sequence_hole(before: Fact, after: Fact) -> Finding:
    """Build the finding of a gap in the sequence numbers of a source: events that were sent but never arrived."""
    source, first, last = after.event.source, (before.event.sequence or 0) + 1, (after.event.sequence or 0) - 1
    missing = str(first) if first == last else f"{first} to {last}"
    why = sentence(
        "{} numbers its events without gaps, and sequence {} never arrived", thing("source", source), missing
    )
    return Finding("sequence-hole", f"source:{source}", why, (before, after), about=f"sequence {missing}")


def unauthorised(fact: Fact, of: str) -> Finding:
    """Build the finding of a fact that is kept without effect on the state, because of its source or its topic."""
    event = fact.event
    why = (
        f"{event.type} came by the topic of decisions, where nobody may order"
        if fact.misrouted
        else sentence(
            "the trust table does not let {} say {} of {}", thing("source", event.source), event.type, keyed(of)
        )
    )
    return Finding("unauthorised", of, why, (fact,), about=event.source)


def _subject_changes(world: World, chain: Chain, tokens: Sequence[str]) -> Iterator[Finding]:
    """Find where the subject changes from one token of a chain to the next, among some that follow one another."""
    subjects = [element.first("subject") if (element := world.graph.element(key)) else None for key in tokens]
    for position, (before, after) in enumerate(itertools.pairwise(subjects)):
        if before == after:
            continue
        standing = {hop.principal for hop in chain.hops}
        if before and after and not any(world.principals.same(after, other) for other in (before, *standing)):
            above, below = tokens[position], tokens[position + 1]
            why = sentence(
                "{} acts for {}, but was derived from {}, which acts for {}",
                keyed(below),
                principal(after),
                keyed(above),
                principal(before),
            )
            yield Finding("subject-change", below, why, _facts_of(world, (above, below)), about=above)


def _disagreements(world: World, of: str, facts: tuple[Fact, ...]) -> Iterator[Finding]:
    for field, stated_ones in disagreements(facts, _COMPARED[split_key(of)[0]]) if len(facts) > 1 else ():
        values = _of_different_parties(world, stated_ones) if field in _PARTIES else stated_ones
        if len(values) == 1:
            continue
        stated_values = listed(_shown(field, value.value) for value in values)
        holds = "all of them count" if field in _UNITED else "the first stated holds"
        why = sentence("{} has several values for {}: {}; {}", keyed(of), field, stated_values, holds)
        yield Finding("disagreement", of, why, tuple(value.fact for value in values), about=field)


def _of_different_parties(world: World, values: list[Stated]) -> list[Stated]:
    """Return one value for each different party: an alias is not another party."""
    first: dict[object, Stated] = {}
    for one in values:
        ids = one.value if isinstance(one.value, tuple) else (one.value,)
        first.setdefault(tuple(min(world.principals.party(id_)) for id_ in ids), one)
    return list(first.values())


def _shown(field: str, value: object) -> str:
    """Return a value of a field, tagged if it names something."""
    if isinstance(value, tuple):
        return sentence("({})", listed(_named(field, one) for one in value))
    return _named(field, value)


def _named(field: str, value: object) -> str:
    return thing(_NAMED[field], str(value)) if field in _NAMED else str(value)


def _facts_of(world: World, keys: Iterable[str]) -> tuple[Fact, ...]:
    return tuple(fact for key in keys for fact in world.graph.facts.get(key))


__all__ = [
    "Finding",
    "action_findings",
    "chain_findings",
    "coverage_findings",
    "cycles",
    "decision_findings",
    "element_findings",
    "order_findings",
    "principal_findings",
    "sequence_hole",
    "unauthorised",
]
