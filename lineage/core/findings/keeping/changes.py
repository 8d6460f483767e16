"""The changes by a batch of facts: the elements, decisions and actions it is about, and their contributions."""

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from lineage.core.authority.elements import FactsByKey, granted_key
from lineage.core.authority.targets import aliases, targets
from lineage.core.findings.keeping.marks import Marks
from lineage.core.findings.keeping.neighbourhoods import EVERYTHING, Aspect
from lineage.core.findings.keeping.sharing import sharing_texts
from lineage.core.findings.options import Options
from lineage.core.findings.rules.rule import KEY, PRINCIPAL, RECEIVER, REVOCATION
from lineage.core.findings.scene.entering import (
    action_entries,
    decision_entry,
    element_entry,
    enter_fact,
    enter_policies,
    enter_scopes,
)
from lineage.core.findings.scene.ledger import Ledger, Stirred
from lineage.core.findings.scene.scene import IngestionFacts, Scene
from lineage.core.findings.scene.tally import SourceTally
from lineage.core.model.events import (
    ActionPerformed,
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
    TokenIssued,
    WorkloadBound,
)
from lineage.core.model.keys import key_of, split_key
from lineage.core.model.times import NEVER, Instant

_TOGETHER: Final = 8_192  # actions among which alike ones are entered together


@dataclass(slots=True)
class ChangeSet:
    """The things that a batch of facts is about, and those that it changes."""

    granted: dict[str, None] = field(default_factory=dict)  # elements, in the order of their facts
    elements: set[str] = field(default_factory=set)  # whose facts or parties changed
    decisions: set[str] = field(default_factory=set)  # ids
    actions: set[str] = field(default_factory=set)  # ids
    principals: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)  # revocations
    receivers: bool = False
    judged: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    new_sources: set[str] = field(default_factory=set)
    recorded_earlier: set[str] = field(default_factory=set)  # sources
    scopes: set[str] = field(default_factory=set)  # never stated before
    policies: dict[tuple[str, str], Instant] = field(default_factory=dict)  # the earliest new version of each
    below: set[str] = field(default_factory=set)  # the elements, and everything below them
    ordered: set[str] = field(default_factory=set)  # everything at or below the targets


class Changes:
    """Adds facts to a scene, and determines what they change.

    Attributes:
        policies: The decisions by a policy, by source and policy.
    """

    def __init__(self, scene: Scene, ledger: Ledger, options: Options, marks: Marks, alive: AbstractSet[str]) -> None:
        """Start without facts.

        Args:
            scene: Receives the facts.
            ledger: Receives the contributions of the facts to the aggregates.
            options: The settings.
            marks: Receives the things to evaluate again.
            alive: The elements that are alive, kept up to date elsewhere.
        """
        self._scene = scene
        self._world = scene.world
        self._ledger = ledger
        self._options = options
        self._marks = marks
        self._alive = alive
        # By what they name: the ids of actions and of decisions, perhaps more than once, and the keys of other things.
        self._actions_naming: defaultdict[str, list[str]] = defaultdict(list)
        self._decisions_naming: defaultdict[str, list[str]] = defaultdict(list)
        self._mentions: defaultdict[str, set[str]] = defaultdict(set)
        self.policies: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    # The subjects of facts

    def take(self, fact: Fact, batch: ChangeSet) -> None:
        """Add a fact, and note its subject; do nothing if it is known already."""
        body, source = fact.event.body, fact.event.source
        alike = self._alike(fact)
        known = next((one for one in alike if one.event == fact.event), None) if alike else None
        if known is not None and known.recorded_at <= fact.recorded_at:
            return
        fact = sharing_texts(fact)
        body = fact.event.body
        batch.sources.add(source)
        if known is None:
            if source not in self._scene.tally.sources:
                batch.new_sources.add(source)
            enter_fact(self._scene.tally.sources[source], fact, self._options)
        else:
            batch.recorded_earlier.add(source)
        self._world.add(fact)
        match body:
            case TokenIssued() | DelegationGranted():
                self._take_grant(fact, body, batch)
            case ActionPerformed():
                batch.actions.add(body.action)
                _list_under(self._actions_naming, _named_by(body), body.action)
            case DecisionMade():
                batch.decisions.add(body.decision)
                named = [body.actor, body.on_behalf_of, body.workload, body.approved_by, *body.prior_actors]
                _list_under(self._decisions_naming, named, body.decision)
                if body.policy is not None and body.policy.version is not None:
                    self.policies[source, body.policy.id].add(body.decision)
            case PrincipalRegistered():
                batch.principals |= {body.principal, *body.aliases}
            case WorkloadBound():
                batch.principals |= {body.agent, body.workload}
                if body.key_thumbprint is not None:
                    self._marks.aspects[f"{KEY}:{body.key_thumbprint}"] |= Aspect.OWN
            case RevocationOrdered():
                self._mention(f"{REVOCATION}:{body.revocation}", body.ordered_by, body.approved_by)
                batch.targets.add(key_of(body.target.kind, body.target.id))
                batch.answered.add(body.revocation)
                self._marks.mark_party(body.ordered_by, Aspect.OWN)
            case RevocationLifted():
                self._mention(f"{REVOCATION}:{body.revocation}", body.lifted_by, body.approved_by)
                batch.answered.add(body.revocation)
            case RevocationAcknowledged():
                batch.answered.add(body.revocation)
            case ReceiverRegistered():
                batch.receivers = True
                self._marks.aspects[f"{RECEIVER}:{body.receiver}"] |= Aspect.OWN
            case FindingJudged():
                batch.judged.add(body.finding)

    def _take_grant(self, fact: Fact, body: TokenIssued | DelegationGranted, batch: ChangeSet) -> None:
        key = str(granted_key(body))
        batch.granted[key] = None
        if isinstance(body, DelegationGranted):
            self._mention(key, body.approved_by)
        if not self._scene.tally.scopes.issuperset(body.scopes):
            batch.scopes.update(scope for scope in body.scopes if scope not in self._scene.tally.scopes)
            enter_scopes(self._scene.tally, (fact,))

    def _alike(self, fact: Fact) -> tuple[Fact, ...]:
        """Return the known facts about the subject of a fact."""
        world, body = self._world, fact.event.body
        index: FactsByKey
        match body:
            case TokenIssued() | DelegationGranted():
                index, key = world.graph.facts, str(granted_key(body))
            case ActionPerformed():
                index, key = world.actions, body.action
            case DecisionMade():
                index, key = world.decisions, body.decision
            case PrincipalRegistered():
                index, key = world.principals.registrations, body.principal
            case WorkloadBound():
                index, key = world.principals.bindings, body.agent
            case RevocationOrdered():
                index, key = world.orders.by_id, body.revocation
            case RevocationLifted():
                index, key = world.orders.lifts, body.revocation
            case RevocationAcknowledged():
                index, key = world.receivers.acknowledgements, body.revocation
            case ReceiverRegistered():
                index, key = world.receivers.registrations, body.receiver
            case FindingJudged():
                index, key = world.judgements, body.finding
            case CaseChanged():
                index, key = world.cases, body.case
            case HoldChanged():
                index, key = world.holds, body.hold
            case RecordsDeleted():
                index, key = world.deletions, body.deletion
            case CheckpointKeyRotated():
                index, key = world.key_rotations, body.log
            case _:
                return ()
        return index.get(key)

    def _mention(self, key: str, *ids: str | None) -> None:
        for id_ in ids:
            if id_ is not None:
                self._mentions[id_].add(key)

    def notice(self, intake: IngestionFacts, batch: ChangeSet) -> None:
        """Replace the observations of ingestion, and note the sources that they concern."""
        before = self._scene.intake
        self._scene.intake = intake
        for one in (before, intake):
            noticed = [*one.unauthorised, *(fact for pair in one.holes for fact in pair)]
            noticed += [fact for group in one.conflicts for fact in group]
            batch.sources |= {fact.event.source for fact in noticed}
            batch.sources |= {sent.source for sent in one.credentials}
        if before.known_prefixes != intake.known_prefixes:
            self._marks.mark(self._ledger.elements, Aspect.ISSUER)

    def add_up_again(self, source: str) -> None:
        """Compute the aggregates of a source again, because some of its facts were recorded earlier than was known."""
        tally = self._scene.tally
        before = tally.sources[source]
        tally_of_source = tally.sources[source] = SourceTally()
        tally_of_source.names_authority, tally_of_source.unattributed = before.names_authority, before.unattributed
        if (sample := before.samples.get("unattributed")) is not None:
            tally_of_source.samples["unattributed"] = sample
        for fact in {fact for fact in self._world.facts() if fact.event.source == source}:
            enter_fact(tally_of_source, fact, self._options)

    # The changes

    def spread(self, batch: ChangeSet) -> None:
        """Find the elements, decisions and actions that facts change."""
        world, graph = self._world, self._world.graph
        batch.elements.update(batch.granted)
        if batch.principals:
            self._spread_parties(batch)
        batch.below = graph.below(batch.elements)
        for key in batch.below:
            batch.decisions |= world.decided.get(key, set())
        uses = [*batch.below, *(f"decision:{id_}" for id_ in batch.decisions)]
        for key in uses:
            batch.actions |= world.uses.get(key, set())
        caused = [other.key for id_ in batch.actions for other in self._ledger.caused_by(id_)]
        self._marks.mark(caused, Aspect.OWN)
        if batch.targets or batch.answered or batch.receivers:
            self._spread_orders(batch)
        self._extend_affected(batch)

    def _spread_parties(self, batch: ChangeSet) -> None:
        world, graph = self._world, self._world.graph
        self._scene.forget_registers()
        members = {member for id_ in batch.principals for member in world.principals.party(id_)}
        bound = {fact.event.body for id_ in members for fact in world.principals.bindings.get(id_)}
        running = {id_ for body in bound if isinstance(body, WorkloadBound) for id_ in (body.agent, body.workload)}
        members |= {member for id_ in running for member in world.principals.party(id_)}
        owned = {id_ for member in members for id_ in world.principals.owned.get(member, ())}
        owned = {member for id_ in owned for member in world.principals.party(id_)}
        if self._scene.reaches is not None:
            self._scene.reaches.forget(f"{PRINCIPAL}:{id_}" for id_ in members)
        for id_ in members | owned:
            self._marks.aspects[f"{PRINCIPAL}:{id_}"] |= Aspect.OWN
            batch.elements.update(graph.naming(f"principal:{id_}"))
        for id_ in members:
            batch.elements.update(graph.naming(f"client:{id_}"))
            batch.elements |= graph.asserted.get(id_, set())
            for fact in world.principals.bindings.get(id_):
                if (key := getattr(fact.event.body, "key_thumbprint", None)) is not None:
                    self._marks.aspects[f"{KEY}:{key}"] |= Aspect.OWN
                    batch.actions.update(self._actions_naming.get(f"{KEY}:{key}", ()))
            if f"principal:{id_}" in world.orders.by_target:
                batch.targets.add(f"principal:{id_}")
            batch.actions.update(self._actions_naming.get(id_, ()))
            batch.decisions.update(self._decisions_naming.get(id_, ()))
            for key in self._mentions.get(id_, ()):
                if split_key(key)[0] == REVOCATION:
                    self._marks.aspects[key] |= Aspect.OWN
                else:
                    batch.elements.add(key)

    def _spread_orders(self, batch: ChangeSet) -> None:
        world, graph, scene = self._world, self._world.graph, self._scene
        issuers = scene.known_issuers
        scene.forget_registers()
        for id_ in batch.answered:
            self._marks.aspects[f"{REVOCATION}:{id_}"] |= Aspect.OWN
            facts = world.orders.by_id.get(id_)
            batch.targets |= {key_of(*fact.event.body.target) for fact in facts}  # type: ignore[union-attr]
        if batch.receivers:
            self._marks.mark(self._alive, Aspect.ALIVE)
            answered = {*world.orders.by_id, *world.receivers.acknowledgements}
            self._marks.mark((f"{REVOCATION}:{id_}" for id_ in answered), EVERYTHING)
            for issuer in issuers ^ scene.known_issuers:
                self._marks.mark((one.key for one in self._ledger.issued_by(issuer)), Aspect.ISSUER)
        hit: set[str] = set()
        for target in batch.targets:
            hit.update(targets(world, target))
            for name in aliases(world, target):
                kind, id_ = split_key(name)
                if kind == PRINCIPAL:
                    self._marks.mark(graph.asserted.get(id_, ()), Aspect.ORDERS)
                    for owned in world.principals.owned.get(id_, ()):
                        self._marks.mark_party(owned, Aspect.ORDERS)
        batch.ordered = graph.below(hit)
        scene.affected |= batch.ordered
        self._marks.mark(batch.ordered, Aspect.ORDERS)
        self._marks.mark((f"action:{id_}" for id_ in world.actions_naming(batch.ordered)), Aspect.ORDERS)

    def _extend_affected(self, batch: ChangeSet) -> None:
        """Determine which changed elements orders can end."""
        world, affected = self._world, self._scene.affected
        if not world.orders:
            return
        aimed_at = world.orders.by_target
        seeds = set()
        for key in batch.below - affected:
            element = world.graph.element(key)
            names = element.names if element is not None else ()
            if (
                key in aimed_at
                or any(parent in affected for parent in world.graph.parents(key))
                or any(alias in aimed_at for name in names for alias in aliases(world, name))
            ):
                seeds.add(key)
        affected |= world.graph.below(seeds)

    def enter(self, batch: ChangeSet) -> Stirred:
        """Enter the contributions of the changed things into the aggregates."""
        scene, ledger = self._scene, self._ledger
        scene.forget(batch.below, set())
        for key in (*batch.granted, *(batch.below - batch.granted.keys())):  # nearly always parents first
            ledger.element(key, element_entry(scene, key))
        for id_ in batch.decisions:
            self._enter_policies(id_, batch)
            ledger.decision(f"decision:{id_}", decision_entry(scene, f"decision:{id_}"))
        waiting = iter(batch.actions)
        while ids := list(islice(waiting, _TOGETHER)):
            alone, alike = action_entries(scene, (f"action:{id_}" for id_ in ids))
            for key, action in alone.items():
                ledger.action(key, action)
            for group in alike:
                ledger.alike(group)
        return ledger.settle()

    def _enter_policies(self, decision: str, batch: ChangeSet) -> None:
        tally = self._scene.tally
        facts = self._world.decisions.get(decision)
        for fact in facts:
            policy = fact.event.body.policy if isinstance(fact.event.body, DecisionMade) else None
            if policy is not None and policy.version is not None:
                alike = fact.event.source, policy.id
                known = tally.policies.get(alike, {}).get(policy.version, NEVER)
                if fact.event.occurred_at < known:
                    latest = fact.event.occurred_at if known == NEVER else known
                    batch.policies[alike] = max(latest, batch.policies.get(alike, latest))
        enter_policies(tally, facts)


def _named_by(body: ActionPerformed) -> list[str | None]:
    """Return the principals and the key that an action names."""
    named = [body.actor, body.on_behalf_of, body.workload, *body.prior_actors]
    if body.tool is not None:
        named += [body.tool, f"service:{body.tool}"]
    if body.key_thumbprint is not None:
        named.append(f"{KEY}:{body.key_thumbprint}")
    return named


def _list_under(lists: defaultdict[str, list[str]], names: Iterable[str | None], id_: str) -> None:
    """Add the id of a thing to the lists of what it names; once if it is only repeated."""
    for name in names:
        if name is not None:
            members = lists[name]
            if not members or members[-1] != id_:
                members.append(id_)
