"""Findings around one thing: the rules that need only its surroundings."""

from collections.abc import Iterable

from lineage.core.authority.chain import Chain
from lineage.core.authority.world import World
from lineage.core.findings.evaluation import look
from lineage.core.findings.options import Options
from lineage.core.findings.rules import consistency
from lineage.core.findings.rules.catalogue import RULES, is_on
from lineage.core.findings.rules.responding import mass_order, overdue_in
from lineage.core.findings.scene.entering import enter_for_narrow_rules
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.events import RevocationOrdered
from lineage.core.model.finding import Finding
from lineage.core.model.keys import is_element
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
    scene = Scene(world, options, at, whole=False)
    enter_for_narrow_rules(scene)
    known = {one.id: one for one in told or ()}
    found_already = frozenset() if told is None else _FOUND_WITH_THE_CHAIN
    found = list(known.values())
    elements: list[str] = []
    others: list[str] = []
    for key in dict.fromkeys(keys):
        if is_element(key):
            elements.append(key)
        elif not key.startswith("principal:") or key.removeprefix("principal:") in world.principals.registrations:
            others.append(key)  # of a principal, the rules that do not need all facts examine its registrations
    found += (one for one in look(scene, elements, narrow=True, without=found_already) if one.id not in known)
    found += (one for one in look(scene, others, narrow=True) if one.id not in known)
    scene.close()
    return found


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
