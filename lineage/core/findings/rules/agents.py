"""Posture rules about agents: registered, owned, bound, with a purpose; and the potential damage of what they hold."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from lineage.core.authority.elements import last_stated
from lineage.core.findings.rules.identities import no_bindings
from lineage.core.findings.rules.rule import NAMED, PRINCIPAL, TOKEN, Rule
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.events import Fact, WorkloadBound
from lineage.core.model.finding import Finding, Severity, finding
from lineage.core.model.sentences import keyed, principal, sentence, thing
from lineage.core.model.times import NEVER

_LEFT: Final = frozenset({"offboarding", "role_change"})
_MOST_NAMING: Final = 50  # elements that name an agent, examined for one that it holds


def agent_unregistered(scene: Scene, key: str) -> Iterator[Finding]:
    """Find agents named by grants, tokens or actions but never registered."""
    id_ = key.removeprefix("principal:")
    sample = scene.tally.principals.get(id_)
    if sample is None or scene.kind(id_) != "agent" or scene.world.principals.facts_of(id_):
        return
    why = sentence("{} is an agent, and nobody registered it", principal(id_))
    yield finding("agent-unregistered", key, why, (sample.fact,), at=sample.first, last=sample.last)


def agent_ownerless(scene: Scene, key: str) -> Iterator[Finding]:
    """Find registered agents without an owner."""
    for id_, facts in _registered_agent(scene, key):
        if scene.world.principals.owner(id_) is None:
            why = sentence("{} was registered without an owner", principal(id_))
            yield finding("agent-ownerless", key, why, facts, at=facts[0].given_at)


def agent_without_purpose(scene: Scene, key: str) -> Iterator[Finding]:
    """Find registered agents without a stated purpose."""
    for id_, facts in _registered_agent(scene, key):
        if last_stated(facts, "purpose") is None:
            why = sentence("{} was registered without a purpose", principal(id_))
            yield finding("agent-without-purpose", key, why, facts, at=facts[0].given_at)


def _registered_agent(scene: Scene, key: str) -> Iterator[tuple[str, tuple[Fact, ...]]]:
    """Yield a registered agent with the registrations of its party, at the first of its registered ids."""
    id_ = key.removeprefix("principal:")
    principals = scene.world.principals
    if scene.kind(id_) == "agent" and _is_first_registered(scene, id_):
        yield id_, principals.facts_of(id_)


def _is_first_registered(scene: Scene, id_: str) -> bool:
    """Whether an id is the first registered one of its party, so that a party is reported once."""
    principals = scene.world.principals
    return id_ == min((one for one in principals.party(id_) if one in principals.registrations), default=None)


def owner_offboarded(scene: Scene, key: str) -> Iterator[Finding]:
    """Find owners who have left, or are not registered although people are, while the agent still holds elements."""
    id_ = key.removeprefix("principal:")
    if not _is_first_registered(scene, id_):
        return
    owner = scene.world.principals.owner(id_)
    if owner is None or next(scene.alive_naming(id_), None) is None:
        return
    orders = [
        order
        for member in sorted(scene.world.principals.party(owner.value))
        for order in scene.world.orders.on(f"principal:{member}")
        if order.body.reason in _LEFT and order.in_force(scene.at) and scene.at < order.lifted_at
    ]
    if orders:
        order = min(orders, key=lambda one: one.rank)
        why = sentence(
            "{}, the owner of {}, was revoked by {} ({}), and the agent still holds live authority",
            principal(owner.value),
            principal(id_),
            thing("revocation", order.body.revocation),
            order.body.reason.replace("_", " "),
        )
        facts = (owner.fact, order.fact)
        yield finding("owner-offboarded", key, why, facts, at=order.effective_at, about=f"principal:{owner.value}")
    elif scene.people_are_registered and not scene.world.principals.facts_of(owner.value):
        why = sentence(
            "{}, the owner of {}, is not registered, and the agent holds live authority",
            principal(owner.value),
            principal(id_),
        )
        yield finding(
            "owner-offboarded", key, why, (owner.fact,), at=owner.fact.given_at, about=f"principal:{owner.value}"
        )


def agent_unbound(scene: Scene, key: str) -> Iterator[Finding]:
    """Find agents that hold elements and are not, or no longer, bound to a workload."""
    id_ = key.removeprefix("principal:")
    party = scene.party(id_)
    if scene.kind(id_) != "agent" or id_ != _first_named(scene, id_):
        return
    bindings = [
        fact
        for member in sorted(scene.world.principals.party(id_))
        for fact in scene.world.principals.bindings.get(member)
        if isinstance(fact.event.body, WorkloadBound) and scene.same(fact.event.body.agent, id_)
    ]
    if any(_ends_at(fact) > scene.at for fact in bindings):
        return
    held = _first_held(scene, id_)
    if held is None:
        return
    acted = scene.tally.acting.get(party)
    state = "the binding of {} to a workload has ended" if bindings else "{} was never bound to a workload"
    if _is_held_by(scene, held, id_):
        why = sentence(f"{state}, and it holds {{}}", principal(id_), keyed(held)) + (" and acts" if acted else "")
    else:
        why = sentence(f"{state}, and {{}} names it", principal(id_), keyed(held)) + (", and it acts" if acted else "")
    facts = (*bindings, *scene.world.graph.facts.get(held), *((acted.fact,) if acted else ()))
    at = max((_ends_at(fact) for fact in bindings), default=scene.world.graph.facts.get(held)[0].given_at)
    yield finding("agent-unbound", key, why, facts, at=at, severity=Severity.MEDIUM if acted else None)


def _first_held(scene: Scene, id_: str) -> str | None:
    """Return a living element that an agent holds; if none of the first that name it is held by it, the first."""
    first = None
    for key in islice(scene.alive_naming(id_), _MOST_NAMING):
        if _is_held_by(scene, key, id_):
            return key
        first = first or key
    return first


def _is_held_by(scene: Scene, key: str, id_: str) -> bool:
    holder = scene.holder(key)
    return holder is not None and scene.same(holder, id_)


def _ends_at(fact: Fact) -> int:
    ends_at = getattr(fact.event.body, "expires_at", None)
    return NEVER if ends_at is None else int(ends_at)


def _first_named(scene: Scene, id_: str) -> str:
    """Return the first of a party's ids that anything names, so that a party is reported once."""
    return min(
        (member for member in scene.world.principals.party(id_) if member in scene.tally.principals), default=id_
    )


def excessive_reach(scene: Scene, key: str) -> Iterator[Finding]:
    """Find principals, tokens or clients whose compromise would affect very many elements."""
    options = scene.options
    reach = scene.reach_of(key, min(options.reach_elements, options.reach_agents))
    if reach is not None and (reach.elements > options.reach_elements or reach.agents > options.reach_agents):
        why = sentence(
            "a revocation of {} would end {} elements of {} agents", keyed(key), reach.elements, reach.agents
        )
        facts = scene.world.graph.facts.get(reach.first)
        yield finding("excessive-reach", key, why, facts, at=facts[0].given_at, count=reach.elements)


def nobody_registers(scene: Scene) -> str | None:
    """Explain why rules about registrations cannot be evaluated."""
    return None if scene.agents_are_registered else "nobody registers agents"


RULES: Final = (
    Rule(
        kind="agent-unregistered",
        severity=Severity.MEDIUM,
        title="An agent that nobody registered",
        of=(PRINCIPAL,),
        check=agent_unregistered,
        needs="registrations of agents",
        maps_to=("ASI10", "ASI04", "NHI1", "T0103", "GOVERN 1.6", "M Compromised Agent Registry"),
        fix="Find out who runs it; register it with an owner and a purpose, or revoke what it holds.",
        missing=nobody_registers,
        posture=True,
        wide=True,
    ),
    Rule(
        kind="agent-ownerless",
        severity=Severity.MEDIUM,
        title="An agent without an owner",
        of=(PRINCIPAL,),
        check=agent_ownerless,
        needs="registrations of agents",
        maps_to=("NHI1", "GOVERN 2.1", "GOVERN 1.6", "ASI10"),
        fix="Register the person who answers for it as its owner.",
        missing=nobody_registers,
        posture=True,
    ),
    Rule(
        kind="owner-offboarded",
        severity=Severity.HIGH,
        title="Its owner has left",
        of=(PRINCIPAL,),
        check=owner_offboarded,
        needs="owners of agents, and orders",
        maps_to=("NHI1", "GOVERN 1.7", "GOVERN 2.1"),
        fix="Register a new owner, or revoke what the agent holds.",
        missing=nobody_registers,
        posture=True,
        wide=True,
    ),
    Rule(
        kind="agent-without-purpose",
        severity=Severity.INFORMATIONAL,
        title="An agent without a purpose",
        of=(PRINCIPAL,),
        check=agent_without_purpose,
        needs="registrations of agents",
        maps_to=("GOVERN 1.6", "MAP 1.1", "MAP 3.3"),
        fix="Register what it is for, in a sentence.",
        missing=nobody_registers,
        posture=True,
    ),
    Rule(
        kind="agent-unbound",
        severity=Severity.LOW,
        title="An agent that is bound to no workload",
        of=(PRINCIPAL,),
        check=agent_unbound,
        needs="bindings of workloads",
        looks_at=(inputs.AGENT,),
        maps_to=("NHI4", "ASI03", "M Agent Identity Attack"),
        fix="Bind the agent to an attested workload before it can reach tools.",
        missing=no_bindings,
        posture=True,
        wide=True,
    ),
    Rule(
        kind="excessive-reach",
        severity=Severity.INFORMATIONAL,
        title="Very much depends on it",
        of=(PRINCIPAL, TOKEN, NAMED),
        check=excessive_reach,
        needs="delegations and tokens",
        looks_at=(inputs.ELEMENT,),
        settings=("reach_elements", "reach_agents"),
        maps_to=("ASI08", "NHI9", "M Lateral Movement"),
        fix="Split it, so that one theft does not reach everything.",
        posture=True,
        wide=True,
    ),
)
