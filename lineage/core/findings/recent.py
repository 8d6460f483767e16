"""A cache of recent results, for several rules that examine one thing, and one rule that examines several."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")
_MOST: Final = 8_192


class Recent(Generic[T]):
    """The values of some thousands of keys, computed once until they are forgotten."""

    __slots__ = ("_known", "_make")

    def __init__(self, make: Callable[[str], T]) -> None:
        """Store the function that computes a value."""
        self._make = make
        self._known: dict[str, T] = {}

    def of(self, key: str) -> T:
        """Return the value of a key."""
        known = self._known
        try:
            return known[key]
        except KeyError:
            if len(known) >= _MOST:
                known.clear()
            value = known[key] = self._make(key)
            return value

    def forget(self) -> None:
        """Discard all values, so that they are computed again when needed."""
        self._known.clear()
