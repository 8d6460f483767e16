"""The questions as MCP tools: the same answers as over HTTP, with every transport, and nothing else."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from mcp import Client
from mcp.types import CallToolResult, ListToolsResult

from lineage.core.model.references import about
from lineage.deliver.http.callers import Caller, Role
from lineage.serve.mcp.tools import TOOLS
from lineage.serve.queries.records import cited_events
from tests.support.desk import Desk
from tests.support.http_worlds import LEAKED, World, api_over
from tests.support.mcp_clients import answer_in, in_process, over_http, over_stdio, problem_in
from tests.support.places import ROOT
from tests.support.serving import process
from tests.support.stores import Fresh

AT = "2026-11-02T10:25:00Z"
MAILER = "principal:agent:mailer"
CALLS: dict[str, dict[str, Any]] = {
    "who": {"action": "mail-7", "at": AT},
    "chain": {"of": LEAKED, "at": AT},
    "status": {"of": [LEAKED, MAILER], "at": AT},
    "reach": {"of": LEAKED, "at": AT, "cascade": False},
    "actions": {"tool": "mail", "limit": 3, "at": AT},
    "findings": {"severity": ["high", "critical"], "at": AT},
    "overview": {"at": AT},
    "search": {"q": "mailer"},
    "principals": {"kind": "agent", "at": AT},
    "tokens": {"holder": "agent:mailer", "at": AT},
    "delegations": {"state": "active", "at": AT},
    "timeline": {"of": MAILER, "limit": 5},
    "cases": {"limit": 5},
}


@pytest.fixture(scope="module")
def world(fresh: Fresh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("mcp")
    with fresh() as url, api_over(url, folder) as world:
        assert 201 == world.post("/v1/cases", "responder", json={"title": "Leak", "case": "INC-1"}).status_code
        yield world


def call(world: World, name: str, arguments: dict[str, Any], **more: Any) -> CallToolResult:
    async def ask(client: Client) -> CallToolResult:
        return await client.call_tool(name, arguments)

    return in_process(world.site, ask, **more)


def over_api(world: World, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    values = {key: json.dumps(value) if isinstance(value, bool) else value for key, value in arguments.items()}
    document: dict[str, Any] = world.get(f"/v1/{name}", params=values).json()
    return document


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_answers_as_the_http_api_does(world: World, name: str):
    """
    The document is the same, key by key, with the events that support it.
    """
    answer = answer_in(call(world, name, CALLS[name]))

    rests_on = answer.pop("rests_on")
    assert over_api(world, name, CALLS[name]) == answer
    assert rests_on["complete"]
    if name != "overview":
        assert rests_on["events"]


def test_every_tool_has_a_schema_that_its_calls_satisfy(world: World):
    """
    Each describes its arguments, declares that it only reads, and refuses unknown arguments.
    """

    async def ask(client: Client) -> ListToolsResult:
        return await client.list_tools()

    tools = {tool.name: tool for tool in in_process(world.site, ask).tools}
    assert list(TOOLS) == list(tools)
    for name, tool in tools.items():
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        jsonschema.validate(CALLS[name], tool.input_schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**CALLS[name], "no_such": "x"}, tool.input_schema)
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert tool.description


def test_no_tool_changes_the_log(world: World):
    """
    However often the tools are called, no record is added to the log.
    """
    log = world.service.require_log()
    before = log.ends()
    for name, arguments in CALLS.items():
        answer_in(call(world, name, arguments))

    assert before == log.ends()


def test_who_cites_every_event_about_its_chain(world: World):
    """
    The cited events are all events about the action, its decision, its tokens and grants, and its parties.
    """
    answer = answer_in(call(world, "who", CALLS["who"]))

    named = {"action:mail-7", f"decision:{answer['decision']['decision']}"}
    named |= {f"token:{token}" for token in answer["tokens"]}
    named |= {f"delegation:{delegation}" for delegation in answer["delegations"]}
    named |= {f"principal:{hop['principal']}" for hop in answer["chain"]}
    with world.service.reader() as reader:
        facts = [fact for key in named for fact in reader.facts_mentioning(key) if about(fact.event) in named]
    cited = {(event["source"], event["event_id"]) for event in answer["rests_on"]["events"]}
    assert {(fact.event.source, fact.event.event_id) for fact in facts} <= cited


def test_an_order_behind_a_state_is_cited(world: World):
    """
    The order that ended a token is cited for its state, but not before the order was recorded.
    """
    body = {"target": {"kind": "token", "id": "unused-1"}, "reason": "test", "unseen": True}
    order = world.post("/v1/revocations", json=body).json()
    later = answer_in(call(world, "status", {"of": "token:unused-1"}))
    with world.service.reader() as reader:
        [fact] = reader.known_about([f"revocation:{order['revocation']}"])

    assert ("revoked", order["revocation"]) == (later["state"], later["because"]["revocation"])
    assert [fact.event.event_id] == [event["event_id"] for event in later["rests_on"]["events"]]
    assert (
        404 == problem_in(call(world, "status", {"of": "token:unused-1", "known_at": "2026-11-02T10:00:00Z"}))["status"]
    )


def test_a_truncated_list_of_cited_events_says_so(world: World, monkeypatch: pytest.MonkeyPatch):
    """
    The list of events has a limit, and a truncated one is not called complete.
    """
    monkeypatch.setattr(cited_events, "MOST_EVENTS", 2)
    cut = answer_in(call(world, "who", CALLS["who"]))["rests_on"]
    monkeypatch.setattr(cited_events, "MOST_EVENTS", 1_000)
    monkeypatch.setattr(cited_events, "MOST_KEYS", 2)
    few = answer_in(call(world, "who", CALLS["who"]))["rests_on"]

    assert (2, False) == (len(cut["events"]), cut["complete"])
    assert not few["complete"]


@pytest.mark.parametrize(
    ("name", "arguments", "type_", "why"),
    [
        ("who", {"action": "nope"}, "not-found", "no fact names 'nope'"),
        ("who", {}, "parameter", "action: is missing"),
        ("who", {"action": "mail-7", "colour": "red"}, "parameter", "colour: there is no such parameter here"),
        ("who", {"action": {"id": "mail-7"}}, "parameter", "action: is neither a text"),
        ("who", {"action": None}, "parameter", "action: is neither a text"),
        ("who", {"action": "x" * 600}, "parameter", "action: the id"),
        ("status", {"of": "mailer"}, "parameter", "of: 'mailer' is not KIND:ID"),
        ("status", {"of": LEAKED, "at": "yesterday"}, "parameter", "at: 'yesterday'"),
        ("actions", {"limit": 0}, "parameter", "limit: '0' is not a number"),
        ("actions", {"after": "forged"}, "parameter", "after:"),
        ("revoke", {"target": LEAKED}, "refused", "there is no tool 'revoke'; there are: who, chain"),
    ],
)
def test_an_invalid_call_gets_a_problem_that_names_the_error(
    world: World, name: str, arguments: dict[str, Any], type_: str, why: str
):
    """
    The result of the call is the same problem document as over HTTP, so that the agent can read it.
    """
    document = problem_in(call(world, name, arguments))

    assert f"urn:delegraph:problem:{type_}" == document["type"]
    assert why in document["detail"]


def test_the_roles_of_the_http_api_apply(world: World):
    """
    A producer may not call tools; an investigator and a responder may.
    """
    producer = Caller(name="service:p", roles=frozenset({Role.PRODUCER}), sources=("urn:p",))
    responder = Caller(name="human:r", roles=frozenset({Role.RESPONDER}))

    assert 403 == problem_in(call(world, "overview", {}, caller=producer))["status"]
    assert "findings" in answer_in(call(world, "overview", {}, caller=responder))


def test_calls_are_logged_without_credentials(world: World, caplog: pytest.LogCaptureFixture):
    """
    Each call is one line with the caller and the ids, as for a request.
    """
    caplog.set_level(logging.INFO)
    call(world, "who", {"action": "mail-7"})
    [line] = [record for record in caplog.records if record.getMessage() == "MCP who"]

    assert ("human:ida@example.com", ["mail-7"]) == (vars(line)["caller"], vars(line)["action"])


@pytest.mark.slow
def test_an_agent_on_this_machine_asks_over_standard_input_and_output(tmp_path: Path):
    """
    `delegraph mcp` as a process lists the tools, answers, reports an invalid call, and continues.
    """
    Desk(tmp_path).run("ingest", str(ROOT / "examples" / "incident.jsonl"))

    async def ask(client: Client) -> tuple[int, CallToolResult, CallToolResult, CallToolResult]:
        tools = await client.list_tools()
        first = await client.call_tool("who", {"action": "mail-7"})
        wrong = await client.call_tool("who", {"action": "nope"})
        return len(tools.tools), first, wrong, await client.call_tool("search", {"q": "rival"})

    count, first, wrong, last = over_stdio(tmp_path, ask, "--store", f"sqlite:///{tmp_path}/delegraph.db")

    assert len(TOOLS) == count
    assert "human:alice@example.com" == answer_in(first)["human"]
    assert 404 == problem_in(wrong)["status"]
    assert answer_in(last)["items"]


@pytest.mark.slow
def test_an_agent_asks_a_server_with_a_token(tmp_path: Path):
    """
    `/mcp` of `delegraph serve` accepts a token of the store with the right role, until it is revoked.
    """
    desk = Desk(tmp_path)
    desk.run("ingest", str(ROOT / "examples" / "incident.jsonl"))
    reader = desk.one("token", "create", "--role", "investigator", "--name", "agent:helper")
    producer = desk.one("token", "create", "--role", "producer", "--name", "p", "--source", "urn:p")
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"Accept": "application/json, text/event-stream"}

    async def ask(client: Client) -> CallToolResult:
        return await client.call_tool("who", {"action": "mail-7"})

    with process(tmp_path, "serve") as (_, link):
        url = link.partition("/sign-in")[0]

        def status(token: str | None, method: str = "POST", **more: Any) -> int:
            headers = accept | ({} if token is None else {"Authorization": f"Bearer {token}"}) | more.pop("headers", {})
            return httpx.request(method, f"{url}/mcp", headers=headers, **more).status_code

        assert "human:alice@example.com" == answer_in(over_http(url, ask, token=reader["token"]))["human"]
        assert 200 == status(reader["token"], json=body)
        assert 403 == status(producer["token"], json=body)
        assert 401 == status(None, json=body)
        assert 401 == status("dgt_" + "0" * 64, json=body)
        assert 405 == status(reader["token"], "GET")
        assert 405 == status(reader["token"], "DELETE")
        assert 400 == status(reader["token"], content=b"{")
        assert 421 == status(reader["token"], json=body, headers={"Host": "evil.example"})
        assert 413 == status(reader["token"], content=b"0" * 20_000_000)
        assert 'path="/mcp",status="200"' in httpx.get(f"{url}/metrics").text
        desk.run("token", "revoke", reader["id"])
        assert 401 == status(reader["token"], json=body)
