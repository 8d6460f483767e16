"""The store compared with the core: for any facts, in any order and batches, its answers are those of the core.

Nothing is patched and nothing is in memory: a SQLite file and a PostgreSQL database, written and read as in production.
"""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ingest.codec import api as codec
from ingest.trust_file import Trust
from lineage.core.authority.world import World
from lineage.core.model.errors import FencedError
from lineage.core.model.events import Fact, Target
from lineage.core.model.keys import ELEMENT_KINDS, key_of
from lineage.core.model.records import DECISIONS, Record, position_of
from lineage.core.revocation.reach import Proposal
from lineage.serve.queries.activity.uses import uses
from lineage.serve.queries.findings.findings import findings as findings_of
from lineage.serve.queries.history.diff import diff as diff_of
from lineage.serve.queries.history.timeline import timeline
from lineage.serve.queries.records import quarantine_and_conflicts
from lineage.serve.queries.service import Service
from lineage.store.reading.acted import count_acted
from lineage.store.reading.descendants import load_below
from lineage.store.store import Store, open_store
from tests.support import compare, stores, worlds
from tests.support.store_histories import SEEDS, a_store, in_batches, records_of, write


def loaded(store: Store, kind: str, id_: str, at: int | None, **how: Any) -> World:
    with store.reader(trust=how.get("trust"), known_at=how.get("known_at")) as reader:
        world = reader.world()
        if at is not None:
            load_below(reader, world, key_of(kind, id_), at)
        elif kind in ELEMENT_KINDS:
            reader.load_elements(world, [key_of(kind, id_)])
        else:
            reader.load_name(world, key_of(kind, id_))
    return world


def acted(store: Store, kind: str, id_: str, **how: Any) -> int:
    """Count the actions of a principal by the index of the store."""
    with store.reader(trust=how.get("trust"), known_at=how.get("known_at")) as reader:
        return count_acted(reader, key_of(kind, id_))


@pytest.mark.slow
@settings(max_examples=25)
@given(seed=SEEDS)
def test_answers_through_sql_are_those_of_the_core_on_the_whole_graph(fresh: stores.Fresh, seed: int):
    """A query loads only what it needs, and misses nothing that it needs: no killing order and no child."""
    rng = random.Random(seed)
    items = worlds.world(rng)
    known_at = rng.choice([None, None, rng.choice(worlds.grid)])
    trust = compare.table_of(worlds.trust(rng)) if rng.random() < 0.2 else None
    whole = World(compare.facts_of(items), trust=trust, known_at=known_at)
    how = {"trust": trust, "known_at": known_at}

    with a_store(fresh) as (empty, url):
        store = in_batches(empty, url, records_of(items, rng), rng)
        for kind, id_ in worlds.questions(items):
            at = rng.choice(worlds.grid)
            part = loaded(store, kind, id_, None, **how)
            assert compare.status(whole, kind, id_, at) == compare.status(part, kind, id_, at), (kind, id_, at)
            if kind in ELEMENT_KINDS:
                assert compare.chain(whole, kind, id_, at) == compare.chain(part, kind, id_, at), (kind, id_, at)
            order = {"mode": rng.choice(["revoke", "suspend"]), "cascade": rng.random() < 0.8}
            order["issued_before"] = rng.choice([None, rng.choice(worlds.grid)])
            below = loaded(store, kind, id_, at, **how)
            expected = compare.reach(whole, kind, id_, at, **order)
            order["acted"] = acted(store, kind, id_, **how)
            assert expected == compare.reach(below, kind, id_, at, **order), (kind, id_, at, order)
        for action in worlds.actions(items):
            at = rng.choice(worlds.grid)
            with store.reader(**how) as reader:
                part = reader.world()
                reader.load_actions(part, [action])
            assert compare.who(whole, action, at) == compare.who(part, action, at), (action, at)
        store.close()


def documents(store: Store, items: list[dict[str, Any]], asked: list[tuple[str, str]], at: int) -> list[str]:
    """Return every document of some queries and of every action, as the command line prints it."""
    service = Service(store, None, Trust(), lambda: at, source="urn:test")
    lines: list[Any] = []
    for kind, id_ in asked:
        lines.append(service.status(kind, id_, at=at))
        lines.append(service.reach(Proposal(target=Target(kind, id_), at=at), stale=True))
        lines.append(timeline(service, kind, id_))
        lines.append(diff_of(service, kind, id_, start=worlds.grid[1], end=at))
        if kind in ELEMENT_KINDS:
            lines.append(service.chain(kind, id_, at=at))
            lines.append(uses(service, kind, id_))
    lines += [service.who(action, at=at) for action in worlds.actions(items)]
    lines += [quarantine_and_conflicts.conflicts(service), findings_of(service, at=at)]
    return [json.dumps(document) for document in lines]


@pytest.mark.slow
@settings(max_examples=12)
@given(seed=SEEDS)
def test_any_order_and_any_batches_give_byte_identical_documents(fresh: stores.Fresh, seed: int):
    """Two stores that received the same facts differently answer the same, byte for byte, findings included."""
    rng = random.Random(seed)
    items = worlds.world(rng)
    at = rng.choice(worlds.grid)

    with a_store(fresh) as (empty, url), a_store(fresh) as (other_empty, other_url):
        one = in_batches(empty, url, records_of(items, rng), rng)
        other = in_batches(other_empty, other_url, records_of(items, rng), rng)
        asked = worlds.questions(items)
        if (
            one.engine.dialect.name == "postgresql"
        ):  # a thousand round trips for each store, while a file answers at once
            asked = rng.sample(asked, min(len(asked), 7))
        assert documents(one, items, asked, at) == documents(other, items, asked, at)
        assert sum(one.outcomes()) == sum(other.outcomes()) == len(items)
        one.close()
        other.close()


class AStore(RuleBasedStateMachine):
    """A store that is written, closed, reopened and queried, compared with the facts that it was given."""

    def __init__(self, fresh: stores.Fresh) -> None:
        super().__init__()
        self.place = fresh()

    @initialize(seed=SEEDS)
    def opened(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.url = self.place.__enter__()
        self.store = open_store(self.url, codec.read, create=True)
        self.items = worlds.world(self.rng)
        self.records = records_of(self.items, self.rng)
        self.written: list[Record] = []

    @rule(size=st.integers(1, 6))
    def a_batch_is_written(self, size: int) -> None:
        batch, self.records = self.records[:size], self.records[size:]
        if batch:
            write(self.store, batch)
            self.written += batch

    @rule()
    def a_zombie_writes_its_old_batch(self) -> None:
        if self.written:
            try:
                write(self.store, self.written[:1])
            except FencedError:
                return
            raise AssertionError("a batch was written at a position that had moved")

    @rule()
    def it_is_opened_again(self) -> None:
        self.store.close()
        self.store = open_store(self.url, codec.read)

    @rule(at=st.sampled_from(worlds.grid))
    def a_question_is_answered(self, at: int) -> None:
        facts = []
        for record in self.written:
            event = codec.read(record.value)
            misrouted = event.is_order and position_of(record.number).topic == DECISIONS
            facts.append(Fact(event, record.recorded_at, misrouted))
        whole = World(facts)
        kind, id_ = self.rng.choice(worlds.questions(self.items))
        assert compare.status(whole, kind, id_, at) == compare.status(
            loaded(self.store, kind, id_, None), kind, id_, at
        )
        below, count = loaded(self.store, kind, id_, at), acted(self.store, kind, id_)
        assert compare.reach(whole, kind, id_, at) == compare.reach(below, kind, id_, at, acted=count)

    @invariant()
    def every_record_is_accounted_for(self) -> None:
        if hasattr(self, "store"):
            assert len(self.written) == sum(self.store.outcomes())

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.place.__exit__(None, None, None)


@pytest.mark.slow
def test_a_reopened_store_answers_like_the_core(fresh: stores.Fresh):
    """Whatever is written, whenever it is reopened, and whatever a zombie attempts."""
    run_state_machine_as_test(lambda: AStore(fresh), settings=settings(max_examples=15, stateful_step_count=15))
