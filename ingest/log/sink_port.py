"""The way into a log, as the sender sees it: entries are handed over, and their receipts tell what becomes of them."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ingest.log.port import Entry, Log
from lineage.core.model.errors import UnavailableError


class Receipt(Protocol):
    """What becomes of an event that was handed over."""

    @property
    def is_done(self) -> bool:
        """Whether it is known."""
        ...

    @property
    def exception(self) -> BaseException | None:
        """Why it was not taken; None if it was."""
        ...


class Refusal(NamedTuple):
    """Why the log will never take an event.

    Attributes:
        reason: A stable word for machines.
        detail: A sentence for people.
        certain: Whether it holds for this event, and not perhaps for another one that was on its way with it.
    """

    reason: str
    detail: str
    certain: bool


class HeldUpError(UnavailableError):
    """The events of one topic cannot be handed over now; those of the other one can."""


class Outlet(Protocol):
    """A way into the log. The thread that opens it uses it and closes it."""

    def send(self, entries: Sequence[Entry]) -> Sequence[Receipt]:
        """Hand entries of one topic over: as many as can be, and at least the first.

        Raises:
            HeldUpError: Not even the first can be handed over now, for want of the topic.
            DelegraphError: Nothing can be handed over; open the way anew.
        """
        ...

    def refusal(self, error: BaseException, topic: str) -> Refusal | None:
        """Whether a fault means that an event of a topic will never be taken."""
        ...

    def explain(self, error: BaseException) -> str:
        """A fault in a sentence, with its real cause."""
        ...

    def close(self) -> None:
        """Give back what it holds, at the latest when what is on its way has come to an end."""
        ...


class Taken(NamedTuple):
    """The receipt of an event that the log has, or will not take."""

    exception: BaseException | None = None
    is_done: bool = True


class LogOutlet:
    """The way into a log that appends at once, such as the embedded one."""

    def __init__(self, log: Log) -> None:
        """Append to this log, and close it in the end."""
        self._log = log

    def send(self, entries: Sequence[Entry]) -> Sequence[Receipt]:
        """Append them, all or none."""
        self._log.append(entries)
        return [Taken()] * len(entries)

    def refusal(self, _error: BaseException, _topic: str) -> Refusal | None:
        """It takes whatever is in a spool."""
        return None

    def explain(self, error: BaseException) -> str:
        """What the log says."""
        return str(error)

    def close(self) -> None:
        """Close the log."""
        self._log.close()
