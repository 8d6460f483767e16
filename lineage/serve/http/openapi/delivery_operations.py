"""The OpenAPI descriptions of the delivery endpoints, by method and path.

The endpoints are defined in ``lineage.deliver``, which does not know this document.
"""

from typing import Any, Final

from lineage.deliver.http.callers import Role
from lineage.deliver.token_status.status_lists import MEDIA_TYPE as STATUS_LIST
from lineage.serve.http.core.query import Parameter
from lineage.serve.http.openapi.fragments import (
    ALWAYS,
    ANYWHERE,
    FORM,
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
from lineage.serve.http.openapi.ssf_operations import SIGNALS

_RECEIVER: Final = roles_of([Role.RECEIVER])
_KEYS: Final = "keys and status lists"

DELIVERIES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("POST", "/introspect"): {
        "operationId": "introspect",
        "summary": "Whether a token may still be honoured",
        "description": f"{_RECEIVER} RFC 7662. The token is converted to its ids before anything else "
        "sees it. No signature is verified here: the caller has done that.",
        "tags": ["enforcement"],
        "parameters": [],
        "requestBody": body(
            fields({"token": TEXT, "token_type_hint": TEXT}, required=("token",), closed=False), media_type=FORM
        ),
        "responses": {
            "200": answer("Its content, or that it may not be honoured.", ref("Introspection")),
            **problems("400", "401", "403", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("GET", "/.well-known/jwks.json"): {
        "operationId": "jwks",
        "summary": "The signing keys",
        "description": "Public. Shared Signals events and status lists are verified with them.",
        "tags": [_KEYS],
        "parameters": [],
        "responses": {
            "200": answer("A JWK Set; empty if nothing is signed.", ref("PublicKeys")),
            **problems(*ANYWHERE),
        },
        "security": OPEN,
    },
    ("GET", "/status-lists"): {
        "operationId": "status_lists",
        "summary": "The existing status lists",
        "description": "Open.",
        "tags": [_KEYS],
        "parameters": [],
        "responses": {"200": answer("Their URIs, sorted.", ref("StatusListUris")), **problems(*ALWAYS)},
        "security": OPEN,
    },
    ("GET", "/status-lists/{name}"): {
        "operationId": "status_list",
        "summary": "A token status list",
        "description": "Public. Signed, as of now or of an earlier time.",
        "tags": [_KEYS],
        "parameters": [
            parameter_of(
                Parameter("name", TEXT, "The last part of its URI.", required=True, where="path", example="1")
            ),
            parameter_of(
                Parameter("time", {"type": "string", "pattern": "^[0-9]{1,11}$"}, "The time, in seconds since 1970.")
            ),
        ],
        "responses": {
            "200": answer("The list, a signed JWT.", TEXT, media_type=STATUS_LIST, ETag="Changes with the list."),
            "304": {"description": "The client has it already."},
            **problems("400", "404", "406", *ALWAYS),
        },
        "security": OPEN,
    },
    **SIGNALS,
}
