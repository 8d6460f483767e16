"""Inconsistencies of the orders and lifts of one id."""

from lineage.core.authority.orders import far_apart, lift_effect
from lineage.core.authority.world import World
from lineage.core.model.finding import Finding
from lineage.core.model.sentences import keyed, moment, sentence, thing


def order_findings(world: World, revocation: str) -> list[Finding]:
    """Find what is inconsistent in the orders and lifts of one id: ``shared-order-id``, ``lift-without-effect``."""
    orders, lifts = world.orders.by_id.get(revocation), world.orders.lifts.get(revocation)
    of = f"revocation:{revocation}"
    found = []
    if len(orders) > 1:
        why = sentence("{} orders share the id {}; all of them count", len(orders), thing("revocation", revocation))
        found.append(Finding("shared-order-id", of, why, orders))
    for given in orders:
        order = world.orders.resolve(given)
        effective_at, given_at = order.effective_at, order.given_at
        if far_apart(effective_at, given_at):
            why = sentence(
                "{} was ordered at {} and takes effect at {}, more than a year away",
                thing("revocation", revocation),
                moment(given_at),
                moment(effective_at),
            )
            found.append(Finding("far-effective-at", of, why, (given,)))
    for lift in lifts:
        before = [order for order in orders if order.given_at <= lift.given_at]
        if not before:
            why = sentence(
                "no order {} was given before this lift of {}", thing("revocation", revocation), moment(lift.given_at)
            )
            found.append(Finding("lift-without-effect", of, why, (lift,)))
        for fact in before:
            order = world.orders.resolve(fact)
            if not world.orders.applies(lift, fact):
                why = sentence(
                    "the trust table does not let {} speak about {}, so its lift of {} does not count for {}",
                    thing("source", lift.event.source),
                    thing(order.target.kind, order.target.id),
                    thing("revocation", revocation),
                    keyed(order.key),
                )
                found.append(Finding("lift-without-effect", of, why, (fact, lift)))
            elif order.on_element and not order.suspends and lift_effect(lift) > order.effective_at:
                why = sentence(
                    "{} revoked {} for good before this lift; lifting it brings nothing back",
                    thing("revocation", revocation),
                    keyed(order.key),
                )
                found.append(Finding("lift-without-effect", of, why, (fact, lift)))
    return found
