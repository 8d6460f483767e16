"""The live graph answers like the store, whichever way its facts arrived."""

import gc
import json
import random
import threading
import weakref
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose.native.processes import free_port
from ingest.codec import api as codec
from ingest.projector import read_records
from ingest.trust_file import Trust
from lineage.core.model.errors import UnavailableError
from lineage.core.model.keys import ELEMENT_KINDS
from lineage.core.model.records import DECISIONS, ORDERS, Batch, Position, Record
from lineage.core.model.trust import TrustTable
from lineage.serve.config.limits import ConnectionLimits
from lineage.serve.processes import background_threads, live_graph
from lineage.serve.processes.consumer_process import _ConsumerObserver
from lineage.serve.processes.live_graph import LiveGraph, digest_of_store
from lineage.serve.queries.service import Service
from lineage.store import store as of_stores
from lineage.store.authority_replica import AuthorityReplica
from lineage.store.store import Store, open_store
from tests.support import worlds
from tests.support.compare import table_of
from tests.support.kafka_worlds import wait_until

NOW = worlds.grid[-1]


def store_in(folder: Path) -> Store:
    return open_store(f"sqlite:///{folder}/{uuid4().hex}.db", codec.read, create=True)


def batches_of(world: list[worlds.Record], rng: random.Random, trust: Any) -> list[Batch]:
    """Return the records of a world on any partitions of their topics, as consumers would write them, in any order."""
    parts: dict[tuple[str, int], list[Record]] = {}
    for record in world:
        value = codec.encode(codec.decode_line(json.dumps(record["event"]).encode()))
        place = (ORDERS if record["via"] == "orders" else DECISIONS, rng.randrange(2))
        found = parts.setdefault(place, [])
        found.append(Record(Position(*place, len(found)).number, record["recorded_at"], value))
    made = []
    following = dict.fromkeys(parts, 0)
    while places := [place for place, records in parts.items() if following[place] < len(records)]:
        batch = Batch()
        for place in rng.sample(places, rng.randint(1, len(places))):
            first, last = following[place], min(following[place] + rng.randint(1, 6), len(parts[place]))
            read_records(parts[place][first:last], trust, batch)
            batch.advance[place] = (first, last)
            following[place] = last
        made.append(batch)
    return made


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_the_live_graph_equals_the_store(tmp_path_factory: Any, seed: int):
    """
    Batches of this consumer are applied and those of others followed, at any moment: digest and positions are those of
    the store, and every status and chain equals the one from SQL.
    """
    rng = random.Random(seed)
    world = worlds.world(rng)
    trust = table_of(worlds.trust(rng)) if rng.random() < 0.3 else None
    store = store_in(tmp_path_factory.getbasetemp())
    live = LiveGraph(store, trust, lambda: NOW)
    for batch in batches_of(world, rng, trust):
        store.write(batch)
        if rng.random() < 0.6:
            live.projected(batch)
        if rng.random() < 0.3:
            live.follow()
            assert digest_of_store(store, trust) == live.digest()["digest"]
    live.follow()
    service = Service(store, None, Trust(table=trust), lambda: NOW, source="urn:test")

    assert digest_of_store(store, trust) == live.digest()["digest"]
    assert {f"{topic}/{n}": end for (topic, n), end in store.positions().items()} == live.digest()["positions"]
    for kind, id_ in worlds.questions(world):
        at = rng.choice(worlds.grid)
        assert_same(service.status(kind, id_, at=at), live.status(kind, id_, at=at))
        if kind in ELEMENT_KINDS:
            assert_same(service.chain(kind, id_, at=at), live.chain(kind, id_, at=at))
    store.close()


def assert_same(stored: dict[str, Any] | None, found: dict[str, Any] | None) -> None:
    """Check that answers are equal, except for what the live graph does not contain: parties that are only mentioned by
    an action, a decision or an order, and actions, on which findings depend.
    """
    if found is not None and stored is not None:
        assert {name: value for name, value in stored.items() if not name.startswith("findings")} == {
            name: value for name, value in found.items() if name != "findings"
        }
    elif stored is not None:
        assert stored["state"] in ("unknown", "active")
        assert stored["because"] is None
        assert not stored.get("chain")


def test_a_graph_that_is_loaded_in_pages_is_complete(tmp_path: Path, monkeypatch: Any):
    """
    However many facts there are, `load` reads each of them once.
    """
    monkeypatch.setattr(of_stores, "_READ", 3)
    rng = random.Random(5)
    store = store_in(tmp_path)
    for batch in batches_of(worlds.world(rng), rng, None):
        store.write(batch)
    live = LiveGraph(store, None, lambda: NOW)
    live.follow()
    digest = live.digest()
    live.follow()

    assert digest_of_store(store, None) == digest["digest"]
    assert digest == live.digest()
    store.close()


class Turning:
    """A trust table that can be replaced by another."""

    table: TrustTable | None = None


def test_reloading_frees_the_old_graph(tmp_path: Path):
    """
    What was excluded from garbage collection is freed when another graph replaces it, including cycles.
    """
    store = store_in(tmp_path)
    for batch in batches_of(worlds.world(random.Random(2)), random.Random(2), None):
        store.write(batch)
    trust = Turning()
    replica = AuthorityReplica(store, trust)
    with replica.world() as world:
        before = weakref.ref(world.graph)
        assert len(world.graph)
        vars(world.graph)["itself"] = world.graph  # a cycle, which the collector alone frees
    del world
    trust.table = TrustTable({})
    replica.follow()

    assert before() is None
    store.close()
    gc.unfreeze()


def test_a_live_graph_answers_nothing_before_it_is_loaded(tmp_path: Path):
    """
    A batch of its own consumer may grant what an order of another partition has killed, so half a graph must not
    answer.
    """
    store = store_in(tmp_path)
    live = LiveGraph(store, None, lambda: NOW)
    world = worlds.world(random.Random(1))
    for batch in batches_of(world, random.Random(1), None):
        store.write(batch)
        live.projected(batch)

    assert_no_answer(live, "being loaded")
    live.follow()

    assert digest_of_store(store, None) == live.digest()["digest"]
    store.close()


def assert_no_answer(live: LiveGraph, why: str) -> None:
    for question in (
        lambda: live.status("token", "t1", at=NOW),
        lambda: live.chain("token", "t1", at=NOW),
        live.digest,
    ):
        with pytest.raises(UnavailableError, match=why):
            question()


def test_a_live_graph_that_does_not_keep_up_answers_nothing(tmp_path: Path):
    """
    It lacks what others have projected since the store was last asked, whatever its own consumer adds; once it has
    followed again, it answers as before.
    """
    moment = [100.0]
    store = store_in(tmp_path)
    live = LiveGraph(store, None, lambda: NOW, monotonic=lambda: moment[0])
    live.follow()
    moment[0] += live_graph.STALE_SECONDS
    before = live.digest()
    for batch in batches_of(worlds.world(random.Random(1)), random.Random(1), None):
        moment[0] += 1
        store.write(batch)
        live.projected(batch)
    assert_no_answer(live, "has not kept up with the store for")
    live.follow()

    assert digest_of_store(store, None) == live.digest()["digest"] != before["digest"]
    store.close()


def test_a_live_graph_answers_again_after_an_internal_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    An error that nobody expected, in the middle of a change, ends nothing for good: until the graph is complete again
    it answers 503, and readiness says why.
    """
    monkeypatch.setattr(background_threads, "_AGAIN_SECONDS", 1.0)
    apply, repaired = AuthorityReplica._take, threading.Event()

    def fails_first(replica: AuthorityReplica, still: Store, positions: Any) -> None:
        apply(replica, still, positions)
        if not repaired.is_set():
            raise KeyError("an internal error")

    monkeypatch.setattr(AuthorityReplica, "_take", fails_first)
    store, stopped = store_in(tmp_path), threading.Event()
    first, *others = batches_of(worlds.world(random.Random(1)), random.Random(1), None)
    store.write(first)
    observer = _ConsumerObserver(Service(store, None, Trust(), lambda: NOW, source="urn:test"), lambda _: None)
    observer.turned()
    observer.assigned([])
    observer.lag({})
    address = f"127.0.0.1:{free_port()}"

    def asked(path: str) -> tuple[int, dict[str, Any]]:
        answer = httpx.get(f"http://{address}{path}", timeout=30)
        return answer.status_code, answer.json()

    with observer.serving(address, ConnectionLimits(), stopped):
        wait_until(lambda: asked("/digest")[0] == 200)
        assert 200 == asked("/readyz")[0]
        for batch in others:
            store.write(batch)
        wait_until(lambda: asked("/readyz")[1].get("reasons") == ["live graph: an internal error, see the log"])
        assert 503 == asked("/digest")[0]
        repaired.set()
        wait_until(lambda: asked("/readyz")[0] == asked("/digest")[0] == 200)
        found = asked("/digest")[1]["digest"]

    assert digest_of_store(store, None) == found
    store.close()
