"""A current time that records when its comparisons will turn out differently."""

from lineage.core.model.times import NEVER, Instant


class Horizon:
    """The earliest later instant at which any comparison made so far turns out differently."""

    __slots__ = ("next",)

    def __init__(self) -> None:
        """Start without comparisons, so that nothing ever changes."""
        self.next: Instant = NEVER

    def restart(self) -> None:
        """Forget the comparisons made so far."""
        self.next = NEVER


class Moving(int):
    """A moving instant: results that depend on it may change as time passes.

    It is used like any instant. Each comparison with a fixed instant, also after adding or subtracting a duration,
    moves the horizon to the instant at which its outcome changes, if that is earlier. So a result that was computed
    with it remains right at every instant before the horizon.

    Examples:
        >>> horizon = Horizon()
        >>> now = Moving.at(100, horizon)
        >>> now < 150, now - 30 >= 90, now + 10 > 50
        (True, False, True)
        >>> horizon.next
        120
    """

    horizon: Horizon
    shift: Instant

    @classmethod
    def at(cls, instant: Instant, horizon: Horizon, shift: Instant = 0) -> "Moving":
        """Create a moving instant, shifted from the current time."""
        made = cls(instant)
        made.horizon = horizon
        made.shift = shift
        return made

    def _reached(self, value: Instant) -> None:
        """Record that an outcome changes once this shifted instant reaches a value."""
        if int(self) < value < NEVER and value - self.shift < self.horizon.next:
            self.horizon.next = value - self.shift

    def __lt__(self, other: int) -> bool:
        """Compare, and record when the outcome changes."""
        self._reached(int(other))
        return int(self) < int(other)

    def __ge__(self, other: int) -> bool:
        """Compare, and record when the outcome changes."""
        self._reached(int(other))
        return int(self) >= int(other)

    def __le__(self, other: int) -> bool:
        """Compare, and record when the outcome changes."""
        self._reached(int(other) + 1)
        return int(self) <= int(other)

    def __gt__(self, other: int) -> bool:
        """Compare, and record when the outcome changes."""
        self._reached(int(other) + 1)
        return int(self) > int(other)

    def __eq__(self, other: object) -> bool:
        """Compare, and record when the outcome changes."""
        if isinstance(other, int):
            self._reached(int(other))
            self._reached(int(other) + 1)
        return int(self) == other

    def __ne__(self, other: object) -> bool:
        """Compare, and record when the outcome changes."""
        return not self == other

    __hash__ = int.__hash__

    def __add__(self, duration: int) -> "Moving":
        """Shift the instant, and its comparisons with it."""
        return Moving.at(int(self) + int(duration), self.horizon, self.shift + int(duration))

    __radd__ = __add__

    def __sub__(self, duration: int) -> "Moving":
        """Shift the instant, and its comparisons with it."""
        return Moving.at(int(self) - int(duration), self.horizon, self.shift - int(duration))

    def __floordiv__(self, unit: int) -> int:
        """Count whole units, and record when there is one more."""
        count = int(self) // unit
        self._reached((count + 1) * unit)
        return count
