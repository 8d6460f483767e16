"""The spread: from orders, which are in force by themselves, to the elements whose state they change, for receivers.

It follows the store, keeps the authority graph in memory, and writes a row into the outbox for each element of which
orders have made something else. It runs outside of the projection's transactions: an order costs the same whatever
hangs on its target. Any number of processes may do this at once, and each may die at any moment: what was written is
read back, and what a process knew better than another it writes again.
"""

import heapq
import logging
from typing import Final

from lineage.core.authority.elements import granted_key
from lineage.core.authority.world import World
from lineage.core.model.errors import FencedError
from lineage.core.model.events import Fact
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted
from lineage.core.revocation.state_changes import Version, changes, moments, touched, touched_by, widened
from lineage.store.authority_replica import AuthorityReplica
from lineage.store.delivery import outbox
from lineage.store.delivery.outbox import SPREAD, Standing
from lineage.store.store import Store

logger = logging.getLogger(__name__)

_PAGE: Final = 50_000  # facts, or rows, read at once
_ATTEMPTS: Final = 20  # while others write as well
# A fact may be projected so much later than it was recorded and still be seen to be new after a restart.
_LATE: Final = 600_000_000  # microseconds


class Spread:
    """What orders do, element by element. One thread."""

    def __init__(self, store: Store, trust: Trusted | None) -> None:
        """Create a writer over the store that it follows; the first round reads all of it."""
        self._store = store
        self._replica = AuthorityReplica(store, trust, observer=self)
        self._world = World()  # that of the replica
        self._told: dict[str, Version] = {}
        self._seq = 0  # the last row that is in `_told`
        self._at: Instant = 0
        self._doubtful: set[str] = set()  # elements of which something else may have to be told
        self._again: set[str] = set()  # those whose end is told again, since more receivers cover them
        self._verify = False  # whether everything is doubtful
        self._told_at: dict[str, Instant] = {}  # up to which moment each was told, while everything is doubtful
        self._new: list[Fact] = []  # facts that are in the world and were not looked at
        self._coming: list[tuple[Instant, str]] = []  # a heap: when which revocation will change something by itself

    @property
    def seq(self) -> int:
        """The last row that it knows."""
        return self._seq

    def round(self, now: Instant) -> int:
        """Write what is to be told by now: how many rows.

        Raises:
            FencedError: Others were always faster; try again.
            UnavailableError: The store is away; try again.
        """
        for _ in range(_ATTEMPTS):
            place = self._replica.follow()
            self._hear()
            self._doubt(now)
            found = changes(self._world, self._doubtful, self._at, self._told, self._again)
            try:
                if found:
                    standing = Standing(place.edition, place.positions)
                    self._seq = outbox.write(self._store, found, after=self._seq, at=self._at, standing=standing)
                    self._told.update((change.key, change.version) for change in found)
            except FencedError:
                logger.debug("another process spreads as well, and was faster")
                continue
            self._doubtful.clear()
            self._again.clear()
            return len(found)
        raise FencedError("others spread what orders do all the while")

    def loaded(self, world: World) -> None:
        """Everything was read again: everything is doubtful."""
        self._world, self._coming, self._verify = world, moments(world.facts()), True
        heapq.heapify(self._coming)
        self._new.clear()

    def added(self, facts: list[Fact]) -> None:
        """Some facts are new in the graph."""
        self._new += facts

    def _hear(self) -> None:
        """Take in what others have told. They may have known less than this process: it is looked at again."""
        while found := outbox.rows(self._store, after=self._seq, limit=_PAGE):
            for seq, change, at in found:
                self._told[change.key] = change.version
                self._doubtful.add(change.key)
                self._seq = seq
                if self._verify:
                    self._told_at[change.key] = at
        self._at = max(self._at, outbox.cursor_of(self._store, SPREAD).at)

    def _doubt(self, now: Instant) -> None:
        """Find the elements of which new facts, or the time that has passed, may have made something else."""
        self._at = max(self._at, now)  # a clock that was set back takes nothing back
        if self._verify:
            every = {order.body.revocation for order in self._world.orders.all()}
            self._doubtful |= touched_by(self._world, every, self._at) | self._told.keys()
            self._again |= widened(self._world, self._told_at, self._came_later)
            self._told_at.clear()
            self._verify = False
        for moment in moments(self._new):
            heapq.heappush(self._coming, moment)
        self._doubtful |= touched(self._world, self._new, self._at)
        new = [fact for fact in self._new if granted_key(fact.event.body) in self._told]
        granted = {str(granted_key(fact.event.body)) for fact in new}
        self._again |= widened(self._world, granted, lambda _, fact: fact in new)
        self._new.clear()
        due = set()
        while self._coming and self._coming[0][0] <= self._at:
            due.add(heapq.heappop(self._coming)[1])
        self._doubtful |= touched_by(self._world, due, self._at)

    def _came_later(self, key: str, fact: Fact) -> bool:
        """Whether a fact may have become known only after the last word on an element, which was found at the start."""
        return fact.recorded_at > self._told_at[key] - _LATE
