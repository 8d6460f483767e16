"""The laid-out graph around a thing as a document; it is bounded, and what is left out is counted at its place."""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from lineage.core.authority.chain import wielder
from lineage.core.authority.rule import verdicts_of
from lineage.core.authority.world import World
from lineage.core.findings.judging import SUPPRESSED
from lineage.core.findings.nearby import near
from lineage.core.model.errors import RefusedError
from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS, key_of, split_key
from lineage.core.model.times import Instant, format_instant
from lineage.serve.cache.loader import judgements_of
from lineage.serve.documents.core_documents import Document, finding_documents, instant, summary_of, verdict_document
from lineage.serve.drawing.layout import Layout, NodePlace, layout
from lineage.serve.queries.service import Service
from lineage.store.reading.graph_parts import children_of, load_nearby
from lineage.store.reading.reader import Reader

MOST: Final = 500  # elements, or principals, that are shown
PRINCIPALS: Final = "principals"
EXAMINED: Final = 100  # elements around which findings are looked for; of a larger graph none are
SURROUNDINGS: Final = 1_000  # facts of each kind that findings are based on
VIEWS: Final = ("elements", PRINCIPALS)


def graph(
    service: Service,
    kind: str,
    id_: str,
    *,
    at: Instant,
    known_at: Instant | None = None,
    most: int = MOST,
    findings: bool = True,
) -> Document | None:
    """Build the graph of an element's dependencies and dependents, or of the elements that name a name.

    None if no fact names it. ``collapsed`` nodes stand for what is not shown: ``count`` more below, or above, the
    node that ``of`` names. What is below is counted from the store, including unauthorised facts. ``more_name_it``
    says that more elements name it than are shown, which are those that can live the longest. Each node has its
    findings and those of the actions under it; ``findings_complete`` says whether these are all.

    Args:
        service: The service to query.
        kind, id_: The thing.
        at: The moment asked about.
        known_at: Only facts recorded by then; None for all.
        most: The most elements that are shown.
        findings: Whether to look for findings, which reads what was done under each element.
    """
    if kind not in ELEMENT_KINDS | NAME_KINDS:
        raise RefusedError(f"a {kind} has no graph; ask for one of {', '.join(sorted(ELEMENT_KINDS | NAME_KINDS))}")
    key = key_of(kind, id_)
    with service.reader(known_at=known_at) as reader:
        if not reader.is_named(key):
            return None
        world = reader.world()
        starts, loaded, more_name_it = load_nearby(reader, world, key, most)
        if kind in ELEMENT_KINDS:
            starts = {key}
        above = _near(starts, world.graph.parents, most // 2)
        below = _near(starts, lambda one: sorted(set(world.graph.children(one)) & loaded), most - len(above - starts))
        shown = above | below
        counts = children_of(reader, shown)
        parents = {one: sorted(world.graph.parents(one)) for one in sorted(shown)}
        more = _collapsed(world, shown, counts)
        wrong, is_whole = _findings(service, reader, world, shown, at) if findings else ({}, False)
    edges = [(parent, one) for one, above_it in parents.items() for parent in above_it if parent in shown]
    links = [(link["of"], link["key"]) if link["where"] == "below" else (link["key"], link["of"]) for link in more]
    above_others = {link["key"] for link in more if link["where"] == "above"}
    stand = layout([*shown, *(link["key"] for link in more)], [*edges, *links], before=above_others)
    states = verdicts_of(world, shown, at)
    return {
        "kind": kind,
        "id": id_,
        "at": format_instant(at),
        "known_at": instant(known_at),
        "nodes": [
            {
                **_node(world, one, focus=one in starts),
                **verdict_document(states[one]),
                **_place(stand.places[one]),
                **({"findings": summary_of(wrong.get(one, ()))} if findings else {}),
            }
            for one in sorted(shown, key=lambda one: (stand.places[one].layer, stand.places[one].row))
        ],
        "edges": [
            {"from": parent, "to": one, "roles": _roles(world, parent, one), "via": _via(stand, parent, one)}
            for parent, one in edges
        ],
        "collapsed": [{**link, **_place(stand.places[link["key"]])} for link in more],
        "more_name_it": more_name_it,
        "findings_complete": is_whole,
        "complete": not more and not more_name_it,
        "as_of": service.as_of(),
    }


def _findings(
    service: Service, reader: Reader, world: World, shown: set[str], at: Instant
) -> tuple[dict[str, list[Document]], bool]:
    """Find what is wrong with each element and with what was done under it, without suppressed findings.

    Returns:
        The findings by element, and whether everything that they rest on was read.
    """
    if len(shown) > EXAMINED:
        return {}, False
    is_whole = reader.load_surroundings(world, shown, (), most=SURROUNDINGS).is_whole
    reader.load_places(world, shown)
    under = {
        f"action:{action}": keys
        for action in sorted(world.actions_naming(shown))
        if (keys := shown.intersection(world.authorities_named(action)))
    }
    found = {one.id: one for one in near(world, [*sorted(shown), *under], at, service.options)}
    judgements = judgements_of(reader, sorted(found))
    wrong: dict[str, list[Document]] = {}
    for one in finding_documents(found.values(), service.options, judgements=judgements, at=at):
        if one["status"] != SUPPRESSED:
            for key in shown & {one["of"], *under.get(one["of"], ())}:
                wrong.setdefault(key, []).append(one)
    return wrong, is_whole


def _near(starts: Collection[str], next_to: Callable[[str], Iterable[str]], most: int) -> set[str]:
    """Return the ``most`` nearest elements including the starts; ties are broken by the smallest id."""
    seen: set[str] = set(sorted(starts)[:most])
    frontier = sorted(seen)
    while frontier and len(seen) < most:
        nearest = sorted({other for one in frontier for other in next_to(one)} - seen)[: most - len(seen)]
        seen.update(nearest)
        frontier = nearest
    return seen


def _collapsed(world: World, shown: set[str], counts: dict[str, int]) -> list[Document]:
    found = []
    for one in sorted(shown):
        below = counts.get(one, 0) - sum(child in shown for child in world.graph.children(one))
        above = sum(parent not in shown for parent in world.graph.parents(one))
        found += [
            {"key": f"{where}:{one}", "of": one, "where": where, "count": count}
            for where, count in (("above", above), ("below", below))
            if count > 0
        ]
    return found


def _node(world: World, key: str, *, focus: bool) -> Document:
    kind, id_ = split_key(key)
    element = world.graph.element(key)
    first, last = None, None
    if element is not None and kind == "delegation":
        first, last = element.first("delegator"), element.first("delegatee")
    elif element is not None:
        hop = wielder(world, key)
        first, last = element.first("subject"), hop.principal if hop else None
    return {
        "key": key,
        "kind": kind,
        "id": id_,
        "focus": focus,
        "granted": element is not None,
        "from": first,
        "to": last,
        "scopes": list(element.first("scopes") or ()) if element else [],
        "issued_at": instant(element.issued_at) if element else None,
        "expires_at": instant(element.expires_at) if element else None,
    }


def _roles(world: World, parent: str, key: str) -> list[str]:
    element = world.graph.element(key)
    return list(element.parents.get(parent, ())) if element else []


def _place(place: NodePlace) -> Document:
    return place._asdict()


def _via(stand: Layout, parent: str, key: str) -> list[Document]:
    return [{"x": place.x, "y": place.y} for place in stand.bends.get((parent, key), ())]
