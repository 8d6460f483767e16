"""Exponential backoff: the delays between attempts to reach something that is unavailable."""

from dataclasses import dataclass, field
from typing import Final

_MOST_DOUBLINGS: Final = 30  # of a delay in seconds, which is then longer than anything waits


def delay_seconds(failures: int, first_seconds: float, longest_seconds: float) -> float:
    """Return the delay after a number of failed attempts: it doubles with each, up to ``longest_seconds``.

    Examples:
        >>> [delay_seconds(failures, 0.2, 1.0) for failures in (1, 2, 3, 4, 1_000)]
        [0.2, 0.4, 0.8, 1.0, 1.0]
    """
    return min(longest_seconds, first_seconds * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))


@dataclass(slots=True)
class Backoff:
    """Delays that double from ``first_seconds`` up to ``longest_seconds``. Not thread-safe.

    Examples:
        >>> backoff = Backoff(0.2, 1.0)
        >>> [backoff.next_seconds() for _ in range(4)]
        [0.2, 0.4, 0.8, 1.0]
        >>> backoff.reset()
        >>> backoff.next_seconds()
        0.2
    """

    first_seconds: float
    longest_seconds: float
    _failures: int = field(init=False, repr=False, default=0)

    def next_seconds(self) -> float:
        """Return the delay before the next attempt, and double the one after it."""
        self._failures += 1
        return delay_seconds(self._failures, self.first_seconds, self.longest_seconds)

    def reset(self) -> None:
        """Return to the shortest delay, after an attempt has succeeded."""
        self._failures = 0
