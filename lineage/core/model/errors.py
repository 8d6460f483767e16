"""The error tree. Answers are values; errors are raised.

DelegraphError
├── BadRecordError            a record that cannot be read; it is quarantined, never dropped
│   ├── UnknownSchemaError    written with a schema this version does not know; can be retried later
│   └── CredentialError       contains a raw credential, which must not be kept
├── RefusedError              the request is wrong or not allowed; the message names the remedy
│   ├── OtherOrderError       the id belongs to another order
│   ├── NotOverError          a revocation is not complete, so it has no receipt of its end
│   └── TooManyError          more depends on it than may be examined here
├── DriftError                an order differs from its plan, or would kill what the plan does not list
├── UnavailableError          the log or the store is unavailable; the only fault worth retrying
│   ├── ReplacedError         the file was replaced by another; restart to use the new one
│   ├── OverloadedError       more concurrent requests than can be answered
│   ├── SlowAnswerError       the answer takes longer than the caller may wait; retrying does not help
│   ├── UnprojectedError      the event is in the log but not projected yet; sending it again does not help
│   ├── AbsentError           it does not exist; it must be created, or another one named
│   └── WouldBlockError       not available without waiting; retry where waiting is allowed
└── IntegrityError            what is stored contradicts itself or the log
    ├── DamagedError          a file is corrupt; a backup has to be restored
    ├── FencedError           another consumer has moved the position; nothing was written
    └── StaleRowsError        rows were made for a store that was replaced; nothing was written
"""

from collections.abc import Mapping, Sequence


class DelegraphError(Exception):
    """Base of every error that delegraph raises."""

    retriable = False


class BadRecordError(DelegraphError):
    """A record that cannot be read.

    Attributes:
        reason: A stable word for machines, such as ``unknown-field``.
        detail: One sentence for people, naming the thing and what was expected.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the reason and the detail as attributes."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class UnknownSchemaError(BadRecordError):
    """A record whose writer's schema, type or encoding this version does not know."""


class CredentialError(BadRecordError):
    """A record that contains a raw credential where an id or a text belongs."""


class RefusedError(DelegraphError):
    """The request is wrong or not allowed."""


class OtherOrderError(RefusedError):
    """The id of an order is already that of a different one."""


class NotOverError(RefusedError):
    """A revocation is not CLOSED, so there is no receipt of its end.

    Attributes:
        verdict: The verdict as of now.
    """

    def __init__(self, message: str, verdict: str) -> None:
        """Keep the verdict as an attribute."""
        super().__init__(message)
        self.verdict = verdict


class TooManyError(RefusedError):
    """More depends on something than may be examined."""


class DriftError(DelegraphError):
    """An order differs from its plan, or would kill elements that the plan does not list.

    Attributes:
        unlisted: ``KIND:ID`` of each element that the plan does not list, sorted.
        differs: The differing terms by name, each with the values of the ``plan`` and the ``order``.
    """

    def __init__(
        self, message: str, unlisted: Sequence[str], differs: Mapping[str, Mapping[str, object]] | None = None
    ) -> None:
        """Keep the difference as attributes."""
        super().__init__(message)
        self.unlisted = tuple(unlisted)
        self.differs = dict(differs or {})

    @property
    def difference(self) -> dict[str, object]:
        """The difference as documents show it: ``unlisted``, and ``differs`` if any terms differ."""
        return {"unlisted": list(self.unlisted), **({"differs": self.differs} if self.differs else {})}


class UnavailableError(DelegraphError):
    """The log or the store is unavailable, locked, read-only or full."""

    retriable = True


class ReplacedError(UnavailableError):
    """The file that a process has open was replaced by another."""


class OverloadedError(UnavailableError):
    """More concurrent requests than can be answered; no part of this one was executed."""


class SlowAnswerError(UnavailableError):
    """An answer takes longer than its caller may wait."""

    retriable = False


class UnprojectedError(UnavailableError):
    """An event is in the log, but the store could not project it yet; it takes effect by itself."""

    retriable = False


class AbsentError(UnavailableError):
    """There is no such log or store, or it is not ours. Waiting does not help; the message names the remedy."""

    retriable = False


class WouldBlockError(UnavailableError):
    """The answer is not available immediately, and the caller may not wait."""


class IntegrityError(DelegraphError):
    """The store contradicts itself or the log."""


class DamagedError(IntegrityError):
    """A file of ours is corrupt."""


class FencedError(IntegrityError):
    """Another consumer has moved the position: nothing of the batch was written; read the positions again."""

    retriable = True


class StaleRowsError(IntegrityError):
    """The store was rebuilt since the rows of a batch were made: nothing of it was written; make them again."""

    retriable = True
