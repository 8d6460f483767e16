"""A world: the indexed facts that a question is answered from. Pure: facts may be added in any order and repeatedly."""

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Final

from lineage.core.authority.elements import FactIndex, FactsByKey, Stated, first_stated
from lineage.core.authority.graph import AuthorityGraph
from lineage.core.authority.orders import Orders
from lineage.core.authority.principals import Principals
from lineage.core.authority.receivers import Receivers
from lineage.core.model.events import (
    ActionPerformed,
    Body,
    CaseChanged,
    CheckpointKeyRotated,
    DecisionMade,
    DelegationGranted,
    Fact,
    FindingJudged,
    HoldChanged,
    PrincipalRegistered,
    ReceiverRegistered,
    RecordsDeleted,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
    StatusList,
    TokenIssued,
    WorkloadBound,
)
from lineage.core.model.grants import FactInParts
from lineage.core.model.maps import ACTIONS, DECISIONS, ELEMENTS, IN_MEMORY, Maps
from lineage.core.model.references import acting
from lineage.core.model.times import Instant
from lineage.core.model.trust import TrustTable, authorised

# The number of other tokens at one entry that a finding names; beyond this it only says that there are more.
MOST_SHARING: Final = 100
LARGEST: Final = 2**24  # The number of entries of a list; a larger index is invalid.


class World:
    """Everything that is known: the authority graph, orders, principals, receivers, decisions and actions."""

    def __init__(
        self,
        facts: Iterable[Fact] = (),
        *,
        trust: TrustTable | None = None,
        known_at: Instant | None = None,
        maps: Maps = IN_MEMORY,
    ) -> None:
        """Add the facts that the trust table allows and that were recorded by ``known_at`` (None for all)."""
        self.trust = trust
        self.known_at = known_at
        self.graph = AuthorityGraph(maps)
        self.orders = Orders(trust)
        self.principals = Principals()
        self.receivers = Receivers()
        self.listings = Listings()
        self.judgements = FactIndex()
        self.cases = FactIndex()
        self.holds = FactIndex()
        self.deletions = FactIndex()
        self.key_rotations = FactIndex()
        self.decisions = FactIndex(maps.of_values(DECISIONS))
        self.actions = FactIndex(maps.of_values(ACTIONS))
        self.uses = maps.of_collections(ELEMENTS, set[str])  # element key or decision:ID -> actions that name it
        self.decided = maps.of_collections(ELEMENTS, set[str])  # element key -> decisions that name it
        self.latest: Instant = 0  # when its latest fact was recorded
        for fact in facts:
            self.add(fact)

    def add(self, fact: Fact) -> None:
        """Add a fact, if it is authorised and known."""
        if not authorised(fact, self.trust) or (self.known_at is not None and fact.recorded_at > self.known_at):
            return
        self.latest = max(self.latest, fact.recorded_at)
        if isinstance(fact, FactInParts):  # its token has no status list
            self.graph.add(fact)
            return
        body = fact.event.body
        if isinstance(body, ActionPerformed):  # most facts
            self.actions.add(body.action, fact)
            for key in authorities_of(body):
                self.uses[key].add(body.action)
            if body.decision is not None:
                self.uses[f"decision:{body.decision}"].add(body.action)
        elif isinstance(body, TokenIssued | DelegationGranted):
            self.graph.add(fact)
            if isinstance(body, TokenIssued) and body.status_list is not None:
                self.listings.add(body, fact.event.occurred_at)
        elif isinstance(body, RevocationOrdered | RevocationLifted):
            self.orders.add(fact)
        elif isinstance(body, PrincipalRegistered | WorkloadBound):
            self.principals.add(fact)
        elif isinstance(body, ReceiverRegistered | RevocationAcknowledged):
            self.receivers.add(fact)
        elif isinstance(body, DecisionMade):
            self.decisions.add(body.decision, fact)
            for key in authorities_of(body):
                self.decided[key].add(body.decision)
        elif isinstance(body, FindingJudged):
            self.judgements.add(body.finding, fact)
        elif isinstance(body, CaseChanged):
            self.cases.add(body.case, fact)
        elif isinstance(body, HoldChanged):
            self.holds.add(body.hold, fact)
        elif isinstance(body, RecordsDeleted):
            self.deletions.add(body.deletion, fact)
        elif isinstance(body, CheckpointKeyRotated):
            self.key_rotations.add(body.log, fact)

    def add_grants(self, facts: Iterable[Fact]) -> None:
        """Add very many facts that grant elements, like ``add``."""
        in_parts: list[Fact] = []
        for fact in facts:
            if not isinstance(fact, FactInParts):
                self.add(fact)
            elif authorised(fact, self.trust) and (self.known_at is None or fact.recorded_at <= self.known_at):
                in_parts.append(fact)
        self.graph.add_all(in_parts)
        self.latest = max(self.latest, max(map(attrgetter("recorded_at"), in_parts), default=0))

    def add_authority(self, fact: Fact) -> None:
        """Add a fact unless it is an action or a decision, on which no element's state depends."""
        if not isinstance(fact.event.body, ActionPerformed | DecisionMade):
            self.add(fact)

    def as_known_at(self, known_at: Instant) -> "World":
        """Return this world restricted to the facts recorded by an earlier instant."""
        return self if self.latest <= known_at else World(self.facts(), trust=self.trust, known_at=known_at)

    def facts(self) -> Iterator[Fact]:
        """Iterate over the facts of this world."""
        for index in self._indexes():
            for key in index:
                yield from index.get(key)

    def settle(self) -> None:
        """Sort the lazily sorted indexes now, so that any number of threads may read afterwards."""
        for index in (*self._indexes(), self.orders.by_id):
            for key in index:
                index.get(key)

    def _indexes(self) -> tuple[FactsByKey, ...]:
        """The indexes that together contain every fact."""
        return (
            self.graph.facts,
            self.orders.by_target,
            self.orders.lifts,
            self.principals.registrations,
            self.principals.bindings,
            self.receivers.registrations,
            self.receivers.acknowledgements,
            self.judgements,
            self.cases,
            self.holds,
            self.deletions,
            self.key_rotations,
            self.decisions,
            self.actions,
        )

    def action_field(self, action: str, field: str) -> Stated | None:
        """Return what an action, or else its decision, states about a field that both have."""
        facts = self.actions.get(action)
        return first_stated(facts, field) or first_stated(self.decision_facts(facts), field)

    def decision_facts(self, action_facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
        """Return the facts about the decision that an action names."""
        named = first_stated(action_facts, "decision")
        return self.decisions.get(named.value) if named else ()

    def authorities_named(self, action: str) -> list[str]:
        """List the elements that an action names, in order of precedence as its authority.

        Its token, its delegation, its decision's token, its decision's delegation (clause 7.7).
        """
        facts = self.actions.get(action)
        return _named_by(facts, self.decision_facts(facts))

    def authority(self, action: str) -> str | None:
        """Return the authority of an action: the first granted element it names, else the first named, or None."""
        return self._authority(self.authorities_named(action))

    def stated_authority(self, action_facts: tuple[Fact, ...], decision_facts: tuple[Fact, ...]) -> str | None:
        """Return the authority of an action according to some facts about it and its decision."""
        return self._authority(_named_by(action_facts, decision_facts))

    def _authority(self, named: list[str]) -> str | None:
        return next((key for key in named if self.graph.granted(key)), named[0] if named else None)

    def acted(self, action: str) -> set[str]:
        """Return the ids of an action's actors according to any fact; if none states an actor, its decision's too."""
        facts = self.actions.get(action)
        bodies = [fact.event.body for fact in facts]
        if all(isinstance(body, ActionPerformed) and body.actor is None for body in bodies):
            bodies += [fact.event.body for fact in self.decision_facts(facts)]
        return {id_ for body in bodies if isinstance(body, ActionPerformed | DecisionMade) for id_ in acting(body)}

    def actions_under(self, keys: Iterable[str]) -> set[str]:
        """Return the actions whose authority is one of some elements."""
        elements = keys if isinstance(keys, set | frozenset) else set(keys)
        return {action for action in self.actions_naming(elements) if self.authority(action) in elements}

    def actions_naming(self, keys: Iterable[str]) -> set[str]:
        """Return the actions that any fact, or any about their decision, places under one of some elements."""
        elements = keys if isinstance(keys, set | frozenset) else set(keys)
        candidates: set[str] = set()
        for key in self.uses.keys() & elements:
            candidates |= self.uses[key]
        for key in self.decided.keys() & elements:
            for decision in self.decided[key]:
                candidates |= self.uses.get(f"decision:{decision}", set())
        return candidates


def _named_by(action_facts: tuple[Fact, ...], decision_facts: tuple[Fact, ...]) -> list[str]:
    return [
        f"{kind}:{named.value}"
        for group in (action_facts, decision_facts)
        for kind in ("token", "delegation")
        if (named := first_stated(group, kind)) is not None
    ]


def authorities_of(body: Body) -> list[str]:
    """Return the elements that one fact about an action or a decision names as its authority."""
    named: list[str] = []
    if not isinstance(body, ActionPerformed | DecisionMade):
        return named
    if body.token is not None:
        named.append(f"token:{body.token}")
    if body.delegation is not None:
        named.append(f"delegation:{body.delegation}")
    return named


def is_listed(idx: int) -> bool:
    """Whether an index is valid in a list."""
    return 0 <= idx < LARGEST


class Listings:
    """Tokens by status list entry, and the length of each list.

    Attributes:
        tokens: The keys of the tokens that claim an entry; more than one is a conflict.
        last: The highest valid index of each list, by its URI.
        since: When the first token of each list was issued.
    """

    def __init__(self) -> None:
        """Start without lists."""
        self.tokens: dict[StatusList, tuple[str, ...]] = {}
        self.last: dict[str, int] = {}
        self.since: dict[str, Instant] = {}

    def add(self, body: TokenIssued, occurred_at: Instant) -> None:
        """Add the entries that one event claims for a token."""
        place = body.status_list
        if place is None:
            return
        key = f"token:{body.token}"
        known = self.tokens.get(place, ())
        if key not in known:
            self.tokens[place] = (*known, key)
        if is_listed(place.idx):
            self.last[place.uri] = max(place.idx, self.last.get(place.uri, 0))
            issued_at = occurred_at if body.issued_at is None else body.issued_at
            self.since[place.uri] = min(issued_at, self.since.get(place.uri, issued_at))
