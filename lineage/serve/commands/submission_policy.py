"""Submission policy: which events a caller may send over HTTP.

A producer sends events of the sources it was granted, but no orders, lifts or acknowledgements. A receiver may
register itself, a responder any receiver, a producer none, because narrowing the coverage of an enforcement point
would silence it. The policy applies when an event arrives, and again when it is released from quarantine. Therefore a
record is quarantined together with the sources of its sender.
"""

import json
from collections.abc import Iterable
from typing import Final

from ingest.codec import api as codec
from ingest.codec import credentials, limits
from lineage.core.model.events import (
    Event,
    ReceiverRegistered,
    RevocationAcknowledged,
)
from lineage.deliver.http.callers import Caller, ForbiddenError, LacksRoleError, Role

SENDERS: Final = (Role.PRODUCER, Role.RECEIVER, Role.RESPONDER)  # the roles that may send events
REGISTRATION: Final = "receiver.registered"
SINGLE_OBJECT: Final = b"\xc3\x01"  # the first bytes of an Avro event, which no JSON has
_KEPT_BYTES: Final = 4 * 1024  # bytes of sources stored with each record


def read(raw: bytes) -> Event:
    """Decode one event in either form.

    Raises:
        BadRecordError: It is not an event.
    """
    return codec.decode(raw) if raw.startswith(SINGLE_OBJECT) else codec.decode_line(raw)


def is_given_elsewhere(event: Event) -> bool:
    """Whether it is an order or an acknowledgement, or belongs with the orders: these have their own endpoints."""
    return event.is_order or isinstance(event.body, RevocationAcknowledged)


def depends_on_sender(event: Event) -> bool:
    """Whether sending it requires more than a source, so that it cannot be checked later from the sources alone."""
    return is_given_elsewhere(event) or isinstance(event.body, ReceiverRegistered)


def refuse_event(caller: Caller, number: int, event: Event) -> None:
    """Refuse an event that a caller may not send.

    Raises:
        ForbiddenError: The caller may not; the message names the event by its number.
    """
    body, own_source = event.body, False
    if is_given_elsewhere(event):
        raise ForbiddenError(
            f"event {number} is of type {event.type}, which is not accepted here: send it to its own endpoint under "
            "/v1/revocations, /v1/findings or /v1/cases; nothing was ingested"
        )
    if isinstance(body, ReceiverRegistered):
        refuse_registration(caller, number, body.receiver)
        own_source = event.source == caller.name  # receivers and responders need no sources for other events
    elif Role.PRODUCER not in caller.roles:
        raise LacksRoleError(caller, [Role.PRODUCER])
    if not own_source and not may_use(caller.sources, event.source):
        raise ForbiddenError(
            f"event {number} is of the source {event.source!a}, which is not among those of {caller.name}; nothing "
            "was ingested"
        )


def refuse_registration(caller: Caller, number: int, receiver: str | None) -> None:
    """Refuse a registration of a receiver that a caller may not make.

    Args:
        caller: The sender.
        number: The number of the event.
        receiver: The receiver it registers; None if it cannot be read.

    Raises:
        ForbiddenError: The caller is neither a responder nor the receiver itself.
    """
    if Role.RESPONDER in caller.roles:
        return
    if Role.RECEIVER not in caller.roles:
        raise ForbiddenError(
            f"event {number} registers a receiver, which requires the role receiver (for its own name) or "
            "responder; nothing was ingested"
        )
    if receiver is not None and receiver != caller.name:
        raise ForbiddenError(
            f"event {number} registers the receiver {receiver!a}, and {caller.name} may only register itself; a "
            "responder may register any; nothing was ingested"
        )


def may_use(sources: Iterable[str], source: str) -> bool:
    """Whether a source is listed, or matches a listed prefix ending in ``*``."""
    return any(source == own or (own.endswith("*") and source.startswith(own[:-1])) for own in sources)


def kept(sources: Iterable[str]) -> tuple[str, ...]:
    """Return the sources as stored with a record; empty if there are too many, so that it is never released."""
    found = tuple(source for source in sources if not limits.fault_of_id(source) and not credentials.find(source))
    return found if len(json.dumps(found)) <= _KEPT_BYTES else ()
