"""Legal holds and deletions over HTTP and by the Python client: placed, listed, released, and refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lineage.core.model.errors import RefusedError
from lineage.serve.client import Client
from lineage.serve.client_problems import MissingError
from tests.support.http_clients import client_of
from tests.support.http_worlds import World, api_over, problem_type
from tests.support.secrets import JWT


@pytest.fixture
def api(tmp_path: Path) -> Iterator[World]:
    """The incident."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


@pytest.fixture
def client(api: World) -> Client:
    """A responder's client."""
    return client_of(api, "responder")


def test_a_hold_is_placed_listed_and_released_by_the_client(client: Client):
    placed = client.place_hold("Lawsuit", principal="human:alice@example.com", ends_at="2026-12-01T00:00:00Z")
    [listed] = client.holds()["items"]
    released = client.release_hold(placed["hold"], "Settled")

    assert listed == {name: value for name, value in placed.items() if name != "as_of"}
    assert (True, False) == (placed["in_force"], released["in_force"])
    assert ["placed", "released"] == [change["change"] for change in released["changes"]]
    assert ["Lawsuit", "Settled"] == [change["reason"] for change in released["changes"]]
    assert [] == client.deletions()["items"]


def test_what_cannot_be_held_is_refused(client: Client):
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
