"""Acknowledgements by an authenticated receiver, appended as our events in its name."""

from lineage.core.model.errors import RefusedError
from lineage.core.model.events import RevocationAcknowledged
from lineage.core.model.times import format_instant
from lineage.serve.commands.append import send
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service


def acknowledge(
    service: Service, revocation: str, *, receiver: str, outcome: str, token: str | None = None, note: str | None = None
) -> Document | None:
    """Append a receiver's acknowledgement of an order; None if there is no such order.

    Args:
        service: The service whose log it is appended to.
        revocation: The id of the order.
        receiver: The authenticated receiver, never one named in a body.
        outcome: ``enforced`` or ``rejected``.
        token: The token it applies to; None for everything delivered to the receiver before.
        note: A remark of the receiver.

    Raises:
        RefusedError: The receiver is not registered, so its acknowledgement would close nothing, or the trust file
            does not let us send it.
        BadRecordError: A value exceeds its limit or is a raw credential.
    """
    service.catch_up()
    with service.reader() as reader:
        world = reader.world()
        reader.load_about(world, [f"revocation:{revocation}", f"receiver:{receiver}"])
    if not world.orders.with_id(revocation):
        return None
    if receiver not in world.receivers.registrations:
        raise RefusedError(
            f"the receiver {receiver} is not registered, so its acknowledgement would close nothing; "
            "send a receiver.registered event for it first"
        )
    now = service.clock()
    send(service, RevocationAcknowledged(revocation, receiver, outcome, token, note), now)
    return {
        "revocation": revocation,
        "receiver": receiver,
        "outcome": outcome,
        "token": token,
        "note": note,
        "acknowledged_at": format_instant(now),
        "as_of": service.as_of(),
    }
