"""MCP at a gateway read as events: hand-made records for every rule, and those of a real gateway if available."""

from typing import Any

import pytest

from ingest.codec.credentials import handle
from ingest.sources.adapters import FORMATS
from tests.support.adapter_tables import Row, check, read

ISS = "https://idp.test"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CLAIMS = {"iss": ISS, "jti": "t1", "sub": "ann@example.org", "client_id": "boss", "aud": "https://mcp.test/files"}
NESTED = CLAIMS | {
    "jti": "t2",
    "client_id": "hand",
    "act": {"sub": "hand", "act": {"sub": "middle", "act": {"sub": "boss"}}},
}
ABSENT = object()


def call(
    name: str = "read_file", *, id_: Any = 7, meta: dict[str, Any] | None = None, **arguments: Any
) -> dict[str, Any]:
    """Build a request to call a tool."""
    params = {"name": name, "arguments": arguments} | ({"_meta": meta} if meta else {})
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params}


def record(
    request: Any, claims: Any = CLAIMS, *, status: int = 200, response: Any = ABSENT, **headers: str
) -> dict[str, Any]:
    """Build an exchange as the gateway logs it."""
    if response is ABSENT:
        response = {"jsonrpc": "2.0", "id": 7, "result": {"content": [], "isError": False}}
    return {
        "time": "2026-03-01T10:00:00.123456Z",
        "method": "POST",
        "path": "/files",
        "status": status,
        "request_headers": {"host": "mcp.test", "content-type": "application/json"} | headers,
        "token_claims": claims,
        "request": request,
        "response_headers": {},
        "response": response,
    }


CALLED = {"type": "action.performed", "operation": "tools/call", "tool": "read_file", "outcome": "succeeded"}
BY_BOSS = {"actor": f"{ISS}#boss", "on_behalf_of": f"{ISS}#ann@example.org", "prior_actors": None}
BOSS = {"type": "principal.registered", "principal": f"{ISS}#boss", "kind": "agent"}
ANN = {"type": "principal.registered", "principal": f"{ISS}#ann@example.org", "kind": "human"}

ROWS = [
    Row(
        "a tool is called by the client that the token was issued to, for its subject",
        [record(call(path="/a", meta={"traceparent": TRACE}))],
        [
            CALLED
            | BY_BOSS
            | {
                "token": f"{ISS}#t1",
                "traceparent": TRACE,
                "resource": {"type": "mcp-server", "id": "mcp.test/files"},
                "params_digest": handle('{"path":"/a"}'),
            },
            BOSS,
            ANN,
        ],
    ),
    Row(
        "the chain of actors comes from act, root to leaf",
        [record(call(), NESTED)],
        [
            CALLED
            | {
                "token": f"{ISS}#t2",
                "actor": f"{ISS}#hand",
                "prior_actors": [f"{ISS}#boss", f"{ISS}#middle"],
                "on_behalf_of": f"{ISS}#ann@example.org",
            },
            {"type": "principal.registered", "principal": f"{ISS}#hand", "kind": "agent"},
            {"type": "principal.registered", "principal": f"{ISS}#boss", "kind": "agent"},
            {"type": "principal.registered", "principal": f"{ISS}#middle", "kind": "agent"},
            ANN,
        ],
    ),
    Row(
        "a service account's sub is not a person, although it looks like a mailbox",
        [record(call(), CLAIMS | {"sub": "robot@project.iam.gserviceaccount.com"})],
        [CALLED | {"on_behalf_of": f"{ISS}#robot@project.iam.gserviceaccount.com"}, BOSS],
    ),
    Row(
        "a client without a user acts for nobody",
        [record(call(), {"iss": ISS, "jti": "t3", "sub": "boss", "client_id": "boss"})],
        [CALLED | {"actor": f"{ISS}#boss", "on_behalf_of": None}],
    ),
    Row(
        "an actor of another issuer is qualified by that issuer",
        [record(call(), CLAIMS | {"act": {"iss": "https://other.test", "sub": "hand"}})],
        [
            CALLED | {"actor": "https://other.test#hand"},
            {"type": "principal.registered", "principal": "https://other.test#hand", "kind": "agent"},
            ANN,
        ],
    ),
    Row(
        "the header has the tool of a request whose body names none",
        [record({"jsonrpc": "2.0", "id": 7, "method": "tools/call"}, None, **{"mcp-name": "read_file"})],
        [CALLED | {"actor": None, "token": None}],
    ),
    Row(
        "without claims the token is identified by its digest",
        [record(call(), None, authorization=f"Bearer {handle('x')}")],
        [CALLED | {"token": handle("x"), "actor": None}],
    ),
    *(
        Row(
            f"outcome {outcome}: {about}",
            [record(call(), None, status=status, response=response)],
            [CALLED | {"outcome": outcome}],
        )
        for outcome, about, status, response in [
            ("failed", "a tool's own error comes with status 200", 200, {"id": 7, "result": {"isError": True}}),
            ("failed", "an error of the protocol", 200, {"id": 7, "error": {"code": -32602, "message": "?"}}),
            ("failed", "an error of the server", 502, None),
            ("denied", "the bearer was refused", 401, {"error": "invalid_token"}),
            ("denied", "a scope was missing", 403, {"error": "insufficient_scope"}),
            ("succeeded", "a response to another request does not count", 200, {"id": 8, "error": {}}),
            (
                "failed",
                "in a stream the response is the message with the request's id",
                200,
                [{"method": "notifications/progress"}, {"id": 8, "result": {}}, {"id": 7, "result": {"isError": True}}],
            ),
        ]
    ),
    Row(
        "each call of a batch is an action",
        [
            record(
                [call("a", id_=1), {"method": "ping", "id": 2}, call("b", id_=3)],
                None,
                response=[{"id": 3, "error": {}}],
            )
        ],
        [CALLED | {"tool": "a"}, CALLED | {"tool": "b", "outcome": "failed"}],
    ),
    Row(
        "a refused bearer is reported whatever the request, and registers nobody",
        [record({"jsonrpc": "2.0", "id": 1, "method": "server/discover"}, status=401), record(None, None, status=401)],
        [
            {"type": "action.performed", "operation": "server/discover", "outcome": "denied", "tool": None} | BY_BOSS,
            {"type": "action.performed", "operation": "POST", "outcome": "denied", "actor": None},
        ],
    ),
    Row(
        "a request that is not a call is skipped",
        [record({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}), record(None), record("?"), record([])],
        skipped=["not-a-tool-call", "no-request", "no-request", "no-request"],
    ),
    Row("without a time it is quarantined", [record(call()) | {"time": "noon"}], faults=["bad-time"]),
]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_rule(row: Row):
    """
    A record, its events, and the rules of the kit: any order, twice, across a restart.
    """
    check(FORMATS["mcp"], row)


def test_the_bearer_token_is_stored_nowhere():
    """
    Only a digest of the authorization header is kept, whatever the gateway left in it.
    """
    (event,) = read(FORMATS["mcp"], [record(call(), None, authorization="Bearer not-a-known-shape-0123456789")]).events

    assert event["token"].startswith("sha256:")


def test_malformed_values_yield_no_event_and_no_crash():
    """
    Any value may be in the place of an expected one.
    """
    odd = [record(call(), value) for value in ([], "x", {"act": {"act": 1}}, {"sub": 5}, {"iss": ISS, "act": []})]
    odd += [record(call(), None, response=value) for value in ("x", 5, [[]], [None])]

    found = read(FORMATS["mcp"], odd)

    assert (len(odd), []) == (sum(event["type"] == "action.performed" for event in found.events), found.faults)
