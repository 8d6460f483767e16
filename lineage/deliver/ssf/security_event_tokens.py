"""What a security event token says of a row of the outbox, or of a stream itself. Pure.

RFC 8417 and SSF 1.0 section 4: typed, ``sub_id`` on top, one event, no ``sub``, no ``exp``. The same row says the same
to the same stream for good: a repetition has the same ``jti``.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from lineage.core.authority.receivers import issuer_of
from lineage.core.authority.verdict import State
from lineage.core.model.events import RevocationOrdered
from lineage.core.model.keys import split_key
from lineage.core.model.times import SECOND
from lineage.store.delivery.ssf_streams import Notice, Stream, Untold

_CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type/"
_SSF: Final = "https://schemas.openid.net/secevent/ssf/event-type/"
SESSION_REVOKED: Final = f"{_CAEP}session-revoked"
ELEMENT_STATE: Final = "urn:delegraph:secevent:event-type:element-state"  # ours: ADR 0017
VERIFICATION: Final = f"{_SSF}verification"
STREAM_UPDATED: Final = f"{_SSF}stream-updated"
SUPPORTED: Final = (SESSION_REVOKED, ELEMENT_STATE)

_FOR_GOOD: Final = (State.REVOKED, State.CASCADED)
_BY_POLICY: Final = frozenset({"policy_violation", "risk_elevated", "inactivity"})


def type_of(state: State) -> str:
    """The type of the event that tells a state: what is over for good is told in CAEP's words, the rest in ours."""
    return SESSION_REVOKED if state in _FOR_GOOD else ELEMENT_STATE


def jti_of(stream: Stream, row: Untold) -> str:
    """The id of the event that tells a stream a row."""
    number, outcome = row.change.version
    said = (stream.id, row.seq, row.change.key, number, str(outcome.state), outcome.revocation)
    return hashlib.sha256(repr(said).encode()).hexdigest()[:32]


def jti_of_notice(stream: Stream, notice: Notice) -> str:
    """The id of an event about a stream itself."""
    said = ("notice", stream.id, notice.id, notice.made_at)
    return hashlib.sha256(repr(said).encode()).hexdigest()[:32]


def subject_of(key: str) -> dict[str, str]:
    """An element as a subject (RFC 9493, SSF 1.0 section 3).

    A token of an issuer is a ``jwt_id``. What else there is goes by its opaque id: a token by its own, a delegation
    with its kind in front. (In a complex subject a receiver would ignore a member that it does not know, and be left
    with one that fits everything.)

    Examples:
        >>> subject_of("token:https://idp.example#t-1")
        {'format': 'jwt_id', 'iss': 'https://idp.example', 'jti': 't-1'}
        >>> subject_of("token:aws#ASIA1"), subject_of("delegation:d-1")
        ({'format': 'opaque', 'id': 'aws#ASIA1'}, {'format': 'opaque', 'id': 'delegation:d-1'})
    """
    kind, id_ = split_key(key)
    if kind != "token" or id_.startswith(("token:", "delegation:")):
        return {"format": "opaque", "id": key}
    issuer = issuer_of(id_)
    # A provider's handle, such as `aws#…`, is no JWT.
    if issuer is not None and (":" in issuer or "." in issuer):
        return {"format": "jwt_id", "iss": issuer, "jti": id_[len(issuer) + 1 :]}
    return {"format": "opaque", "id": id_}


def claims_of(row: Untold, stream: Stream, issuer: str, order: RevocationOrdered | None) -> dict[str, Any]:
    """What is told of a row.

    Args:
        row: The row.
        stream: To whom.
        issuer: By whom.
        order: The order that the state is because of.
    """
    number, outcome = row.change.version
    moment = row.recorded_at if outcome.effective_at is None else outcome.effective_at
    event: dict[str, Any] = {"event_timestamp": moment // SECOND, "state": str(outcome.state), "version": number}
    if outcome.expires_at is not None:
        event["expires_at"] = outcome.expires_at // SECOND
    if order is not None:
        event["initiating_entity"] = _initiating(order)
        event["reason_admin"] = {"en": order.reason}
    return {
        "iss": issuer,
        "jti": jti_of(stream, row),
        "iat": row.recorded_at // SECOND,
        "aud": stream.receiver,
        **({} if outcome.revocation is None else {"txn": outcome.revocation}),
        "sub_id": subject_of(row.change.key),
        "events": {type_of(outcome.state): event},
    }


def claims_of_notice(notice: Notice, stream: Stream, issuer: str) -> dict[str, Any]:
    """What is told of a stream itself (SSF 1.0 section 8.1)."""
    return {
        "iss": issuer,
        "jti": jti_of_notice(stream, notice),
        "iat": notice.made_at // SECOND,
        "aud": stream.receiver,
        "sub_id": {"format": "opaque", "id": stream.id},
        "events": {notice.type: dict(notice.payload)},
    }


def _initiating(order: RevocationOrdered) -> str:
    if order.reason in _BY_POLICY:
        return "policy"
    return "admin" if order.ordered_by.startswith("human:") else "system"


def update_of(status: str, reason: str | None) -> tuple[str, Mapping[str, Any]]:
    """The type and the payload that tell of a stream's status."""
    return STREAM_UPDATED, {"status": status} | ({} if reason is None else {"reason": reason})
