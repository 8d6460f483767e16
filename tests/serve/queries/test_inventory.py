"""The inventory compared with a naive list of everything, evaluated by the core on the whole world."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from ingest.codec import api as codec
from ingest.trust_file import Trust
from lineage.core.authority.rule import verdict_of, verdict_of_name
from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import ActionPerformed, Event, PrincipalRegistered, TokenIssued
from lineage.core.model.keys import split_key
from lineage.core.model.records import Position, Record
from lineage.core.model.references import mentions, subject_of
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.inventory.inventory import (
    KINDS,
    NAME_STATES,
    STATES,
    ElementFilter,
    PrincipalFilter,
    held,
    holder_of,
    issuer_of,
    principals,
)
from lineage.serve.queries.inventory.search import search
from lineage.serve.queries.service import Service
from lineage.store.store import Store
from tests.support import compare, stores, worlds
from tests.support.store_histories import SEEDS, a_store, in_batches, records_of, write


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


def service_over(store: Store, table: Any = None) -> Service:
    return Service(store, None, Trust(table=table), lambda: worlds.grid[-1], source="urn:test")


def pages(ask: Callable[[str | None], Document]) -> list[Document]:
    """Return all items of a list, from all its pages."""
    items: list[Document] = []
    after = None
    while True:
        page = ask(after)
        items += page["items"]
        after = page["next"]
        if after is None:
            return items


def expected_elements(world: World, kind: str, filters: ElementFilter, at: int) -> set[str]:
    found = set()
    for key in world.graph.facts:
        element = world.graph.element(key)
        if element is None or not key.startswith(f"{kind}:"):
            continue
        holder, issuer, owner = holder_of(world, element), issuer_of(element), None
        owner = world.principals.owner(holder)
        same = world.principals.same
        if (
            (filters.state is None or str(verdict_of(world, key, at).state) == filters.state)
            and (filters.holder is None or same(holder, filters.holder))
            and (filters.owner is None or (owner is not None and same(owner.value, filters.owner)))
            and (
                filters.issuer is None
                or (
                    issuer is not None
                    and (issuer == filters.issuer or (kind == "delegation" and same(issuer, filters.issuer)))
                )
            )
        ):
            found.add(split_key(key)[1])
    return found


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_the_inventory_is_what_a_naive_list_finds(fresh: stores.Fresh, seed: int):
    """Tokens, delegations and principals are listed once each, for any trust table, knowledge and page size."""
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
            filters = ElementFilter(
                state=rng.choice([None, "active", "revoked", "expired"]),
                holder=rng.choice([None, rng.choice(people)]),
                owner=rng.choice([None, None, rng.choice(people)]),
                issuer=rng.choice([None, None, "https://idp", rng.choice(people)]),
            )
            listed = pages(
                lambda after, kind=kind, filters=filters, limit=limit, looked_at=looked_at: held(
                    service, kind, filters, at=at, known_at=known_at, after=after, limit=limit, looked_at=looked_at
                )
            )
            ids = [item[kind] for item in listed]
            assert len(ids) == len(set(ids))
            assert expected_elements(world, kind, filters, at) == set(ids), (kind, filters)
            for item in listed:
                assert item["state"] == str(verdict_of(world, f"{kind}:{item[kind]}", at).state)
        everyone = pages(
            lambda after: principals(service, PrincipalFilter(), at=at, known_at=known_at, after=after, limit=2)
        )
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


def with_types(items: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """Return the same world, in which some tokens state their type."""
    for item in items:
        if item["event"]["type"] == "token.issued" and rng.random() < 0.6:
            item["event"]["token_type"] = rng.choice(["access_token", "refresh_token"])
    return items


def has_words(text: str | None, value: list[str]) -> bool:
    """Whether each word occurs in one of some texts."""
    return all(any(word in one.casefold() for one in value) for word in (text or "").casefold().split())


def texts_of(world: World, item: Document) -> list[str]:
    """Return what the words of a filter are compared with: everything in an item except times, states and aliases."""
    lines = [value for name, value in item.items() if isinstance(value, str) and not name.endswith("_at")]
    lines = [value for value in lines if value != item["state"]]
    people = [item["holder"], item["human"]] if "holder" in item else [item["id"]]
    return [*lines, *(id_ for one in people if one for id_ in world.principals.party(one))]


def one_of_each(rng: random.Random, choices: dict[str, list[Any]]) -> dict[str, Any]:
    """Generate any combination of filters: none, some or all."""
    return {name: rng.choice(choices[name]) for name in rng.sample(sorted(choices), rng.randint(0, len(choices)))}


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_any_combination_of_filters_is_a_naive_filter_over_the_whole_list(fresh: stores.Fresh, seed: int):
    """
    Tokens, delegations and principals, at any moment and as known at any: the items that match every filter, in the
    order of the whole list (latest first, or by id), on pages of any size.
    """
    rng = random.Random(seed)
    items = with_types(worlds.world(rng), rng)
    table = compare.table_of(worlds.trust(rng)) if rng.random() < 0.3 else None
    known_at, at = rng.choice([None, rng.choice(worlds.grid)]), rng.choice(worlds.grid)
    world = World(compare.facts_of(items), trust=table, known_at=known_at)
    people, words = [*worlds.PRINCIPALS, "nobody"], ["a", "A NAME", "t1", "agent:", "human", "x y", "access", "no such"]
    moment = {"at": at, "known_at": known_at}
    with a_store(fresh) as (empty, url):
        store = in_batches(empty, url, records_of(items, rng), rng)
        service = service_over(store, table)
        everything = {
            "token": pages(lambda after: held(service, "token", ElementFilter(), after=after, **moment)),
            "delegation": pages(lambda after: held(service, "delegation", ElementFilter(), after=after, **moment)),
        }
        everyone = pages(lambda after: principals(service, PrincipalFilter(), after=after, **moment))
        assert sorted(one["id"] for one in everyone) == [one["id"] for one in everyone]
        for kind, every in everything.items():
            issued = [one["issued_at"] for one in every]
            assert {one[kind] for one in every} == expected_elements(world, kind, ElementFilter(), at)
            if known_at is None and table is None and all(_is_told_once(items, kind, one[kind]) for one in every):
                assert sorted(issued, reverse=True) == issued
        for _ in range(8):
            kind, limit, looked_at = rng.choice(["token", "delegation"]), rng.randint(1, 4), rng.choice([None, 1, 5])
            filters = ElementFilter(**one_of_each(rng, {
                "kind": ["access_token", "refresh_token", "no_type"], "owner": people, "state": [*STATES],
                "holder": people, "issuer": ["https://idp", *people], "text": words,
            }))  # fmt: skip
            found = pages(
                lambda after, kind=kind, filters=filters, limit=limit, looked_at=looked_at: held(
                    service, kind, filters, after=after, limit=limit, looked_at=looked_at, **moment
                )
            )
            fitting = expected_elements(world, kind, filters, at)
            expected = [
                one
                for one in everything[kind]
                if one[kind] in fitting
                and (filters.kind is None or one.get("kind") == filters.kind)
                and has_words(filters.text, texts_of(world, one))
            ]
            assert expected == found, filters
            asked = PrincipalFilter(**one_of_each(rng, {
                "kind": [*KINDS], "owner": people, "state": [*NAME_STATES], "text": words,
            }))  # fmt: skip
            listed = pages(
                lambda after, asked=asked, limit=limit, looked_at=looked_at: principals(
                    service, asked, after=after, limit=limit, looked_at=looked_at, **moment
                )
            )
            naively = [one["id"] for one in everyone if _is_asked_for(world, one, asked, at)]
            assert naively == [one["id"] for one in listed], asked
        store.close()


def _is_told_once(items: list[dict[str, Any]], kind: str, id_: str) -> bool:
    """Whether a single fact states an element, so that its position is that of its issue."""
    mentions = [item["event"] for item in items if item["event"].get(kind) == id_]
    issues = [one for one in mentions if one["type"] in ("token.issued", "delegation.granted")]
    return len(issues) == 1 and issues[0].get("issued_at") is None


def _is_asked_for(world: World, one: Document, asked: PrincipalFilter, at: int) -> bool:
    """Whether a principal matches every filter, by the rule alone."""
    id_, owner = one["id"], world.principals.owner(one["id"])
    lines = [*world.principals.party(id_), *filter(None, [world.principals.display_name(id_)])]
    return (
        (asked.kind is None or world.principals.kind(id_) == asked.kind)
        and (asked.owner is None or (owner is not None and world.principals.same(owner.value, asked.owner)))
        and (asked.state is None or str(verdict_of_name(world, "principal", id_, at).state) == asked.state)
        and has_words(asked.text, lines)
    )


def names_of(
    world: list[dict[str, Any]], at: int | None, known_at: int | None
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Return every id and display name that the events of a world mention, as of a moment."""
    named, called = set(), set()
    for fact in compare.facts_of(world):
        event, body = fact.event, fact.event.body
        is_late = (at is not None and event.occurred_at > at) or (known_at is not None and fact.recorded_at > known_at)
        if is_late or (fact.misrouted and (at, known_at) != (None, None)):
            continue
        named |= {subject_of(event), *(mention[1:] for mention in mentions(event))}
        if isinstance(body, ActionPerformed):
            result = (body.operation, body.tool, None if body.resource is None else body.resource.id)
            named |= {(kind, id_) for kind, id_ in zip(("operation", "tool", "resource"), result, strict=True) if id_}
        elif isinstance(body, PrincipalRegistered) and body.display_name:
            called.add((body.principal, body.display_name))
    return named, called


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_a_search_is_a_naive_search_through_all_names(fresh: stores.Fresh, seed: int):
    """
    It finds every id, name, tool, operation and resource that contains all words, each once, in the order of ids, on
    all pages; as of a moment, those named by a fact that had occurred and was recorded by then.
    """
    rng = random.Random(seed)
    items = worlds.world(rng)
    with a_store(fresh) as (empty, url):
        store = in_batches(empty, url, records_of(items, rng), rng)
        service = service_over(store)
        for text in ("a", "T1", "agent: a", "agent:a", "ToKeN:t", "name", "A name", "send", "%", "_", "\\", "no such"):
            limit, looked_at = rng.randint(1, 4), rng.choice([None, 1, 5])
            moment: dict[str, Any] = {one: rng.choice([None, rng.choice(worlds.grid)]) for one in ("at", "known_at")}
            named, called = names_of(items, **moment)
            found = pages(
                lambda after, text=text, limit=limit, looked_at=looked_at, moment=moment: search(
                    service, text, after=after, limit=limit, looked_at=looked_at, **moment
                )
            )
            listed = [(one["kind"], one["id"]) for one in found if not one.get("exact")]
            every = text.lower().split()
            expected = {pair for pair in named if all(word in ":".join(pair).lower() for word in every)}
            expected |= {
                ("principal", id_) for id_, name in called if all(word in f"{name} {id_}".lower() for word in every)
            }
            assert len(listed) == len(set(listed)), text
            assert expected == {(one["kind"], one["id"]) for one in found}, (text, moment)
            for near in search(service, f"{text}x", **moment)["did_you_mean"]:
                assert (near["kind"], near["id"]) in named | {("principal", id_) for id_, _ in called}
        store.close()


def test_a_search_is_the_same_whether_pieces_of_its_text_are_rare_or_common(
    fresh: stores.Fresh, monkeypatch: pytest.MonkeyPatch
):
    """One scan or several: the same items and suggestions, on all pages, whatever the case of letters."""
    names = ["mailer-1", "MAILER-2", "mailroom", "railway", "Élan-mail", "mail%er"]
    events = [Event(f"e{n}", "urn:s", 1_000, TokenIssued(token=one, subject="a")) for n, one in enumerate(names)]
    texts = ("mailer", "MAILER-2", "mailex-1", "mail%er", "élan-mail", "Élan-MAIL", "nothing-like-it", "token:mailer")
    with a_store(fresh) as (store, _):
        write(store, [Record(Position("decisions", 0, n).number, 1_000, codec.encode(e)) for n, e in enumerate(events)])
        service = service_over(store)

        def answers() -> list[Any]:
            return [
                (search(service, text), pages(lambda after, text=text: search(service, text, after=after, limit=1)))
                for text in texts
            ]

        in_one_scan = answers()
        monkeypatch.setattr("lineage.serve.queries.inventory.search._RARE", 0)
        in_several = answers()

    assert in_several == in_one_scan
    assert [["MAILER-2", "mailer-1"], ["mailer-1"]] == [
        sorted(one["id"] for one in found["items"] or found["did_you_mean"][:1])
        for found in (in_one_scan[0][0], in_one_scan[2][0])
    ]


@pytest.mark.parametrize(
    ("id_", "display_name", "text"),
    [
        ("human:k", "ΚΩΣΤΑΣ", "ΚΩΣ"),  # in lower case the last letter of the text is another one
        ("human:k", "ΚΩΣΤΑΣ", "ΣΤΑΣ human:K"),
        ("human:élan", "ÉLAN", "ÉLAN"),  # the id has it in another case, which the store does not find
        ("human:i", "İPEK", "İpek"),
    ],
)
def test_a_display_name_is_found_whatever_its_alphabet(fresh: stores.Fresh, id_: str, display_name: str, text: str):
    """What the store finds by a display name is an item: only the case of ASCII letters is ignored, in both."""
    event = Event("e1", "urn:s", 1_000, PrincipalRegistered(principal=id_, kind="human", display_name=display_name))
    with a_store(fresh) as (store, _):
        write(store, [Record(Position("decisions", 0, 0).number, 1_000, codec.encode(event))])
        found = search(service_over(store), text)["items"]

    assert [{"kind": "principal", "id": id_, "display_name": display_name}] == found


def test_a_name_that_very_many_facts_mention_is_found_as_of_any_moment(fresh: stores.Fresh):
    """A client that 1,500 tokens name, and a tool that 1,500 actions used, are found from their first fact on."""
    first = 1_000_000
    events = [
        Event(f"e{n}", "urn:s", first + n, TokenIssued(token=f"t{n}", subject="a", client="crowd", expires_at=None))
        for n in range(1_500)
    ]
    events += [
        Event(f"a{n}", "urn:s", first + n, ActionPerformed(
            action=f"a{n}", operation="send", outcome="succeeded", tool="crowded"
        ))
        for n in range(1_500)
    ]  # fmt: skip
    records = [
        Record(Position("decisions", 0, n).number, 2 * first + n, codec.encode(event)) for n, event in enumerate(events)
    ]
    with a_store(fresh) as (store, _):
        write(store, records)
        service = service_over(store)
        for moment, is_found in (
            ({"at": first - 1}, False),
            ({"at": first}, True),
            ({"known_at": 2 * first - 1}, False),
            ({"known_at": 2 * first + 1_500}, True),
            ({"at": first, "known_at": 2 * first + 1_500}, True),
        ):
            kinds = {one["kind"] for one in search(service, "crowd", **moment)["items"]}
            assert ({"client", "tool"} if is_found else set()) == kinds, moment


def test_a_cursor_of_another_list_is_refused(fresh: stores.Fresh):
    """The `next` of tokens is invalid for delegations, and a forged cursor is invalid for principals."""
    with a_store(fresh) as (store, _):
        service = service_over(store)
        for after in ("", "1.2", "x.y.z", "abc.human:alice", "é" * 400):
            with pytest.raises(RefusedError, match="after"):
                held(service, "token", ElementFilter(), at=0, after=after)
            with pytest.raises(RefusedError, match="after"):
                principals(service, PrincipalFilter(), at=0, after=after)
