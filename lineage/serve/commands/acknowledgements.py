"""Acknowledgements by a receiver that was authenticated: appended as events of ours, in its name."""

from lineage.core.model.errors import RefusedError
from lineage.core.model.events import RevocationAcknowledged
from lineage.core.model.times import format_instant
from lineage.core.revocation.receipt import orders_of
from lineage.serve.commands.append import send
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service


def acknowledge(
    service: Service, revocation: str, *, receiver: str, outcome: str, token: str | None = None, note: str | None = None
) -> Document | None:
    """Take what a receiver says that it did about an order; None if there is no such order.

    Args:
        service: Whose log it goes to.
        revocation: The id of the order.
        receiver: Who says it, as authenticated: never what a body says.
        outcome: ``enforced`` or ``rejected``.
        token: The token that it speaks for; None: all that was delivered to it before.
        note: What it adds.

    Raises:
        RefusedError: Nobody registered the receiver, so that its word would close nothing, or the trust file does not
            let us say it.
        BadRecordError: A value is out of its bounds, or a raw credential.
    """
    service.catch_up()
    with service.reader() as reader:
        world = reader.world()
        reader.load_about(world, [f"revocation:{revocation}", f"receiver:{receiver}"])
    if not orders_of(world, revocation):
        return None
    if receiver not in world.receivers.registrations:
        raise RefusedError(
            f"nobody registered the receiver {receiver}, so that its word closes nothing; "
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
