"""Details of a reach that a responder needs before ordering; not part of its digest.

Pure: computed from the reach, its world, and facts that this world lacks (who else uses a client).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace

from lineage.core.authority.elements import first_stated
from lineage.core.authority.receivers import Coverage, CoverageClass, coverage_class_of
from lineage.core.authority.world import World
from lineage.core.model.events import Target, TokenIssued
from lineage.core.model.grants import distinct_bodies
from lineage.core.model.keys import ELEMENT_KINDS, split_key
from lineage.core.model.times import NEVER, Instant
from lineage.core.revocation.reach import Reach, reach_of, struck_by


def depths_of(world: World, reach: Reach) -> Counter[tuple[int, str]]:
    """Count the killed elements by their distance from the nearest target and by kind."""
    graph, proposal, kills = world.graph, reach.proposal, reach.kills
    counts: Counter[tuple[int, str]] = Counter()
    level = struck_by(world, proposal)
    seen, depth = set(level), int(proposal.target.kind not in ELEMENT_KINDS)
    while level:
        killed = level & kills
        tokens = len([key for key in killed if key.startswith("token:")])
        counts.update({(depth, "token"): tokens, (depth, "delegation"): len(killed) - tokens})
        below = graph.children_of(level) if proposal.cascade else set()
        level = {key for key in below if key not in seen and graph.until.get(key, NEVER) > proposal.at}
        seen |= level
        depth += 1
    return counts


def covered_by(world: World, kills: AbstractSet[str]) -> tuple[Counter[str], list[str]]:
    """Count the elements that each receiver covers, and list those that no receiver covers, sorted."""
    coverage = Coverage(world.receivers.registered())
    by_class: defaultdict[CoverageClass, list[str]] = defaultdict(list)
    elements = world.graph.among(kills)
    for element in elements:
        by_class[coverage_class_of(element.key, element)].append(element.key)
    if len(elements) < len(kills):
        for key in kills:
            if not world.graph.granted(key):
                by_class[coverage_class_of(key, None)].append(key)
    counts: Counter[str] = Counter()
    uncovered: list[str] = []
    for coverage_class, keys in by_class.items():
        receivers = coverage.of_class(coverage_class)
        counts.update(dict.fromkeys(receivers, len(keys)))
        if not receivers:
            uncovered += keys
    return counts, sorted(uncovered)


def actions_between(world: World, kills: AbstractSet[str], start: Instant, end: Instant) -> list[str]:
    """List the actions under some elements in an interval, excluding its start and including its end."""
    return [
        action for action in world.actions_under(kills) if start < world.actions.get(action)[0].event.occurred_at <= end
    ]


def by_tool(world: World, actions: Iterable[str]) -> Counter[str | None]:
    """Count actions by tool; None for those that name no tool."""
    tools = (first_stated(world.actions.get(action), "tool") for action in actions)
    return Counter(tool.value if tool else None for tool in tools)


def tainted_by(world: World, reach: Reach, given_at: Instant) -> int:
    """Count the past successes that an order would taint by taking effect before it is given."""
    actions = actions_between(world, reach.kills, reach.proposal.at - 1, given_at)
    outcomes = (first_stated(world.actions.get(action), "outcome") for action in actions)
    return sum(outcome is not None and outcome.value == "succeeded" for outcome in outcomes)


def never_granted(world: World, kills: AbstractSet[str]) -> list[str]:
    """List the elements and transitive dependencies that no event granted and that cannot be judged. Sorted."""
    graph = world.graph
    # The whole graph is asked first, because in most worlds every element was granted and nothing has to be walked.
    if graph.are_granted(graph.until.keys()) and graph.are_granted(kills):
        return []
    return sorted(key for key in graph.above(*kills) if not graph.granted(key))


def shared_names(world: World, kills: Collection[str]) -> set[tuple[str, str]]:
    """Return the (kind, id) of every client, session and workload that the elements name."""
    # Most elements name the same few things.
    bodies = distinct_bodies(fact for element in world.graph.among(kills) for fact in element.facts)
    named = {(body.client, body.session, body.workload) for body in bodies if isinstance(body, TokenIssued)}
    found = {pair for ids in named for pair in zip(("client", "session", "workload"), ids, strict=True)}
    return {(kind, id_) for kind, id_ in found if id_ is not None}


def only_head(world: World, reach: Reach) -> Target | None:
    """Return the token or delegation whose revocation would kill the same elements as a named target; else None."""
    if reach.proposal.target.kind in ELEMENT_KINDS:
        return None
    heads = _heads(world, reach)
    if len(heads) != 1:
        return None
    target = Target(*split_key(heads[0]))
    found = reach_of(world, replace(reach.proposal, target=target, issued_before=None))
    return target if found.kills == reach.kills else None


def names_of_heads(world: World, reach: Reach) -> list[Target]:
    """List the sessions, then clients, that every directly hit element names; one may replace a principal as target.

    Whether it would kill the same elements depends on what else names it, which this world may not contain.
    """
    kinds = {"principal": ("session", "client"), "workload": ("session", "client"), "client": ("session",)}
    roles = kinds.get(reach.proposal.target.kind, ())
    if not roles:
        return []
    hit = set(_heads(world, reach)) if reach.proposal.cascade else reach.kills
    # Some may depend on a cycle, or on a dead element: then the heads alone do not represent all of them.
    below = world.graph.below(hit, after=reach.proposal.at) | hit
    if not (reach.kills <= below and hit <= struck_by(world, reach.proposal)):
        return []
    named = [shared_names(world, (key,)) for key in hit]
    common = sorted(set.intersection(*named)) if named else []
    return [Target(*name) for kind in roles for name in common if name[0] == kind]


def _heads(world: World, reach: Reach) -> list[str]:
    """List the killed elements that depend on no killed one."""
    kills = reach.kills
    return [key for key in kills if kills.isdisjoint(world.graph.parents(key))]
