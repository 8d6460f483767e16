"""A line of Vault's audit log: what every line has, whose request it was, which token came of it. Pure."""

from typing import Any, NamedTuple

from ingest.sources.adapters.kit import instant, member, required, stated, text
from ingest.sources.adapters.vault_names import token_of
from lineage.core.model.errors import BadRecordError
from lineage.core.model.times import Instant


class Line(NamedTuple):
    """A line with what every line must have."""

    value: dict[str, Any]
    kind: str  # request or response
    id: str
    path: str
    operation: str
    time: str
    at: Instant


def line_of(value: dict[str, Any]) -> Line:
    """Read an object as a line of an audit log.

    Raises:
        BadRecordError: It is none, or lacks what every line has.
    """
    kind = required(value, "type")
    if kind not in {"request", "response"}:
        raise BadRecordError("unknown-type", "its type is neither request nor response: it is no audit line")
    time = required(value, "time")
    return Line(
        value,
        kind,
        id=required(value, "request", "id"),
        path=required(value, "request", "path"),
        operation=required(value, "request", "operation"),
        time=time,
        at=instant(time, "time"),
    )


def made_by(line: Line) -> dict[str, Any] | None:
    """The token that the answer gives out; of a wrapped one the log has little more than the accessor."""
    if line.path.startswith("sys/wrapping/"):  # hands out, or wraps anew, what was made before
        return None
    made = member(line.value, "response", "auth")
    if isinstance(made, dict) and token_of(made):
        return made
    wrapped = text(line.value, "response", "wrap_info", "wrapped_accessor")
    if wrapped is None:
        return None
    auth = line.value.get("auth")
    if isinstance(auth, dict) and text(auth, "accessor") == wrapped:
        return auth
    # A token inherits the entity of the one that made it.
    return stated(accessor=wrapped, entity_id=text(auth, "entity_id"))


def caller_of(line: Line) -> dict[str, Any]:
    """What the line says of the token that the request carried, and of whose it is.

    The ``auth`` of a login's response is that of the new token, whatever token the request carried: whose
    that one is, is not said then. If it carried none, the caller is who has just shown who he is.
    """
    request, auth, made = line.value["request"], line.value.get("auth"), made_by(line)
    accessor, client_token = text(request, "client_token_accessor"), text(request, "client_token")
    carried = stated(accessor=accessor, client_token=client_token)
    if not isinstance(auth, dict):
        return carried
    if made is not None and token_of(made) == token_of(auth) and not line.path.startswith("auth/token/"):
        return carried or stated(entity_id=auth.get("entity_id"), display_name=auth.get("display_name"))
    return auth | carried
