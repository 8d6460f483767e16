"""Which records may be deleted: what remains answers every question as before, and holds keep what they name."""

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.core.authority.chain import chain_of, chain_of_action
from lineage.core.authority.rule import gaps, verdict_of, verdict_of_name
from lineage.core.authority.world import World
from lineage.core.model.events import (
    ActionPerformed,
    Derivation,
    Event,
    Fact,
    PrincipalRegistered,
    RevocationOrdered,
    Target,
    TokenIssued,
)
from lineage.core.model.records import Position, lane_of
from lineage.core.model.references import subject_of
from lineage.core.retention.leaving import Aliases, HoldConditions, Leaving, RetentionSurvey, Seen, ordered_at
from lineage.core.revocation.closure import closure_of
from lineage.core.revocation.receipt import receipt_of
from tests.support import compare, model, worlds

LANE = Position("decisions", 0, 0).number
LATE = model.micros("2026-12-01T00:00:00Z")


def seen_of(facts: list[Fact]) -> list[Seen]:
    """Number facts as a log would: each content once, with the numbers of its repetitions."""
    numbers: dict[Any, list[int]] = {}
    first: dict[Any, Fact] = {}
    for offset, fact in enumerate(facts):
        key = (fact.event, fact.misrouted)
        numbers.setdefault(key, []).append(LANE + offset)
        first[key] = min(first.get(key, fact), fact, key=lambda one: one.recorded_at)
    return [Seen(tuple(numbers[key]), fact) for key, fact in first.items()]


def leaving(
    seen: list[Seen], horizon: int, cutoff: int, held: tuple[HoldConditions, ...] = ()
) -> Mapping[str, list[int]]:
    return surveyed(seen, horizon, cutoff, held).numbers


def surveyed(seen: list[Seen], horizon: int, cutoff: int, held: tuple[HoldConditions, ...]) -> Leaving:
    facts = [one.fact for one in seen]
    survey = RetentionSurvey(horizon, {LANE: LANE + cutoff}, held, ordered_at(facts, Aliases(facts)))
    for one in seen:
        survey.add(one)
    return survey.leaving()


def answers(world: World, records: list[Any], at: int, without: set[str]) -> dict[Any, Any]:
    """Answer every question about what remains."""
    values: dict[Any, Any] = {}
    for kind, id_ in worlds.questions(records):
        if kind in ("token", "delegation"):
            key = f"{kind}:{id_}"
            if key not in without:
                values[key] = verdict_of(world, key, at), chain_of(world, key), gaps(world, [key])
        else:
            values[kind, id_] = verdict_of_name(world, kind, id_, at)
    for action in worlds.actions(records):
        if f"action:{action}" not in without:
            values["who", action] = chain_of_action(world, action)
    for revocation in worlds.REVOCATIONS:
        if world.orders.by_id.get(revocation):
            values["closure", revocation] = compare.closure_in(closure_of(world, revocation, at, {}))
            values["receipt", revocation] = [(line.key, line.state) for line in receipt_of(world, revocation, at)]
    return values


@pytest.mark.parametrize("part", range(4))
@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_what_remains_answers_as_before(part: int, seed: int):
    """
    For any world, trust file and moment: every state, chain, receipt and verdict of what remains is unchanged.
    """
    rng = random.Random(f"{part}/{seed}")
    records = worlds.world(rng)
    facts = compare.facts_of(records)
    seen = seen_of(facts)
    deleted = leaving(seen, rng.choice([*worlds.grid, LATE]), rng.randint(0, len(facts)))
    numbers = {number for each in deleted.values() for number in each}
    remaining = [one.fact for one in seen if not numbers.intersection(one.numbers)]
    trust = compare.table_of(worlds.trust(rng) if rng.random() < 0.3 else None)
    at = rng.choice([*worlds.grid, LATE])

    before = answers(World([one.fact for one in seen], trust=trust), records, at, set(deleted))

    assert before == answers(World(remaining, trust=trust), records, at, set(deleted))
    assert all(one.event.type.partition(".")[0] in ("token", "delegation", "decision", "action")
               for one in (other.fact for other in seen) if one not in remaining)  # fmt: skip


def test_records_leave_most_worlds():
    """Records leave in most worlds, so the property above is not vacuous."""
    lost = 0
    for seed in range(100):
        facts = compare.facts_of(worlds.world(random.Random(seed)))
        lost += bool(leaving(seen_of(facts), LATE, len(facts)))
    assert lost > 30


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_a_hold_keeps_what_it_names(seed: int):
    """
    With any holds, in any order, nothing leaves that names the person, is in the span, or belongs to the case.
    """
    rng = random.Random(seed)
    facts = compare.facts_of(worlds.world(rng))
    seen = seen_of(facts)
    person = f"principal:{rng.choice(['human:alice', 'agent:p', 'human:bob'])}"
    start = rng.choice(worlds.grid)
    ids = [":".join(subject_of(fact.event)) for fact in facts]
    kept = frozenset(rng.sample(ids, min(3, len(ids))))
    held = [
        HoldConditions(names=frozenset({person})),
        HoldConditions(starts_at=start, ends_at=start + 1),
        HoldConditions(keys=kept),
    ]
    rng.shuffle(held)

    deleted = leaving(seen, LATE, len(facts), tuple(held))

    numbers = {number for each in deleted.values() for number in each}
    lost = [one.fact for one in seen if numbers.intersection(one.numbers)]
    assert not kept & deleted.keys()
    assert not [fact for fact in lost if start in (fact.event.occurred_at, fact.recorded_at)]
    assert not [fact for fact in lost if person.removeprefix("principal:") in repr(fact.event.body)]


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32))
def test_a_hold_keeps_what_would_leave_without_any(seed: int):
    """
    The count of a hold is exactly what leaves without any hold and stays with this one alone; the same applies to all
    together.
    """
    rng = random.Random(seed)
    facts = compare.facts_of(worlds.world(rng))
    seen = seen_of(facts)
    start = rng.choice(worlds.grid)
    held = (
        HoldConditions(
            names=frozenset({f"principal:{rng.choice(['human:alice', 'agent:p', 'human:bob'])}"}), by="hold:person"
        ),
        HoldConditions(starts_at=start, ends_at=start + 1, by="hold:span"),
        HoldConditions(keys=frozenset({":".join(subject_of(rng.choice(facts).event))}), by="case:one"),
    )
    horizon, cutoff = rng.choice([*worlds.grid, LATE]), rng.randint(0, len(facts))

    def left(*some: HoldConditions) -> int:
        return sum(map(len, leaving(seen, horizon, cutoff, some).values()))

    expected = {one.by: count for one in held if (count := left() - left(one))}
    found = surveyed(seen, horizon, cutoff, held)
    assert (left() - left(*held), expected) == (found.held, found.held_by)


def test_a_hold_of_everything_keeps_everything():
    facts = compare.facts_of(worlds.world(random.Random(1)))
    assert {} == leaving(seen_of(facts), LATE, len(facts), (HoldConditions(),))


# Single stories


def fact_of(number: int, body: Any) -> Fact:
    return Fact(Event(f"e{number}", "urn:idp", number * 1_000_000, body), number * 1_000_000)


OLD = TokenIssued("t1", "human:alice", expires_at=5_000_000)
CHILD = TokenIssued("t2", "agent:x", derived_from=(Derivation("t1", "subject"),), expires_at=6_000_000)
ACTED = ActionPerformed("a1", "read", "succeeded", token="t2")
STORY = [fact_of(1, OLD), fact_of(2, CHILD), fact_of(3, ACTED)]


def test_an_ended_chain_leaves_whole():
    assert {"token:t1", "token:t2", "action:a1"} == leaving(seen_of(STORY), 10_000_000, 3).keys()


def test_a_recent_action_keeps_its_chain():
    assert {} == leaving(seen_of(STORY), 10_000_000, 2)


def test_below_an_element_without_an_end_only_actions_leave():
    """A child of the middle token that is reported late must be reached by an order on the first one."""
    endless = [fact_of(1, OLD._replace(expires_at=None)), *STORY[1:]]
    seen = seen_of(endless)
    late = fact_of(20, TokenIssued("t3", "agent:y", derived_from=(Derivation("t2", "subject"),)))
    order = fact_of(21, RevocationOrdered("r", Target("token", "t1"), "test", "human:ir"))

    deleted = leaving(seen, 10_000_000, 3)
    remaining = [one.fact for one in seen if one.fact is not endless[2]]

    assert {"action:a1"} == deleted.keys()
    assert "cascaded" == verdict_of(World([*remaining, late, order]), "token:t3", 22_000_000).state


def test_an_element_without_an_end_by_any_source_stays():
    """Either source may lose its trust, and the token has no end then."""
    other = Fact(Event("o", "urn:other", 1, OLD._replace(expires_at=None)), 1)
    assert "token:t1" not in leaving(seen_of([*STORY, other]), 10_000_000, 4)


@pytest.mark.parametrize("target", [Target("token", "t1"), Target("principal", "human:al"), Target("token", "t2")])
@pytest.mark.parametrize("cascade", [True, False])
def test_what_an_order_ended_stays_with_its_uses(target: Target, cascade: bool):
    """An order is never undone by deletion, even one that does not cascade, and through an alias."""
    order = fact_of(4, RevocationOrdered("r", target, "test", "human:ir", cascade=cascade))
    alias = fact_of(5, PrincipalRegistered("human:alice", "human", aliases=("human:al",)))
    assert {} == leaving(seen_of([*STORY, order, alias]), 10_000_000, 3)


def test_the_use_of_a_token_that_nobody_granted_stays_if_an_order_names_it():
    """It reopens the verdict of the order."""
    order = fact_of(4, RevocationOrdered("r", Target("token", "ghost"), "test", "human:ir"))
    used = fact_of(5, ActionPerformed("a2", "read", "succeeded", token="ghost"))
    assert "action:a2" not in leaving(seen_of([*STORY, order, used]), 10_000_000, 5)


def test_an_order_after_the_end_keeps_nothing():
    order = fact_of(7, RevocationOrdered("r", Target("principal", "human:alice"), "test", "human:ir"))
    assert 3 == len(leaving(seen_of([*STORY, order]), 10_000_000, 3))


def test_a_recently_recorded_renewal_keeps_the_token():
    renewal = fact_of(9, OLD._replace(expires_at=50_000_000))
    assert {"action:a1"} == leaving(seen_of([*STORY, renewal]), 10_000_000, 3).keys()


def test_a_late_duplicate_keeps_the_action_and_its_chain():
    assert {} == leaving(seen_of([*STORY, STORY[2]]), 10_000_000, 3)


def test_a_person_is_held_with_everything_below():
    """The action names neither Alice nor her token, only a token that was derived from it."""
    assert {} == leaving(seen_of(STORY), 10_000_000, 3, (HoldConditions(names=frozenset({"principal:human:alice"})),))


def test_conditions_of_one_hold_narrow_each_other():
    held = HoldConditions(names=frozenset({"principal:human:alice"}), starts_at=2_500_000, ends_at=2_600_000)
    assert 3 == len(leaving(seen_of(STORY), 10_000_000, 3, (held,)))


def test_the_same_offset_in_two_partitions_is_two_records():
    number = Position("orders", 3, 9).number
    assert Position("orders", 3, 0).number == lane_of(number)
