"""What was recorded in the log between two moments of the projection, for the live tail."""

from collections.abc import Mapping

from lineage.core.model.events import Fact
from lineage.core.model.records import Position
from lineage.serve.queries.service import Service
from lineage.store.follower import Follower
from lineage.store.store import Store


class Recorded:
    """How far a store is projected, as the live tail follows it."""

    def __init__(self, service: Service) -> None:
        """Create one; nothing is asked before the first question."""
        self._follower = Follower(service.store, anew=_nothing, take=_nothing)

    def projected_until(self) -> dict[tuple[str, int], int]:
        """The next offset of each partition that is not projected yet.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        with self._follower.caught_up() as place:
            return dict(place.positions)


def _nothing(_still: Store, _positions: Mapping[tuple[str, int], int] | None = None) -> None:
    """Nothing is kept but the positions."""


def facts_recorded(service: Service, topic: str, partition: int, start: int, end: int) -> list[Fact]:
    """The facts of a partition from one offset to before another, in the order of the log."""
    first, last = (Position(topic, partition, offset).number for offset in (start, end - 1))
    return service.store.facts_between(first, last)
