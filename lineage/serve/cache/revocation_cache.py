"""Cache what revocations end, so that it is not computed again for every question (ADR 0025).

The cache contains what follows from orders, grants and actions. Acknowledgements, deliveries and the progress of the
store are read for each answer: they belong to one state of the store, and may be combined only with cached effects of
the same state.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple
from weakref import WeakSet

from lineage.core.authority.elements import granted_key
from lineage.core.authority.orders import Order
from lineage.core.authority.targets import aliases
from lineage.core.authority.world import World
from lineage.core.model.events import (
    ActionPerformed,
    DecisionMade,
    DelegationGranted,
    Event,
    PrincipalRegistered,
    RevocationLifted,
    RevocationOrdered,
    TokenIssued,
    WorkloadBound,
)
from lineage.core.model.keys import key_of, sorted_by_id, with_few_by_id
from lineage.core.model.references import RefRole, about, dependencies_of, mentions, names_of
from lineage.core.model.times import NEVER, Instant
from lineage.core.model.trust import Trusted
from lineage.core.revocation.ended import EndedElement, EndedGroups
from lineage.core.revocation.late_uses import LateUse
from lineage.store.follower import Follower, StoreState
from lineage.store.reading.reader import Reader
from lineage.store.store import Store

KEPT: Final = 250_000  # the most elements of all entries together: about 100 MB
_CAME: Final = 10_000  # records at once; beyond this, starting empty is faster
_TOUCHED: Final = 1_000  # stale elements of an entry; beyond this, computing it from scratch is faster


class Phase(NamedTuple):
    """A time in which the same orders of an id are in force: from ``since`` until before ``until``."""

    since: Instant
    until: Instant


def phase_of(orders: Iterable[Order], at: Instant) -> Phase:
    """Return the time around an instant in which the same orders are in force; a lift ends only a suspension."""
    moments = {moment for order in orders for moment in (order.effective_at, order.lifted_at if order.suspends else 0)}
    return Phase(*_around(moments, at))


def _around(moments: Iterable[Instant], at: Instant) -> tuple[Instant, Instant]:
    """Return the last of some times that is not after an instant (0 if none is), and the next one."""
    every = set(moments)
    since = max((moment for moment in every if moment <= at), default=0)
    return since, min((moment for moment in every if moment > at), default=NEVER)


@dataclass(frozen=True, kw_only=True)
class RevocationEffects:
    """The effects of the orders of an id at any instant from ``since`` until before ``until``.

    Attributes:
        ended: The elements by key, in receipt order, including suspended ones that expire in the meantime.
        uses: The successes under them after they ended, by element.
        since: The latest time in all its inputs before the instant asked about.
        until: The next such time.
        phase: The time in which the same orders are in force: within it, only what was done under the elements differs.
        suspends: Whether any of these orders only suspends.
        acted: The elements that any action or decision names.
        keys: The elements and everything done under them: keys of actions, decisions, and what these name.
        targets: The targets of the orders, with all aliases.
        around: The hashes of the elements, their transitive dependencies, and everything these name; an order on any
            of these may end an element as well.
    """

    ended: Mapping[str, EndedElement]
    uses: Mapping[str, Sequence[LateUse]]
    since: Instant
    until: Instant
    phase: Phase
    suspends: bool
    acted: frozenset[str]
    keys: frozenset[str]
    targets: frozenset[str]
    around: frozenset[int] = frozenset()

    @cached_property
    def groups(self) -> EndedGroups:
        """The elements in groups with the same outcome, as long as nobody answers for them."""
        return EndedGroups(self.ended, self.uses)

    def take_groups(self, before: "RevocationEffects", keys: AbstractSet[str]) -> None:
        """Adopt the groups of earlier effects, if these were asked for; only some elements differ."""
        if "groups" in vars(before):
            vars(self)["groups"] = before.groups.updated(keys, self.ended, self.uses)

    @cached_property
    def _first_over(self) -> Instant:
        """When the first suspended element expires."""
        return min((one.ends_at for one in self.ended.values() if one.order.suspends), default=NEVER)

    def at(self, at: Instant) -> "RevocationEffects":
        """Return the effects without the elements whose suspension is over at an instant, because they have expired."""
        if not self.suspends or at < self._first_over:
            return self
        return replace(self, ended={key: one for key, one in self.ended.items() if not one.is_over(at)})

    def covers(self, at: Instant) -> bool:
        """Whether the actions done by an instant are those by which the uses were determined."""
        return self.since <= at < self.until


def elements_and_names(part: World) -> set[int]:
    """Return the hashes of all elements of a part and of everything they name."""
    return set(map(hash, chain(part.graph, part.graph.names())))


class EffectsBuilder:
    """Accumulates what a revocation ends from a receipt that arrives in parts, unless it becomes too large to cache.

    Attributes:
        revocation: The id.
        at: The instant asked about.
        is_over: Whether nothing is accumulated: it became too large, or nothing caches it.
    """

    def __init__(self, world: World, revocation: str, at: Instant, *, is_over: bool = False) -> None:
        """Start from a world with the orders and lifts of the id and all names of their targets."""
        self.revocation = revocation
        self.at = at
        self.is_over = is_over
        self._orders = world.orders.with_id(revocation)
        self._around: set[int] = set()
        self._left = KEPT
        self._ended: list[EndedElement] = []
        self._uses: dict[str, Sequence[LateUse]] = {}
        self._keys: set[str] = set()
        self._acts: set[str] = set()  # what actions and decisions name
        self._acted_at: set[Instant] = set()
        self._targets = {name for order in self._orders for name in (order.key, *aliases(world, order.key))}

    def take(
        self,
        part: World,
        ended: Collection[EndedElement],
        uses: Mapping[str, Sequence[LateUse]],
        around: AbstractSet[int],
    ) -> None:
        """Add a part: the ended elements, the actions under them, and the hashes of what may end them as well."""
        if self.is_over:
            return
        done = [fact for index in (part.actions, part.decisions) for key in index for fact in index.get(key)]
        self._left -= len(ended) + len(done)
        if self._left < 0:
            self.is_over = True
            for gathered in (self._ended, self._uses, self._around, self._keys, self._acts, self._acted_at):
                gathered.clear()
            return
        self._ended += ended
        self._uses.update(uses)
        self._around |= around
        self._keys.update(one.key for one in ended)
        self._acts.update(chain.from_iterable(_of_an_act(fact.event) for fact in done))
        self._acted_at.update(fact.event.occurred_at for fact in done)

    def ends(self) -> RevocationEffects | None:
        """Return the result; None if it is too large to cache."""
        if self.is_over:
            return None
        ended = _as_in_a_receipt(self._ended)
        phase = phase_of(self._orders, self.at)
        since, until = _around({*phase, *self._acted_at}, self.at)
        return RevocationEffects(
            ended=ended,
            uses=self._uses,
            since=since,
            until=until,
            phase=phase,
            suspends=any(order.suspends for order in self._orders),
            acted=frozenset(self._acts & ended.keys()),
            keys=frozenset(self._keys | self._acts),
            targets=frozenset(self._targets),
            around=frozenset(self._around),
        )


def _as_in_a_receipt(ended: Iterable[EndedElement]) -> dict[str, EndedElement]:
    return {one.key: one for one in sorted_by_id(ended, attrgetter("key"))}


def patched(ends: RevocationEffects, keys: AbstractSet[str], recomputed: RevocationEffects) -> RevocationEffects | None:
    """Combine cached effects with recomputed elements; None if the result is too large to cache.

    Args:
        ends: The cached effects.
        keys: The recomputed elements.
        recomputed: Which of these are ended now.
    """
    found = RevocationEffects(
        ended=_with(ends.ended, keys, recomputed.ended),
        uses={**{key: uses for key, uses in ends.uses.items() if key not in keys}, **recomputed.uses},
        since=max(ends.since, recomputed.since),
        until=min(ends.until, recomputed.until),
        phase=ends.phase,
        suspends=ends.suspends,
        acted=ends.acted | recomputed.acted,
        keys=ends.keys | recomputed.keys,
        targets=ends.targets,
        around=ends.around | recomputed.around,
    )
    if len(found.keys) > KEPT:
        return None
    found.take_groups(ends, keys)
    return found


def _with(
    ended: Mapping[str, EndedElement], keys: AbstractSet[str], now: Mapping[str, EndedElement]
) -> dict[str, EndedElement]:
    """Replace some elements, in receipt order; the others are only copied."""
    if keys & ended.keys() == now.keys():  # none is new, and none is ended no longer
        return {**ended, **now}
    order = with_few_by_id([key for key in ended if key not in keys], [*now], str)
    return {key: now.get(key) or ended[key] for key in order}


class ChangeWatch:
    """Records what arrives while something is computed, from a place of the store on.

    Attributes:
        place: The place of the store at the start.
        missed: What has arrived since.
        is_over: Whether too much arrived to keep track of.
    """

    def __init__(self, place: StoreState) -> None:
        """Start at a place."""
        self.place = place
        self.missed: list[RelevantChanges] = []
        self.is_over = False

    def holds(self, revocation: str, ends: RevocationEffects) -> bool:
        """Whether the effects of a revocation are still the same as at the start."""
        return not self.is_over and not any(touched.is_in(revocation, ends) for touched in self.missed)


_Entry = tuple[str, Instant]  # the id of a revocation, and when the phase began


class RevocationCache:
    """Caches what revocations end, for each phase of their orders that was asked about. Thread-safe."""

    def __init__(self, store: Store, trust: Trusted | None = None) -> None:
        """Create an empty cache for a store and the trust table in force."""
        self._follower = Follower(store, load=self._begin, apply=self._take, trust=trust, most=_CAME)
        # All of these are protected by the follower's lock.
        self._ends: dict[_Entry, RevocationEffects] = {}
        self._stale: dict[_Entry, Invalidation] = {}  # of all entries
        self._size = 0
        self._watches: WeakSet[ChangeWatch] = WeakSet()

    def watch(self) -> ChangeWatch:
        """Start watching the store at its current place; entries outdated there are dropped."""
        with self._follower.caught_up() as place:
            watch = ChangeWatch(place)
            self._watches.add(watch)
            return watch

    def of(
        self, revocation: str, orders: Iterable[Order], at: Instant, watch: ChangeWatch
    ) -> tuple[RevocationEffects, "Invalidation"] | None:
        """Return the cached effects of an id at an instant and a watch's start, with what must be recomputed.

        Between other actions, but under the same orders, what was used must be recomputed.

        Args:
            revocation: The id.
            orders: Its orders, as of the watch's start.
            at: The instant.
            watch: The watch.

        Returns:
            None if all of it must be computed.
        """
        entry = revocation, phase_of(orders, at).since
        with self._follower.held():
            found = self._ends.get(entry)
            if found is None or not watch.holds(revocation, found):
                return None
            stale = self._stale.get(entry, NOTHING)
            if not found.covers(at):
                stale = stale.and_also(Invalidation(elements=found.acted))
            return None if len(stale.grants) + len(stale.elements) > _TOUCHED else (found, stale)

    def keep(self, revocation: str, ends: RevocationEffects, watch: ChangeWatch) -> None:
        """Cache what was computed from a watch's start, unless newer events affect it."""
        entry = revocation, ends.phase.since
        with self._follower.held():
            known = self._ends.get(entry)
            if not watch.holds(revocation, ends) or (known is not None and known.since > ends.since):
                return
            self._drop(entry)
            self._ends[entry] = ends
            self._size += len(ends.keys)
            while self._size > KEPT:
                self._drop(next(iter(self._ends)))

    def _drop(self, entry: "_Entry") -> None:
        gone = self._ends.pop(entry, None)
        self._stale.pop(entry, None)
        self._size -= len(gone.keys) if gone is not None else 0

    def _begin(self, _still: Store) -> None:
        self._ends.clear()
        self._stale.clear()
        self._size = 0
        for watch in self._watches:
            watch.is_over = True

    def _take(self, snapshot: Store, positions: Mapping[tuple[str, int], int]) -> None:
        if not self._ends and not self._watches:
            return
        came = [fact.event for fact in snapshot.facts_after(positions)]
        with snapshot.reader(trust=None) as reader:
            touched = change_set(reader, came)
        for watch in self._watches:
            watch.missed.append(touched)
        for entry, ends in list(self._ends.items()):
            revocation, _ = entry
            if touched.is_in(revocation, ends):
                stale = touched.stale(revocation, ends)
                if stale is not None:
                    stale = stale.and_also(self._stale.get(entry, NOTHING))
                if stale is None or len(stale.grants) + len(stale.elements) > _TOUCHED:
                    self._drop(entry)
                else:
                    self._stale[entry] = stale


# How events change what a revocation ends


class Invalidation(NamedTuple):
    """The part of a revocation's effects that must be recomputed.

    Attributes:
        grants: Elements, each with everything that depends on it.
        elements: Individual elements.
    """

    grants: AbstractSet[str] = frozenset()
    elements: AbstractSet[str] = frozenset()

    def and_also(self, other: "Invalidation") -> "Invalidation":
        """Combine with another."""
        return Invalidation(self.grants | other.grants, self.elements | other.elements)


NOTHING: Final = Invalidation()


@dataclass(slots=True)
class RelevantChanges:
    """The keys that some events affect.

    Attributes:
        revocations: The ids of orders and lifts.
        grants: The granted elements.
        above: The dependencies and names of these and of their transitive dependencies.
        acts: The actions and decisions, and every element and decision they refer to.
        decisions: The decisions among them.
        names_changed: Whether the parties of principals may have changed.
        ordered: The granted elements that are subject to an order, directly or through a dependency.
        aimed: The targets of new or lifted orders, and the members of changed parties, by all names.
    """

    revocations: set[str] = field(default_factory=set)
    grants: set[str] = field(default_factory=set)
    above: dict[str, set[str]] = field(default_factory=dict)
    acts: set[str] = field(default_factory=set)
    decisions: set[str] = field(default_factory=set)
    names_changed: bool = False
    ordered: set[str] = field(default_factory=set)
    aimed: set[str] = field(default_factory=set)

    def is_in(self, revocation: str, ends: RevocationEffects) -> bool:
        """Whether the effects of a revocation may have changed."""
        return (
            self._changes_orders(revocation, ends)
            or not self.grants.isdisjoint(ends.keys)
            or not self.acts.isdisjoint(ends.keys)
            or not self.above.keys().isdisjoint(ends.targets)
            or any(not above.isdisjoint(ends.targets) for above in self.above.values())
            or any(True for _ in self._beside(ends))
        )

    def stale(self, revocation: str, ends: RevocationEffects) -> Invalidation | None:
        """Return what must be recomputed of it; None if everything must.

        The authority of an action depends on which of the things it names was granted first, and on its decision, so
        all actions would have to be read.
        """
        granted = self.grants & ends.keys
        if (
            self._changes_orders(revocation, ends)
            or not granted <= ends.ended.keys()
            or not granted.isdisjoint(ends.targets)
            or not self.decisions.isdisjoint(ends.keys)
        ):
            return None
        return Invalidation(self._new_grants_below(ends).union(self._beside(ends)), self.acts & ends.ended.keys())

    def _beside(self, ends: RevocationEffects) -> Iterator[str]:
        """Yield what was granted, revoked or renamed, so that another order may end some elements too."""
        return (key for key in chain(self.ordered, self.aimed) if hash(key) in ends.around or key in ends.ended)

    def _changes_orders(self, revocation: str, ends: RevocationEffects) -> bool:
        """Whether the events change the targets of the orders or their effective times."""
        return revocation in self.revocations or (
            self.names_changed and any(target.startswith("principal:") for target in ends.targets)
        )

    def _new_grants_below(self, ends: RevocationEffects) -> set[str]:
        """Return the new grants that are ended already, or depend on an ended element or a target, at any depth."""
        below: dict[str, list[str]] = {}
        for key, above in self.above.items():
            for one in above:
                below.setdefault(one, []).append(key)
        found = {key for key in chain(below, self.grants) if key in ends.ended or key in ends.targets}
        nearest = set(found)
        while nearest:
            nearest = {key for one in nearest for key in below.get(one, ())} - found
            found |= nearest
        return found & self.grants


def change_set(reader: Reader, came: Iterable[Event]) -> RelevantChanges:
    """Determine what some events, which are in the store already, affect.

    An element is ended by its transitive dependencies. An action affects what it names, and so do all facts about the
    same action and its decision, because they determine its authority and its outcome together.
    """
    touched = RelevantChanges()
    acts: set[str] = set()
    lifted: set[str] = set()
    for event in came:
        match event.body:
            case TokenIssued() | DelegationGranted():
                touched.grants.add(about(event))
            case ActionPerformed() | DecisionMade():
                acts.add(about(event))
                if isinstance(event.body, DecisionMade):
                    touched.decisions.add(about(event))
            case RevocationOrdered() | RevocationLifted():
                touched.revocations.add(event.body.revocation)
                if isinstance(event.body, RevocationOrdered):
                    touched.aimed.add(key_of(event.body.target.kind, event.body.target.id))
                else:
                    lifted.add(about(event))
            case PrincipalRegistered() | WorkloadBound():
                touched.names_changed = True
                if isinstance(event.body, PrincipalRegistered) and event.body.aliases:
                    touched.aimed.add(about(event))
            case _:  # registrations and acknowledgements are read for each answer
                pass
    granted = reader.world()
    for fact in reader.facts_above(touched.grants):
        granted.add(fact)
        body = fact.event.body
        if isinstance(body, TokenIssued | DelegationGranted):
            above = touched.above.setdefault(str(granted_key(body)), set())
            above.update((*names_of(body), *(key for key, _ in dependencies_of(body))))
    touched.ordered.update(_ordered(reader, granted, touched.grants))
    touched.acts.update(_beside(reader, acts))
    touched.aimed |= _targets_of(reader, lifted)
    touched.aimed |= _all_names_of(reader, touched.aimed)
    return touched


def _ordered(reader: Reader, world: World, keys: Collection[str]) -> Iterator[str]:
    """Yield the elements that are subject to an order, directly, by a name, or through a dependency."""
    reader.load_orders_on(world)
    targets = set(world.orders.by_target)
    if targets:
        for key in keys:
            above = world.graph.above(key)
            elements = (world.graph.element(one) for one in above)
            names = {name for element in elements if element is not None for name in element.names}
            if not targets.isdisjoint(chain(above, (alias for name in names for alias in aliases(world, name)))):
                yield key


def _targets_of(reader: Reader, revocations: Collection[str]) -> set[str]:
    """Return the targets of the orders of some ids."""
    bodies = (fact.event.body for fact in reader.facts_about(revocations))
    return {key_of(body.target.kind, body.target.id) for body in bodies if isinstance(body, RevocationOrdered)}


def _all_names_of(reader: Reader, keys: Collection[str]) -> set[str]:
    """Return the aliases of principals."""
    world = reader.world()
    reader.load_parties(world, keys)
    return {name for key in keys for name in aliases(world, key)}


def _beside(reader: Reader, acts: Collection[str]) -> Iterator[str]:
    """Yield the keys that some actions and decisions refer to."""
    done = reader.facts_about(acts)
    named = {key for fact in done for key in _of_an_act(fact.event) if key.startswith("decision:")}
    for fact in chain(done, reader.facts_about(named - set(acts))):
        yield from _of_an_act(fact.event)


def _of_an_act(event: Event) -> Iterator[str]:
    """Yield the subject of an action or a decision, and what it names as its authority or decision."""
    yield about(event)
    for role, kind, id_ in mentions(event):
        if role == RefRole.USES:
            yield f"{kind}:{id_}"
