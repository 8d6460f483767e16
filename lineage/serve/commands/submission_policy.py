"""Submission policy: which events a caller may send over HTTP.

A producer sends events of the sources that it was granted, and no orders, lifts or acknowledgements. A receiver
registers itself, a responder registers any receiver, a producer none: whoever could narrow the coverage of an
enforcement point could silence it. The policy applies twice: when an event arrives, and when it is taken up from
quarantine by a version that can read it. So a record is quarantined together with the sources of its sender.
"""

import json
from collections.abc import Iterable
from typing import Final

from ingest.codec import api as codec
from ingest.codec import credentials, limits
from lineage.core.model.events import (
    Event,
    FindingJudged,
    ReceiverRegistered,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
)
from lineage.deliver.http.callers import Caller, ForbiddenError, LacksRoleError, Role

SENDERS: Final = (Role.PRODUCER, Role.RECEIVER, Role.RESPONDER)  # who may send any event at all
REGISTRATION: Final = "receiver.registered"
SINGLE_OBJECT: Final = b"\xc3\x01"  # how an event in Avro begins, and no JSON
_KEPT_BYTES: Final = 4 * 1024  # of sources, beside each record


def read(raw: bytes) -> Event:
    """One event in either form.

    Raises:
        BadRecordError: It is none.
    """
    return codec.decode(raw) if raw.startswith(SINGLE_OBJECT) else codec.decode_line(raw)


def is_given_elsewhere(event: Event) -> bool:
    """Whether it is an order, lift, acknowledgement or judgement: each has an endpoint with a role of its own."""
    return isinstance(event.body, RevocationOrdered | RevocationLifted | RevocationAcknowledged | FindingJudged)


def depends_on_sender(event: Event) -> bool:
    """Whether it takes more than a source to send it, so that nobody can tell later whether the sender might."""
    return is_given_elsewhere(event) or isinstance(event.body, ReceiverRegistered)


def refuse_event(caller: Caller, number: int, event: Event) -> None:
    """Refuse an event that a caller may not send.

    Raises:
        ForbiddenError: The caller may not; the message names the event by its number.
    """
    body, own_source = event.body, False
    if is_given_elsewhere(event):
        raise ForbiddenError(
            f"event {number} is of type {event.type}, which is not accepted here: send it to the endpoint of its own "
            "under /v1/revocations or /v1/findings; nothing was taken in"
        )
    if isinstance(body, ReceiverRegistered):
        refuse_registration(caller, number, body.receiver)
        own_source = event.source == caller.name  # receivers and responders need no sources for anything else
    elif Role.PRODUCER not in caller.roles:
        raise LacksRoleError(caller, [Role.PRODUCER])
    if not own_source and not may_use(caller.sources, event.source):
        raise ForbiddenError(
            f"event {number} is of the source {event.source!a}, which is not among those of {caller.name}; "
            "nothing was taken in"
        )


def refuse_registration(caller: Caller, number: int, receiver: str | None) -> None:
    """Refuse a registration of a receiver that a caller may not make.

    Args:
        caller: Who sends it.
        number: Of the event.
        receiver: Which receiver it registers; None: it cannot be read.

    Raises:
        ForbiddenError: The caller is no responder, and not the receiver itself.
    """
    if Role.RESPONDER in caller.roles:
        return
    if Role.RECEIVER not in caller.roles:
        raise ForbiddenError(
            f"event {number} registers a receiver, which takes the role receiver (for its own name) or responder; "
            "nothing was taken in"
        )
    if receiver is not None and receiver != caller.name:
        raise ForbiddenError(
            f"event {number} registers the receiver {receiver!a}, and {caller.name} may register itself alone; a "
            "responder may register any; nothing was taken in"
        )


def may_use(sources: Iterable[str], source: str) -> bool:
    """Whether a source is among some, or below one that ends in ``*``."""
    return any(source == own or (own.endswith("*") and source.startswith(own[:-1])) for own in sources)


def kept(sources: Iterable[str]) -> tuple[str, ...]:
    """The sources as they are kept beside a record; none if they are too many, and then it is never taken up."""
    found = tuple(own for own in sources if not limits.fault_of_id(own) and not credentials.find(own))
    return found if len(json.dumps(found)) <= _KEPT_BYTES else ()
