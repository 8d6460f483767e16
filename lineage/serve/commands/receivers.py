"""Register an enforcement point, record by hand that one has enforced an order, and deliver again.

A person's statement is an acknowledgement under a separate source (``BY_HAND``), so that it is never mistaken for the
receiver's, and a trust file can refuse it. It applies to what is open at the receiver at that time: these elements
are recorded as delivered to it, and what ends later is open again.
"""

import uuid
from collections.abc import Collection

from ingest.codec import credentials, limits
from lineage.core.authority.receivers import BY_HAND, ENFORCED, narrowed, note_by_hand
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import Event, ReceiverRegistered, RevocationAcknowledged
from lineage.core.model.times import format_instant
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.serve.commands.append import append, event_of
from lineage.serve.commands.order_request import is_no_second_person, refuse_people
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.revocations.closure import closure
from lineage.serve.queries.revocations.receivers import registration_document
from lineage.serve.queries.service import Service
from lineage.store.delivery import outbox
from lineage.store.server_clock import ServerClock


def register(service: Service, registration: ReceiverRegistered, *, narrow: bool = False) -> Document:
    """Register an enforcement point; from now on it has to confirm what it covers.

    Args:
        service: The service whose log it is appended to.
        registration: The receiver, and what it covers.
        narrow: Whether it may cover less than its last registration, for the orders that follow.

    Raises:
        RefusedError: It would cover less, the id is unusable, or the trust file does not let us send it.
        BadRecordError: A value exceeds its limit or is a raw credential.
    """
    receiver = registration.receiver
    if credentials.find(receiver):
        raise RefusedError("the id of the receiver is a raw credential, which must not be kept; choose another")
    if fault := limits.fault_of_id(receiver):
        raise RefusedError(f"the id of the receiver {fault}")
    if registration.deadline_seconds is not None and registration.deadline_seconds < 1:
        raise RefusedError("the deadline must be at least one second; leave it out if there is none")
    service.catch_up()
    with service.reader() as reader:
        world = reader.world()
        reader.load_about(world, [f"receiver:{receiver}"])
    before = world.receivers.in_force(receiver)
    fields = [] if before is None else narrowed(before, registration)
    if fields and not narrow:
        raise RefusedError(
            f"{receiver} is registered and would cover less by its {' and '.join(fields)}, which silences an "
            "enforcement point; nothing was registered. Repeat what it covers, or say that it is meant (narrow)"
        )
    now = service.clock()
    append(service, event_of(service, registration, now))
    return {**registration_document(registration, now), "replaces": before is not None, "as_of": service.as_of()}


def mark_by_hand(service: Service, revocation: str, *, receiver: str, by: str, reason: str) -> Document | None:
    """Record a person's statement that a receiver has enforced an order; None if there is no such order.

    Raises:
        RefusedError: The name is not a person's or there is no reason, the receiver is not registered, nothing is
            open there, or the trust file does not allow marks by hand.
        UnavailableError: The outbox or the log cannot be written.
    """
    refuse_people(by=by, approved_by=None)
    if not reason.strip():
        raise RefusedError("a mark by hand needs a reason: how do you know that it is enforced there?")
    service.catch_up()
    with service.reader() as reader:
        if (why := is_no_second_person(reader, None, by)) is not None:
            raise RefusedError(f"a mark by hand needs a person, and {why}; nothing was recorded")
    verdict = closure(service, revocation, at=service.clock())
    if verdict is None:
        return None
    if receiver not in {one["receiver"] for one in verdict["receivers"]}:
        raise RefusedError(
            f"{receiver} is not registered for {revocation}, so a statement would close nothing; register it first: "
            "delegraph receiver register"
        )
    keys = [f"{one['kind']}:{one['id']}" for one in verdict["open"] if one.get("receiver") == receiver]
    if not keys:
        raise RefusedError(f"nothing is open at {receiver} for {revocation}; nothing was recorded")
    rows = _rows_of(service, keys)
    body = RevocationAcknowledged(revocation, receiver, ENFORCED, note=note_by_hand(by, reason.strip()))
    event = Event(event_id=str(uuid.uuid4()), source=BY_HAND, occurred_at=service.clock(), body=body)
    said_at = append(service, event).given_at
    outbox.note_delivered(service.store, receiver, rows, said_at)
    after = closure(service, revocation, at=service.clock())
    assert after is not None  # noqa: S101 (it was there before)
    return {
        "revocation": revocation,
        "receiver": receiver,
        "by": by,
        "reason": reason.strip(),
        "said_at": format_instant(said_at),
        "elements": len(rows),
        "verdict": after["verdict"],
        "as_of": service.as_of(),
    }


def _rows_of(service: Service, keys: Collection[str]) -> list[int]:
    """Return the outbox rows for ended elements; write them now if no delivery process does."""
    found = outbox.ended_rows(service.store, keys)
    if len(found) < len(keys):
        OutboxWriter(service.store, service.trust).round(ServerClock(service.store, service.clock).ask)
        found = outbox.ended_rows(service.store, keys)
    return sorted(found.values())


def deliver_again(service: Service, revocation: str, *, by: str, receiver: str | None = None) -> Document | None:
    """Write what is open to the outbox again, so that it is delivered again; None if there is no such order.

    Args:
        service: The service.
        revocation: The id.
        by: Who asks for it.
        receiver: Only what is open at this one; None for any. The feed is shared, so others receive it again as well.

    Raises:
        RefusedError: Nothing is open there.
        UnavailableError: The outbox cannot be written.
    """
    refuse_people(by=by, approved_by=None)
    service.catch_up()
    verdict = closure(service, revocation, at=service.clock())
    if verdict is None:
        return None
    keys = {
        f"{one['kind']}:{one['id']}"
        for one in verdict["open"]
        if "receiver" in one and receiver in (None, one["receiver"])
    }
    if not keys:
        where = receiver or "an enforcement point"
        raise RefusedError(f"nothing is open at {where} for {revocation}; nothing was delivered again")
    spread = OutboxWriter(service.store, service.trust)
    spread.publish_again(keys)
    written = spread.round(ServerClock(service.store, service.clock).ask)
    return {
        "revocation": revocation,
        "receiver": receiver,
        "elements": len(keys),
        "written": written,
        "by": by,
        "as_of": service.as_of(),
    }
