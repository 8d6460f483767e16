"""The authority graph in memory, never older than the question: for what is asked at every call of a tool."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lineage.core.authority.world import World
from lineage.core.model.trust import Trusted, in_force
from lineage.plumbing.gc_pause import collector_spared
from lineage.store.follower import Follower
from lineage.store.store import Store


class Current:
    """What grants authority and what takes it away, as the store has it now. Any thread may ask."""

    def __init__(self, store: Store, trust: Trusted | None) -> None:
        """Take what it follows. The first question reads all of it."""
        self._trust = trust
        self._world = World(trust=in_force(trust))
        self._follower = Follower(store, anew=self._load, take=self._take, trust=trust)

    @contextmanager
    def world(self) -> Iterator[World]:
        """All that is projected by now but actions and decisions; it stands still while this lasts: keep it short.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        with self._follower.caught_up():
            yield self._world

    @contextmanager
    def world_at_once(self) -> Iterator[World]:
        """The same, where that takes no waiting.

        Raises:
            NotAtOnceError: It does.
        """
        with self._follower.at_once():
            yield self._world

    def _load(self, still: Store) -> None:
        world = World(trust=in_force(self._trust))
        for fact in still.every_fact():
            world.add_authority(fact)
        before, self._world = self._world, world
        # Or every question waits for seconds, now and then, for the collector to look through all of it.
        collector_spared(anew=len(before.graph) > 0)

    def _take(self, still: Store, positions: Mapping[tuple[str, int], int]) -> None:
        for fact in still.facts_behind(positions):
            self._world.add_authority(fact)
