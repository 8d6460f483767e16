"""MCP at a gateway: the messages between clients and servers. docs/foreign-logs.md has the table.

A record is one HTTP exchange as a gateway logs it: time, method, path, status, request_headers, token_claims (of the
bearer, whose signature the gateway has verified), request and response (JSON-RPC, also in batches). The memory only
stores the kinds of parties: each call follows from its own record alone. Pure.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ingest.codec.params_digest import digest_of
from ingest.sources.adapters.kit import (
    Document,
    Format,
    Memory,
    Source,
    Translation,
    UnwrappedRecord,
    member,
    moment,
    resource,
    skipped,
    text,
)
from ingest.sources.adapters.parties import NamingRecord, bearer_of, is_mailbox, note_kind, registrations

_REFUSED: Final = (401, 403)
_FAILED: Final = 400
_ID_DIGITS: Final = 32
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_BEARER: Final = re.compile(r"(?:Bearer )?(sha256:[0-9a-f]{64})")


def _translate(record: UnwrappedRecord, source: Source, memory: Memory) -> Translation:
    value = record.value
    asked = value.get("request")
    messages = [asked] if isinstance(asked, Mapping) else asked if isinstance(asked, list) else []
    messages = [message for message in messages if text(message, "method")]
    refused = value.get("status") in _REFUSED
    if not messages and refused:
        messages = [{"method": text(value, "request_headers", "mcp-method") or text(value, "method") or "request"}]
    if not messages:
        return skipped("no-request")
    id_ = (digest_of(value) or "").removeprefix("sha256:")[:_ID_DIGITS]
    events = tuple(
        _action(value, message, id_ if len(messages) == 1 else f"{id_}/{index}", source, memory)
        for index, message in enumerate(messages)
        if message["method"] == "tools/call" or refused
    )
    return Translation(events=events) if events else skipped("not-a-tool-call")


def _action(value: Mapping[str, Any], message: dict[str, Any], id_: str, source: Source, memory: Memory) -> Document:
    at = moment(value, "time")
    headers, params = member(value, "request_headers"), member(message, "params")
    bearer = bearer_of(value.get("token_claims"), source)
    actor, behalf = bearer.actor or bearer.subject, bearer.subject if bearer.actor else None
    if value.get("status") not in _REFUSED:  # the claims of a refused bearer may be forged
        for agent in (bearer.actor, *bearer.prior_actors):  # an MCP client, and those who delegated to it
            note_kind(memory, agent, "agent", NamingRecord(id_, at), _name(agent))
        note_kind(
            memory, behalf, "human" if behalf and is_mailbox(behalf) else None, NamingRecord(id_, at), _name(behalf)
        )
    is_call = message["method"] == "tools/call"
    digest = _BEARER.fullmatch(text(headers, "authorization") or "")
    return source.event(
        "action.performed",
        id_,
        at,
        traceparent=_traceparent(params),
        action=source.id(id_),
        operation=message["method"],
        outcome=_outcome(value, message),
        tool=(text(params, "name") or text(headers, "mcp-name")) if is_call else None,
        resource=resource(_server(value, headers), "mcp-server"),
        token=bearer.token or (digest[1] if digest else None),
        actor=actor,
        prior_actors=list(bearer.prior_actors),
        on_behalf_of=behalf,
        params_digest=digest_of(member(params, "arguments") or {}) if is_call else None,
    )


def _outcome(value: Mapping[str, Any], message: dict[str, Any]) -> str:
    """Return the outcome: MCP reports a tool's own error in a response with status 200."""
    status = value.get("status")
    if status in _REFUSED:
        return "denied"
    answers = value.get("response")
    answers = answers if isinstance(answers, list) else [answers]
    own = (found for found in answers if isinstance(found, Mapping) and "method" not in found)
    answer = next((found for found in own if found.get("id") == message.get("id")), None)
    failed = member(answer, "error") is not None or member(answer, "result", "isError") is True
    return "failed" if failed or (isinstance(status, int) and status >= _FAILED) else "succeeded"


def _server(value: Mapping[str, Any], headers: Any) -> str | None:
    host, path = text(headers, "host"), text(value, "path")
    return f"{host or ''}{path or ''}" or None


def _traceparent(params: Any) -> str | None:
    found = text(params, "_meta", "traceparent")
    return found if found and _TRACEPARENT.fullmatch(found) else None


def _name(party: str | None) -> str | None:
    """Return the issuer's name of a party; an id without an issuer is that name."""
    issuer, _, native = (party or "").partition("#")
    return native if issuer and native else None


FORMAT: Final = Format(
    name="mcp",
    known_by="token_claims, request_headers and status",
    marks=lambda value: "token_claims" in value and "request_headers" in value and "status" in value,
    signs=re.compile(rb'"token_claims"\s*:'),
    translate=_translate,
    settle=registrations,
)
