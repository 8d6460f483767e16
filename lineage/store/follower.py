"""Keeping something in memory up with a store: read all of it once, and then what came since.

Before each use the store is asked whether it has moved on. Those who ask at the same time share one look, as long as
it begins after they came: what is kept is never older than the question.
"""

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from lineage.core.model.errors import NotAtOnceError
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted, TrustTable, in_force
from lineage.store.store import Store


class Place(NamedTuple):
    """Where a store stands: as long as edition, positions and trust are the same, so is what its facts say."""

    edition: bytes
    positions: Mapping[tuple[str, int], int]
    trust: TrustTable | None
    recorded_at: Instant | None


class Follower:
    """Follows a store. Any thread may ask; what is kept stands still meanwhile."""

    def __init__(
        self,
        store: Store,
        *,
        anew: Callable[[Store], None],
        take: Callable[[Store, Mapping[tuple[str, int], int]], None],
        trust: Trusted | None = None,
        most: float = math.inf,
    ) -> None:
        """Take what is followed; the first who asks has it read.

        Args:
            store: The store.
            anew: Reads what is kept from the store, which stands still.
            take: Takes in what stands behind some positions.
            trust: Says which trust table is in force; under another one everything is read anew.
            most: Of how many records at once; where more came it is read anew.
        """
        self._store = store
        self._anew = anew
        self._take = take
        self._trust = trust
        self._most = most
        self._lock = threading.Lock()
        self._looks = 0  # that were begun
        self._looked = 0  # the last that ended well
        self._mark: object = None
        self._place: Place | None = None  # None: nothing was read yet

    @contextmanager
    def caught_up(self) -> Iterator[Place]:
        """What is kept is all that is projected by now, for as long as this lasts: keep it short.

        Yields:
            Where it stands: the same value as long as nothing was committed.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        before = self._looks
        with self._lock:
            place = self._place
            if place is None or self._looked <= before:  # a look that began before may have missed what is asked about
                self._looks += 1
                look = self._looks
                place = self._follow()
                self._looked = look
            yield place

    @contextmanager
    def at_once(self) -> Iterator[Place]:
        """The same, if nothing was committed since somebody looked last and that can be said without waiting.

        Raises:
            NotAtOnceError: It cannot, or something was.
        """
        if self._store.glance is None or not self._lock.acquire(blocking=False):
            raise NotAtOnceError("the store has to be asked")
        try:
            place = self._place
            if place is None or self._store.mark() != self._mark or in_force(self._trust) is not place.trust:
                raise NotAtOnceError("the store has moved on")
            yield place
        finally:
            self._lock.release()

    @contextmanager
    def held(self) -> Iterator[Place | None]:
        """What is kept stands still, however old it is; None: nothing was read yet."""
        with self._lock:
            yield self._place

    def _follow(self) -> Place:
        mark = self._store.mark()  # first: what is committed while it is read shows at the next look
        trust = in_force(self._trust)
        before = self._place
        if before is not None and mark == self._mark and trust is before.trust:
            return before
        with self._store.frozen() as still:
            positions, recorded_at = still.standing()
            place = Place(still.edition(), positions, trust, recorded_at)
            is_other = before is None or before.edition != place.edition or before.trust is not trust
            if before is None or is_other or _came(before, place) > self._most:
                self._anew(still)
            elif before.positions != place.positions:
                self._take(still, before.positions)
        self._place, self._mark = place, mark
        return place


def _came(before: Place, place: Place) -> int:
    """How many records were projected between two places."""
    return sum(following - before.positions.get(where, 0) for where, following in place.positions.items())
