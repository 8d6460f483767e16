"""Inconsistencies of a chain and of its elements, and cycles among what they depend on."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import networkx as nx

from lineage.core.authority.chain import Chain, chain_of
from lineage.core.authority.targets import aliases
from lineage.core.authority.world import MOST_SHARING, World
from lineage.core.findings.rules.contradictions import contradictions, principal_findings
from lineage.core.model.events import Fact
from lineage.core.model.finding import Finding
from lineage.core.model.sentences import keyed, listed, principal, sentence, thing
from lineage.core.model.times import Instant


def chain_findings(world: World, key: str, chain: Chain, at: Instant) -> list[Finding]:
    """Find what is inconsistent in the chain of an element."""
    found: list[Finding] = []
    path = (*chain.tokens, *chain.delegations)
    for element, others in chain.branches.items():
        why = sentence("{} has other parents than the one on this path: {}", keyed(element), listed(map(keyed, others)))
        found.append(Finding("branch", element, why, world.graph.facts.get(element)))
    found += [Finding("chain-mismatch", key, why, world.graph.facts.of(path)) for why in chain.mismatch]
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
    if len(facts) == 1:  # nearly every element
        body = facts[0].event.body
        if not getattr(body, "prior_actors", ()) and getattr(body, "status_list", None) is None:
            return []
    found = [*_shared_places(world, key, facts)]
    found += contradictions(world, key, facts) if len(facts) > 1 else ()
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
                "{} has entry {} of {}, and so do more than {} other tokens, which are not listed",
                keyed(key),
                place.idx,
                place.uri,
                MOST_SHARING,
            )
            about = f"status_list:{place.uri}#{place.idx}"
            yield Finding("shared-status-list", key, why, world.graph.facts.of((key,)), about=about)
        elif others:
            why = sentence(
                "{} has entry {} of {}, and so does {}", keyed(key), place.idx, place.uri, listed(map(keyed, others))
            )
            about = f"status_list:{place.uri}#{place.idx}"
            yield Finding("shared-status-list", key, why, world.graph.facts.of((key, *others)), about=about)


def own_element_findings(world: World, key: str, at: Instant) -> Iterator[Finding]:
    """Find what is inconsistent in one element alone: in its facts, in its own links of the chain, and its cycles."""
    chain = chain_of(world, key)
    if (others := chain.branches.get(key)) is not None:
        why = sentence("{} has other parents than the one on this path: {}", keyed(key), listed(map(keyed, others)))
        yield Finding("branch", key, why, world.graph.facts.get(key))
    path = (*chain.tokens, *chain.delegations)
    yield from (Finding("chain-mismatch", key, mismatch, world.graph.facts.of(path)) for mismatch in chain.mismatch)
    yield from cycles(world, key)
    if key in path:
        yield from element_findings(world, key, at)
    yield from _subject_changes(world, chain, chain.tokens[-2:])


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
            yield Finding("subject-change", below, why, world.graph.facts.of((above, below)), about=above)


def cycles(world: World, key: str) -> list[Finding]:
    """Find the cycles among the transitive dependencies of an element."""
    if _ever_later(world, key):
        return []
    above = world.graph.above(key)
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
            why = (
                sentence("these depend on one another: {}", listed(map(keyed, members)))
                if len(members) > 1
                else sentence("{} depends on itself", keyed(smallest))
            )
            found.append(Finding("cycle", smallest, why, world.graph.facts.of(members)))
    return sorted(found, key=lambda finding: finding.of)


def _ever_later(world: World, key: str) -> bool:
    """Whether everything above an element was issued before what depends on it, as is usual: then there is no cycle."""
    graph = world.graph
    seen, waiting = {key}, [(key, graph.element(key))]
    while waiting:
        node, element = waiting.pop()
        for parent in graph.parents(node):
            above = graph.element(parent)
            if element is not None and above is not None and above.issued_at >= element.issued_at:
                return False
            if parent not in seen:
                seen.add(parent)
                waiting.append((parent, above))
    return True
