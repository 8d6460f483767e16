"""Keycloak: events, admin events and the lines of its logging listener. docs/foreign-logs.md has the table.

This module handles what an event states by itself; the format of entries is in ``keycloak_entries``, admin events in
``keycloak_admin``, and what several entries state only together in ``keycloak_exchanges`` and ``keycloak_endings``.
Pure.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from ingest.sources.adapters import keycloak_endings as endings
from ingest.sources.adapters import keycloak_exchanges as exchanges
from ingest.sources.adapters.keycloak_admin import admin_events, note_user
from ingest.sources.adapters.keycloak_entries import KeycloakEntry, Request, entry_of
from ingest.sources.adapters.keycloak_exchanges import Issue
from ingest.sources.adapters.keycloak_lines import NO_EVENT, is_entry, is_of_another_logger, no_wrapper, other_line
from ingest.sources.adapters.kit import (
    BadRecordError,
    Document,
    Format,
    Memory,
    Source,
    Translation,
    UnwrappedRecord,
    instant,
    resource,
    skipped,
)
from ingest.sources.adapters.parties import registrations
from lineage.core.model.times import LATEST, SECOND, format_instant

# The events that may issue tokens. All but the first are requested by a client, for its user.
_ISSUES: Final = (
    *("LOGIN", "CODE_TO_TOKEN", "CLIENT_LOGIN", "REFRESH_TOKEN", "TOKEN_EXCHANGE", "OAUTH2_DEVICE_CODE_TO_TOKEN"),
    *("AUTHREQID_TO_TOKEN", "PERMISSION_TOKEN", "JWT_BEARER", "OAUTH2_EXTENSION_GRANT"),
)
_BY_CLIENT: Final = (*_ISSUES[1:], "USER_INFO_REQUEST", "REVOKE_GRANT")
# Errors that are not refusals.
_FAULTS: Final = ("invalid_request", "invalid_code", "expired_code", "cookie_not_found")


def _translate(record: UnwrappedRecord, source: Source, memory: Memory) -> Translation:
    if is_of_another_logger(record.value):
        return skipped(NO_EVENT)
    entry = entry_of(record.value, source)
    memory.advance(instant(entry.at, "time"))
    events = admin_events(entry, source, memory) if entry.resource is not None else _events(entry, source, memory)
    return Translation(events=tuple(events))


def _events(entry: KeycloakEntry, source: Source, memory: Memory) -> list[Document]:
    if entry.type == "REFRESH_TOKEN" and not entry.tells_all:
        exchanges.note_refreshes_are_logged(memory)
    if entry.error is not None or entry.type.endswith("_ERROR"):
        return [_action(entry, source)]
    user = entry.named(entry.user)
    note_user(entry, user, entry.detail("username"), memory)
    if entry.type == "LOGIN" and entry.session:
        exchanges.note_login(entry.group, memory, tells_all=entry.tells_all)
    if entry.type in _ISSUES and entry.detail("token_id"):
        return _issued(entry, source, memory)
    by = user or entry.named(entry.client) or str(entry.issuer)
    match entry.type:
        case "IMPERSONATE":
            request = Request(entry.id, entry.at, _impersonator(entry) or by)
            return [_action(entry, source), *endings.impersonated(entry.group, request, source, memory)]
        case "LOGOUT" | "USER_SESSION_DELETED" if entry.session_id:
            return [_order(entry, source, ("session", entry.session_id), by)]
        case "REVOKE_GRANT" if target := endings.revoked(entry):
            endings.detached(entry, memory)
            return [_order(entry, source, target, entry.named(entry.client) or by)]
        case "DELETE_ACCOUNT" if user:
            return [_order(entry, source, ("principal", user), by)]
        case "USER_DISABLED_BY_PERMANENT_LOCKOUT" if user:
            return endings.switched(("principal", user), Request(entry.id, entry.at, by), source, memory, on=False)
    return [_action(entry, source)]


def _issued(entry: KeycloakEntry, source: Source, memory: Memory) -> list[Document]:
    """Return the access token and the refresh token that an event issues."""
    holder, token = entry.named(entry.client), entry.named(entry.detail("token_id"))
    if holder is None or token is None:
        raise BadRecordError("missing-field", "clientId is not there: a token was issued to nobody")
    is_refreshed, is_exchanged = entry.type == "REFRESH_TOKEN", entry.type == "TOKEN_EXCHANGE"
    subject, subject_client = entry.named(entry.user) or holder, entry.named(entry.detail("subject_token_client_id"))
    used = entry.named(entry.detail("refresh_token_id")) if is_refreshed else None
    delegate = _delegate(entry)
    common: dict[str, Any] = {
        "subject": subject,
        "actor": delegate or holder,
        "client": holder,
        "session": entry.session_id,
        "scopes": (entry.detail("scope") or "").split(),
        "derived_from": [{"token": used, "role": "refresh"}] if used else [],
        "exchange": "refresh" if is_refreshed else "delegation" if delegate else None,
    }
    audience, ends = (entry.detail("audience") or "").split(), _ends(entry, "access", source)
    access = common | {"token": token, "audience": audience, "expires_at": ends}
    found = [_token(entry, source, "access_token", access)]
    refresh = entry.named(entry.detail("updated_refresh_token_id" if is_refreshed else "refresh_token_id"))
    if refresh and refresh != used:
        ends_too = {"expires_at": _ends(entry, "refresh", source)}
        found.append(_token(entry, source, "refresh_token", common | {"token": refresh} | ends_too))
    issue = Issue(
        token=token,
        subject=subject,
        holder=holder,
        group=entry.group,
        at=entry.at,
        moment=instant(entry.at, "time"),
        audience=[f"{entry.issuer}#{client}" for client in audience] or None,
        expires_at=instant(ends, "expires_at") if ends else None,
        subject_client=subject_client if is_exchanged else None,
        is_refreshed=is_refreshed,
    )
    exchanges.remember(issue, memory)
    if is_exchanged:
        exchanges.exchanged(issue, [made["token"] for made in found], entry.id, memory)
    return [*found, *endings.of_issue(issue, source, memory)]


def _token(entry: KeycloakEntry, source: Source, type_: str, body: dict[str, Any]) -> Document:
    return source.event("token.issued", f"{entry.id}/{type_}", entry.at, token_type=type_, **body)


def _ends(entry: KeycloakEntry, kind: str, source: Source) -> str | None:
    """Return the expiry: the settings define lifetimes; for a refreshed access token the event states it too."""
    lifetime = entry.detail("access_token_expiration_time") if kind == "access" else None
    seconds = source.lifetimes.get(kind) or (
        int(lifetime) if lifetime and lifetime.isascii() and lifetime.isdigit() else None
    )
    end = instant(entry.at, "time") + (seconds or 0) * SECOND
    return format_instant(end) if seconds and end <= LATEST else None


def _delegate(entry: KeycloakEntry) -> str | None:
    """Return the actor of an exchange with an actor token."""
    return entry.named(entry.detail("actor") if entry.detail("actor_type") == "client" else entry.detail("actor_id"))


def _order(entry: KeycloakEntry, source: Source, target: tuple[str, str], by: str) -> Document:
    note = " ".join(filter(None, (entry.type, entry.detail("reason"))))
    return source.order(entry.id, entry.at, target, by=by, cascade=False, note=note)


def _impersonator(entry: KeycloakEntry) -> str | None:
    """Return the impersonating admin, logged by name and realm; a name must not be mistaken for an id."""
    realm, name = entry.detail("impersonator_realm"), entry.detail("impersonator")
    return f"{str(entry.issuer).rpartition('/')[0]}/{realm}#username:{name}" if realm and name else None


def _action(entry: KeycloakEntry, source: Source) -> Document:
    operation = entry.type.removesuffix("_ERROR")
    refused = "failed" if entry.error in _FAULTS else "denied"
    outcome = refused if entry.error is not None or entry.type != operation else "succeeded"
    client, user = entry.named(entry.client), entry.named(entry.user)
    actor, behalf = (client, user) if operation in _BY_CLIENT else (user, None)
    if operation == "IMPERSONATE":
        actor, behalf = _impersonator(entry), user
    elif operation == "INTROSPECT_TOKEN" or (outcome != "succeeded" and operation not in _BY_CLIENT):
        # An introspection of a token is not a use of it; and a failed login does not prove the claimed identity.
        actor, behalf = None, None
    return source.event(
        "action.performed",
        f"{entry.id}/action",
        entry.at,
        action=source.id(entry.id),
        operation=operation,
        outcome=outcome,
        tool=client if operation == "INTROSPECT_TOKEN" else None,
        resource=resource(user, "user") if user not in {actor, behalf} else None,
        token=entry.named(entry.detail("token_id")),
        actor=actor,
        on_behalf_of=behalf if behalf != actor else None,
        session=entry.session_id,
    )


def _settle(source: Source, memory: Memory, *, end: bool) -> Iterable[Translation]:
    yield from registrations(source, memory, end=end)
    yield from exchanges.parents(source, memory, end=end)
    if end:
        yield from endings.due(source, memory)


FORMAT: Final = Format(
    name="keycloak",
    known_by="realmId and time, or loggerName org.keycloak.events",
    marks=is_entry,
    signs=re.compile(rb'["\[]org\.keycloak\.events|"realmId"\s*:'),
    translate=_translate,
    settle=_settle,
    unwrap=no_wrapper,
    other_lines=other_line,
    lifetimes=("access", "refresh"),
)
