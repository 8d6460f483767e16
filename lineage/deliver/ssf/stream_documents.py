"""The documents of the transmitter and of its streams, as the JSON of SSF 1.0. Pure."""

from collections.abc import Sequence
from typing import Any

from lineage.core.model.times import format_instant
from lineage.deliver.ssf.security_event_tokens import SUPPORTED
from lineage.deliver.ssf.stream_requests import METHODS, PUSH
from lineage.store.delivery.ssf_streams import DeadLetter, Stream

Document = dict[str, Any]


def configuration_document(issuer: str) -> Document:
    """Build the document at ``/.well-known/ssf-configuration`` (SSF 1.0 section 7.1)."""
    return {
        "spec_version": "1_0",
        "issuer": issuer,
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "delivery_methods_supported": list(METHODS),
        "configuration_endpoint": f"{issuer}/ssf/streams",
        "status_endpoint": f"{issuer}/ssf/status",
        "verification_endpoint": f"{issuer}/ssf/verify",
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6750"}],
        "default_subjects": "ALL",
    }


def stream_document(stream: Stream, issuer: str) -> Document:
    """Build the document of a stream for its receiver; the authorization header is never shown."""
    settings = stream.settings
    endpoint = settings.endpoint if settings.method == PUSH else f"{issuer}/ssf/poll/{stream.id}"
    requested = list(settings.events) if settings.events else list(SUPPORTED)
    return {
        "stream_id": stream.id,
        "iss": issuer,
        "aud": stream.receiver,
        "events_supported": list(SUPPORTED),
        "events_requested": requested,
        "events_delivered": [type_ for type_ in SUPPORTED if type_ in requested],
        "delivery": {"method": settings.method, "endpoint_url": endpoint},
        **({} if settings.description is None else {"description": settings.description}),
    }


def status_document(stream: Stream) -> Document:
    """Build the document of a stream's status, and why pushes to it fail."""
    members = {"stream_id": stream.id, "status": stream.status, "reason": stream.reason, "fault": stream.fault}
    return {name: value for name, value in members.items() if value is not None}


def dead_letters_document(letters: Sequence[DeadLetter], total: int) -> Document:
    """Build the list of events that receivers have permanently refused; it says whether it is complete."""
    items = [
        {
            "receiver": letter.receiver,
            "stream_id": letter.stream,
            "jti": letter.jti,
            "err": letter.error,
            "description": letter.description,
            "refused_at": format_instant(letter.refused_at),
        }
        for letter in letters
    ]
    return {"items": items, "total": total, "complete": len(items) == total, "next": None}
