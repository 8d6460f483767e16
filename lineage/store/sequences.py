"""Where the numbering of the sources has holes, never older than the question: what was read once is not read again."""

import threading
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from lineage.core.records import Position
from lineage.core.sequences import Runs
from lineage.store.tables import fact

if TYPE_CHECKING:
    from lineage.store.store import Store

_FETCHED: Final = 10_000
_BETWEEN: Final = (
    sa.select(fact.c.source, fact.c.sequence, fact.c.n)
    .where(fact.c.n.between(sa.bindparam("first"), sa.bindparam("last")), fact.c.sequence.is_not(None))
    .order_by(fact.c.n)
    .execution_options(yield_per=_FETCHED)
)


class Sequences:
    """The numbers of all sources, as far as a store has them. Any thread may ask."""

    def __init__(self) -> None:
        """Know nothing: the first question reads all facts."""
        self._lock = threading.Lock()
        self._edition: bytes | None = None
        self._following: dict[tuple[str, int], int] = {}
        self._runs: dict[int, Runs] = {}

    def holes(self, store: "Store") -> list[tuple[int, int]]:
        """The numbers of the facts before and after each hole."""
        with self._lock:
            with store.frozen() as still:
                self._follow(still)
            return [pair for source in sorted(self._runs) for pair in self._runs[source].holes()]

    def _follow(self, still: "Store") -> None:
        edition, positions = still.place()
        if edition != self._edition:
            self._edition, self._following, self._runs = edition, {}, {}
        for (topic, partition), following in positions.items():
            known = self._following.get((topic, partition), 0)
            if known < following:
                first, last = (Position(topic, partition, offset).number for offset in (known, following - 1))
                with still.connection() as connection:
                    for source, sequence, number in connection.execute(_BETWEEN, {"first": first, "last": last}):
                        self._runs.setdefault(source, Runs()).add(sequence, number)
                self._following[topic, partition] = following
