"""What is still open of a revocation: elements at receivers, with the reason. Pure.

Very many elements are open for the same reasons, so the items are stored as elements with shared reasons, and each item
is built when it is read.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple, overload

from lineage.core.model.keys import by_id

Reasons = tuple[tuple[str | None, str], ...]
"""Pairs of a receiver, or None where no receiver covers the element, and why the element is open there."""


class OpenItem(NamedTuple):
    """A reason why a revocation is not complete: an element, a receiver (None if no one covers it), and a reason.

    The reasons: ``pending``, ``overdue``, ``rejected``, ``used-after-revocation``, ``uncovered``, ``not-in-force``.
    """

    key: str
    receiver: str | None
    reason: str


class OpenItems(Sequence[OpenItem]):
    """Open items in order; equal to any sequence of the same items."""

    def __init__(self, entries: Sequence[tuple[str, Reasons]] = ()) -> None:
        """Keep the elements in order, each with its reasons."""
        self._entries = entries

    @classmethod
    def sorted(cls, entries: Sequence[tuple[str, Reasons]]) -> "OpenItems":
        """Sort items into receipt order, and those of an element by receiver, first what no receiver covers."""
        items = sorted(cls(entries), key=lambda one: (*by_id(one.key), one.receiver or ""))
        return cls([(key, ((receiver, reason),)) for key, receiver, reason in items])

    @cached_property
    def _ends(self) -> Sequence[int]:
        """The number of items up to and including each element."""
        return list(accumulate(map(len, map(itemgetter(1), self._entries))))

    @cached_property
    def by_receiver(self) -> Counter[tuple[str | None, str]]:
        """The number of items by receiver and reason."""
        found: Counter[tuple[str | None, str]] = Counter()
        for reasons, elements in Counter(map(itemgetter(1), self._entries)).items():
            for one in reasons:
                found[one] += elements
        return found

    def __len__(self) -> int:
        """The number of items."""
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[OpenItem]:
        """Iterate over the items."""
        return (OpenItem(key, receiver, reason) for key, reasons in self._entries for receiver, reason in reasons)

    @overload
    def __getitem__(self, place: int) -> OpenItem: ...
    @overload
    def __getitem__(self, place: slice) -> list[OpenItem]: ...
    def __getitem__(self, place: int | slice) -> OpenItem | list[OpenItem]:
        """Return an item, or a list of several, without building the others."""
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        at = range(len(self))[place]
        entry = bisect_right(self._ends, at)
        key, reasons = self._entries[entry]
        return OpenItem(key, *reasons[at - self._ends[entry]])

    def __eq__(self, other: object) -> bool:
        """Whether the items are the same."""
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        """Hash the items."""
        return hash(tuple(self))
