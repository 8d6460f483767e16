"""When an order is given: the earlier of its producer's clock and the log's, for every reader of an order."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.opening import open_log
from ingest.trust_file import Trust
from lineage.core.authority.rule import verdict_of
from lineage.core.authority.world import World
from lineage.core.model.events import Fact, Target
from lineage.core.revocation.closure import closure_of
from lineage.core.revocation.receipt import receipt_of
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.serve.cache.question_cache import QuestionCache
from lineage.serve.commands.lift import lift_order
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.processes.live_graph import LiveGraph
from lineage.serve.queries.revocations import receipt, revocations
from lineage.serve.queries.service import Service
from lineage.store.authority_replica import AuthorityReplica
from lineage.store.delivery.outbox import rows
from lineage.store.store import Store, open_store
from tests.support import compare, stores, worlds
from tests.support.desk import Desk, day, ordered, token
from tests.support.kept_questions import in_order
from tests.support.store_histories import a_store, write

SEEDS = st.integers(0, 2**32)
SKEW = 30_000_000
GIVEN = {"revocation.ordered", "revocation.lifted", "revocation.acknowledged"}


def ahead(fact: Fact, skew: int) -> Fact:
    """Return the same events from a producer whose clock is ahead of the log's by some time."""
    if fact.event.type not in GIVEN:
        return fact
    return fact._replace(event=fact.event._replace(occurred_at=fact.recorded_at + skew))


@settings(max_examples=200)
@given(SEEDS)
def test_a_clock_that_is_ahead_delays_nothing(seed: int):
    """
    However far ahead the clocks of those who order, lift and acknowledge are, states, receipts and verdicts are those
    of clocks that agree with the log's. Clause 5.1.
    """
    rng = random.Random(seed)
    facts = compare.facts_of(worlds.world(rng))
    skews = [0, 1, SKEW, worlds.grid[-1]]
    agreeing = World([ahead(fact, 0) for fact in facts])
    skewed = World([ahead(fact, rng.choice(skews)) for fact in facts])

    for key in agreeing.graph:
        at = rng.choice(worlds.grid)
        one, other = verdict_of(agreeing, key, at), verdict_of(skewed, key, at)
        assert one.state is other.state, (key, at)
    for revocation in agreeing.orders.by_id:
        at = rng.choice(worlds.grid)
        lines = [receipt_of(world, revocation, at) for world in (agreeing, skewed)]
        assert [(line.key, line.state, line.born_dead) for line in lines[0]] == [
            (line.key, line.state, line.born_dead) for line in lines[1]
        ]
        one, other = (closure_of(world, revocation, at, {}) for world in (agreeing, skewed))
        assert (one.verdict, one.ordered_at, one.in_force_at) == (other.verdict, other.ordered_at, other.in_force_at)


# Every follower of the store learns of a duplicate that the log recorded first.

BEFORE, BETWEEN, AFTER = (worlds.moment_of(day(at)) for at in ("10:00", "10:15", "10:30"))


def order_twice() -> list[dict[str, Any]]:
    """Build a token, an order whose clock is ahead, and the same order again, recorded earlier."""
    order = ordered("rev", "token", "t1", "12:00")
    stated = [(token("t1"), "decisions", BEFORE), (order, "orders", AFTER), (order, "orders", BEFORE)]
    return [{"event": event, "via": via, "recorded_at": moment} for event, via, moment in stated]


def by_replica(store: Store) -> Callable[[], str]:
    current = AuthorityReplica(store, None)

    def state() -> str:
        with current.world() as world:
            return str(verdict_of(world, "token:t1", BETWEEN).state)

    return state


def by_live_graph(store: Store) -> Callable[[], str]:
    live = LiveGraph(store, None, lambda: BETWEEN)

    def state() -> str:
        live.follow()
        return str((live.status("token", "t1", at=BETWEEN) or {})["state"])

    return state


def by_outbox(store: Store) -> Callable[[], str]:
    spread = OutboxWriter(store, None)

    def state() -> str:
        spread.round(lambda: BETWEEN)
        published = rows(store, after=0, limit=10)
        return str(published[-1][1].version.outcome.state) if published else "active"

    return state


def by_question(store: Store, worlds: QuestionCache | None = None) -> Callable[[], str]:
    service = Service(store, None, Trust(), lambda: BETWEEN, source="urn:test", worlds=worlds)
    return lambda: str((service.status("token", "t1", at=BETWEEN) or {})["state"])


def by_cache(store: Store) -> Callable[[], str]:
    return by_question(store, QuestionCache(store, None, None, log_inside=True))


def by_receipt(store: Store) -> Callable[[], str]:
    service = Service(store, None, Trust(), lambda: BETWEEN, source="urn:test")
    service.ends = QuestionCache(store, None, None, log_inside=True).ends

    def state() -> str:
        lines = receipt.receipt_page(service, "rev", 0, 10, at=BETWEEN) or []
        return lines[0]["state"] if lines else "active"

    return state


@pytest.mark.slow
@pytest.mark.parametrize("follower", [by_replica, by_live_graph, by_outbox, by_question, by_cache, by_receipt])
def test_every_follower_of_the_store_learns_of_an_earlier_duplicate(
    fresh: stores.Fresh,
    follower: Callable[[Store], Callable[[], str]],
):
    """
    With partitions the log may have recorded a duplicate of an order first: the order takes effect from then on.
    """
    records = in_order(order_twice())
    with a_store(fresh) as (store, _):
        write(store, records[:2])
        state = follower(store)
        before = state()
        write(store, records[2:])

        assert ("active", "revoked") == (before, state())


# Two processes whose clocks differ


@pytest.fixture
def desk(tmp_path) -> Desk:
    found = Desk(tmp_path)
    found.take(token("t1"), token("t2"))
    return found


def test_an_order_of_a_process_whose_clock_is_ahead_is_in_force_at_once(desk: Desk):
    """
    By the log's clock its target is revoked immediately, also in the answer to the order; the same applies to a lift.
    Clause 5.1.
    """
    moment = [worlds.moment_of("2024-05-02T10:00:00+00:00")]
    store = open_store(desk.url, codec.read)
    log = open_log(desk.url, create=False, clock=lambda: moment[0])
    fast = Service(store, log, Trust(), lambda: moment[0] + SKEW, source="urn:fast")
    slow = Service(store, log, Trust(), lambda: moment[0], source="urn:slow")
    request = OrderRequest(target=Target("token", "t1"), mode="suspend", reason="test", ordered_by="human:ir")
    recorded_at = store.progress()[1]
    assert recorded_at is not None
    moment[0] = recorded_at + 1

    given = give_order(fast, request)
    answered = slow.status("token", "t1", at=moment[0])
    listed = revocations.revocations(slow, at=moment[0])["items"][0]
    moment[0] += 1
    lifted = lift_order(fast, given["revocation"], lifted_by="human:ir")
    back = slow.status("token", "t1", at=moment[0])
    again = give_order(fast, replace(request, revocation="rev-1", target=Target("token", "t2")))
    repeated = give_order(fast, replace(request, revocation="rev-1", target=Target("token", "t2")))
    log.close()
    store.close()

    assert "suspended" == answered["state"]
    assert {given["effective_at"]} == {listed[name] for name in ("ordered_at", "effective_at", "in_force_at")}
    assert lifted["lifted_at"] > given["effective_at"]
    assert "active" == back["state"]
    assert again["effective_at"] == repeated["effective_at"]
    assert [] == repeated["warnings"]
