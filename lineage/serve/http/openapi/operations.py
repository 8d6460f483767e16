"""The OpenAPI descriptions of the API's endpoints that are not questions, by method and path."""

from typing import Any, Final

from ingest.codec.limits import LIST_ENTRIES
from lineage.core.model.keys import ELEMENT_KINDS
from lineage.core.model.vocabulary import (
    ACKNOWLEDGEMENT_OUTCOMES,
    CASE_CHANGES,
    CASE_ITEM_KINDS,
    JUDGEMENTS,
    MODES,
    REASONS,
    TARGET_KINDS,
)
from lineage.deliver.http.callers import Role
from lineage.serve.commands import submission_policy
from lineage.serve.commands.revoke_batch import MOST_TARGETS
from lineage.serve.http.auth.csrf import HEADER
from lineage.serve.http.core.parameters import CASE, FINDING, HOLD, PLAN, REVOCATION, TIMES
from lineage.serve.http.core.question import ASKERS
from lineage.serve.http.openapi.fragments import (
    ALWAYS,
    ANYWHERE,
    JSON,
    LINES,
    OPEN,
    SECURITY,
    SHARED,
    TEXT,
    WITH_BODY,
    answer,
    body,
    fields,
    header,
    lines_of,
    parameter_of,
    problems,
    ref,
    roles_of,
)

_FORGERY: Final = header(
    HEADER, "Any value. Required from a browser that is signed in by a cookie or a proxy.", example="1"
)
_ID: Final = {"type": "string", "minLength": 1, "maxLength": 512}
_NOTE: Final = {"type": "string", "maxLength": 4_096}
_TARGET: Final = fields({"kind": {"type": "string", "enum": list(TARGET_KINDS)}, "id": _ID}, required=("kind", "id"))
_TARGETS: Final = {"type": "array", "items": _TARGET, "minItems": 1, "maxItems": MOST_TARGETS}
_HOW: Final[dict[str, Any]] = {
    "mode": {"type": "string", "enum": list(MODES), "default": MODES[0]},
    "cascade": {"type": "boolean", "default": True},
    "issued_before": {"type": "string", "format": "date-time"},
}
_UNSEEN: Final = {
    "type": "boolean",
    "default": False,
    "description": "Order it even if no fact names the target yet; what is derived from it is never valid.",
}
_DESCRIPTIONS: Final[dict[str, Any]] = {
    **_HOW,
    "reason": {"type": "string", "enum": list(REASONS)},
    "note": _NOTE,
    "plan_digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "unseen": _UNSEEN,
}
_ORDER: Final = fields({"target": _TARGET, **_DESCRIPTIONS}, required=("target", "reason"))
_ORDERS: Final = fields(
    {
        "targets": _TARGETS,
        "incident": {**_ID, "description": "The id of the incident; the orders are INCIDENT.1, INCIDENT.2 and so on."},
        **_DESCRIPTIONS,
    },
    required=("targets", "reason"),
)
_REACH: Final = fields(
    {
        "targets": _TARGETS,
        **_HOW,
        "effective_at": {"type": "string", "format": "date-time", "description": "When the orders take effect."},
        "unseen": _UNSEEN,
    },
    required=("targets",),
)
_NAMES: Final = {"type": "array", "items": TEXT, "maxItems": LIST_ENTRIES}
_REGISTRATION: Final = fields(
    {
        "receiver": _ID,
        "issuers": _NAMES,
        "audiences": _NAMES,
        "kinds": {"type": "array", "items": {"type": "string", "enum": sorted(ELEMENT_KINDS)}},
        "deadline_seconds": {"type": "integer", "minimum": 1},
        "narrow": {
            "type": "boolean",
            "default": False,
            "description": "It may cover less than its last registration, for the orders that follow.",
        },
    },
    required=("receiver",),
)
_MARK: Final = fields(
    {
        "receiver": _ID,
        "reason": {"type": "string", "maxLength": 3_500, "description": "How the caller knows that it is enforced."},
    },
    required=("receiver", "reason"),
)
_RESENT: Final = fields({"receiver": {**_ID, "description": "Only what is open at this one."}})
_PROOF: Final = fields(
    {
        "nonce": {
            "type": "string",
            "pattern": "^[ -~]{1,128}$",
            "description": "Shows the caller that the proof was made for this request. By default one is generated.",
        },
        "sample": {
            "type": "integer",
            "minimum": 1,
            "description": "Roughly how many elements to ask introspection endpoints about; the rest is not proved.",
        },
    }
)
_LIFT: Final = fields({"note": _NOTE})
_JUDGEMENT: Final = fields(
    {
        "judgement": {"type": "string", "enum": list(JUDGEMENTS)},
        "reason": {"type": "string", "description": "Why, in a sentence."},
        "until": {"type": "string", "format": "date-time", "description": "When it expires."},
    },
    required=("judgement", "reason"),
)
_CASE_ITEMS: Final = {
    "type": "array",
    "items": fields({"kind": {"type": "string", "enum": list(CASE_ITEM_KINDS)}, "id": _ID}, required=("kind", "id")),
    "maxItems": LIST_ENTRIES,
    "description": "Of the kind `actions`: a range of actions, whose id is the filters of `GET /v1/actions` as a query "
    "string.",
}
_NEW_CASE: Final = fields(
    {
        "title": {"type": "string", "minLength": 1, "maxLength": 200, "description": "What it is about, in a line."},
        "items": _CASE_ITEMS,
        "assignee": {**_ID, "description": "The assignee."},
        "note": _NOTE,
        "case": {**_ID, "description": "The id of the case; by default one is generated."},
    },
    required=("title",),
)
_NEW_HOLD: Final = fields(
    {
        "reason": {"type": "string", "minLength": 1, "description": "Why, in a sentence."},
        "principal": {**_ID, "description": "A party: all that names it, and what rests on that."},
        "case": {**_ID, "description": "The items of a case, also those that are added later."},
        "starts_at": {"type": "string", "format": "date-time", "description": "What occurred from then on."},
        "ends_at": {"type": "string", "format": "date-time", "description": "What occurred before."},
        "everything": {"type": "boolean", "description": "Every record, if nothing else is named."},
        "unseen": {"type": "boolean", "description": "Also a party that no event names yet. By default false."},
        "hold": {**_ID, "description": "The id of the hold; by default one is generated."},
    },
    required=("reason",),
)
_RELEASE: Final = fields({"reason": {"type": "string", "description": "Why, in a sentence."}}, required=("reason",))
_CASE_CHANGE: Final = fields(
    {
        "change": {"type": "string", "enum": list(CASE_CHANGES[1:]), "description": "What is done to it."},
        "items": _CASE_ITEMS,
        "assignee": {**_ID, "description": "The new assignee; absent in `assigned`: the assignee is removed."},
        "note": _NOTE,
        "version": {"type": "string", "description": "Only if the case still has this version; by default, any."},
    },
    required=("change",),
)
_ACKNOWLEDGEMENT: Final = fields(
    {"outcome": {"type": "string", "enum": list(ACKNOWLEDGEMENT_OUTCOMES)}, "token": _ID, "note": _NOTE},
    required=("outcome",),
)
_READY: Final = fields(
    {
        "status": {"const": "ready"},
        "log": {"enum": ["there", "away"]},
        "warnings": {"type": "array", "items": TEXT},
        "as_of": ref("AsOf"),
    },
    required=("status", "log", "warnings", "as_of"),
)
_KEY: Final = header(
    "Idempotency-Key",
    "With the same key the same order is given once, even across a restart.",
    schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    example="case-4711",
)

OPERATIONS: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("POST", "/v1/events"): {
        "operationId": "take_events",
        "summary": "Append events to the log",
        "description": f"{roles_of([Role.PRODUCER])} Only of the caller's sources. Unreadable events "
        "are quarantined and counted; orders, lifts, acknowledgements and judgements are refused, and then nothing is "
        f"ingested. Registrations of receivers (`{submission_policy.REGISTRATION}`) are sent by the receiver itself "
        "or by a responder, who need no further role, and not by a producer.",
        "tags": ["writes"],
        "parameters": [_FORGERY],
        "requestBody": {
            "required": True,
            "content": {
                # Any item is accepted: what is not an event is quarantined, and is not an error.
                JSON: {"schema": {"type": "array", "items": {}, "description": "Events."}},
                LINES: {"schema": {**TEXT, "contentMediaType": LINES, "description": "One event per line."}},
                "application/avro": {
                    "schema": {
                        "type": "string",
                        "format": "binary",
                        "contentMediaType": "application/avro",
                        "description": "One record in single-object encoding, or several as an Avro array of bytes. "
                        "The body consists of the bytes; the base64 in an example represents them.",
                    }
                },
            },
        },
        "responses": {
            "200": answer("They are in the log and projected.", ref("Counts")),
            **problems("400", "401", "403", *SHARED, *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/revocations"): {
        "operationId": "give_order",
        "summary": "Order a revocation or a suspension",
        "description": f"{roles_of([Role.RESPONDER])} With the digest of a plan it is refused if it differs "
        "from that plan's order, or would end what the plan does not list.",
        "tags": ["writes"],
        "parameters": [_KEY, _FORGERY],
        "requestBody": body(_ORDER),
        "responses": {
            "201": answer(
                "It is given, and in force unless it has `lifted_at`.", ref("Ordered"), Location="The revocation."
            ),
            **problems("400", "401", "403", "404", "409", "422", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/revocations:batch"): {
        "operationId": "order_batch",
        "summary": "Order a revocation or a suspension of several targets, all or none",
        "description": f"{roles_of([Role.RESPONDER])} One order for each target under one incident, checked by one "
        "plan. With its digest all of them are refused if they differ from it, or would end what it does not list; "
        "also if no fact names one of the targets. A repetition for the same incident revokes nothing again.",
        "tags": ["writes"],
        "parameters": [_KEY, _FORGERY],
        "requestBody": body(_ORDERS),
        "responses": {
            "201": answer("All of them are given, and in force unless they have `lifted_at`.", ref("BatchOrdered")),
            **problems("400", "401", "403", "404", "409", "422", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/reach:batch"): {
        "operationId": "reach_batch",
        "summary": "What revoking several targets would end",
        "description": f"{roles_of(ASKERS)} Nothing is revoked. The plan has one digest over all targets, whatever "
        "their sequence, and is stored.",
        "tags": ["questions"],
        "parameters": [_FORGERY],
        "requestBody": body(_REACH),
        "responses": {
            "200": answer("The plan.", ref("BatchReach")),
            **problems("400", "401", "403", "404", *SHARED, *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/plans/{id}/approvals"): {
        "operationId": "approve_plan",
        "summary": "Approve a plan, so that another person can revoke by its digest",
        "description": f"{roles_of([Role.RESPONDER])} The authenticated caller approves. It is valid for an hour, "
        "and not for an order of the same person.",
        "tags": ["writes"],
        "parameters": [parameter_of(PLAN), _FORGERY],
        "requestBody": body(fields({}), required=False),
        "responses": {
            "201": answer("It is approved.", ref("Approved")),
            **problems("400", "401", "403", "404", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/revocations/{id}/lift"): {
        "operationId": "lift_order",
        "summary": "Lift an order",
        "description": f"{roles_of([Role.RESPONDER])} What no other order suspends is active again; what was "
        "revoked stays revoked, but new authority may be issued. What is lifted already is not lifted twice "
        "(`repeated`).",
        "tags": ["writes"],
        "parameters": [parameter_of(REVOCATION), _FORGERY],
        "requestBody": body(_LIFT, required=False),
        "responses": {
            "200": answer("It is lifted.", ref("Lifted")),
            **problems("400", "401", "403", "404", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/findings/{id}/judgements"): {
        "operationId": "judge_finding",
        "summary": "Acknowledge, suppress or reopen a finding",
        "description": f"{roles_of([Role.RESPONDER])} The authenticated caller judges; it is a fact in the log. A "
        "suppression needs an end, after which the finding is shown again.",
        "tags": ["writes"],
        "parameters": [parameter_of(FINDING), _FORGERY],
        "requestBody": body(_JUDGEMENT),
        "responses": {
            "201": answer("It is judged.", ref("Judged")),
            **problems("400", "401", "403", "404", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/cases"): {
        "operationId": "open_case",
        "summary": "Open a case",
        "description": f"{roles_of([Role.RESPONDER])} With its first items, all or none. The authenticated caller is "
        "its author. Opened again in the same words, it is the same case (`repeated`).",
        "tags": ["writes"],
        "parameters": [_KEY, _FORGERY],
        "requestBody": body(_NEW_CASE),
        "responses": {
            "201": answer("It is open.", ref("OpenedCase"), Location="The case."),
            **problems("400", "401", "403", "404", "422", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/cases/{id}/changes"): {
        "operationId": "change_case",
        "summary": "Add or remove items, write a note, assign, close or reopen a case",
        "description": f"{roles_of([Role.RESPONDER])} One fact in the log, whose author is the authenticated caller. "
        "With `version`, 409 if the case has changed in the meantime.",
        "tags": ["writes"],
        "parameters": [parameter_of(CASE), _FORGERY],
        "requestBody": body(_CASE_CHANGE),
        "responses": {
            "201": answer("It is changed.", ref("ChangedCase")),
            **problems("400", "401", "403", "404", "409", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/holds"): {
        "operationId": "place_hold",
        "summary": "Place a legal hold",
        "description": f"{roles_of([Role.RESPONDER])} On a principal, a case, a span of time, or on what all of those "
        "that are named cover. One fact in the log, whose author is the authenticated caller.",
        "tags": ["writes"],
        "parameters": [_KEY, _FORGERY],
        "requestBody": body(_NEW_HOLD),
        "responses": {
            "201": answer("It is in force.", ref("ChangedHold"), Location="The hold."),
            **problems("400", "401", "403", "422", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/holds/{id}/release"): {
        "operationId": "release_hold",
        "summary": "Release a legal hold",
        "description": f"{roles_of([Role.RESPONDER])} That it was in force stays in its history.",
        "tags": ["writes"],
        "parameters": [parameter_of(HOLD), _KEY, _FORGERY],
        "requestBody": body(_RELEASE),
        "responses": {
            "201": answer("It is released.", ref("ChangedHold")),
            **problems("400", "401", "403", "404", "422", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/revocations/{id}/acknowledgements"): {
        "operationId": "acknowledge",
        "summary": "Acknowledge an order",
        "description": f"{roles_of([Role.RECEIVER])} The caller is the receiver; without `token` it "
        "applies to everything delivered to it.",
        "tags": ["writes"],
        "parameters": [parameter_of(REVOCATION), _FORGERY],
        "requestBody": body(_ACKNOWLEDGEMENT),
        "responses": {
            "201": answer("It is recorded.", ref("Acknowledged")),
            **problems("400", "401", "403", "404", *SHARED, *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/receivers"): {
        "operationId": "register_receiver",
        "summary": "Register an enforcement point, and what it covers",
        "description": f"{roles_of([Role.RESPONDER, Role.RECEIVER])} A receiver registers itself alone. It has to "
        "confirm what it covers, also of orders that are not over. A registration that covers less than the last one "
        "is refused, unless `narrow` says that it is meant; it counts for later orders only.",
        "tags": ["writes"],
        "parameters": [_FORGERY],
        "requestBody": body(_REGISTRATION),
        "responses": {
            "201": answer("It is registered.", ref("RegisteredReceiver")),
            **problems("400", "401", "403", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/revocations/{id}/marks"): {
        "operationId": "mark_by_hand",
        "summary": "Record by hand that an enforcement point has enforced a revocation",
        "description": f"{roles_of([Role.RESPONDER])} For enforcement points that cannot confirm by "
        "themselves. Every verdict shows it as a statement of the authenticated caller (`by_hand`). It applies to what "
        "is open there now.",
        "tags": ["writes"],
        "parameters": [parameter_of(REVOCATION), _FORGERY],
        "requestBody": body(_MARK),
        "responses": {
            "201": answer("It is recorded.", ref("Marked")),
            **problems("400", "401", "403", "404", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/revocations/{id}/deliveries"): {
        "operationId": "deliver_again",
        "summary": "Deliver again what is open",
        "description": f"{roles_of([Role.RESPONDER])} To every enforcement point that is fed: by the feed, by Shared "
        "Signals, or by calls. With `receiver` only what is open at that one.",
        "tags": ["writes"],
        "parameters": [parameter_of(REVOCATION), _FORGERY],
        "requestBody": body(_RESENT, required=False),
        "responses": {
            "200": answer("It is in the outbox.", ref("DeliveredAgain")),
            **problems("400", "401", "403", "404", *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("GET", "/v1/revocations/{id}/receipt"): {
        "operationId": "receipt",
        "summary": "What a revocation ended, one line per element",
        "description": f"{roles_of(ASKERS)} A stream: if it cannot be completed, the response is cut off.",
        "tags": ["questions"],
        "parameters": [parameter_of(parameter) for parameter in (REVOCATION, *TIMES)],
        "responses": {
            "200": answer("Lines of JSON, sorted by id.", lines_of("ReceiptLine"), media_type=LINES),
            **problems("400", "401", "403", "404", *SHARED, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("GET", "/v1/revocations/{id}/signed-receipt"): {
        "operationId": "signed_receipt",
        "summary": "A signed statement that a revocation is enforced everywhere",
        "description": f"{roles_of(ASKERS)} Only of what is CLOSED. The detached JWS (RFC 7797) covers the canonical "
        "JSON (RFC 8785) of `receipt`.",
        "tags": ["questions"],
        "parameters": [parameter_of(REVOCATION)],
        "responses": {
            "200": answer("The receipt, its signature, and the key.", ref("SignedReceipt")),
            **problems("400", "401", "403", "404", "409", *SHARED, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("POST", "/v1/revocations/{id}/proofs"): {
        "operationId": "prove",
        "summary": "Ask the enforcement points whether they still accept what a revocation has ended",
        "description": f"{roles_of(ASKERS)} Signed over the nonce. CLOSED only if every element is denied wherever it "
        "is covered, whatever was acknowledged. The detached JWS (RFC 7797) covers the canonical JSON of `proof`.",
        "tags": ["questions"],
        "parameters": [parameter_of(REVOCATION), _FORGERY],
        "requestBody": body(_PROOF, required=False),
        "responses": {
            "200": answer("The proof, its signature, and the key.", ref("SignedProof")),
            **problems("400", "401", "403", "404", *SHARED, *WITH_BODY, *ALWAYS),
        },
        "security": SECURITY,
    },
    ("GET", "/v1/live"): {
        "operationId": "live",
        "summary": "Newly recorded facts, as they are projected",
        "description": f"{roles_of(ASKERS)} Server-sent events: `hello`, then one `fact` each; `skipped` if "
        "there are too many, `away` while the store is unavailable.",
        "tags": ["questions"],
        "parameters": [
            header("Last-Event-ID", "The id of the last event that was seen.", example="W1siZGVjaXNpb25zIiwwLDQ0XV0")
        ],
        "responses": {
            "200": answer("Events without end.", TEXT, media_type="text/event-stream"),
            **problems("400", "401", "403", *ALWAYS),
        },
        "security": SECURITY,
    },
    ("GET", "/healthz"): {
        "operationId": "healthz",
        "summary": "Whether the process is alive",
        "description": "Public. It uses neither the store nor the log.",
        "tags": ["operations"],
        "responses": {
            "200": answer("It does.", fields({"status": {"const": "ok"}}, required=("status",))),
            **problems(*ANYWHERE),
        },
        "security": OPEN,
    },
    ("GET", "/readyz"): {
        "operationId": "readyz",
        "summary": "Whether questions can be answered",
        "description": "Public. An unavailable log is reported, but questions can still be answered.",
        "tags": ["operations"],
        "responses": {"200": answer("They can.", _READY), **problems(*ALWAYS)},
        "security": OPEN,
    },
    ("GET", "/metrics"): {
        "operationId": "metrics",
        "summary": "Metrics, in Prometheus's text format",
        "description": f"Public on loopback; elsewhere {roles_of(ASKERS)}",
        "tags": ["operations"],
        "responses": {
            "200": answer("All of them.", TEXT, media_type="text/plain"),
            **problems("401", "403", *ALWAYS),
        },
        "security": [*SECURITY, {}],
    },
}
