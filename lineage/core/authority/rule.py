"""The rule of authority: the state of an element, or of something elements name, and the order that causes it.

Clause 1.1 of docs/rule-of-authority.md: *An element is dead if an order hits it, or if an order that cascades hits
anything it depends on, at any depth.* Nothing is stored or marked: the state is computed by walking up the
dependencies (clause 1.2), so an order on a root takes effect on everything below it as soon as it is known.

A target may itself be expired, suspended or unknown (clause 1.3). A dependency that no event granted neither kills
nor vouches; it is a gap (clause 4.6). Expiry does not propagate (clause 6.11). Cycles terminate because every element
is entered once (clause 4.7).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lineage.core.authority.elements import Element
from lineage.core.authority.orders import Order
from lineage.core.authority.targets import Cascade, aliases
from lineage.core.authority.verdict import State, counting, decided
from lineage.core.authority.world import World
from lineage.core.model.keys import key_of, split_key
from lineage.core.model.times import NEVER, Instant

RULE_VERSION: Final = 1  # of the clauses; a bundle of evidence names it, and its verifier implements it
ALIVE = frozenset({State.ACTIVE, State.SUSPENDED, State.NOT_YET_VALID})


@dataclass(frozen=True, slots=True)
class Because:
    """The order that counts, and the shortest path from its target down to the element.

    Attributes:
        order: The order.
        path: ``KIND:ID`` from the target, as the order states it, to the element, both included.
    """

    order: Order
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A state, and for ``revoked``, ``cascaded`` and ``suspended`` the order that causes it."""

    state: State
    because: Because | None = None


class MissingEvidence(StrEnum):
    """The kinds of gaps."""

    UNGRANTED = "ungranted"  # no event granted an element that is named or depended on
    UNKNOWN_DECISION = "unknown-decision"  # no event mentions the decision that an action names
    ASSERTED_ROOT = "asserted-root"  # only the action itself names the root


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was named but never granted, or a root that is only asserted.

    Attributes:
        kind: Its kind.
        id: Its id.
        why: The reason as a sentence for people.
        cause: The reason for code.
    """

    kind: str
    id: str
    why: str
    cause: MissingEvidence


def ungranted(kind: str, id_: str) -> Gap:
    """Build the gap of an element that no event granted."""
    return Gap(kind, id_, f"no event granted this {kind}", MissingEvidence.UNGRANTED)


def verdict_of(world: World, key: str, at: Instant) -> Verdict:
    """Return the state of an element at an instant.

    Args:
        world: What is known.
        key: ``token:ID`` or ``delegation:ID``.
        at: The instant asked about.

    Cost:
        The transitive dependencies, times the names of each.
    """
    return verdicts_of(world, (key,), at)[key]


def verdicts_of(world: World, keys: Collection[str], at: Instant) -> dict[str, Verdict]:
    """Return the states of several elements, such as the hops of a chain; shared dependencies are visited once.

    The state of each is the first of clauses 6.1 to 6.7 that applies: its own state, unless an order decides.
    """
    verdicts = {key: _WITHOUT_ORDER[own_state(world.graph.element(key), at)] for key in keys}  # 6.3, 6.5 to 6.7
    cascade = Cascade(world, keys, at)
    for key in cascade.killed & verdicts.keys():
        element = world.graph.element(key)
        counted = counting(cascade.deciding(key), NEVER if element is None else element.ends_at)  # 6.8
        by_order = decided(key, counted)  # 6.1, 6.2, 6.4, 6.9
        if by_order is None or (by_order.state is State.SUSPENDED and verdicts[key].state is State.EXPIRED):
            continue  # no order counts, or 6.3 precedes 6.4
        verdicts[key] = Verdict(by_order.state, Because(by_order.order, cascade.path(by_order.order, key)))  # 6.10
    return verdicts


_WITHOUT_ORDER: Final = {state: Verdict(state) for state in State}


def own_state(element: Element | None, at: Instant) -> State:
    """Return the state of an element that no order kills (clauses 6.3 and 6.5 to 6.7); None means never granted."""
    if element is None:
        return State.UNKNOWN  # 6.5
    if at >= element.ends_at:
        return State.EXPIRED  # 6.3
    if at < element.issued_at or (element.not_before is not None and at < element.not_before):
        return State.NOT_YET_VALID  # 6.6
    return State.ACTIVE  # 6.7


def verdict_of_name(world: World, kind: str, id_: str, at: Instant) -> Verdict:
    """Return the state of a principal, workload, session or client at an instant.

    Revoked, else suspended, while an order without ``issued_before`` that targets it (or an alias) is in force and
    not lifted; else active (clause 6.12).
    """
    standing = [
        order
        for target in aliases(world, key_of(kind, id_))
        for order in world.orders.on(target)
        if order.body.issued_before is None and order.in_force(at) and at < order.lifted_at
    ]
    for state, suspends in ((State.REVOKED, False), (State.SUSPENDED, True)):
        if chosen := min((o for o in standing if o.suspends is suspends), key=lambda o: o.rank, default=None):
            return Verdict(state, Because(chosen, (f"{kind}:{id_}",)))
    return Verdict(State.ACTIVE)


def gaps(world: World, keys: Iterable[str]) -> list[Gap]:
    """List the given elements and their transitive dependencies that no event granted, sorted by kind and id."""
    keys = list(keys)
    missing = [split_key(key) for key in world.graph.above(*keys) if not world.graph.granted(key)]
    return [ungranted(kind, id_) for kind, id_ in sorted(missing)]
