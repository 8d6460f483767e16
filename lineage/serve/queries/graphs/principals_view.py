"""The graph of principals as a document: principals as nodes, delegations as edges, with findings.

Bounded: the elements read, the principals shown, and the basis of findings; the rest is counted, or stated not to be
counted.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from lineage.core.authority.handovers import PrincipalGraph, party_id, principal_graph
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.findings.judging import SUPPRESSED
from lineage.core.findings.nearby import near
from lineage.core.model.events import Target
from lineage.core.model.keys import key_of, split_key
from lineage.core.model.times import Instant, format_instant
from lineage.core.revocation.reach import Proposal, reach_of
from lineage.serve.documents.core_documents import Document, finding_documents, instant
from lineage.serve.queries.findings.findings import FindingFilter, findings
from lineage.serve.queries.findings.kept_list import asked_of_index
from lineage.serve.queries.graphs.principals_drawn import Drawn, Shown
from lineage.serve.queries.service import Service
from lineage.store.reading.graph_parts import children_of, load_latest, load_nearby
from lineage.store.reading.reader import Reader

READ: Final = 1_000  # elements read
NEARBY: Final = 500  # elements read around one thing
EXAMINED: Final = 300  # elements around which findings are evaluated; beyond this, the answer has none
KEPT: Final = 200  # findings of the index that are marked if none are evaluated
_SEVERE: Final = ("critical", "high")
SURROUNDINGS: Final = 300  # facts of each kind that findings are based on


class _Read(NamedTuple):
    """The result of reading: the world, the elements to draw, and the number of others (None if not counted)."""

    world: World
    keys: set[str]
    left_out: int | None
    has_surroundings: bool
    is_examined: bool


def principals_view(service: Service, shown: Shown, *, at: Instant, known_at: Instant | None = None) -> Document | None:
    """Build the document as of an instant; None if no fact names the thing or the target asked about.

    Counts refer to what was read: if ``left_out.elements`` is not 0 there are more.
    """
    shown.check()
    with service.reader(known_at=known_at) as reader:
        for key in (shown.of, shown.target):
            if key is not None and not reader.is_named(key_of(*key)):
                return None
        read = _read(reader, shown, at)
        ended = _ended_by(service, reader, shown, at)
        focus = _focus(shown)
        graph = principal_graph(
            read.world, read.keys, at, parties=focus, states=[State(state) for state in shown.states]
        )
        kept = None if read.is_examined else _kept(service, reader, read.world, at)
        found = _findings(service, reader, read, graph, at) if read.is_examined else kept or []
    drawn = Drawn(graph, read.world, found, ended, {party_id(read.world.principals, one) for one in focus})
    nodes, edges, uses = drawn.visible(shown)
    return {
        "view": "principals",
        "of": None if shown.of is None else {"kind": shown.of[0], "id": shown.of[1]},
        "target": drawn.target(shown),
        "at": format_instant(at),
        "known_at": instant(known_at),
        "nodes": drawn.nodes(nodes, edges, uses),
        "edges": edges,
        "uses": uses,
        "left_out": {
            "elements": read.left_out,
            "principals": drawn.count_parties(shown) - len(nodes),
            "edges": drawn.count_ties(shown) - len(edges),
        },
        "issued_later": len(graph.later),
        "findings_complete": read.is_examined and read.has_surroundings,
        "complete": read.left_out == 0 and drawn.count_parties(shown) == len(nodes),
        "as_of": service.as_of(),
    }


# Reading


def _read(reader: Reader, shown: Shown, at: Instant) -> _Read:
    world = reader.world()
    if shown.of is None:
        keys, left_out = load_latest(reader, world, READ, at=at)
        keys = {key for key in keys if world.graph.granted(key)}
    else:
        _, near_it, more = load_nearby(reader, world, key_of(*shown.of), NEARBY)
        keys = {key for key in world.graph if world.graph.granted(key)}
        below = children_of(reader, near_it)
        beyond = sum(max(count - len(set(world.graph.children(key)) & keys), 0) for key, count in below.items())
        left_out = None if more else beyond
    is_examined = len(keys) <= EXAMINED or shown.tool is not None
    has_surroundings = False
    if is_examined:
        names = {name for key in keys for name in _principals(world, key)}
        has_surroundings = reader.load_surroundings(world, keys, names, most=SURROUNDINGS).is_whole
    if shown.tool is not None:
        used = {
            authority
            for action in world.actions
            if (tool := world.action_field(action, "tool")) is not None and tool.value == shown.tool
            if (authority := world.authority(action)) is not None
        }
        keys &= world.graph.above(*used)
    return _Read(world, keys, left_out, has_surroundings, is_examined and len(keys) <= EXAMINED)


def _principals(world: World, key: str) -> Iterable[str]:
    element = world.graph.element(key)
    return (name for name in element.names if name.startswith("principal:")) if element else ()


def _focus(shown: Shown) -> list[str]:
    """Return the principal that the graph is drawn around."""
    if shown.of is None or not (key := key_of(*shown.of)).startswith("principal:"):
        return []
    return [split_key(key)[1]]


def _ended_by(service: Service, reader: Reader, shown: Shown, at: Instant) -> set[str] | None:
    """Return the elements that a revocation of the target would end; None without one."""
    if shown.target is None:
        return None
    proposal = Proposal(target=Target(*shown.target), at=at)
    world = service.below(reader, proposal, unseen=True)
    assert world is not None  # noqa: S101 (only None for what no fact names)
    plan = reach_of(world, proposal)
    return set(plan.kills)


def _kept(service: Service, reader: Reader, world: World, at: Instant) -> list[Document] | None:
    """Return the worst severe findings of the index, with their actions loaded; None if there is no usable index."""
    if reader.known_at is not None or asked_of_index(service, at, None) is None:
        return None
    found: list[Document] = findings(service, at=at, filters=FindingFilter(severities=_SEVERE), limit=KEPT)["items"]
    done = [split_key(one["of"])[1] for one in found if one["of"].startswith("action:")]
    reader.load_actions(world, done)
    return found


def _findings(service: Service, reader: Reader, read: _Read, graph: PrincipalGraph, at: Instant) -> list[Document]:
    """Find what is wrong with what is drawn, without suppressed findings."""
    world, options = read.world, service.options
    names = sorted({f"principal:{id_}" for party in graph.parties.values() for id_ in party.ids})
    done = sorted(f"action:{action}" for action in world.actions if world.authority(action) in graph.handovers)
    found = {one.id: one for one in near(world, [*names, *sorted(graph.handovers), *done], at, options)}
    judged = reader.world()
    reader.load_about(judged, [f"finding:{id_}" for id_ in found])
    documents = finding_documents(found.values(), options, judgements=judged.judgements, at=at)
    return [one for one in documents if one["status"] != SUPPRESSED]
