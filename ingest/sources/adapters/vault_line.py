"""A line of Vault's audit log: the common fields, the caller, and the token issued. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ingest.sources.adapters.kit import BadRecordError, Source, instant, member, required, stated, text
from ingest.sources.adapters.vault_names import native_token, wielder
from lineage.core.model.times import Instant


class VaultLine(NamedTuple):
    """A line with its common fields.

    Attributes:
        value: The line.
        kind: ``request`` or ``response``.
        id: The id of the request.
        namespace: Its path with a trailing slash; empty for the root.
        path: The path within the namespace.
        operation: The operation, such as ``update``.
        time: The time as logged.
        at: The same time as an instant.
        source: The source of the log.
    """

    value: Mapping[str, Any]
    kind: str
    id: str
    namespace: str
    path: str
    operation: str
    time: str
    at: Instant
    source: Source

    @property
    def caller(self) -> dict[str, Any]:
        """The statements of the line about the token of the request, and its holder."""
        return _caller_of(self)

    @property
    def by(self) -> str:
        """The requester, who counts as the author of an order."""
        caller = self.caller
        native = native_token(caller) or text(caller, "client_token") or "nobody"
        return wielder(self.source, caller) or self.source.principal("holder", native)

    @property
    def succeeded(self) -> bool:
        """Whether the request succeeded."""
        return outcome(self.value) is None


def line_of(value: Mapping[str, Any], source: Source) -> VaultLine:
    """Parse an object as a line of an audit log.

    Raises:
        BadRecordError: It is not one, or a common field is missing.
    """
    kind = required(value, "type")
    if kind not in {"request", "response"}:
        raise BadRecordError("unknown-type", "it is not an audit line: its type is neither request nor response")
    time = required(value, "time")
    namespace = (text(value, "request", "namespace", "path") or "").strip("/")
    namespace += "/" if namespace else ""
    return VaultLine(
        value,
        kind,
        id=required(value, "request", "id"),
        namespace=namespace,
        path=required(value, "request", "path").removeprefix(namespace),
        operation=required(value, "request", "operation"),
        time=time,
        at=instant(time, "time"),
        source=source,
    )


def outcome(value: Mapping[str, Any]) -> str | None:
    """Return how the request failed, if it did."""
    error = text(value, "error")
    if error is not None:
        return "denied" if "permission denied" in error or "missing client token" in error else "failed"
    # Vault marks an error from a plugin by data that contains only an error.
    data = member(value, "response", "data")
    return "failed" if isinstance(data, Mapping) and list(data) == ["error"] else None


def made_by(line: VaultLine) -> Mapping[str, Any] | None:
    """Return the token that the response issues; for a wrapped one the log has little more than the accessor."""
    if line.path.startswith("sys/wrapping/"):  # returns, or wraps again, an existing token
        return None
    auth = line.value.get("auth")
    made = member(line.value, "response", "auth")
    if isinstance(made, Mapping) and native_token(made):
        carried = text(line.value, "request", "client_token")
        if not line.path.startswith("auth/token/") and text(made, "client_token") == carried:
            # For a login with a token, the log has the digest of that token instead of the new one's.
            return {name: value for name, value in made.items() if name != "client_token"}
        return made
    wrapped = text(line.value, "response", "wrap_info", "wrapped_accessor")
    if wrapped is None:
        return None
    if isinstance(auth, Mapping) and text(auth, "accessor") == wrapped:
        return {name: value for name, value in auth.items() if name != "client_token"}
    # A token inherits the entity of the one that created it.
    return stated(accessor=wrapped, entity_id=text(auth, "entity_id"))


def _caller_of(line: VaultLine) -> dict[str, Any]:
    """Return the caller.

    The ``auth`` of a login's response is that of the new token, even if the request carried another one, whose holder
    is then unknown. Without one, the caller is the party that just logged in.
    """
    request, auth, made = line.value["request"], line.value.get("auth"), made_by(line)
    carried = stated(
        accessor=text(request, "client_token_accessor"),
        client_token=text(request, "client_token"),
    )
    if not isinstance(auth, Mapping):
        return carried
    if made is not None and native_token(made) == native_token(auth) and not line.path.startswith("auth/token/"):
        return carried or stated(entity_id=auth.get("entity_id"), display_name=auth.get("display_name"))
    return {**auth, **carried}
