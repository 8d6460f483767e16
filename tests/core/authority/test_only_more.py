"""Adding facts, which is all that a producer can do, makes nothing dead look alive and silences nobody.

Worlds of everything are followed by the worst that producers can send: facts of every type that they may send, about
the same ids, with any date, recorded after everything else. What the orders require must not shrink.
"""

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lineage.core.authority.receivers import Receivers
from lineage.core.authority.world import World
from lineage.core.model.events import Fact
from lineage.core.revocation.closure import Closure, ClosureVerdict, closure_of
from lineage.core.revocation.receipt import receipt_of
from lineage.core.revocation.state_changes import Change, PublishedState, outcomes
from lineage.core.revocation.status_lists import StatusType, statuses_of
from lineage.deliver.ssf.stream_coverage import StreamCoverage
from tests.support import compare, worlds
from tests.support.enforcement import RECEIVERS, enforcement
from tests.support.status_list_uris import URI

SEEDS = st.integers(0, 2**32)
SENT = ("token.issued", "delegation.granted", "principal.registered", "workload.bound", "decision.made")
SENT += ("action.performed",)
LATER = worlds.grid[-1] + 1
DATES = ("1970-01-01T00:00:00Z", "2026-11-01T08:00:00Z", "9999-12-31T23:59:59Z")


def listed(rng: random.Random, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put some tokens of the records into status lists."""
    for record in records:
        if record["event"]["type"] == "token.issued" and rng.random() < 0.5:
            record["event"]["status_list"] = {"uri": URI, "idx": rng.randint(0, 5)}
    return records


def a_world(rng: random.Random) -> list[Fact]:
    """Generate facts of every kind, with receivers, acknowledgements, and late uses."""
    records = worlds.world(rng)
    return compare.facts_of(listed(rng, records + enforcement(rng, records)))


def sent_by_producers(rng: random.Random) -> list[Fact]:
    """Generate later facts, of types that a producer may send, with any date."""
    records = worlds.world(rng)
    records = [each for each in records + enforcement(rng, records) if each["event"]["type"] in SENT]
    for number, record in enumerate(listed(rng, records)):
        record["event"]["event_id"] = f"later-{number}"
        if rng.random() < 0.4:
            record["event"]["occurred_at"] = rng.choice(DATES)
        if "expires_at" in record["event"] and rng.random() < 0.3:
            record["event"]["expires_at"] = DATES[0]
        record["recorded_at"] = LATER
    return compare.facts_of(records)


@pytest.mark.slow
@settings(max_examples=500)
@given(SEEDS)
def test_no_verdict_is_closed_by_facts_of_producers(seed: int):
    """
    A verdict that was not CLOSED stays so; coverage does not shrink, and open items stay open.
    """
    rng = random.Random(seed)
    before, at = a_world(rng), rng.choice([*worlds.grid[4:], LATER])
    after = [*before, *sent_by_producers(rng)]
    rng.shuffle(after)
    old, new = World(before), World(after)
    for revocation in old.orders.by_id:
        keys = [line.key for line in receipt_of(old, revocation, at)]
        delivered = {(one, key): rng.choice(worlds.grid) for one in RECEIVERS for key in keys if rng.random() < 0.5}
        was, found = (closure_of(world, revocation, at, delivered) for world in (old, new))

        assert was.verdict is ClosureVerdict.CLOSED or found.verdict is not ClosureVerdict.CLOSED
        assert opened(was) <= opened(found)
        assert all(one.covers <= covered(found).get(one.receiver, 0) for one in was.receivers)
        assert set(keys) <= {line.key for line in receipt_of(new, revocation, at)}


def opened(found: Closure) -> set[tuple[str, str | None]]:
    return {(one.key, one.receiver) for one in found.open}


def covered(found: Closure) -> dict[str, int]:
    return {one.receiver: one.covers for one in found.receivers}


@pytest.mark.slow
@settings(max_examples=500)
@given(SEEDS)
def test_no_status_list_entry_improves_by_facts_of_producers(seed: int):
    """
    Every entry has the worst of its earlier and its current status. Clause 3.2.
    """
    rng = random.Random(seed)
    before, at = a_world(rng), rng.choice([*worlds.grid[2:], LATER])
    was, found = (statuses_of(World(facts), URI, at) for facts in (before, [*before, *sent_by_producers(rng)]))
    if was is not None:
        assert found is not None
        assert was.size <= found.size
        assert all(
            status.rank <= found.statuses.get(place, StatusType.VALID).rank for place, status in was.statuses.items()
        )


@pytest.mark.slow
@settings(max_examples=500)
@given(SEEDS)
@example(6184)  # an order reuses the id of another, for another target
def test_no_delivery_is_removed_by_facts_of_producers(seed: int):
    """
    An element that orders had ended is published as ended, for no shorter time, and to every receiver as before.
    """
    rng = random.Random(seed)
    before, at = a_world(rng), rng.choice([*worlds.grid[4:], LATER])
    old, new = World(before), World([*before, *sent_by_producers(rng)])
    keys = set(old.graph) | {order.key for order in old.orders.all() if order.on_element}
    was, found = outcomes(old, keys, at), outcomes(new, keys, at)
    for key in keys:
        if was[key].ended and was[key].is_relevant(at):
            assert found[key].ended
            assert found[key].is_relevant(at)
            for receiver in RECEIVERS:
                delivered = [is_told(world, receiver, key, at) for world in (old, new)]
                assert delivered[0] <= delivered[1]


def is_told(world: World, receiver: str, key: str, at: int) -> bool:
    """Whether a receiver's stream reports the state of an element."""
    registered = Receivers()
    for fact in world.receivers.registrations.get(receiver):
        registered.add(fact)
    outcome = outcomes(world, [key], at)[key]
    because = [
        order
        for fact in world.orders.by_id.get(str(outcome.revocation))
        if (order := world.orders.resolve(fact)).effective_at == outcome.effective_at
    ]
    return StreamCoverage(registered).holds(world, Change(key, PublishedState(1, outcome)), because, at)
