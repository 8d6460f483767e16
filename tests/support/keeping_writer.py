"""An outbox writer that keeps the whole graph and every row in memory: what the real one is compared with."""

from collections.abc import Callable

from lineage.core.authority.elements import granted_key
from lineage.core.authority.world import World
from lineage.core.model.events import Event, Fact
from lineage.core.revocation.state_changes import (
    PublishedState,
    affected,
    affected_by,
    changes,
    effective_times,
    perhaps_widened,
    widened,
)
from lineage.store.delivery import outbox
from lineage.store.delivery.outbox import SPREAD, Standing
from lineage.store.store import Store

LATE = 600_000_000  # microseconds


class KeepingWriter:
    """Writes state changes to the outbox. It forgets nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._world = World()
        self._edition: bytes | None = None
        self._positions: dict[tuple[str, int], int] = {}
        self._published: dict[str, PublishedState] = {}
        self._seq = 0
        self._at = 0
        self._coming: set[tuple[int, str]] = set()

    def round(self, clock: Callable[[], int]) -> int:
        """Write all state changes that are due, and return how many were written."""
        now = clock()
        edition, positions = self._store.version()
        started = edition != self._edition
        new: list[Fact] = []
        known: dict[str, set[Event]] = {}
        if started:
            self._world = World(self._store.every_fact())
            self._coming = set(effective_times(self._world.facts()))
        else:
            new = list(self._store.facts_after(self._positions))
            granted = {str(granted_key(fact.event.body)) for fact in new}
            known = {key: {fact.event for fact in self._world.graph.facts.get(key)} for key in granted}
            for fact in new:
                self._world.add(fact)
            self._coming |= set(effective_times(new))
        told = outbox.rows(self._store, after=self._seq, limit=1_000_000)
        self._published |= {row.change.key: row.change.version for row in told}
        doubtful, published_at = {row.change.key for row in told}, {row.change.key: row.recorded_at for row in told}
        cursor = outbox.cursor_of(self._store, SPREAD)
        at = self._at = max(self._at, now, cursor.at)
        again: set[str] = set()
        if started:
            every = {order.body.revocation for order in self._world.orders.all()}
            doubtful |= affected_by(self._world, every, at) | self._published.keys()
            if self._edition is not None:
                again |= perhaps_widened(self._world, self._world, self._published)
            again |= widened(self._world, published_at, lambda key, fact: fact.recorded_at > published_at[key] - LATE)
        due = {revocation for moment, revocation in self._coming if moment <= at}
        doubtful |= affected(self._world, new, at) | affected_by(self._world, due, at)
        again |= widened(self._world, known.keys() & self._published, lambda key, fact: fact.event not in known[key])
        found = changes(self._world, doubtful, at, self._published, again)
        self._seq = cursor.seq
        if found:
            standing = Standing(edition, positions)
            self._seq = outbox.write(self._store, found, after=cursor.seq, at=at, standing=standing)
        self._published |= {change.key: change.version for change in found}
        self._edition, self._positions = edition, positions
        self._coming = {(moment, revocation) for moment, revocation in self._coming if moment > at}
        return len(found)
