"""Findings around one thing: the rules that need only its surroundings."""

from collections.abc import Collection, Iterable

from lineage.core.authority.chain import Chain
from lineage.core.authority.world import World, authorities_of
from lineage.core.findings.evaluation import look
from lineage.core.findings.options import DEFAULT, Options
from lineage.core.findings.rules import consistency
from lineage.core.findings.rules.catalogue import RULES, is_on
from lineage.core.findings.rules.responding import mass_order, overdue_in
from lineage.core.findings.scene.acts import UNTRUSTED
from lineage.core.findings.scene.entering import enter_for_narrow_rules
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.events import (
    DelegationGranted,
    Fact,
    RevocationOrdered,
    TokenIssued,
)
from lineage.core.model.finding import Finding
from lineage.core.model.keys import is_element
from lineage.core.model.references import about, dependencies_of
from lineage.core.model.times import Instant
from lineage.core.revocation.closure import Closure

LOOKED_AT = 50  # how many elements of a chain are examined: those nearest to its end

_FOUND_WITH_THE_CHAIN = frozenset(rule.kind for rule in consistency.RULES)


def near(
    world: World, keys: Iterable[str], at: Instant, options: Options, *, told: Iterable[Finding] | None = None
) -> list[Finding]:
    """Find what is wrong with some things, as far as their surroundings show it.

    Rules that need all facts are omitted. Cost: the delegations, decisions and actions of the world, and the rules for
    each key.

    Args:
        world: The things and their surroundings: dependencies, and actions under them.
        keys: The things.
        at: The moment asked about.
        options: The settings.
        told: The findings of the chain, which are included once.
    """
    examined = dict.fromkeys(keys)
    scene = Scene(world, options, at, whole=False)
    enter_for_narrow_rules(scene, examined.keys())
    known = {one.id: one for one in told or ()}
    found_already = frozenset() if told is None else _FOUND_WITH_THE_CHAIN
    found = list(known.values())
    elements: list[str] = []
    others: list[str] = []
    for key in examined:
        if is_element(key):
            elements.append(key)
        elif not key.startswith("principal:") or key.removeprefix("principal:") in world.principals.registrations:
            others.append(key)  # of a principal, the rules that do not need all facts examine its registrations
    found += (one for one in look(scene, elements, narrow=True, without=found_already) if one.id not in known)
    found += (one for one in look(scene, others, narrow=True) if one.id not in known)
    scene.close()
    return found


def grants_read_near(world: World, grants: Collection[Fact], *, action: str) -> tuple[list[Fact], frozenset[str]]:
    """Return those grants behind other actions of the same actors that a rule reads for the answer about an action.

    The rules that do not need all facts read of others only the uses and the children of elements on its chain; and, if
    its operation is a scope of others but not of its own authority, how its source spells operations.

    Args:
        world: The action with its chain and everything it depends on; and the others, with their decisions.
        grants: The grants of what the others used, and of everything that this depends on.
        action: The id of the action.

    Returns:
        These grants, and the keys of the elements of all others, with those of what they depend on.
    """
    graph = world.graph
    if _reads_every_grant(world, grants, action):
        return list(grants), frozenset()
    together: set[str] = set()  # named together with an element of the chain: the one that was granted was used
    for other in world.actions:
        facts = world.actions.get(other)
        named = {key for fact in (*facts, *world.decision_facts(facts)) for key in authorities_of(fact.event.body)}
        if any(key in graph for key in named):
            together |= named
    chosen: list[Fact] = []
    left_out: set[str] = set()
    for fact in grants:
        body = fact.event.body
        if not isinstance(body, TokenIssued | DelegationGranted):
            continue
        key, above = about(fact.event), [parent for parent, _ in dependencies_of(body)]
        if key in together or any(parent in graph for parent in above):
            chosen.append(fact)
        else:
            left_out.update((key, *above))
    return chosen, frozenset(left_out)


def _reads_every_grant(world: World, grants: Iterable[Fact], action: str) -> bool:
    """Whether a rule about an action or its chain reads grants that have nothing to do with them."""
    for key in world.graph.facts:
        if any(
            getattr(fact.event.body, "instruction_source", None) in UNTRUSTED for fact in world.graph.facts.get(key)
        ):
            return True  # who delegated to whom before
    scene = Scene(world, DEFAULT, 0, whole=False)
    act = scene.act(f"action:{action}")
    operation = None if act is None else act.operation
    known = act is None or operation in scene.stated_scopes(act.authority)
    scene.close()
    return not known and any(operation in getattr(fact.event.body, "scopes", ()) for fact in grants)


def in_verdict(world: World, closure: Closure, at: Instant, options: Options) -> list[Finding]:
    """Find what the figures of a verdict show: overdue or refusing receivers, and very many elements ended at once.

    The answer about one revocation has not loaded everything that these rules need.
    """
    found = list(closure.findings)
    if is_on(RULES["revocation-overdue"], options):
        found += overdue_in(world, closure, at)
    given = [(fact, fact.event.body) for fact in world.orders.by_id.get(closure.revocation)]
    if is_on(RULES["mass-revocation"], options) and len(given) == 1:
        for fact, body in given:
            if isinstance(body, RevocationOrdered):
                found += mass_order(fact, body, closure.elements, options)
    return found


def on_chain(chain: Chain) -> list[str]:
    """Return the elements and principals of a chain to examine."""
    elements = [*chain.delegations[-LOOKED_AT:], *chain.tokens[-LOOKED_AT:]]
    return [*elements, *dict.fromkeys(f"principal:{hop.principal}" for hop in chain.hops)]


def is_cut(chain: Chain) -> bool:
    """Whether a chain has more elements than are examined."""
    return max(len(chain.delegations), len(chain.tokens)) > LOOKED_AT
