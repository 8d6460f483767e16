"""Records of the log and their positions: the values that pass between ingestion and the store."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from lineage.core.model.events import Fact
from lineage.core.model.times import Instant

DECISIONS: Final = "decisions"
ORDERS: Final = "orders"
TOPICS: Final = (DECISIONS, ORDERS)

_PARTITION_BITS: Final = 20
_OFFSET_BITS: Final = 40


class Position(NamedTuple):
    """A place in the log."""

    topic: str  # DECISIONS or ORDERS
    partition: int
    offset: int

    @property
    def number(self) -> int:
        """The position as one integer, unique over the whole log: topic, 20 bits of partition, 40 bits of offset."""
        topic = TOPICS.index(self.topic) << (_PARTITION_BITS + _OFFSET_BITS)
        return topic | self.partition << _OFFSET_BITS | self.offset


def position_of(number: int) -> Position:
    """Decode the position from ``Position.number``."""
    partition = number >> _OFFSET_BITS & (1 << _PARTITION_BITS) - 1
    topic = TOPICS[number >> (_PARTITION_BITS + _OFFSET_BITS)]
    return Position(topic, partition, number & (1 << _OFFSET_BITS) - 1)


def lane_of(number: int) -> int:
    """Return the number of the first position of the same partition."""
    return number >> _OFFSET_BITS << _OFFSET_BITS


Headers = tuple[tuple[str, bytes], ...]  # in the order of the log; a name may be repeated


class Record(NamedTuple):
    """A value as the log keeps it; ``number`` is its position (``Position.number``).

    ``value`` is None for a record without a value, which our own logs never accept but Kafka does. Headers matter
    only for the quarantine: the value alone is complete.
    """

    number: int
    recorded_at: Instant
    value: bytes | None
    headers: Headers = ()


class Slice(NamedTuple):
    """Consecutive records of one partition, and the offset at which to continue.

    ``following`` may lie beyond the last record, because Kafka leaves gaps where a transaction ended or was aborted.
    """

    records: list[Record]
    following: int


class Outcomes(NamedTuple):
    """The number of records by outcome; each record has exactly one."""

    accepted: int
    duplicates: int
    conflicts: int
    unauthorised: int
    quarantined: int


class DecodedRecord(NamedTuple):
    """A record that was decoded.

    ``value`` is the event in Avro single-object encoding, as stored.
    """

    number: int
    fact: Fact
    value: bytes
    authorised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRecord:
    """A record that could not be decoded, for the quarantine.

    Attributes:
        number: Its position in the log, or None for a line of a file that was never written to the log.
        origin: The file, or the topic and partition, it came from.
        place: The line or index in the file, or the offset.
        recorded_at: When the log or the import recorded it.
        reason: A stable word for machines.
        detail: A sentence for people.
        sha256: The digest of the record as it arrived.
        size: The size of the record as it arrived, in bytes.
        value: The record, with raw credentials replaced by their digests. None if only the digest may be kept.
        headers: The headers of the record as JSON; None if it has none.
        sources: For a record that arrived over HTTP, the sources its sender may use; otherwise None.
        charged_to: The owner of the quarantine quota it counts against; None means its origin.
        beyond_quota: Whether only its digest and position are kept because that quota is used up.
    """

    number: int | None
    origin: str
    place: int
    recorded_at: Instant
    reason: str
    detail: str
    sha256: str
    size: int
    value: bytes | None
    headers: bytes | None = None
    sources: tuple[str, ...] | None = None
    charged_to: str | None = None
    beyond_quota: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records written in one transaction, with the positions to which they advance the projection.

    Attributes:
        readable, unreadable: The records; with ``deleted``, they are every record between the positions.
        deleted: Those that retention deleted: the number, when it was recorded, and the digest of each.
        advance: For (topic, partition): the previous next offset and the new one.
    """

    readable: list[DecodedRecord] = field(default_factory=list)
    unreadable: list[RejectedRecord] = field(default_factory=list)
    deleted: list[tuple[int, Instant, bytes]] = field(default_factory=list)
    advance: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """The number of records, without deleted ones."""
        return len(self.readable) + len(self.unreadable)

    @property
    def recorded_at(self) -> Instant:
        """When the log recorded the last of them; 0 if there are none."""
        readable = max((record.fact.recorded_at for record in self.readable), default=0)
        return max(readable, max((record.recorded_at for record in self.unreadable), default=0))

    def facts(self) -> Iterator[Fact]:
        """Iterate over the facts, including duplicates."""
        return (record.fact for record in self.readable)

    def authority(self) -> Iterator[Fact]:
        """Iterate over at least those facts on which the state of an element may depend."""
        return self.facts()


class ProjectedBatch(Protocol):
    """A batch that is in the store, as far as an observer may ask about it."""

    @property
    def advance(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        """For (topic, partition): the previous next offset and the new one."""
        ...

    @property
    def records(self) -> int:
        """The number of records, without deleted ones."""
        ...

    @property
    def recorded_at(self) -> Instant:
        """When the log recorded the last of them; 0 if there are none."""
        ...

    def facts(self) -> Iterator[Fact]:
        """Iterate over the facts, including duplicates."""
        ...

    def authority(self) -> Iterator[Fact]:
        """Iterate over at least those facts on which the state of an element may depend."""
        ...
