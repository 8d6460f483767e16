"""A log in memory with several partitions, gaps and slices of any size, which can be sent to another process."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ingest.log.port import Entry
from lineage.core.model.errors import IntegrityError
from lineage.core.model.records import Position, Record, Slice, position_of


@dataclass(frozen=True)
class PartitionedLog:
    """Records by topic and partition, in the order of their offsets; it only reads.

    Attributes:
        partitions: The records.
        most: The most records in one slice, as if they were large.
        first: The offsets before which a partition has been deleted.
    """

    partitions: Mapping[tuple[str, int], list[Record]]
    most: int = 1_000_000
    first: int = 0

    def __call__(self) -> "PartitionedLog":
        """Open it."""
        return self

    @property
    def identity(self) -> bytes:
        return b"a log in memory"

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        raise NotImplementedError

    def erase(self, topic: str, offsets: Iterable[int]) -> int:
        raise NotImplementedError

    def read(self, topic: str, partition: int, offset: int, *, limit: int) -> Slice:
        if offset < self.first:
            raise IntegrityError("these records have been deleted")
        records = self.partitions[topic, partition]
        found = [record for record in records if position_of(record.number).offset >= offset][: min(limit, self.most)]
        return Slice(found, position_of(found[-1].number).offset + 1 if found else offset)

    def ends(self) -> dict[tuple[str, int], int]:
        return {
            place: position_of(records[-1].number).offset + 1 if records else 0
            for place, records in self.partitions.items()
        }

    def begins(self) -> dict[tuple[str, int], int]:
        return dict.fromkeys(self.partitions, self.first)

    def close(self) -> None:
        pass
