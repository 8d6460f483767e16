"""The times at which retention is due and overdue, from what its last run left behind. Pure."""

from dataclasses import dataclass
from typing import Final

from lineage.core.model.times import HOUR, Instant

_RETRY: Final = HOUR  # after a run that failed or was interrupted, at most; it may have been killed for its memory


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRun:
    """The last run of retention.

    Attributes:
        started_at: When it began.
        ended_at: When it ended; None if it is running, or was interrupted.
        by: Who deletes.
        before: Only records from before this may be deleted.
        records: The number that it deleted.
        old: The number of facts that were old.
        held: The number of records that only holds kept.
        unwitnessed: The number of old records that waited for a witnessed checkpoint.
        fault: Why it failed; None if it did not.
        succeeded_at: When the last run that succeeded ended, this one or an earlier one; None if none has.
    """

    started_at: Instant
    by: str
    before: Instant
    ended_at: Instant | None = None
    records: int = 0
    old: int = 0
    held: int = 0
    unwitnessed: int = 0
    fault: str | None = None
    succeeded_at: Instant | None = None

    @property
    def has_succeeded(self) -> bool:
        """Whether it ended and did not fail."""
        return self.ended_at is not None and self.fault is None


def due_at(last: RetentionRun | None, every_hours: int) -> Instant:
    """Return when the next run is due: the given hours after the last one began, or within an hour if that failed."""
    if last is None:
        return 0
    return last.started_at + (every_hours * HOUR if last.has_succeeded else min(every_hours * HOUR, _RETRY))


def is_due(last: RetentionRun | None, every_hours: int, now: Instant) -> bool:
    """Whether a run is due, also if the last one seems to be in the future because the clock was ahead."""
    return now >= due_at(last, every_hours) or _is_ahead(last, now)


def is_overdue(last: RetentionRun | None, every_hours: int, now: Instant) -> bool:
    """Whether no run has succeeded for twice the time between two of them."""
    if last is None or last.succeeded_at is None or _is_ahead(last, now):
        return True
    return now - last.succeeded_at > 2 * every_hours * HOUR


def _is_ahead(last: RetentionRun | None, now: Instant) -> bool:
    return last is not None and now < last.started_at - _RETRY
