"""Timelines and uses: all pages together equal a naive sort of all facts, whatever the store contains."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings

from ingest.codec import api as codec
from ingest.projector import read_records
from ingest.trust_file import Trust
from lineage.core.authority.world import World as Facts
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import (
    ActionPerformed,
    DecisionMade,
    Event,
    RevocationOrdered,
    Target,
    TokenIssued,
    document,
    fact_order,
)
from lineage.core.model.keys import ELEMENT_KINDS, key_of
from lineage.core.model.records import DECISIONS, ORDERS, Batch, Position, Record
from lineage.core.model.references import about, mentions
from lineage.core.model.trust import TrustTable, authorised
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.asgi.app import create_app
from lineage.serve.queries.activity.uses import uses
from lineage.serve.queries.history.timeline import timeline
from lineage.serve.queries.lists.list_pages import WHOLE_LIST, Budget
from lineage.serve.queries.service import Service
from lineage.serve.web import pages as web_pages
from lineage.store.database.tables import act, meta
from lineage.store.store import Store
from tests.support import compare, stores, worlds
from tests.support.asgi import Asking
from tests.support.http_worlds import World, api_over, problem_type
from tests.support.store_histories import SEEDS, a_store, in_batches, records_of, write

START = 1_790_000_000_000_000
NOW = worlds.grid[-1]
BUSY = "token:busy"
COUNTED = 2_000  # the most facts of a list that is counted over HTTP


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


def service_over(store: Store, table: TrustTable | None = None, now: int = NOW) -> Service:
    return Service(store, None, Trust(table=table), lambda: now, source="urn:test")


def pages_of(ask: Callable[..., Document | None], *asked: Any, limit: int, **how: Any) -> list[Document]:
    """Return the pages of a list, one after the other."""
    pages: list[Document] = []
    after = None
    while True:
        page = ask(*asked, after=after, limit=limit, **how)
        if page is None:
            return pages
        assert len(page["items"]) <= limit
        assert page["complete"] == (page["next"] is None)
        pages.append(page)
        after = page["next"]
        if after is None:
            return pages


def items_of(pages: list[Document]) -> list[Document]:
    return [item for page in pages for item in page["items"]]


def visible(store: Store, table: TrustTable | None, known_at: int | None, *, on_one_page: bool) -> list[Event]:
    """Return every fact that counts, in order: independent of the log on one page, in log order on several."""
    counting = [
        stored
        for stored in store.facts()
        if authorised(stored.fact, table) and (known_at is None or stored.fact.recorded_at <= known_at)
    ]
    if on_one_page:
        return [stored.fact.event for stored in sorted(counting, key=lambda one: fact_order(one.fact))]
    return [one.fact.event for one in sorted(counting, key=lambda one: (one.fact.event.occurred_at, one.number))]


def naive_timeline(facts: list[Event], key: str) -> list[Document]:
    return [
        document(event)
        for event in facts
        if about(event) == key or key in {f"{kind}:{id_}" for _, kind, id_ in mentions(event)}
    ]


def naive_uses(facts: list[Event], whole: Facts, key: str) -> list[str]:
    """Return the actions that name an authority, in the order of their first facts."""
    actions = dict.fromkeys(event.body.action for event in facts if isinstance(event.body, ActionPerformed))
    return [action for action in actions if key in whole.authorities_named(action)]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_lists_are_what_a_naive_sort_of_all_facts_gives(fresh: stores.Fresh, seed: int):
    """
    Whatever the order of facts, the trust table, the known facts, the budget and the page size, timeline and uses have
    every item once, in time order. This includes duplicates and split actions.
    """
    rng = random.Random(seed)
    items = worlds.world(rng) + worlds.world(rng)
    items += rng.sample(items, len(items) // 3)
    table = compare.table_of(worlds.trust(rng)) if rng.random() < 0.3 else None
    with a_store(fresh) as (empty, url):
        store = in_batches(empty, url, records_of(items, rng), rng)
        service = service_over(store, table)
        asked = worlds.questions(items)
        for kind, id_ in rng.sample(asked, min(len(asked), 6)):
            key, known_at = key_of(kind, id_), rng.choice([None, rng.choice(worlds.grid)])
            at = rng.choice(worlds.grid)
            whole = Facts(compare.facts_of(items), trust=table, known_at=known_at)
            small = Budget(rng.choice([0, 2, 1_000]), rng.choice([0, 3, 20_000]), rng.choice([None, 1, 3]))
            for budget, limit in ((WHOLE_LIST, len(items) + 1), (small, rng.randint(1, 4))):
                how: dict[str, Any] = {"limit": limit, "known_at": known_at, "budget": budget}
                listed = pages_of(timeline, service, kind, id_, **how)
                facts = visible(store, table, known_at, on_one_page=len(listed) == 1)
                assert naive_timeline(facts, key) == [item["event"] for item in items_of(listed)], (key, how)
                if kind in ELEMENT_KINDS:
                    used = pages_of(uses, service, kind, id_, at=at, **how)
                    facts = visible(store, table, known_at, on_one_page=len(used) == 1)
                    assert naive_uses(facts, whole, key) == [item["action"] for item in items_of(used)], (key, how)
        store.close()


def use(number: int, at: int, **fields: Any) -> bytes:
    body = ActionPerformed(action=f"act-{number}", operation="send", outcome="succeeded", token="busy")
    return codec.encode(Event(event_id=f"e{number}", source="urn:s", occurred_at=at, body=body._replace(**fields)))


def recorded(values: list[bytes], *, first: int = 0, at: int = START, topic: str = DECISIONS) -> list[Record]:
    return [Record(Position(topic, 0, first + n).number, at + n, value) for n, value in enumerate(values)]


def test_a_list_keeps_its_order_and_its_cursor_when_it_grows_long(fresh: stores.Fresh):
    """
    A list that was counted at first continues with the same cursor when it is no longer counted: no item is repeated
    or left out, and later actions that were recorded meanwhile follow.
    """
    few = Budget(counted=10)
    with a_store(fresh) as (store, _):
        write(store, recorded([use(n, START - n) for n in range(10)]))
        service = service_over(store)
        first = timeline(service, "token", "busy", limit=4, budget=few)
        assert first is not None
        assert 10 == first["total"]
        write(store, recorded([use(n, START + n) for n in range(10, 13)], first=10))
        rest = timeline(service, "token", "busy", after=first["next"], limit=99, budget=few)
        assert rest is not None
        listed = [item["event"]["action"] for item in first["items"] + rest["items"]]

    assert (None, True) == (rest["total"], rest["complete"])
    assert [f"act-{n}" for n in (9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 10, 11, 12)] == listed


def test_a_page_examines_a_limited_number_of_facts(fresh: stores.Fresh):
    """If most facts were recorded later, a page examines some, may have few items or none, and continues."""
    known = {0, 1, 2, 3, 40, 43}
    with a_store(fresh) as (store, _):
        for n in range(60):
            write(store, recorded([use(n, START + n)], first=n, at=START + (0 if n in known else 100)))
        pages = pages_of(
            timeline, service_over(store), "token", "busy", limit=9, known_at=START + 99, budget=Budget(0, 0, 12)
        )

    assert [0, 1, 2, 3, 40, 43] == [int(item["event"]["action"][4:]) for item in items_of(pages)]
    assert (True, True) == ([] in [page["items"] for page in pages], len(pages) >= 60 // 12)


def test_an_action_is_used_once_whether_it_or_its_decision_says_so(fresh: stores.Fresh):
    """
    An action that names a token only through its decision is a use of it; if both name it, that is one use; a decision
    of another token is not a use.
    """
    decided = [
        DecisionMade(decision="d1", permitted=True, operation="send", token="busy"),
        DecisionMade(decision="d2", permitted=True, operation="send", token="other"),
    ]
    values = [use(1, START, token=None, decision="d1"), use(2, START, decision="d1")]
    values += [use(3, START, token=None, decision="d2")]
    values += [codec.encode(Event(event_id=one.decision, source="urn:s", occurred_at=1, body=one)) for one in decided]
    with a_store(fresh) as (store, _):
        write(store, recorded(values))
        pages = pages_of(uses, service_over(store), "token", "busy", limit=1, budget=Budget(0, 0, 1))

    assert ["act-1", "act-2"] == [item["action"] for item in items_of(pages)]
    assert {(None, False)} == {(page["total"], page["whole"]) for page in pages}


def test_uses_of_a_page_say_which_came_after_its_end(fresh: stores.Fresh):
    """
    For a revoked token the page names its uses after the end, and who has not enforced it, without reading the others;
    as of a time before the order there are none.
    """
    body = RevocationOrdered(
        revocation="r1",
        target=Target("token", "busy"),
        reason="compromise",
        ordered_by="human:x",
        effective_at=START + 3,
    )
    issued = codec.encode(Event("i", "urn:s", START, TokenIssued(token="busy", subject="agent:x")))
    order = codec.encode(Event("o", "urn:s", START + 2, body))
    with a_store(fresh) as (store, _):
        write(store, recorded([issued, *(use(n, START + n) for n in range(1, 7))]))
        write(store, recorded([order], at=START + 2, topic=ORDERS))
        service = service_over(store, now=START + 9)
        pages = pages_of(uses, service, "token", "busy", limit=3, budget=Budget(counted=0))
        then = uses(service, "token", "busy", at=START + 1)

    assert [["act-3"], ["act-4", "act-5", "act-6"]] == [page["used_after"] for page in pages]
    assert {("r1",)} == {tuple(page["revoked_by"]) for page in pages}
    assert then is not None
    assert ([], [], 6) == (then["revoked_by"], then["used_after"], len(then["items"]))


@pytest.mark.parametrize("after", ["", "x", "1.2", "1.2.ab", "-1.2.ab", "fffffffffffffffff.1.ab"])
def test_only_a_cursor_of_the_same_list_is_accepted(fresh: stores.Fresh, after: str):
    """Only a cursor from the previous page of the same list is accepted."""
    with a_store(fresh) as (store, _):
        write(store, recorded([use(1, START), use(2, START)]))
        service = service_over(store)
        other = timeline(service, "action", "act-1", limit=1) or {}
        page = timeline(service, "token", "busy", limit=1)
        assert page is not None
        for ask in (timeline, uses):
            with pytest.raises(RefusedError, match="begin again"):
                ask(service, "token", "busy", after=after)
        with pytest.raises(RefusedError, match="begin again"):
            uses(service, "token", "busy", after=page["next"])

    assert (True, None) == (other["complete"], other["next"])


def test_a_store_of_an_older_version_gives_the_same_lists(fresh: stores.Fresh):
    """If facts about other things are not indexed by time yet, every fact is read, and the list is the same."""
    with a_store(fresh) as (store, _):
        write(store, recorded([use(n, START - n) for n in range(9)]))
        issued = codec.encode(Event("i", "urn:s", START - 4, TokenIssued(token="busy", subject="agent:x")))
        write(store, recorded([issued], first=9))
        how: dict[str, Any] = {"limit": 4, "budget": Budget(0, 20)}
        before = items_of(pages_of(timeline, service_over(store), "token", "busy", **how))
        with store.engine.begin() as connection:
            connection.execute(sa.delete(act))
            connection.execute(meta.insert(), [{"name": "acts", "value": b"\1"}])
        after = items_of(pages_of(timeline, service_over(store), "token", "busy", **how))

    assert (10, before) == (len(after), after)


# Over HTTP


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Create the incident, and a token with one use more than a counted list may have."""
    folder = tmp_path_factory.mktemp("long")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        issued = TokenIssued(token="busy", subject="agent:x", client="busy")
        values = [codec.encode(Event("i", "urn:test", START, issued))]
        values += [use(n, START + n) for n in range(COUNTED + 1)]
        batch = Batch(advance={(DECISIONS, 1): (0, len(values))})
        records = [Record(Position(DECISIONS, 1, n).number, START + n, one) for n, one in enumerate(values)]
        read_records(records, None, batch)
        world.service.store.write(batch)
        yield world


@pytest.mark.parametrize(("path", "items"), [("timeline", COUNTED + 2), ("uses", COUNTED + 1)])
def test_the_pages_of_a_long_list_add_up_to_it_in_time_order(world: World, path: str, items: int):
    """A list that is not counted says so, and its pages have all of it, in the order of a short one."""
    found = []
    address = f"/v1/{path}?of={BUSY}&limit=900"
    while address:
        page = world.get(address).json()
        found.append(page)
        address = page["next"] and f"/v1/{path}?of={BUSY}&limit=900&after={page['next']}"
    times = [item["occurred_at"] for page in found for item in page["items"]]

    assert {None} == {page["total"] for page in found}
    assert [False, False, True] == [page["complete"] for page in found]
    assert (items, sorted(times)) == (len(times), times)


def test_a_cursor_of_another_list_is_refused_by_name(world: World):
    """The `next` of another thing's list, or a forged one, is an error of `after`."""
    other = world.get("/v1/timeline?of=token:https://idp.example%23mailer-1&limit=1").json()["next"]
    answers = [world.get(f"/v1/timeline?of={BUSY}&after={after}") for after in (other, "dGltZWxpbmUAbG9nOng")]

    assert [(400, "parameter")] * 2 == [(one.status_code, problem_type(one)) for one in answers]


@pytest.mark.parametrize("path", ["timeline", "actions", "uses", "status", "chain", "dossier", "graph"])
def test_the_pages_of_a_frequently_mentioned_token_are_shown(world: World, path: str):
    """Every page of a frequently used token is shown like any other."""
    app = create_app(world.site, parts=web_pages(world.site))
    asking = Asking(app, {"Authorization": f"Bearer {world.token()}", "Accept": "text/html"})
    response = asking.get(f"/{path}?of={BUSY}")

    assert (200, True) == (response.status_code, "busy" in response.text)
