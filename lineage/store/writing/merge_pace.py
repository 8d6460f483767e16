"""How much of the index is merged after a batch: in proportion to what was written, in steps of measured length.

What merges cost must not depend on how busy the machine is, or runs would pile up; and no step may take long, because
everybody who writes waits for it. So work is counted in entries, and only the length of a step follows the clock.
"""

from dataclasses import dataclass
from typing import Final

STEP_SECONDS: Final = 0.05  # of a step, which is one transaction
PAUSE_SECONDS: Final = 0.2  # of all steps after a batch, unless more is owed than may be put off
SMALLEST_STEP: Final = 10_000  # entries: most of a smaller step would be its commit, which a busy disk makes long
_FIRST_STEP: Final = 10_000
LARGEST_STEP: Final = 60_000
# Entries that were written and not worked off, less than a run has: when more are owed, no clock ends the steps.
MOST_PUT_OFF: Final = 600_000
_FEWEST_RECORDS: Final = 5_000  # of a batch that is made smaller; a consumer's worker process gets no smaller ones
_LATEST: Final = 0.2  # the weight of the latest step in the measured speed: one may have waited for a core


@dataclass(slots=True)
class Pace:
    """One kind of work, which is done after batches.

    Attributes:
        share: How much of it there is to do for each entry that was written.
        owed: Entries that were written, and for which nothing was done yet. A process that ends forgets them, so the
            first batch of each pays at least for one step.
        seconds: What a unit of work has taken, by the clock.
    """

    share: float
    owed: float = _FIRST_STEP
    seconds: float = STEP_SECONDS / _FIRST_STEP

    def wrote(self, entries: int) -> None:
        """Owe work for entries that were written."""
        self.owed += entries

    def step(self) -> int:
        """Return how much to do at most in the next step; 0 if too little is owed for one."""
        most = min(max(int(STEP_SECONDS / self.seconds), SMALLEST_STEP), LARGEST_STEP)
        due = int(self.owed * self.share)
        return min(due, most) if due >= SMALLEST_STEP else 0

    def did(self, work: int, seconds: float, places: int = 1) -> None:
        """Work off what is owed.

        Args:
            work: What a step has done.
            seconds: What it took.
            places: In how many places there is something to do: each of them needs its share.
        """
        self.owed -= work / (self.share * places)
        if work >= SMALLEST_STEP // 2:  # of less than that, the commit would be measured
            self.seconds += _LATEST * (seconds / work - self.seconds)

    def nothing_to_do(self) -> None:
        """Owe nothing: what becomes due later is paid by what is written then."""
        self.owed = 0.0

    @property
    def is_behind(self) -> bool:
        """Whether more is owed than may be put off."""
        return self.owed > MOST_PUT_OFF


@dataclass(slots=True)
class BatchSize:
    """The size of batches after which the steps fit into a pause."""

    seconds_per_record: float = 0.0

    def paused(self, records: int, seconds: float) -> None:
        """Note how long the steps after a batch took."""
        if records:
            self.seconds_per_record += _LATEST * (seconds / records - self.seconds_per_record)

    def affordable(self, most: int, *, is_behind: bool) -> int:
        """Return how many records the next batch may have: all, unless work was put off for want of time."""
        if not is_behind or self.seconds_per_record * most <= PAUSE_SECONDS:
            return most
        return max(int(PAUSE_SECONDS / self.seconds_per_record), min(_FEWEST_RECORDS, most))
