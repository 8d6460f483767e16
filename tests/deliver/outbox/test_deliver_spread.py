"""The outbox writer publishes the states that the rule gives, whatever caused them."""

import json
import random
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.projector import read_record
from lineage.core.authority.rule import verdict_of
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.errors import FencedError
from lineage.core.model.events import Event, Fact, RevocationOrdered, Target, TokenIssued
from lineage.core.model.records import DecodedRecord, Position, Record, position_of
from lineage.core.model.times import NEVER, format_instant
from lineage.core.revocation.state_changes import (
    Change,
    ElementState,
    PublishedState,
    affected,
    affected_by,
    changes,
    outcomes,
)
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.serve.config.wiring import now
from lineage.store.delivery.outbox import Standing, rows
from lineage.store.delivery.outbox import write as write_rows
from lineage.store.store import Store
from tests.support import compare, model, worlds
from tests.support.crashes import here
from tests.support.kafka_worlds import opened
from tests.support.places import ROOT
from tests.support.store_histories import a_store, records_of, write
from tests.support.stores import KINDS, Fresh, fresh_places

SEEDS = st.integers(0, 2**32)
ENDED = {State.REVOKED, State.CASCADED, State.SUSPENDED}


def judged(world: World, key: str, at: int) -> ElementState:
    """Return the rule's verdict on an element, in its published form."""
    verdict = verdict_of(world, key, at)
    element = world.graph.element(key)
    expires_at = element.expires_at if element else None
    if verdict.state not in ENDED:
        return ElementState(State.ACTIVE, expires_at=expires_at)
    order = verdict.because.order
    return ElementState(verdict.state, order.body.revocation, order.effective_at, expires_at)


def every(world: World) -> set[str]:
    return set(world.graph) | {order.key for order in world.orders.all() if order.on_element}


def ends_at(world: World, key: str) -> int:
    element = world.graph.element(key)
    return NEVER if element is None else element.ends_at


@settings(max_examples=400)
@given(SEEDS)
def test_published_states_equal_those_of_the_rule(seed: int):
    """In any world that was recorded at once, for elements that have not expired: the same state by the same order."""
    rng = random.Random(seed)
    trust = worlds.trust(rng) if rng.random() < 0.2 else None
    facts = [fact._replace(recorded_at=worlds.grid[-1]) for fact in compare.facts_of(worlds.world(rng))]
    world = World(facts, trust=compare.table_of(trust))
    at = rng.choice(worlds.grid)
    keys = {key for key in every(world) if ends_at(world, key) > at}

    assert {key: judged(world, key, at) for key in keys} == outcomes(world, keys, at)


@settings(max_examples=400)
@given(SEEDS)
def test_published_states_equal_those_of_the_model(seed: int):
    """In any world: the same elements are ended, by the same orders, and with the end that counts for these."""
    rng = random.Random(seed)
    records = worlds.world(rng)
    world, at = World(compare.facts_of(records)), rng.choice(worlds.grid)
    view = model.view_of(model.visible(records, None, None))
    expected = {}
    for key in every(world):
        kind, _, id_ = key.partition(":")
        if orders := model.ending(view, (kind, id_), at):
            end = model.end_for(view, orders, (kind, id_))
            if (ended := model.ended_by(view, (kind, id_), at)) is not None:
                expected[key] = (ended[0], ended[1]["revocation"], ended[1]["effective_at"], end)
    found = {key: tuple(outcome) for key, outcome in outcomes(world, every(world), at).items() if outcome.ended}
    # Of a suspension of what has ended by itself its end says more.
    over = {key for key, outcome in found.items() if outcome[0] == State.SUSPENDED and (outcome[3] or NEVER) <= at}

    assert expected == {key: outcome for key, outcome in found.items() if key not in over}


@settings(max_examples=400)
@given(SEEDS)
def test_elements_not_affected_by_a_change_keep_their_state(seed: int):
    """Whatever facts are added, and however much time passes, only affected elements are published differently."""
    rng = random.Random(seed)
    facts = compare.facts_of(worlds.world(rng))
    rng.shuffle(facts)
    cut = rng.randrange(len(facts) + 1)
    before, after = sorted((rng.choice(worlds.grid), rng.choice(worlds.grid)))
    old, new = World(facts[:cut]), World(facts)
    keys = every(new)
    passed = {order.body.revocation for order in new.orders.all()}
    found = affected(new, facts[cut:], after) | (affected_by(new, passed, after) if before < after else set())

    versions = {change.key: change.version for change in changes(old, keys, before, {})}
    assert {change.key for change in changes(new, keys, after, versions)} <= found


@pytest.fixture(params=KINDS, scope="module")
def fresh(request: pytest.FixtureRequest) -> Iterator[Fresh]:
    """Return URLs for stores on either database."""
    yield from fresh_places(request)


class Delivering:
    """A store that receives a log, and processes that publish state changes; each may end at any time."""

    def __init__(self, store: Store, rng: random.Random) -> None:
        self.store = store
        self.rng = rng
        self.spreads = [OutboxWriter(store, None), OutboxWriter(store, None)]

    def round(self, at: int) -> None:
        """Let one process do a round; occasionally a new process replaces one that died."""
        place = self.rng.randrange(2)
        if self.rng.random() < 0.3:
            self.spreads[place] = OutboxWriter(self.store, None)
        self.spreads[place].round(lambda: at)


def published_states(store: Store) -> dict[str, PublishedState]:
    """Return the last published state of each element; check that versions increase by one, without repetitions."""
    found: dict[str, PublishedState] = {}
    for seq, (number, change, _) in enumerate(rows(store, after=0, limit=1_000_000), start=1):
        before = found.get(change.key, PublishedState(0, ElementState(State.ACTIVE)))
        assert number == seq
        assert change.version.number == before.number + 1
        assert change.version.outcome != before.outcome
        found[change.key] = change.version
    return found


def assert_told(store: Store, facts: list[Fact], at: int) -> None:
    """Check that the last published state of every unexpired element is the current one, and that there is no other."""
    world = World(facts)
    found = published_states(store)
    keys = {key for key in every(world) if ends_at(world, key) > at}
    expected = {key: outcome for key, outcome in outcomes(world, keys, at).items() if outcome.ended}

    assert expected == {key: found[key].outcome for key in keys & found.keys() if found[key].outcome.ended}
    assert found.keys() <= every(world)


@pytest.mark.slow
@settings(max_examples=50)
@given(seed=SEEDS)
def test_the_last_published_state_is_that_of_the_rule(fresh: Fresh, seed: int):
    """
    Facts in any order and in any batches, passing time, orders that take effect later, two concurrent processes that
    are restarted: the last published state of each element is its state.
    """
    rng = random.Random(seed)
    items = worlds.world(rng)
    records = records_of(items, rng)
    facts: list[Fact] = []
    at = worlds.grid[0]
    with a_store(fresh) as (store, _):
        delivering = Delivering(store, rng)
        while records:
            size = rng.randint(1, 8)
            batch, records = records[:size], records[size:]
            write(store, batch)
            facts += [result.fact for record in batch if isinstance(result := read_record(record, None), DecodedRecord)]
            at = rng.choice([at, *(moment for moment in worlds.grid if moment >= at)])
            delivering.round(at)
            assert_told(store, facts, at)
        for moment in [moment for moment in worlds.grid if moment > at]:
            delivering.round(moment)
            assert_told(store, facts, moment)


def test_a_writer_with_outdated_facts_writes_nothing(fresh: Fresh):
    """A process that has not read the rows of another, or that has fewer facts, is refused and leaves no trace."""
    standing = Standing(b"", {("orders", 0): 5})
    ended = Change("token:a", PublishedState(1, ElementState(State.REVOKED, "r1", 1, None)))
    with a_store(fresh) as (store, _):
        assert write_rows(store, [ended], after=0, at=10, standing=standing) == 1
        for after, at, known in [
            (0, 10, standing),
            (1, 9, standing),
            (1, 10, Standing(b"", {("orders", 0): 4})),
            (1, 10, Standing(b"other", {("orders", 0): 5})),
        ]:
            with pytest.raises(FencedError):
                write_rows(store, [ended], after=after, at=at, standing=known)

        assert [row.seq for row in rows(store, after=0, limit=10)] == [1]


def test_a_writer_corrects_rows_of_one_with_fewer_facts(fresh: Fresh):
    """
    A process that reads rows of another checks their elements again: if it has newer facts, it publishes the correct
    state.
    """
    rng = random.Random(1)
    with a_store(fresh) as (store, _):
        spread = OutboxWriter(store, None)
        spread.round(lambda: 10)
        wrong = Change("token:a", PublishedState(1, ElementState(State.REVOKED, "r1", 1, None)))
        write_rows(store, [wrong], after=0, at=10, standing=Standing(b"", {}))

        assert spread.round(lambda: 10) == 1
        assert published_states(store)["token:a"] == PublishedState(2, ElementState(State.ACTIVE))
        later = rng.choice(worlds.grid)
        assert OutboxWriter(store, None).round(lambda: later) == 0


def test_a_rebuild_makes_no_difference(tmp_path: Path):
    """
    After a rebuild there is nothing new to publish, and later changes are published as before.
    """
    url = f"sqlite:///{tmp_path}/store.db"
    here(url, "ingest", str(ROOT / "examples" / "incident.jsonl"))
    here(url, "revoke", "principal:agent:mailer", "--by", "human:bo", "--reason", "test", "--execute")
    with opened(url) as store:
        spread = OutboxWriter(store, None)
        at = now()
        assert spread.round(lambda: at) == len(published_states(store)) > 1
        here(url, "rebuild")
        assert spread.round(lambda: at) == 0
        here(url, "revoke", "token:unheard-of", "--by", "human:bo", "--reason", "test", "--execute", "--unseen")
        assert spread.round(now) == 1
        assert published_states(store)["token:unheard-of"].outcome.state is State.REVOKED


NOON = worlds.grid[3]


def a_token(*, at: int = NOON, recorded_at: int = NOON, **fields: Any) -> Fact:
    body = TokenIssued("idp#t", "human:a", **fields)
    return Fact(Event(f"t-{fields}", "urn:s", at, body), recorded_at)


def an_order(id_: str, effective_at: int, recorded_at: int) -> Fact:
    body = RevocationOrdered(id_, Target("principal", "human:a"), "test", "human:ir", effective_at=effective_at)
    return Fact(Event(id_, "urn:s", recorded_at, body), recorded_at)


def take(store: Store, events: list[dict[str, Any]], recorded_at: int) -> None:
    """Add events to a store, as if projected."""
    records = []
    for event in events:
        topic = "orders" if event["type"].startswith("revocation.") else "decisions"
        offset = store.positions().get((topic, 0), 0) + sum(position_of(one.number).topic == topic for one in records)
        value = codec.encode(codec.decode_line(json.dumps(event).encode()))
        records.append(Record(Position(topic, 0, offset).number, recorded_at, value))
    write(store, records)


def test_an_end_stated_afterwards_makes_nothing_active():
    """
    Nor does the order that takes effect first, if it was recorded only when the end was known.
    """
    issue, late = a_token(), a_token(recorded_at=NOON + 20, expires_at=NOON + 1)
    first = an_order("r1", NOON + 5, NOON + 10)
    backdated = an_order("r2", NOON + 2, NOON + 30)
    published_states = ElementState(State.CASCADED, "r1", NOON + 5, None)

    for facts in ([issue, first], [issue, first, late], [issue, first, late, backdated]):
        assert {"token:idp#t": published_states} == outcomes(World(facts), ["token:idp#t"], NOON + 40)
    assert State.ACTIVE is outcomes(World([issue, late, backdated]), ["token:idp#t"], NOON + 40)["token:idp#t"].state


@pytest.mark.parametrize("restarted", [False, True])
def test_an_element_that_more_receivers_cover_is_published_again(fresh: Fresh, restarted: bool):
    """
    If a further audience is stated after an end was published, the end is published once more. A first audience makes
    no difference, since every receiver was notified.
    """
    moment = now()
    stated = {"type": "token.issued", "source": "urn:s", "occurred_at": format_instant(moment), "subject": "human:a"}
    told_of = [{**stated, "event_id": f"a{n}", "token": f"t{n}", "audience": ["a"] * n} for n in (0, 1)]
    wider = [{**stated, "event_id": f"b{n}", "token": f"t{n}", "audience": ["b"]} for n in (0, 1)]
    fields = {"type": "revocation.ordered", "source": "urn:s", "occurred_at": format_instant(moment), "reason": "test"}
    fields = {**fields, "ordered_by": "human:ir"}
    ends = [
        {**fields, "event_id": f"o{n}", "revocation": f"r{n}", "target": {"kind": "token", "id": f"t{n}"}}
        for n in (0, 1)
    ]
    with a_store(fresh) as (store, _):
        spread = OutboxWriter(store, None)
        take(store, [*told_of, *ends], moment)
        assert 2 == spread.round(lambda: moment)
        take(store, wider, moment + 1)
        spread = OutboxWriter(store, None) if restarted else spread
        assert (1, 0) == (spread.round(lambda: moment + 1), spread.round(lambda: moment + 2))
        rows_told = [(row.change.key, row.change.version.number) for row in rows(store, after=0, limit=10)]

        assert [("token:t0", 1), ("token:t1", 1), ("token:t1", 2)] == rows_told
        assert State.REVOKED is rows(store, after=2, limit=1)[0].change.version.outcome.state


@pytest.mark.parametrize("process", ["the same", "another", "a new one"])
@pytest.mark.parametrize("is_late", [False, True])
def test_what_is_alive_is_published_also_after_a_clock_was_ahead(fresh: Fresh, process: str, is_late: bool):
    """
    With a clock that is hours ahead a revoked token seems to have expired. Once a clock is right its end is published,
    whether it was revoked before or after that.
    """
    moment, ahead = now(), now() + 7_200_000_000
    fields = {"source": "urn:s", "occurred_at": format_instant(moment)}
    tokens = [
        {**fields, "type": "token.issued", "event_id": f"t{n}", "token": f"t{n}", "subject": "human:a", **more}
        for n, more in enumerate([{}, {"expires_at": format_instant(moment + 3_600_000_000)}])
    ]
    orders = [
        {
            **fields,
            "type": "revocation.ordered",
            "event_id": f"o{n}",
            "revocation": f"r{n}",
            "target": {"kind": "token", "id": f"t{n}"},
            "reason": "test",
            "ordered_by": "human:ir",
        }
        for n in (0, 1)
    ]
    with a_store(fresh) as (store, _):
        writers = {"the same": OutboxWriter(store, None), "another": OutboxWriter(store, None)}
        take(store, tokens, moment)
        writers["another"].round(lambda: moment)
        take(store, orders[: 1 if is_late else 2], moment)
        assert 1 == writers["the same"].round(lambda: ahead)
        if is_late:
            take(store, orders[1:], moment)
        writers.get(process, OutboxWriter(store, None)).round(lambda: moment + 1)

        assert {"token:t0", "token:t1"} == published_states(store).keys()
        assert State.REVOKED is published_states(store)["token:t1"].outcome.state


@pytest.mark.parametrize("process", ["the same", "another", "a new one"])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_lift_that_was_published_too_early_is_undone(
    fresh: Fresh, process: str, is_known: bool, monkeypatch: pytest.MonkeyPatch
):
    """
    A clock that is hours ahead publishes a lift before its time. Once a clock is right the end is published again, and
    the lift when its time has come. An order that was published too early is not undone.
    """
    moment, hour = now(), 3_600_000_000
    fields = {"source": "urn:s", "occurred_at": format_instant(moment)}
    later = format_instant(moment + hour)
    tokens = [
        {**fields, "type": "token.issued", "event_id": id_, "token": id_, "subject": "human:a"} for id_ in ("t0", "t1")
    ]
    order = {**fields, "type": "revocation.ordered", "reason": "test", "ordered_by": "human:ir", "mode": "suspend"}
    orders = [
        {**order, "event_id": "o0", "revocation": "r0", "target": {"kind": "token", "id": "t0"}},
        {
            **order,
            "event_id": "o1",
            "revocation": "r1",
            "target": {"kind": "token", "id": "t1"},
            "effective_at": later,
        },
    ]
    lift = {
        **fields,
        "type": "revocation.lifted",
        "event_id": "l",
        "revocation": "r0",
        "lifted_by": "human:ir",
        "effective_at": later,
    }
    with a_store(fresh) as (store, _):
        writers = {"the same": OutboxWriter(store, None), "another": OutboxWriter(store, None)}

        def ended() -> set[str]:
            return {key for key, state in published_states(store).items() if state.outcome.ended}

        take(store, [*tokens, *orders, *([lift] if is_known else [])], moment)
        for writer in writers.values():
            writer.round(lambda: moment)
        assert {"token:t0"} == ended()
        if not is_known:
            take(store, [lift], moment)
        writers["the same"].round(lambda: moment + 2 * hour)
        assert {"token:t1"} == ended()
        right = writers.get(process) or OutboxWriter(store, None)
        right.round(lambda: moment + 1)
        assert {"token:t0", "token:t1"} == ended()
        with monkeypatch.context() as patch:
            patch.setattr("lineage.deliver.outbox.outbox_writer.load_affected", None)  # nothing is examined again
            assert [0, 0] == [right.round(repeat(moment + seconds).__next__) for seconds in (2, 3)]
        right.round(lambda: moment + hour)

        assert {"token:t1"} == ended()


def test_a_long_round_beside_another_process_undoes_no_lift(fresh: Fresh, monkeypatch: pytest.MonkeyPatch):
    """
    A process that takes minutes to start does not take the lift that another has published meanwhile for too early.
    """
    monkeypatch.setattr("lineage.deliver.outbox.outbox_writer._ORDERS", 1)
    clock, second = [now()], 1_000_000
    fields = {"source": "urn:s", "occurred_at": format_instant(clock[0])}
    tokens = [
        {**fields, "type": "token.issued", "event_id": f"t{each}", "token": f"t{each}", "subject": "human:a"}
        for each in range(10)
    ]
    order = {**fields, "type": "revocation.ordered", "reason": "test", "ordered_by": "human:ir", "mode": "suspend"}
    orders = [
        {**order, "event_id": f"o{each}", "revocation": f"r{each}", "target": {"kind": "token", "id": f"t{each}"}}
        for each in range(10)
    ]
    with a_store(fresh) as (store, _):
        take(store, [*tokens, *orders], clock[0])
        running, parts = OutboxWriter(store, None), []
        running.round(lambda: clock[0])

        def examined(left: int) -> None:
            clock[0] += 10 * second
            parts.append(left)
            if len(parts) == 2:
                lift = {"type": "revocation.lifted", "event_id": "l", "revocation": "r0", "lifted_by": "human:ir"}
                take(store, [{**fields, **lift, "occurred_at": format_instant(clock[0])}], clock[0])
            running.round(lambda: clock[0])

        OutboxWriter(store, None).round(lambda: clock[0], examined)
        found = [row.change.version for row in rows(store, after=0, limit=1_000) if row.change.key == "token:t0"]

    assert len(parts) > 2
    assert [(1, State.SUSPENDED), (2, State.ACTIVE)] == [(each.number, each.outcome.state) for each in found]
