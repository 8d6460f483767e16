"""Who may register a receiver, over HTTP and by the trust file; and that nobody can silence one this way."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineage.store.reading.revocation_facts import load_receivers
from tests.support.desk import Desk
from tests.support.http_worlds import NAMES, World, api_over, problem_type

GATEWAY, OTHER = NAMES["receiver"], "urn:other-gateway"
SOURCE = "urn:test:a"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[World]:
    with api_over(f"sqlite:///{tmp_path}/facts.db", tmp_path, empty=True) as world:
        yield world


def registration(receiver: str = GATEWAY, number: int = 1, **fields: Any) -> dict[str, Any]:
    key = {"event_id": f"r{number}", "source": SOURCE, "occurred_at": "2026-11-02T08:00:00Z"}
    return {"type": "receiver.registered", **key, "receiver": receiver, **fields}


def issued(number: int = 2, **fields: Any) -> dict[str, Any]:
    key = {"event_id": f"t{number}", "source": SOURCE, "occurred_at": "2026-11-02T08:00:00Z"}
    return {"type": "token.issued", **key, "token": "idp#t1", "subject": "human:a", **fields}


def registered(world: World) -> set[str]:
    with world.service.store.reader(trust=None) as reader:
        known = reader.world()
        load_receivers(reader, known)
    return {one.receiver for one in known.receivers.registered()}


ALL = ["producer", "receiver", "responder", "investigator"]
MATRIX = [
    (["producer"], GATEWAY, 403),
    (["producer"], NAMES["producer"], 403),
    (["producer", "investigator"], OTHER, 403),
    (["investigator"], OTHER, 403),
    (["receiver"], OTHER, 403),
    (["receiver", "producer"], OTHER, 403),
    (["receiver"], GATEWAY, 200),
    (["receiver", "producer"], GATEWAY, 200),
    (["responder"], GATEWAY, 200),
    (["responder", "producer"], OTHER, 200),
    (ALL, OTHER, 200),
]


@pytest.mark.parametrize(("roles", "receiver", "status"), MATRIX)
def test_a_receiver_registers_itself_a_responder_any_and_a_producer_none(
    api: World, roles: list[str], receiver: str, status: int
):
    """
    This holds whatever other roles they have; the receiver's name is the one with which it authenticated.
    """
    response = api.as_("receiver", roles=roles).post("/v1/events", json=[registration(receiver)])

    assert status == response.status_code, response.text
    assert ({receiver} if status == 200 else set()) == registered(api)
    assert status == 200 or "forbidden" == problem_type(response)


def test_a_request_with_a_refused_registration_is_refused_as_a_whole(api: World):
    """
    The problem names the event and the required role, and the events before it are not appended.
    """
    response = api.post("/v1/events", "producer", json=[issued(), registration()])

    assert 403 == response.status_code
    assert "event 2 registers a receiver, which requires the role receiver" in response.json()["detail"]
    assert 404 == api.get("/v1/status", params={"of": "token:idp#t1"}).status_code


@pytest.mark.parametrize("role", ["receiver", "responder"])
def test_a_caller_without_the_producer_role_may_only_send_registrations(api: World, role: str):
    """
    No other event, and nothing for the quarantine.
    """
    other = api.post("/v1/events", role, json=[registration(), issued()])
    garbage = api.post("/v1/events", role, json=[{"type": "nonsense"}])
    wrong = api.post("/v1/events", role, json=[registration(kinds="token")])

    assert [403, 403, 400] == [response.status_code for response in (other, garbage, wrong)]
    assert "event 1: " in wrong.json()["detail"]
    assert (set(), []) == (registered(api), api.get("/v1/quarantine").json()["items"])


@pytest.mark.parametrize("roles", [["producer"], ["producer", "receiver"], ["producer", "responder"]])
@pytest.mark.parametrize("change", [{"more": 1}, {"kinds": "token"}, {"receiver": None}])
def test_an_unreadable_registration_is_not_quarantined(api: World, roles: list[str], change: Any):
    """
    A later version might be able to read it, but could no longer tell whether its sender was allowed to send it.
    """
    response = api.as_("producer", roles=roles).post("/v1/events", json=[registration() | change])

    assert (400 if len(roles) > 1 else 403) == response.status_code
    assert [] == api.get("/v1/quarantine").json()["items"]


@pytest.mark.parametrize(
    ("source", "sources", "status"),
    [(GATEWAY, [], 200), (GATEWAY, None, 200), (SOURCE, [], 403), (SOURCE, ["urn:test:*"], 200), ("urn:x", [], 403)],
)
def test_a_registration_has_a_source_of_the_caller_or_its_own_name(
    api: World, source: str, sources: list[str] | None, status: int
):
    """
    A receiver needs no sources to register itself, and may use nobody else's.
    """
    client = api.as_("receiver", sources=sources)

    assert status == client.post("/v1/events", json=[registration() | {"source": source}]).status_code


def test_a_name_is_not_a_pattern(api: World):
    """
    A caller named ``urn:*`` may use that source, and none below it.
    """
    client = api.as_("receiver", sub="urn:*", sources=[])
    found = [client.post("/v1/events", json=[registration("urn:*") | {"source": it}]) for it in ("urn:*", "urn:x")]

    assert [200, 403] == [response.status_code for response in found]


def test_nobody_is_silenced_by_a_registration(api: World):
    """
    A responder narrows a receiver after an order: its verdict stays PARTIAL there, and the narrowing is a finding.
    Clause 10.7.
    """
    api.post("/v1/events", "producer", json=[issued()])
    api.post("/v1/events", "responder", json=[registration(GATEWAY), registration(OTHER, 2)])
    order = {"target": {"kind": "token", "id": "idp#t1"}, "reason": "test"}
    revocation = api.post("/v1/revocations", json=order).json()["revocation"]
    path = f"/v1/revocations/{revocation}"
    fields = {"outcome": "enforced", "token": "idp#t1"}
    assert 201 == api.as_("receiver", sub=OTHER).post(f"{path}/acknowledgements", json=fields).status_code
    api.clock.now += 60_000_000
    narrower = registration(GATEWAY, 3, kinds=["delegation"]) | {"occurred_at": "9999-01-01T00:00:00Z"}
    assert 200 == api.post("/v1/events", "responder", json=[narrower]).status_code

    found = api.get(path).json()
    assert ("PARTIAL", [GATEWAY]) == (found["verdict"], [one["receiver"] for one in found["open"]])
    listed = api.get("/v1/findings").json()["items"]
    for findings in (found["findings"], listed):
        [finding] = [one for one in findings if one["kind"] == "coverage-narrowed"]
        assert (f"receiver:{GATEWAY}", ["r1", "r3"]) == (finding["of"], [it["event_id"] for it in finding["facts"]])
        assert "kinds: (delegation), before all" in finding["why"]


TRUSTED = """
[sources."urn:test:a"]
types = {types}
prefixes = {prefixes}

[sources."urn:soc"]
types = ["revocation.ordered"]
prefixes = [""]
"""


@pytest.mark.parametrize(
    ("types", "prefixes", "covers"),
    [
        (["receiver.registered"], ["urn:gateway"], True),
        (["*"], [""], True),
        (["token.issued", "revocation.acknowledged"], [""], False),
        (["receiver.registered"], ["urn:other"], False),
    ],
)
def test_a_registration_needs_a_source_that_may_send_it(
    tmp_path: Path, types: list[str], prefixes: list[str], covers: bool
):
    """
    The trust file must allow its type and that receiver. Otherwise it is kept, counted, and covers nothing. Clause
    2.12.
    """
    trust = tmp_path / "trust.toml"
    trust.write_text(TRUSTED.format(types=json.dumps(types), prefixes=json.dumps(prefixes)))
    desk = Desk(tmp_path, ("--trust", str(trust)))
    order = {"target": {"kind": "token", "id": "idp#t1"}, "reason": "test", "ordered_by": "human:ir", "revocation": "r"}
    key = {"event_id": "o", "source": "urn:soc", "occurred_at": "2026-11-02T09:00:00Z"}
    found = desk.take(registration(), {"type": "revocation.ordered", **key, **order})

    assert (1 + covers, 1 - covers) == (found["accepted"], found["unauthorised"])
    assert [GATEWAY] * covers == [one["receiver"] for one in desk.one("closure", "r")["receivers"]]
