"""What is wrong around one thing: the rules that need no more than what surrounds it."""

from collections.abc import Iterable

from lineage.core.authority.chain import Chain
from lineage.core.authority.findings import Finding
from lineage.core.authority.world import World
from lineage.core.findings import consistency
from lineage.core.findings.entering import enter_all
from lineage.core.findings.evaluation import look
from lineage.core.findings.options import Options
from lineage.core.findings.scene import Scene
from lineage.core.model.times import Instant

LOOKED_AT = 50  # elements of a chain: those nearest to its end

_FOUND_WITH_THE_CHAIN = frozenset(rule.kind for rule in consistency.RULES)


def near(
    world: World, keys: Iterable[str], at: Instant, options: Options, *, told: Iterable[Finding] = ()
) -> list[Finding]:
    """What is wrong with some things, as far as what surrounds them shows it.

    Rules that have to have seen everything are left out. Cost: the facts of the world, and the rules for each key.

    Args:
        world: The things and what surrounds them: what they rest on, what was done under them.
        keys: The things.
        at: The moment asked about.
        options: What is set.
        told: What was found with the chain already: it is kept, and told once.
    """
    scene = Scene(world, options, at, whole=False)
    enter_all(scene, world.facts())
    known = {one.id: one for one in told}
    found = list(known.values())
    elements: list[str] = []
    others: list[str] = []
    for key in dict.fromkeys(keys):
        (elements if key.startswith(("token:", "delegation:")) else others).append(key)
    found += (one for one in look(scene, elements, narrow=True, without=_FOUND_WITH_THE_CHAIN) if one.id not in known)
    found += (one for one in look(scene, others, narrow=True) if one.id not in known)
    return found


def on_chain(chain: Chain) -> list[str]:
    """The elements and principals of a chain that are looked at."""
    elements = [*chain.delegations[-LOOKED_AT:], *chain.tokens[-LOOKED_AT:]]
    return [*elements, *dict.fromkeys(f"principal:{hop.principal}" for hop in chain.hops)]
