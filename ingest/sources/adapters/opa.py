"""Open Policy Agent: its decision log, from the console and as posted. docs/foreign-logs.md has the table.

The author of a policy chooses the form of its result. A boolean, also as a string, and an object that has one under a
well-known name or the configured path are recognised as permit or deny. Undefined is not a denial. Pure; the memory
only stores the kinds of parties.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ingest.sources.adapters.kit import (
    Document,
    Format,
    Memory,
    Source,
    Translation,
    UnwrappedRecord,
    member,
    moment,
    required,
    resource,
    skipped,
    stated,
    text,
    texts,
)
from ingest.sources.adapters.parties import (
    KINDS,
    NamingRecord,
    bearer_of,
    behalf_of,
    note_kind,
    party_of,
    qualified,
    registrations,
)

# Where policies put their result: the names in OPA's own examples and plugins, and AuthZEN's.
_ANSWERS: Final = ("allow", "allowed", "decision", "result", "permit", "permitted", "authorized")
_SPELLED: Final = {"true": True, "false": False}
_PERMITTED_PATH: Final = "permitted_path"
_HTTP: Final = ("attributes", "request", "http")  # Envoy's
_TOKEN: Final = re.compile(r"sha256:[0-9a-f]{64}|[^#\s]+#[^#\s]+")
_CONTEXT: Final = ("tool", "agent", "task")


def _translate(record: UnwrappedRecord, source: Source, memory: Memory) -> Translation:
    value = record.value
    if "decision_id" not in value:
        return skipped("server-log")  # other console lines: requests, plugins, start and shutdown
    if "result" not in value:
        return skipped("evaluation-error" if value.get("error") is not None else "undefined-result")
    if "path" not in value and "query" in value:
        return skipped("ad-hoc-query")  # bindings of variables named by the policy's author
    permitted = _permitted(value["result"], source.options.get(_PERMITTED_PATH))
    if permitted is None:
        return skipped("no-permit-or-deny")
    return Translation(events=(_decision(value, source, memory, permitted=permitted),))


def _permitted(result: Any, path: str | None) -> bool | None:
    """Return whether a result permits; None if it does not say."""
    if isinstance(result, bool):
        return result
    if isinstance(result, str):
        return _SPELLED.get(result.lower())
    if not isinstance(result, Mapping):
        return None
    if path:
        return _permitted(member(result, *path.split(".")), None)
    answers = [_permitted(result[name], None) for name in _ANSWERS if name in result]
    answers.append(_permitted(member(result, "response", "allowed"), None))  # an admission review
    return next((answer for answer in answers if answer is not None), None)


def _decision(value: Mapping[str, Any], source: Source, memory: Memory, *, permitted: bool) -> Document:
    id_, at, asked = required(value, "decision_id"), moment(value, "timestamp"), value.get("input")
    policy, bearer = text(value, "path"), bearer_of(member(asked, "token_claims"), source)
    type_, native = _subject(asked)
    actor = bearer.actor or bearer.subject
    if native is not None:
        actor = bearer.named(native) or party_of(source, type_, native)
        note_kind(memory, actor, KINDS.get(type_ or ""), NamingRecord(id_, at), native)
    return source.event(
        "decision.made",
        id_,
        at,
        traceparent=next(iter(texts(value, "request_context", "http", "headers", "traceparent")), None),
        decision=source.id(id_),
        permitted=permitted,
        operation=_operation(asked) or policy or "query",
        resource=_resource(asked),
        token=bearer.token or _token(asked),
        actor=actor,
        on_behalf_of=behalf_of(text(asked, "context", "on_behalf_of"), actor, bearer, source, "user"),
        prior_actors=bearer.before(actor),
        session=qualified(source, text(asked, "context", "session")),
        policy=stated(id=policy, version=_revision(value)) if policy else None,
        reasons=_reasons(value["result"]),
        context={name: given for name in _CONTEXT if (given := text(asked, "context", name))} or None,
    )


def _subject(asked: Any) -> tuple[str | None, str | None]:
    """Return type and id of the requester: AuthZEN's subject, else the user as in OPA's examples."""
    if native := text(asked, "subject", "id"):
        return text(asked, "subject", "type"), native
    if native := text(asked, "subject"):
        return None, native
    return "user", text(asked, "user") or text(asked, "user", "id")


def _operation(asked: Any) -> str | None:
    named = text(asked, "action", "name") or text(asked, "action") or text(asked, "method")
    return named or text(asked, *_HTTP, "method")


def _resource(asked: Any) -> Document | None:
    if id_ := text(asked, "resource", "id"):
        return resource(id_, text(asked, "resource", "type"))
    parts = texts(asked, "path")
    return resource(
        text(asked, "resource") or text(asked, "path") or "/".join(parts) or text(asked, *_HTTP, "path"), None
    )


def _token(asked: Any) -> str | None:
    """Return the token's id as set by examples/opa/mask.rego, else the digest that replaced the token."""
    found = text(asked, "token_id") or text(asked, "token")
    return found if found and _TOKEN.fullmatch(found) else None


def _revision(value: Mapping[str, Any]) -> str | None:
    """Return the revisions of the bundles that the decision used."""
    bundles = value.get("bundles")
    named = sorted(bundles) if isinstance(bundles, Mapping) else []
    revisions = [f"{name}={revision}" for name in named if (revision := text(bundles, name, "revision"))]
    return " ".join(revisions) or text(value, "revision")


def _reasons(result: Any) -> list[str]:
    return texts(result, "context", "reasons") or texts(result, "reasons")


def _is_line(value: Mapping[str, Any]) -> bool:
    """Whether it is a decision, or another line of the console, which the server marks by its subject."""
    if "decision_id" in value:
        return "timestamp" in value and bool({"path", "query", "labels"} & value.keys())
    about = {"req_id", "req_method", "plugin", "addrs", "client_addr"} & value.keys()
    return "msg" in value and "level" in value and "time" in value and bool(about)


FORMAT: Final = Format(
    name="opa",
    known_by="decision_id and timestamp, or the req_id and plugin of its console",
    marks=_is_line,
    signs=re.compile(rb'"decision_id"\s*:|openpolicyagent\.org/decision_logs'),
    translate=_translate,
    settle=registrations,
    options=(_PERMITTED_PATH,),
)
