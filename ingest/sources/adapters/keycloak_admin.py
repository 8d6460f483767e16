"""Keycloak admin events: each is an action; those that end or suspend tokens are orders as well. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

from ingest.sources.adapters import keycloak_endings as endings
from ingest.sources.adapters.keycloak_entries import OFFLINE_SESSION, KeycloakEntry, Request
from ingest.sources.adapters.kit import Document, Memory, Source, resource, text
from ingest.sources.adapters.parties import NamingRecord, note_kind
from lineage.core.model.times import LATEST, format_instant

_PATH: Final = re.compile(r"(?P<what>users|clients|sessions)/(?P<id>[^/]+)(?P<rest>/.*)?")
_SERVICE_ACCOUNT: Final = "service-account-"
_CLIENTS: Final = "client-name"  # topic: the names of clients, by the internal ids in paths


def admin_events(entry: KeycloakEntry, source: Source, memory: Memory) -> list[Document]:
    """Return the events of an admin event."""
    action = source.event(
        "action.performed",
        f"{entry.id}/action",
        entry.at,
        action=source.id(entry.id),
        operation=f"{entry.type} {entry.resource}",
        outcome="succeeded" if entry.error is None else "denied",
        resource=resource(entry.path or None, entry.resource),
        actor=entry.actor,
    )
    if entry.error is not None or entry.issuer is None or entry.actor is None:
        return [action]
    return [action, *_endings(entry, Request(entry.id, entry.at, entry.actor), source, memory)]


def note_user(entry: KeycloakEntry, user: str | None, username: str | None, memory: Memory) -> None:
    """Remember whether a user is a person or a service account, if an entry says so."""
    kind = None if username is None else "service" if username.startswith(_SERVICE_ACCOUNT) else "human"
    note_kind(memory, user, kind, NamingRecord(entry.id, entry.at), username)


def _endings(entry: KeycloakEntry, request: Request, source: Source, memory: Memory) -> list[Document]:
    if (entry.type, entry.path) == ("ACTION", "logout-all"):
        return endings.realm_logout(str(entry.issuer), request, source, memory)
    match = _PATH.fullmatch(entry.path)
    if match is None:
        return []
    name = str(entry.named(match["id"]))
    match match["what"], entry.type, match["rest"] or "":
        case "sessions", "DELETE", "":
            offline = OFFLINE_SESSION if entry.representation.get("offline") is True else ""
            return [_order(request, source, ("session", f"{name}{offline}"))]
        case "users", "DELETE", "":
            return [_order(request, source, ("principal", name))]
        case "users", "ACTION", "/logout":
            return [_order(request, source, ("principal", name), issued_before=entry.at)]
        case "users", "CREATE" | "UPDATE", "":
            note_user(entry, name, text(entry.representation, "username"), memory)
            representation = entry.representation if entry.type == "UPDATE" else {}
            return _switched(("principal", name), representation, request, source, memory)
        case "clients", "CREATE" | "UPDATE" | "DELETE", "":
            return _of_client(entry, name, request, source, memory)
    return []


def _of_client(entry: KeycloakEntry, internal: str, request: Request, source: Source, memory: Memory) -> list[Document]:
    """Return the events of a change of a client, once its name is known from this or another entry."""
    asked = {
        "request": list(request),
        "is_deleted": entry.type == "DELETE",
        "enabled": entry.representation.get("enabled") if entry.type == "UPDATE" else None,
        "not_before": entry.representation.get("notBefore") if entry.type == "UPDATE" else None,
    }
    client_id = text(entry.representation, "clientId")
    asking = [*memory.learn(_CLIENTS, internal, client_id)] if client_id else []
    name = client_id or memory.ask(_CLIENTS, internal, asked)
    if name:
        asking.append(asked)
    return [event for about in asking for event in _client_events(about, f"{entry.issuer}#{name}", source, memory)]


def _client_events(asked: Mapping[str, Any], client: str, source: Source, memory: Memory) -> list[Document]:
    request, target, not_before = Request(*asked["request"]), ("client", client), asked["not_before"]
    if asked["is_deleted"]:  # a new client of the same name is a different one
        return [_order(request, source, target, issued_before=request.at)]
    events = _switched(target, asked, request, source, memory)
    if type(not_before) is int and 0 < not_before <= LATEST // 1_000_000:
        before = format_instant(not_before * 1_000_000)
        events.append(_order(request._replace(id=f"{request.id}/not-before"), source, target, issued_before=before))
    return events


def _switched(
    target: tuple[str, str], representation: Mapping[str, Any], request: Request, source: Source, memory: Memory
) -> list[Document]:
    enabled = representation.get("enabled")
    return endings.switched(target, request, source, memory, on=enabled) if isinstance(enabled, bool) else []


def _order(request: Request, source: Source, target: tuple[str, str], issued_before: str | None = None) -> Document:
    body = {"issued_before": issued_before} if issued_before else {}
    return source.order(request.id, request.at, target, by=request.by, cascade=False, **body)
