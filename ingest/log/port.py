"""The interface of a log: append, and read from a position.

The log is the source of truth. A record is a value and the time at which the log accepted it, at a position.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from ingest.codec import api as codec
from lineage.core.model.events import (
    ActionPerformed,
    DecisionMade,
    DelegationGranted,
    Event,
    RevocationOrdered,
    TokenIssued,
)
from lineage.core.model.records import DECISIONS, ORDERS, Position, Slice
from lineage.core.model.references import subject_of


class Entry(NamedTuple):
    """An entry to append: topic, event in Avro single-object encoding, and a key that may select the partition."""

    topic: str
    value: bytes
    key: bytes = b""


class Log(Protocol):
    """The operations of every log.

    An implementation must: keep the order within a partition; never change or lose an entry once ``append`` has
    returned; never decrease ``recorded_at`` within a partition; raise UnavailableError for any failure.
    """

    @property
    def identity(self) -> bytes:
        """Identifies this log among all others, even after it has been moved."""
        ...

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        """Append entries; they are durable when this returns. If it raises, the log may have some of them.

        Returns:
            The position of each entry, in the same order.
        """
        ...

    def read(self, topic: str, partition: int, offset: int, *, limit: int) -> Slice:
        """Read at most ``limit`` records from an offset on.

        Returns:
            The records, and the offset that follows them; at the end no records, and ``offset`` itself.

        Raises:
            IntegrityError: The log no longer has the records at that offset.
        """
        ...

    def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last record, by topic and partition."""
        ...

    def begins(self) -> dict[tuple[str, int], int]:
        """The offset of the first record that was not deleted in the log itself, by topic and partition.

        Records that ``erase`` removed leave gaps, and do not count.
        """
        ...

    def erase(self, topic: str, offsets: Iterable[int]) -> int:
        """Remove records that retention deleted, if the log can; return how many it removed.

        Only the embedded log can. On Kafka only the broker's operator can delete records, and only the first ones of a
        partition.
        """
        ...

    def close(self) -> None:
        """Release its resources."""
        ...


def topic_of(event: Event) -> str:
    """The topic of an event: orders, and what belongs with them, have a separate one, guarded by ACLs."""
    return ORDERS if event.is_order else DECISIONS


def key_of(event: Event) -> str:
    """The key of an event: its ``txn``, else the id closest to the root. It spreads load; nothing depends on it."""
    if event.txn is not None:
        return event.txn
    match event.body:
        case TokenIssued() as body:
            parents = [parent.token for parent in body.derived_from]
            return body.delegation or (parents[0] if parents else body.token)
        case DelegationGranted() as body:
            return body.parents[0] if body.parents else body.delegation
        case DecisionMade() | ActionPerformed() as body if body.delegation or body.token:
            return body.delegation or body.token or ""
        case RevocationOrdered() as body:
            return body.target.id
    return subject_of(event)[1]


def entry_of(event: Event, value: bytes | None = None) -> Entry:
    """Encode an event as an entry of the log.

    Args:
        event: The event.
        value: The event encoded, if it is at hand.

    Raises:
        BadRecordError: The event is invalid.
    """
    return Entry(topic_of(event), codec.encode(event) if value is None else value, key_of(event).encode())
