"""The log, the one port: append, and read from a position. Opened by URL.

The log is the truth. A record is its value and the moment at which the log took it; where it stands is its position.
"""

from collections.abc import Callable, Iterable
from typing import Protocol
from urllib.parse import unquote

from lineage.core.errors import RefusedError
from lineage.core.events import Event
from lineage.core.records import DECISIONS, ORDERS, Position, Record
from lineage.core.times import Instant


class Log(Protocol):
    """What every log can do.

    An implementation must: keep the order within a partition; never change or lose what ``append`` returned for;
    never let ``recorded_at`` run backwards within a partition; raise UnavailableError for whatever goes wrong.
    """

    @property
    def identity(self) -> bytes:
        """What tells this log from every other, wherever it is moved to."""
        ...

    def append(self, values: Iterable[tuple[str, bytes]]) -> list[Position]:
        """Append (topic, value) pairs; all of them, or none. They are durable when this returns."""
        ...

    def read(self, topic: str, partition: int, offset: int, *, limit: int) -> list[Record]:
        """At most ``limit`` records from an offset on; empty at the end."""
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


def open_log(url: str, *, create: bool, clock: Callable[[], Instant]) -> Log:
    """Open a log by its URL.

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
        raise RefusedError("logs on Kafka are not supported by this version; use sqlite:///path/to/file.db")
    raise RefusedError(f"{url!r} is no log URL; write for example sqlite:///delegraph.db")
