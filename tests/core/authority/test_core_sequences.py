"""Gaps in sequence numbers, compared with sorting all of them again."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lineage.core.authority.sequence_gaps import Runs

NUMBERED = st.lists(st.tuples(st.integers(-3, 20), st.integers(0, 50)), max_size=40)


@given(NUMBERED)
def test_the_order_of_numbers_does_not_change_the_gaps(numbered: list[tuple[int, int]]):
    """A gap lies between the first facts with the numbers before and after it, however often and when these came."""
    runs = Runs()
    for number, fact in numbered:
        runs.add(number, fact)

    first = {number: min(fact for other, fact in numbered if other == number) for number, _ in numbered}
    known = sorted(first)
    expected = [(first[a], first[b]) for a, b in pairwise(known) if b > a + 1]

    assert expected == list(runs.holes())
