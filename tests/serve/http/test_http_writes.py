"""Writes over HTTP: events, orders, lifts, acknowledgements; refusals and repetitions."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.types import Message

from ingest.trust_file import Trust
from lineage.core.model.errors import UnavailableError
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.serve.commands.order_request import MAX_KILLS
from lineage.serve.config.limits import Limits
from lineage.serve.http.api.receipt_stream import RECEIPTS
from lineage.serve.http.asgi.app import create_app
from lineage.serve.http.core import responses as answers
from lineage.serve.queries.revocations import receipt
from lineage.store.quarantine import quarantined
from tests.support.asgi import get_scope
from tests.support.http_worlds import ASKED, LEAKED, NAMES, World, api_over, problem_type
from tests.support.http_writes import (
    EVENT,
    ID,
    KILLED,
    NOT_EVENTS,
    ORDER,
    ORDERED,
    avro,
    counts,
    event,
    zigzag,
)

# Events

FORMS: dict[str, Callable[[list[dict[str, Any]]], tuple[str, bytes]]] = {
    "array": lambda events: ("application/json; charset=utf-8", json.dumps(events, indent=1).encode()),
    "lines": lambda events: ("application/x-ndjson", b"\r\n\n".join(json.dumps(one).encode() for one in events)),
    "avro": lambda events: (
        "application/avro",
        zigzag(len(events)) + b"".join(zigzag(len(raw)) + raw for raw in avro(*events)) + b"\0",
    ),
    "avro one after another": lambda events: ("application/avro", b"".join(avro(*events))),
    "avro blocks": lambda events: (
        "application/avro",
        b"".join(zigzag(-1) + zigzag(len(raw) + 2) + zigzag(len(raw)) + raw for raw in avro(*events)) + b"\0",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_events_in_any_format_are_counted_as_by_ingest(api: World, form: str):
    """
    The same events in each format are the same facts: accepted once, then duplicates; and the next question sees them.
    """
    media_type, body = FORMS[form]([event(1), event(2)])
    first, again = (
        api.post("/v1/events", "producer", content=body, headers={"Content-Type": media_type}) for _ in range(2)
    )

    assert ([2, 2, 0, 0, 0, 0], [2, 0, 2, 0, 0, 0]) == (counts(first), counts(again))
    assert "active" == api.get("/v1/status?of=token:t2").json()["state"]


def test_one_record_in_avro_needs_no_array(here: World):
    """
    A body that begins as a record in single-object encoding is one record.
    """
    [raw] = avro(EVENT)
    response = here.post("/v1/events", "producer", content=raw, headers={"Content-Type": "application/avro"})

    assert [1, 1, 0, 0, 0, 0] == counts(response)


@pytest.mark.parametrize("rest", [b"\xc3\x01", b"\xc3\x01" + b"\xff" * 40, b"{}", b"\xff" * 300_000])
def test_bytes_after_a_record_are_quarantined_as_unreadable(here: World, rest: bytes):
    """
    Consecutive Avro records are ingested up to the first unreadable one; the rest is quarantined as a whole.
    """
    body = b"".join([*avro(event(1), event(2)), rest, *avro(event(3))])
    response = here.post("/v1/events", "producer", content=body, headers={"Content-Type": "application/avro"})

    assert [3, 2, 0, 0, 0, 1] == counts(response)


def test_an_order_after_an_event_is_refused(here: World):
    """
    Every record in a body is checked, whatever its position.
    """
    envelope = {name: EVENT[name] for name in ("source", "occurred_at")}
    body = b"".join(avro(event(1), {**envelope, **ORDERED, "event_id": "o1"}))
    response = here.post("/v1/events", "producer", content=body, headers={"Content-Type": "application/avro"})

    assert (403, 404) == (response.status_code, here.get("/v1/status?of=token:t1").status_code)


def test_an_unreadable_event_is_quarantined_and_the_others_ingested(here: World):
    """
    It is quarantined with its sender and its position; the others are ingested, and no credential is kept.
    """
    secret = "ghp_" + "a1B2" * 9
    body = [event(1), {"type": "none"}, 7, event(2, token=secret), event(3)]
    response = here.post("/v1/events", "producer", json=body)

    assert [5, 2, 0, 0, 0, 3] == counts(response)
    items = here.get("/v1/quarantine").json()["items"]
    assert [("http service:gateway", 2), ("http service:gateway", 3), ("http service:gateway", 4)] == [
        (item["origin"], item["position"]) for item in items
    ]
    assert secret not in json.dumps(items)


@pytest.mark.parametrize("body", NOT_EVENTS, ids=lambda body: body["type"])
def test_orders_are_refused_as_events(here: World, body: dict[str, Any]):
    """
    Orders, lifts, acknowledgements and judgements are refused as events, and then nothing of the request is ingested.
    """
    envelope = {name: EVENT[name] for name in ("event_id", "source", "occurred_at")}
    response = here.post("/v1/events", "producer", json=[event(1), envelope | body])

    assert (403, "forbidden") == (response.status_code, problem_type(response))
    assert 404 == here.get("/v1/status?of=token:t1").status_code


@pytest.mark.parametrize("source", ["urn:other", "https://gateway.example/more", "urn:tes", "URN:TEST:a"])
def test_a_producer_sends_for_its_own_sources_only(here: World, source: str):
    """
    A source that the caller's list does not contain or match is refused, and nothing is ingested.
    """
    response = here.post("/v1/events", "producer", json=[event(1), event(2, source=source)])

    assert (403, "forbidden") == (response.status_code, problem_type(response))
    assert 404 == here.get("/v1/status?of=token:t1").status_code


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/json", b""),
        ("application/json", b"{}"),
        ("application/json", b"[1"),
        ("application/json", b"[1 2]"),
        ("application/json", b"[1,]"),
        ("application/json", b"[]x"),
        ("application/json", b"[\xff]"),
        ("application/json", b"[" * 100_000),
        ("application/avro", b""),
        ("application/avro", b"\x02"),
        ("application/avro", b"\x02\x06a"),
        ("application/avro", b"\x02\x01"),
        ("application/avro", b"\x00x"),
        ("application/avro", b"\xff" * 20),
    ],
)
def test_an_invalid_body_is_refused_as_a_whole(here: World, media_type: str, body: bytes):
    """
    The problem for a body that cannot be split into events names `body`.
    """
    response = here.post("/v1/events", "producer", content=body, headers={"Content-Type": media_type})

    assert (400, "parameter", "body") == (
        response.status_code, problem_type(response), response.json()["parameter"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "body", [{"type": "revocation.ordered", "new_field": 1}, {"source": "https://idp.example", "new_field": 1}]
)
def test_the_same_checks_apply_to_what_only_a_later_version_can_read(here: World, body: dict[str, Any]):
    """
    No order and no event of another source is quarantined until a later version can read it.
    """
    response = here.post("/v1/events", "producer", json=[event(**body)])
    assert (403, "forbidden") == (response.status_code, problem_type(response))
    assert [] == quarantined(here.service.store)


def test_another_media_type_is_refused(here: World):
    """
    A body with another media type is not read as events.
    """
    response = here.post("/v1/events", "producer", content=b"[]", headers={"Content-Type": "text/plain"})

    assert (415, "media-type") == (response.status_code, problem_type(response))


def test_a_body_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path):
    """
    It is refused by its stated length, or once it is too long: the rest is not read.
    """
    asked: list[int] = []

    async def receive() -> Message:
        asked.append(1)
        return {"type": "http.request", "body": b"x" * 1_000, "more_body": True}

    async def parts() -> Any:
        for _ in range(100):
            asked.append(1)
            yield b"[" * 1_000

    limits = Limits(body_bytes=10_000)
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, limits=limits) as world:
        result = world.post(
            "/v1/events", "producer", content=b"x" * 10_001, headers={"Content-Type": "application/json"}
        )
        streamed = world.post("/v1/events", "producer", content=parts(), headers={"Content-Type": "application/json"})
        order = world.post("/v1/revocations", json=ORDER | {"note": "x" * 9_000})

    assert [(413, "too-large")] * 2 == [(one.status_code, problem_type(one)) for one in (result, streamed)]
    assert 11 >= len(asked)
    assert (400, "note") == (order.status_code, order.json()["parameter"])


@pytest.mark.parametrize("form", FORMS)
def test_one_request_has_a_limited_number_of_events(tmp_path: Path, form: str):
    """
    A body within the size limit but with too many events is refused as a whole, in every format.
    """
    media_type, body = FORMS[form]([event(number) for number in range(1, 5)])
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, limits=Limits(events=3)) as world:
        response = world.post("/v1/events", "producer", content=body, headers={"Content-Type": media_type})
        listed = world.get("/v1/search?q=t1").json()["items"]

    assert (413, "too-large", []) == (response.status_code, problem_type(response), listed)


# Orders


def test_an_order_is_in_force_when_it_is_answered(api: World):
    """
    The answer is 201, the author is the authenticated caller, and everything below is dead immediately.
    """
    plan = api.get("/v1/reach", params={"of": LEAKED}).json()
    response = api.post("/v1/revocations", json=ORDER | {"plan_digest": plan["plan_digest"], "note": "leaked"})
    order = response.json()

    assert (201, "human:dana@example.com", plan["kills"]) == (
        response.status_code, order["ordered_by"], order["kills"],
    )  # fmt: skip
    assert "revoked" == api.get("/v1/status", params={"of": LEAKED}).json()["state"]
    there = api.get(response.headers["location"]).json()
    assert (order["revocation"], KILLED, "leaked") == (
        there["revocation"], there["elements"], there["orders"][0]["note"],
    )  # fmt: skip


@pytest.mark.parametrize("field", ["ordered_by", "approved_by", "revocation", "effective_at", "max_kills"])
def test_a_body_cannot_name_the_author_of_an_order(here: World, field: str):
    """
    Unknown fields of an order are refused by name, above all an author.
    """
    response = here.post("/v1/revocations", json=ORDER | {field: "human:somebody"})

    assert (400, field) == (response.status_code, response.json()["parameter"])


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"target": None}, "target"),
        ({"target": "token:x"}, "target"),
        ({"target": {"kind": "token"}}, "target.id"),
        ({"target": {"kind": "action", "id": "x"}}, "target.kind"),
        ({"target": {"kind": "token", "id": " x"}}, "target.id"),
        ({"target": {"kind": "token", "id": "x", "more": 1}}, "target.more"),
        ({"reason": None}, "reason"),
        ({"reason": "because"}, "reason"),
        ({"mode": "kill"}, "mode"),
        ({"cascade": "no"}, "cascade"),
        ({"cascade": 0}, "cascade"),
        ({"unseen": "yes"}, "unseen"),
        ({"issued_before": "yesterday"}, "issued_before"),
        ({"issued_before": 7}, "issued_before"),
        ({"plan_digest": "abc"}, "plan_digest"),
        ({"note": ["x"]}, "note"),
        ({"note": "x" * 5_000}, "note"),
    ],
)
def test_an_invalid_field_is_named(here: World, change: dict[str, Any], parameter: str):
    """
    Whatever is wrong with an order, the answer names the field, and nothing is ordered.
    """
    response = here.post("/v1/revocations", json=ORDER | change)

    assert (400, "parameter", parameter) == (
        response.status_code, problem_type(response), response.json()["parameter"],
    )  # fmt: skip
    assert [] == here.get("/v1/revocations").json()["items"]


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"7",
        b"{",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b"\xff",
        b'{"a":' + b"[" * 30_000,
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
)
def test_a_body_that_is_not_an_object_is_refused(here: World, body: bytes):
    """
    A body must be one JSON object in UTF-8 without repeated keys.
    """
    response = here.post("/v1/revocations", content=body, headers={"Content-Type": "application/json"})

    assert (400, "parameter") == (response.status_code, problem_type(response))


def test_an_unknown_field_with_an_invalid_name_is_refused(here: World):
    """
    The name of an unknown field is repeated even if it contains half of a surrogate pair.
    """
    body = rb'{"target": {"kind": "token", "id": "t"}, "reason": "test", "\ud800": 1}'
    response = here.post("/v1/revocations", content=body, headers={"Content-Type": "application/json"})
    assert (400, "parameter") == (response.status_code, problem_type(response))


def test_a_credential_is_no_target(here: World):
    """
    A raw credential is refused, and is neither in the answer nor in the store.
    """
    secret = "ghp_" + "a1B2" * 9
    response = here.post("/v1/revocations", json=ORDER | {"target": {"kind": "token", "id": secret}})

    assert (400, "refused") == (response.status_code, problem_type(response))
    assert secret not in response.text


def test_an_order_that_has_drifted_is_refused_with_the_difference(api: World):
    """
    If a child was issued after the plan, 409 names it, nothing is ordered, and a new plan works.
    """
    digest = api.get("/v1/reach", params={"of": LEAKED}).json()["plan_digest"]
    api.post("/v1/events", "producer", json=[event(1)])
    drifted = api.post("/v1/revocations", json=ORDER | {"plan_digest": digest})
    digest = api.get("/v1/reach", params={"of": LEAKED}).json()["plan_digest"]

    assert (409, "drifted", ["token:t1"]) == (
        drifted.status_code, problem_type(drifted), drifted.json()["unlisted"],
    )  # fmt: skip
    assert "active" == api.get("/v1/status", params={"of": LEAKED}).json()["state"]
    assert 201 == api.post("/v1/revocations", json=ORDER | {"plan_digest": digest}).status_code


def test_every_refused_write_is_in_the_access_log(api: World, caplog: pytest.LogCaptureFixture):
    """
    Each line has the caller (null if unknown), the operation, the status and the reason, for 401, 403, 409 and all
    others. No line contains a credential from the path, the body or a header. Refused questions are not writes.
    """
    secret = api.token("responder", jti="secret")
    digest = api.get("/v1/reach", params={"of": LEAKED}).json()["plan_digest"]
    writes = ["/v1/events", "/v1/revocations", f"/v1/plans/{digest}/approvals", f"/v1/revocations/{secret}/lift"]
    writes.append("/v1/revocations/r1/acknowledgements")
    body = {"target": {"kind": "token", "id": secret}, "reason": "compromise"}
    drifted = ORDER | {"plan_digest": digest, "cascade": False}
    caplog.clear()
    with caplog.at_level("INFO", "lineage.deliver.http.access_log.access"):
        answers = [api.post(path, role, json=body) for path in writes for role in ("nobody", "investigator")]
        answers += [api.as_(None).post(path, json=body) for path in writes]
        answers += [api.bearing(f"{secret}x").post(path, json=body) for path in writes]
        answers += [api.post("/v1/revocations", json=drifted), api.post("/v1/revocations", json=body)]
        api.get("/v1/who?action=mail-7", "nobody")
    lines = [vars(record) for record in caplog.records if record.name.endswith("access")]
    refused = [line for line in lines if "status" in line]

    assert [answer.status_code for answer in answers] == [line["status"] for line in refused]
    assert {401, 403, 409, 400} == {line["status"] for line in refused}
    assert all((line["caller"] is None) == (line["status"] == 401) for line in refused)
    assert {NAMES["nobody"], NAMES["investigator"], NAMES["responder"], None} == {line["caller"] for line in refused}
    assert all(line["why"] and line["message"].startswith("POST /v1/") for line in refused)
    assert not [line for line in lines if secret in str(line) or secret.split(".")[1] in str(line)]


def test_an_unknown_target_is_not_found(here: World):
    """
    An order on an unseen target is most likely a mistake: 404, nothing is ordered, and the message says how to do it.
    """
    response = here.post("/v1/revocations", json=ORDER | {"target": {"kind": "token", "id": "none"}})

    assert (404, "not-found", "token:none") == (
        response.status_code, problem_type(response), response.json()["id"],
    )  # fmt: skip
    assert '"unseen": true' in response.json()["detail"]
    assert [] == here.get("/v1/revocations").json()["items"]


def test_an_unseen_target_can_be_revoked_explicitly(api: World):
    """
    A token that leaked before any fact names it is planned and ordered with `unseen`, once; tokens derived from it
    later are never valid.
    """
    order = ORDER | {"target": {"kind": "token", "id": "leaked-1"}}
    unseen = api.get("/v1/reach?of=token:leaked-1")
    plan = api.get("/v1/reach?of=token:leaked-1&unseen=true").json()
    deliberate = order | {"unseen": True, "plan_digest": plan["plan_digest"]}
    given, again = (api.post("/v1/revocations", json=deliberate, headers={"Idempotency-Key": "k"}) for _ in range(2))
    api.post("/v1/events", "producer", json=[event(derived_from=[{"token": "leaked-1", "role": "subject"}])])
    child = api.get("/v1/status?of=token:t1").json()

    assert (404, True) == (unseen.status_code, "unseen=true" in unseen.json()["detail"])
    assert {"tokens": [], "delegations": []} == plan["kills"]
    assert (201, False, 201, True) == (
        given.status_code, given.json()["repeated"], again.status_code, again.json()["repeated"],
    )  # fmt: skip
    assert ("cascaded", given.json()["revocation"]) == (child["state"], child["because"]["revocation"])


def test_a_repetition_with_the_same_key_is_one_order_even_after_a_restart(tmp_path: Path):
    """
    The same key with the same order is the same revocation, before and after a restart.
    """
    url, key = f"sqlite:///{tmp_path}/store.db", {"Idempotency-Key": "retry-1"}
    with api_over(url, tmp_path) as world:
        first, again = (world.post("/v1/revocations", json=ORDER, headers=key).json() for _ in range(2))
    with api_over(url, tmp_path) as world:
        restarted = world.post("/v1/revocations", json=ORDER, headers=key).json()
        listed = world.get("/v1/revocations").json()["items"]

    assert [(first["revocation"], False), (first["revocation"], True), (first["revocation"], True)] == [
        (order["revocation"], order["repeated"]) for order in (first, again, restarted)
    ]
    assert [first["revocation"]] == [item["revocation"] for item in listed]


def test_a_key_belongs_to_one_caller_and_one_order(here: World):
    """
    Another order with the key is refused; the same key of another caller is a different key.
    """
    key = {"Idempotency-Key": "retry-1"}
    first = here.post("/v1/revocations", json=ORDER, headers=key).json()
    other = here.post("/v1/revocations", json=ORDER | {"reason": "test"}, headers=key)
    token = here.token("responder", sub="human:eve@example.com")
    eve = here.bearing(token).post("/v1/revocations", json=ORDER, headers=key).json()

    assert (422, "idempotency-key-reused") == (other.status_code, problem_type(other))
    assert (False, True) == (eve["repeated"], eve["revocation"] != first["revocation"])


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\u00e9"])
def test_an_invalid_key_is_refused(here: World, key: str):
    """
    A key has up to 255 printable ASCII characters.
    """
    headers = {"Idempotency-Key": key.encode()}
    response = here.post("/v1/revocations", json=ORDER, headers=headers)

    assert (400, "Idempotency-Key") == (response.status_code, response.json()["parameter"])


def test_a_repeated_key_header_is_refused(here: World):
    """
    One of two headers may be someone else's.
    """
    headers = [("Authorization", f"Bearer {here.token('responder')}"), *(("Idempotency-Key", key) for key in "ab")]

    async def order() -> httpx.Response:
        transport = httpx.ASGITransport(here.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://us.example") as client:
            return await client.post("/v1/revocations", json=ORDER, headers=headers)

    response = asyncio.run(order())
    assert (400, "Idempotency-Key") == (response.status_code, response.json()["parameter"])
    assert [] == here.get("/v1/revocations").json()["items"]


def test_concurrent_repetitions_are_one_order(here: World):
    """
    Ten concurrent requests with one key are one order.
    """
    import asyncio

    headers = {"Authorization": f"Bearer {here.token('responder')}", "Idempotency-Key": "k"}

    async def all_at_once() -> list[bool]:
        transport = httpx.ASGITransport(here.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://us.example", headers=headers) as client:
            found = await asyncio.gather(*(client.post("/v1/revocations", json=ORDER) for _ in range(10)))
            return [response.json()["repeated"] for response in found]

    assert [False, *[True] * 9] == sorted(asyncio.run(all_at_once()))
    assert 1 == len(here.get("/v1/revocations").json()["items"])


def test_the_four_eyes_limit_applies_over_http(tmp_path: Path):
    """
    Above the configured number one caller alone may not order, and the body cannot name a second one.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, four_eyes=KILLED - 1) as world:
        response = world.post("/v1/revocations", json=ORDER)

    assert (400, "refused") == (response.status_code, problem_type(response))
    assert "more than the 2 that one person may decide, and needs a second person" in response.json()["detail"]


def test_a_lift_that_needs_two_people_names_the_command(tmp_path: Path):
    """
    Over HTTP a second person cannot be named: the refusal names the command that can.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, four_eyes=KILLED) as world:
        order = world.post("/v1/revocations", json=ORDER | {"mode": "suspend"}).json()
        world.app = create_app(replace(world.site, four_eyes=KILLED - 1))
        response = world.post(f"/v1/revocations/{order['revocation']}/lift")

    assert (400, "refused") == (response.status_code, problem_type(response))
    assert "use the command line, delegraph lift, with --approved-by" in response.json()["detail"]


def test_a_very_large_order_needs_a_plan(tmp_path: Path):
    """
    An order of more than a thousand elements needs the digest of a plan; the refusal names the question and the field.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        world.post("/v1/events", "producer", json=[event(number) for number in range(MAX_KILLS)])
        refused = world.post("/v1/revocations", json=ORDER)
        plan = world.get(f"/v1/reach?of={quote(LEAKED)}").json()["plan_digest"]
        given = world.post("/v1/revocations", json=ORDER | {"plan_digest": plan})

    detail = refused.json()["detail"]
    assert (400, "refused", 201) == (refused.status_code, problem_type(refused), given.status_code)
    assert ("GET /v1/reach" in detail, f"plan_digest, {plan}" in detail, "--" in detail) == (True, True, False)


def test_the_trust_file_applies_over_http(tmp_path: Path):
    """
    An order of a source that may not order is refused, instead of appended and then ignored.
    """
    every = SourceGrant(types=frozenset({"*"}), prefixes=("",))
    sources = ("https://idp.example", "https://gateway.example", "https://pdp.example")
    trust = Trust(table=TrustTable(dict.fromkeys(sources, every)), file="trust.toml")
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, trust=trust) as world:
        response = world.post("/v1/revocations", json=ORDER)
        listed = world.get("/v1/revocations").json()["items"]

    assert (400, "refused", []) == (response.status_code, problem_type(response), listed)
    assert "trust.toml" in response.json()["detail"]
    assert "--source" not in response.json()["detail"]


def test_a_repetition_after_a_lift_says_that_the_order_is_not_in_force(api: World):
    """
    The same key does not suspend again: the answer names the lift, and another key gives another order.
    """
    suspend = ORDER | {"mode": "suspend"}
    first = api.post("/v1/revocations", json=suspend, headers={"Idempotency-Key": "pause"}).json()
    lift = api.post(f"/v1/revocations/{first['revocation']}/lift", json={}).json()
    again = api.post("/v1/revocations", json=suspend, headers={"Idempotency-Key": "pause"})
    other = api.post("/v1/revocations", json=suspend, headers={"Idempotency-Key": "pause again"}).json()

    assert (201, True, lift["lifted_at"], lift["lifted_by"]) == (
        again.status_code, *(again.json()[name] for name in ("repeated", "lifted_at", "lifted_by")),
    )  # fmt: skip
    assert [False, False] == ["lifted_at" in one for one in (first, other)]
    assert not other["repeated"]


def test_a_lift_is_in_the_name_of_the_caller(api: World):
    """
    A lift ends a suspension; its author is the authenticated caller, and the answer lists what is active again.
    """
    order = api.post("/v1/revocations", json=ORDER | {"mode": "suspend"}).json()
    lifted = api.post(f"/v1/revocations/{order['revocation']}/lift", json={"note": "false alarm"})

    assert (200, "human:dana@example.com", KILLED) == (
        lifted.status_code, lifted.json()["lifted_by"], len(lifted.json()["comes_back"]["tokens"]),
    )  # fmt: skip
    assert "active" == api.get("/v1/status", params={"of": LEAKED}).json()["state"]
    assert 404 == api.post("/v1/revocations/none/lift").status_code


def test_a_receipt_equals_that_of_the_command_line(api: World):
    """
    The streamed lines are those that are printed, and the digest is that of these bytes.
    """
    order = api.post("/v1/revocations", json=ORDER).json()
    response = api.get(f"/v1/revocations/{order['revocation']}/receipt?at=2026-11-02T10:30:00Z")
    at = ASKED + 300_000_000
    with receipt.receipt(api.service, order["revocation"], at=at) as found:
        assert found is not None
        expected = b"".join(line + b"\n" for line in found.lines)

    assert ("application/x-ndjson", expected, KILLED) == (
        response.headers["content-type"], response.content, len(response.content.splitlines()),
    )  # fmt: skip


def test_a_client_that_leaves_before_a_receipt_begins_frees_its_reader(here: World):
    """
    A client that disconnects before the first line makes room for another reader.
    """
    order = here.post("/v1/revocations", json=ORDER).json()["revocation"]
    path = f"/v1/revocations/{order}/receipt"
    scope = get_scope(path, here.token(), "2.3")

    async def leave() -> Message:
        return {"type": "http.disconnect"}

    async def unheard(message: Message) -> None:
        await asyncio.Event().wait()  # nobody reads

    for _ in range(RECEIPTS):
        asyncio.run(here.app(scope, leave, unheard))
    assert 200 == here.get(path).status_code


def test_a_client_that_does_not_read_a_receipt_is_disconnected(here: World, monkeypatch: pytest.MonkeyPatch):
    """
    A client that stays connected without reading makes room for another reader after a timeout.
    """
    monkeypatch.setattr(answers, "TAKEN_SECONDS", 0.2)
    order = here.post("/v1/revocations", json=ORDER).json()["revocation"]
    path = f"/v1/revocations/{order}/receipt"
    scope = get_scope(path, here.token())

    async def stay() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def unheard(_message: Message) -> None:
        await asyncio.Event().wait()

    for _ in range(RECEIPTS):
        asyncio.run(here.app(scope, stay, unheard))
    assert 200 == here.get(path).status_code


def test_a_plan_that_is_too_large_is_refused_immediately(api: World):
    """
    If too much depends on a target for one request, the refusals of the plan and of the order name the remedy; nothing
    is ordered.
    """
    api.service.most = 2
    lines = [api.get("/v1/reach", params={"of": LEAKED}), api.post("/v1/revocations", json=ORDER)]

    assert [(400, "refused")] * 2 == [(one.status_code, problem_type(one)) for one in lines]
    assert all("more than 2 elements depend on it" in one.json()["detail"] for one in lines)
    assert f"delegraph revoke '{LEAKED}'" in lines[0].json()["detail"]
    assert 0 == api.get("/v1/revocations").json()["total"]


def test_an_acknowledgement_is_in_the_name_of_the_caller(api: World):
    """
    A registered receiver acknowledges an order; neither another receiver nor a body can do so for it.
    """
    registered = {
        "type": "receiver.registered",
        "event_id": "r1",
        "source": "urn:test:a",
        "occurred_at": "2026-11-02T10:00:00Z",
        "receiver": "urn:gateway",
    }
    api.post("/v1/events", "receiver", json=[registered])
    order = api.post("/v1/revocations", json=ORDER).json()
    path = f"/v1/revocations/{order['revocation']}/acknowledgements"
    response = api.post(path, "receiver", json={"outcome": "enforced", "token": ID})
    forged = api.post(path, "receiver", json={"outcome": "enforced", "receiver": "urn:other"})
    stranger = api.as_("receiver", sub="urn:other").post(path, json={"outcome": "enforced"})

    assert (201, "urn:gateway") == (response.status_code, response.json()["receiver"])
    assert (400, "receiver") == (forged.status_code, forged.json()["parameter"])
    assert (400, "refused") == (stranger.status_code, problem_type(stranger))
    [tally] = api.get(f"/v1/revocations/{order['revocation']}").json()["receivers"]
    assert ("urn:gateway", 1) == (tally["receiver"], tally["enforced"])


# What is unavailable


class AwayLog:
    """A log that can be switched to unavailable."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.away = False

    def __getattr__(self, name: str) -> Any:
        if self.__dict__["away"] and name != "close":
            raise UnavailableError("the broker does not answer")
        return getattr(self.__dict__["_log"], name)


def test_an_unavailable_log_is_503_for_writes_and_reported_in_answers(tmp_path: Path):
    """
    Without the log nothing is ordered or ingested, a plan is refused, and answers say that they may be stale.
    """
    made: list[AwayLog] = []

    def opening(log: Any) -> Any:
        made.append(AwayLog(log))
        return made[-1]

    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, opening=opening) as world:
        made[-1].away = True
        answers = [
            world.post("/v1/revocations", json=ORDER),
            world.post("/v1/events", "producer", json=[EVENT]),
            world.get("/v1/reach", params={"of": LEAKED}),
        ]
        status = world.get("/v1/status", params={"of": LEAKED})
        stale = world.get("/v1/reach", params={"of": LEAKED, "stale": "true"})
        ready = world.get("/readyz")

    assert [(503, "unavailable", "5")] * 3 == [
        (one.status_code, problem_type(one), one.headers["retry-after"]) for one in answers
    ]
    assert answers[-1].json()["detail"].endswith("; stale=true answers from what is projected")
    assert [(200, None), (200, None)] == [(one.status_code, one.json()["as_of"]["behind"]) for one in (status, stale)]
    assert (200, "away") == (ready.status_code, ready.json()["log"])


def test_a_store_that_is_locked_is_503(here: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    A store that another process has locked answers questions, and refuses events for now.
    """
    monkeypatch.setattr(here.service.store, "write", _locked)
    response = here.post("/v1/events", "producer", json=[EVENT])

    assert (503, "unavailable", "5") == (
        response.status_code, problem_type(response), response.headers["retry-after"],
    )  # fmt: skip
    assert 200 == here.get("/v1/status", params={"of": LEAKED}).status_code


def _locked(_batch: Any) -> Any:
    raise UnavailableError("the store is locked by another process; try again")


def test_a_damaged_or_missing_store_is_503(tmp_path: Path):
    """
    If the store cannot be read, the answer is a problem document, and readyz reports it.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        world.service.store.engine.dispose()
        connection = sqlite3.connect(tmp_path / "store.db")
        for table in ("fact", "position"):
            connection.execute(f"ALTER TABLE {table} RENAME TO {table}_gone")
        connection.commit()
        connection.close()
        answers = [world.get("/v1/status", params={"of": LEAKED}), world.get("/readyz")]

    assert [(503, "unavailable")] * 2 == [(one.status_code, problem_type(one)) for one in answers]


def test_decisions_are_accepted_as_events(here: World):
    """
    A decision sent over HTTP is in the timeline of its token.
    """
    body = {
        "type": "decision.made",
        "event_id": "d1",
        "source": "urn:test:pdp",
        "occurred_at": "2026-11-02T10:21:00Z",
        "decision": "dec-1",
        "permitted": True,
        "operation": "mail.send",
        "token": ID,
    }
    assert [1, 1, 0, 0, 0, 0] == counts(here.post("/v1/events", "producer", json=[body]))

    events = here.get("/v1/timeline", params={"of": LEAKED}).json()["items"]
    assert "dec-1" in [item["event"].get("decision") for item in events]
