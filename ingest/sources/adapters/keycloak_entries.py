"""Keycloak entries in a common form: events and admin events of its REST API, and lines of its logging listener.

A line is JSON around a message of ``name="value"``, ``name='value'`` or ``name=value``. It names the realm but has no
id; the REST API has ids but names no realm. Pure.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ingest.codec.params_digest import digest_of
from ingest.sources.adapters.keycloak_lines import fields_of
from ingest.sources.adapters.kit import BadRecordError, Source, handle, instant, moment, required, text
from ingest.sources.adapters.raw_records import parse
from lineage.core.model.times import Instant

_TIME_NAMES: Final = ("timestamp", "@timestamp", "time")
# The prefixes of token ids in an offline session, and of tokens that a client derived from one: `ofrtrt:`.
_OFFLINE: Final = re.compile(r"(?:of|ft)[a-z]{4}:")
OFFLINE_SESSION: Final = "/offline"
_REALMS: Final = "/realms/"


class Request(NamedTuple):
    """A request for a change: the id of the entry, its time, and the requester."""

    id: str
    at: str
    by: str

    @property
    def moment(self) -> Instant:
        """The time as an instant."""
        return instant(self.at, "time")


class KeycloakEntry(NamedTuple):
    """An event, or an admin event.

    Attributes:
        id: Its id, or a digest of the line.
        at: Its time.
        type: ``LOGIN``; for an admin event the operation, such as ``UPDATE``.
        issuer: The issuer of the realm's tokens; None if the entry does not say.
        actor: The requester of an admin event.
        client, user, session: Ids within the realm, as logged.
        error: Why it was refused.
        details: Further details.
        tells_all: Whether its log contains events of every type.
        resource: For an admin event the type of resource, such as ``USER``; otherwise None.
        path: What was changed: ``users/<id>``.
        representation: The new value.
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
        """The session; an offline one has the id of the session it came from, and outlives it."""
        is_offline = _OFFLINE.match(self.detail("token_id") or "") or self.detail("refresh_token_type") == "Offline"
        named = self.named(self.session)
        return f"{named}{OFFLINE_SESSION}" if named and is_offline else named

    @property
    def group(self) -> str:
        """``session:ID``, online or not; without a session ``client:ID``."""
        return f"session:{self.named(self.session)}" if self.session else f"client:{self.named(self.client)}"

    def named(self, native: str | None) -> str | None:
        """Return the id of something within the realm."""
        return f"{self.issuer}#{native}" if native and self.issuer else None

    def detail(self, name: str) -> str | None:
        """Return a detail that is not empty."""
        return text(self.details, name)


def entry_of(value: Mapping[str, Any], source: Source) -> KeycloakEntry:
    """Parse a Keycloak entry.

    Raises:
        BadRecordError: A required field is missing, or a line cannot be parsed.
    """
    if "message" in value and "realmId" not in value:
        return _of_line(value, source)
    id_ = text(value, "id") or digest(digest_of(value) or "")
    at, issuer, error = moment(value, "time"), _issuer(source, None, required(value, "realmId")), text(value, "error")
    if "authDetails" not in value:
        return KeycloakEntry(
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
    return KeycloakEntry(
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


def _of_line(value: Mapping[str, Any], source: Source) -> KeycloakEntry:
    message, time = required(value, "message"), next((name for name in _TIME_NAMES if name in value), "timestamp")
    at, fields = moment(value, time), fields_of(message)
    id_, realm = digest(f"{at} {message}"), fields.get("realmName")
    issuer, error = _issuer(source, realm, fields.get("realmId", "")), fields.get("error")
    if "operationType" not in fields:
        known = ("type", "realmId", "realmName", "clientId", "userId", "sessionId", "ipAddress", "error")
        return KeycloakEntry(
            id_,
            at,
            required(fields, "type"),
            issuer,
            client=fields.get("clientId"),
            user=fields.get("userId"),
            session=fields.get("sessionId"),
            error=error,
            details={name: text for name, text in fields.items() if name not in known},
            tells_all=True,
        )
    return KeycloakEntry(
        id_,
        at,
        fields["operationType"],
        _administered(source, realm, issuer),
        actor=f"{issuer}#{fields['userId']}" if "userId" in fields else None,
        error=error,
        tells_all=True,
        resource=fields.get("resourceType", "UNKNOWN"),
        path=fields.get("resourcePath", ""),
        representation=_representation(fields.get("representation")),
    )


def _issuer(source: Source, realm: str | None, realm_id: str) -> str:
    """Return the issuer of a realm.

    From the settings, or the server's address from the settings and the realm from the log.
    """
    base, _, own = (source.issuer or "").rstrip("/").partition(_REALMS)
    if realm is None and own:
        return f"{base}{_REALMS}{own}"
    return f"{base}{_REALMS}{realm}" if base and realm else f"{source.prefix}{_REALMS}{realm or realm_id}"


def _administered(source: Source, realm: str | None, issuer: str) -> str | None:
    """Return the issuer that an admin event's line is about: it names only the admin's own realm."""
    if _REALMS in (source.issuer or ""):
        return _issuer(source, None, "")
    return issuer if realm != "master" else None


def _representation(found: Any) -> Mapping[str, Any]:
    if not isinstance(found, str):
        return _object(found)
    try:
        return _object(parse(found.encode(errors="surrogatepass")))
    except BadRecordError:  # it is the admin's own; the event is valid without it
        return {}


def _object(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def digest(line: str) -> str:
    """Return a short id for something that has none."""
    return handle(line).removeprefix("sha256:")[:32]
