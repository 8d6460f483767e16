"""The OpenAPI descriptions of the Shared Signals transmitter, by method and path."""

from typing import Any, Final

from lineage.deliver.http.callers import Role
from lineage.deliver.ssf.security_event_tokens import SUPPORTED
from lineage.deliver.ssf.stream_requests import METHODS, STATUSES
from lineage.serve.http.core.query import Parameter
from lineage.serve.http.openapi.fragments import (
    ALWAYS,
    ANYWHERE,
    OPEN,
    SECURITY,
    TEXT,
    WITH_BODY,
    answer,
    body,
    fields,
    parameter_of,
    problems,
    ref,
    roles_of,
)

_RECEIVER: Final = roles_of([Role.RECEIVER])
_TAG: Final = "shared signals"
_STREAM_ID: Final = {"type": "string", "minLength": 1, "maxLength": 4_096}
_STREAM: Final = Parameter(
    "stream_id", {"type": "string", "minLength": 1}, "The id of one of the caller's streams.", required=True
)
_DELIVERY: Final = fields(
    {
        "method": {"type": "string", "enum": list(METHODS)},
        "endpoint_url": {"type": "string", "format": "uri", "maxLength": 2_048},
        "authorization_header": {"type": "string", "maxLength": 4_096, "writeOnly": True},
    },
    required=("method",),
    closed=False,
)
_REQUESTED: Final = {
    "delivery": _DELIVERY,
    "events_requested": {"type": "array", "maxItems": 64, "items": {"type": "string", "examples": [*SUPPORTED]}},
    "description": {"type": ["string", "null"], "maxLength": 4_096},
}
_CHANGED: Final = fields({"stream_id": _STREAM_ID, **_REQUESTED}, required=("stream_id",), closed=False)
_STATUS: Final = fields(
    {
        "stream_id": _STREAM_ID,
        "status": {"type": "string", "enum": [*STATUSES]},
        "reason": {"type": ["string", "null"], "maxLength": 4_096},
    },
    required=("stream_id", "status"),
    closed=False,
)
_VERIFY: Final = fields(
    {"stream_id": _STREAM_ID, "state": {"type": ["string", "null"], "maxLength": 4_096}},
    required=("stream_id",),
    closed=False,
)
_REFUSAL: Final = fields({"err": TEXT, "description": TEXT}, closed=False)
_POLL: Final = fields(
    {
        "maxEvents": {"type": "integer", "minimum": 0, "default": 100},
        "returnImmediately": {"type": "boolean", "default": False},
        "ack": {"type": "array", "maxItems": 1_000, "items": TEXT},
        "setErrs": {"type": "object", "maxProperties": 1_000, "additionalProperties": _REFUSAL},
    },
    closed=False,
)
_DELETED: Final[dict[str, Any]] = {"204": {"description": "It is done."}}


def _signals(
    id_: str,
    summary: str,
    responses: dict[str, Any],
    *refused: str,
    parameters: tuple[Parameter, ...] = (),
    asks: dict[str, Any] | None = None,
    more: str = "",
    roles: str = _RECEIVER,
) -> dict[str, Any]:
    of_body = () if asks is None else ("400", *WITH_BODY)
    found = {
        "operationId": id_,
        "summary": summary,
        "description": f"{roles} {more}".strip(),
        "tags": [_TAG],
        "parameters": [parameter_of(parameter) for parameter in parameters],
        "responses": {**responses, **problems("401", "403", *refused, *of_body, "501", *ALWAYS)},
        "security": SECURITY,
    }
    return found if asks is None else {**found, "requestBody": body(asks)}


SIGNALS: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("GET", "/.well-known/ssf-configuration"): {
        "operationId": "ssf_configuration",
        "summary": "The configuration of the Shared Signals transmitter",
        "description": "Public. SSF 1.0 section 7.",
        "tags": [_TAG],
        "parameters": [],
        "responses": {
            "200": answer("The addresses and capabilities.", ref("TransmitterConfiguration")),
            **problems(*ANYWHERE, "501"),
        },
        "security": OPEN,
    },
    ("POST", "/ssf/streams"): _signals(
        "create_stream",
        "Create a stream",
        {"201": answer("It is created, and delivers everything that has not expired.", ref("Stream"))},
        *("400", "409"),
        asks=fields(_REQUESTED, closed=False),
        more="A receiver has at most one stream.",
    ),
    ("GET", "/ssf/streams"): _signals(
        "read_streams",
        "The streams of the caller",
        {
            "200": answer(
                "All of them, or the one named.",
                {"anyOf": [ref("Stream"), {"type": "array", "items": ref("Stream")}]},
            )
        },
        "404",
        parameters=(_STREAM._replace(required=False),),
    ),
    ("PATCH", "/ssf/streams"): _signals(
        "change_stream",
        "Change a stream",
        {"200": answer("The stream after the change.", ref("Stream"))},
        *("400", "404"),
        asks=_CHANGED,
        more="Omitted members are unchanged.",
    ),
    ("PUT", "/ssf/streams"): _signals(
        "replace_stream",
        "Replace the configuration of a stream",
        {"200": answer("The stream after the change.", ref("Stream"))},
        *("400", "404"),
        asks=_CHANGED,
        more="Omitted members are reset to their defaults.",
    ),
    ("DELETE", "/ssf/streams"): _signals(
        "delete_stream", "Delete a stream", _DELETED, "400", "404", parameters=(_STREAM,)
    ),
    ("GET", "/ssf/status"): _signals(
        "stream_status",
        "The status of a stream",
        {"200": answer("The status, and why pushes are not accepted.", ref("StreamStatus"))},
        *("400", "404"),
        parameters=(_STREAM,),
    ),
    ("POST", "/ssf/status"): _signals(
        "set_stream_status",
        "Change the status of a stream",
        {"200": answer("The status after the change.", ref("StreamStatus"))},
        *("400", "404"),
        asks=_STATUS,
        more="A paused stream holds its events, a disabled one starts again from the beginning.",
    ),
    ("POST", "/ssf/verify"): _signals(
        "verify_stream",
        "Request a verification event through a stream",
        _DELETED,
        *("400", "404", "429"),
        asks=_VERIFY,
    ),
    ("GET", "/ssf/dead-letters"): _signals(
        "dead_letters",
        "Events that were permanently refused",
        {"200": answer("The latest first.", ref("DeadLetters"))},
        roles=roles_of([Role.RECEIVER, Role.RESPONDER]),
        more="A receiver sees its own, a responder all.",
    ),
    ("POST", "/ssf/poll/{stream_id}"): _signals(
        "poll",
        "Fetch the events of a stream",
        {"200": answer("Signed events by their `jti`; unacknowledged ones are returned again.", ref("Polled"))},
        "404",
        parameters=(_STREAM._replace(where="path"),),
        asks=_POLL,
        more="RFC 8936. Waits for events, unless it is asked to return immediately.",
    ),
}
