"""The claims of security event tokens, for rows of the outbox and for events about a stream. Pure.

RFC 8417 and SSF 1.0 section 4: with ``typ``, a top-level ``sub_id``, one event, no ``sub``, no ``exp``. The same row
always yields the same claims for the same stream, so a repetition has the same ``jti``.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from lineage.core.authority.receivers import issuer_of
from lineage.core.authority.verdict import State
from lineage.core.model.events import RevocationOrdered
from lineage.core.model.keys import split_key
from lineage.core.model.times import SECOND
from lineage.store.delivery.ssf_streams import Notice, Stream, UndeliveredRow

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
    """Return the event type for a state: CAEP's ``session-revoked`` for permanent revocations, ours for all others."""
    return SESSION_REVOKED if state in _FOR_GOOD else ELEMENT_STATE


def jti_of(stream: Stream, row: UndeliveredRow) -> str:
    """Return the id of the event that delivers a row to a stream."""
    number, outcome = row.change.version
    identity = (stream.id, row.seq, row.change.key, number, str(outcome.state), outcome.revocation)
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:32]


def jti_of_notice(stream: Stream, notice: Notice) -> str:
    """Return the id of an event about a stream itself."""
    identity = ("notice", stream.id, notice.id, notice.made_at)
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:32]


def subject_of(key: str) -> dict[str, str]:
    """Build the subject identifier of an element (RFC 9493, SSF 1.0 section 3).

    A token of an issuer is a ``jwt_id``. Any other element is ``opaque``: a token by its id, a delegation with its kind
    as a prefix. (In a complex subject, a receiver would ignore unknown members, and the rest would match everything.)

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
    # A provider's handle, such as `aws#…`, is not a JWT.
    if issuer is not None and (":" in issuer or "." in issuer):
        return {"format": "jwt_id", "iss": issuer, "jti": id_[len(issuer) + 1 :]}
    return {"format": "opaque", "id": id_}


def claims_of(row: UndeliveredRow, stream: Stream, issuer: str, order: RevocationOrdered | None) -> dict[str, Any]:
    """Build the claims for a row of the outbox.

    Args:
        row: The row.
        stream: The stream to which it is delivered.
        issuer: The issuer of the event.
        order: The revocation that caused the state; None if there is none.
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
    """Build the claims for an event about the stream itself (SSF 1.0 section 8.1)."""
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
    """Return the type and payload of the event that reports a stream's status."""
    return STREAM_UPDATED, {"status": status} | ({} if reason is None else {"reason": reason})
