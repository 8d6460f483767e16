"""The OpenAPI document: every path with its parameters, answers, problems, roles and examples.

It is made from the table of questions and the shapes of the documents, so that it says what is served.
"""

from collections.abc import Iterable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from lineage import __version__
from lineage.deliver.callers import Role
from lineage.deliver.problems import MEDIA_TYPE
from lineage.serve.http.asking import ASKERS, Question
from lineage.serve.http.forgery import HEADER
from lineage.serve.http.parameters import PLAN, REVOCATION, TIMES
from lineage.serve.http.query import Parameter
from lineage.serve.http.shapes import ANSWERS

_REF: Final = "#/components/schemas/"
_PROBLEMS: Final = {
    "400": "A parameter, a header or the body is wrong; `parameter` names it.",
    "401": "Who asks is not known.",
    "403": "The caller may not do that.",
    "404": "No fact names it.",
    "409": "The order would kill what the plan does not list; `unlisted` names it.",
    "413": "The body is too large.",
    "415": "The body is of another media type.",
    "422": "The key was given with another order.",
    "421": "Nobody of that name (the header `Host`) is here.",
    "503": "The log or the store is away, or too much is asked at once; `Retry-After` says when to try again.",
}
ALWAYS: Final = ("421", "503")
SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"session": []}]
OPEN: Final[list[Any]] = []


def operation_of(question: Question) -> dict[str, Any]:
    """What the document says of a question."""
    several = any(parameter.repeatable for parameter in question.parameters)
    one = _ref(question.answer)
    schema = {"anyOf": [one, _many(one)]} if several else one
    missing = ("404",) if _can_miss(question) else ()
    return {
        "operationId": _id_of(question.path),
        "summary": question.title,
        "description": _roles(question.roles)
        + (" With several ids the answer is a list, in the order asked." if several else ""),
        "tags": ["questions"],
        "parameters": [_parameter(parameter) for parameter in question.parameters]
        + [_header("If-None-Match", "The `ETag` of the answer that the client has.")],
        "responses": {
            "200": {
                "description": question.title,
                "headers": {"ETag": {"schema": {"type": "string"}, "description": "Changes with the document."}},
                "content": {"application/json": {"schema": schema}},
            },
            "304": {"description": "The client has it already."},
            **_problems("400", "401", "403", *missing, *ALWAYS),
        },
        "security": SECURITY,
    }


def _can_miss(question: Question) -> bool:
    return bool({"of", "action", "id"} & {parameter.name for parameter in question.parameters})


def _many(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["items", "total", "complete", "next"],
        "properties": {
            "items": {"type": "array", "items": {"anyOf": [one, _ref("Missing")]}},
            "total": {"type": ["integer", "null"]},
            "complete": {"type": "boolean"},
            "next": {"type": ["string", "null"]},
        },
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"{_REF}{name}"}


def _id_of(path: str) -> str:
    return path.strip("/").split("/")[0] if "{" not in path else "revocation"


def _roles(roles: Iterable[Role]) -> str:
    return f"Role: {' or '.join(sorted(roles))}."


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = dict(parameter.schema)
    if parameter.repeatable:
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": 100}
    found: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.required,
        "description": parameter.description,
        "schema": schema,
    }
    if parameter.example is not None:
        found["example"] = [parameter.example] if parameter.repeatable else parameter.example
    return found


def _header(name: str, description: str, *, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": schema or {"type": "string"},
    }


def _problems(*statuses: str) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": _ref("Problem")}}
    return {status: {"description": _PROBLEMS[status], "content": content} for status in statuses}


def _json(description: str, schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"description": description, "content": {"application/json": content}}


_FORGERY: Final = _header(HEADER, "Any value. Needed of a browser that is signed in by a cookie or a proxy.")
_EVENT: Final = {
    "type": "token.issued",
    "event_id": "idp-15",
    "source": "https://idp.example",
    "occurred_at": "2026-11-02T09:12:38Z",
    "token": "https://idp.example#mailer-1",
    "subject": "human:alice@example.com",
    "actor": "agent:mailer",
}
_TARGET: Final = {
    "type": "object",
    "required": ["kind", "id"],
    "additionalProperties": False,
    "properties": {
        "kind": {"type": "string", "enum": ["principal", "workload", "session", "client", "delegation", "token"]},
        "id": {"type": "string", "minLength": 1, "maxLength": 512},
    },
}
_ORDER: Final = {
    "type": "object",
    "required": ["target", "reason"],
    "additionalProperties": False,
    "properties": {
        "target": _TARGET,
        "mode": {"type": "string", "enum": ["revoke", "suspend"], "default": "revoke"},
        "cascade": {"type": "boolean", "default": True},
        "reason": {
            "type": "string",
            "enum": [
                *("compromise", "credential_leak", "key_compromise", "offboarding", "role_change", "task_completed"),
                *("policy_violation", "risk_elevated", "user_request", "inactivity", "superseded", "admin", "test"),
                "other",
            ],
        },
        "issued_before": {"type": "string", "format": "date-time"},
        "note": {"type": "string", "maxLength": 4_096},
        "plan_digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
}
_ORDER_EXAMPLE: Final = {
    "target": {"kind": "token", "id": "https://idp.example#mailer-1"},
    "reason": "credential_leak",
    "note": "found in a public repository",
}

# What the endpoints beside the questions say of themselves.
OPERATIONS: Final[dict[str, dict[str, Any]]] = {
    "take_events": {
        "operationId": "take_events",
        "summary": "Append events to the log",
        "description": f"{_roles([Role.PRODUCER])} Of the sources that are the caller's. What cannot be read goes to "
        "quarantine and is counted; orders, lifts and acknowledgements are refused, and then nothing is taken in.",
        "tags": ["writes"],
        "parameters": [_FORGERY],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "array", "items": {}}, "example": [_EVENT]},
                "application/x-ndjson": {"schema": {"type": "string"}},
                "application/avro": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": _json("The log holds them, and they are projected.", _ref("Counts")),
            **_problems("400", "401", "403", "413", "415", *ALWAYS),
        },
        "security": SECURITY,
    },
    "give_order": {
        "operationId": "give_order",
        "summary": "Order a revocation or a suspension",
        "description": f"{_roles([Role.RESPONDER])} With the digest of a plan it is refused if it would kill what the "
        "plan does not list.",
        "tags": ["writes"],
        "parameters": [
            _header(
                "Idempotency-Key",
                "With the same key the same order is given once, also over a restart.",
                schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
            ),
            _FORGERY,
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ORDER, "example": _ORDER_EXAMPLE}},
        },
        "responses": {
            "201": {
                **_json("It is given, and in force.", _ref("Ordered")),
                "headers": {"Location": {"schema": {"type": "string"}, "description": "The revocation."}},
            },
            **_problems("400", "401", "403", "404", "409", "413", "415", "422", *ALWAYS),
        },
        "security": SECURITY,
    },
    "approve_plan": {
        "operationId": "approve_plan",
        "summary": "Approve a plan, for somebody else to order by its digest",
        "description": f"{_roles([Role.RESPONDER])} Who approves is who was authenticated. It is good for an hour, and "
        "for no order of their own.",
        "tags": ["writes"],
        "parameters": [_parameter(PLAN), _FORGERY],
        "requestBody": {
            "required": False,
            "content": {"application/json": {"schema": {"type": "object", "additionalProperties": False}}},
        },
        "responses": {
            "201": _json("It is approved.", _ref("Approved")),
            **_problems("400", "401", "403", "404", "413", "415", *ALWAYS),
        },
        "security": SECURITY,
    },
    "lift_order": {
        "operationId": "lift_order",
        "summary": "Lift an order",
        "description": _roles([Role.RESPONDER]),
        "tags": ["writes"],
        "parameters": [_parameter(REVOCATION), _FORGERY],
        "requestBody": {
            "required": False,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {"note": {"type": "string", "maxLength": 4_096}},
                    },
                    "example": {"note": "false alarm"},
                }
            },
        },
        "responses": {
            "200": _json("It is lifted.", _ref("Lifted")),
            **_problems("400", "401", "403", "404", "413", "415", *ALWAYS),
        },
        "security": SECURITY,
    },
    "acknowledge": {
        "operationId": "acknowledge",
        "summary": "Say what was done about an order",
        "description": f"{_roles([Role.RECEIVER])} The caller is the receiver; without `token` it speaks for all that "
        "was delivered to it.",
        "tags": ["writes"],
        "parameters": [_parameter(REVOCATION), _FORGERY],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["outcome"],
                        "additionalProperties": False,
                        "properties": {
                            "outcome": {"type": "string", "enum": ["enforced", "rejected"]},
                            "token": {"type": "string", "minLength": 1, "maxLength": 512},
                            "note": {"type": "string", "maxLength": 4_096},
                        },
                    },
                    "example": {"outcome": "enforced"},
                }
            },
        },
        "responses": {
            "201": _json("It is taken.", _ref("Acknowledged")),
            **_problems("400", "401", "403", "404", "413", "415", *ALWAYS),
        },
        "security": SECURITY,
    },
    "read_receipt": {
        "operationId": "receipt",
        "summary": "What a revocation ended, a line an element",
        "description": _roles(ASKERS),
        "tags": ["questions"],
        "parameters": [_parameter(parameter) for parameter in (REVOCATION, *TIMES)],
        "responses": {
            "200": {
                "description": "Lines of JSON, sorted by id.",
                "content": {"application/x-ndjson": {"schema": _ref("ReceiptLine")}},
            },
            **_problems("400", "401", "403", "404", *ALWAYS),
        },
        "security": SECURITY,
    },
    "live": {
        "operationId": "live",
        "summary": "What is recorded, as it is projected",
        "description": f"{_roles(ASKERS)} Server-sent events: `hello`, then a `fact` each; `skipped` where it is too "
        "much, `away` while the store cannot be asked.",
        "tags": ["questions"],
        "parameters": [_header("Last-Event-ID", "The id of the last event that was seen.")],
        "responses": {
            "200": {
                "description": "Events without end.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            **_problems("400", "401", "403", *ALWAYS),
        },
        "security": SECURITY,
    },
    "healthz": {
        "operationId": "healthz",
        "summary": "Whether the process lives",
        "tags": ["operations"],
        "responses": {"200": _json("It does.", {"type": "object"}, {"status": "ok"}), **_problems("421")},
        "security": OPEN,
    },
    "readyz": {
        "operationId": "readyz",
        "summary": "Whether questions can be answered",
        "tags": ["operations"],
        "responses": {"200": _json("They can.", {"type": "object"}), **_problems(*ALWAYS)},
        "security": OPEN,
    },
    "metrics": {
        "operationId": "metrics",
        "summary": "Metrics, in Prometheus's text format",
        "description": f"Open on loopback; elsewhere {_roles(ASKERS)}",
        "tags": ["operations"],
        "responses": {
            "200": {"description": "All of them.", "content": {"text/plain": {"schema": {"type": "string"}}}},
            **_problems("401", "403", *ALWAYS),
        },
        "security": [*SECURITY, {}],
    },
}
_DESCRIPTION: Final = """\
Which human, which agent and which token took each action, and what falls when one of them is revoked.

Ids travel in the query, percent-encoded: `of=KIND:ID`, split at the first colon. Times are RFC 3339. Lists say whether
they are complete; `next` is the `after` of the next page. Faults are problem documents (RFC 9457) whose types stay.
"""


def document_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an app."""
    document = get_openapi(
        title="delegraph",
        version=__version__,
        summary="Who stood behind what an AI agent did, and what falls when that is revoked",
        description=_DESCRIPTION,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name, shape in ANSWERS.items():
        schema = TypeAdapter(shape).json_schema(ref_template=f"{_REF}{{model}}", mode="serialization")
        schemas.update(schema.pop("$defs", {}))
        schemas[name] = schema
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token of the issuer."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "delegraph-8480",
            "description": "Where no issuer is configured: by the link that `delegraph serve` prints.",
        },
    }
    document["paths"] = {path.replace(":path}", "}"): said for path, said in document["paths"].items()}
    for said in document["paths"].values():
        for operation in said.values():
            # The framework's own: what it would answer, problem documents answer here.
            if operation.get("responses", {}).get("422", {}).get("description") == "Validation Error":
                del operation["responses"]["422"]
            if operation["responses"].get("200") == _UNSAID:
                del operation["responses"]["200"]
    return document


_UNSAID: Final = {"description": "Successful Response", "content": {"application/json": {"schema": {}}}}
