"""The outbox writer: finds the elements whose state revocations have changed, and writes them to the outbox.

It follows the store, keeps the authority graph in memory, and writes a row for every element whose state has changed.
It runs outside the transactions of the projection, so a revocation costs the same however many elements depend on its
target. Any number of processes may run it at once, and each may crash at any time: a process reads the rows of
others, and writes again if it has newer facts.
"""

import heapq
import logging
from collections.abc import Iterable
from typing import Final

from lineage.core.authority.elements import granted_key
from lineage.core.authority.world import World
from lineage.core.model.errors import FencedError
from lineage.core.model.events import Fact
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted
from lineage.core.revocation.state_changes import (
    PublishedState,
    affected,
    affected_by,
    changes,
    effective_times,
    widened,
)
from lineage.store.authority_replica import AuthorityReplica
from lineage.store.delivery import outbox
from lineage.store.delivery.outbox import SPREAD, Standing
from lineage.store.store import Store

logger = logging.getLogger(__name__)

_PAGE: Final = 50_000  # facts or rows read at a time
_ATTEMPTS: Final = 20  # while other processes also write
# After a restart, a fact projected up to this long after it was recorded is still recognised as new.
_LATE: Final = 600_000_000  # microseconds


class OutboxWriter:
    """Writes state changes to the outbox. Used by one thread."""

    def __init__(self, store: Store, trust: Trusted | None) -> None:
        """Follow a store; the first round loads all of its facts."""
        self._store = store
        self._replica = AuthorityReplica(store, trust, observer=self)
        self._world = World()  # the world of the replica
        self._published: dict[str, PublishedState] = {}
        self._seq = 0  # the last row that is in `_published`
        self._at: Instant = 0
        self._doubtful: set[str] = set()  # elements whose published state may be out of date
        self._again: set[str] = set()  # ended elements to publish again, since more receivers cover them
        self._repeated: set[str] = set()  # elements to publish again on request
        self._verify = False  # whether all elements are doubtful
        self._published_at: dict[str, Instant] = {}  # the time for which each was published, while all are doubtful
        self._new: list[Fact] = []  # facts in the world that have not been examined yet
        self._coming: list[tuple[Instant, str]] = []  # a heap: when a revocation will change states by itself

    @property
    def seq(self) -> int:
        """The last row of the outbox that it knows."""
        return self._seq

    def publish_again(self, keys: Iterable[str]) -> None:
        """Publish the ends of some elements again in the next round, so that every receiver gets them again."""
        self._repeated.update(keys)

    def round(self, now: Instant) -> int:
        """Write all state changes that are due.

        Returns:
            The number of rows that were written.

        Raises:
            FencedError: Other writers were faster every time; try again.
            UnavailableError: The store is unavailable; try again.
        """
        for _ in range(_ATTEMPTS):
            place = self._replica.follow()
            self._read_back()
            self._find_doubtful(now)
            keys, repeated = self._doubtful | self._repeated, self._again | self._repeated
            found = changes(self._world, keys, self._at, self._published, repeated)
            try:
                if found:
                    standing = Standing(place.edition, place.positions)
                    self._seq = outbox.write(self._store, found, after=self._seq, at=self._at, standing=standing)
                    self._published.update((change.key, change.version) for change in found)
            except FencedError:
                logger.debug("another outbox writer was faster")
                continue
            self._doubtful.clear()
            self._again.clear()
            self._repeated.clear()
            return len(found)
        raise FencedError(f"other outbox writers were faster {_ATTEMPTS} times in a row")

    def loaded(self, world: World) -> None:
        """The replica has been loaded again: all elements are doubtful."""
        self._world, self._coming, self._verify = world, effective_times(world.facts()), True
        heapq.heapify(self._coming)
        self._new.clear()

    def added(self, facts: list[Fact]) -> None:
        """Handle new facts of the replica."""
        self._new += facts

    def _read_back(self) -> None:
        """Read the rows of other writers. They may have had older facts than we have, so they are checked again."""
        while found := outbox.rows(self._store, after=self._seq, limit=_PAGE):
            for seq, change, at in found:
                self._published[change.key] = change.version
                self._doubtful.add(change.key)
                self._seq = seq
                if self._verify:
                    self._published_at[change.key] = at
        self._at = max(self._at, outbox.cursor_of(self._store, SPREAD).at)

    def _find_doubtful(self, now: Instant) -> None:
        """Find the elements whose state may have changed, because of new facts or of the time that has passed."""
        self._at = max(self._at, now)  # a clock that is set back does not undo anything
        if self._verify:
            every = {order.body.revocation for order in self._world.orders.all()}
            self._doubtful |= affected_by(self._world, every, self._at) | self._published.keys()
            self._again |= widened(self._world, self._published_at, self._came_later)
            self._published_at.clear()
            self._verify = False
        for moment in effective_times(self._new):
            heapq.heappush(self._coming, moment)
        self._doubtful |= affected(self._world, self._new, self._at)
        new = [fact for fact in self._new if granted_key(fact.event.body) in self._published]
        granted = {str(granted_key(fact.event.body)) for fact in new}
        self._again |= widened(self._world, granted, lambda _, fact: fact in new)
        self._new.clear()
        due = set()
        while self._coming and self._coming[0][0] <= self._at:
            due.add(heapq.heappop(self._coming)[1])
        self._doubtful |= affected_by(self._world, due, self._at)

    def _came_later(self, key: str, fact: Fact) -> bool:
        """Whether a fact may have become known only after the latest row of an element, as found at the start."""
        return fact.recorded_at > self._published_at[key] - _LATE
