"""Who a principal is: last stated values with their sources, aliases, and workloads; on both databases."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ingest.codec import api as codec
from ingest.trust_file import Trust
from lineage.core.model.events import Event
from lineage.core.model.times import parse_instant
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.serve.queries.inventory.identity import identity
from lineage.serve.queries.service import Service
from lineage.store.store import open_store
from tests.support import stores
from tests.support.http_worlds import World, api_over, problem_type
from tests.support.web_pages import HOSTILE, Pages, text_of

NOON = "2026-11-02T12:00:00Z"
AGENT = "agent:a"
STATED = ("display_name", "owner", "purpose", "environment", "max_delegation_depth")

Opened = Callable[..., tuple[World, str]]


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


@pytest.fixture
def opened(fresh: stores.Fresh, tmp_path: Path) -> Iterator[Opened]:
    """Return an API over an empty store, with its location."""
    with ExitStack() as stack:

        def opening(**fields: Any) -> tuple[World, str]:
            url = stack.enter_context(fresh())
            return stack.enter_context(api_over(url, tmp_path, empty=True, **fields)), url

        yield opening


@pytest.fixture
def api(opened: Opened) -> World:
    return opened()[0]


def event(number: int, type_: str, *, at: str = "08:00", source: str = "urn:test:a", **fields: Any) -> dict[str, Any]:
    return {
        "type": type_,
        "event_id": f"e{number}",
        "source": source,
        "occurred_at": f"2026-11-02T{at}:00Z",
        **fields,
    }


def registered(number: int, principal: str = AGENT, **fields: Any) -> dict[str, Any]:
    return event(number, "principal.registered", **{"principal": principal, "kind": "agent", **fields})


def bound(number: int, workload: str, **fields: Any) -> dict[str, Any]:
    return event(number, "workload.bound", **{"agent": AGENT, "workload": workload, **fields})


def send(world: World, *events: dict[str, Any]) -> None:
    counts = world.post("/v1/events", "producer", json=list(events)).json()
    assert len(events) == counts["accepted"] + counts["unauthorised"], counts


def asked(world: World, id_: str = AGENT, **params: str) -> dict[str, Any]:
    response = world.get("/v1/identity", params={"of": f"principal:{id_}", **params})
    assert 200 == response.status_code, response.text
    return dict(response.json())


def value(stated: dict[str, Any] | None) -> Any:
    return stated and stated["value"]


def test_the_last_statement_counts_in_whatever_order_they_arrived(api: World):
    """
    For values that change, the last statement by its source's clock counts; for the delegation depth, the first.
    """
    send(
        api,
        registered(2, at="10:00", owner="human:new", environment="production", max_delegation_depth=9),
        registered(1, at="09:00", owner="human:old", purpose="sweeps", display_name="Sweeper", max_delegation_depth=0),
    )
    found = asked(api)

    assert ["Sweeper", "human:new", "sweeps", "production", 0] == [value(found[field]) for field in STATED]
    assert ("2026-11-02T10:00:00.000000Z", "urn:test:a", "e2") == tuple(
        found["owner"][field] for field in ("occurred_at", "source", "event_id")
    )
    assert ["disagreement"] == [finding["kind"] for finding in found["findings"]]


def test_a_fact_from_the_future_does_not_stay_the_last(api: World):
    """
    A statement dated 9999 counts as given when it was recorded, so the next honest one replaces it.
    """
    api.clock.now = parse_instant("2026-11-02T12:00:00Z")
    future = registered(1, owner="human:mallory", purpose="p", environment="e", display_name="d")
    send(api, {**future, "occurred_at": "9999-01-01T00:00:00Z"})
    api.clock.now = parse_instant("2026-11-02T13:00:00Z")
    send(api, registered(2, at="12:30", owner="human:boss", purpose="q", environment="f", display_name="n"))

    assert ["n", "human:boss", "q", "f"] == [value(asked(api)[field]) for field in STATED[:4]]
    assert "human:mallory" == value(asked(api, known_at=NOON)["owner"])


def test_aliases_are_one_party_from_either_side_and_over_several_steps(api: World):
    """
    Asked for by any of its ids, a party has all other ids as aliases, and everything stated about any of them.
    """
    send(
        api,
        registered(1, "human:zoe", kind="human", display_name="Zoe", aliases=["okta|1"]),
        registered(2, "ldap|z", kind="human", aliases=["okta|1"]),
        registered(3, "ldap|z", kind="human", owner="human:boss"),
    )
    party = ["human:zoe", "ldap|z", "okta|1"]
    found = [asked(api, one) for one in party]

    assert [[other for other in party if other != one] for one in party] == [one["aliases"] for one in found]
    assert [("human", True, "Zoe", "human:boss")] * 3 == [
        (one["principal_kind"], one["registered"], value(one["display_name"]), value(one["owner"])) for one in found
    ]


def test_what_was_not_known_then_is_not_in_the_answer(api: World):
    """
    As known earlier, the former owner still counts, and a later alias does not exist.
    """
    api.clock.now = parse_instant("2026-11-02T12:00:00Z")
    send(api, registered(1, owner="human:old"))
    api.clock.now = parse_instant("2026-11-02T13:00:00Z")
    send(api, registered(2, at="08:30", owner="human:new", aliases=["okta|9"]), bound(3, "spiffe://x/w"))
    now, then = asked(api), asked(api, known_at=NOON)

    assert ("human:new", ["okta|9"], 1) == (value(now["owner"]), now["aliases"], len(now["workloads"]))
    assert ("human:old", [], 0) == (value(then["owner"]), then["aliases"], len(then["workloads"]))
    assert "2026-11-02T12:00:00.000000Z" == then["known_at"]
    assert 404 == api.get(f"/v1/identity?of=principal:okta%7C9&known_at={NOON}").status_code


def test_unauthorised_statements_are_ignored(opened: Opened):
    """
    An unauthorised registration, binding or alias is not part of the answer, and makes nothing known.
    """
    trusted = SourceGrant(types=frozenset({"principal.registered"}), prefixes=("agent:",))
    world, _ = opened(trust=Trust(table=TrustTable({"urn:test:a": trusted}), file="trust.toml"))
    send(
        world,
        registered(1, owner="human:right"),
        registered(2, at="09:00", owner="human:wrong", source="urn:test:b"),
        registered(3, at="09:00", owner="human:wrong", aliases=["human:eve"]),
        bound(4, "spiffe://x/w"),
    )
    found = asked(world)
    missing = [world.get(f"/v1/identity?of=principal:{quote(id_)}") for id_ in ("human:eve", "spiffe://x/w")]

    assert ("human:right", [], []) == (value(found["owner"]), found["aliases"], found["workloads"])
    assert ["not-found"] * 2 == [problem_type(response) for response in missing]


def test_a_workload_is_bound_from_its_binding_until_its_end(api: World):
    """
    It is bound at the first instant and no longer at the end; current bindings come first.
    """
    send(
        api,
        bound(1, "spiffe://x/a", at="08:00", expires_at="2026-11-02T10:00:00Z"),
        bound(2, "spiffe://x/b", at="09:00", key_thumbprint="k"),
    )
    moments = ("07:59:59", "08:00:00", "09:00:00", "09:59:59", "10:00:00")
    found = [asked(api, at=f"2026-11-02T{moment}Z")["workloads"] for moment in moments]
    last = found[-1][0]

    assert ["", "a", "ab", "ab", "b"] == [
        "".join(one["workload"][-1] for one in each if one["bound"]) for each in found
    ]
    assert "ba" == "".join(one["workload"][-1] for one in found[-1])
    assert (AGENT, "2026-11-02T09:00:00.000000Z", None, "k", "urn:test:a", "e2") == tuple(
        last[field] for field in ("agent", "since", "until", "key_thumbprint", "source", "event_id")
    )


def test_bindings_are_those_of_the_whole_party_and_of_either_end(api: World):
    """
    The workloads of an alias are those of the agent, and a workload names its agent.
    """
    send(api, registered(1, aliases=["okta|a"]), bound(2, "spiffe://x/w", agent="okta|a"))
    ends = [asked(api, one)["workloads"] for one in (AGENT, "okta|a", "spiffe://x/w")]

    assert [[("okta|a", "spiffe://x/w")]] * 3 == [[(one["agent"], one["workload"]) for one in each] for each in ends]
    assert ("workload", False) == tuple(asked(api, "spiffe://x/w")[field] for field in ("principal_kind", "registered"))


def test_a_mentioned_principal_is_not_registered(api: World):
    """
    A principal that only an action names has no stated values; one that nothing names is not found.
    """
    act = event(1, "action.performed", action="x1", operation="mail.send", outcome="succeeded", actor="ghost")
    send(api, act, registered(2, owner="human:zoe"))
    found, owner = asked(api, "ghost"), asked(api, "human:zoe")
    missing = api.get("/v1/identity?of=principal:nobody")

    assert [False, "unknown", *[None] * 5, [], []] == [
        found[field] for field in ("registered", "principal_kind", *STATED, "aliases", "workloads")
    ]
    assert ("human", False) == (owner["principal_kind"], owner["registered"])
    assert (404, "not-found") == (missing.status_code, problem_type(missing))


def test_only_facts_about_the_identity_are_read(opened: Opened):
    """
    However many facts mention a principal, only those about its identity are read.
    """
    world, url = opened()
    deeds = [
        event(number, "action.performed", action=f"x{number}", operation="o", outcome="succeeded", actor=who)
        for number, who in enumerate([AGENT, "ghost"] * 300)
    ]
    send(world, registered(900, owner="human:zoe"), bound(901, "spiffe://x/w"), *deeds)
    read: list[bytes] = []

    def reading(value: bytes) -> Event:
        read.append(value)
        return codec.read(value)

    with closing(open_store(url, reading)) as store:
        service = Service(store, None, Trust(), world.clock, source="urn:test:a")
        counts = []
        for id_ in (AGENT, "ghost"):
            read.clear()
            assert identity(service, id_, at=world.clock.now) is not None
            counts.append(len(read))

    assert [2, 1] == counts


# The page


def test_a_hostile_name_is_text(api: World):
    """
    Markup in the stated values of a principal is shown as text.
    """
    texts = dict.fromkeys(("display_name", "purpose", "environment"), HOSTILE)
    send(api, registered(1, owner=HOSTILE, aliases=[f"okta{HOSTILE}"], **texts), bound(2, f"spiffe://{HOSTILE}"))
    page = Pages(api).get(f"/status?of=principal:{AGENT}")

    assert 6 == text_of(page).count(HOSTILE)
    assert [] == re.findall(r"<img|<script(?![^>]*\ssrc=)|2962962", page.text)


def test_a_page_shows_a_few_aliases_and_counts_the_rest(api: World):
    """
    The page of a principal with many aliases and bindings stays short, and links the document that has all of them.
    """
    aliases = [f"okta|{number:03}" for number in range(50)]
    send(api, registered(1, aliases=aliases), *(bound(number, f"spiffe://x/{number}") for number in range(2, 34)))
    page = Pages(api).get(f"/status?of=principal:{AGENT}")

    assert ["30 more", "12 more"] == [more for more in ("30 more", "12 more") if more in text_of(page)]
    assert "/v1/identity?of=principal%3Aagent%3Aa" in page.text


def test_an_ended_binding_is_shown_as_ended(api: World):
    """
    A former workload of an agent is shown as ended; at an earlier time it is current.
    """
    send(api, bound(1, "spiffe://x/a", expires_at="2026-11-02T09:00:00Z"))
    pages = [Pages(api).get(f"/status?of=principal:{AGENT}{at}") for at in ("", "&at=2026-11-02T08:30:00Z")]

    assert [True, False] == ["spiffe://x/a, but not at this time" in text_of(page) for page in pages]
