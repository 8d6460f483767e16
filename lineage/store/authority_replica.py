"""The authority graph in memory: all facts that grant or end authority. It follows a store, and has an age.

Introspection and status lists need the current graph; the live graph of a consumer accepts one that is a few seconds
old.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from lineage.core.authority.world import World
from lineage.core.model.records import ProjectedBatch
from lineage.core.model.trust import Trusted, in_force
from lineage.plumbing.gc_pause import gc_freeze
from lineage.store.follower import Follower, StoreState
from lineage.store.store import Store

_MANY: Final = 10_000  # records in a batch while a consumer catches up


class Aged(NamedTuple):
    """The graph as of the last check of the store.

    Attributes:
        world: The graph; None if nothing has been loaded yet, or a check takes longer than the caller waits.
        place: Where it stands; None with the world.
        seconds: Its age.
    """

    world: World | None
    place: StoreState | None
    seconds: float


class AuthorityReplica:
    """All facts of a store except actions and decisions, on which no state depends. Thread-safe."""

    def __init__(
        self,
        store: Store,
        trust: Trusted | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a replica. The first query loads everything.

        Args:
            store: The store that it follows.
            trust: The trust table in force.
            monotonic: A monotonic clock.
        """
        self._trust = trust
        self._world = World(trust=in_force(trust))
        self._follower = Follower(store, load=self._load, apply=self._take, trust=trust, monotonic=monotonic)

    @contextmanager
    def world(self) -> Iterator[World]:
        """Yield the current graph, which does not change within the block; keep the block short.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        with self._follower.caught_up():
            yield self._world

    @contextmanager
    def world_at_once(self) -> Iterator[World]:
        """The same where that takes no waiting.

        Raises:
            WouldBlockError: It does.
        """
        with self._follower.non_blocking():
            yield self._world

    @contextmanager
    def aged(self, seconds: float = math.inf) -> Iterator[Aged]:
        """Yield the graph as of the last check, without checking the store now.

        Args:
            seconds: The longest wait for a check in progress.
        """
        with self._follower.held_within(seconds) as (place, age):
            yield Aged(None if place is None else self._world, place, age)

    def follow(self) -> StoreState:
        """Ask the store for what was projected since, and return where the graph stands.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        with self._follower.caught_up() as place:
            return place

    def pushed(self, batch: ProjectedBatch) -> None:
        """Apply a batch that this process has just committed, if it directly follows the graph's version."""
        self._follower.pushed(batch, self._push)

    def _push(self, batch: ProjectedBatch) -> None:
        for fact in batch.authority():
            self._world.add_authority(fact)
        if batch.records >= _MANY:
            gc_freeze()

    def _load(self, still: Store) -> None:
        world = World(trust=in_force(self._trust))
        for fact in still.every_fact():
            world.add_authority(fact)
        loaded_before = len(self._world.graph) > 0
        self._world = world
        # Otherwise queries would wait for seconds, now and then, while the collector scans the whole graph.
        gc_freeze(collect_first=loaded_before)

    def _take(self, still: Store, positions: Mapping[tuple[str, int], int]) -> None:
        for fact in still.facts_after(positions):
            self._world.add_authority(fact)
