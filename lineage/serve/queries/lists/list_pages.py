"""Fill a page of a list from candidates in time order, examining no more than a budget allows."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from lineage.store.acts_in_time import Candidate, ListPosition

_T = TypeVar("_T")
_FIRST: Final = 64  # candidates examined at once, initially
_MOST: Final = 1_024
_ANY_NUMBER: Final = 1 << 60


class Budget(NamedTuple):
    """Limits of the work for one page. They affect how long that takes and how full a page is, but not the list.

    Attributes:
        counted: A list of at most this many candidates is read whole and counted.
        gathered: Rows of the index of mentions read for one filter; beyond this, the facts are examined in their order.
        looked_at: Candidates examined for a page, which may end after them with fewer items, or none. None for as
            many as needed.
        ordered: Candidates from the index of mentions that are put in order by reading their facts; beyond this, all
            facts are examined in their order.
    """

    counted: int = 1_000
    gathered: int = 20_000
    looked_at: int | None = None
    ordered: int = 1_000


FULL_PAGES: Final = Budget()
OVER_HTTP: Final = Budget(looked_at=2_000)
WORDS_OVER_HTTP: Final = Budget(looked_at=1_000)  # searching for words takes twice as long
WHOLE_LIST: Final = Budget(counted=_ANY_NUMBER, gathered=_ANY_NUMBER)


def of_limit(limit: int | None) -> Budget:
    """Create the budget for full pages of that many items, or for the whole list."""
    return WHOLE_LIST if limit is None else FULL_PAGES


def filled(
    candidates: Iterator[Candidate],
    fitting: Callable[[list[Candidate]], Iterable[tuple[_T, ListPosition]]],
    limit: int,
    looked_at: int | None,
) -> tuple[list[tuple[_T, ListPosition]], ListPosition | None]:
    """Fill a page.

    Args:
        candidates: In the order of the list.
        fitting: Returns the items among some candidates, each with its place.
        limit: The most items.
        looked_at: The most candidates to examine; None for as many as needed.

    Returns:
        The items, and the place after which the next page starts; None if there is none.
    """
    page: list[tuple[_T, ListPosition]] = []
    left = looked_at
    size = max(_FIRST, min(limit + 1, _MOST))
    last: ListPosition | None = None
    while left is None or left > 0:
        part = list(islice(candidates, size if left is None else min(size, left)))
        if not part:
            return page, None
        page += fitting(part)
        if len(page) > limit:
            return page[:limit], page[limit - 1][1]
        last = part[-1].place
        left = None if left is None else left - len(part)
        size = min(2 * size, _MOST)
    return page, last
