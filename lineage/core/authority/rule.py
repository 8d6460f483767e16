"""The rule of authority: the state of an element, or of something that elements name, and because of which order.

Clause 1.1 of docs/rule-of-authority.md: *An element is dead if an order hits it, or if an order that cascades hits
anything it depends on, at any depth.* Nothing is stored and nothing is marked: the state is worked out by walking up
what the element depends on (clause 1.2), so an order on a root takes effect on everything below it the moment it is
known.

What is hit may itself be expired, suspended or never seen (clause 1.3). What nobody granted neither kills nor vouches;
it is a gap (clause 4.6). Expiry does not flow (clause 6.11). A cycle cannot loop: every element is entered once (clause
4.7).
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from lineage.core.authority.orders import Order
from lineage.core.authority.verdict import State, counting, decided
from lineage.core.authority.world import World
from lineage.core.model.keys import key_of, split_key
from lineage.core.model.times import NEVER, Instant

ALIVE = frozenset({State.ACTIVE, State.SUSPENDED, State.NOT_YET_VALID})


@dataclass(frozen=True, slots=True)
class Because:
    """The order that counts, and the shortest way from its target down to the element.

    Attributes:
        order: The order.
        path: ``KIND:ID`` from the target, as the order states it, to the element, both included.
    """

    order: Order
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A state, and the order behind ``revoked``, ``cascaded`` and ``suspended``."""

    state: State
    because: Because | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was named and that nobody granted, or a root that is only asserted."""

    kind: str
    id: str
    why: str


def judge(world: World, key: str, at: Instant) -> Verdict:
    """The state of an element at an instant.

    Args:
        world: What is known.
        key: ``token:ID`` or ``delegation:ID``.
        at: The instant asked about.

    Cost:
        What it depends on, times what each of these names.
    """
    above = world.graph.above(key) if world.orders else {key}
    struck = hits(world, above, at)
    killing = {order for node, orders in struck.items() for order in orders if node == key or order.body.cascade}
    return _verdict(world, key, at, killing)


def judge_all(world: World, keys: Collection[str], at: Instant) -> dict[str, Verdict]:
    """The states of several elements, such as the hops of a chain, with what they share worked out once."""
    if not world.orders:
        return {key: _verdict(world, key, at, ()) for key in keys}
    above = world.graph.above(*keys)
    struck = hits(world, above, at)
    killing: dict[str, list[Order]] = {key: [] for key in keys}
    for order in {order for orders in struck.values() for order in orders}:
        dead = {node for node, orders in struck.items() if order in orders}
        if order.body.cascade:
            dead = world.graph.below(dead, within=above)
        for key in killing.keys() & dead:
            killing[key].append(order)
    return {key: _verdict(world, key, at, orders) for key, orders in killing.items()}


def _verdict(world: World, key: str, at: Instant, killing: Collection[Order]) -> Verdict:
    """The state of an element that some orders in force kill; clauses 6.1 to 6.7."""
    element = world.graph.element(key)
    ends_at = NEVER if element is None else element.ends_at
    by_order = decided(key, counting(killing, ends_at))
    if by_order is not None and by_order.state is not State.SUSPENDED:  # 6.1, 6.2
        return Verdict(by_order.state, _because(world, key, at, by_order.order))
    if at >= ends_at:  # 6.3
        return Verdict(State.EXPIRED)
    if by_order is not None:  # 6.4
        return Verdict(State.SUSPENDED, _because(world, key, at, by_order.order))
    if element is None:  # 6.5
        return Verdict(State.UNKNOWN)
    if at < element.issued_at or (element.not_before is not None and at < element.not_before):  # 6.6
        return Verdict(State.NOT_YET_VALID)
    return Verdict(State.ACTIVE)  # 6.7


def judge_name(world: World, kind: str, id_: str, at: Instant) -> Verdict:
    """The state of a principal, workload, session or client at an instant.

    Revoked, else suspended, while an order without ``issued_before`` that targets it (or an alias) is in force and not
    lifted; else active.
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


def aliases(world: World, name: str) -> Iterator[str]:
    """The keys of everything that is the same party as what a key names; sessions and clients have no aliases."""
    kind, id_ = split_key(name)
    if kind == "principal":
        for member in world.principals.party(id_):
            yield f"principal:{member}"
    else:
        yield name


def hits(world: World, keys: Iterable[str], at: Instant) -> dict[str, list[Order]]:
    """For each of some elements the orders in force that hit it by itself, where there are any.

    That is: aimed at the element, or at something that it names and not sparing it for when it was issued.
    """
    struck: dict[str, list[Order]] = {}
    if not world.orders:
        return struck
    standing: dict[str, list[Order]] = {}  # the orders in force on a target, worked out once
    targets: dict[str, list[str]] = {}  # what an order on something that is named can be aimed at, where there is any

    def in_force(target: str) -> list[Order]:
        if target not in standing:
            standing[target] = [order for order in world.orders.on(target) if order.in_force(at)]
        return standing[target]

    for key in keys:
        found = in_force(key).copy()
        element = world.graph.element(key)
        if element is not None:
            aimed: set[str] = set()  # two names may be one party
            for name in element.names:
                if name not in targets:
                    targets[name] = [target for target in aliases(world, name) if in_force(target)]
                aimed.update(targets[name])
            found += [order for target in aimed for order in standing[target] if not order.spares(element)]
        if found:
            struck[key] = found
    return struck


def gaps(world: World, keys: Iterable[str]) -> list[Gap]:
    """What elements are or depend on, at any depth, and nobody granted; sorted by kind and id."""
    keys = list(keys)
    missing = [split_key(key) for key in world.graph.above(*keys) if not world.graph.granted(key)]
    return [Gap(kind, id_, f"no event granted this {kind}") for kind, id_ in sorted(missing)]


def _because(world: World, key: str, at: Instant, order: Order) -> Because:
    """The order that counts, with the path down from its target."""
    return Because(order, shortest_path(world, order, key, at))


def shortest_path(world: World, order: Order, key: str, at: Instant) -> tuple[str, ...]:
    """The shortest path from the target of an order that kills an element down to it; of several the smallest list."""
    # Level by level up from the element; `down` remembers every way back that is as short as any.
    down: dict[str, list[str]] = {key: []}
    level = [key]
    while not (starts := [node for node, orders in hits(world, level, at).items() if order in orders]):
        above: dict[str, list[str]] = {}
        for node in level:
            for parent in world.graph.parents(node):
                if parent not in down:
                    above.setdefault(parent, []).append(node)
        down.update(above)
        level = list(above)
        assert level, f"{order.key} does not reach {key}"  # noqa: S101 (the caller says that it does)
    path = [min(starts)]
    while path[-1] != key:
        path.append(min(down[path[-1]]))
    return tuple(path) if order.on_element else (order.target.key, *path)
