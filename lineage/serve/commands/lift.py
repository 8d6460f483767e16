"""Lift the orders of an id."""

from lineage.core.authority.orders import Order, lift_effect
from lineage.core.authority.rule import ALIVE, verdicts_of
from lineage.core.authority.verdict import State
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import Event, Fact, RevocationLifted
from lineage.core.model.keys import split_key
from lineage.core.model.times import Instant, format_instant
from lineage.core.model.trust import may_lift
from lineage.core.revocation.receipt import receipt_of
from lineage.serve.commands.append import append, event_of
from lineage.serve.commands.order_request import orders_about, refuse_one_person, refuse_people
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service
from lineage.store.reading.descendants import load_below
from lineage.store.reading.reader import Reader


def lift_order(
    service: Service,
    revocation: str,
    *,
    lifted_by: str,
    note: str | None = None,
    approved_by: str | None = None,
    four_eyes: int | None = None,
) -> Document | None:
    """Lift the orders of an id and wait until the lift is projected; None if there is no such order.

    What is lifted already is not lifted twice: the answer names the lift that counts, and what is active since.

    Raises:
        RefusedError: More would be reinstated than one person may decide, or the trust file does not let us lift it.
    """
    refuse_people(by=lifted_by, approved_by=approved_by)
    service.catch_up()
    now = service.clock()
    lift = RevocationLifted(revocation=revocation, lifted_by=lifted_by, approved_by=approved_by, note=note)
    orders = orders_about(service, revocation).orders.with_id(revocation)
    if not orders:
        return None
    event = event_of(service, lift, now)
    allowed = [order for order in orders if may_lift(event, order.target.id, service.trust.table)]
    if not allowed:
        raise RefusedError(
            f"the trust file {service.trust.file} does not let the source {service.source!r} speak about "
            f"{orders[0].target.id}, so it may not lift {revocation}; {service.face.source}, or list the prefix there"
        )
    without_effect = [
        order
        for order in orders
        if order not in allowed or (order.on_element and not order.suspends and order.effective_at < now)
    ]
    earlier = _earlier([order for order in orders if order not in without_effect], now)
    with service.reader() as reader:
        reinstated, suspended, dead = returning(reader, orders, event, earlier)
        if earlier is None and four_eyes is not None and len(reinstated) > four_eyes:
            words = {"one_person": service.face.one_person, "remedy": service.face.second_lifts}
            refuse_one_person(reader, len(reinstated), four_eyes, lifted_by, approved_by, **words)
    lifted_at = append(service, event).given_at if earlier is None else lift_effect(earlier)
    counts = lift if earlier is None else earlier.event.body
    assert isinstance(counts, RevocationLifted)  # noqa: S101 (only lifts are indexed)
    return {
        "revocation": revocation,
        "repeated": earlier is not None,
        "lifted_by": counts.lifted_by,
        "approved_by": counts.approved_by,
        "lifted_at": format_instant(lifted_at),
        "orders": len(orders),
        "without_effect": [order.key for order in without_effect],
        "comes_back": by_kind(reinstated),
        "stays_suspended": by_kind(suspended),
        "stays_dead": {kind: len(ids) for kind, ids in by_kind(dead).items()},
        "as_of": service.as_of(),
    }


def _earlier(orders: list[Order], now: Instant) -> Fact | None:
    """Return the lift by which the last of these orders was lifted; None if one of them is not lifted yet."""
    last = max(orders, key=lambda order: order.lifted_at, default=None)
    if last is None or last.lifted_at > now:
        return None
    return last.lift


def returning(
    reader: Reader, orders: list[Order], lift: Event, earlier: Fact | None = None
) -> tuple[list[str], list[str], list[str]]:
    """Return what a lift reinstates, what other orders keep suspended, and what stays dead. Sorted.

    If an earlier lift counts instead, it is that of what was suspended immediately before it.
    """
    now, revocation = lift.occurred_at, orders[0].body.revocation
    world = reader.world()
    for order in orders:
        load_below(reader, world, order.key, now)
    reader.load_about(world, [f"revocation:{revocation}"])
    lines = receipt_of(world, revocation, now if earlier is None else lift_effect(earlier) - 1)
    suspended = sorted(line.key for line in lines if line.state is State.SUSPENDED)
    dead = sorted(line.key for line in lines if line.state is not State.SUSPENDED and line.ends_at > now)
    if earlier is None:
        world.orders.add(Fact(lift, now))
    after = verdicts_of(world, suspended, now)
    back = [key for key in suspended if after[key].state in ALIVE - {State.SUSPENDED}]
    return back, [key for key in suspended if after[key].state is State.SUSPENDED], dead


def by_kind(keys: list[str]) -> dict[str, list[str]]:
    """Group the ids of elements by kind."""
    return {
        f"{kind}s": [split_key(key)[1] for key in keys if key.startswith(f"{kind}:")]
        for kind in ("token", "delegation")
    }
