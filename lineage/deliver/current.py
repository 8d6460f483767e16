"""The authority graph in memory, never older than the question: for answers that are asked for at every call of a tool.

Before each answer the store is asked whether it has moved on, and what is new is taken in. Those who ask at the same
time share one look, as long as it begins after they came.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lineage.core.events import ActionPerformed, DecisionMade, Fact
from lineage.core.records import Position
from lineage.core.trust import TrustTable
from lineage.core.world import World
from lineage.store.store import Store

_PAGE: Final = 50_000  # facts read at once


class Current:
    """What grants authority and what takes it away, as the store has it now. Any thread may ask."""

    def __init__(self, store: Store, trust: TrustTable | None) -> None:
        """Take what it follows. The first question reads all of it."""
        self._store = store
        self._trust = trust
        self._lock = threading.Lock()
        self._looks = 0  # that were begun
        self._looked = 0  # the last that ended well
        self._world = World(trust=trust)
        self._edition: bytes | None = None  # None: nothing was read yet
        self._following: dict[tuple[str, int], int] = {}

    @contextmanager
    def world(self) -> Iterator[World]:
        """All that is projected by now but actions and decisions; it stands still while this lasts: keep it short.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        before = self._looks
        with self._lock:
            if self._looked <= before:  # a look that began before this question may have missed what it asks about
                self._looks += 1
                look = self._looks
                self._follow()
                self._looked = look
            yield self._world

    def _follow(self) -> None:
        if self._edition is not None and (self._edition, self._following) == self._store.place():
            return
        with self._store.frozen() as still:
            edition, positions = still.edition(), still.positions()
            if edition != self._edition:
                self._load(still)
            else:
                for (topic, partition), following in positions.items():
                    known = self._following.get((topic, partition), 0)
                    if known < following:
                        first, last = (Position(topic, partition, n).number for n in (known, following - 1))
                        for fact in still.facts_between(first, last):
                            _add(self._world, fact)
        self._edition, self._following = edition, positions

    def _load(self, still: Store) -> None:
        world = World(trust=self._trust)
        after = -1
        while page := still.facts(after=after, limit=_PAGE):
            for found in page:
                _add(world, found.fact)
            after = page[-1].number
        self._world = world


def _add(world: World, fact: Fact) -> None:
    if not isinstance(fact.event.body, ActionPerformed | DecisionMade):
        world.add(fact)
