"""Legal holds and deletions over HTTP and through the Python client: placed, listed, released, and refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lineage.core.model.errors import OtherOrderError, RefusedError
from lineage.serve.client import Client
from lineage.serve.client_problems import MissingError
from tests.support.http_clients import client_of
from tests.support.http_worlds import World, api_over, problem_type
from tests.support.secrets import JWT


@pytest.fixture
def api(tmp_path: Path) -> Iterator[World]:
    """Return the API over the incident."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


@pytest.fixture
def client(api: World) -> Client:
    """Return a responder's client."""
    return client_of(api, "responder")


def test_a_hold_is_placed_listed_and_released_by_the_client(client: Client):
    placed = client.place_hold("Lawsuit", principal="human:alice@example.com", ends_at="2026-12-01T00:00:00Z")
    [listed] = client.holds()["items"]
    released = client.release_hold(placed["hold"], "Settled")

    assert listed == {name: value for name, value in placed.items() if name not in ("as_of", "repeated")}
    assert (True, False) == (placed["in_force"], released["in_force"])
    assert ["placed", "released"] == [change["change"] for change in released["changes"]]
    assert ["Lawsuit", "Settled"] == [change["reason"] for change in released["changes"]]
    assert [] == client.deletions()["items"]


def test_an_invalid_hold_is_refused(client: Client):
    with pytest.raises(RefusedError, match="names a principal"):
        client.place_hold("Lawsuit")
    with pytest.raises(RefusedError, match="there is no case"):
        client.place_hold("Lawsuit", case="none")
    with pytest.raises(MissingError):
        client.release_hold("none", "Settled")
    assert [] == client.holds()["items"]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"reason": "x", "everything": True, "colour": "red"}, "parameter"),
        ({"reason": "x", "everything": "yes"}, "parameter"),
        ({"reason": "x", "starts_at": "yesterday"}, "parameter"),
        ({"reason": f"x {JWT}", "everything": True}, "bad-record"),
        ({"principal": "human:alice"}, "refused"),
    ],
)
def test_a_bad_body_is_a_problem(api: World, body: dict[str, object], word: str):
    response = api.post("/v1/holds", "responder", json=body)

    assert (400, word) == (response.status_code, problem_type(response))


def test_a_repetition_with_the_same_key_changes_nothing(client: Client):
    """A repeated placement or release returns the hold as it is; a different one is refused."""
    alice = "human:alice@example.com"
    first = client.place_hold("Lawsuit", principal=alice, key="k1")
    again = client.place_hold("Lawsuit", principal=alice, key="k1")
    with pytest.raises(OtherOrderError):
        client.place_hold("Another lawsuit", principal=alice, key="k1")
    released = client.release_hold(first["hold"], "Settled", key="k2")
    repeated = client.release_hold(first["hold"], "Settled", key="k2")
    late = client.place_hold("Lawsuit", principal=alice, key="k1")

    assert (False, True) == (first["repeated"], again["repeated"])
    assert (False, True) == (released["repeated"], repeated["repeated"])
    assert first["changes"] == again["changes"]
    assert released["changes"] == repeated["changes"] == late["changes"]
    assert 1 == client.holds()["total"]


def test_the_key_of_another_caller_is_another_key(api: World):
    """Nobody can learn of a hold by guessing a key."""
    body = {"reason": "x", "everything": True}
    for name in ("human:dana@example.com", "human:eve@example.com"):
        caller = api.as_("responder", sub=name)
        response = caller.post("/v1/holds", json=body, headers={"Idempotency-Key": "k"})
        assert (201, False) == (response.status_code, response.json()["repeated"])


def test_a_released_hold_cannot_be_released_again(client: Client):
    placed = client.place_hold("Lawsuit", everything=True)
    client.release_hold(placed["hold"], "Settled")
    with pytest.raises(RefusedError, match=r"is not in force: human:dana@example\.com released it at"):
        client.release_hold(placed["hold"], "Settled again")


def test_an_unknown_party_is_held_only_on_request(client: Client):
    with pytest.raises(RefusedError, match="no fact names the principal human:alcie"):
        client.place_hold("Lawsuit", principal="human:alcie")
    assert client.place_hold("Lawsuit", principal="human:alcie", unseen=True)["in_force"]


def test_the_plan_and_the_state_list_what_holds_keep(client: Client, api: World):
    placed = client.place_hold("Lawsuit", everything=True)
    state = client.retention()
    plan = client.retention_plan("2026-11-02T10:00:00Z")
    refused = api.get("/v1/retention/plan")
    future = api.get("/v1/retention/plan?before=2999-01-01T00:00:00Z")

    assert placed["in_force"]
    assert (1, None, None, False) == tuple(state[name] for name in ("holds_in_force", "last_run", "due_at", "overdue"))
    assert [("decisions", None), ("orders", None)] == [(one["topic"], one["days"]) for one in state["topics"]]
    assert (0, 0, 0) == (plan["records"], plan["old"], plan["held"])
    assert (400, "parameter", "before") == (refused.status_code, problem_type(refused), refused.json()["parameter"])
    assert (400, True) == (future.status_code, "has not passed" in future.json()["detail"])
