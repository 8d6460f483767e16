"""The core compared with the model: the clauses written out slowly and plainly, in independent code (``model.py``)."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.core.authority.world import World
from lineage.core.model.events import Body, DelegationGranted, Fact, TokenIssued
from lineage.core.model.grants import FactInParts, GrantParts, GrantTemplate, distinct_bodies, granted_by
from lineage.core.model.references import about
from tests.support import compare, model, worlds

SEEDS = st.integers(0, 2**32)


@pytest.mark.slow
@settings(max_examples=150)
@given(SEEDS)
def test_states_chains_and_gaps_equal_those_of_the_model(seed: int):
    """For any facts, in any order, with any trust and time of knowledge, both give the same states and chains."""
    rng = random.Random(seed)
    records = worlds.world(rng)
    trust = worlds.trust(rng) if rng.random() < 0.2 else None
    known_at = rng.choice([None, None, rng.choice(worlds.grid)])
    facts = compare.facts_of(records)
    rng.shuffle(facts)
    world = World(facts, trust=compare.table_of(trust), known_at=known_at)

    for kind, id_ in worlds.questions(records):
        at = rng.choice(worlds.grid)
        expected = model.status(records, kind, id_, at, known_at, trust)
        assert expected in (None, compare.status(world, kind, id_, at)), (kind, id_, at)
        if kind in compare.ELEMENT_KINDS:
            expected = model.chain(records, kind, id_, at, known_at, trust)
            assert expected in (None, compare.chain(world, kind, id_, at)), (kind, id_, at)
    for action in worlds.actions(records):
        at = rng.choice(worlds.grid)
        assert model.who(records, action, at, known_at, trust) == compare.who(world, action, at), (action, at)


@pytest.mark.slow
@settings(max_examples=150)
@given(SEEDS)
def test_the_reach_equals_that_of_the_model(seed: int):
    """
    It is the difference of the states before and after an order, for any order on any world. Clause 9.1.
    """
    rng = random.Random(seed)
    records = worlds.world(rng)
    world = World(compare.facts_of(records))

    for kind, id_ in worlds.questions(records):
        at = rng.choice(worlds.grid)
        how = {
            "mode": rng.choice(["revoke", "suspend"]),
            "issued_before": rng.choice([None, None, rng.choice(worlds.grid)]),
            "cascade": rng.random() < 0.8,
        }
        expected = model.reach(records, kind, id_, at, **how)
        assert expected in (None, compare.reach(world, kind, id_, at, **how)), (kind, id_, at, how)


def in_parts(facts: list[Fact]) -> list[Fact]:
    """Put those grants in parts that state nothing which a grant in parts does not have."""
    templates: dict[Body, GrantTemplate] = {}
    found: list[Fact] = []
    for fact in facts:
        event, body = fact.event, fact.event.body
        own = {"not_before": None, "expires_at": None}
        if isinstance(body, TokenIssued):
            shared: Body = body._replace(token="", issued_at=None, status_list=None, **own)
        elif isinstance(body, DelegationGranted):
            shared = body._replace(delegation="", **own)
        else:
            found.append(fact)
            continue
        template = templates.setdefault(shared, GrantTemplate(shared))
        times = getattr(body, "issued_at", None), body.not_before, body.expires_at
        parts = GrantParts(about(event), template, event.event_id, event.source, event.occurred_at, *times)
        whole = FactInParts.of(parts, fact.recorded_at, misrouted=fact.misrouted)
        found.append(whole if parts.event == event else fact)
    return found


@settings(max_examples=60)
@given(SEEDS)
def test_grants_in_parts_change_no_answer(seed: int):
    """
    Facts whose events are built when they are read are equal to those with events, and give the same answers.
    """
    rng = random.Random(seed)
    records = worlds.world(rng)
    trust = compare.table_of(worlds.trust(rng) if rng.random() < 0.2 else None)
    facts = compare.facts_of(records)
    rng.shuffle(facts)
    parts = in_parts(facts)
    known_at = rng.choice([None, rng.choice(worlds.grid)])
    one, other = (World(trust=trust, known_at=known_at) for _ in range(2))
    for fact in facts:
        one.add(fact)
    other.add_grants(parts)

    assert facts == parts
    assert one.latest == other.latest
    assert set(facts) == set(parts)
    assert list(distinct_bodies(facts)) == [fact.event.body for fact in facts]
    assert [about(fact.event) for fact in facts] == list(map(granted_by, parts))
    assert {key: one.graph.element(key) for key in one.graph} == {key: other.graph.element(key) for key in other.graph}
    keys = {key for key in one.graph if rng.random() < 0.5}
    for some in (keys, set(list(keys)[:1])):
        assert one.graph.above(*some) == other.graph.above(*some)
        assert {element.key for element in other.graph.among(some)} == {key for key in some if one.graph.granted(key)}
        assert set().union(*map(one.graph.children, some)) == other.graph.children_of(some)
        assert all(map(one.graph.granted, some)) == other.graph.are_granted(some)
    for kind, id_ in worlds.questions(records):
        at = rng.choice(worlds.grid)
        assert compare.status(one, kind, id_, at) == compare.status(other, kind, id_, at)
        assert compare.reach(one, kind, id_, at) == compare.reach(other, kind, id_, at)
    for action in worlds.actions(records):
        assert compare.who(one, action, at) == compare.who(other, action, at)


@settings(max_examples=60)
@given(SEEDS)
def test_neither_order_nor_duplication_changes_an_answer(seed: int):
    """Any permutation and any duplication of a set of facts gives the same answers. Clause 2.1."""
    rng = random.Random(seed)
    records = worlds.world(rng)
    facts = compare.facts_of(records)
    again = [*facts, *(fact._replace(recorded_at=fact.recorded_at + 1) for fact in rng.choices(facts, k=5))]
    rng.shuffle(again)
    one, other = World(facts), World(again)

    for kind, id_ in worlds.questions(records):
        at = rng.choice(worlds.grid)
        assert compare.status(one, kind, id_, at) == compare.status(other, kind, id_, at)
        assert compare.reach(one, kind, id_, at) == compare.reach(other, kind, id_, at)
