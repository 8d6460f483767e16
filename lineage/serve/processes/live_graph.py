"""The live graph: what grants authority and what takes it away, in memory, kept up with the store.

It answers ``status`` and ``chain`` as of everything that is projected, by the same core as every other question and
without a statement of SQL. It follows the store and not one consumer's partitions: so each consumer of a group has all
of it. Actions and decisions are left out: nothing of what it answers depends on them.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Final

from lineage.core.authority.rule import judge, judge_name
from lineage.core.authority.world import World
from lineage.core.findings.options import DEFAULT
from lineage.core.model.errors import RefusedError, UnavailableError
from lineage.core.model.events import Event, digest
from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS, key_of, split_key
from lineage.core.model.records import Batch
from lineage.core.model.times import Instant, format_instant, parse_instant
from lineage.core.model.trust import Trusted, TrustTable
from lineage.serve.documents.core_documents import Document, chain_answer, split_of, status_answer, told, with_prepared
from lineage.store.authority_replica import AuthorityReplica
from lineage.store.follower import Place
from lineage.store.store import Store

# What was last compared with the store so long ago may lack an order that others have projected since: it is no answer.
STALE_SECONDS: Final = 10.0


class LiveGraph:
    """The authority graph of a store, in memory. Any thread may ask."""

    def __init__(
        self,
        store: Store,
        trust: Trusted | None,
        clock: Callable[[], Instant],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a live graph; the first ``follow`` loads it, and before that it answers nothing."""
        self.clock = clock
        self._replica = AuthorityReplica(store, trust, monotonic=monotonic)

    def projected(self, batch: Batch) -> None:
        """Take in a batch that is in the store, without asking for it; what does not follow is left to ``follow``."""
        self._replica.pushed(batch)

    def follow(self) -> None:
        """Take in what others have projected since.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        self._replica.follow()

    # Answering

    def status(self, kind: str, id_: str, *, at: Instant) -> Document | None:
        """The state of an element or of what elements name; None if nothing in the graph tells of it.

        Raises:
            RefusedError: It has no state.
            UnavailableError: It is not loaded yet, or does not keep up with the store.
        """
        key = key_of(kind, id_)
        with self._whole() as (world, place):
            if kind in ELEMENT_KINDS:
                known = key in world.graph or bool(world.orders.by_target.get(key))
                verdict = judge(world, key, at) if known else None
            elif kind in NAME_KINDS:
                verdict = judge_name(world, kind, id_, at) if _tells_of(world, kind, key) else None
            else:
                raise RefusedError(f"{kind!r} has no state; ask for token:ID")
            if verdict is None:
                return None
            return {**status_answer(world, kind, id_, verdict, at=at, known_at=None), "as_of": _as_of(place)}

    def chain(self, kind: str, id_: str, *, at: Instant) -> Document | None:
        """Who stands behind a token or a delegation; None if nothing in the graph tells of it.

        Raises:
            RefusedError: It has no chain.
            UnavailableError: It is not loaded yet, or does not keep up with the store.
        """
        if kind not in ELEMENT_KINDS:
            raise RefusedError(f"only a token or a delegation has a chain, not a {kind}: ask for token:ID")
        key = key_of(kind, id_)
        with self._whole() as (world, place):
            if key not in world.graph and not world.orders.by_target.get(key):
                return None
            said = with_prepared(chain_answer(world, kind, id_, at=at), DEFAULT)
            return {**told(said, DEFAULT, at=at), "as_of": _as_of(place)}

    @contextmanager
    def _whole(self) -> Iterator[tuple[World, Place]]:
        """The graph. Half of one would call alive what an order in the other half has killed.

        Raises:
            UnavailableError: It is not loaded yet, or does not keep up with the store.
        """
        with self._replica.aged(STALE_SECONDS) as found:
            if found.seconds > STALE_SECONDS and found.seconds != math.inf:
                raise UnavailableError(
                    f"the live graph has not kept up with the store for {found.seconds:.0f} s; ask the store"
                )
            if found.world is None or found.place is None:
                raise UnavailableError("the live graph is being loaded; ask again in a moment")
            yield found.world, found.place

    # Showing itself

    def size(self) -> tuple[int, int]:
        """Elements and dependencies."""
        with self._replica.aged() as found:
            graph = (found.world or World()).graph
            return len(graph), graph.count_edges()

    def digest(self) -> Document:
        """The digest of the graph and the positions that it stands at: a fresh projection up to there has the same."""
        with self._whole() as (world, place):
            return {
                "positions": {f"{topic}/{partition}": end for (topic, partition), end in place.positions.items()},
                "digest": digest_of(world),
            }


def _as_of(place: Place) -> Document:
    return {"recorded_at": None if place.recorded_at is None else format_instant(place.recorded_at), "behind": None}


def _tells_of(world: World, kind: str, key: str) -> bool:
    """Whether an element, an order, a registration or a binding names a principal, workload, session or client."""
    id_ = split_key(key)[1]
    principals = world.principals
    return (
        next(world.graph.naming(key), None) is not None
        or bool(world.orders.by_target.get(key))
        or (kind == "principal" and (id_ in world.graph.asserted or len(principals.party(id_)) > 1))
        or (kind == "principal" and bool(principals.registrations.get(id_) or id_ in principals.owned))
        or (kind in ("principal", "workload") and bool(principals.bindings.get(id_)))
    )


def digest_of_store(store: Store, trust: TrustTable | None) -> str:
    """The digest that a live graph of a store has."""
    world = World(trust=trust)
    for fact in store.every_fact():
        world.add_authority(fact)
    return digest_of(world)


def digest_of(world: World) -> str:
    """SHA-256 over every element with what it depends on and every fact that the graph holds, in a fixed order."""
    hashed = hashlib.sha256()
    for key in sorted(world.graph):
        hashed.update(f"{key}\0{chr(1).join(sorted(world.graph.parents(key)))}\n".encode())
    for content in sorted(digest(event) for event in _events(world)):
        hashed.update(content.encode())
    return hashed.hexdigest()


def _events(world: World) -> Iterable[Event]:
    indexes = (
        world.graph.facts,
        world.orders.by_target,
        world.orders.lifts,
        world.principals.registrations,
        world.principals.bindings,
    )
    return {fact.event for index in indexes for key in index for fact in index.get(key)}


Answer = Callable[[Mapping[str, list[str]]], tuple[int, Document]]


def routes(live: LiveGraph) -> dict[str, Answer]:
    """What a live graph answers over HTTP: ``/status?of=KIND:ID[&at=TIME]``, ``/chain?…`` and ``/digest``."""
    return {
        "/status": partial(_answer, live.status, live.clock),
        "/chain": partial(_answer, live.chain, live.clock),
        "/digest": lambda _query: (HTTPStatus.OK, live.digest()),
    }


def _answer(
    question: Callable[..., Document | None], clock: Callable[[], Instant], query: Mapping[str, list[str]]
) -> tuple[int, Document]:
    [of] = query.get("of", [""])
    kind, id_ = split_of(of)
    try:
        at = parse_instant(query["at"][0]) if "at" in query else clock()
    except ValueError as error:
        raise RefusedError(f"at={query['at'][0]!r}: {error}") from error
    found = question(kind, id_, at=at)
    if found is None:
        return HTTPStatus.NOT_FOUND, {"error": "not_found", "id": of}
    return HTTPStatus.OK, found
