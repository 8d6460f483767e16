"""Holds in force do not depend on the order or repetition of their facts."""

import random

from hypothesis import given
from hypothesis import strategies as st

from lineage.core.model.events import Event, Fact, HoldChanged
from lineage.core.retention.holds import holds_of


def changed(at: int, change: str, hold: str = "h", **named: str) -> Fact:
    body = HoldChanged(hold, change, "human:c", f"reason {at}", **named)
    return Fact(Event(f"{at:06}", "urn:c", at, body), at)


def in_force(facts: list[Fact]) -> list[str]:
    return [body.reason for hold in holds_of(facts) for body in hold.in_force]


def test_a_release_ends_what_was_placed_before_and_nothing_later():
    facts = [changed(1, "placed"), changed(2, "placed"), changed(3, "released"), changed(4, "placed")]
    assert ["reason 4"] == in_force(facts)


def test_a_release_ends_no_other_hold():
    assert ["reason 1"] == in_force([changed(1, "placed", "one"), changed(2, "released", "other")])


def test_a_clock_that_is_ahead_does_not_delay_a_release():
    late = changed(9, "released")._replace(recorded_at=2)
    assert [] == in_force([changed(1, "placed"), late])


@given(steps=st.lists(st.booleans(), max_size=8), seed=st.integers(0, 99))
def test_neither_order_nor_repetition_matters(steps: list[bool], seed: int):
    facts = [changed(at, "placed" if placed else "released") for at, placed in enumerate(steps)]
    shuffled = [*facts, *facts[: len(facts) // 2]]
    random.Random(seed).shuffle(shuffled)
    last = max((at for at, placed in enumerate(steps) if not placed), default=-1)

    assert in_force(facts) == in_force(shuffled)
    assert [f"reason {at}" for at, placed in enumerate(steps) if placed and at > last] == in_force(facts)
