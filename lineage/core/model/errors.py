"""The one tree of faults. An answer is a value; what stands here is raised.

DelegraphError
├── BadRecordError            a record that cannot be read; it is quarantined, never dropped
│   ├── UnknownSchemaError    written with a schema that this version does not know; may be taken up later
│   └── CredentialError       carries a raw credential, which must not be kept
├── RefusedError              what was asked for is wrong or not allowed; the message names the remedy
│   ├── OtherOrderError       the id is that of another order
│   └── TooManyError          more hangs on it than may be looked at here
├── DriftError                an order is another than its plan's, or would kill what the plan does not list
├── UnavailableError          the log or the store is away; the only fault worth retrying
│   ├── ReplacedError         another file has the name of the one that was opened; restart to use it
│   ├── OverloadedError       more is asked at once than can be answered
│   ├── SlowAnswerError       to answer takes longer than may be waited for; to ask again does not help
│   ├── UnprojectedError      what was sent is in the log, and not projected; to send it again does not help
│   ├── AbsentError           it does not come by itself: somebody has to make it, or to name another
│   └── NotAtOnceError        there is no answer without waiting; ask again where one may wait
└── IntegrityError            what is stored contradicts itself or the log
    ├── DamagedError          a file cannot be read as what it is: a backup has to be restored
    └── FencedError           another consumer has moved the position; nothing was written
"""

from collections.abc import Mapping, Sequence


class DelegraphError(Exception):
    """Base of every fault that delegraph raises."""

    retriable = False


class BadRecordError(DelegraphError):
    """A record that cannot be read.

    Attributes:
        reason: A stable word for machines, such as ``unknown-field``.
        detail: One sentence for people, naming the thing and what was expected.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the evidence beside the message."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class UnknownSchemaError(BadRecordError):
    """A record whose writer's schema, type or encoding this version does not know."""


class CredentialError(BadRecordError):
    """A record that carries a raw credential where an id or a text belongs."""


class RefusedError(DelegraphError):
    """What was asked for is wrong or not allowed."""


class OtherOrderError(RefusedError):
    """An order was given under an id that is that of another one."""


class TooManyError(RefusedError):
    """More hangs on a thing than may be looked at."""


class DriftError(DelegraphError):
    """An order is another than that of its plan, or would kill elements that the plan does not list.

    Attributes:
        unlisted: ``KIND:ID`` of each element that the plan does not list, sorted.
        differs: The terms in which the order is another, by name, each with what the ``plan`` and the ``order`` say.
    """

    def __init__(
        self, message: str, unlisted: Sequence[str], differs: Mapping[str, Mapping[str, object]] | None = None
    ) -> None:
        """Keep the difference beside the message."""
        super().__init__(message)
        self.unlisted = tuple(unlisted)
        self.differs = dict(differs or {})

    @property
    def difference(self) -> dict[str, object]:
        """The difference as documents show it: ``unlisted``, and ``differs`` if the terms are others."""
        return {"unlisted": list(self.unlisted), **({"differs": self.differs} if self.differs else {})}


class UnavailableError(DelegraphError):
    """The log or the store is away, locked, read-only or full."""

    retriable = True


class ReplacedError(UnavailableError):
    """The file that a process has opened is no longer the one under its name."""


class OverloadedError(UnavailableError):
    """More is asked at once than can be answered. Nothing of this request was begun."""


class SlowAnswerError(UnavailableError):
    """A question takes longer to answer than its caller may wait."""

    retriable = False


class UnprojectedError(UnavailableError):
    """What was sent stands in the log, and the store could not take it over yet: it takes effect by itself."""

    retriable = False


class AbsentError(UnavailableError):
    """There is no such log or store, or not one of ours: to wait does not help, the message names what does."""

    retriable = False


class NotAtOnceError(UnavailableError):
    """What is asked for is not at hand, and who asked may not wait."""


class IntegrityError(DelegraphError):
    """What is stored contradicts itself or the log."""


class DamagedError(IntegrityError):
    """A file of ours cannot be read as what it is."""


class FencedError(IntegrityError):
    """Another consumer has moved the position: nothing of the batch was written; read the positions again."""

    retriable = True
