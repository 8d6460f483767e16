"""The input of rules: a world, aggregates, settings and the time, with cached intermediate results."""

import sys
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple, TypeVar, cast

from lineage.core.authority.chain import wielder
from lineage.core.authority.elements import Element
from lineage.core.authority.orders import Order
from lineage.core.authority.receivers import Coverage, Deliveries
from lineage.core.authority.rule import ALIVE, own_state, verdict_of
from lineage.core.authority.targets import Cascade, targets
from lineage.core.authority.verdict import State, counting
from lineage.core.authority.world import World
from lineage.core.findings.options import Options
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.acts import Act, Decided, act_of, alike, decided_of, statement_of
from lineage.core.findings.scene.derived import Recent, Upward
from lineage.core.findings.scene.links import ChainLinks, Granted
from lineage.core.findings.scene.reaches import Reaches, ReachSize, most_added, reach_of
from lineage.core.findings.scene.scopes import AudienceIndex, ScopeIndex, Scopes, claimed, contains, first_stated
from lineage.core.findings.scene.tally import Tally
from lineage.core.model.events import Fact, RevocationOrdered, WorkloadBound
from lineage.core.model.finding import Finding
from lineage.core.model.keys import split_key
from lineage.core.model.times import NEVER, Instant

T = TypeVar("T")
_MOST_ALIKE: Final = 8_192
_as_set: Final = lru_cache(maxsize=1_024)(frozenset[str])  # the roles of nearly all parents are the same few
_REVOKED: Final = frozenset({State.REVOKED, State.CASCADED})
_REGISTERS: Final = (
    "bound_by_key", "orders_by", "coverage", "agents_are_registered", "people_are_registered", "known_issuers",
    "registered_inputs",
)  # fmt: skip


class End(NamedTuple):
    """The end of something, and the element that states it."""

    at: Instant
    key: str


class Beginning(NamedTuple):
    """The time before which something is not valid, and the element that states it."""

    at: Instant
    key: str


class DepthLeft(NamedTuple):
    """The number of further delegations allowed below one, and what limits it; negative if it is too deep."""

    left: int
    limit: str  # the key of the delegation or principal that limits it


class Needs(NamedTuple):
    """The scopes that were needed and when each was last needed, and whether this is known for every action."""

    known: bool
    last: Mapping[str, Instant]


@dataclass(frozen=True, slots=True)
class SentCredentials:
    """The records of a source that were refused because of a raw credential: their number and time range."""

    source: str
    count: int
    first: Instant
    last: Instant


@dataclass(frozen=True, slots=True)
class IngestionFacts:
    """The observations of ingestion besides the relevant facts.

    Attributes:
        unauthorised: Facts that are kept but are not part of the state.
        conflicts: The facts of each identity with different contents.
        holes: The facts before and after each gap in sequence numbers.
        numbered: Whether any source numbers its events.
        known_prefixes: Prefixes of ids that the trust table lets anyone speak about.
        credentials: The records that were refused because they contained a raw credential.
    """

    unauthorised: tuple[Fact, ...] = ()
    conflicts: tuple[tuple[Fact, ...], ...] = ()
    holes: tuple[tuple[Fact, Fact], ...] = ()
    known_prefixes: tuple[str, ...] = ()
    numbered: bool = False
    credentials: tuple[SentCredentials, ...] = ()


class Scene:
    """Everything that rules examine.

    Attributes:
        world: The known facts.
        element: Returns a token or a delegation, if it was granted.
        party: Returns one id for a principal and its aliases.
        kind: Returns the kind of a principal.
        same: Whether two ids are one party.
        options: The settings.
        at: The instant asked about.
        tally: The aggregates.
        whole: Whether everything has been entered, or only the surroundings of some things.
        deliveries: The deliveries to receivers.
        intake: The observations of ingestion.
        serious: The open findings of high severity and above, by responsible party.
        scopes, audiences: The scopes and audiences of elements.
        links: How elements are linked with what they draw on.
        reaches: The living elements under things, if these are stored; None to search for them.
        alike: Actions by what their only fact states, until there are more facts; None to combine each by itself.
    """

    def __init__(
        self,
        world: World,
        options: Options,
        at: Instant,
        *,
        whole: bool,
        deliveries: Deliveries | None = None,
        intake: IngestionFacts | None = None,
    ) -> None:
        """Create a scene; ``entering`` fills its tally."""
        self.world = world
        self.element = world.graph.element
        self.party = world.principals.one_of
        self.kind = world.principals.kind
        self.same = world.principals.same
        self.options = options
        self.at = at
        self.whole = whole
        self.deliveries: Deliveries = {} if deliveries is None else deliveries
        self.intake = IngestionFacts() if intake is None else intake
        self.tally = Tally()
        self.serious: dict[str, list[Finding]] = {}
        self.scopes = ScopeIndex(world.graph, world.principals, options)
        self.audiences = AudienceIndex(world.graph.element, self.scopes.sources)
        self._agents_scopes = Upward[Scopes](self.scopes.sources, self._fold_agents_scopes)
        self._ends = Upward[End](self._delegations_above, self._fold_end)
        self._beginnings = Upward[Beginning](self._delegations_above, self._fold_beginning)
        self._depths = Upward[DepthLeft | None](self._parents, self._fold_depth)
        self._activity = Upward[Instant](self._children, self._fold_activity)
        self._needs = Upward[Needs](self._children, self._fold_needs)
        self._sizes = Upward[int](self._children, self._fold_size)
        self.reaches: Reaches | None = None
        self.alike: dict[tuple[Any, ...], Act] | None = None
        self._acts = Recent[Act | None](self._find_act)
        self._stated = Recent[frozenset[str]](self._find_stated)
        self._holders = Recent[str | None](self._find_holder)
        self._granted = Recent[Granted](self._find_granted)
        self.links = ChainLinks(world, self._granted.of)
        self._runners = Recent[str](self._find_runner)
        self._last: tuple[object, object] = (None, None)

    def once(self, what: object, make: Callable[[], T]) -> T:
        """Return a cached result; only the last is kept, for several rules that examine one thing in turn."""
        if self._last[0] != what:
            self._last = (what, make())
        return cast("T", self._last[1])

    def close(self) -> None:
        """Discard everything, so that it is freed at once: a scene and its parts refer to themselves."""
        for part in (self.links, self.scopes, self.audiences, self):
            vars(part).clear()

    # Changes

    def forget(self, below: AbstractSet[str], above: AbstractSet[str]) -> None:
        """Discard the results derived from elements that changed.

        Args:
            below: The elements whose facts, dependencies or parties changed, and everything below them.
            above: The elements whose uses or dependents changed, and everything above them.
        """
        self._last = (None, None)
        self.scopes.forget(below)
        self.audiences.forget(below)
        self.links.forget(below)
        self._agents_scopes.forget(below)
        self._ends.forget(below)
        self._beginnings.forget(below)
        self._depths.forget(below)
        self._activity.forget(above)
        self._needs.forget(above)
        self._sizes.forget(above)

    def trim(self, most: int) -> None:
        """Keep at most ``most`` results of each kind that depend on what elements draw on.

        They are computed again when needed. Results that depend on what is below an element are kept, because one
        element may have very many below it.
        """
        own = (self._agents_scopes, self._ends, self._beginnings, self._depths)
        for each in (self.scopes, self.audiences, self.links, *own):
            each.trim(most)

    def forget_recent(self) -> None:
        """Discard the results cached last, because there are more facts about some things."""
        self._last = (None, None)
        if self.alike is not None:
            self.alike.clear()
        for recent in (self._acts, self._stated, self._holders, self._granted):
            recent.forget()

    def forget_registers(self) -> None:
        """Discard the results derived from registrations, orders and the coverage of receivers."""
        self._runners.forget()
        for name in _REGISTERS:
            vars(self).pop(name, None)

    def activity_before(self, key: str) -> Instant | None:
        """Return the last activity of an element, if it was computed before."""
        return self._activity.known(key)

    # Things

    def act(self, key: str) -> Act | None:
        """Return an action."""
        return self._acts.of(key)

    def _find_act(self, key: str) -> Act | None:
        id_ = split_key(key)[1]
        if self.alike is None:
            return act_of(self.world, id_)
        facts = self.world.actions.get(id_)
        statement = statement_of(facts)
        if statement is None:
            return act_of(self.world, id_)
        known = self.alike.get(statement)
        if known is not None:
            return alike(known, id_, facts)
        found = act_of(self.world, id_)
        if found is not None:
            if len(self.alike) >= _MOST_ALIKE:
                self.alike.clear()
            self.alike[statement] = found
        return found

    def decided(self, key: str) -> Decided | None:
        """Return a decision."""
        return decided_of(self.world, split_key(key)[1])

    def granted_parents(self, element: Element, *roles: str) -> list[str]:
        """Return the granted dependencies of an element in some roles, sorted, excluding itself."""
        if not element.parents:
            return []
        return [parent for parent, had in self._granted.of(element.key) if not had.isdisjoint(roles)]

    def granted_above(self, element: Element) -> Granted:
        """Return the granted dependencies of an element with their roles, sorted, excluding itself."""
        return self._granted.of(element.key) if element.parents else ()

    def _find_granted(self, key: str) -> Granted:
        element, granted = self.element(key), self.world.graph.facts
        parents = sorted(element.parents.items()) if element is not None else ()
        return tuple([(parent, _as_set(had)) for parent, had in parents if parent in granted and parent != key])

    # Parties

    def runner(self, id_: str) -> str:
        """Return the party that acts through a workload: the agent bound to it, if that is a single party."""
        return self._runners.of(id_)

    def _find_runner(self, id_: str) -> str:
        agents = {
            self.party(body.agent)
            for member in self.world.principals.party(id_)
            for fact in self.world.principals.bindings.get(member)
            if isinstance(body := fact.event.body, WorkloadBound) and self.same(body.workload, id_)
        }
        return agents.pop() if len(agents) == 1 else self.party(id_)

    def key_holder(self, thumbprint: str) -> str:
        """Return the party that signs with a key, if the key is bound to a single one, else the key itself."""
        agents = {self.party(agent) for agent in self.bound_by_key.get(thumbprint, ())}
        return agents.pop() if len(agents) == 1 else thumbprint

    def holder(self, key: str) -> str | None:
        """Return who may use an element: the user or subject of a token; the delegatee of a delegation."""
        return self._holders.of(key)

    def _find_holder(self, key: str) -> str | None:
        element = self.element(key)
        if element is None:
            return None
        if not key.startswith("token:"):
            return str(element.first("delegatee"))
        if len(element.facts) == 1 and (actor := element.first("actor")) is not None:  # nearly always
            return str(actor)
        hop = wielder(self.world, key)
        return hop.principal if hop else str(element.first("subject"))

    def is_of_an_agent(self, key: str) -> bool:
        """Whether an agent may use an element."""
        holder = self.holder(key)
        return holder is not None and self.kind(holder) == "agent"

    def actor(self, act: Act) -> str | None:
        """Return who acted: by the action, else by its decision, else the token's user, else the workload."""
        actor = act.actor or (act.decided.actor if act.decided else None)
        if actor is None and act.token is not None:
            actor = self.holder(act.token)
        return actor or act.workload

    def asker(self, decided: Decided) -> str | None:
        """Return who requested a decision."""
        return decided.actor or (self.holder(f"token:{decided.token}") if decided.token is not None else None)

    @cached_property
    def bound_by_key(self) -> Mapping[str, set[str]]:
        """The agents that each key is bound to."""
        found: dict[str, set[str]] = {}
        for name in self.world.principals.bindings:
            for fact in self.world.principals.bindings.get(name):
                body = fact.event.body
                if isinstance(body, WorkloadBound) and body.key_thumbprint is not None:
                    found.setdefault(body.key_thumbprint, set()).add(body.agent)
        return found

    @cached_property
    def orders_by(self) -> Mapping[str, list[Fact]]:
        """The orders given by each party."""
        found: dict[str, list[Fact]] = {}
        for id_ in self.world.orders.by_id:
            for fact in self.world.orders.by_id.get(id_):
                if isinstance(fact.event.body, RevocationOrdered):
                    found.setdefault(self.party(fact.event.body.ordered_by), []).append(fact)
        return found

    @cached_property
    def coverage(self) -> Coverage:
        """The coverage of receivers."""
        return Coverage(self.world.receivers.registered())

    @cached_property
    def agents_are_registered(self) -> bool:
        """Whether any agents are registered."""
        return any(self.kind(id_) == "agent" for id_ in self.world.principals.registrations)

    @cached_property
    def people_are_registered(self) -> bool:
        """Whether any people are registered."""
        return any(self.kind(id_) == "human" for id_ in self.world.principals.registrations)

    @cached_property
    def registered_inputs(self) -> frozenset[str]:
        """The inputs that registrations, revocations and their acknowledgements offer to rules."""
        return frozenset(inputs.in_world(self.world))

    @cached_property
    def known_issuers(self) -> frozenset[str]:
        """The issuers that receivers cover."""
        return frozenset(issuer for one in self.world.receivers.registered() for issuer in one.issuers)

    # Scopes

    def needed(self, act: Act) -> frozenset[str] | None:
        """Return the scopes that an action needs; None if unknown."""
        if stated := act.required_scopes or self.needed_as_set(act):
            return stated
        if self.options.operations == "scopes" or (self.options.operations == "auto" and self._is_scope(act)):
            return frozenset({act.operation})
        return None

    def needed_as_set(self, act: Act) -> frozenset[str]:
        """Return the scopes an action needs by the settings for its operation or tool; empty if there are none."""
        for name in (act.operation, act.tool):
            if name is not None and name in self.options.needed:
                return frozenset(self.options.needed[name])
        return frozenset()

    def is_decision_usual(self, operation: tuple[str, str], at: Instant) -> bool:
        """Whether nearly all successes of a source's operation in the days before an instant have a decision."""
        shares = self.tally.shares.get(operation)
        if shares is None:
            return False
        count, decided = shares.until(at, self.options.decision_window)
        return count >= self.options.decision_least and decided >= self.options.decision_share * count

    def _is_scope(self, act: Act) -> bool:
        """Whether an operation is spelled like a scope, by a source known to do so."""
        if act.operation in self.stated_scopes(act.authority):
            return True
        return act.operation in self.tally.scopes and act.source in self.tally.spelled_alike

    def stated_scopes(self, key: str | None) -> frozenset[str]:
        """Return every scope stated by an element or a delegation above it; empty without an element."""
        return frozenset() if key is None else self._stated.of(key)

    def _find_stated(self, key: str) -> frozenset[str]:
        if self.element(key) is None:
            return frozenset()
        sources = self.scopes.sources
        if not sources(key):
            return self.scopes.held(key) or frozenset()
        found: set[str] = set()
        waiting, entered = [key], {key}
        while waiting:
            node = waiting.pop()
            element = self.element(node)
            found |= (first_stated(element.facts) if element else None) or frozenset()
            fresh = [one for one in self.scopes.sources(node) if one not in entered]
            entered.update(fresh)
            waiting += fresh
        return frozenset(found)

    def scopes_reported_above(self, element: Element) -> frozenset[str]:
        """Return the scopes that agents hold by the delegations above a token: they are reported for these."""
        found: set[str] = set()
        for key in self.granted_parents(element, "delegation"):
            scopes = self._agents_scopes.of(key)
            if scopes is None:
                return self._scopes_walked_above(element)
            found |= scopes
        return frozenset(found)

    def _fold_agents_scopes(self, key: str, above: Mapping[str, Scopes]) -> Scopes:
        """Combine the scopes that agents hold by an element and everything above it; None if a cycle is there."""
        if self._agents_scopes.is_in_cycle(key) or None in above.values():
            return None
        element = self.element(key)
        own = claimed(element) if element is not None and self.is_of_an_agent(key) else frozenset[str]()
        held = [scopes for scopes in above.values() if scopes]
        largest = max(held, key=len, default=own)
        if own <= largest and all(scopes <= largest for scopes in held):
            return largest  # so that a chain shares one set
        return own.union(*held)

    def _scopes_walked_above(self, element: Element) -> frozenset[str]:
        """Return the same from one walk, which enters everything in a cycle except the token itself."""
        found: set[str] = set()
        waiting = self.granted_parents(element, "delegation")
        entered = {element.key, *waiting}
        while waiting:
            node = waiting.pop()
            above = self.element(node)
            if above is not None and self.is_of_an_agent(node):
                found |= claimed(above)
            fresh = [one for one in self.scopes.sources(node) if one not in entered]
            entered.update(fresh)
            waiting += fresh
        return frozenset(found)

    def allows(self, key: str, scope: str) -> bool | None:
        """Whether an element effectively allows a scope; None if unknown."""
        effective = self.scopes.effective(key)
        return None if effective is None else contains(effective, scope, self.options)

    # Time

    def end(self, key: str) -> End:
        """Return when an element ends: at its own end or that of a delegation it depends on."""
        return self._ends.of(key)

    def _delegations_above(self, key: str) -> list[str]:
        element = self.element(key)
        return self.granted_parents(element, "parent", "delegation") if element else []

    def _fold_end(self, key: str, above: Mapping[str, End]) -> End:
        element = self.element(key)
        own = End(element.ends_at if element else NEVER, key)
        if not above:
            return own
        return min([own, *above.values()], key=lambda end: (end.at, end.key != key, end.key))

    def beginning(self, key: str) -> Beginning:
        """Return when an element becomes valid by its own ``not_before`` and those of the delegations it depends on.

        0 if none of them states any.
        """
        return self._beginnings.of(key)

    def beginning_of(self, act: Act) -> Beginning:
        """Return when what an action names becomes valid: not before its authority was issued."""
        named = [one for one in (act.authority, act.delegation) if one is not None and self.element(one) is not None]
        issued = [Beginning(act.element.issued_at, act.element.key)] if act.element is not None else []
        begins = [*issued, *(self.beginning(one) for one in named)]
        return max(begins, key=lambda one: (one.at, one.key == act.authority, one.key), default=Beginning(0, act.key))

    def _fold_beginning(self, key: str, above: Mapping[str, Beginning]) -> Beginning:
        element = self.element(key)
        own = Beginning((element.not_before or 0) if element else 0, key)
        return max([own, *above.values()], key=lambda one: (one.at, one.key == key, one.key))

    def issued_at_least(self, element: Element) -> Instant:
        """Return the time before which an element was not issued, although its source may split what it states.

        Usually that is its earliest issue time. But a fact whose ``issued_at`` is after its own occurrence, by more
        than the leeway, reports an issue that was still to come: then the facts that state no issue time do not make
        it earlier.
        """
        if len(element.facts) == 1:  # nearly every element
            return element.issued_at
        stated = [
            (issued_at, fact.event.occurred_at)
            for fact in element.facts
            if (issued_at := getattr(fact.event.body, "issued_at", None)) is not None
        ]
        if all(issued_at <= occurred_at + self.options.leeway for issued_at, occurred_at in stated):
            return element.issued_at
        earliest: Instant = min(stated)[0]
        return max(element.issued_at, earliest)

    def is_known(self, facts: tuple[Fact, ...]) -> bool:
        """Whether anything was known about a thing at the instant asked about."""
        if facts and facts[0].given_at <= int(self.at):  # nearly always; what is known stays so as time passes
            return True
        return any(fact.given_at <= self.at for fact in facts)

    # Depth

    def depth(self, key: str) -> DepthLeft | None:
        """Return the number of further delegations allowed below one; None for any number."""
        return self._depths.of(key)

    def _parents(self, key: str) -> list[str]:
        element = self.element(key)
        return self.granted_parents(element, "parent") if element else []

    def _fold_depth(self, key: str, above: Mapping[str, DepthLeft | None]) -> DepthLeft | None:
        element = self.element(key)
        limits = [DepthLeft(one.left - 1, one.limit) for one in above.values() if one is not None]
        if element is not None:
            if (most := element.first("max_depth")) is not None:
                limits.append(DepthLeft(most, key))
            delegator = str(element.first("delegator"))
            if (most := self.max_delegation_depth(delegator)) is not None:
                limits.append(DepthLeft(most - 1, f"principal:{self.party(delegator)}"))
        return min(limits, default=None)

    def max_delegation_depth(self, id_: str) -> int | None:
        """Return how deep a principal may delegate, by the first registration of its party."""
        for fact in self.world.principals.facts_of(id_):
            most = getattr(fact.event.body, "max_delegation_depth", None)
            if most is not None:
                return int(most)
        return None

    # Use

    def last_activity(self, key: str) -> Instant:
        """Return the last action under an element, or derivation from it, at any depth; -1 for never."""
        return self._activity.of(key)

    def _children(self, key: str) -> list[str]:
        return sorted(self.world.graph.children(key))

    def _fold_activity(self, key: str, below: Mapping[str, Instant]) -> Instant:
        used = self.tally.used.get(key)
        derived = [element.issued_at for child in below if (element := self.element(child)) is not None]
        return max(used.last if used else -1, *derived, *below.values(), -1)

    def needs_below(self, key: str) -> Needs:
        """Return the scopes needed under an element at any depth."""
        return self._needs.of(key)

    def _fold_needs(self, key: str, below: Mapping[str, Needs]) -> Needs:
        used = self.tally.used.get(key)
        last = dict(used.needed) if used else {}
        for needs in below.values():
            for scope, at in needs.last.items():
                last[scope] = max(at, last.get(scope, at))
        known = (used is None or used.needs_known) and all(needs.known for needs in below.values())
        return Needs(known, last)

    def reach_below(self, key: str, most: int) -> set[str] | None:
        """Return the living elements at or below a token or a name; None if there are certainly at most ``most``."""
        starts = set(self._struck(key, after=self.at))
        if sum(self._sizes.of(one) for one in starts) <= most:
            return None
        return {one for one in self.world.graph.below(starts, after=self.at) if self.is_alive(one)}

    def reach_of(self, key: str, most: int) -> ReachSize | None:
        """Summarise the living elements at or below a token or a name; None if there are certainly at most ``most``."""
        if self.reaches is not None:
            return self.reaches.of(key)
        elements = self.reach_below(key, most)
        return None if elements is None else reach_of(self.world, elements)

    def struck_by(self, key: str, most: int) -> set[str]:
        """Return everything at or below an order's direct hits, whatever its state.

        Empty if it is not more than ``most``.
        """
        starts = set(self._struck(key))
        if sum(self._sizes.of(one) for one in starts) <= most:
            return set()
        return self.world.graph.below(starts)

    def _struck(self, key: str, after: Instant = -1) -> Iterator[str]:
        kind, id_ = split_key(key)
        if kind in ("token", "delegation"):
            yield key
            return
        names = [f"principal:{member}" for member in self.world.principals.party(id_)]
        for name in names if kind == "principal" else [key]:
            yield from self.world.graph.naming(name, after=after)

    def _fold_size(self, key: str, below: Mapping[str, int]) -> int:
        """Return an upper bound of the elements at or below one, and of the agents that they name.

        An element with two parents counts twice. In a cycle everything is below each of its members: there is no bound.
        """
        if self._sizes.is_in_cycle(key):
            return sys.maxsize
        return most_added(self.element(key)) + sum(below.values())

    def any_granted_parent(self, element: Element) -> bool:
        """Whether an element depends on anything that was granted."""
        return any(parent != element.key and self.world.graph.granted(parent) for parent in element.parents)

    def is_anything_alive_below(self, key: str) -> bool:
        """Whether an element, or anything below it, is alive."""
        graph = self.world.graph
        nearest, entered = [key], {key}
        while nearest:
            if any(self.is_alive(one) for one in nearest):
                return True
            fresh = {child for one in nearest for child in graph.children(one)} - entered
            entered |= fresh
            nearest = [child for child in fresh if graph.until[child] > self.at]
        return False

    # Orders

    def ending(self, key: str, moment: Instant) -> list[Order]:
        """Return the orders that count for an element at an instant: in effect then, and before its end."""
        if not self.world.orders or (self.whole and key not in self.affected):
            return []
        element = self.element(key)
        return counting(Cascade(self.world, (key,), moment).killing(key), element.ends_at if element else NEVER)

    @cached_property
    def affected(self) -> set[str]:
        """Everything that any order could ever end."""
        return self.world.graph.below({key for aim in self.world.orders.by_target for key in targets(self.world, aim)})

    def state(self, key: str, moment: Instant | None = None) -> State:
        """The state of an element."""
        moment = self.at if moment is None else moment
        if self.whole and key not in self.affected:
            return own_state(self.element(key), moment)
        return verdict_of(self.world, key, moment).state

    def is_alive(self, key: str) -> bool:
        """Whether an element is alive at the instant asked about, and nothing that it depends on has ended."""
        if self.whole and key not in self.affected:  # no order ends it, so nothing but time does
            return self.element(key) is not None and self.end(key).at > self.at
        return self.state(key) in ALIVE and self.end(key).at > self.at

    def is_revoked(self, key: str) -> bool:
        """Whether an element was revoked, by itself or with what it depends on."""
        return self.state(key) in _REVOKED

    def alive_naming(self, id_: str) -> Iterator[str]:
        """Yield the living elements that name a principal or an alias, in an order determined by the facts."""
        for member in sorted(self.world.principals.party(id_)):
            for key in sorted(self.world.graph.naming(f"principal:{member}", after=self.at)):
                if self.is_alive(key):
                    yield key
