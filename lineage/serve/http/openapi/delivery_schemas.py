"""Schemas of the delivery endpoints' documents: introspection, Shared Signals, keys, status lists."""

from typing import Any, Literal, NotRequired, TypedDict

from lineage.serve.http.openapi.schemas import Time


class Actor(TypedDict):
    """The current actor for the subject, with the previous actors nested in it (RFC 8693)."""

    sub: str
    act: NotRequired[dict[str, Any]]


class Introspection(TypedDict):
    """The content of a token (RFC 7662); for one that may not be honoured, only ``active``: false."""

    active: bool
    scope: NotRequired[str]
    client_id: NotRequired[str]
    token_type: NotRequired[str]
    exp: NotRequired[int]
    iat: NotRequired[int]
    nbf: NotRequired[int]
    sub: NotRequired[str]
    act: NotRequired[Actor]
    act_truncated: NotRequired[bool]
    aud: NotRequired[str | list[str]]
    iss: NotRequired[str]
    jti: NotRequired[str]


class Scheme(TypedDict):
    """A way in which a receiver authenticates."""

    spec_urn: str


class TransmitterConfiguration(TypedDict):
    """The configuration of the Shared Signals transmitter (SSF 1.0 section 7.1)."""

    spec_version: str
    issuer: str
    jwks_uri: str
    delivery_methods_supported: list[str]
    configuration_endpoint: str
    status_endpoint: str
    verification_endpoint: str
    authorization_schemes: list[Scheme]
    default_subjects: str


class Delivery(TypedDict):
    """The delivery method of a stream."""

    method: str
    endpoint_url: str


class Stream(TypedDict):
    """A stream as its receiver sees it."""

    stream_id: str
    iss: str
    aud: str
    events_supported: list[str]
    events_requested: list[str]
    events_delivered: list[str]
    delivery: Delivery
    description: NotRequired[str]


class StreamStatus(TypedDict):
    """The status of a stream, and why pushes are not accepted."""

    stream_id: str
    status: Literal["enabled", "paused", "disabled"]
    reason: NotRequired[str]
    fault: NotRequired[str]


class Polled(TypedDict):
    """The events of a stream (RFC 8936)."""

    sets: dict[str, str]
    moreAvailable: bool


class DeadLetter(TypedDict):
    """An event that its receiver refused permanently."""

    receiver: str
    stream_id: str
    jti: str
    err: str
    description: str
    refused_at: Time


class DeadLetters(TypedDict):
    """Events that were refused permanently, latest first."""

    items: list[DeadLetter]
    total: int
    complete: bool
    next: str | None


class PublicKey(TypedDict):
    """The public part of a signing key (RFC 7517)."""

    kty: str
    kid: str
    alg: str
    use: str
    crv: NotRequired[str]
    x: NotRequired[str]
    y: NotRequired[str]
    n: NotRequired[str]
    e: NotRequired[str]


class PublicKeys(TypedDict):
    """The signing keys."""

    keys: list[PublicKey]


class StatusListUris(TypedDict):
    """The existing status lists."""

    status_lists: list[str]


DELIVERED: dict[str, Any] = {
    shape.__name__: shape
    for shape in (
        *(
            Introspection,
            TransmitterConfiguration,
            Stream,
            StreamStatus,
            Polled,
            DeadLetters,
            PublicKeys,
            StatusListUris,
        ),
    )
}
