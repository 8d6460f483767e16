"""The requests of receivers to a transmitter, parsed from JSON. Pure.

Unknown members are ignored (SSF 1.0 section 8.1.1); known ones must be valid.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from lineage.core.model.errors import RefusedError
from lineage.store.database.dialects import storable
from lineage.store.delivery.ssf_streams import DISABLED, ENABLED, PAUSED, StreamSettings

PUSH: Final = "urn:ietf:rfc:8935"
POLL: Final = "urn:ietf:rfc:8936"
METHODS: Final = (PUSH, POLL)
STATUSES: Final = (ENABLED, PAUSED, DISABLED)
MOST_EVENTS: Final = 100  # in one answer to a poll

_LONGEST_URL: Final = 2_048
_LONGEST_TEXT: Final = 4_096
_LONGEST_ERROR: Final = 100
_MOST_TYPES: Final = 64
_MOST_ANSWERS: Final = 1_000  # acknowledgements and errors in one poll

Json = Mapping[str, Any]


class StreamRequest(NamedTuple):
    """A stream as requested by its receiver.

    Attributes:
        settings: The configuration to store.
        authorization: The ``Authorization`` header to send with every push; None for no header.
        keeps_authorization: Whether to keep the present header, because the request does not change it.
    """

    settings: StreamSettings
    authorization: str | None
    keeps_authorization: bool


class PollRequest(NamedTuple):
    """The parameters of a poll (RFC 8936 section 2.2)."""

    most: int
    at_once: bool
    acknowledged: frozenset[str]
    refused: Mapping[str, tuple[str, str]]  # jti -> error, description


def stream_request_of(body: Json, *, before: StreamSettings | None = None, loopback: bool) -> StreamRequest:
    """Parse the configuration of a stream.

    Args:
        body: The request body.
        before: The present configuration, for members that the body omits; None for a new stream.
        loopback: Whether pushes to this machine itself are allowed.

    Raises:
        RefusedError: A member is invalid.
    """
    kept = StreamSettings(method=POLL) if before is None else before
    method, endpoint, authorization, keeps = kept.method, kept.endpoint, None, True
    if body.get("delivery") is not None:
        delivery = _object(body["delivery"], "delivery")
        method = _text(delivery.get("method"), "delivery.method")
        if method not in METHODS:
            raise RefusedError(f"'delivery.method' is not supported; use {' or '.join(METHODS)}")
        url = delivery.get("endpoint_url")
        endpoint = endpoint_of(_text(url, "delivery.endpoint_url"), loopback=loopback) if method == PUSH else None
        keeps = "authorization_header" not in delivery and (method, endpoint) == (kept.method, kept.endpoint)
        if (header := delivery.get("authorization_header")) is not None:
            authorization = _header(header)
    events, description = kept.events, kept.description
    if "events_requested" in body:
        events = _types(body["events_requested"])
    if "description" in body:
        description = None if body["description"] is None else _text(body["description"], "description")
    settings = StreamSettings(method=method, endpoint=endpoint, events=events, description=description)
    return StreamRequest(settings, authorization if method == PUSH else None, keeps)


def endpoint_of(url: str, *, loopback: bool) -> str:
    """Check a URL for pushes: https, or http on loopback if that is allowed.

    Raises:
        RefusedError: Pushes to it are not allowed.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = SplitResult("", "", "", "", ""), ""
    whole = url.isascii() and url.isprintable() and not set(url) & set(' "<>\\^`{|}') and len(url) <= _LONGEST_URL
    if not whole or not host or "@" in parts.netloc or parts.fragment:
        raise RefusedError("'delivery.endpoint_url' must be a URL such as https://gateway.example/events")
    here = is_here(host)
    if here and not loopback:
        raise RefusedError("'delivery.endpoint_url' is on the transmitter's own machine, which is not allowed")
    if (address := _address_of(host)) is not None and goes_nowhere(address):
        raise RefusedError("'delivery.endpoint_url' is an address to which pushes are not allowed")
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        raise RefusedError("'delivery.endpoint_url' must begin with https://")
    return url


def is_here(host: str) -> bool:
    """Whether a host name or address is evidently this machine, without a name lookup."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address_of(host)
    return address is not None and address.is_loopback


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


# Cloud metadata services, which serve credentials (AWS, Google, Azure, ECS: link-local 169.254.0.0/16; AWS
# fd00:ec2::254, Google fd20:ce::254, Scaleway fd00:42::42, Azure 168.63.129.16, Alibaba 100.100.100.200, Oracle
# 192.0.0.192), shared and special-purpose blocks (RFC 6890), broadcast, and forms of IPv6 that embed another address:
# NAT64, 6to4, Teredo, IPv4-compatible, IPv4-translated.
_NOT_CALLED: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "240.0.0.0/4", "255.255.255.255/32"),
        *("168.63.129.16/32", "192.88.99.0/24", "fd20:ce::/64", "fd00:42::/32", "::ffff:0:0:0/96"),
        *("fd00:ec2::/32", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96"),
    )
)


def goes_nowhere(address: Address) -> bool:
    """Whether pushes to an address are forbidden."""
    if address.is_loopback:  # depends on a setting, which is checked separately
        return False
    # Private addresses are allowed: receivers are often inside the same network.
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or any(address in network for network in _NOT_CALLED if network.version == address.version)
    )


def plain(address: Address) -> Address:
    """Return the IPv4 address of an IPv4-mapped IPv6 address; any other address unchanged."""
    return getattr(address, "ipv4_mapped", None) or address


def _address_of(host: str) -> Address | None:
    try:
        return plain(ipaddress.ip_address(host))
    except ValueError:
        return None


def stream_id_of(body: Json) -> str:
    """Return the stream id in a body."""
    return _text(body.get("stream_id"), "stream_id")


def status_of(body: Json) -> tuple[str, str | None]:
    """Return the requested status, and the reason for it."""
    status = _text(body.get("status"), "status")
    if status not in STATUSES:
        raise RefusedError(f"'status' must be {ENABLED}, {PAUSED} or {DISABLED}")
    return status, None if body.get("reason") is None else _text(body["reason"], "reason")


def state_of(body: Json) -> str | None:
    """Return the state that a verification event is to repeat."""
    return None if body.get("state") is None else _text(body["state"], "state")


def poll_request_of(body: Json) -> PollRequest:
    """Parse a poll."""
    most, at_once = body.get("maxEvents", MOST_EVENTS), body.get("returnImmediately", False)
    if not isinstance(most, int) or isinstance(most, bool) or most < 0:
        raise RefusedError("'maxEvents' must be a number, 0 or more")
    if not isinstance(at_once, bool):
        raise RefusedError("'returnImmediately' must be true or false")
    acknowledged, errors = body.get("ack", []), _object(body.get("setErrs", {}), "setErrs")
    if not isinstance(acknowledged, list) or not all(isinstance(jti, str) for jti in acknowledged):
        raise RefusedError("'ack' must be a list of ids of events")
    if len(acknowledged) + len(errors) > _MOST_ANSWERS:
        raise RefusedError(f"a poll may answer at most {_MOST_ANSWERS} events")
    refused = {jti: refusal_of(_object(error, "setErrs")) for jti, error in errors.items()}
    return PollRequest(min(most, MOST_EVENTS), at_once, frozenset(acknowledged), refused)


def refusal_of(value: Json) -> tuple[str, str]:
    """Return a receiver's error code and description for an event, shortened; an invalid code becomes empty."""
    error, description = value.get("err"), value.get("description")
    return (
        storable(error[:_LONGEST_ERROR]) if isinstance(error, str) else "",
        storable(description[:_LONGEST_TEXT]) if isinstance(description, str) else "",
    )


def _object(value: object, name: str) -> Json:
    if not isinstance(value, dict):
        raise RefusedError(f"'{name}' must be an object")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value or len(value) > _LONGEST_TEXT:
        raise RefusedError(f"'{name}' must be a string of 1 to {_LONGEST_TEXT} characters")
    if storable(value) != value:
        raise RefusedError(f"'{name}' contains NUL or an unpaired surrogate")
    return value


def _header(value: object) -> str:
    # The header is secret, so no message repeats it.
    if not isinstance(value, str) or not (value.isascii() and value.isprintable()) or not value.strip():
        raise RefusedError("'delivery.authorization_header' must be a string of printable ASCII characters")
    if len(value) > _LONGEST_TEXT:
        raise RefusedError(f"'delivery.authorization_header' may have at most {_LONGEST_TEXT} characters")
    return value.strip()


def _types(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _MOST_TYPES:
        raise RefusedError(f"'events_requested' must be a list of at most {_MOST_TYPES} event types")
    return tuple(dict.fromkeys(_text(each, "events_requested") for each in value))
