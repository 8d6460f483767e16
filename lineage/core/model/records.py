"""Records of the log and where they stand: what passes between the intake and the store. Values only."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

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
        """The place as one integer, unique over the whole log: topic, 20 bits of partition, 40 bits of offset."""
        topic = TOPICS.index(self.topic) << (_PARTITION_BITS + _OFFSET_BITS)
        return topic | self.partition << _OFFSET_BITS | self.offset


def position_of(number: int) -> Position:
    """The place that ``Position.number`` made into one integer."""
    partition = number >> _OFFSET_BITS & (1 << _PARTITION_BITS) - 1
    topic = TOPICS[number >> (_PARTITION_BITS + _OFFSET_BITS)]
    return Position(topic, partition, number & (1 << _OFFSET_BITS) - 1)


Headers = tuple[tuple[str, bytes], ...]  # in the order in which the log has them; a name may come several times


class Record(NamedTuple):
    """A value as the log keeps it; ``number`` says where (``Position.number``).

    ``value`` is None for a record without one, which a log of ours never takes and Kafka does. Headers are only looked
    at for the quarantine: the value alone is complete.
    """

    number: int
    recorded_at: Instant
    value: bytes | None
    headers: Headers = ()


class Slice(NamedTuple):
    """A run of records of one partition, and the offset to go on from.

    ``following`` may lie beyond the last record: Kafka leaves gaps where a transaction ended or was given up.
    """

    records: list[Record]
    following: int


class Outcomes(NamedTuple):
    """What became of some records: each is one of these."""

    accepted: int
    duplicates: int
    conflicts: int
    unauthorised: int
    quarantined: int


class Readable(NamedTuple):
    """A record that could be read.

    ``value`` is the event in Avro single-object encoding, as it is kept.
    """

    number: int
    fact: Fact
    value: bytes
    authorised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A record that could not be read, for the quarantine.

    Attributes:
        number: Its place in the log, or None for a line of a file that the log never took.
        origin: The file it stood in, or the topic and partition.
        place: The line or index in the file, or the offset.
        recorded_at: When the log, or the intake, took it.
        reason: A stable word for machines.
        detail: A sentence for people.
        sha256: Of the record as it came.
        size: Of the record as it came, in bytes.
        value: The record; a raw credential in it is replaced by its digest. None if only the digest may be kept.
        headers: Those of the record, as JSON; None if it has none.
        sources: Of a record that came over HTTP, the sources that its sender may use; None of every other.
        charged_to: Whose quota of the quarantine it counts against; None: that of the origin.
        beyond_quota: Whether it is kept as its digest and place alone, since that quota is used up.
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
    """Records that are written in one transaction, with the positions that they bring the projection to.

    Attributes:
        readable, unreadable: The records; together they are every record between the positions.
        advance: For (topic, partition): the offset that was next before, and the one that is next afterwards.
    """

    readable: list[Readable] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    advance: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
