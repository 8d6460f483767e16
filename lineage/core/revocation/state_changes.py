"""State changes of elements caused by orders, as delivered to receivers. Pure.

Clause 10.5: an element's *state* is delivered with a version, not an order. ``outcomes`` computes the states as the
rule does, without the paths, in one walk; ``affected`` finds the elements a change may have affected; ``changes``
lists the changes to publish.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from lineage.core.authority.elements import audience_of, granted_key
from lineage.core.authority.known_then import end_for, ends_differ, in_time
from lineage.core.authority.orders import Order, lift_effect
from lineage.core.authority.targets import Cascade, targets
from lineage.core.authority.verdict import State, decided
from lineage.core.authority.world import World
from lineage.core.model.events import Fact, PrincipalRegistered, RevocationLifted, RevocationOrdered
from lineage.core.model.keys import key_of
from lineage.core.model.times import NEVER, SECOND, Instant

# Because of clock skew, an enforcement point may honour an expired element for this long.
GRACE: Final = 300 * SECOND


class ElementState(NamedTuple):
    """The state that orders cause for an element.

    Attributes:
        state: ``revoked``, ``cascaded``, ``suspended``; ``active`` if no order counts. Does not reflect its own
            times.
        revocation: The id of the order that causes the state.
        effective_at: When that order takes effect.
        expires_at: When the element expires.
    """

    state: State
    revocation: str | None = None
    effective_at: Instant | None = None
    expires_at: Instant | None = None

    @property
    def ended(self) -> bool:
        """Whether it must not be honoured."""
        return self.state is not State.ACTIVE

    def is_relevant(self, at: Instant) -> bool:
        """Whether it still matters to receivers: an expired element is refused anyway."""
        return self.expires_at is None or at < self.expires_at

    @property
    def over_at(self) -> Instant:
        """When no receiver honours it any more, whatever its state and however clocks differ."""
        return NEVER if self.expires_at is None else self.expires_at + GRACE


class PublishedState(NamedTuple):
    """The state that was last published for an element, and the number of its publications."""

    number: int
    outcome: ElementState


@dataclass(frozen=True, slots=True)
class Change:
    """A state of an element to publish."""

    key: str
    version: PublishedState


def outcomes(world: World, keys: Collection[str], at: Instant) -> dict[str, ElementState]:
    """Compute the states that orders cause for elements at an instant.

    Cost:
        The transitive dependencies, once.
    """
    cascade = Cascade(world, keys, at)
    return {key: _outcome(world, key, cascade) for key in keys}


def _outcome(world: World, key: str, cascade: Cascade) -> ElementState:
    element = world.graph.element(key)
    # If its end differs between orders, orders after the first of a mode may be the ones that count.
    counted = in_time(element, cascade.killing(key) if ends_differ(element) else cascade.deciding(key))
    found = decided(key, counted)
    if found is None:
        return ElementState(State.ACTIVE, expires_at=None if element is None else element.expires_at)
    ends_at = end_for(element, counted)
    expires_at = None if ends_at == NEVER else ends_at
    return ElementState(found.state, found.order.body.revocation, found.order.effective_at, expires_at)


class Subjects(NamedTuple):
    """What facts are about, as far as it may change states.

    Attributes:
        granted: The keys of the elements that they grant.
        revocations: The ids of orders, and of orders that are lifted.
        principals: The ids of principals for which they state aliases.
    """

    granted: set[str]
    revocations: set[str]
    principals: set[str]


def subjects_of(facts: Iterable[Fact]) -> Subjects:
    """Return what some facts are about."""
    found = Subjects(set(), set(), set())
    for fact in facts:
        body = fact.event.body
        if (key := granted_key(body)) is not None:
            found.granted.add(key)
        elif isinstance(body, RevocationOrdered | RevocationLifted):
            found.revocations.add(body.revocation)
        elif isinstance(body, PrincipalRegistered) and body.aliases:
            found.principals.add(body.principal)
    return found


def affected(world: World, facts: Iterable[Fact], at: Instant) -> set[str]:
    """Return the elements whose outcome new facts may have changed; the world already contains the facts.

    Fully expired subtrees are omitted, except the elements that a fact is about.
    """
    about = subjects_of(facts)
    parties = {party for principal in about.principals for party in world.principals.party(principal)}
    orders = [order for party in parties for order in world.orders.on(key_of("principal", party))]
    aimed_at = _aims(world, [*orders, *_orders_of(world, about.revocations)], at)
    return about.granted | aimed_at | world.graph.below(about.granted | aimed_at, after=at)


def affected_by(world: World, revocations: Iterable[str], at: Instant) -> set[str]:
    """Return the elements that the orders of some ids may affect, with the same omissions."""
    aimed_at = _aims(world, _orders_of(world, revocations), at)
    return aimed_at | world.graph.below(aimed_at, after=at)


def _orders_of(world: World, revocations: Iterable[str]) -> list[Order]:
    return [order for revocation in revocations for order in world.orders.with_id(revocation)]


def _aims(world: World, orders: Iterable[Order], at: Instant) -> set[str]:
    """Return the elements that orders hit directly, whether or not the orders are in force."""
    return {key for target in {order.key for order in orders} for key in targets(world, target, after=at)}


def effective_times(facts: Iterable[Fact]) -> list[tuple[Instant, str]]:
    """Return when orders and lifts among facts take effect, each with the id of its revocation."""
    found = []
    for fact in facts:
        body = fact.event.body
        if isinstance(body, RevocationOrdered):
            effective_at = fact.given_at if body.effective_at is None else body.effective_at
            found.append((effective_at, body.revocation))
        elif isinstance(body, RevocationLifted):
            found.append((lift_effect(fact), body.revocation))
    return found


_NOTHING: Final = PublishedState(0, ElementState(State.ACTIVE))


def widened(world: World, keys: Iterable[str], is_new: Callable[[str, Fact], bool]) -> set[str]:
    """Return the elements for which new facts state an additional audience.

    More receivers cover these elements than have been notified.
    """
    found = set()
    for key in keys:
        facts = world.graph.facts.get(key)
        stated = {audience for fact in facts if (audience := audience_of((fact,)))}
        if len(stated) > 1:  # with an audience, only the receivers that share it were notified; without any, all were
            before = audience_of([fact for fact in facts if not is_new(key, fact)])
            if not set(audience_of(facts)) <= set(before):
                found.add(key)
    return found


def perhaps_widened(world: World, stated: World, keys: Iterable[str]) -> set[str]:
    """Return the elements that more receivers may cover, since other facts count than when they were published.

    Args:
        world: What counts now.
        stated: Every grant of these elements, whether or not it counts now or counted then.
        keys: The elements.
    """
    found = set()
    for key in keys:
        audiences = {audience for fact in stated.graph.facts.get(key) if (audience := audience_of((fact,)))}
        # With one audience, either the receivers that share it were notified or all; now all may cover the element.
        if len(audiences) > 1 or (audiences and not audience_of(world.graph.facts.get(key))):
            found.add(key)
    return found


def changes(
    world: World,
    keys: Collection[str],
    at: Instant,
    published: Mapping[str, PublishedState],
    again: Collection[str] = frozenset(),
    *,
    now: Instant | None = None,
    also_at: Instant | None = None,
) -> list[Change]:
    """List the changes to publish about elements, sorted by key, omitting states that were published before.

    Args:
        world: What is known.
        keys: The elements.
        at: The time of the states.
        published: The last published state of each element.
        again: The elements whose end is published again regardless.
        now: The time by which an element has expired, if that is not the time of the states.
        also_at: Another time; what has ended at either has ended.
    """
    now = at if now is None else now
    found = outcomes(world, keys, at)
    if also_at is not None:
        then = outcomes(world, [key for key, outcome in found.items() if not outcome.ended], also_at)
        found |= {key: outcome for key, outcome in then.items() if outcome.ended}
    new = []
    for key in sorted(found):
        before, outcome = published.get(key, _NOTHING), found[key]
        is_again = key in again and outcome.ended
        if (outcome == before.outcome and not is_again) or not (outcome.ended or before.outcome.ended):
            continue
        # An expired element is published only to retract a later end.
        if outcome.is_relevant(now) or (before.outcome.ended and before.outcome.is_relevant(now)):
            new.append(Change(key, PublishedState(before.number + 1, outcome)))
    return new
