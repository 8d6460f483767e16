"""The gaps in the sequence numbers of the sources, kept up to date incrementally: each fact is read once."""

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Final, Protocol

import sqlalchemy as sa

from lineage.core.authority.sequence_gaps import Runs
from lineage.core.model.records import Position
from lineage.store.database.tables import fact

STEP: Final = 20_000  # offsets read in one step, which takes about 40 ms; other threads can ask between steps
_FETCHED: Final = 10_000
_BETWEEN: Final = (
    sa.select(fact.c.source, fact.c.sequence, fact.c.n)
    .where(fact.c.n.between(sa.bindparam("first"), sa.bindparam("last")), fact.c.sequence.is_not(None))
    .order_by(fact.c.n)
    .execution_options(yield_per=_FETCHED)
)


class Snapshot(Protocol):
    """One moment of a store."""

    def place(self) -> tuple[bytes, Mapping[tuple[str, int], int]]:
        """The edition of the store, and the next offset to project of each partition."""

    def connection(self) -> AbstractContextManager[sa.Connection]:
        """A connection that reads from this moment."""


class Snapshots(Protocol):
    """A store, as far as its moments are concerned."""

    def frozen(self) -> AbstractContextManager[Snapshot]:
        """A snapshot that concurrent writes do not change, for the duration of the block."""


class Sequences:
    """The sequence numbers of all sources in a store. Thread-safe."""

    def __init__(self) -> None:
        """Create an empty index; the facts are read on first use."""
        self._lock = threading.Lock()
        self._edition: bytes | None = None
        self._following: dict[tuple[str, int], int] = {}
        self._runs: dict[int, Runs] = {}

    def holes(self, store: Snapshots, *, steps: int | None = None) -> list[tuple[int, int]] | None:
        """Find the gaps: the numbers of the facts before and after each.

        Args:
            store: The store.
            steps: The most steps of STEP offsets to read; None for as many as needed.

        Returns:
            None if not all facts have been read: unread facts would look like gaps, so no gap is known yet.
        """
        taken = 0
        while True:
            with self._lock:
                if self._follow(store):
                    return [pair for source in sorted(self._runs) for pair in self._runs[source].holes()]
            taken += 1
            if steps is not None and taken >= steps:
                return None

    def _follow(self, store: Snapshots) -> bool:
        """Read one more step; whether that reached the end of all partitions in a snapshot of the store."""
        with store.frozen() as still:
            edition, positions = still.place()
            if edition != self._edition:
                self._edition, self._following, self._runs = edition, {}, {}
            left = STEP
            for (topic, partition), following in positions.items():
                known = self._following.get((topic, partition), 0)
                end = min(following, known + left)
                if known < end:
                    first, last = (Position(topic, partition, offset).number for offset in (known, end - 1))
                    with still.connection() as connection:
                        for source, sequence, number in connection.execute(_BETWEEN, {"first": first, "last": last}):
                            self._runs.setdefault(source, Runs()).add(sequence, number)
                    self._following[topic, partition] = end
                    left -= end - known
                if end < following:
                    return False
            return True
