"""The Python client of the HTTP API: answers, pagination, retries and exceptions."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lineage.core.model.errors import DriftError, OtherOrderError, RefusedError, UnavailableError
from lineage.deliver.http.callers import ForbiddenError, UnauthenticatedError
from lineage.serve import http_client as client_module
from lineage.serve.client_problems import MissingError
from lineage.serve.http_client import Client
from lineage.serve.queries.activity import governance
from lineage.serve.queries.findings.findings import findings as findings_of
from lineage.serve.queries.history.timeline import timeline
from lineage.serve.queries.inventory.search import search as search_of
from tests.support.http_clients import URL, client_of
from tests.support.http_worlds import ASKED, HOST, LEAKED, World, api_over

ID = LEAKED.removeprefix("token:")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[World]:
    """The incident."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


def test_answers_are_the_documents(api: World):
    """
    The client returns the server's document, or None for an unknown id.
    """
    client = client_of(api)
    expected = (
        api.service.who("mail-7", at=ASKED),
        api.service.chain("token", ID, at=ASKED),
        api.service.status("token", ID, at=ASKED),
    )

    assert expected == (client.who("mail-7"), client.chain(LEAKED), client.status(LEAKED))
    assert (None, None, None) == (client.who("none"), client.status("token:none"), client.revocation("none"))


def test_the_client_gets_the_graph_the_dossier_and_the_progress(api: World):
    """
    Without findings no node has any; the plan may be made from what the store has.
    """
    client = client_of(api)
    graph, dossier = client.graph(LEAKED, findings=False, most=5), client.dossier(LEAKED)
    plan = client.reach(LEAKED, stale=True)

    assert graph is not None
    assert dossier is not None
    assert plan is not None
    assert (("token", ID), 3) == ((dossier["kind"], dossier["id"]), len(plan["kills"]["tokens"]))
    assert len(graph["nodes"]) <= 5
    assert 0 == client.health()["as_of"]["behind"]
    assert (None, None) == (client.graph("token:none"), client.dossier("token:none"))


def test_lists_load_further_pages(api: World, monkeypatch: pytest.MonkeyPatch):
    """
    Every item comes once and in order, however small the pages; the list of an unknown thing is empty.
    """
    monkeypatch.setattr(client_module, "PAGE", 1)
    client = client_of(api)
    document = timeline(api.service, "token", ID)
    assert document is not None

    assert document["items"] == list(client.timeline(LEAKED))
    assert search_of(api.service, "mailer")["items"] == list(client.search("mailer"))
    assert findings_of(api.service, at=ASKED)["items"] != []
    assert [] == list(client.uses("token:none"))


def test_the_questions_of_governance_are_those_of_the_command_line(api: World, monkeypatch: pytest.MonkeyPatch):
    """
    Every agent, grant and action comes once and in order, however small the pages; a page says if more grants follow.
    """
    monkeypatch.setattr(client_module, "PAGE", 1)
    client, service, agent = client_of(api), api.service, "agent:mailer"
    span = {"start": 0, "end": ASKED}
    held, done = governance.held(service, agent, **span), governance.done(service, agent, **span)
    allowed = governance.allowed(service, agent, at=ASKED)
    assert held is not None
    assert done is not None
    assert allowed is not None

    assert governance.active(service, **span)["items"] == list(client.active_agents())
    assert held["items"] == list(client.held(agent))
    assert done["items"] == list(client.done(f"principal:{agent}"))
    first = client.allowed(agent)
    assert first is not None
    assert (allowed["items"][:1], False) == (first["items"], first["complete"])
    assert (allowed["effective_scopes"], allowed["total"]) == (first["effective_scopes"], first["total"])
    assert (None, []) == (client.allowed("agent:none"), list(client.held("agent:none")))


def test_a_finding_is_found_by_its_id(api: World):
    """
    The client's filters are the server's, and a finding that does not exist is None.
    """
    client = client_of(api)
    found = list(client.findings(severity="high", of="action:mail-7"))

    assert {"wielder-mismatch"} == {one["kind"] for one in found}
    assert [one["why"] for one in found] == [
        there["why"] for one in found if (there := client.finding(one["id"])) is not None
    ]
    assert client.finding("F-00000000000000000000") is None


def test_an_order_from_plan_to_receipt(api: World):
    """
    Plan, order with its digest, board, receipt, lift: the steps of a playbook.
    """
    client = client_of(api, "responder")
    plan = client.reach(LEAKED)
    assert plan is not None
    order = client.revoke(plan["target"], reason="test", plan_digest=plan["plan_digest"], key="k")
    again = client.revoke(LEAKED, reason="test", key="k")
    there = client.revocation(order["revocation"])
    lines = client.receipt(order["revocation"])
    lifted = client.lift(order["revocation"], note="done")

    assert (order["revocation"], True) == (again["revocation"], again["repeated"])
    assert there is not None
    assert [order["revocation"]] * 3 == [
        there["revocation"],
        lifted["revocation"],
        *{line["revocation"] for line in lines},
    ]
    assert sorted(plan["kills"]["tokens"]) == [line["id"] for line in lines]
    assert [order["revocation"]] == [entry["revocation"] for entry in client.revocations()]


def test_an_unseen_target_is_ordered_if_the_caller_says_so(api: World):
    """
    An unseen target cannot be planned or ordered, unless the caller allows it.
    """
    client = client_of(api, "responder")
    with pytest.raises(MissingError):
        client.revoke("token:leaked-1", reason="test")
    plan = client.reach("token:leaked-1", unseen=True)
    assert plan is not None
    order = client.revoke(plan["target"], reason="test", plan_digest=plan["plan_digest"], unseen=True)
    status = client.status("token:leaked-1")

    assert (None, "leaked-1") == (client.reach("token:leaked-2"), order["target"]["id"])
    assert status is not None
    assert "revoked" == status["state"]


def test_the_client_respects_the_page_size_of_revocations(api: World):
    """
    A page of revocations is smaller than other pages; the client still gets all of them.
    """
    parameters = api.get("/openapi.json").json()["paths"]["/v1/revocations"]["get"]["parameters"]
    most = next(one["schema"]["maximum"] for one in parameters if one["name"] == "limit")
    client = client_of(api, "responder")
    order = client.revoke(LEAKED, reason="test")

    assert client_module.PAGE_OF_REVOCATIONS == most
    assert [order["revocation"]] == [entry["revocation"] for entry in client.revocations()]


def test_a_principal_is_found_by_its_id(api: World):
    """
    The owner of an agent comes with the source that states it; for an unknown id there is no answer.
    """
    client = client_of(api, "responder")
    found = client.identity("principal:agent:mailer")
    assert found is not None
    assert found["owner"] is not None

    assert ("human:alice@example.com", "https://directory.example") == (
        found["owner"]["value"],
        found["owner"]["source"],
    )
    assert None is client.identity("principal:agent:courier")


def test_the_graph_of_principals_has_the_blast_radius_of_a_target(api: World):
    """
    The client reads the graph of principals with what a revocation would end; around an unknown id there is none.
    """
    client = client_of(api, "responder")
    found = client.principals_graph("principal:agent:mailer", target="token:https://idp.example#mailer-1")
    assert found is not None

    assert ("agent:planner", "agent:mailer") in {(edge["from"], edge["to"]) for edge in found["edges"]}
    assert found["target"] is not None
    assert None is client.principals_graph("principal:agent:courier")


def test_events_are_sent(api: World):
    """
    A producer sends events and gets their counts.
    """
    event = {
        "type": "principal.registered",
        "event_id": "e",
        "source": "urn:test:a",
        "principal": "human:x",
        "occurred_at": "2026-11-02T10:00:00Z",
        "kind": "human",
    }

    assert (1, 0) == (client_of(api, "producer").send([event])["accepted"], client_of(api, "producer").send([])["read"])


def test_problems_raise_exceptions_of_the_client(api: World):
    """
    Each type of problem document raises its exception.
    """
    client = client_of(api, "responder")
    client.revoke("principal:agent:mailer", reason="test", mode="suspend", key="k")
    with pytest.raises(DriftError) as drift:
        client.revoke(LEAKED, reason="test", plan_digest="0" * 64)
    faults = []
    for ask in (
        lambda: client.revoke(LEAKED, reason="other", key="k"),
        lambda: client.send([]),
        lambda: Client(URL, token="x", http=client._http).who("a"),
        lambda: client.who("a\nb"),
        lambda: client.lift("none"),
    ):
        with pytest.raises(RefusedError) as fault:
            ask()
        faults.append(type(fault.value))

    assert LEAKED in drift.value.unlisted
    assert [OtherOrderError, ForbiddenError, UnauthenticatedError, RefusedError, MissingError] == faults


@pytest.mark.parametrize("status", [503, 502])
def test_the_client_retries_after_503_as_told(status: int):
    """
    After 503 the client waits for the stated time and retries; it returns the final answer.
    """
    waits: list[float] = []
    answers = [
        httpx.Response(
            503,
            headers={"Retry-After": "7"},
            json={"type": "urn:delegraph:problem:unavailable", "detail": "away", "status": 503},
        ),
        httpx.Response(status, text="<html>"),
        httpx.Response(200, json={"kind": "token"}),
    ]
    http = httpx.Client(transport=httpx.MockTransport(lambda _: answers.pop(0)))
    client = Client(URL, http=http, sleep=waits.append)

    assert ({"kind": "token"}, [7.0, 1.0]) == (client.status("token:x"), waits)


def test_a_server_that_does_not_answer_is_unavailable():
    """
    After a few attempts the client gives up, and the message names the server.
    """
    waits: list[float] = []

    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    client = Client(URL, http=httpx.Client(transport=httpx.MockTransport(refuse)), sleep=waits.append)
    with pytest.raises(UnavailableError, match=HOST):
        client.who("x")

    assert client_module.TRIES - 1 == len(waits)
