"""Facts recorded and findings changed between two states of the projection, for the live tail."""

from collections.abc import Mapping

from lineage.core.model.events import Fact
from lineage.core.model.records import Position
from lineage.deliver.findings.messages import is_published, message_of
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service
from lineage.store import kept_findings
from lineage.store.delivery import outbox
from lineage.store.follower import Follower
from lineage.store.store import Store


class Recorded:
    """Follows the progress of a store's projection, for the live tail."""

    def __init__(self, service: Service) -> None:
        """Create a follower; the store is not accessed before the first question."""
        self._follower = Follower(service.store, load=_nothing, apply=_nothing)

    def projected_until(self) -> dict[tuple[str, int], int]:
        """Return the next offset to project of each partition.

        Raises:
            UnavailableError: The store is unavailable.
        """
        with self._follower.caught_up() as place:
            return dict(place.positions)


def _nothing(_still: Store, _positions: Mapping[tuple[str, int], int] | None = None) -> None:
    """Do nothing: only the positions are followed."""


def facts_recorded(service: Service, topic: str, partition: int, start: int, end: int) -> list[Fact]:
    """Return the facts of a partition from one offset up to another (exclusive), in log order."""
    first, last = (Position(topic, partition, offset).number for offset in (start, end - 1))
    return service.store.facts_between(first, last)


def findings_until(service: Service) -> int:
    """Return the number of the last change of a finding that was written to the index."""
    return kept_findings.latest_seq(service.store)


def findings_recorded(service: Service, after: int, until: int) -> list[Document]:
    """Return the notifications about findings after one change and up to another, in order."""
    found = kept_findings.versions(service.store, after=after, limit=until - after)
    origin = outbox.origin_of(service.store) if found else ""
    return [message_of(one, origin) for one in found if one.seq <= until and is_published(one)]
