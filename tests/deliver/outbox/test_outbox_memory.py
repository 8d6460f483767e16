"""The outbox writer keeps nothing of the graph, and writes the rows of one that keeps everything."""

import gc
import json
import random
import weakref
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from lineage.core.authority.elements import audience_of
from lineage.core.authority.world import World
from lineage.core.model.events import (
    Body,
    Derivation,
    Event,
    PrincipalRegistered,
    RevocationLifted,
    RevocationOrdered,
    Target,
    TokenIssued,
)
from lineage.core.model.records import Position, Record
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.deliver.outbox import outbox_writer
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.store.delivery.outbox import OutboxRow, rows
from lineage.store.store import Store, new_edition
from tests.support import worlds
from tests.support.keeping_writer import KeepingWriter
from tests.support.store_histories import a_store, records_of, write
from tests.support.stores import KINDS, Fresh, fresh_places

SEEDS = st.integers(0, 2**32)
HOUR = 3_600_000_000
NOON = worlds.grid[3]


Writer = OutboxWriter | KeepingWriter


@pytest.fixture(params=KINDS, scope="module")
def fresh(request: pytest.FixtureRequest) -> Iterator[Fresh]:
    """Return URLs for stores on either database."""
    yield from fresh_places(request)


def written(store: Store) -> list[OutboxRow]:
    return rows(store, after=0, limit=1_000_000)


def started_over(store: Store) -> None:
    """Change the edition, as a rebuild does."""
    with store.engine.begin() as connection:
        new_edition(connection)


Told = defaultdict[str, set[str]]
"""For each published element, the receivers that were notified of its last state, as the audiences that they cover."""


def with_audiences(world: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """State an audience for most grants of a world; equal events stay equal."""
    chosen: dict[str, list[str]] = {}
    for item in world:
        if item["event"]["type"] in ("token.issued", "delegation.granted"):
            audience = chosen.setdefault(json.dumps(item["event"]), rng.choice([["a"], ["b"], ["c"], []]))
            item["event"] = {**item["event"], "audience": audience}
    return world


def compare(stores: list[Store], seed: int) -> tuple[list[list[OutboxRow]], list[Told]]:
    """Write one history to two stores, with a writer of each kind that does the same rounds.

    The facts come in any order and in any batches, time passes, and of two processes that write to an outbox each may
    be replaced by a new one at any time.

    Returns:
        Both outboxes, and which receivers each has notified.
    """
    rng = random.Random(seed)
    records = records_of(with_audiences(worlds.world(rng), rng), rng)
    told = [Told(set), Told(set)]
    kinds: list[Any] = [lambda store: OutboxWriter(store, None), KeepingWriter]
    writers: list[list[Writer]] = [[kind(store), kind(store)] for kind, store in zip(kinds, stores, strict=True)]
    at = worlds.grid[0]

    def round_() -> None:
        place, is_new, is_rebuilt = rng.randrange(2), rng.random() < 0.2, rng.random() < 0.1
        for kind, store, pair, notified in zip(kinds, stores, writers, told, strict=True):
            if is_rebuilt:
                started_over(store)
            if is_new:
                pair[place] = kind(store)
            seen = written(store)
            pair[place].round(lambda: at)
            notify(notified, World(store.every_fact()), seen, written(store)[len(seen) :])

    while records:
        size = rng.randint(1, 8)
        batch, records = records[:size], records[size:]
        for store in stores:
            write(store, batch)
        at = rng.choice([at, *(moment for moment in worlds.grid if moment >= at)])
        round_()
    while later := [moment for moment in worlds.grid if moment > at]:
        at = later[0]
        round_()
    return [written(store) for store in stores], told


def notify(told: Told, world: World, before: list[OutboxRow], new: list[OutboxRow]) -> None:
    """Add the receivers that new rows notify: those that share an audience that is known then, or all."""
    states = last_states(before)
    for row in new:
        key, state = row.change.key, row.change.version.outcome
        if states.get(key) != state:
            told[key].clear()
        states[key] = state
        told[key].update(audience_of(world.graph.facts.get(key)) or {"a", "b", "c", "none"})


@pytest.mark.slow
@settings(max_examples=30)
@given(seed=SEEDS)
def test_the_rows_are_those_of_a_writer_that_keeps_everything(fresh: Fresh, seed: int):
    """
    Whatever was recorded, in whatever order, with late facts below what has ended and facts that extend it: the same
    rows, in the same order.
    """
    with a_store(fresh) as (one, _), a_store(fresh) as (other, _):
        (found, expected), _ = compare([one, other], seed)

    assert expected == found


@pytest.mark.slow
@settings(max_examples=30)
@given(seed=SEEDS)
def test_the_states_are_the_same_if_little_is_examined_at_a_time(fresh: Fresh, seed: int):
    """
    However many steps a round takes, the last published state of each element is the same, and no receiver that
    would be notified of it in one step is not.
    """
    with pytest.MonkeyPatch.context() as patch, a_store(fresh) as (one, _), a_store(fresh) as (other, _):
        patch.setattr(outbox_writer, "_FACTS", 2)
        patch.setattr(outbox_writer, "_ORDERS", 1)
        patch.setattr(outbox_writer, "_ROWS", 2)
        (found, expected), (told, expected_told) = compare([one, other], seed)

    assert last_states(expected) == last_states(found)
    assert {key: told[key] | notified for key, notified in expected_told.items()} == told


def last_states(outbox: list[OutboxRow]) -> dict[str, Any]:
    return {row.change.key: row.change.version.outcome for row in outbox}


class Installation:
    """A store to which facts are added, and its outbox writer."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.spread = OutboxWriter(store, None)
        self._offsets = {"decisions": 0, "orders": 0}
        self._number = 0

    def state(self, at: int, *bodies: Body, source: str = "urn:s") -> list[tuple[str, str, str | None]]:
        """Add facts at an instant, and return the rows that a round then writes: key, state and order of each."""
        before = len(written(self.store))
        self.add(at, *bodies, source=source)
        self.spread.round(lambda: at)
        changed = [row.change for row in written(self.store)[before:]]
        return [(one.key, str(one.version.outcome.state), one.version.outcome.revocation) for one in changed]

    def add(self, at: int, *bodies: Body, source: str = "urn:s") -> None:
        """Add facts, without a round."""
        records = []
        for body in bodies:
            self._number += 1
            records.append(self._record(Event(f"e{self._number}", source, at, body), at))
        if records:
            write(self.store, records)

    def _record(self, event: Event, at: int) -> Record:
        topic = "orders" if event.is_order else "decisions"
        offset = self._offsets[topic]
        self._offsets[topic] = offset + 1
        return Record(Position(topic, 0, offset).number, at, codec.encode(event))


def token(id_: str, *parents: str, subject: str = "human:a", **fields: Any) -> TokenIssued:
    derived = tuple(Derivation(parent, "subject") for parent in parents)
    return TokenIssued(id_, subject, derived_from=derived, **fields)


def order(id_: str, kind: str, target: str, **fields: Any) -> RevocationOrdered:
    return RevocationOrdered(id_, Target(kind, target), "test", "human:ir", **fields)


@pytest.fixture
def installed(fresh: Fresh) -> Iterator[Installation]:
    with a_store(fresh) as (store, _):
        yield Installation(store)


def test_a_late_child_of_an_ended_element_is_published(installed: Installation):
    """
    An order on a root that ended long ago counts for a child that becomes known only then, at any depth.
    """
    root = [token("root", expires_at=NOON + HOUR), order("r1", "token", "root")]
    assert [("token:root", "revoked", "r1")] == installed.state(NOON, *root)
    assert [] == installed.state(NOON + 5 * HOUR)
    late = token("middle", "root", expires_at=NOON + 2 * HOUR), token("leaf", "middle", expires_at=NOON + 9 * HOUR)

    assert [("token:leaf", "cascaded", "r1")] == installed.state(NOON + 5 * HOUR, *late)


def test_a_late_parent_ends_what_is_below_it(installed: Installation):
    """
    A fact that places a living element, with everything below it, under an element that was revoked and has ended.
    """
    root = [token("root", expires_at=NOON + HOUR), order("r1", "token", "root")]
    living = token("middle"), token("leaf", "middle"), token("other")
    installed.state(NOON, *root, *living)
    found = installed.state(NOON + 5 * HOUR, token("middle", "root"))

    assert [("token:leaf", "cascaded", "r1"), ("token:middle", "cascaded", "r1")] == found


def test_an_ended_element_that_is_extended_is_published(installed: Installation):
    """
    A later end that becomes known after an element has ended makes orders count that came in between.
    """
    installed.state(NOON, token("a", expires_at=NOON + HOUR), token("b", expires_at=NOON + HOUR))
    assert [] == installed.state(NOON + 2 * HOUR, order("r1", "principal", "human:a"))
    found = installed.state(NOON + 3 * HOUR, token("a", expires_at=NOON + 9 * HOUR))

    assert [("token:a", "cascaded", "r1")] == found


def test_an_alias_stated_late_extends_an_order(installed: Installation):
    """
    An order on an id counts for the living elements of another id as soon as both are known to be the same party.
    """
    living = token("a", subject="human:bo", expires_at=NOON + 9 * HOUR), token("below", "a")
    ended = token("b", subject="human:bo", expires_at=NOON + HOUR)
    installed.state(NOON, *living, ended, token("sibling"))
    assert [] == installed.state(NOON + HOUR, order("r1", "principal", "okta|bo"))
    found = installed.state(NOON + 2 * HOUR, PrincipalRegistered("human:bo", "human", aliases=("okta|bo",)))

    assert [("token:a", "cascaded", "r1"), ("token:below", "cascaded", "r1")] == found


@pytest.mark.parametrize("restarted", [False, True])
def test_an_order_takes_effect_and_is_lifted_by_itself(installed: Installation, restarted: bool):
    """
    A suspension ordered for later, and lifted for later still, is published when each takes effect.
    """
    later = order("r1", "token", "a", mode="suspend", effective_at=NOON + 2 * HOUR)
    lift = RevocationLifted("r1", "human:ir", effective_at=NOON + 4 * HOUR)
    found = [installed.state(NOON, token("a"), later)]
    found.append(installed.state(NOON + HOUR, lift))
    for hour in range(2, 6):
        if restarted:
            installed.spread = OutboxWriter(installed.store, None)
        found.append(installed.state(NOON + hour * HOUR))

    suspended, active = [("token:a", "suspended", "r1")], [("token:a", "active", None)]
    assert [[], [], suspended, [], active, []] == found


@pytest.mark.parametrize("facts", [5_000, 2])
def test_a_further_audience_that_two_facts_state_is_published_once(
    installed: Installation, monkeypatch: pytest.MonkeyPatch, facts: int
):
    """
    Also if a round examines the two facts in two steps, each of which reads both. A later fact that states the same
    audience once more changes nothing.
    """
    monkeypatch.setattr(outbox_writer, "_FACTS", facts)
    assert [("token:t", "revoked", "r1")] == installed.state(
        NOON, token("t", audience=("a",)), order("r1", "token", "t")
    )
    others = [token(f"other {number}") for number in range(5)]
    wider = token("t", audience=("b",)), *others, token("t", audience=("b",), client="c")

    assert [("token:t", "revoked", "r1")] == installed.state(NOON + HOUR, *wider)
    assert [] == installed.state(NOON + 2 * HOUR, token("t", audience=("b", "a"), client="d"))


@pytest.mark.parametrize("wider", [("b",), ()])
@pytest.mark.parametrize("still_trusted", [True, False])
def test_an_audience_that_another_trust_table_allows_is_published(
    installed: Installation, wider: tuple[str, ...], still_trusted: bool
):
    """
    A running writer publishes the end of a token again if a source becomes trusted that states another audience, or if
    the only trusted source is replaced by one. Where nobody may be added, it writes nothing.
    """
    everything = SourceGrant(frozenset("*"), ("",))
    trust = SimpleNamespace(table=TrustTable({"urn:s": everything}))
    installed.spread = OutboxWriter(installed.store, trust)
    ended = token("t", audience=("a",)), token("other", audience=("a",)), order("r1", "principal", "human:a")
    assert 2 == len(installed.state(NOON, *ended))
    assert [] == installed.state(NOON + HOUR, token("t", audience=wider), source="urn:x")
    if still_trusted:
        trust.table = TrustTable({"urn:s": everything, "urn:x": everything})
    else:
        trust.table = TrustTable({"urn:s": SourceGrant(frozenset({"revocation.ordered"}), ("",)), "urn:x": everything})
    found = installed.state(NOON + 2 * HOUR)

    again = [("token:t", "cascaded", "r1")] if wider or not still_trusted else []
    assert again == [row for row in found if row[0] == "token:t"]
    assert [] == installed.state(NOON + 3 * HOUR)


def test_an_audience_in_another_edition_is_published(installed: Installation):
    """
    A running writer publishes an end again if, with a rebuild or a release from quarantine, a fact was added that
    states another audience, whenever it was recorded.
    """
    ended = token("t", audience=("a",)), token("other", audience=("a",)), order("r1", "principal", "human:a")
    assert 2 == len(installed.state(NOON, *ended))
    installed.add(NOON - HOUR, token("t", audience=("b",)))
    started_over(installed.store)

    assert [("token:t", "cascaded", "r1")] == installed.state(NOON + HOUR)
    assert [] == installed.state(NOON + 2 * HOUR)


def watched(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[weakref.ref[World]]]:
    """Collect how many elements each step reads, and what it reads."""
    sizes: list[int] = []
    read: list[weakref.ref[World]] = []
    load = outbox_writer.load_affected

    def counted(*args: Any) -> World:
        world = load(*args)
        sizes.append(len(world.graph))
        read.append(weakref.ref(world))
        return world

    monkeypatch.setattr(outbox_writer, "load_affected", counted)
    return sizes, read


def test_a_start_reads_what_few_orders_reach_at_a_time(installed: Installation, monkeypatch: pytest.MonkeyPatch):
    """
    Other facts do not count as orders.
    """
    monkeypatch.setattr(outbox_writer, "_ORDERS", 2)
    for number in range(6):
        issued = [token(f"{number}-{one}", f"{number}-root") for one in range(3)]
        installed.add(NOON, token(f"{number}-root"), *issued, order(f"r{number}", "token", f"{number}-root"))
    sizes, _ = watched(monkeypatch)

    assert 6 * 4 == len(installed.state(NOON))
    assert [2 * 4] * 3 == sizes[:3]


def test_what_is_read_does_not_grow_with_the_history(installed: Installation, monkeypatch: pytest.MonkeyPatch):
    """
    Over many generations of tokens, some of them revoked, a round reads what is new and what it depends on, keeps none
    of it, and a new writer reads only what orders and rows mention.
    """
    sizes, read = watched(monkeypatch)
    for number in range(20):
        at = NOON + number * HOUR
        issued = [token(f"{number}-{one}", f"{number}-root", expires_at=at + HOUR) for one in range(10)]
        ended = [order(f"r{number}", "token", f"{number}-root")] if number % 5 == 4 else []
        installed.state(at, token(f"{number}-root", expires_at=at + HOUR), *issued, *ended)
    gc.collect()

    assert [11] * 19 == sizes  # not the first generation, which no order reached when the writer started
    assert {None} == {one() for one in read}
    assert vars(installed.spread) | {"_store": None, "_start": None} == {
        "_store": None,
        "_trust": None,
        "_start": None,
        "_positions": installed.store.positions(),
        "_seq": 4 * 11,
        "_at": NOON + 19 * HOUR,
        "_now": NOON + 19 * HOUR,
        "_repeated": set(),
        "_coming": set(),
    }
    OutboxWriter(installed.store, None).round(lambda: NOON + 20 * HOUR)
    assert [4 * 11] == sizes[19:]
