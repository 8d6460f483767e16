"""The interface between the sender and a log: entries are handed over, and receipts report their outcome."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ingest.log.port import Entry, Log
from lineage.core.model.errors import UnavailableError


class SinkReceipt(Protocol):
    """The pending or final result of handing over an event."""

    @property
    def is_done(self) -> bool:
        """Whether the result is final."""
        ...

    @property
    def exception(self) -> BaseException | None:
        """The reason why the event was not appended; None if it was."""
        ...


class SinkRefusal(NamedTuple):
    """The reason why the log will never accept an event.

    Attributes:
        reason: A stable identifier for machines.
        detail: A sentence for people.
        certain: Whether this event is the cause; if not, it may be another event in the same batch.
    """

    reason: str
    detail: str
    certain: bool


class HeldUpError(UnavailableError):
    """The events of one topic cannot be handed over now; those of the other topic can."""


class Sink(Protocol):
    """Writes to a log. It is opened, used and closed by the same thread."""

    def send(self, entries: Sequence[Entry]) -> Sequence[SinkReceipt]:
        """Hand over entries of one topic: as many as possible, and at least the first.

        Returns:
            The receipts of the entries handed over, in order.

        Raises:
            HeldUpError: Not even the first can be handed over now, because the topic does not exist.
            DelegraphError: Nothing can be handed over; close this sink and open a new one.
        """
        ...

    def refusal(self, error: BaseException, topic: str) -> SinkRefusal | None:
        """Return why an event of a topic will never be accepted, if ``error`` means that; else None."""
        ...

    def explain(self, error: BaseException) -> str:
        """Describe an error in a sentence, with its real cause."""
        ...

    def close(self) -> None:
        """Release its resources, at the latest once the events in flight are settled."""
        ...


class SettledReceipt(NamedTuple):
    """The receipt of an event that is settled: the log has it, or refuses it."""

    exception: BaseException | None = None
    is_done: bool = True


class LogSink:
    """The sink to a log that appends synchronously, such as the embedded one."""

    def __init__(self, log: Log) -> None:
        """Append to this log, and close it at the end."""
        self._log = log

    def send(self, entries: Sequence[Entry]) -> Sequence[SinkReceipt]:
        """Append the entries, all or none."""
        self._log.append(entries)
        return [SettledReceipt()] * len(entries)

    def refusal(self, _error: BaseException, _topic: str) -> SinkRefusal | None:
        """Return None, because the embedded log accepts every event of a spool."""
        return None

    def explain(self, error: BaseException) -> str:
        """The message of the error."""
        return str(error)

    def close(self) -> None:
        """Close the log."""
        self._log.close()
