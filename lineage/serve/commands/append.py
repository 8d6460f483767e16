"""Append one of our events to the log, if the trust file allows it, and return it projected as a fact."""

import uuid

from ingest.log.port import entry_of
from lineage.core.model.errors import RefusedError, UnavailableError, UnprojectedError
from lineage.core.model.events import (
    CaseChanged,
    CheckpointKeyRotated,
    Event,
    Fact,
    FindingJudged,
    HoldChanged,
    ReceiverRegistered,
    RecordsDeleted,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
)
from lineage.core.model.times import Instant
from lineage.serve.queries.service import Service

Body = (
    RevocationOrdered
    | RevocationLifted
    | RevocationAcknowledged
    | FindingJudged
    | ReceiverRegistered
    | CaseChanged
    | HoldChanged
    | RecordsDeleted
    | CheckpointKeyRotated
)


def send(service: Service, body: Body, now: Instant) -> Fact:
    """Append one of our events, project it, and return it as recorded.

    Raises:
        RefusedError: The trust file does not let us send it.
    """
    return append(service, event_of(service, body, now))


def event_of(service: Service, body: Body, now: Instant) -> Event:
    """Build one of our events.

    Raises:
        RefusedError: The trust file does not let us send it.
    """
    event = Event(event_id=str(uuid.uuid4()), source=service.source, occurred_at=now, body=body)
    _refuse_untrusted(service, event)
    return event


def append(service: Service, event: Event) -> Fact:
    """Append an event to the log, project it, and return it as recorded.

    Raises:
        RefusedError: The trust file does not let us send it.
        UnprojectedError: The event is in the log, but the store cannot be written now.
    """
    _refuse_untrusted(service, event)
    log = service.require_log()
    [position] = log.append([entry_of(event)])
    try:
        service.catch_up()
        recorded = service.store.facts_at([position.number]).get(position.number)
    except UnavailableError as fault:
        raise UnprojectedError(
            f"this {event.type} is in the log and takes effect once the store can be written; do not send it again: "
            f"{fault}"
        ) from fault
    return Fact(event, event.occurred_at) if recorded is None else recorded  # None for a duplicate of a claimed order


def _refuse_untrusted(service: Service, event: Event) -> None:
    table = service.trust.table
    if table is not None and not table.allows(event):
        raise RefusedError(
            f"the trust file {service.trust.file} does not let the source {event.source!r} send {event.type} here; "
            f"{service.face.source}, or list it there"
        )
