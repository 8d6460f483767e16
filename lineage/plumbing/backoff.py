"""Exponential backoff: the delays between attempts to reach something that is unavailable."""

from dataclasses import dataclass, field


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
    _seconds: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Start with the shortest delay."""
        self._seconds = self.first_seconds

    def next_seconds(self) -> float:
        """Return the delay before the next attempt, and double the one after it."""
        seconds, self._seconds = self._seconds, min(2 * self._seconds, self.longest_seconds)
        return seconds

    def reset(self) -> None:
        """Return to the shortest delay, after an attempt has succeeded."""
        self._seconds = self.first_seconds
