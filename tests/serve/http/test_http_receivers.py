"""Enforcement points over HTTP: who may register, mark and deliver again, and in whose name."""

from dataclasses import replace
from typing import Any

import pytest

from lineage.core.model.errors import RefusedError
from lineage.deliver.http.signing_keys import new_keys
from lineage.serve.http.asgi.app import create_app
from lineage.store.server_info import Database
from tests.support.http_clients import client_of
from tests.support.http_worlds import LEAKED, World
from tests.support.http_writes import ORDER

WALL = "https://wall.example"


def test_from_unknown_to_closed_in_the_name_of_the_caller(api: World, monkeypatch: pytest.MonkeyPatch):
    """The responder registers, delivers again and marks by hand; the verdict says who marked it."""
    server = Database("PostgreSQL", "18", api.site.now)  # its clock agrees with that of the world
    monkeypatch.setattr("lineage.store.server_clock.database_of", lambda _: server)
    id_ = api.post("/v1/revocations", json=ORDER).json()["revocation"]
    unknown = api.get(f"/v1/revocations/{id_}").json()["verdict"]
    registered = api.post("/v1/receivers", json={"receiver": WALL, "deadline_seconds": 60})
    again = api.post(f"/v1/revocations/{id_}/deliveries")
    marked = api.post(f"/v1/revocations/{id_}/marks", json={"receiver": WALL, "reason": "phoned"})
    closed = api.get(f"/v1/revocations/{id_}").json()

    assert [201, 200, 201] == [registered.status_code, again.status_code, marked.status_code]
    assert ("UNKNOWN", "CLOSED", "CLOSED") == (unknown, marked.json()["verdict"], closed["verdict"])
    assert again.json()["written"] == again.json()["elements"] == marked.json()["elements"] == 3
    assert [("human:dana@example.com", "phoned", 3)] == [
        (one["by"], one["reason"], one["elements"]) for one in closed["by_hand"]
    ]
    assert [WALL] == [one["receiver"] for one in api.get("/v1/receivers").json()["items"]]


def test_what_is_open_at_one_enforcement_point_is_delivered_again(here: World):
    """The request is refused if nothing is open; the list has the contact, if the settings have one."""
    here.site = replace(here.site, contacts={WALL: "wall team"})
    client = client_of(replace(here, app=create_app(here.site)), "responder")
    order = client.revoke(LEAKED, reason="test")
    for receiver in (WALL, "urn:other"):
        client.register(receiver)
    client.mark_by_hand(order["revocation"], WALL, reason="phoned")
    with pytest.raises(RefusedError, match="nothing is open at"):
        client.deliver_again(order["revocation"], receiver=WALL)
    again = client.deliver_again(order["revocation"], receiver="urn:other")

    assert (3, "urn:other") == (again["elements"], again["receiver"])
    assert [(WALL, "wall team"), ("urn:other", None)] == [
        (one["receiver"], one["contact"]) for one in client.receivers()
    ]


def test_a_receiver_registers_only_itself_and_marks_nothing(here: World):
    """It may register its own name; registering another name and marking by hand need a responder."""
    own = here.post("/v1/receivers", "receiver", json={"receiver": "urn:gateway"})
    other = here.post("/v1/receivers", "receiver", json={"receiver": WALL})
    producer = here.post("/v1/receivers", "producer", json={"receiver": WALL})
    mark = here.post("/v1/revocations/r/marks", "receiver", json={"receiver": "urn:gateway", "reason": "done"})

    assert [201, 403, 403, 403] == [one.status_code for one in (own, other, producer, mark)]


def test_a_body_cannot_name_the_author(here: World):
    """There is no field `by`: it is the authenticated caller."""
    response = here.post("/v1/revocations/r/marks", json={"receiver": WALL, "reason": "done", "by": "human:bob"})

    assert (400, "by") == (response.status_code, response.json()["parameter"])


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"receiver": None}, "receiver"),
        ({"receiver": ""}, "receiver"),
        ({"kinds": ["principal"]}, "kinds"),
        ({"kinds": "token"}, "kinds"),
        ({"issuers": [1]}, "issuers.0"),
        ({"deadline_seconds": 0}, "deadline_seconds"),
        ({"deadline_seconds": True}, "deadline_seconds"),
        ({"deadline_seconds": 10**12}, "deadline_seconds"),
        ({"covers": []}, "covers"),
    ],
)
def test_an_invalid_field_of_a_registration_is_named(here: World, change: dict[str, Any], parameter: str):
    """Nothing is registered then."""
    response = here.post("/v1/receivers", json={"receiver": WALL, **change})

    assert (400, parameter) == (response.status_code, response.json()["parameter"])
    assert 0 == here.get("/v1/receivers").json()["total"]


def test_the_client_registers_and_marks(here: World):
    """Its methods are typed, and refusals raise exceptions of the client."""
    client = client_of(here, "responder")
    order = client.revoke(LEAKED, reason="test")
    client.register(WALL, kinds=["token"])
    with pytest.raises(RefusedError):
        client.mark_by_hand(order["revocation"], "urn:ghost", reason="phoned")
    again = client.deliver_again(order["revocation"])
    marked = client.mark_by_hand(order["revocation"], WALL, reason="phoned")

    assert [WALL] == [one["receiver"] for one in client.receivers()]
    assert (3, "CLOSED") == (again["elements"], marked["verdict"])


@pytest.mark.parametrize("nonce", ["", "x" * 129, "x" * 1_000_000, "ü", "a\nb", 7])
def test_an_invalid_nonce_is_refused_before_any_point_is_asked(here: World, nonce: Any):
    """An oversized, empty, multi-line, non-ASCII or non-text nonce is an error that does not repeat it."""
    here.site = replace(here.site, keys=new_keys())
    id_ = here.post("/v1/revocations", json=ORDER).json()["revocation"]
    world = replace(here, app=create_app(here.site))
    response = world.post(f"/v1/revocations/{id_}/proofs", json={"nonce": nonce})

    assert response.status_code in (400, 413)
    assert len(response.text) < 1_000


def test_a_lifted_order_has_no_proof(here: World):
    """The answer is 400 with the time of the lift; an unknown order has no proof either."""
    here.site = replace(here.site, keys=new_keys())
    world = replace(here, app=create_app(here.site))
    id_ = world.post("/v1/revocations", json={**ORDER, "mode": "suspend"}).json()["revocation"]
    world.post(f"/v1/revocations/{id_}/lift", json={})
    lifted = world.post(f"/v1/revocations/{id_}/proofs", json={})

    assert (400, 404) == (lifted.status_code, world.post("/v1/revocations/none/proofs", json={}).status_code)
    assert "was lifted at" in lifted.json()["detail"]
