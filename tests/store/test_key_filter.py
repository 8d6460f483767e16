"""The filter of keys: it never denies a key that was added, and denies nearly all others."""

import random

from hypothesis import given
from hypothesis import strategies as st

from lineage.plumbing.key_filter import KeyFilter, bits_of

KEYS = st.integers(-(1 << 63), (1 << 63) - 1)


def possible(one: KeyFilter, keys: list[int]) -> list[int]:
    return one.possible((key, bits_of(key)) for key in keys)


@given(parts=st.lists(st.lists(KEYS, max_size=300), max_size=4), expected=st.integers(0, 500), others=st.lists(KEYS))
def test_no_added_key_is_denied(parts: list[list[int]], expected: int, others: list[int]):
    """However many keys were expected, in however many parts they are added, and after it was stored and loaded."""
    one = KeyFilter.for_keys(expected)
    for part in parts:
        one.add(part)
    added = [key for part in parts for key in part]
    found = possible(KeyFilter.load(one.dump()), [*added, *others])
    assert added == found[: len(added)]


def test_few_other_keys_are_taken_for_added_ones():
    """With as many keys as expected, fewer than 2 % of random others."""
    rng = random.Random(7)
    one = KeyFilter.for_keys(10_000)
    one.add(rng.getrandbits(64) - (1 << 63) for _ in range(10_000))
    taken = possible(one, [rng.getrandbits(64) - (1 << 63) for _ in range(20_000)])
    assert len(taken) < 400


@given(one=st.lists(KEYS, max_size=600), other=st.lists(KEYS, max_size=600), expected=st.integers(0, 3_000))
def test_united_and_folded_filters_are_those_that_their_keys_would_make(
    one: list[int], other: list[int], expected: int
):
    """Whether keys are added to a large filter that is folded, or to a small one; to one filter, or to two."""
    first, second, both, small = (KeyFilter.for_keys(count) for count in (expected, expected, expected, 0))
    first.add(one)
    second.add(other)
    both.add([*one, *other])
    small.add(one)
    assert both.dump() == first.united(second).dump()
    assert small.dump() == first.folded(len(small)).dump()
