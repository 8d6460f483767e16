"""Cycles among what elements depend on."""

from collections.abc import Iterable

import networkx as nx

from lineage.core.authority.world import World
from lineage.core.model.finding import Finding
from lineage.core.model.sentences import keyed, listed, sentence


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
            found.append(Finding("cycle", smallest, why, world.graph.facts.of(members)))
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
