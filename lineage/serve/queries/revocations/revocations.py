"""All revocations with a summary of their verdicts; and one, with its orders."""

from collections.abc import Sequence
from typing import Final

from lineage.core.authority.orders import Order
from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError, TooManyError
from lineage.core.model.events import digest
from lineage.core.model.times import Instant
from lineage.core.revocation.closure import Closure
from lineage.serve.documents.core_documents import (
    Document,
    instant,
    listing,
    order_document,
)
from lineage.serve.queries.revocations.closure import around_with, close_at, closed
from lineage.serve.queries.revocations.revocation_snapshot import moment_of
from lineage.serve.queries.service import Service
from lineage.store.reading.reader import Reader
from lineage.store.reading.revocation_facts import load_orders, load_receivers

PAGE: Final = 100  # the default number of revocations listed at once


def revocations(
    service: Service,
    *,
    at: Instant,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int = PAGE,
) -> Document:
    """List all orders, latest first, each with the verdict on its id.

    Args:
        service: The service to query.
        at: The instant of the verdicts.
        known_at: Only facts recorded by then.
        after: The ``next`` of the previous page.
        limit: The number of items.

    Cost:
        One verdict for each id on the page: what its orders end. With a cache, the verdict of one that is too large
            is None.
    """
    with moment_of(service, known_at) as moment:
        world, orders = _by_time(moment.reader)
        load_receivers(moment.reader, world)
        start = 0 if after is None else _place_behind(orders, after)
        page = orders[start : start + limit]
        verdicts: dict[str, Closure | None] = {}
        items = []
        for order in page:
            id_ = order.body.revocation
            if id_ not in verdicts:
                about = around_with(moment.reader, world, id_)
                assert about is not None  # noqa: S101 (an order of this id was listed)
                try:
                    verdicts[id_] = close_at(moment, about, id_, at)
                except TooManyError:
                    verdicts[id_] = None
            items.append({**order_document(order), **_verdict_in_brief(verdicts[id_])})
        following = digest(page[-1].fact.event) if start + limit < len(orders) else None
        return {**listing(items, total=len(orders), following=following), "as_of": moment.service.as_of()}


def latest(service: Service, limit: int) -> list[str]:
    """Return the ids of the latest orders, each once."""
    with service.reader() as reader:
        return list(dict.fromkeys(order.body.revocation for order in _by_time(reader)[1]))[:limit]


def _by_time(reader: Reader) -> tuple[World, list[Order]]:
    """Load all orders, latest first, and a world with them."""
    world = reader.world()
    load_orders(reader, world)
    orders = (order for id_ in world.orders.by_id for order in world.orders.with_id(id_))
    return world, sorted(orders, key=lambda order: (-order.given_at, order.rank))


def _place_behind(orders: list[Order], after: str) -> int:
    for place, order in enumerate(orders):
        if digest(order.fact.event) == after:
            return place + 1
    raise RefusedError(f"{after!r} is not the `next` of a list of revocations; start again without it")


def _verdict_in_brief(found: Closure | None) -> Document:
    """Summarise a verdict; None means it is too large to compute here."""
    if found is None:
        return {"elements": None, "verdict": None, "closed_at": None, "open": None}
    return {
        "elements": found.elements,
        "verdict": str(found.verdict),
        "closed_at": instant(found.closed_at),
        "open": len(found.open),
    }


def revocation(service: Service, revocation: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
    """Return the verdict on an id with its orders; None if there is no such order."""
    with moment_of(service, known_at) as moment:
        found = closed(moment, revocation, at)
        if found is None:
            return None
        orders = found[0].orders.with_id(revocation)
        more = {"orders": [order_document(order) for order in orders], "incident": _incident_of(orders)}
        return {**found[1], "as_of": moment.service.as_of(), **more}


def _incident_of(orders: Sequence[Order]) -> str | None:
    """Return the incident under which several targets were revoked together; each order is ``INCIDENT.N``."""
    for order in orders:
        incident, _, number = order.body.revocation.rpartition(".")
        if incident and number.isdecimal() and order.fact.event.txn == incident:
            return incident
    return None
