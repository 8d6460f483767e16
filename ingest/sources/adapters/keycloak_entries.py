"""Keycloak's entries in one shape: events and admin events of its REST API, and the lines of its logging listener.

A line is JSON around a message of ``name="value"``, ``name='value'`` or ``name=value``. It names the realm, and has no
id of its own; the REST API has ids, and names no realm. Pure.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ingest.codec.params_digest import digest_of
from ingest.sources.adapters.keycloak_lines import fields_of
from ingest.sources.adapters.kit import BadRecordError, Source, handle, instant, moment, required, text
from ingest.sources.adapters.raw_records import parse
from lineage.core.model.times import Instant

LOGGER: Final = "org.keycloak.events"
_LOGGER_NAMES: Final = ("loggerName", "log.logger", "logger")
_TIME_NAMES: Final = ("timestamp", "@timestamp", "time")
# How the id of a token of an offline session begins, and of one that a client made of such a token: `ofrtrt:`.
_OFFLINE: Final = re.compile(r"(?:of|ft)[a-z]{4}:")
OFFLINE_SESSION: Final = "/offline"
_REALMS: Final = "/realms/"


class Request(NamedTuple):
    """Somebody's request to change something: the id of the entry, when, and who."""

    id: str
    at: str
    by: str

    @property
    def moment(self) -> Instant:
        """When, as an instant."""
        return instant(self.at, "time")


class Entry(NamedTuple):
    """An event, or an admin event.

    Attributes:
        id: Its own, else a digest of the line.
        at: When.
        type: ``LOGIN``; of an admin event the operation, ``UPDATE``.
        issuer: Of the tokens of the realm that it is about; None: the entry does not say which.
        actor: Who asked for an admin event.
        client, user, session: Ids within the realm, as logged.
        error: Why it was refused.
        details: What else it says.
        tells_all: Whether the log that it stands in has events of every type.
        resource: Of an admin event the type, such as ``USER``; None: it is none.
        path: What was changed: ``users/<id>``.
        representation: What it was changed to.
    """

    id: str
    at: str
    type: str
    issuer: str | None
    actor: str | None = None
    client: str | None = None
    user: str | None = None
    session: str | None = None
    error: str | None = None
    details: Mapping[str, Any] = {}
    tells_all: bool = False
    resource: str | None = None
    path: str = ""
    representation: Mapping[str, Any] = {}

    @property
    def session_id(self) -> str | None:
        """The session; an offline one has the id of the session that it came from, and outlives it."""
        is_offline = _OFFLINE.match(self.detail("token_id") or "") or self.detail("refresh_token_type") == "Offline"
        named = self.named(self.session)
        return f"{named}{OFFLINE_SESSION}" if named and is_offline else named

    @property
    def group(self) -> str:
        """``session:ID``, online or not; of what has no session ``client:ID``."""
        return f"session:{self.named(self.session)}" if self.session else f"client:{self.named(self.client)}"

    def named(self, native: str | None) -> str | None:
        """The id of something within the realm."""
        return f"{self.issuer}#{native}" if native and self.issuer else None

    def detail(self, name: str) -> str | None:
        """A detail, if it says something."""
        return text(self.details, name)


def is_entry(value: Mapping[str, Any]) -> bool:
    """Whether an object is one of Keycloak's."""
    if "realmId" in value and "time" in value and ("type" in value or "authDetails" in value):
        return True
    return "message" in value and any(text(value, name) == LOGGER for name in _LOGGER_NAMES)


def entry_of(value: Mapping[str, Any], source: Source) -> Entry:
    """One of Keycloak's entries.

    Raises:
        BadRecordError: A field that it needs is missing, or a line cannot be taken apart.
    """
    if "message" in value and "realmId" not in value:
        return _of_line(value, source)
    id_ = text(value, "id") or digest(digest_of(value) or "")
    at, issuer, error = moment(value, "time"), _issuer(source, None, required(value, "realmId")), text(value, "error")
    if "authDetails" not in value:
        return Entry(
            id_,
            at,
            required(value, "type"),
            issuer,
            client=text(value, "clientId"),
            user=text(value, "userId"),
            session=text(value, "sessionId"),
            error=error,
            details=_object(value.get("details")),
        )
    admin, realm = text(value, "authDetails", "userId"), text(value, "authDetails", "realmId")
    own = issuer if realm == value["realmId"] else f"{source.prefix}{_REALMS}{realm}"
    return Entry(
        id_,
        at,
        required(value, "operationType"),
        issuer,
        actor=f"{own}#{admin}" if admin else None,
        error=error,
        resource=text(value, "resourceType") or "UNKNOWN",
        path=text(value, "resourcePath") or "",
        representation=_representation(value.get("representation")),
    )


def _of_line(value: Mapping[str, Any], source: Source) -> Entry:
    message, time = required(value, "message"), next((name for name in _TIME_NAMES if name in value), "timestamp")
    at, said = moment(value, time), fields_of(message)
    id_, realm = digest(f"{at} {message}"), said.get("realmName")
    issuer, error = _issuer(source, realm, said.get("realmId", "")), said.get("error")
    if "operationType" not in said:
        known = ("type", "realmId", "realmName", "clientId", "userId", "sessionId", "ipAddress", "error")
        return Entry(
            id_,
            at,
            required(said, "type"),
            issuer,
            client=said.get("clientId"),
            user=said.get("userId"),
            session=said.get("sessionId"),
            error=error,
            details={name: text for name, text in said.items() if name not in known},
            tells_all=True,
        )
    return Entry(
        id_,
        at,
        said["operationType"],
        _administered(source, realm, issuer),
        actor=f"{issuer}#{said['userId']}" if "userId" in said else None,
        error=error,
        tells_all=True,
        resource=said.get("resourceType", "UNKNOWN"),
        path=said.get("resourcePath", ""),
        representation=_representation(said.get("representation")),
    )


def _issuer(source: Source, realm: str | None, realm_id: str) -> str:
    """The issuer of a realm: the settings name one, or the server's address and the log the realm."""
    base, _, own = (source.issuer or "").rstrip("/").partition(_REALMS)
    if realm is None and own:
        return f"{base}{_REALMS}{own}"
    return f"{base}{_REALMS}{realm}" if base and realm else f"{source.prefix}{_REALMS}{realm or realm_id}"


def _administered(source: Source, realm: str | None, issuer: str) -> str | None:
    """The issuer that a line of an admin event is about: it names the admin's own realm alone."""
    if _REALMS in (source.issuer or ""):
        return _issuer(source, None, "")
    return issuer if realm != "master" else None


def _representation(found: Any) -> Mapping[str, Any]:
    if not isinstance(found, str):
        return _object(found)
    try:
        return _object(parse(found.encode(errors="surrogatepass")))
    except BadRecordError:  # it is the admin's own; the event stands without it
        return {}


def _object(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def digest(line: str) -> str:
    """A short name for something that has none of its own."""
    return handle(line).removeprefix("sha256:")[:32]
