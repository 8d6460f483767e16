"""What revocations end, kept between questions: what is worked out once is not worked out again (ADR 0025).

Kept is what follows from orders, grants and actions. What receivers said and what was delivered to them is read for
each answer, and so is how far the store is: an answer is of one moment, and what is kept goes with that moment alone.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final
from weakref import WeakSet

from lineage.core.closure import Ended, Use, ended_of
from lineage.core.elements import by_id, dependencies_of, granted_key, names_of
from lineage.core.events import (
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
from lineage.core.mentions import Role, about, mentions
from lineage.core.receipts import Line, orders_of
from lineage.core.rule import aliases
from lineage.core.times import NEVER, Instant
from lineage.core.world import World
from lineage.store.following import Follower, Place
from lineage.store.questions import Reader
from lineage.store.store import Store

KEPT: Final = 250_000  # elements that all of them hold between them: some 100 MB
_CAME: Final = 10_000  # records at once; where more came it is quicker to begin anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What the orders of an id end, as of any instant from ``since`` until before ``until``.

    Attributes:
        ended: The elements, in the order of a receipt.
        uses: What was done under them all the same, by element.
        since: The instant that was asked about.
        until: The next time in all that it was made from.
        keys: The elements, and all that was done under them: keys of actions, decisions, and of what these name.
        targets: What the orders are aimed at, by all its names.
    """

    ended: tuple[Ended, ...]
    uses: Mapping[str, Sequence[Use]]
    since: Instant
    until: Instant
    keys: frozenset[str]
    targets: frozenset[str]


class Gathering:
    """Puts together what a revocation ends from a receipt that comes in parts, unless it is too much to be kept."""

    def __init__(self, world: World, revocation: str, at: Instant) -> None:
        """Take a world with the orders and lifts of the id, and with all names of their targets."""
        self._orders = orders_of(world, revocation)
        self._at = at
        self._left = KEPT
        self._ended: list[Ended] = []
        self._uses: dict[str, Sequence[Use]] = {}
        self._keys: set[str] = set()
        self._moments = {moment for order in self._orders for moment in (order.effective_at, order.lifted_at)}
        self._targets = {name for order in self._orders for name in (order.key, *aliases(world, order.key))}

    def take(self, part: World, lines: Sequence[Line], uses: Mapping[str, Sequence[Use]]) -> list[Ended]:
        """Take in a part; what a verdict needs of it."""
        ended = [ended_of(line) for line in lines]
        done = [fact for index in (part.actions, part.decisions) for key in index for fact in index.get(key)]
        self._left -= len(ended) + len(done)
        if self._left >= 0:
            self._ended += ended
            self._uses.update(uses)
            self._keys.update(one.key for one in ended)
            self._keys.update(chain.from_iterable(_of_an_act(fact.event) for fact in done))
            self._moments.update(fact.event.occurred_at for fact in done)
        return ended

    def ends(self) -> Ends | None:
        """All of it; None: it is too much."""
        if self._left < 0:
            return None
        if any(order.suspends for order in self._orders):  # a suspension is over when what it suspends has ended
            self._moments.update(one.ends_at for one in self._ended)
        return Ends(
            ended=tuple(sorted(self._ended, key=lambda one: by_id(one.key))),
            uses=self._uses,
            since=self._at,
            until=min((moment for moment in self._moments if moment > self._at), default=NEVER),
            keys=frozenset(self._keys),
            targets=frozenset(self._targets),
        )


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

    def __init__(self, store: Store) -> None:
        """Take where it is looked up."""
        self._follower = Follower(store, anew=self._begin, take=self._drop_touched, most=_CAME)
        # All of these stand still while the follower says so.
        self._ends: dict[str, Ends] = {}
        self._size = 0
        self._watches: WeakSet[Watch] = WeakSet()

    def watch(self) -> Watch:
        """Watch the store from where it stands by now; what does not hold there is no longer kept."""
        with self._follower.caught_up() as place:
            watch = Watch(place)
            self._watches.add(watch)
            return watch

    def of(self, revocation: str, at: Instant, watch: Watch) -> Ends | None:
        """What is kept of an id, as of an instant and where a watch began; None: it has to be worked out."""
        with self._follower.held():
            found = self._ends.get(revocation)
            if found is None or not found.since <= at < found.until or not watch.holds(revocation, found):
                return None
            return found

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
        self._size -= len(gone.keys) if gone is not None else 0

    def _begin(self, _still: Store) -> None:
        self._ends.clear()
        self._size = 0
        for watch in self._watches:
            watch.is_over = True

    def _drop_touched(self, still: Store, positions: Mapping[tuple[str, int], int]) -> None:
        if not self._ends and not self._watches:
            return
        came = [fact.event for fact in chain(still.facts_behind(positions), still.facts_again_behind(positions))]
        with still.reader(trust=None) as reader:
            touched = touched_by(reader, came)
        for watch in self._watches:
            watch.missed.append(touched)
        for revocation, ends in list(self._ends.items()):
            if touched.is_in(revocation, ends):
                self._drop(revocation)


# What changes what a revocation ends


@dataclass(slots=True)
class Touched:
    """What some events touch.

    Attributes:
        revocations: The ids of orders and lifts.
        keys: What was granted, done or decided, and every element and decision that stands beside it.
        above: What was granted hangs on these, or they are named there.
        names_changed: Whether principals may be another party than before.
    """

    revocations: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    above: set[str] = field(default_factory=set)
    names_changed: bool = False

    def is_in(self, revocation: str, ends: Ends) -> bool:
        """Whether what a revocation ends may be another."""
        if (
            revocation in self.revocations
            or not self.keys.isdisjoint(ends.keys)
            or not self.above.isdisjoint(ends.targets)
        ):
            return True
        return self.names_changed and any(target.startswith("principal:") for target in ends.targets)


def touched_by(reader: Reader, came: Iterable[Event]) -> Touched:
    """What some events touch, which the store holds already.

    An element is ended by what stands above it, however far. What was done counts for what it names, and so do all
    facts about the same action and about the decision that it names: which of these are the authority, and whether it
    succeeded, they say together.
    """
    touched = Touched()
    grants: set[str] = set()
    acts: set[str] = set()
    for event in came:
        match event.body:
            case TokenIssued() | DelegationGranted():
                grants.add(about(event))
            case ActionPerformed() | DecisionMade():
                acts.add(about(event))
            case RevocationOrdered() | RevocationLifted():
                touched.revocations.add(event.body.revocation)
            case PrincipalRegistered() | WorkloadBound():
                touched.names_changed = True
            case _:  # what receivers are and say is read for each answer
                pass
    touched.keys |= grants
    for fact in reader.facts_above(grants):
        body = fact.event.body
        if isinstance(body, TokenIssued | DelegationGranted):
            touched.above.update((str(granted_key(body)), *names_of(body), *(key for key, _ in dependencies_of(body))))
    touched.keys.update(_beside(reader, acts))
    return touched


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
