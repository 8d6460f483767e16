"""Keep a copy in memory in step with a store: load it once, and then apply new facts.

Before each use the store is checked for new facts. Concurrent callers share one check if it begins after they have
called, so that the copy is never older than the call.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from lineage.core.model.errors import DelegraphError, WouldBlockError
from lineage.core.model.records import ProjectedBatch
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted, TrustTable, in_force
from lineage.store.store import Store

_PUSH_SECONDS: Final = 0.05  # how long a writer waits to hand over a batch


class StoreState(NamedTuple):
    """The state of a store: as long as edition, positions and trust are unchanged, so are its authorised facts."""

    edition: bytes
    positions: Mapping[tuple[str, int], int]
    trust: TrustTable | None
    recorded_at: Instant | None


class Follower:
    """Follows a store. Thread-safe; the copy does not change while a caller uses it."""

    def __init__(
        self,
        store: Store,
        *,
        load: Callable[[Store], None],
        apply: Callable[[Store, Mapping[tuple[str, int], int]], None],
        trust: Trusted | None = None,
        most: float = math.inf,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a follower; the copy is loaded on first use.

        Args:
            store: The store.
            load: Loads the copy from a snapshot of the store.
            apply: Applies the facts after some positions to the copy.
            trust: Provides the trust table in force; if it changes, everything is loaded again.
            most: The most records to apply at once; if there are more, everything is loaded again.
            monotonic: A monotonic clock, for the age of the copy.
        """
        self._store = store
        self._load = load
        self._apply = apply
        self._trust = trust
        self._most = most
        self._monotonic = monotonic
        self._followed_at = 0.0  # when the last check began
        self._checking = threading.Lock()  # held while the store is checked, which takes a round trip
        self._lock = threading.Lock()  # protects the copy; held while it changes, or is used
        self._checks = 0  # number of checks begun
        self._checked = 0  # number of the last check that succeeded
        self._mark: object = None
        self._place: StoreState | None = None  # None before anything is loaded

    @contextmanager
    def caught_up(self) -> Iterator[StoreState]:
        """Catch up with the store, then lock the copy for the block; keep the block short.

        Yields:
            The state of the store: the same object as long as nothing was committed.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        while True:
            before = self._checks
            with self._checking:
                # A check begun before this call may have missed a fact.
                if self._place is None or self._checked <= before:
                    self._checks += 1
                    check = self._checks
                    self._follow()
                    self._checked = check
            with self._lock:
                if self._place is not None:  # unless the check of another caller has failed since
                    yield self._place
                    return

    @contextmanager
    def non_blocking(self, version: object = None) -> Iterator[StoreState]:
        """Catch up like ``caught_up``, but without blocking.

        Args:
            version: The version of the store, determined since the caller was asked; None to determine it here.

        Raises:
            WouldBlockError: There were commits since the last check, that cannot be determined without blocking, or the
                copy is being changed or used. A check in progress by another thread does not matter.
        """
        unknown = version is None and self._store.change_probe is None
        if unknown or not self._lock.acquire(blocking=False):
            raise WouldBlockError("the store has to be asked")
        try:
            place = self._place
            token = self._store.change_token() if version is None else version
            if place is None or token != self._mark or in_force(self._trust) is not place.trust:
                raise WouldBlockError("the store has moved on")
            yield place
        finally:
            self._lock.release()

    @contextmanager
    def held(self) -> Iterator[StoreState | None]:
        """Lock the copy for the block, without catching up.

        Yields:
            The state of the store that the copy reflects; None if nothing has been loaded yet.
        """
        with self._lock:
            yield self._place

    @contextmanager
    def held_within(self, seconds: float) -> Iterator[tuple[StoreState | None, float]]:
        """Lock the copy for the block without checking the store, after at most ``seconds`` while it is being changed.

        Yields:
            The state of the copy, and its age in seconds. No state if nothing is loaded, or a change takes longer.
        """
        if self._place is None or not self._lock.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            yield None, self._age()
            return
        try:
            yield self._place, self._age()
        finally:
            self._lock.release()

    def _age(self) -> float:
        return math.inf if self._place is None else self._monotonic() - self._followed_at

    def pushed(self, batch: ProjectedBatch, take: Callable[[ProjectedBatch], None]) -> None:
        """Apply a batch that this process has just committed, without reading it from the store.

        A batch that does not directly follow the copy, or comes while it is being changed, is left to the next check.
        This does not reset the age of the copy: other processes may have projected something else.
        """
        if self._place is None or not self._lock.acquire(timeout=_PUSH_SECONDS):
            return
        try:
            place = self._place
            if any(place.positions.get(where, 0) != expected for where, (expected, _) in batch.advance.items()):
                return
            take(batch)
            positions = {**place.positions, **{where: end for where, (_, end) in batch.advance.items()}}
            recorded_at = max(batch.recorded_at, place.recorded_at or 0) or None
            self._place = place._replace(positions=positions, recorded_at=recorded_at)
        finally:
            self._lock.release()

    def _follow(self) -> None:
        """Bring the copy up to date; ``_checking`` must be held."""
        began = self._monotonic()
        mark = self._store.change_token()  # before reading, to notice a commit during the read
        with self._lock:
            self._catch_up(mark)
            self._followed_at = began

    def _catch_up(self, mark: object) -> None:
        trust = in_force(self._trust)
        before = self._place
        if before is not None and mark == self._mark and trust is before.trust:
            return
        with self._store.snapshot() as still:
            positions, recorded_at = still.progress()
            place = StoreState(still.edition(), positions, trust, recorded_at)
            is_other = before is None or before.edition != place.edition or before.trust is not trust
            try:
                if before is None or is_other or _came(before, place) > self._most:
                    self._load(still)
                elif before.positions != place.positions:
                    self._apply(still, before.positions)
            except DelegraphError:
                raise
            except Exception:  # an internal error may have left half a change in the copy
                self._place = None
                raise
        self._place, self._mark = place, mark


def _came(before: StoreState, place: StoreState) -> int:
    """Count the records that were projected between two states."""
    return sum(following - before.positions.get(where, 0) for where, following in place.positions.items())
