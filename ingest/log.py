"""The log, the one port: append, and read from a position. Opened by URL.

The log is the truth. A record is its value and the moment at which the log took it; where it stands is its position.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import unquote

from ingest import codec
from lineage.core.errors import RefusedError
from lineage.core.events import (
    ActionPerformed,
    DecisionMade,
    DelegationGranted,
    Event,
    RevocationOrdered,
    TokenIssued,
)
from lineage.core.mentions import subject_of
from lineage.core.records import DECISIONS, ORDERS, Position, Slice
from lineage.core.times import Instant

if TYPE_CHECKING:  # an extra
    from ingest.kafka_settings import KafkaSettings


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
    """The topic an event belongs on: orders and lifts have their own, so that access lists can say who may order."""
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


def open_log(
    url: str,
    *,
    create: bool,
    clock: Callable[[], Instant],
    settings: "KafkaSettings | None" = None,
) -> Log:
    """Open a log by its URL.

    Args:
        url: ``sqlite:///path`` or ``kafka://host:port[,host:port][/prefix]``.
        create: Whether to make what is missing.
        clock: The moment now, for a log that has no clock of its own.
        settings: How to get in where the log is a Kafka.

    Raises:
        RefusedError: Nothing here speaks that scheme.
        UnavailableError: It cannot be opened.
    """
    scheme, _, rest = url.partition(":///")
    rest = unquote(rest.partition("?")[0])  # as the URL of a store is read
    if scheme == "sqlite" and rest:
        from ingest.sqlite_log import SqliteLog  # noqa: PLC0415 (only the log that is asked for is imported)

        return SqliteLog(rest, create=create, clock=clock)
    if url.startswith("kafka://"):
        try:
            from ingest.kafka_log import KafkaLog  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise RefusedError("a log on Kafka needs its client: pip install 'delegraph[kafka]'") from error
        return KafkaLog(url, settings)
    raise RefusedError(
        f"{url!r} is no log URL; write for example sqlite:///delegraph.db or kafka://127.0.0.1:9092/delegraph"
    )
