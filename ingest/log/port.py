"""The log, the one port: append, and read from a position.

The log is the truth. A record is its value and the moment at which the log took it; where it stands is its position.
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
    """What is appended: the topic, the event in Avro single-object encoding, and a key that may choose a partition."""

    topic: str
    value: bytes
    key: bytes = b""


class Log(Protocol):
    """What every log can do.

    An implementation must: keep the order within a partition; never change or lose what ``append`` returned for;
    never let ``recorded_at`` run backwards within a partition; raise UnavailableError for whatever goes wrong.
    """

    @property
    def identity(self) -> bytes:
        """What tells this log from every other, wherever it is moved to."""
        ...

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        """Append entries; they are durable when this returns. If it raises, the log may hold some of them.

        Returns:
            Where each stands, in the order in which they were given.
        """
        ...

    def read(self, topic: str, partition: int, offset: int, *, limit: int) -> Slice:
        """At most ``limit`` records from an offset on; none at the end, and then ``following`` is the offset.

        Raises:
            IntegrityError: The log no longer holds what stands there.
        """
        ...

    def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last record, by topic and partition."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


def topic_of(event: Event) -> str:
    """The topic an event belongs on: orders, lifts and judgements have one that access lists guard."""
    return ORDERS if event.is_order else DECISIONS


def key_of(event: Event) -> str:
    """The key of an event: its ``txn``, else the root-most id at hand. It spreads the load; nothing depends on it."""
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


def entry_of(event: Event) -> Entry:
    """An event as the log takes it.

    Raises:
        BadRecordError: It cannot be encoded.
    """
    return Entry(topic_of(event), codec.encode(event), key_of(event).encode())
