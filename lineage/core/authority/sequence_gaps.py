"""Runs of the gapless sequence numbers of a source; the events between two runs have not arrived."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise


@dataclass(slots=True)
class _Run:
    """Consecutive numbers, with the facts that carry the first and the last."""

    first: int
    last: int
    first_fact: int
    last_fact: int


class Runs:
    """The numbers of one source, added in any order, repeats included. Memory is proportional to the number of runs."""

    def __init__(self) -> None:
        """Start without numbers."""
        self._firsts: list[int] = []  # the starts of the runs, for bisection
        self._runs: list[_Run] = []

    def add(self, number: int, fact: int) -> None:
        """Add the number of a fact; of several facts with the same number, the first counts."""
        after = bisect_right(self._firsts, number)
        run = self._runs[after - 1] if after else None
        following = self._runs[after] if after < len(self._runs) else None
        if run is not None and number <= run.last:
            if number == run.first:
                run.first_fact = min(run.first_fact, fact)
            if number == run.last:
                run.last_fact = min(run.last_fact, fact)
            return
        joins = following is not None and following.first == number + 1
        if run is not None and run.last + 1 == number:
            run.last, run.last_fact = number, fact
            if joins and following is not None:
                run.last, run.last_fact = following.last, following.last_fact
                del self._runs[after], self._firsts[after]
        elif joins and following is not None:
            following.first, following.first_fact = number, fact
            self._firsts[after] = number
        else:
            self._runs.insert(after, _Run(number, number, fact, fact))
            self._firsts.insert(after, number)

    def holes(self) -> Iterator[tuple[int, int]]:
        """Yield the facts before and after each hole, in numeric order."""
        for before, after in pairwise(self._runs):
            yield before.last_fact, after.first_fact
