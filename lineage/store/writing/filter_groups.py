"""The filters of runs that will be merged, united beforehand, on SQLite.

The filter of a merged run would take as long as those of its runs together, because every key is read and added again.
So while the filter of a run is built, it has as many words as the merged run needs. It is united with those of the runs
before it, with which it will be merged, and folded to its own size. The united filter is also asked first: only a key
that it may have is looked for in the filters of its runs, one after the other.

Groups are in memory only. A process that has not built the filters of all runs of a merge, because it was started
later or another one has built some, builds the filter of the merged run from its keys.
"""

from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from lineage.plumbing.key_filter import KeyFilter, words_for
from lineage.store.database import sorted_runs


@dataclass(slots=True)
class _Group:
    """The united filter of some runs, and the marks of their own filters."""

    filter: KeyFilter
    marks: set[int]


class FilterGroups:
    """The groups of a process."""

    def __init__(self) -> None:
        """Begin with none."""
        self._groups: list[_Group] = []

    def unite(self, mark: int, built: KeyFilter, now: Collection[Collection[int]]) -> None:
        """Unite a filter with those of the runs that will be merged with its run.

        Args:
            mark: Its mark.
            built: The filter, with the words of ``for_merging``.
            now: The marks of the filters of each run that has some.
        """
        known = {mark for marks in now for mark in marks}
        self._groups = [each for each in self._groups if each.marks & known]
        last = self._groups[-1] if self._groups else None
        # Once some of a group are merged, another one is begun, so that it has the runs of one merge.
        if last is None or len(last.marks) >= sorted_runs.FAN or not last.marks <= _waiting(now):
            self._groups.append(_Group(built, {mark}))
        else:
            last.filter = last.filter.united(built)
            last.marks.add(mark)

    def take(self, marks: Collection[int]) -> KeyFilter | None:
        """Return, and forget, the united filter of the runs with some filters; None if there is none of all of them."""
        for each in self._groups:
            if marks and each.marks.issuperset(marks):
                self._groups.remove(each)
                return each.filter
        return None

    def __iter__(self) -> Iterator[tuple[KeyFilter, AbstractSet[int]]]:
        """Yield each united filter with the marks of the filters of its runs."""
        return ((each.filter, each.marks) for each in self._groups)


def for_merging() -> KeyFilter:
    """Create an empty filter for a run that will be merged, which can be united with others."""
    return KeyFilter.for_keys(sorted_runs.HOT * sorted_runs.FAN * sorted_runs.KEYS_PER_FACT)


def is_united(facts: int) -> bool:
    """Return whether a run with a number of facts is small enough for ``for_merging``: no run that was merged is."""
    return facts < sorted_runs.HOT * sorted_runs.FAN


def folded(built: KeyFilter, facts: int) -> KeyFilter:
    """Return a filter in the size for the facts of its run."""
    return built.folded(min(words_for(facts * sorted_runs.KEYS_PER_FACT), len(built)))


def _waiting(now: Collection[Collection[int]]) -> set[int]:
    """Return the marks of the filters of runs that are complete, and of which none is being merged."""
    alone = {mark for marks in now if len(marks) == 1 for mark in marks}
    # During a merge a filter answers also for the run into which the entries are moved.
    return alone - {mark for marks in now if len(marks) > 1 for mark in marks}
