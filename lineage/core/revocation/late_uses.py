"""Late uses: what succeeded under an element that orders had ended by then (clause 10.16). Pure.

Several facts about one action add up, and of most fields the first stated value holds. So whoever can add facts could
say of a use that it failed, that it was done earlier, or with another token. Therefore each fact about an action also
counts by itself, and each about the decision that it names: nobody takes a use back by contradicting it (ADR 0031).
"""

from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from lineage.core.authority.elements import stated
from lineage.core.authority.orders import Order
from lineage.core.authority.world import World
from lineage.core.model.events import Fact
from lineage.core.model.times import Instant
from lineage.core.revocation.receipt import Line


class Use(NamedTuple):
    """A success under an element that the orders of an id had ended by then.

    Attributes:
        action: The id of the action.
        occurred_at: When it was done.
        in_force: Whether the order was in force, so that it could have been known; else it is tainted in hindsight.
        facts: What shows it: those of the action, and the order.
    """

    action: str
    occurred_at: Instant
    in_force: bool
    facts: tuple[Fact, ...]


def in_force_at(order: Order) -> Instant:
    """When an order is in force: the moment at which it was recorded, or takes effect, whichever is later."""
    return max(order.fact.recorded_at, order.effective_at)


def uses_under(world: World, lines: Iterable[Line], at: Instant) -> dict[str, list[Use]]:
    """What succeeded under the elements of a receipt when they were dead already, by element, the earliest first."""
    by_key = {line.key: line for line in lines}
    found: dict[tuple[str, str], Use] = {}
    for action in world.actions_naming(by_key.keys()):
        for authority, occurred_at in successes_of(world, action):
            if authority not in by_key or occurred_at > at:
                continue
            orders = [order for order in by_key[authority].counting if order.in_force(occurred_at)]
            if orders:
                order = min(orders, key=in_force_at)
                cited = (*world.actions.get(action), order.fact)
                use = Use(action, occurred_at, occurred_at >= in_force_at(order), cited)
                known = found.get((authority, action), use)
                found[authority, action] = max(known, use, key=lambda one: (one.in_force, one.occurred_at))
    uses: dict[str, list[Use]] = {}
    for (authority, _), use in found.items():
        uses.setdefault(authority, []).append(use)
    for listed in uses.values():
        listed.sort(key=lambda use: (use.occurred_at, use.action))
    return uses


def last_used(world: World, keys: Collection[str], at: Instant) -> dict[str, Instant]:
    """When something last succeeded under some elements, dead or not; only of those that were used."""
    wanted = keys if isinstance(keys, AbstractSet) else set(keys)
    found: dict[str, Instant] = {}
    for action in world.actions_naming(wanted):
        for authority, occurred_at in successes_of(world, action):
            if authority in wanted and occurred_at <= at:
                found[authority] = max(occurred_at, found.get(authority, occurred_at))
    return found


def successes_of(world: World, action: str) -> set[tuple[str, Instant]]:
    """Under which elements an action succeeded, and when, as its facts say it together or any of them by itself."""
    return {
        (authority, said[0].event.occurred_at)
        for said in _together_and_apart(world.actions.get(action))
        if (outcome := stated(said, "outcome")) is not None and outcome.value == "succeeded"
        for decided in _together_and_apart(world.decision_facts(said))
        if (authority := world.authority_said(said, decided)) is not None
    }


def _together_and_apart(facts: tuple[Fact, ...]) -> Iterator[tuple[Fact, ...]]:
    """Facts about one thing, and each of them alone."""
    yield facts
    if len(facts) > 1:
        yield from ((fact,) for fact in facts)
