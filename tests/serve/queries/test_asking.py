"""Finding actions by filters: a naive filter over all actions finds the same, in the same order."""

import random
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings

from ingest.codec import api as codec
from ingest.trust_file import Trust
from lineage.core.authority.action_filter import ActionFilter
from lineage.core.authority.chain import chain_of_action
from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import ActionPerformed, Event, PrincipalRegistered, TokenIssued
from lineage.core.model.records import Position, Record
from lineage.core.model.trust import TrustTable, authorised
from lineage.serve.queries.activity.actions import Budget, actions
from lineage.serve.queries.service import Service
from lineage.store.database.tables import act, meta
from lineage.store.store import Store
from tests.support import compare, stores, worlds
from tests.support.store_histories import SEEDS, a_store, in_batches, records_of, write

NOW = worlds.grid[-1]


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


def service_over(store: Store, table: TrustTable | None = None) -> Service:
    return Service(store, None, Trust(table=table), lambda: NOW, source="urn:test")


def found(service: Service, filters: ActionFilter, *, limit: int, **how: Any) -> list[str]:
    """Join all pages of a list."""
    names: list[str] = []
    after = None
    while True:
        page = actions(service, filters, at=NOW, after=after, limit=limit, **how)
        assert page is not None
        assert len(page["items"]) <= limit
        assert page["complete"] == (page["next"] is None)
        names += [item["action"] for item in page["items"]]
        after = page["next"]
        if after is None:
            return names


def naive(
    store: Store, facts: list[Any], filters: ActionFilter, table: TrustTable | None, known_at: int | None
) -> list[str]:
    """Filter every action of the whole world by the rule alone, sorted by its place."""
    whole = World(facts, trust=table, known_at=known_at)
    places: dict[str, tuple[int, int]] = {}
    for stored in store.facts():
        fact = stored.fact
        if isinstance(fact.event.body, ActionPerformed) and authorised(fact, table):
            if known_at is not None and fact.recorded_at > known_at:
                continue
            place = (fact.event.occurred_at, stored.number)
            name = fact.event.body.action
            places[name] = min(place, places.get(name, place))
    names = [name for name in places if filters.takes(whole, name, chain_of_action(whole, name))]
    return sorted(names, key=lambda name: places[name], reverse=True)


def some_filter(rng: random.Random, items: list[dict[str, Any]]) -> ActionFilter:
    """Draw a filter from existing values, and sometimes from values that do not exist."""
    events = [item["event"] for item in items]

    def one_of(*names: str) -> str:
        lines = [event[name] for event in events for name in names if event.get(name)]
        flat = [each for value in lines for each in (value if isinstance(value, list) else [value])]
        return rng.choice([*flat, "nobody"])

    people = ("subject", "actor", "delegator", "delegatee", "on_behalf_of", "prior_actors", "principal", "aliases")
    resources = [event["resource"]["id"] for event in events if event.get("resource")]
    start, end = sorted(rng.sample(worlds.grid, 2))
    given = {
        "human": one_of(*people),
        "agent": one_of(*people),
        "actor": one_of("actor", "principal"),
        "token": one_of("token"),
        "delegation": one_of("delegation"),
        "session": one_of("session"),
        "client": one_of("client"),
        "tool": one_of("tool"),
        "operation": one_of("operation"),
        "resource": rng.choice([*resources, "nothing"]),
        "outcome": rng.choice(["succeeded", "failed", "denied"]),
        "start": start,
        "end": end,
        "text": " ".join(rng.sample(["a", "e", "t1", "ALICE", "send", "x"], rng.randint(1, 2))),
    }
    chosen = rng.sample(sorted(given), rng.choice([0, 1, 1, 1, 2, 3]))
    return ActionFilter(**{name: given[name] for name in chosen})  # type: ignore[arg-type]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_actions_are_what_a_naive_filter_finds_in_any_order_of_facts(fresh: stores.Fresh, seed: int):
    """
    Whatever the order of facts, the trust table, the known facts and the page size, the list has exactly the actions
    that match by the rule, latest first. This includes aliases, late tokens and split actions.
    """
    rng = random.Random(seed)
    items = worlds.world(rng) + worlds.world(rng)
    table = compare.table_of(worlds.trust(rng)) if rng.random() < 0.3 else None
    facts = compare.facts_of(items)
    with a_store(fresh) as (empty, url):
        store = in_batches(empty, url, records_of(items, rng), rng)
        service = service_over(store, table)
        for _ in range(8):
            filters = some_filter(rng, items)
            known_at = rng.choice([None, rng.choice(worlds.grid)])
            expected = naive(store, facts, filters, table, known_at)
            budget = Budget(
                counted=rng.choice([0, 2, 1_000]),
                gathered=rng.choice([3, 20_000]),
                looked_at=rng.choice([None, 1, 3]),
                ordered=rng.choice([0, 1_000]),
            )
            listed = found(service, filters, limit=rng.randint(1, 4), known_at=known_at, budget=budget)
            assert expected == listed, (filters, budget)
        store.close()


def performed(number: int, at: int, action: str, **fields: Any) -> Event:
    fields = {"operation": "send", "outcome": "succeeded", **fields}
    return Event(f"e{number}", "urn:s", at, ActionPerformed(action=action, **fields))


def written(store: Store, events: list[Event]) -> None:
    """Write each event in a separate batch, in this order."""
    for offset, event in enumerate(events):
        write(store, [Record(Position("decisions", 0, offset).number, NOW + offset, codec.encode(event))])


@pytest.mark.slow
@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_an_action_of_several_facts_is_listed_once_at_its_earliest(fresh: stores.Fresh, order: tuple[int, ...]):
    """What one fact states is found at the position of another, whichever came first, on every page."""
    events = [
        performed(1, NOW - 50, "split"),
        performed(2, NOW - 10, "split", tool="mail"),
        performed(3, NOW - 30, "other", tool="mail"),
        performed(4, NOW - 40, "split", actor="agent:late"),
    ]
    with a_store(fresh) as (store, _):
        written(store, [events[number] for number in order])
        service = service_over(store)
        for budget in (Budget(), Budget(counted=0)):
            assert ["other", "split"] == found(service, ActionFilter(tool="mail"), limit=1, budget=budget)
            assert ["split"] == found(service, ActionFilter(actor="agent:late", tool="mail"), limit=1, budget=budget)


@pytest.mark.slow
@pytest.mark.parametrize("ordered", [0, 1_000])
def test_a_few_candidates_are_listed_in_time_order(fresh: stores.Fresh, ordered: int):
    """Reading their facts and examining all facts give the same pages, also between two times."""
    late = [3, 0, 4, 1, 5, 2]  # written in another order than that of time
    events = [performed(number, NOW - number, f"a{number}", token="t") for number in late]
    with a_store(fresh) as (store, _):
        written(store, events)
        service, budget = service_over(store), Budget(counted=0, ordered=ordered)
        every = found(service, ActionFilter(token="t"), limit=2, budget=budget)
        some = found(service, ActionFilter(token="t", start=NOW - 4, end=NOW - 1), limit=2, budget=budget)

    assert [f"a{number}" for number in sorted(late)] == every
    assert ["a1", "a2", "a3", "a4"] == some


@pytest.mark.slow
def test_small_parts_of_the_index_become_large_ones(fresh: stores.Fresh):
    """Events that are written one at a time leave few parts, and a list reads only those that it needs."""
    events = [performed(n, NOW - n, f"a{n:04}", tool="mail" if n % 7 else "fs") for n in range(600)]
    with a_store(fresh) as (store, _):
        written(store, events)
        with store.connection() as connection:
            parts = connection.execute(sa.select(sa.func.count()).select_from(act)).scalar_one()
        assert parts < 60
        expected = [f"a{n:04}" for n in range(600) if n % 7 == 0]
        assert expected == found(service_over(store), ActionFilter(tool="fs"), limit=50, budget=Budget(counted=0))


def test_a_store_of_an_older_version_finds_the_same(fresh: stores.Fresh):
    """If the index lacks older actions, every fact is read instead, until the store is rebuilt."""
    with a_store(fresh) as (store, _):
        written(store, [performed(n, NOW - n, f"a{n}", tool="mail") for n in range(5)])
        with store.engine.begin() as connection:
            connection.execute(act.delete())
            connection.execute(meta.insert(), [{"name": "acts", "value": b"\x01"}])
        assert ["a0", "a1", "a2", "a3", "a4"] == found(service_over(store), ActionFilter(tool="mail"), limit=2)


def test_a_cursor_is_valid_for_its_own_question_only(fresh: stores.Fresh):
    """The `next` of one list is refused by another, and so is an arbitrary text."""
    with a_store(fresh) as (store, _):
        written(store, [performed(n, NOW - n, f"a{n}", tool="mail") for n in range(3)])
        service = service_over(store)
        first = actions(service, ActionFilter(tool="mail"), at=NOW, limit=1)
        assert first is not None
        for after in (first["next"], "", "1.2", "x.y.z", "1" * 5_000):
            with pytest.raises(RefusedError, match="after"):
                actions(service, ActionFilter(tool="fs"), at=NOW, after=after)


def test_an_alias_finds_what_the_other_name_did(fresh: stores.Fresh):
    """A search by the name that people know finds actions under the name that the issuer knows."""
    issued = TokenIssued(token="idp#1", subject="idp#42", actor="agent:planner", expires_at=NOW - 5)
    joined = PrincipalRegistered(principal="human:alice@example.com", kind="human", aliases=("idp#42",))
    events = [
        performed(1, NOW - 10, "a1", token="idp#1"),
        Event("e2", "urn:s", NOW - 20, issued),
        Event("e3", "urn:s", NOW - 1, joined),
    ]
    with a_store(fresh) as (store, _):
        written(store, events)
        service = service_over(store)
        for asked in ({"human": "human:alice@example.com"}, {"human": "idp#42"}, {"agent": "agent:planner"}):
            assert ["a1"] == found(service, ActionFilter(**asked), limit=5), asked
        document = actions(service, ActionFilter(human="human:alice@example.com"), at=NOW)
        assert document is not None
        [item] = document["items"]
        assert ("idp#42", "human:alice@example.com", ["agent:planner"], "expired") == tuple(
            item[name] for name in ("human", "human_known_as", "agents", "state")
        )
        assert [] == found(service, ActionFilter(human="human:alice@example.com"), limit=5, known_at=NOW + 1)
