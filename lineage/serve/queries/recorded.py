"""What was recorded in the log between two moments of the projection, for the live tail."""

from collections.abc import Mapping

from lineage.core.model.events import Fact
from lineage.core.model.records import Position
from lineage.serve.queries.service import Service

Places = Mapping[tuple[str, int], int]


def projected_until(service: Service) -> dict[tuple[str, int], int]:
    """The next offset of each partition that is not projected yet."""
    return dict(service.store.standing()[0])


def facts_recorded(service: Service, topic: str, partition: int, start: int, end: int) -> list[Fact]:
    """The facts of a partition from one offset to before another, in the order of the log."""
    first, last = (Position(topic, partition, offset).number for offset in (start, end - 1))
    return service.store.facts_between(first, last)
