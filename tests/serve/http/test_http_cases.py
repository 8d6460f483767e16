"""Cases over HTTP and through the Python client: opened, changed, read page by page, and refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lineage.core.model.errors import RefusedError
from lineage.serve.client import Client
from lineage.serve.client_problems import MissingError
from tests.support import case_checker
from tests.support.http_clients import client_of
from tests.support.http_worlds import LEAKED, World, api_over, problem_type
from tests.support.secrets import JWT

RANGE = "from=2026-11-02T09:40:00Z&agent=agent:mailer"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[World]:
    """Return the API over the incident."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


@pytest.fixture
def client(api: World) -> Client:
    """Return a responder's client."""
    return client_of(api, "responder")


def test_a_case_is_opened_changed_and_read_by_the_client(api: World, client: Client):
    """
    The author is the caller; items have their present state; the history has every change.
    """
    opened = client.open_case("Leaked token", items=[LEAKED, "action:mail-7"], case="INC/1 é")
    client.change_case("INC/1 é", "added", items=[{"kind": "actions", "id": RANGE}], note="after the leak")
    client.change_case("INC/1 é", "assigned", assignee="human:eve@example.com")
    client.change_case("INC/1 é", "noted", note="The bank called.")
    found = client.case("INC/1 é")
    assert found is not None

    me = opened["opened_by"]
    assert [LEAKED, "action:mail-7"] == [f"{one['kind']}:{one['id']}" for one in found["items"][:2]]
    assert "agent=agent%3Amailer&from=2026-11-02T09%3A40%3A00.000000Z" == found["items"][2]["id"]
    assert ("human:eve@example.com", 3, 2) == (found["assignee"], found["contains"], found["notes"])
    assert ["opened", "added", "assigned", "noted"] == [one["change"] for one in client.case_changes("INC/1 é")]
    assert {me} == {one["by"] for one in client.case_changes("INC/1 é")}
    assert found["items"] == list(client.case_items("INC/1 é", at=found["at"]))
    assert ["INC/1 é"] == [one["case"] for one in client.cases(of=LEAKED)]
    assert [] == list(client.cases(status="closed"))
    assert client.case("none") is None


def test_a_key_opens_one_case(client: Client):
    """
    The same request with the same key returns the same case; a different one is refused.
    """
    first = client.open_case("Leak", key="k1")
    again = client.open_case("Leak", key="k1")

    assert (first["case"], False, True) == (again["case"], first["repeated"], again["repeated"])
    with pytest.raises(RefusedError, match="already"):
        client.open_case("Another leak", key="k1")


def test_concurrent_changes_of_a_case_lose_nothing(client: Client):
    """
    The second request states a version, is refused, and learns what changed; without a version both changes count.
    """
    seen = client.open_case("Leak", case="INC-1")["version"]
    client.change_case("INC-1", "closed", note="over", version=seen)
    with pytest.raises(RefusedError, match="changed meanwhile: closed by"):
        client.change_case("INC-1", "assigned", assignee="human:eve", version=seen)
    client.change_case("INC-1", "assigned", assignee="human:eve")

    assert ["opened", "closed", "assigned"] == [one["change"] for one in client.case_changes("INC-1")]


def test_an_unknown_item_is_not_added(client: Client):
    """
    Either all items are added, or none.
    """
    client.open_case("Leak", case="INC-1")
    with pytest.raises(MissingError, match="action:none"):
        client.change_case("INC-1", "added", items=[LEAKED, "action:none"])
    with pytest.raises(MissingError):
        client.change_case("none", "noted", note="x")

    assert 0 == client.case("INC-1")["contains"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "body", "status", "type", "detail"),
    [
        ("/v1/cases", {}, 400, "refused", "needs a title"),
        ("/v1/cases", {"title": "x", "colour": "red"}, 400, "parameter", "there is no such field"),
        ("/v1/cases", {"title": "x", "items": [{"kind": "receiver", "id": "r"}]}, 400, "parameter", "is none of"),
        ("/v1/cases", {"title": "x", "items": [{"kind": "token", "id": "t"}] * 257}, 400, "parameter", "at most 256"),
        ("/v1/cases", {"title": f"Leak of {JWT}"}, 400, "bad-record", "raw credential"),
        ("/v1/cases/INC-1/changes", {"change": "opened"}, 400, "parameter", "is none of"),
        ("/v1/cases/INC-1/changes", {"change": "noted", "note": JWT}, 400, "bad-record", "raw credential"),
        ("/v1/cases/INC-1/changes", {"change": "noted", "note": "x" * 5_000}, 400, "parameter", "at most 4096"),
        ("/v1/cases/INC-1/changes", {"change": "closed", "assignee": "human:x"}, 400, "parameter", "only for"),
        ("/v1/cases/INC-1/changes", {"change": "closed", "version": "0"}, 409, "changed", "changed meanwhile"),
        ("/v1/cases/none/changes", {"change": "closed"}, 404, "not-found", "none"),
    ],
)  # fmt: skip
def test_invalid_input_is_refused(
    api: World, client: Client, path: str, body: dict[str, object], status: int, type: str, detail: str
):
    """
    With a problem document that says what is wrong; nothing is changed, and no credential is repeated.
    """
    client.open_case("Leak", case="INC-1")
    response = api.as_("responder").request("POST", path, json=body)

    assert (status, type) == (response.status_code, problem_type(response))
    assert detail in response.json()["detail"]
    assert JWT not in response.text
    assert 1 == len(list(client.cases()))
    assert 1 == len(list(client.case_changes("INC-1")))


@pytest.mark.parametrize("query", ["?after=x", "?of=none", "?status=odd", "/INC-1?after=x", "/INC-1/changes?after=x"])
def test_an_invalid_question_names_its_parameter(api: World, client: Client, query: str):
    """
    This covers a cursor of another list and an invalid filter.
    """
    client.open_case("Leak", case="INC-1")
    response = api.as_("responder").get(f"/v1/cases{query}")

    assert (400, "parameter") == (response.status_code, problem_type(response))


def test_an_export_is_that_of_the_command_line_and_signed(api: World, client: Client):
    """
    It is available as JSON and as a separate page; with a key, its canonical JSON is signed.
    """
    client.open_case("Leak", items=[LEAKED, "action:mail-7"], case="INC-1")
    found = client.case_export("INC-1")
    page = api.as_("investigator").get("/v1/cases/INC-1/export?format=html")

    assert found is not None
    assert [] == list(case_checker.faults(dict(found)))
    assert ("text/html", 200) == (page.headers["content-type"].partition(";")[0], page.status_code)
    assert "mail-7" in page.text
    assert client.case_export("none") is None
