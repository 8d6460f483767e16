"""The inventory against a naive list of everything, judged by the core on the whole world."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from ingest.trust_file import Trust
from lineage.core.authority.rule import verdict_of, verdict_of_name
from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError
from lineage.core.model.keys import split_key
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.inventory import Held, People, held, holder_of, issuer_of, principals
from lineage.serve.queries.service import Service
from lineage.store.store import Store
from tests.support import compare, stores, worlds
from tests.support.store_histories import SEEDS, a_store, in_batches, records_of


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


def service_over(store: Store, table: Any = None) -> Service:
    return Service(store, None, Trust(table=table), lambda: worlds.grid[-1], source="urn:test")


def pages(ask: Callable[[str | None], Document]) -> list[Document]:
    """All items of a list, put together."""
    items: list[Document] = []
    after = None
    while True:
        page = ask(after)
        items += page["items"]
        after = page["next"]
        if after is None:
            return items


def expected_elements(world: World, kind: str, wanted: Held, at: int) -> set[str]:
    found = set()
    for key in world.graph.facts:
        element = world.graph.element(key)
        if element is None or not key.startswith(f"{kind}:"):
            continue
        holder, issuer, owner = holder_of(world, element), issuer_of(element), None
        owner = world.principals.owner(holder)
        same = world.principals.same
        if (
            (wanted.state is None or str(verdict_of(world, key, at).state) == wanted.state)
            and (wanted.holder is None or same(holder, wanted.holder))
            and (wanted.owner is None or (owner is not None and same(owner.value, wanted.owner)))
            and (
                wanted.issuer is None
                or (
                    issuer is not None
                    and (issuer == wanted.issuer or (kind == "delegation" and same(issuer, wanted.issuer)))
                )
            )
        ):
            found.add(split_key(key)[1])
    return found


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_the_inventory_is_what_a_naive_list_finds(fresh: stores.Fresh, seed: int):
    """Tokens, delegations and principals, whatever is trusted and known: each once, on whatever pages."""
    rng = random.Random(seed)
    items = worlds.world(rng)
    table = compare.table_of(worlds.trust(rng)) if rng.random() < 0.3 else None
    known_at, at = rng.choice([None, rng.choice(worlds.grid)]), rng.choice(worlds.grid)
    world = World(compare.facts_of(items), trust=table, known_at=known_at)
    people = [*worlds.PRINCIPALS, "nobody"]
    with a_store(fresh) as (empty, url):
        store = in_batches(empty, url, records_of(items, rng), rng)
        service = service_over(store, table)
        for _ in range(6):
            kind, limit, looked_at = rng.choice(["token", "delegation"]), rng.randint(1, 3), rng.choice([None, 1, 2])
            wanted = Held(
                state=rng.choice([None, "active", "revoked", "expired"]),
                holder=rng.choice([None, rng.choice(people)]),
                owner=rng.choice([None, None, rng.choice(people)]),
                issuer=rng.choice([None, None, "https://idp", rng.choice(people)]),
            )
            listed = pages(
                lambda after, kind=kind, wanted=wanted, limit=limit, looked_at=looked_at: held(
                    service, kind, wanted, at=at, known_at=known_at, after=after, limit=limit, looked_at=looked_at
                )
            )
            ids = [item[kind] for item in listed]
            assert len(ids) == len(set(ids))
            assert expected_elements(world, kind, wanted, at) == set(ids), (kind, wanted)
            for item in listed:
                assert item["state"] == str(verdict_of(world, f"{kind}:{item[kind]}", at).state)
        everyone = pages(lambda after: principals(service, People(), at=at, known_at=known_at, after=after, limit=2))
        named = [item["id"] for item in everyone]
        assert len(named) == len(set(named))
        parties = [world.principals.party(id_) for id_ in named]
        assert sum(map(len, parties)) == len(set().union(*parties)) if parties else True
        for item in everyone:
            assert item["kind"] == world.principals.kind(item["id"])
            assert item["state"] == str(verdict_of_name(world, "principal", item["id"], at).state)
            alive = {
                key
                for key in world.graph.facts
                if key.startswith("token:")
                and (element := world.graph.element(key)) is not None
                and world.principals.same(holder_of(world, element), item["id"])
                and str(verdict_of(world, key, at).state) == "active"
            }
            assert item["alive_tokens"] == len(alive), item["id"]
        known = {id_ for id_ in worlds.PRINCIPALS if any(id_ in party for party in parties)}
        registered = {id_ for id_ in worlds.PRINCIPALS if world.principals.facts_of(id_)}
        assert registered <= known
        store.close()


def test_a_cursor_of_another_list_is_refused(fresh: stores.Fresh):
    """The `next` of tokens is none of delegations, and what never was one is none of principals."""
    with a_store(fresh) as (store, _):
        service = service_over(store)
        for after in ("", "1.2", "x.y.z", "abc.human:alice", "é" * 400):
            with pytest.raises(RefusedError, match="after"):
                held(service, "token", Held(), at=0, after=after)
            with pytest.raises(RefusedError, match="after"):
                principals(service, People(), at=0, after=after)
