"""Lists of what very many facts mention, page by page: together the pages are the whole list, whatever the store."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.projector import read_records
from ingest.trust_file import Trust
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import ActionPerformed, DecisionMade, Event, RevocationOrdered, Target, TokenIssued
from lineage.core.model.keys import ELEMENT_KINDS
from lineage.core.model.records import DECISIONS, ORDERS, Batch, Position, Record
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.asgi.app import create_app
from lineage.serve.queries import activity, activity_pages
from lineage.serve.queries.activity_pages import Page, places_of
from lineage.serve.queries.service import Service
from lineage.serve.web import pages as web_pages
from lineage.store.store import open_store
from tests.support import compare, stores, worlds
from tests.support.asgi import Asking
from tests.support.http_worlds import World, api_over, problem_type

SEEDS = st.integers(0, 2**32)
PARTITIONS = 3
START = 1_790_000_000_000_000
BUSY = "token:busy"


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


class Partitions:
    """A store that is given values of a log of several partitions."""

    def __init__(self, url: str) -> None:
        self.store = open_store(url, codec.read, create=True)
        self.ends: dict[tuple[str, int], int] = {}

    def write(self, values: list[tuple[str, int, int, bytes]]) -> None:
        """Values, each with its topic, its partition, and when it was recorded; one batch."""
        batch, records, starts = Batch(), [], {}
        for topic, partition, recorded_at, value in values:
            end = self.ends.get((topic, partition), 0)
            starts.setdefault((topic, partition), end)
            records.append(Record(Position(topic, partition, end).number, recorded_at, value))
            self.ends[topic, partition] = end + 1
        batch.advance.update({place: (start, self.ends[place]) for place, start in starts.items()})
        read_records(records, None, batch)
        self.store.write(batch)

    def service(self, trust: Trust | None = None, now: int = START) -> Service:
        return Service(self.store, None, trust or Trust(), lambda: now, source="urn:test")


@pytest.fixture
def log(fresh: stores.Fresh) -> Iterator[Partitions]:
    with fresh() as url:
        log = Partitions(url)
        yield log
        log.store.close()


def pages_of(
    ask: Callable[..., Document | None], *asked: Any, after: str | None = None, page: Page, **how: Any
) -> Iterator[Document]:
    """The pages of a list, one after the other."""
    while True:
        document = ask(*asked, page._replace(after=None if after is None else places_of(after)), **how)
        if document is None:
            return
        yield document
        after = document["next"]
        if after is None:
            return


def bag(items: list[Any]) -> list[str]:
    return sorted(json.dumps(item) for item in items)


@pytest.mark.slow
@settings(max_examples=20)
@given(seed=SEEDS)
def test_the_pages_of_a_list_hold_what_the_whole_list_holds(fresh: stores.Fresh, seed: int):
    """
    Timeline and uses read by page hold each item of the list that is read whole, once: whatever was said
    several times, by whom, in which partition and when, whatever is known or trusted, however little a page looks at.
    """
    rng = random.Random(seed)
    items = worlds.world(rng)
    items += rng.sample(items, len(items) // 3)  # duplicates, some of which were recorded before
    rng.shuffle(items)
    table = compare.table_of(worlds.trust(rng)) if rng.random() < 0.3 else None
    known_at = rng.choice([None, rng.choice(worlds.grid)])
    with fresh() as url:
        log = Partitions(url)
        log.write(
            [
                (
                    item["via"],
                    rng.randrange(PARTITIONS),
                    item["recorded_at"] + rng.choice([0, 0, 1, 3_600_000_000]),
                    codec.encode(codec.decode_line(json.dumps(item["event"]).encode())),
                )
                for item in items
            ]
        )
        service = log.service(Trust(table=table))
        asked = worlds.questions(items)
        lists = [(activity.timeline, activity_pages.timeline)]
        for kind, id_ in rng.sample(asked, min(len(asked), 6)):
            how = Page(
                rng.randint(1, 4),
                looked_at=rng.randint(1, 9),
                at_first=rng.randint(1, 4),
                looked_up=rng.choice([1, 3, 9, 100]),
            )
            for whole, by_page in [*lists, *([(activity.uses, activity_pages.uses)] if kind in ELEMENT_KINDS else [])]:
                expected = whole(service, kind, id_, known_at=known_at)
                found = list(pages_of(by_page, service, kind, id_, page=how, known_at=known_at))
                listed = [item for page in found for item in page["items"]]
                assert (expected is None) == (not found and by_page is not None) or not listed, (kind, id_)
                assert bag(expected["items"] if expected else []) == bag(listed), (kind, id_, by_page)
        log.store.close()


def use(number: int, at: int, **fields: Any) -> bytes:
    body = ActionPerformed(action=f"act-{number}", operation="send", outcome="succeeded", token="busy")
    return codec.encode(Event(event_id=f"e{number}", source="urn:s", occurred_at=at, body=body._replace(**fields)))


def test_pages_go_in_the_order_in_which_the_log_took_the_facts(log: Partitions):
    """
    The timeline begins with what was recorded first, across partitions; what is recorded while someone reads neither
    moves nor repeats what comes next.
    """
    log.write([(DECISIONS, n % PARTITIONS, START + n, use(n, START - n)) for n in range(12)])
    service = log.service()
    forward = pages_of(activity_pages.timeline, service, "token", "busy", page=Page(5))
    first = next(forward)
    log.write([(DECISIONS, n % PARTITIONS, START + n, use(n, START - n)) for n in range(12, 15)])
    told = [item["event"]["action"] for page in (first, *forward) for item in page["items"]]

    assert [f"act-{n}" for n in range(15)] == told


def test_a_page_looks_up_only_so_many_facts_that_were_not_known(log: Partitions):
    """
    Of facts most of which were recorded later, a page looks at some and continues behind them, with few items or none;
    the pages are all that was known by then, in the order in which it was recorded.
    """
    known = {0, 1, 2, 3, 40, 43}
    moments = {n: START + n if n in known else START + 100 + n for n in range(60)}
    log.write([(DECISIONS, n % PARTITIONS, moments[n], use(n, START)) for n in range(60)])
    page = Page(9, at_first=2, looked_up=12)
    asked = log.service(), "token", "busy"
    forward = [
        [int(item["event"]["action"][4:]) for item in found["items"]]
        for found in pages_of(activity_pages.timeline, *asked, page=page, known_at=START + 99)
    ]

    assert [0, 1, 2, 3, 40, 43] == [n for items in forward for n in items]
    assert (True, True) == ([] in forward, len(forward) >= 60 // 12)


def test_an_action_is_used_once_whether_it_or_its_decision_says_so(log: Partitions):
    """
    An action that names a token only by its decision is a use of it, one that both name is one use, and what names it
    by a decision of another token is none.
    """
    decided = [
        DecisionMade(decision="d1", permitted=True, operation="send", token="busy"),
        DecisionMade(decision="d2", permitted=True, operation="send", token="other"),
    ]
    log.write(
        [
            (DECISIONS, 0, START, use(1, START, token=None, decision="d1")),
            (DECISIONS, 0, START + 1, use(2, START, decision="d1")),
            (DECISIONS, 0, START + 2, use(3, START, token=None, decision="d2")),
            *(
                (
                    DECISIONS,
                    1,
                    START,
                    codec.encode(Event(event_id=one.decision, source="urn:s", occurred_at=1, body=one)),
                )
                for one in decided
            ),
        ]
    )
    found = list(pages_of(activity_pages.uses, log.service(), "token", "busy", page=Page(1, looked_at=1, at_first=1)))

    assert ["act-1", "act-2"] == sorted(item["action"] for page in found for item in page["items"])
    assert {(None, False, "recorded_at")} == {(page["total"], page["whole"], page["order"]) for page in found}


def test_uses_of_a_page_say_which_came_after_its_end(log: Partitions):
    """
    Of a revoked token the page names the uses on it that came after its end, and who has not enforced it, without
    reading the others.
    """
    order = RevocationOrdered(
        revocation="r1",
        target=Target("token", "busy"),
        reason="compromise",
        ordered_by="human:x",
        effective_at=START + 3,
    )
    issued = TokenIssued(token="busy", subject="agent:x")
    log.write([(DECISIONS, 0, START, codec.encode(Event("i", "urn:s", START, issued)))])
    log.write([(DECISIONS, 0, START + n, use(n, START + n)) for n in range(1, 7)])
    log.write([(ORDERS, 0, START + 2, codec.encode(Event("o", "urn:s", START + 2, order)))])
    found = list(pages_of(activity_pages.uses, log.service(now=START + 9), "token", "busy", page=Page(3)))

    assert [[], ["act-4", "act-5", "act-6"]] == [
        [one for one in page["used_after"] if one != "act-3"] for page in found if page["items"]
    ][:2]
    assert {("r1",)} == {tuple(page["revoked_by"]) for page in found}


@pytest.mark.parametrize("said", ["", "x", "0.0", "0.0.-1", "7.0.1", "0.fffff1.1", "0.0.1,", "0.0.ffffffffffff"])
def test_no_page_begins_where_no_page_ended(said: str):
    """Where to continue is taken from the page before; anything else is refused."""
    with pytest.raises(RefusedError, match="start again"):
        places_of(said)


# Over HTTP


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The incident, and a token with one use more than a list that is read whole may have."""
    folder = tmp_path_factory.mktemp("long")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        issued = TokenIssued(token="busy", subject="agent:x", client="busy")
        values = [codec.encode(Event("i", "urn:test", START, issued))]
        values += [use(n, START + n) for n in range(activity_pages.MANY + 1)]
        end = world.service.store.positions().get((DECISIONS, 1), 0)
        batch = Batch(advance={(DECISIONS, 1): (end, end + len(values))})
        records = [Record(Position(DECISIONS, 1, end + n).number, START + n, one) for n, one in enumerate(values)]
        read_records(records, None, batch)
        world.service.store.write(batch)
        yield world


@pytest.mark.parametrize(("path", "items"), [("timeline", 2_002), ("uses", 2_001)])
def test_the_pages_of_a_long_list_are_all_of_it(world: World, path: str, items: int):
    """
    A list that is not read whole says so: no total, an opaque `next`, another order; and its pages are all of it.
    """
    found = []
    address = f"/v1/{path}?of={BUSY}&limit=900"
    while address:
        page = world.get(address).json()
        found.append(page)
        address = page["next"] and f"/v1/{path}?of={BUSY}&limit=900&after={page['next']}"

    assert {(None, "recorded_at")} == {(page["total"], page["order"]) for page in found}
    assert [False, False, True] == [page["complete"] for page in found]
    assert items == len({json.dumps(item) for page in found for item in page["items"]})


def test_a_list_that_grew_long_while_it_was_read_is_begun_again(world: World):
    """
    A cursor of a list that was read whole has no place in one that is not: it is refused by name, as is a forged one.
    """
    short = world.get("/v1/timeline?of=token:https://idp.example%23mailer-1&limit=1").json()["next"]
    answers = [world.get(f"/v1/timeline?of={BUSY}&after={after}") for after in (short, "dGltZWxpbmUAbG9nOng")]

    assert [(400, "parameter")] * 2 == [(one.status_code, problem_type(one)) for one in answers]


@pytest.mark.parametrize("path", ["timeline", "actions", "uses", "status", "chain", "case", "graph"])
def test_the_pages_of_what_very_many_facts_mention_are_shown(world: World, path: str):
    """Every page of a token that was used very often is a page like any other."""
    app = create_app(world.site, parts=[web_pages(world.site)])
    asking = Asking(app, {"Authorization": f"Bearer {world.token()}", "Accept": "text/html"})
    response = asking.get(f"/{path}?of={BUSY}")

    assert (200, True) == (response.status_code, "busy" in response.text)
