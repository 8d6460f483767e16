"""Four governance questions: which agents were active, what one may do, what it held, and what it did.

Cost:
    Every fact is read into memory, about 2 KB each.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from lineage.core.authority.chain import chain_of_action
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.events import Fact
from lineage.core.model.keys import split_key
from lineage.core.model.times import NEVER, Instant, format_instant
from lineage.serve.documents.core_documents import Document, action_document, instant, listing
from lineage.serve.queries.lists.list_cursors import Rank, digest_of, ranked_page
from lineage.serve.queries.service import Service

MOST: Final = 1_000  # the default limit of a list
_READ: Final = 5_000


def active(
    service: Service,
    *,
    start: Instant,
    end: Instant,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int = MOST,
) -> Document:
    """List the agents that acted or were granted anything between two instants, the most active first."""
    scene = _scene(service, end, known_at)
    world = scene.world
    found: dict[str, Document] = {}

    def count(id_: str | None, at: Instant, what: str) -> None:
        if id_ is None or scene.kind(id_) != "agent" or not start <= at < end:
            return
        party = scene.party(id_)
        one = found.setdefault(party, {"first": at, "last": at, "actions": 0, "tokens": 0, "delegations": 0})
        one["first"], one["last"] = min(one["first"], at), max(one["last"], at)
        one[what] += 1

    for action in world.actions:
        at = world.actions.get(action)[0].event.occurred_at
        for party in _actors(scene, action):
            count(party, at, "actions")
    for key in world.graph.facts:
        element = scene.element(key)
        if element is not None:
            count(scene.holder(key), element.issued_at, f"{split_key(key)[0]}s")
    items: list[tuple[Rank, Document]] = [
        (
            (-found[party]["actions"], party),
            {
                **_named(world, party),
                **found[party],
                "first": format_instant(found[party]["first"]),
                "last": format_instant(found[party]["last"]),
            },
        )
        for party in found
    ]
    items.sort(key=_rank)
    more = {"from": format_instant(start), "to": format_instant(end)}
    return {**more, **_listed(service, items, digest_of({"list": "active"}), after, limit)}


def allowed(
    service: Service,
    agent: str,
    *,
    at: Instant,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int = MOST,
) -> Document | None:
    """List what an agent may do at an instant: its active elements with effective scopes; None if unknown."""
    scene = _scene(service, at, known_at)
    if not _is_known(scene, agent):
        return None
    items: list[tuple[Rank, Document]] = []
    for rank, key in _held_by(scene, agent):
        element = scene.element(key)
        if element is None or scene.state(key) is not State.ACTIVE or scene.end(key).at <= at:
            continue
        item = {
            **_grant(scene, key),
            "effective_scopes": _sorted(scene.scopes.effective(key)),
            "ends_at": _end(scene.end(key).at),
            "tools": _tools(scene.world, key, at),
        }
        items.append((rank, item))
    scopes: set[str] = set()
    unknown = False
    for _, item in items:
        scopes.update(item["effective_scopes"] or ())
        unknown = unknown or item["effective_scopes"] is None
    more = {
        "agent": agent,
        **_named(scene.world, scene.party(agent)),
        "at": format_instant(at),
        "effective_scopes": sorted(scopes),
        "scopes_known": not unknown,
        "tools": sorted({tool for _, item in items for tool in item["tools"]}),
    }
    return {**more, **_listed(service, items, digest_of({"allowed": agent}), after, limit)}


def held(
    service: Service,
    agent: str,
    *,
    start: Instant,
    end: Instant,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int = MOST,
) -> Document | None:
    """List what an agent held at any time between two instants, and what ended it; None if no fact names it."""
    return _of_agent(service, agent, _held, start, end, known_at, after, limit)


def done(
    service: Service,
    agent: str,
    *,
    start: Instant,
    end: Instant,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int = MOST,
) -> Document | None:
    """List what an agent did between two instants, each with its chain, latest first; None if no fact names it."""
    return _of_agent(service, agent, _done, start, end, known_at, after, limit)


def _of_agent(
    service: Service,
    agent: str,
    items_of: Callable[[Scene, str, Instant, Instant], Iterable[tuple[Rank, Document]]],
    start: Instant,
    end: Instant,
    known_at: Instant | None,
    after: str | None,
    limit: int,
) -> Document | None:
    """Answer a question about what an agent held or did between two instants; None if no fact names it."""
    scene = _scene(service, end, known_at)
    if not _is_known(scene, agent):
        return None
    items = list(items_of(scene, agent, start, end))
    more = {
        "agent": agent,
        **_named(scene.world, scene.party(agent)),
        "from": format_instant(start),
        "to": format_instant(end),
    }
    digest = digest_of({items_of.__name__: agent})
    return {**more, **_listed(service, items, digest, after, limit)}


def _held(scene: Scene, agent: str, start: Instant, end: Instant) -> Iterator[tuple[Rank, Document]]:
    for rank, key in _held_by(scene, agent):
        element = scene.element(key)
        if element is None or element.issued_at >= end:
            continue
        over = scene.end(key)
        orders = [order for order in scene.ending(key, end) if not order.suspends]
        order = min(orders, key=lambda one: one.rank, default=None)
        ended_at = over.at if order is None else min(over.at, order.effective_at)
        if ended_at <= start:
            continue
        by = None if ended_at >= end else order.body.revocation if order and order.effective_at <= over.at else "expiry"
        yield rank, {**_grant(scene, key), "ended_at": _end(ended_at), "ended_by": by}


def _done(scene: Scene, agent: str, start: Instant, end: Instant) -> Iterator[tuple[Rank, Document]]:
    world = scene.world
    party = scene.party(agent)
    acted: list[Rank] = []
    for action in world.actions:
        at = world.actions.get(action)[0].event.occurred_at
        if start <= at < end and party in _actors(scene, action):
            acted.append((-at, action))
    for rank in sorted(acted):
        action = str(rank[1])
        hops = chain_of_action(world, action).hops
        root = hops[0].principal if hops else None
        yield (
            rank,
            {
                **action_document(world, action),
                "human": root if root is not None and world.principals.kind(root) == "human" else None,
                "chain": [hop.principal for hop in hops],
            },
        )


def _actors(scene: Scene, action: str) -> set[str]:
    """Return the parties that did something: those that any fact states, else the holder of what it was done with.

    An agent acts through the workloads that are bound to it.
    """
    act = scene.act(f"action:{action}")
    if act is None:
        return set()
    who = scene.actor(act) or (scene.holder(act.authority) if act.authority is not None else None)
    return {scene.runner(id_) for id_ in {*scene.world.acted(action), *({who} if who is not None else ())}}


def _scene(service: Service, at: Instant, known_at: Instant | None) -> Scene:
    world = World(trust=service.trust.table, known_at=known_at)
    for fact in _facts(service):
        world.add(fact)
    return Scene(world, service.options, at, whole=True)


def _facts(service: Service) -> Iterator[Fact]:
    after = -1
    while page := service.store.facts(after=after, limit=_READ):
        after = page[-1].number
        yield from (stored.fact for stored in page)


def _is_known(scene: Scene, agent: str) -> bool:
    world = scene.world
    names = world.principals.party(agent)
    if any(world.principals.registrations.get(name) for name in names) or any(_naming(world, agent)):
        return True
    party = scene.party(agent)
    return any(party in _actors(scene, action) for action in world.actions)


def _naming(world: World, agent: str) -> Iterator[str]:
    for name in sorted(world.principals.party(agent)):
        yield from world.graph.naming(f"principal:{name}")


def _held_by(scene: Scene, agent: str) -> list[tuple[Rank, str]]:
    """List everything an agent holds or held, the earliest issued first, each with its rank."""
    party = scene.party(agent)
    keys = {
        key
        for key in _naming(scene.world, agent)
        if (holder := scene.holder(key)) is not None and scene.party(holder) == party
    }
    return sorted(((element.issued_at if (element := scene.element(key)) else 0, key), key) for key in keys)


def _grant(scene: Scene, key: str) -> Document:
    element = scene.element(key)
    assert element is not None  # noqa: S101 (it is held)
    kind, id_ = split_key(key)
    return {
        "kind": kind,
        "id": id_,
        "given_by": element.first("delegator") if kind == "delegation" else element.facts[0].event.source,
        "on_behalf_of": None if kind == "delegation" else element.first("subject"),
        "scopes": list(element.first("scopes") or ()),
        "audience": sorted({one for fact in element.facts for one in getattr(fact.event.body, "audience", ())}),
        "task": element.first("task"),
        "issued_at": format_instant(element.issued_at),
        "expires_at": _end(element.ends_at),
    }


def _tools(world: World, key: str, at: Instant) -> list[str]:
    """List the tools with which an element was used by an instant."""
    bodies = (
        fact.event.body
        for action in world.actions_under({key})
        for fact in world.actions.get(action)
        if fact.event.occurred_at <= at
    )
    return sorted({tool for body in bodies if (tool := getattr(body, "tool", None)) is not None})


def _named(world: World, party: str) -> Document:
    owner = world.principals.owner(party)
    return {
        "known_as": world.principals.known_as(party),
        "display_name": world.principals.display_name(party),
        "owner": owner.value if owner else None,
    }


def _end(moment: Instant) -> str | None:
    return instant(None if moment == NEVER else moment)


def _sorted(scopes: frozenset[str] | None) -> list[str] | None:
    return None if scopes is None else sorted(scopes)


def _listed(
    service: Service, items: list[tuple[Rank, Document]], digest: str, after: str | None, limit: int
) -> Document:
    page, following = ranked_page(items, after, digest, limit)
    return {**listing(page, total=len(items), following=following), "as_of": service.as_of()}


def _rank(item: tuple[Rank, Document]) -> Rank:
    return item[0]
