"""Late uses: successes under an element that orders had already ended (clause 10.16). Pure.

Several facts about one action combine, and for most fields the first stated value counts. So anyone who can add facts
could claim that a use failed, happened earlier, or used another token. Therefore each fact about an action also
counts separately, and so does each about the decision it names: nobody can erase a use by contradicting it (ADR
0031).
"""

from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from lineage.core.authority.elements import first_stated
from lineage.core.authority.orders import Order
from lineage.core.authority.world import World
from lineage.core.model.events import Fact
from lineage.core.model.times import Instant
from lineage.core.revocation.receipt import ReceiptLine


class LateUse(NamedTuple):
    """A success under an element that the orders of an id had already ended.

    Attributes:
        action: The id of the action.
        occurred_at: When it was done.
        in_force: Whether the order was in force and so could have been known; otherwise it is tainted in hindsight.
        facts: The evidence: the facts of the action, and the order.
    """

    action: str
    occurred_at: Instant
    in_force: bool
    facts: tuple[Fact, ...]


def in_force_at(order: Order) -> Instant:
    """Return when an order is in force: when it was recorded or takes effect, whichever is later."""
    return max(order.fact.recorded_at, order.effective_at)


def uses_under(world: World, lines: Iterable[ReceiptLine], at: Instant) -> dict[str, list[LateUse]]:
    """Map each element of a receipt to the successes under it while it was dead, earliest first."""
    by_key = {line.key: line for line in lines}
    found: dict[tuple[str, str], LateUse] = {}
    for action in world.actions_naming(by_key.keys()):
        for authority, occurred_at in successes_of(world, action):
            if authority not in by_key or occurred_at > at:
                continue
            orders = [order for order in by_key[authority].counting if order.in_force(occurred_at)]
            if orders:
                order = min(orders, key=in_force_at)
                cited = (*world.actions.get(action), order.fact)
                use = LateUse(action, occurred_at, occurred_at >= in_force_at(order), cited)
                known = found.get((authority, action), use)
                found[authority, action] = max(known, use, key=lambda one: (one.in_force, one.occurred_at))
    uses: dict[str, list[LateUse]] = {}
    for (authority, _), use in found.items():
        uses.setdefault(authority, []).append(use)
    for listed in uses.values():
        listed.sort(key=lambda use: (use.occurred_at, use.action))
    return uses


def last_used(world: World, keys: Collection[str], at: Instant) -> dict[str, Instant]:
    """Return when each element, dead or not, was last used with success; unused elements are omitted."""
    elements = keys if isinstance(keys, AbstractSet) else set(keys)
    found: dict[str, Instant] = {}
    for action in world.actions_naming(elements):
        for authority, occurred_at in successes_of(world, action):
            if authority in elements and occurred_at <= at:
                found[authority] = max(occurred_at, found.get(authority, occurred_at))
    return found


def successes_of(world: World, action: str) -> set[tuple[str, Instant]]:
    """Return the elements an action succeeded under, and when, by its facts combined and by each alone."""
    return {
        (authority, facts[0].event.occurred_at)
        for facts in _together_and_apart(world.actions.get(action))
        if (outcome := first_stated(facts, "outcome")) is not None and outcome.value == "succeeded"
        for decided in _together_and_apart(world.decision_facts(facts))
        if (authority := world.stated_authority(facts, decided)) is not None
    }


def _together_and_apart(facts: tuple[Fact, ...]) -> Iterator[tuple[Fact, ...]]:
    """Yield the facts about something together, then each of them alone."""
    yield facts
    if len(facts) > 1:
        yield from ((fact,) for fact in facts)
