"""Receipts: the elements that the orders of an id end, compared with the model and with the states before and after."""

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.core.authority.rule import ALIVE, verdict_of
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.events import Event, Fact, RevocationOrdered, Target
from lineage.core.model.keys import split_key
from lineage.core.revocation.plan_details import depths_of, names_of_heads, only_head
from lineage.core.revocation.reach import Proposal, reach_of, struck_by
from lineage.core.revocation.receipt import ReceiptLine, receipt_of
from tests.support import compare, graphs, model, worlds

SEEDS = st.integers(0, 2**32)
DEAD = {State.REVOKED, State.CASCADED, State.SUSPENDED}


def line_of(line: ReceiptLine) -> dict[str, Any]:
    """Convert a line to the model's form."""
    kind, id_ = split_key(line.key)
    return {
        "kind": kind,
        "id": id_,
        "state": str(line.state),
        "revocation": line.order.body.revocation,
        "effective_at": line.order.effective_at,
        "path": list(line.path),
        "principals": line.principals,
        "expires_at": line.element.expires_at if line.element else None,
        "born_dead": line.born_dead,
        "recorded_at": line.proven_at,
    }


def without_orders(facts: list[Fact], *, but: str | None = None) -> list[Fact]:
    """Return the facts without orders, except those of one id."""
    return [
        fact
        for fact in facts
        if fact.event.type != "revocation.ordered" or getattr(fact.event.body, "revocation", None) == but
    ]


@settings(max_examples=200)
@given(SEEDS)
def test_the_receipt_equals_that_of_the_model(seed: int):
    """
    For any facts, in any order, with any trust and time of knowledge: the same lines, with the same paths.
    """
    rng = random.Random(seed)
    records = worlds.world(rng)
    trust = worlds.trust(rng) if rng.random() < 0.2 else None
    known_at = rng.choice([None, None, rng.choice(worlds.grid)])
    facts = compare.facts_of(records)
    rng.shuffle(facts)
    world = World(facts, trust=compare.table_of(trust), known_at=known_at)

    for revocation in (*worlds.REVOCATIONS, "r-ghost"):
        at = rng.choice(worlds.grid)
        expected = model.receipt(records, revocation, at, known_at, trust)
        assert (expected or []) == [line_of(line) for line in receipt_of(world, revocation, at)], (revocation, at)
        assert (expected is not None) == bool(world.orders.by_id.get(revocation))


EDGES = (1, 2, 30, 31, 32, 33, 34, 62, 63, 64, 65, 66, 96, 97, 300)


@pytest.mark.parametrize("target", ["token:t0", "principal:human:alice", "session:s"])
def test_a_line_has_the_first_and_the_last_32_keys_of_a_long_path(target: str):
    """
    Up to 64 keys it is the path that `status` shows; beyond that, its two ends and its length. Clause 10.4.
    """
    facts = [graphs.token("t0", session="s")]
    facts += [graphs.token(f"t{n}", f"t{n - 1}", subject="human:bob") for n in range(1, max(EDGES))]
    facts += [graphs.token("side", "t40", "t50", subject="human:bob")]  # the shorter of two ways counts
    world = World([*facts, graphs.order(target)])
    lines = {line.key: line for line in receipt_of(world, "r", 20)}

    for key in [*(f"token:t{edge - 1}" for edge in EDGES), "token:side"]:
        because = verdict_of(world, key, 20).because
        assert because is not None
        whole = because.path
        shown = whole if len(whole) <= 64 else whole[:32] + whole[-32:]
        assert (shown, len(whole)) == (lines[key].path, lines[key].path_length), key


def test_the_size_of_a_receipt_depends_on_its_lines_and_not_on_its_depth():
    """
    Twice the elements, twice as deep: twice the bytes and not four times as many.
    """

    def size(depth: int) -> int:
        facts = [graphs.token("t0"), *(graphs.token(f"t{n:05}", f"t{n - 1:05}") for n in range(2, depth))]
        facts += [graphs.token("t00001", "t0"), graphs.order("token:t0")]
        return sum(len(key) for line in receipt_of(World(facts), "r", 20) for key in line.path)

    assert size(4_000) < 2.2 * size(2_000)


@settings(max_examples=100)
@given(SEEDS)
def test_a_receipt_is_the_difference_of_the_states_before_and_after(seed: int):
    """
    Without other orders, it lists exactly the elements that are dead only because of the orders of its id; with others,
    it has every element whose state differs, and for each other line some other order is the cause. All facts are
    recorded at once, because a later statement changes a state, and not what must be enforced (ADR 0031). Clause 10.3.
    """
    rng = random.Random(seed)
    facts = [fact._replace(recorded_at=worlds.grid[-1]) for fact in compare.facts_of(worlds.world(rng))]
    world = World(facts)
    none = World(without_orders(facts))

    for revocation in worlds.REVOCATIONS:
        at = rng.choice(worlds.grid)
        listed = {line.key: line.state for line in receipt_of(world, revocation, at)}
        alone = World(without_orders(facts, but=revocation))
        others = World([fact for fact in facts if fact not in alone.orders.by_id.get(revocation)])
        keys = set(world.graph) | {order.key for order in world.orders.all() if order.on_element}
        states = {key: verdict_of(alone, key, at).state for key in keys}
        assert listed == {key: state for key, state in states.items() if state in DEAD}
        assert not any(verdict_of(none, key, at).state in DEAD for key in keys)
        for key in keys:
            before, after = verdict_of(others, key, at).state, verdict_of(world, key, at).state
            assert before is after or key in listed
            assert key not in listed or after is not before or before in DEAD or before is State.EXPIRED


@settings(max_examples=60)
@given(SEEDS)
def test_a_receipt_in_parts_has_the_same_lines(seed: int):
    """
    A world of some elements and their dependencies gives the same lines for these as a world of everything.
    """
    rng = random.Random(seed)
    facts = compare.facts_of(worlds.world(rng))
    world = World(facts)
    nearby = [fact for fact in facts if fact.event.type not in ("token.issued", "delegation.granted")]

    for revocation in worlds.REVOCATIONS:
        at = rng.choice(worlds.grid)
        whole = receipt_of(world, revocation, at)
        keys = sorted({line.key for line in whole})
        rng.shuffle(keys)
        found = []
        while keys:
            part, keys = set(keys[:2]), keys[2:]
            above = world.graph.above(*part)
            own = [fact for key in above for fact in world.graph.facts.get(key)]
            found += receipt_of(World([*nearby, *own]), revocation, at, part)
        found.sort(key=lambda line: line.place)
        assert [(line_of(line), line.counting) for line in whole] == [(line_of(line), line.counting) for line in found]


@settings(max_examples=40)
@given(SEEDS)
def test_neither_order_nor_duplication_changes_a_receipt(seed: int):
    """
    Any permutation and any duplication of a set of facts gives the same receipt. Clause 2.1.
    """
    rng = random.Random(seed)
    facts = compare.facts_of(worlds.world(rng))
    again = [*facts, *(fact._replace(recorded_at=fact.recorded_at + 1) for fact in rng.choices(facts, k=5))]
    rng.shuffle(again)

    for revocation in worlds.REVOCATIONS:
        at = rng.choice(worlds.grid)
        assert receipt_of(World(facts), revocation, at) == receipt_of(World(again), revocation, at)


def proposal(rng: random.Random, kind: str, id_: str) -> Proposal:
    """Generate an order on a target, in any mode."""
    before = rng.choice([None, None, rng.choice(worlds.grid)])
    at = rng.choice(worlds.grid)
    return Proposal(target=Target(kind, id_), at=at, issued_before=before, cascade=rng.random() < 0.8)


def ordered(asked: Proposal, mode: str) -> Fact:
    """Return the proposed order as a given one."""
    body = RevocationOrdered(
        *("planned", asked.target, "test", "human:ir"),
        mode=mode,
        cascade=asked.cascade,
        issued_before=asked.issued_before,
    )
    return Fact(Event("planned", "urn:ir", asked.at, body), asked.at)


@settings(max_examples=100)
@given(SEEDS)
def test_the_receipt_has_the_elements_of_the_plan_at_the_same_depth(seed: int):
    """
    After the order of a plan is given, each element that it lists is in the receipt, as many steps below the target.
    """
    rng = random.Random(seed)
    records = worlds.world(rng)
    facts = compare.facts_of(records)
    world = World(facts)

    for kind, id_ in worlds.questions(records):
        asked = proposal(rng, kind, id_)
        reach = reach_of(world, asked)
        lines = receipt_of(World([*facts, ordered(asked, "revoke")]), "planned", asked.at)
        listed = [line for line in lines if line.key in reach.kills]
        assert reach.kills == {line.key for line in listed}
        assert depths_of(world, reach) == Counter((line.path_length - 1, split_key(line.key)[0]) for line in listed)


@settings(max_examples=100)
@given(SEEDS)
def test_a_narrower_target_ends_the_same_elements(seed: int):
    """
    The one element that is offered instead of a name kills the same as the name, and so does a session or a client that
    every head names and nothing else does.
    """
    rng = random.Random(seed)
    records = worlds.world(rng)
    world = World(compare.facts_of(records))

    for kind, id_ in worlds.questions(records):
        asked = proposal(rng, kind, id_)
        reach = reach_of(world, asked)
        if (head := only_head(world, reach)) is not None:
            assert reach.kills == reach_of(world, replace(asked, target=head, issued_before=None)).kills
        for name in names_of_heads(world, reach) if reach.kills else ():
            if set(world.graph.naming(f"{name.kind}:{name.id}", after=asked.at)) <= reach.kills:
                assert reach.kills == reach_of(world, replace(asked, target=name)).kills


@pytest.mark.slow
@settings(max_examples=100)
@given(SEEDS)
def test_nothing_below_an_order_survives_and_nothing_else_dies(seed: int):
    """
    For any graph and order: no element that it hits, and with a cascade no element that networkx finds below, lives
    from then on; every other element keeps its state. Clause 1.1.
    """
    rng = random.Random(seed)
    records = worlds.world(rng)
    facts = compare.facts_of(records)
    before = World(facts)

    for kind, id_ in worlds.questions(records):
        asked, mode = proposal(rng, kind, id_), rng.choice(["revoke", "suspend"])
        after = World([*facts, ordered(asked, mode)])
        hit = set(struck_by(before, asked))
        shown = before.graph.view()
        below = {child for key in hit & set(before.graph) for child in nx.descendants(shown, key)}
        killed = hit | below if asked.cascade else hit
        for at in (moment for moment in worlds.grid if moment >= asked.at):
            alive = {key for key in killed if verdict_of(after, key, at).state in ALIVE - {State.SUSPENDED}}
            assert set() == alive, (asked, mode, at)
        for key in set(before.graph) - killed:
            at = rng.choice(worlds.grid)
            assert verdict_of(before, key, at) == verdict_of(after, key, at), (asked, mode, at)


@settings(max_examples=60)
@given(SEEDS)
def test_the_digest_of_a_plan_is_the_same_for_any_permutation(seed: int):
    """
    In whatever order and however often the facts came, a plan has the same digest, by any clock of the log. Clause 9.7.
    """
    rng = random.Random(seed)
    records = worlds.world(rng)
    facts = compare.facts_of(records)
    again = [*facts, *(fact._replace(recorded_at=fact.recorded_at + 1) for fact in rng.choices(facts, k=5))]
    rng.shuffle(again)
    one, other = World(facts), World(again)

    for kind, id_ in worlds.questions(records):
        asked = proposal(rng, kind, id_)
        assert reach_of(one, asked).plan_digest == reach_of(other, asked).plan_digest
