"""Kubernetes: the audit log of the API server, from its file and its webhook. docs/foreign-logs.md has the table.

A call is logged in several stages; the request is known from the first, and its outcome from the last. The last has
everything the first has. A call that could not be authenticated has a single record, of the stage in which the
response begins. Pure.
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
    required,
    resource,
    skipped,
    text,
)
from ingest.sources.adapters.kubernetes_parties import OIDC_ISSUER, Call, call_of, registered
from ingest.sources.adapters.kubernetes_tokens import tokens

_UNAUTHENTICATED: Final = 401
_DENIED: Final = (401, 403)
_FAILED_FROM: Final = 400


def _translate(record: UnwrappedRecord, source: Source, memory: Memory) -> Translation:
    stage, code = required(record.value, "stage"), member(record.value, "responseStatus", "code")
    if stage == "RequestReceived":
        return skipped("request-received")
    if stage == "ResponseStarted" and code != _UNAUTHENTICATED:
        return skipped("response-started")
    call = call_of(record, source)
    events = [_action(call, "started" if stage == "ResponseStarted" else "action")]
    if events[0]["outcome"] == "succeeded":
        events += tokens(call, memory)
    events += registered(call, memory)
    return Translation(events=tuple(events))


def _action(call: Call, part: str) -> Document:
    source, impersonated = call.source, call.impersonated
    refused = _refused_impersonation(call.value)
    return source.event(
        "action.performed",
        f"{call.id}/{part}",
        call.time,
        action=source.id(call.id),
        operation="impersonate" if refused else required(call.value, "verb"),
        outcome=_outcome(call.value),
        tool=source.name,
        resource=refused or _resource(call),
        token=call.token,
        actor=impersonated or call.user,
        on_behalf_of=call.user if impersonated else None,
        workload=call.pod,
        key_thumbprint=call.certificate,
    )


def _outcome(value: Mapping[str, Any]) -> str:
    code = member(value, "responseStatus", "code")
    if code in _DENIED:
        return "denied"
    wrong = text(value, "stage") == "Panic" or (isinstance(code, int) and code >= _FAILED_FROM)
    return "failed" if wrong else "succeeded"


def _resource(call: Call) -> Document | None:
    """Return the object, by namespace and name; for a call without one, the path."""
    kind, namespace, name = call.target
    if kind is None:
        return resource(urlpath(text(call.value, "requestURI")), None)
    group = text(call.value, "objectRef", "apiGroup")
    main, _, part = kind.partition("/")
    type_ = (f"{main}.{group}" if group else main) + (f"/{part}" if part else "")
    return resource("/".join(filter(None, (namespace, name))) or main, type_)


def _refused_impersonation(value: Mapping[str, Any]) -> Document | None:
    """Return the refused impersonation: the record names the user only in the response."""
    status = value.get("responseStatus")
    if "cannot impersonate resource" not in (text(status, "message") or ""):
        return None
    return resource(text(status, "details", "name"), text(status, "details", "kind"))


def urlpath(uri: str | None) -> str | None:
    """Return the path of a request, without its query."""
    return uri.partition("?")[0] if uri else None


FORMAT: Final = Format(
    name="kubernetes",
    known_by="auditID and stage",
    marks=lambda value: isinstance(value.get("auditID"), str) and isinstance(value.get("stage"), str),
    signs=re.compile(rb'"(?:apiVersion"\s*:\s*"audit\.k8s\.io/|auditID"\s*:)'),
    translate=_translate,
    prefix="k8s",
    options=(OIDC_ISSUER,),
    lifetimes=("token",),
)
