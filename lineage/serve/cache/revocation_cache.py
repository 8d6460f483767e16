"""What revocations end, kept between questions: what is worked out once is not worked out again (ADR 0025).

Kept is what follows from orders, grants and actions. What receivers said and what was delivered to them is read for
each answer, and so is how far the store is: an answer is of one moment, and what is kept goes with that moment alone.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple
from weakref import WeakSet

from lineage.core.authority.elements import granted_key
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
from lineage.core.model.keys import by_id, key_of
from lineage.core.model.references import Role, about, dependencies_of, mentions, names_of
from lineage.core.model.times import NEVER, Instant
from lineage.core.model.trust import Trusted
from lineage.core.revocation.closure import Ended
from lineage.core.revocation.late_uses import Use
from lineage.core.revocation.receipt import orders_of
from lineage.store.follower import Follower, Place
from lineage.store.reading.reader import Reader
from lineage.store.store import Store

KEPT: Final = 250_000  # elements that all of them hold between them: some 100 MB
_CAME: Final = 10_000  # records at once; where more came it is quicker to begin anew
_TOUCHED: Final = 1_000  # of what is kept; where more is, it is quicker to work all of it out


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What the orders of an id end, as of any instant from ``since`` until before ``until``.

    Attributes:
        ended: The elements by key, in the order of a receipt.
        uses: What was done under them all the same, by element.
        since: The last time in all that it was made from, before the instant that was asked about.
        until: The next one.
        keys: The elements, and all that was done under them: keys of actions, decisions, and of what these name.
        targets: What the orders are aimed at, by all its names.
        around: Of the elements, of all that they depend on, and of all that these name, the hashes: an order on any of
            these may end an element as well.
    """

    ended: Mapping[str, Ended]
    uses: Mapping[str, Sequence[Use]]
    since: Instant
    until: Instant
    keys: frozenset[str]
    targets: frozenset[str]
    around: frozenset[int] = frozenset()


def elements_and_names(part: World) -> set[int]:
    """The hashes of all elements of a part, and of all that these name."""
    return set(map(hash, chain(part.graph, part.graph.names())))


class Gathering:
    """Puts together what a revocation ends from a receipt that comes in parts, unless it is too much to be kept."""

    def __init__(self, world: World, revocation: str, at: Instant) -> None:
        """Take a world with the orders and lifts of the id, and with all names of their targets."""
        self.revocation = revocation
        self.at = at
        self._orders = orders_of(world, revocation)
        self._around: set[int] = set()
        self._left = KEPT
        self._ended: list[Ended] = []
        self._uses: dict[str, Sequence[Use]] = {}
        self._keys: set[str] = set()
        self._moments = {moment for order in self._orders for moment in (order.effective_at, order.lifted_at)}
        self._targets = {name for order in self._orders for name in (order.key, *aliases(world, order.key))}

    def take(
        self, part: World, ended: Collection[Ended], uses: Mapping[str, Sequence[Use]], around: AbstractSet[int]
    ) -> None:
        """Take in a part: what is ended, what was done under it, and the hashes of what may end it as well."""
        done = [fact for index in (part.actions, part.decisions) for key in index for fact in index.get(key)]
        self._left -= len(ended) + len(done)
        if self._left >= 0:
            self._ended += ended
            self._uses.update(uses)
            self._around |= around
            self._keys.update(one.key for one in ended)
            self._keys.update(chain.from_iterable(_of_an_act(fact.event) for fact in done))
            self._moments.update(fact.event.occurred_at for fact in done)

    def ends(self) -> Ends | None:
        """All of it; None: it is too much."""
        if self._left < 0:
            return None
        if any(order.suspends for order in self._orders):
            # A suspension is over when what it suspends has ended; what had ended by then is not among these.
            self._moments.update((self.at, *(one.ends_at for one in self._ended)))
        return Ends(
            ended=_as_in_a_receipt(self._ended),
            uses=self._uses,
            since=max((moment for moment in self._moments if moment <= self.at), default=self.at),
            until=min((moment for moment in self._moments if moment > self.at), default=NEVER),
            keys=frozenset(self._keys),
            targets=frozenset(self._targets),
            around=frozenset(self._around),
        )


def _as_in_a_receipt(ended: Iterable[Ended]) -> dict[str, Ended]:
    return {one.key: one for one in sorted(ended, key=lambda one: by_id(one.key))}


def mended(ends: Ends, keys: AbstractSet[str], anew: Ends) -> Ends | None:
    """What a revocation ends, of which some elements were worked out anew; None: it is too much to be kept.

    Args:
        ends: What was kept.
        keys: What was looked at again.
        anew: What of these is ended.
    """
    left = (one for key, one in ends.ended.items() if key not in keys)
    found = Ends(
        ended=_as_in_a_receipt(chain(left, anew.ended.values())),
        uses={**{key: uses for key, uses in ends.uses.items() if key not in keys}, **anew.uses},
        since=max(ends.since, anew.since),
        until=min(ends.until, anew.until),
        keys=ends.keys | anew.keys,
        targets=ends.targets,
        around=ends.around | anew.around,
    )
    return found if len(found.keys) <= KEPT else None


class Watch:
    """What comes while somebody works something out, from a place of the store on.

    Attributes:
        place: Where the store stood.
        missed: What came since.
        is_over: Whether more came than was looked at.
    """

    def __init__(self, place: Place) -> None:
        """Begin at a place."""
        self.place = place
        self.missed: list[Touched] = []
        self.is_over = False

    def holds(self, revocation: str, ends: Ends) -> bool:
        """Whether what a revocation ends is the same there and now."""
        return not self.is_over and not any(touched.is_in(revocation, ends) for touched in self.missed)


class KeptEnds:
    """Keeps what revocations end. Any thread may ask."""

    def __init__(self, store: Store, trust: Trusted | None = None) -> None:
        """Take where it is looked up, and what says which trust table is in force."""
        self._follower = Follower(store, anew=self._begin, take=self._take, trust=trust, most=_CAME)
        # All of these stand still while the follower says so.
        self._ends: dict[str, Ends] = {}
        self._stale: dict[str, Stale] = {}  # of what is kept
        self._size = 0
        self._watches: WeakSet[Watch] = WeakSet()

    def watch(self) -> Watch:
        """Watch the store from where it stands by now; what does not hold there is no longer kept."""
        with self._follower.caught_up() as place:
            watch = Watch(place)
            self._watches.add(watch)
            return watch

    def of(self, revocation: str, at: Instant, watch: Watch) -> tuple[Ends, "Stale"] | None:
        """What is kept of an id, as of an instant and where a watch began, and what of it has to be looked at again.

        None: all of it has to be worked out.
        """
        with self._follower.held():
            found = self._ends.get(revocation)
            if found is None or not found.since <= at < found.until or not watch.holds(revocation, found):
                return None
            return found, self._stale.get(revocation, NOTHING)

    def keep(self, revocation: str, ends: Ends, watch: Watch) -> None:
        """Keep what was worked out where a watch began, unless what came since touches it."""
        with self._follower.held():
            known = self._ends.get(revocation)
            if not watch.holds(revocation, ends) or (known is not None and known.since > ends.since):
                return
            self._drop(revocation)
            self._ends[revocation] = ends
            self._size += len(ends.keys)
            while self._size > KEPT:
                self._drop(next(iter(self._ends)))

    def _drop(self, revocation: str) -> None:
        gone = self._ends.pop(revocation, None)
        self._stale.pop(revocation, None)
        self._size -= len(gone.keys) if gone is not None else 0

    def _begin(self, _still: Store) -> None:
        self._ends.clear()
        self._stale.clear()
        self._size = 0
        for watch in self._watches:
            watch.is_over = True

    def _take(self, still: Store, positions: Mapping[tuple[str, int], int]) -> None:
        if not self._ends and not self._watches:
            return
        came = [fact.event for fact in still.facts_behind(positions)]
        with still.reader(trust=None) as reader:
            touched = touched_by(reader, came)
        for watch in self._watches:
            watch.missed.append(touched)
        for revocation, ends in list(self._ends.items()):
            if touched.is_in(revocation, ends):
                stale = touched.stale(revocation, ends)
                if stale is not None:
                    stale = stale.and_also(self._stale.get(revocation, NOTHING))
                if stale is None or len(stale.grants) + len(stale.elements) > _TOUCHED:
                    self._drop(revocation)
                else:
                    self._stale[revocation] = stale


# What changes what a revocation ends


class Stale(NamedTuple):
    """What has to be looked at again of what a revocation ends.

    Attributes:
        grants: Elements, each with all that hangs on it.
        elements: Elements by themselves.
    """

    grants: AbstractSet[str] = frozenset()
    elements: AbstractSet[str] = frozenset()

    def and_also(self, other: "Stale") -> "Stale":
        """Both."""
        return Stale(self.grants | other.grants, self.elements | other.elements)


NOTHING: Final = Stale()


@dataclass(slots=True)
class Touched:
    """What some events touch.

    Attributes:
        revocations: The ids of orders and lifts.
        grants: What was granted.
        above: Of that, and of all that it hangs on: what each hangs on, and names.
        acts: What was done or decided, and every element and decision that stands beside it.
        decisions: Of that what was decided.
        names_changed: Whether principals may be another party than before.
        ordered: Of what was granted that on which, or on what stands above it, there is an order.
        aimed: What orders are aimed at that came or were lifted, and who is now one party, by all names.
    """

    revocations: set[str] = field(default_factory=set)
    grants: set[str] = field(default_factory=set)
    above: dict[str, set[str]] = field(default_factory=dict)
    acts: set[str] = field(default_factory=set)
    decisions: set[str] = field(default_factory=set)
    names_changed: bool = False
    ordered: set[str] = field(default_factory=set)
    aimed: set[str] = field(default_factory=set)

    def is_in(self, revocation: str, ends: Ends) -> bool:
        """Whether what a revocation ends may be another."""
        return (
            self._changes_orders(revocation, ends)
            or not self.grants.isdisjoint(ends.keys)
            or not self.acts.isdisjoint(ends.keys)
            or not self.above.keys().isdisjoint(ends.targets)
            or any(not above.isdisjoint(ends.targets) for above in self.above.values())
            or any(True for _ in self._beside(ends))
        )

    def stale(self, revocation: str, ends: Ends) -> Stale | None:
        """What of it has to be looked at again; None: all of it.

        Under which authority something was done depends on what was granted, for the first time, of all that it
        names, and on what was decided: all that was done would have to be looked at.
        """
        granted = self.grants & ends.keys
        if (
            self._changes_orders(revocation, ends)
            or not granted <= ends.ended.keys()
            or not granted.isdisjoint(ends.targets)
            or not self.decisions.isdisjoint(ends.keys)
        ):
            return None
        return Stale(self._hanging_on(ends).union(self._beside(ends)), self.acts & ends.ended.keys())

    def _beside(self, ends: Ends) -> Iterator[str]:
        """What was granted, ordered dead or named otherwise so that another order may end some elements as well."""
        return (key for key in chain(self.ordered, self.aimed) if hash(key) in ends.around or key in ends.ended)

    def _changes_orders(self, revocation: str, ends: Ends) -> bool:
        """Whether they say otherwise what the orders are aimed at, and since when."""
        return revocation in self.revocations or (
            self.names_changed and any(target.startswith("principal:") for target in ends.targets)
        )

    def _hanging_on(self, ends: Ends) -> set[str]:
        """What was granted that is ended already, or hangs on that or on what the orders are aimed at, however far."""
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


def touched_by(reader: Reader, came: Iterable[Event]) -> Touched:
    """What some events touch, which the store holds already.

    An element is ended by what stands above it, however far. What was done counts for what it names, and so do all
    facts about the same action and about the decision that it names: which of these are the authority, and whether it
    succeeded, they say together.
    """
    touched = Touched()
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
            case _:  # what receivers are and say is read for each answer
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
    """Those of some elements on which, or on what stands above them or is named there, there is an order."""
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
    """What the orders of some ids are aimed at."""
    bodies = (fact.event.body for fact in reader.facts_about(revocations))
    return {key_of(body.target.kind, body.target.id) for body in bodies if isinstance(body, RevocationOrdered)}


def _all_names_of(reader: Reader, keys: Collection[str]) -> set[str]:
    """What principals are called as well."""
    world = reader.world()
    reader.load_parties(world, keys)
    return {name for key in keys for name in aliases(world, key)}


def _beside(reader: Reader, acts: Collection[str]) -> Iterator[str]:
    """The keys of all that stands beside some actions and decisions."""
    done = reader.facts_about(acts)
    named = {key for fact in done for key in _of_an_act(fact.event) if key.startswith("decision:")}
    for fact in chain(done, reader.facts_about(named - set(acts))):
        yield from _of_an_act(fact.event)


def _of_an_act(event: Event) -> Iterator[str]:
    """What an action or a decision is about, and what it names as its authority or as its decision."""
    yield about(event)
    for role, kind, id_ in mentions(event):
        if role == Role.USES:
            yield f"{kind}:{id_}"
