"""The live graph: everything that grants or revokes authority, in memory, kept in step with the store.

It answers ``status`` and ``chain`` for everything projected, with the same core as every other question and without
SQL. It follows the store, not the partitions of one consumer, so each consumer of a group has all of it. Actions and
decisions are omitted, because its answers do not depend on them.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Final

from lineage.core.authority.rule import verdict_of, verdict_of_name
from lineage.core.authority.world import World
from lineage.core.findings.options import DEFAULT
from lineage.core.model.errors import RefusedError, UnavailableError
from lineage.core.model.events import Event, digest
from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS, key_of, split_key, split_of
from lineage.core.model.records import ProjectedBatch
from lineage.core.model.times import Instant, format_instant, parse_instant
from lineage.core.model.trust import Trusted, TrustTable
from lineage.serve.documents.core_documents import Document, chain_answer, status_answer, with_findings, with_prepared
from lineage.store.authority_replica import AuthorityReplica
from lineage.store.follower import StoreState
from lineage.store.store import Store

# If the last comparison with the store is older than this, it may lack an order that others have projected.
STALE_SECONDS: Final = 10.0


class LiveGraph:
    """The authority graph of a store, in memory. Thread-safe."""

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

    def projected(self, batch: ProjectedBatch) -> None:
        """Apply a batch that is in the store, without reading it.

        One that does not directly follow is left to ``follow``.
        """
        self._replica.pushed(batch)

    def follow(self) -> None:
        """Apply what others have projected since.

        Raises:
            UnavailableError: The store is unavailable.
        """
        self._replica.follow()

    # Answering

    def status(self, kind: str, id_: str, *, at: Instant) -> Document | None:
        """Answer the state of an element or a name; None if nothing in the graph mentions it.

        Raises:
            RefusedError: It has no state.
            UnavailableError: The graph is not loaded yet, or does not keep up with the store.
        """
        key = key_of(kind, id_)
        with self._whole() as (world, place):
            if kind in ELEMENT_KINDS:
                known = key in world.graph or bool(world.orders.by_target.get(key))
                verdict = verdict_of(world, key, at) if known else None
            elif kind in NAME_KINDS:
                verdict = verdict_of_name(world, kind, id_, at) if _tells_of(world, kind, key) else None
            else:
                raise RefusedError(f"{kind!r} has no state; ask for token:ID")
            if verdict is None:
                return None
            return {**status_answer(world, kind, id_, verdict, at=at, known_at=None), "as_of": _as_of(place)}

    def chain(self, kind: str, id_: str, *, at: Instant) -> Document | None:
        """Answer who stood behind a token or a delegation; None if nothing in the graph mentions it.

        Raises:
            RefusedError: It has no chain.
            UnavailableError: The graph is not loaded yet, or does not keep up with the store.
        """
        if kind not in ELEMENT_KINDS:
            raise RefusedError(f"only a token or a delegation has a chain, not a {kind}: ask for token:ID")
        key = key_of(kind, id_)
        with self._whole() as (world, place):
            if key not in world.graph and not world.orders.by_target.get(key):
                return None
            document = with_prepared(chain_answer(world, kind, id_, at=at, nearby=False), DEFAULT)
            return {**with_findings(document, DEFAULT, at=at), "as_of": _as_of(place)}

    @contextmanager
    def _whole(self) -> Iterator[tuple[World, StoreState]]:
        """Lock the whole graph. A partial one would call alive what an order in the missing part has killed.

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

    # Inspection

    def size(self) -> tuple[int, int]:
        """Count elements and dependencies."""
        with self._replica.aged() as found:
            graph = (found.world or World()).graph
            return len(graph), graph.count_edges()

    def digest(self) -> Document:
        """Return the digest of the graph and its positions: a fresh projection up to there has the same."""
        with self._whole() as (world, place):
            return {
                "positions": {f"{topic}/{partition}": end for (topic, partition), end in place.positions.items()},
                "digest": digest_of(world),
            }


def _as_of(place: StoreState) -> Document:
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
    """Compute the digest that a live graph of a store has."""
    world = World(trust=trust)
    for fact in store.every_fact():
        world.add_authority(fact)
    return digest_of(world)


def digest_of(world: World) -> str:
    """Compute SHA-256 over every element with its dependencies and every fact in the graph, in a fixed order."""
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
    """Build the routes ``/status?of=KIND:ID[&at=TIME]``, ``/chain?…`` and ``/digest``."""
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
