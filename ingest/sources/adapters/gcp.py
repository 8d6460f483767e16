"""Google Cloud audit logs: who acted through whom, and the credentials that were created.

An entry names the actor and, nearest first, those who delegated to it; the last of these is the original caller. It
contains no credential except the name of a key, so the whole chain is stated by the entry alone. Pure.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ingest.sources.adapters.kit import (
    Document,
    Format,
    Memory,
    Source,
    Translation,
    UnwrappedRecord,
    instant,
    member,
    moment,
    required,
    resource,
    skipped,
    text,
    texts,
)
from lineage.core.model.times import LATEST, SECOND, format_instant

_AUDIT: Final = "type.googleapis.com/google.cloud.audit.AuditLog"
_DENIED: Final = frozenset({7, 16})  # PERMISSION_DENIED, UNAUTHENTICATED of google.rpc.Code
_MINTS: Final = ("GenerateAccessToken", "GenerateIdToken")
_ACCOUNT: Final = re.compile(r"serviceAccounts/([^/]+)")
_SECONDS: Final = re.compile(r"([0-9]{1,9})(?:\.[0-9]+)?s")
_HOUR: Final = 3600  # the default lifetime of such a token
_KEYS: Final = "//iam.googleapis.com/"


def _translate(record: UnwrappedRecord, source: Source, memory: Memory) -> Translation:
    value = record.value
    payload = value.get("protoPayload")
    if not isinstance(payload, Mapping) or text(payload, "@type") not in {_AUDIT, None}:
        return skipped("no-audit-entry")
    events = [_action(value, payload, source)]
    if events[0]["outcome"] == "succeeded":
        events += _credentials(value, payload, source)
    events += _registered(value, payload, source, memory)
    return Translation(events=tuple(events))


def _action(value: Mapping[str, Any], payload: Mapping[str, Any], source: Source) -> Document:
    chain, actor = _handed_over(value, payload, source), _party(_named(payload), source)
    return _event(
        value,
        source,
        "action.performed",
        "action",
        action=source.id(required(value, "insertId")),
        operation=required(payload, "methodName"),
        outcome=_outcome(payload),
        tool=text(payload, "serviceName"),
        resource=resource(text(payload, "resourceName"), text(value, "resource", "type")),
        token=_key(text(payload, "authenticationInfo", "serviceAccountKeyName"), source),
        actor=actor,
        on_behalf_of=chain[0] if chain else None,
        prior_actors=chain[1:],
    )


def _named(payload: Mapping[str, Any]) -> str | None:
    """Return the acting party: by mail address, like delegators; without one, by subject."""
    who = payload.get("authenticationInfo")
    return text(who, "principalEmail") or text(who, "principalSubject")


def _party(named: str | None, source: Source) -> str | None:
    return source.issued(named) if named is not None else None


def _handed_over(value: Mapping[str, Any], payload: Mapping[str, Any], source: Source) -> list[str]:
    """Return the delegators, the original caller first. A redacted one keeps its place without a name."""
    listed = member(payload, "authenticationInfo", "serviceAccountDelegationInfo")
    found = []
    for place, one in enumerate(listed if isinstance(listed, list) else ()):
        first, third = member(one, "firstPartyPrincipal"), member(one, "thirdPartyPrincipal")
        named = (
            text(first, "principalEmail")
            or text(one, "principalSubject")
            or text(third, "thirdPartyClaims", "sub")
            or text(third, "principalSubject")
        )
        redacted = source.principal("redacted", f"{required(value, 'insertId')}/{place}")
        found.append(_party(named, source) or redacted)
    return found[::-1]


def _outcome(payload: Mapping[str, Any]) -> str:
    code = member(payload, "status", "code")
    if not isinstance(code, int) or code == 0:
        return "succeeded"
    return "denied" if code in _DENIED else "failed"


def _credentials(value: Mapping[str, Any], payload: Mapping[str, Any], source: Source) -> Iterator[Document]:
    method = required(payload, "methodName").rpartition(".")[2]
    if method in _MINTS:
        yield from _minted(value, payload, source)
    elif method == "CreateServiceAccountKey":
        yield from _key_made(value, payload, source)
    elif method == "DeleteServiceAccountKey":
        named = text(payload, "request", "name") or text(payload, "resourceName")
        key, caller = _key(named, source), _party(_named(payload), source)
        if key is not None and "/keys/" in key:
            id_, at, by = f"{required(value, 'insertId')}/order", _time(value), caller or source.id("unknown")
            yield source.order(id_, at, ("token", key), by=by, cascade=False, note=method)


def _minted(value: Mapping[str, Any], payload: Mapping[str, Any], source: Source) -> Iterator[Document]:
    """Yield a requested service account token. The log has no id of it, so it is named after the entry."""
    named = _ACCOUNT.search(text(payload, "request", "name") or text(payload, "resourceName") or "")
    chain, caller = _handed_over(value, payload, source), _party(_named(payload), source)
    subject = chain[0] if chain else caller
    if named is None or subject is None or caller is None:
        return
    lifetime = _SECONDS.fullmatch(text(payload, "request", "lifetime") or "")
    at = _time(value)
    end = instant(at, "timestamp") + (int(lifetime[1]) if lifetime else _HOUR) * SECOND
    yield _event(
        value,
        source,
        "token.issued",
        "token",
        token=source.id(f"{required(value, 'insertId')}/token"),
        subject=subject,
        prior_actors=[*chain[1:], caller] if chain else [],
        actor=source.issued(named[1]),
        scopes=texts(payload, "request", "scope"),
        audience=[audience] if (audience := text(payload, "request", "audience")) else [],
        expires_at=format_instant(min(end, LATEST)),
    )


def _key_made(value: Mapping[str, Any], payload: Mapping[str, Any], source: Source) -> Iterator[Document]:
    """Yield a new service account key, which is permanent and therefore popular with intruders."""
    key, caller = text(payload, "response", "name"), _party(_named(payload), source)
    account = _ACCOUNT.search(key or "")
    if key is None or caller is None or account is None:
        return
    own = _key(text(payload, "authenticationInfo", "serviceAccountKeyName"), source)
    yield _event(
        value,
        source,
        "token.issued",
        "key",
        token=_key(key, source),
        subject=caller,
        actor=source.issued(account[1]),
        derived_from=[{"token": own, "role": "subject"}] if own else [],
    )


def _registered(
    value: Mapping[str, Any], payload: Mapping[str, Any], source: Source, memory: Memory
) -> Iterator[Document]:
    """Yield whether a party is a person or a service account, if the entry says so."""
    named, subject = _named(payload), text(payload, "authenticationInfo", "principalSubject") or ""
    kind = (
        "service" if subject.startswith("serviceAccount:") or (named or "").endswith(".gserviceaccount.com") else None
    )
    kind = "human" if subject.startswith("user:") else kind
    if named is not None and kind is not None and memory.is_new("registered", f"{named}\n{kind}"):
        fields = {"principal": source.issued(named), "kind": kind, "display_name": named}
        yield _event(value, source, "principal.registered", "principal", **fields)


def _key(named: str | None, source: Source) -> str | None:
    return source.id(named.removeprefix(_KEYS)) if named else None


def _event(value: Mapping[str, Any], source: Source, type_: str, part: str, **body: Any) -> Document:
    return source.event(type_, f"{required(value, 'insertId')}/{part}", _time(value), **body)


def _time(value: Mapping[str, Any]) -> str:
    return moment(value, "timestamp" if text(value, "timestamp") else "receiveTimestamp")


FORMAT: Final = Format(
    name="gcp",
    known_by="protoPayload and logName",
    marks=lambda value: isinstance(value.get("protoPayload"), Mapping) and isinstance(value.get("logName"), str),
    signs=re.compile(rb'"@type"\s*:\s*"type\.googleapis\.com/google\.cloud\.audit\.AuditLog"'),
    translate=_translate,
    unique_ids=True,
)
