"""The decision logs of OPA and Cerbos read as events: hand-made records for every rule, and real ones if available."""

from typing import Any

import pytest

from ingest.codec.credentials import handle
from ingest.sources.adapters import FORMATS
from tests.support.adapter_tables import Row, check

ISS = "https://idp.test"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CLAIMS = {"iss": ISS, "jti": "t1", "sub": "ann", "act": {"sub": "hand", "act": {"sub": "boss"}}}
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJ0MSJ9.c2lnbmF0dXJl"
ABSENT = object()


def line(result: Any = ABSENT, **extra: Any) -> dict[str, Any]:
    """Build a decision of OPA, as OPA posts it: the agent hand wants to read d1."""
    asked = {
        "subject": {"type": "agent", "id": "hand"},
        "action": {"name": "read"},
        "resource": {"type": "document", "id": "d1"},
    }
    made = {
        "decision_id": "D",
        "labels": {"app": "gateway"},
        "path": "agent/authz/allow",
        "input": asked,
        "requested_by": "127.0.0.1:1",
        "timestamp": "2026-03-01T10:00:00.123456789Z",
    }
    return made | ({} if result is ABSENT else {"result": result}) | extra


def asked(**extra: Any) -> dict[str, Any]:
    """Build the input of a decision, with some members changed."""
    return {"input": line()["input"] | extra}


HAND = {"type": "principal.registered", "principal": "opa:agent:hand", "kind": "agent", "display_name": "hand"}
MADE = {"type": "decision.made", "decision": "opa#D", "operation": "read", "actor": "opa:agent:hand"}
PERMIT, DENY = MADE | {"permitted": True}, MADE | {"permitted": False}
SETTLED = FORMATS["opa"].source("authz", options={"permitted_path": "answer.ok"})

RESULTS: list[tuple[Any, bool | None]] = [
    *(
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        ("maybe", None),
        (1, None),
        ([], None),
        (None, None),
    ),
    *(({"allow": True}, True), ({"allow": False, "reasons": ["no"]}, False), ({"allowed": True, "headers": {}}, True)),
    *(
        ({"decision": False, "context": {}}, False),
        ({"decision": {"decision": True}}, True),
        ({"result": "false"}, False),
    ),
    *(
        ({"apiVersion": "admission.k8s.io/v1", "response": {"allowed": False}}, False),
        ({"violations": []}, None),
        ({}, None),
    ),
]

OPA = [
    *(
        Row(
            f"{result!r} is {'no decision' if permitted is None else 'a permit' if permitted else 'a deny'}",
            [line(result)],
        )._replace(
            **(
                {"skipped": ["no-permit-or-deny"]}
                if permitted is None
                else {"events": [MADE | {"permitted": permitted}, HAND]}
            )
        )
        for result, permitted in RESULTS
    ),
    Row("undefined is not a denial", [line()], skipped=["undefined-result"]),
    Row("an error is not a denial", [line(error={"code": "eval_conflict_error"})], skipped=["evaluation-error"]),
    Row(
        "an ad-hoc query binds arbitrary variables",
        [{name: value for name, value in line([{"x": False}], query="data.a = x").items() if name != "path"}],
        skipped=["ad-hoc-query"],
    ),
    Row(
        "a decision among other lines of the console is the same",
        [
            line(
                True,
                level="info",
                msg="Decision Log",
                time="2026-03-01T10:00:00Z",
                type="openpolicyagent.org/decision_logs",
            ),
            {
                "level": "info",
                "msg": "Received request.",
                "req_id": 1,
                "req_method": "POST",
                "time": "2026-03-01T10:00:00Z",
            },
            {
                "level": "info",
                "msg": "Logs uploaded successfully.",
                "plugin": "decision_logs",
                "time": "2026-03-01T10:00:01Z",
            },
            line(True),
        ],
        [PERMIT, PERMIT, HAND],
        skipped=["server-log", "server-log"],
    ),
    Row(
        "a posted body is an array, with headers or without",
        [[line(True)], {"path": "/logs", "headers": {"Content-Encoding": "gzip"}, "body": [line(True)]}],
        [PERMIT, PERMIT, HAND],
    ),
    Row(
        "if the settings name a path, that is the answer",
        [line({"allow": False, "answer": {"ok": True}}), line({"allow": True}, decision_id="E")],
        [
            {"type": "decision.made", "decision": "authz#D", "permitted": True, "actor": "authz:agent:hand"},
            {"type": "principal.registered", "principal": "authz:agent:hand"},
        ],
        skipped=["no-permit-or-deny"],
        source=SETTLED,
    ),
    Row(
        "the other statements of the request, the policy and its answer",
        [
            line(
                {"decision": False, "context": {"reasons": ["agents may only read"]}},
                **asked(
                    context={"on_behalf_of": "ann", "session": "s1", "tool": "files", "ip": "::1"}, token=handle("x")
                ),
                bundles={"b": {"revision": "2"}, "a": {"revision": "1"}},
                request_context={"http": {"headers": {"traceparent": [TRACE]}}},
            )
        ],
        [
            DENY
            | {
                "on_behalf_of": "opa:user:ann",
                "session": "opa#s1",
                "context": {"tool": "files"},
                "token": handle("x"),
                "resource": {"type": "document", "id": "d1"},
                "policy": {"id": "agent/authz/allow", "version": "a=1 b=2"},
                "reasons": ["agents may only read"],
                "traceparent": TRACE,
                "occurred_at": "2026-03-01T10:00:00.123456789Z",
            },
            HAND,
        ],
    ),
    Row(
        "an unmasked token is replaced by its digest",
        [line(True, **asked(token=JWT))],
        [PERMIT | {"token": handle(JWT)}, HAND],
    ),
    Row(
        "a masked token has the id that the mask sets",
        [line(True, **asked(token_id=f"{ISS}#t1"))],
        [PERMIT | {"token": f"{ISS}#t1"}, HAND],
    ),
    Row(
        "if the mask sets the claims, the subject is one of the issuer's, and has a chain",
        [line(True, **asked(token_claims=CLAIMS))],
        [
            PERMIT
            | {
                "token": f"{ISS}#t1",
                "actor": f"{ISS}#hand",
                "on_behalf_of": f"{ISS}#ann",
                "prior_actors": [f"{ISS}#boss"],
            },
            {"type": "principal.registered", "principal": f"{ISS}#hand", "kind": "agent"},
        ],
    ),
    Row(
        "a user is a person, and an id that declares its kind is unchanged",
        [
            line(True, **asked(subject={"type": "user", "id": "ann"})),
            line(True, **asked(subject={"id": "agent:hand"}), decision_id="E"),
            line(True, **asked(subject="hand"), decision_id="F"),
        ],
        [
            PERMIT | {"actor": "opa:user:ann"},
            PERMIT | {"actor": "agent:hand", "decision": "opa#E"},
            PERMIT | {"actor": "opa:subject:hand", "decision": "opa#F"},
            {"type": "principal.registered", "principal": "opa:user:ann", "kind": "human", "display_name": "ann"},
        ],
    ),
    *(
        Row(
            about,
            [line(True, input=said)],
            [
                PERMIT | {"actor": None, "operation": operation, "resource": resource}
                if "user" not in said
                else PERMIT | {"actor": "opa:user:ann", "operation": operation, "resource": resource},
                *(
                    [{"type": "principal.registered", "principal": "opa:user:ann", "kind": "human"}]
                    if "user" in said
                    else []
                ),
            ],
        )
        for about, said, operation, resource in [
            (
                "a request for a path",
                {"method": "GET", "path": ["pay", "bob"], "user": "ann"},
                "GET",
                {"id": "pay/bob"},
            ),
            ("a path in one string", {"method": "GET", "path": "/pay/bob"}, "GET", {"id": "/pay/bob"}),
            ("Envoy's", {"attributes": {"request": {"http": {"method": "PUT", "path": "/x"}}}}, "PUT", {"id": "/x"}),
            ("an action and a resource as one word", {"action": "write", "resource": "r1"}, "write", {"id": "r1"}),
            ("nothing known", {"x": 1}, "agent/authz/allow", None),
            ("no object", ["x"], "agent/authz/allow", None),
        ]
    ),
    Row("without a time it is quarantined", [line(True, timestamp="noon")], faults=["bad-time"]),
]


@pytest.mark.parametrize("row", OPA, ids=str)
def test_each_rule_of_opa(row: Row):
    """
    A record, its events, and the rules of the kit: any order, twice, across a restart.
    """
    check(FORMATS["opa"], row)


EFFECTS = {"read": {"effect": "EFFECT_ALLOW", "policy": "resource.document.v1"}, "drop": {"effect": "EFFECT_DENY"}}
CHECKED = {"type": "decision.made", "actor": "cerbos:principal:hand", "resource": {"type": "document", "id": "d1"}}


def checked(*resources: str, actions: Any = None, principal: Any = None, **extra: Any) -> dict[str, Any]:
    """Build a check of Cerbos."""
    inputs = [
        {
            "requestId": "same-for-all",
            "principal": {"id": "hand", "roles": ["agent"]} | (principal or {}),
            "resource": {"kind": "document", "id": id_, "attr": {"owner": "ann"}},
            "actions": list(EFFECTS),
        }
        | extra
        for id_ in resources
    ]
    outputs = [{"requestId": "same-for-all", "resourceId": id_, "actions": actions or EFFECTS} for id_ in resources]
    return {"inputs": inputs, "outputs": outputs}


def entry(**extra: Any) -> dict[str, Any]:
    """Build an entry of Cerbos' audit log."""
    return {
        "callId": "C",
        "timestamp": "2026-03-01T10:00:00.123456789Z",
        "peer": {"address": "127.0.0.1:1"},
        "metadata": {"traceparent": {"values": [TRACE]}},
    } | extra


IN_FILE = {"log.logger": "cerbos.audit", "log.kind": "decision"}
ACCESS = entry(method="/cerbos.svc.v1.CerbosService/CheckResources")
DENIED = CHECKED | {"decision": "cerbos#C/0/drop", "operation": "drop", "permitted": False}
ALLOWED = CHECKED | {"decision": "cerbos#C/0/read", "operation": "read", "permitted": True}

CERBOS = [
    Row(
        "each resource and action is a decision, whatever the id of the request",
        [entry(checkResources=checked("d1", "d2")) | IN_FILE],
        [
            DENIED | {"policy": None, "context": {"roles": "agent"}, "traceparent": TRACE},
            ALLOWED | {"policy": {"id": "resource.document.v1"}},
            {"decision": "cerbos#C/1/drop", "permitted": False, "resource": {"type": "document", "id": "d2"}},
            {"decision": "cerbos#C/1/read", "permitted": True},
        ],
    ),
    Row(
        "from Kafka the entry is the same, and its kind is only in the headers",
        [
            {
                "key_hex": "01",
                "headers": {"cerbos.audit.kind": "decision"},
                "value": entry(checkResources=checked("d1")),
            },
            {"key_hex": "01", "headers": {"cerbos.audit.kind": "access"}, "value": ACCESS},
            entry(checkResources=checked("d1")) | IN_FILE,
        ],
        [DENIED, ALLOWED, DENIED, ALLOWED],
        skipped=["access-entry"],
    ),
    Row(
        "an older version wrote inputs and outputs into the entry itself",
        [entry(**checked("d1")) | IN_FILE],
        [DENIED, ALLOWED],
    ),
    Row(
        "the token's claims name its parties; the principal is one of them",
        [entry(checkResources=checked("d1", auxData={"jwt": CLAIMS}))],
        [
            (DENIED if position == 0 else ALLOWED)
            | {
                "token": f"{ISS}#t1",
                "actor": f"{ISS}#hand",
                "on_behalf_of": f"{ISS}#ann",
                "prior_actors": [f"{ISS}#boss"],
            }
            for position in range(2)
        ],
    ),
    Row(
        "a principal that is none of them uses a token issued to others",
        [
            entry(
                checkResources=checked(
                    "d1", actions={"read": EFFECTS["read"]}, principal={"id": "thief"}, auxData={"jwt": CLAIMS}
                )
            )
        ],
        [
            ALLOWED
            | {
                "token": f"{ISS}#t1",
                "actor": "cerbos:principal:thief",
                "on_behalf_of": f"{ISS}#ann",
                "prior_actors": [f"{ISS}#boss", f"{ISS}#hand"],
            }
        ],
    ),
    Row(
        "an agent on the chain only has the parties before it",
        [
            entry(
                checkResources=checked(
                    "d1", actions={"read": EFFECTS["read"]}, principal={"id": "boss"}, auxData={"jwt": CLAIMS}
                )
            )
        ],
        [ALLOWED | {"actor": f"{ISS}#boss", "prior_actors": None, "on_behalf_of": f"{ISS}#ann"}],
    ),
    Row(
        "the application's statements about the principal",
        [
            entry(
                checkResources=checked(
                    "d1",
                    actions={"read": EFFECTS["read"]},
                    principal={"attr": {"on_behalf_of": "human:ann", "session": "s1", "delegation": f"{ISS}#g1"}},
                )
            )
        ],
        [ALLOWED | {"on_behalf_of": "human:ann", "session": "cerbos#s1", "delegation": f"{ISS}#g1"}],
    ),
    Row(
        "the error of a rule is a reason",
        [
            entry(
                checkResources={
                    "inputs": checked("d1")["inputs"],
                    "outputs": [
                        {
                            "resourceId": "d1",
                            "actions": {"read": EFFECTS["read"]},
                            "evaluationErrors": [{"celError": {"message": "no such key: act"}}],
                        }
                    ],
                }
            )
        ],
        [ALLOWED | {"reasons": ["evaluation error: no such key: act"]}],
    ),
    Row(
        "a plan is a filter, not a decision", [entry(planResources={"input": {}, "output": {}})], skipped=["query-plan"]
    ),
    Row("an access entry has no decision", [ACCESS | IN_FILE], skipped=["access-entry"]),
    Row(
        "no effect is neither a permit nor a denial",
        [
            entry(checkResources=checked("d1", actions={"read": {"effect": "EFFECT_UNSPECIFIED"}})),
            entry(checkResources={"error": "it broke"}),
        ],
        skipped=["no-effect", "check-failed"],
    ),
    Row(
        "an output about another resource is quarantined",
        [entry(checkResources=checked("d1") | {"outputs": checked("d2")["outputs"]})],
        faults=["mismatch"],
    ),
    Row(
        "without an id it is quarantined",
        [{"log.logger": "cerbos.audit", "checkResources": checked("d1")}],
        faults=["missing-field"],
    ),
]


@pytest.mark.parametrize("row", CERBOS, ids=str)
def test_each_rule_of_cerbos(row: Row):
    """
    A record, its events, and the rules of the kit: any order, twice, across a restart.
    """
    check(FORMATS["cerbos"], row)
