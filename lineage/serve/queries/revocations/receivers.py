"""The registered enforcement points, and what each of them covers."""

from collections.abc import Mapping

from lineage.core.authority.elements import by_given
from lineage.core.authority.receivers import registration_of
from lineage.core.model.events import ReceiverRegistered
from lineage.core.model.times import Instant, format_instant
from lineage.serve.documents.core_documents import Document, listing
from lineage.serve.queries.service import Service
from lineage.store.reading.revocation_facts import load_receivers


def receivers(service: Service, contacts: Mapping[str, str], *, known_at: Instant | None = None) -> Document:
    """List the latest registration of each receiver, sorted by receiver; these count for a new order.

    Args:
        service: The service.
        contacts: How to reach who runs each.
        known_at: Only what was recorded by then; None for all.
    """
    with service.reader(known_at=known_at) as reader:
        world = reader.world()
        load_receivers(reader, world)
    index = world.receivers.registrations
    latest = [by_given(index.get(receiver))[-1] for receiver in sorted(index)]
    items = [registration_document(registration_of(fact), fact.given_at) for fact in latest]
    items = [{**item, "contact": contacts.get(item["receiver"])} for item in items]
    return {**listing(items, total=len(items)), "as_of": service.as_of()}


def registration_document(registration: ReceiverRegistered, given_at: Instant) -> Document:
    """Convert a registration."""
    return {
        "receiver": registration.receiver,
        "issuers": list(registration.issuers),
        "audiences": list(registration.audiences),
        "kinds": list(registration.kinds),
        "deadline_seconds": registration.deadline_seconds,
        "registered_at": format_instant(given_at),
    }
