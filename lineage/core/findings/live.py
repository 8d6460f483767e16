"""Findings kept up to date as facts come and time passes: exact after every batch. Pure.

A batch of facts changes elements, decisions and actions. Their contributions to the aggregates are replaced, each
change marks the things around it with the aspect that changed, and the rules that look at this aspect are evaluated for
each marked thing (``neighbourhoods.py``). Every evaluation states until when it holds if no fact comes (``clock.py``),
so that the passing of time costs only what is due.

The result is that of ``evaluate`` over the same facts at the same moment, whatever the order and the batches in which
they came.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain
from typing import Final

from lineage.core.authority.elements import FactIndex, granted_key
from lineage.core.authority.findings import Finding
from lineage.core.authority.status_list_index import MOST_SHARING
from lineage.core.authority.targets import aliases, orders_hitting, targets
from lineage.core.authority.world import World
from lineage.core.findings.catalogue import RULES, is_on, severity_of
from lineage.core.findings.clock import Horizon, Moving
from lineage.core.findings.entering import (
    action_entry,
    decision_entry,
    element_entry,
    enter_fact,
    enter_policies,
    enter_scopes,
)
from lineage.core.findings.evaluation import (
    REPEAT,
    Report,
    doer,
    is_known,
    is_subject,
    others,
    subject_of,
    why_not,
    without_input,
)
from lineage.core.findings.finding import merge
from lineage.core.findings.judging import SUPPRESSED, status_of
from lineage.core.findings.ledger import Ledger, Stirred
from lineage.core.findings.neighbourhoods import EVERYTHING, Aspect, neighbourhood
from lineage.core.findings.options import DAY, Options
from lineage.core.findings.reaches import Reaches
from lineage.core.findings.rules import KEY, PRINCIPAL, RECEIVER, REVOCATION, RULE, SOURCE, Rule
from lineage.core.findings.scene import Intake, Scene
from lineage.core.findings.tally import SourceTally
from lineage.core.model.events import (
    ActionPerformed,
    DecisionMade,
    DelegationGranted,
    Fact,
    FindingJudged,
    PrincipalRegistered,
    ReceiverRegistered,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
    TokenIssued,
    WorkloadBound,
)
from lineage.core.model.keys import key_of, split_key
from lineage.core.model.severities import Severity
from lineage.core.model.times import NEVER, Instant
from lineage.core.model.trust import TrustTable, authorised

# Rules that are evaluated also while what they need is missing, because it may come and go with every fact.
_ALWAYS: Final = frozenset({"action-without-decision"})
_SAMPLE: Final = 32  # of so many looks at a thing one is measured


@dataclass(slots=True)
class _Batch:
    """What a batch of facts is about, and the things that it changes."""

    granted: set[str] = field(default_factory=set)  # elements
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


class LiveFindings:
    """All findings of a growing set of facts, at a moment that passes.

    Attributes:
        at: The moment that they are true at.
        world: The facts.
        findings: The findings, by id.
        status: The status of each.
        not_evaluated: Why rules were not evaluated, by kind.
        seconds: How long each rule took, estimated from a sample.
    """

    def __init__(
        self,
        options: Options,
        *,
        trust: TrustTable | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        """Start without facts.

        Args:
            options: The settings.
            trust: Decides which facts count.
            monotonic: Measures how long rules take; None to measure nothing.
        """
        self.at: Instant = 0
        self.world = World(trust=trust)
        self.findings: dict[str, Finding] = {}
        self.status: dict[str, str] = {}
        self.not_evaluated: dict[str, str] = {}
        self._missing_of: dict[str, str] = {}  # rules that cannot be evaluated, and why
        self.seconds: dict[str, float] = {}
        self._monotonic = monotonic
        self._looks = 0
        self._horizon = Horizon()
        self._scene = Scene(self.world, options, Moving.at(0, self._horizon), whole=True)
        vars(self._scene)["affected"] = set()
        self._scene.reaches = Reaches(
            self.world, self._scene.reach_below, min(options.reach_elements, options.reach_agents)
        )
        self._options = options
        self._ledger = Ledger(self._scene.tally, self.world.graph, options.history)
        self._mentions: defaultdict[str, set[str]] = defaultdict(set)  # id -> what names it and is no element's name
        self._policies: defaultdict[tuple[str, str], set[str]] = defaultdict(set)  # -> decisions
        self._usual: dict[tuple[str, str], dict[int, bool]] = {}
        self._alive: set[str] = set()
        self._marks: defaultdict[str, int] = defaultdict(int)
        self._found: dict[str, dict[str, tuple[Finding, ...]]] = {}  # by thing, by rule
        self._by_id: dict[str, dict[tuple[str, str], tuple[Finding, ...]]] = {}
        self._by_kind: defaultdict[str, set[str]] = defaultdict(set)
        self._merged: dict[str, Finding] = {}  # whether or not their rules can be evaluated
        self._serious: defaultdict[str, dict[str, Finding]] = defaultdict(dict)  # by party
        self._party: dict[str, str] = {}  # of a serious finding
        self._due_marks = _Due()
        self._due_alive = _Due()
        self._due_status = _Due()
        self._rules: dict[tuple[str, int], tuple[Rule, ...]] = {}
        self._on = tuple(rule for rule in RULES.values() if is_on(rule, options) and rule.kind != REPEAT)
        for each in options.exempted:
            self._marks[f"{RULE}:{each.rule}"] = EVERYTHING

    @property
    def due_at(self) -> Instant:
        """The earliest moment at which anything may change by itself."""
        return min(self._due_marks.next, self._due_alive.next, self._due_status.next)

    def report(self) -> Report:
        """Return the findings as an evaluation reports them."""
        return Report(dict(self.findings), dict(self.not_evaluated))

    def advance(self, facts: Iterable[Fact], at: Instant, intake: Intake | None = None) -> set[str]:
        """Take facts in, and let the time pass to a moment; return the ids of the findings that may have changed.

        Args:
            facts: New facts, and those that were recorded earlier than was known.
            at: The moment; never before an earlier one, nor before any fact was recorded.
            intake: What ingestion noticed; None for nothing new.

        Cost:
            What the facts change and what is due, times what is around each; not the number of facts before.
        """
        scene, batch = self._scene, _Batch()
        counting = [fact for fact in facts if authorised(fact, self.world.trust)]
        self.at = max(at, self.at, *(fact.recorded_at for fact in counting)) if counting else max(at, self.at)
        scene.at = Moving.at(self.at, self._horizon)
        decided, people = scene.tally.decisions > 0, scene.people_are_registered
        for fact in counting:
            self._take(fact, batch)
        if intake is not None:
            self._notice(intake, batch)
        for source in batch.recorded_earlier:
            self._source_again(source)
        self._spread(batch)
        stirred = self._enter(batch)
        self._live_and_die(batch, stirred)
        self._mark_around(batch, stirred)
        if decided != (scene.tally.decisions > 0):
            undecided = (one.key for one in self._ledger.actions.values() if one.undecided and one.decision is not None)
            self._mark_all(undecided, Aspect.SOURCE)
        if people != scene.people_are_registered:
            self._mark_all((f"{PRINCIPAL}:{id_}" for id_ in self.world.principals.registrations), Aspect.OWN)
        for key, aspect in self._due_marks.reached(self.at):
            self._marks[key] |= aspect
        return self._settle(batch)

    # What facts are about

    def _take(self, fact: Fact, batch: _Batch) -> None:
        body, source = fact.event.body, fact.event.source
        known = next((one for one in self._alike(fact) if one.event == fact.event), None)
        if known is not None and known.recorded_at <= fact.recorded_at:
            return
        batch.sources.add(source)
        if known is None:
            if source not in self._scene.tally.sources:
                batch.new_sources.add(source)
            enter_fact(self._scene.tally.sources[source], fact, self._options)
        else:
            batch.recorded_earlier.add(source)
        self.world.add(fact)
        match body:
            case TokenIssued() | DelegationGranted():
                self._take_grant(fact, body, batch)
            case ActionPerformed():
                batch.actions.add(body.action)
                self._mention(f"action:{body.action}", body.actor, body.on_behalf_of, body.workload, *body.prior_actors)
                if body.tool is not None:
                    self._mention(f"action:{body.action}", body.tool, f"service:{body.tool}")
                if body.key_thumbprint is not None:
                    self._mention(f"action:{body.action}", f"{KEY}:{body.key_thumbprint}")
            case DecisionMade():
                batch.decisions.add(body.decision)
                key = f"decision:{body.decision}"
                self._mention(key, body.actor, body.on_behalf_of, body.workload, body.approved_by, *body.prior_actors)
                if body.policy is not None and body.policy.version is not None:
                    self._policies[source, body.policy.id].add(body.decision)
            case PrincipalRegistered():
                batch.principals |= {body.principal, *body.aliases}
            case WorkloadBound():
                batch.principals |= {body.agent, body.workload}
                if body.key_thumbprint is not None:
                    self._marks[f"{KEY}:{body.key_thumbprint}"] |= Aspect.OWN
            case RevocationOrdered():
                self._mention(f"{REVOCATION}:{body.revocation}", body.ordered_by, body.approved_by)
                batch.targets.add(key_of(body.target.kind, body.target.id))
                batch.answered.add(body.revocation)
                self._mark_party(body.ordered_by, Aspect.OWN)
            case RevocationLifted():
                self._mention(f"{REVOCATION}:{body.revocation}", body.lifted_by, body.approved_by)
                batch.answered.add(body.revocation)
            case RevocationAcknowledged():
                batch.answered.add(body.revocation)
            case ReceiverRegistered():
                batch.receivers = True
                self._marks[f"{RECEIVER}:{body.receiver}"] |= Aspect.OWN
            case FindingJudged():
                batch.judged.add(body.finding)

    def _take_grant(self, fact: Fact, body: TokenIssued | DelegationGranted, batch: _Batch) -> None:
        key = str(granted_key(body))
        batch.granted.add(key)
        if isinstance(body, DelegationGranted):
            self._mention(key, body.approved_by)
        batch.scopes.update(scope for scope in body.scopes if scope not in self._scene.tally.scopes)
        enter_scopes(self._scene.tally, (fact,))

    def _alike(self, fact: Fact) -> tuple[Fact, ...]:
        """The known facts about what a fact is about."""
        world, body = self.world, fact.event.body
        index: FactIndex
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
            case _:
                return ()
        return index.get(key)

    def _mention(self, key: str, *ids: str | None) -> None:
        for id_ in ids:
            if id_ is not None:
                self._mentions[id_].add(key)

    def _notice(self, intake: Intake, batch: _Batch) -> None:
        before = self._scene.intake
        self._scene.intake = intake
        for one in (before, intake):
            noticed = [*one.unauthorised, *(fact for pair in one.holes for fact in pair)]
            noticed += [fact for group in one.conflicts for fact in group]
            batch.sources |= {fact.event.source for fact in noticed}
            batch.sources |= {sent.source for sent in one.credentials}
        if before.known_prefixes != intake.known_prefixes:
            self._mark_all(self._ledger.elements, Aspect.ISSUER)

    def _source_again(self, source: str) -> None:
        """Add up again what the facts of a source show, some of which were recorded earlier than was known."""
        tally = self._scene.tally
        before = tally.sources[source]
        told = tally.sources[source] = SourceTally()
        told.names_authority, told.unattributed = before.names_authority, before.unattributed
        if (sample := before.samples.get("unattributed")) is not None:
            told.samples["unattributed"] = sample
        for fact in {fact for fact in self.world.facts() if fact.event.source == source}:
            enter_fact(told, fact, self._options)

    # What they change

    def _spread(self, batch: _Batch) -> None:
        """Find the elements, decisions and actions that facts change."""
        world, graph = self.world, self.world.graph
        batch.elements |= batch.granted
        if batch.principals:
            self._spread_parties(batch)
        batch.below = graph.below(batch.elements)
        for key in batch.below:
            batch.decisions |= world.decided.get(key, set())
        uses = [*batch.below, *(f"decision:{id_}" for id_ in batch.decisions)]
        for key in uses:
            batch.actions |= world.uses.get(key, set())
        caused = [other for id_ in batch.actions for other in self._ledger.caused.get(id_, ())]
        self._mark_all(caused, Aspect.OWN)
        if batch.targets or batch.answered or batch.receivers:
            self._spread_orders(batch)
        self._extend_affected(batch)

    def _spread_parties(self, batch: _Batch) -> None:
        world, graph = self.world, self.world.graph
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
            self._marks[f"{PRINCIPAL}:{id_}"] |= Aspect.OWN
            batch.elements.update(graph.naming(f"principal:{id_}"))
        for id_ in members:
            batch.elements.update(graph.naming(f"client:{id_}"))
            batch.elements |= graph.asserted.get(id_, set())
            for fact in world.principals.bindings.get(id_):
                if (key := getattr(fact.event.body, "key_thumbprint", None)) is not None:
                    self._marks[f"{KEY}:{key}"] |= Aspect.OWN
                    signed = self._mentions.get(f"{KEY}:{key}", ())
                    batch.actions.update(split_key(action)[1] for action in signed)
            if f"principal:{id_}" in world.orders.by_target:
                batch.targets.add(f"principal:{id_}")
            for key in self._mentions.get(id_, ()):
                kind, name = split_key(key)
                match kind:
                    case "action":
                        batch.actions.add(name)
                    case "decision":
                        batch.decisions.add(name)
                    case "revocation":
                        self._marks[key] |= Aspect.OWN
                    case _:
                        batch.elements.add(key)

    def _spread_orders(self, batch: _Batch) -> None:
        world, graph, scene = self.world, self.world.graph, self._scene
        issuers = scene.known_issuers
        scene.forget_registers()
        for id_ in batch.answered:
            self._marks[f"{REVOCATION}:{id_}"] |= Aspect.OWN
            facts = world.orders.by_id.get(id_)
            batch.targets |= {key_of(*fact.event.body.target) for fact in facts}  # type: ignore[union-attr]
        if batch.receivers:
            self._mark_all(self._alive, Aspect.ALIVE)
            answered = {*world.orders.by_id, *world.receivers.acknowledgements}
            self._mark_all((f"{REVOCATION}:{id_}" for id_ in answered), EVERYTHING)
            for issuer in issuers ^ scene.known_issuers:
                self._mark_all(self._ledger.issued.get(issuer, ()), Aspect.ISSUER)
        hit: set[str] = set()
        for target in batch.targets:
            hit.update(targets(world, target))
            for name in aliases(world, target):
                kind, id_ = split_key(name)
                if kind == PRINCIPAL:
                    self._mark_all(graph.asserted.get(id_, ()), Aspect.ORDERS)
                    for owned in world.principals.owned.get(id_, ()):
                        self._mark_party(owned, Aspect.ORDERS)
        batch.ordered = graph.below(hit)
        scene.affected |= batch.ordered
        self._mark_all(batch.ordered, Aspect.ORDERS)
        self._mark_all((f"action:{id_}" for id_ in world.actions_naming(batch.ordered)), Aspect.ORDERS)

    def _extend_affected(self, batch: _Batch) -> None:
        """Find out which changed elements orders can end."""
        world, affected = self.world, self._scene.affected
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

    def _enter(self, batch: _Batch) -> Stirred:
        """Enter what the changed things add to the aggregates."""
        scene, ledger = self._scene, self._ledger
        scene.forget(batch.below, ())
        for key in batch.below:
            ledger.element(key, element_entry(scene, key))
        for id_ in batch.decisions:
            self._enter_policies(id_, batch)
            ledger.decision(f"decision:{id_}", decision_entry(scene, f"decision:{id_}"))
        for id_ in batch.actions:
            ledger.action(f"action:{id_}", action_entry(scene, f"action:{id_}"))
        return ledger.settle()

    def _enter_policies(self, decision: str, batch: _Batch) -> None:
        tally = self._scene.tally
        facts = self.world.decisions.get(decision)
        for fact in facts:
            policy = fact.event.body.policy if isinstance(fact.event.body, DecisionMade) else None
            if policy is not None and policy.version is not None:
                alike = fact.event.source, policy.id
                known = tally.policies.get(alike, {}).get(policy.version, NEVER)
                if fact.event.occurred_at < known:
                    latest = fact.event.occurred_at if known == NEVER else known
                    batch.policies[alike] = max(latest, batch.policies.get(alike, latest))
        enter_policies(tally, facts)

    # Life and death

    def _live_and_die(self, batch: _Batch, stirred: Stirred) -> None:
        """Find out what is alive, and mark what looks at that."""
        scene, graph = self._scene, self.world.graph
        used = {*batch.below, *stirred.used}
        above = graph.above(*used)
        before = {key: scene.activity_before(key) for key in above}
        scene.forget((), above)
        self._mark_activity(before)
        asked = batch.below | batch.ordered
        asked.update(key for key, _ in self._due_alive.reached(self.at))
        turned: set[str] = set()
        for key in asked:
            if not graph.granted(key):
                continue
            self._horizon.restart()
            alive = scene.is_alive(key)
            self._due_alive.add(self._horizon.next, key, 0)
            if alive != (key in self._alive):
                turned.add(key)
                (self._alive.add if alive else self._alive.discard)(key)
        self._mark_all(turned, Aspect.ALIVE)
        if scene.reaches is not None:
            scene.reaches.update(turned | batch.below, self._alive)
        self._mark_names(turned | batch.below, Aspect.ALIVE, parties_only=True)
        reaching = graph.above(*turned, *batch.below)
        self._mark_all(reaching, Aspect.REACH)
        self._mark_names(reaching, Aspect.REACH)
        ended = ((turned | used) & scene.affected) | batch.ordered
        if ended:
            hitting = orders_hitting(self.world, graph.above(*ended), lambda _: True)
            orders = {order.body.revocation for each in hitting.values() for order in each}
            self._mark_all((f"{REVOCATION}:{id_}" for id_ in orders), Aspect.REACH)

    def _mark_names(self, keys: Iterable[str], aspect: int, *, parties_only: bool = False) -> None:
        element = self.world.graph.element
        names = {name for key in keys if (one := element(key)) is not None for name in one.names}
        for name in names:
            if name.startswith("principal:"):
                self._mark_party(name.removeprefix("principal:"), aspect)
            elif not parties_only:
                self._marks[name] |= aspect

    def _mark_activity(self, before: dict[str, Instant | None]) -> None:
        """Mark what looks at the last activity of elements, if it was or now is long ago."""
        scene, graph, long_ago = self._scene, self.world.graph, self.at - self._options.dormant
        young = self.at - self._options.unused
        for key, last in before.items():
            element = graph.element(key)
            if element is None:
                continue
            now = scene.last_activity(key)
            if last is None or now < last or last <= long_ago or element.issued_at <= young:
                self._marks[key] |= Aspect.ACTIVITY
            if last is not None and (last <= long_ago) != (now <= long_ago):
                self._mark_all(graph.children(key), Aspect.ACTIVITY)

    # What is around what changed

    def _mark_around(self, batch: _Batch, stirred: Stirred) -> None:
        world, graph = self.world, self.world.graph
        self._mark_all((key for key in batch.below if graph.granted(key)), Aspect.OWN)
        self._mark_all((f"decision:{id_}" for id_ in batch.decisions), Aspect.OWN)
        self._mark_all((f"action:{id_}" for id_ in batch.actions), Aspect.OWN)
        self._mark_all((f"{SOURCE}:{source}" for source in batch.sources), Aspect.OWN)
        for key in batch.granted:
            self._mark_all(graph.parents(key), Aspect.CHILDREN)
            self._mark_cited(key)
        self._mark_all(stirred.used, Aspect.USES)
        if batch.principals:
            acted = (self._ledger.actions.get(f"action:{id_}") for id_ in batch.actions)
            self._mark_all((key for one in acted if one is not None for key in one.elements), Aspect.USES)
        self._mark_all((f"decision:{id_}" for id_ in stirred.decisions), Aspect.USES)
        self._mark_all((f"{PRINCIPAL}:{party}" for party in stirred.denied), Aspect.DENIALS)
        for alike in stirred.alike:
            self._mark_all(self._ledger.retried.get(alike, ()), Aspect.DENIALS)
        tokens = self._scene.tally.wielded
        wielded = (name for (name, party), first in stirred.wielded.items() if tokens.get(name, {}).get(party) != first)
        self._mark_all(wielded, Aspect.OWN)
        self._mark_sights(stirred)
        self._mark_histories(stirred)
        self._mark_issuers(batch, stirred)
        self._mark_words(batch, stirred)
        self._mark_shares(stirred)
        for policy, latest in batch.policies.items():
            for id_ in self._policies[policy]:
                decision = self._ledger.decisions.get(f"decision:{id_}")
                if decision is not None and decision.at < latest:
                    actions = world.uses.get(f"decision:{id_}", ())
                    self._mark_all((f"action:{action}" for action in actions), Aspect.POLICY)

    def _mark_cited(self, key: str) -> None:
        """Mark what tells of an element beside others: who shares its places, who wields it, and its renewal."""
        element, entry = self.world.graph.element(key), self._ledger.elements.get(key)
        for place in element.places if element is not None else ():
            sharing = self.world.listings.tokens.get(place, ())
            # Beyond that many, the findings do not name the others.
            self._mark_all(sharing if len(sharing) <= MOST_SHARING + 2 else (key,), Aspect.PLACE)
        if entry is not None:
            wielded = self._scene.tally.wielded
            party = str(entry.holder)
            self._mark_all((one for one in entry.wielding if wielded[one].get(party) == key), Aspect.OWN)
            if entry.delegator is not None:
                following = self._ledger.next_renewal(entry.alike, entry.issued_at, key)
                self._mark_all((following,) if following is not None else (), Aspect.HISTORY)

    def _mark_sights(self, stirred: Stirred) -> None:
        tally = self._scene.tally
        for name, before in stirred.names.items():
            now = tally.principals.get(name)
            if (before is None) != (now is None):
                self._mark_party(name, Aspect.OWN)
            elif before != now:
                self._marks[f"{PRINCIPAL}:{name}"] |= Aspect.SIGHTS
        for party, known in stirred.acting.items():
            acted = tally.acting.get(party)
            if (known and known.fact) != (acted and acted.fact):
                self._mark_party(party, Aspect.HISTORY)

    def _mark_histories(self, stirred: Stirred) -> None:
        tally, ledger, most = self._scene.tally, self._ledger, self._options.history + 1
        for party, times in stirred.successes.items():
            if tuple(tally.successes.get(party, ())[:most]) != times:
                self._mark_all(ledger.of_party.get(party, ()), Aspect.HISTORY)
        for (party, operation), first in stirred.operations.items():
            if first is not None and tally.operations.get(party, {}).get(operation) != first:
                own = (one for one in ledger.of_party.get(party, ()) if ledger.actions[one].operation == operation)
                self._mark_all(own, Aspect.HISTORY)
        for party, given in stirred.granted.items():
            if tally.granted.get(party, {}) != given:
                own = (key for key in ledger.handing.get(party, ()) if self._is_ungrounded(key))
                self._mark_all(own, Aspect.HISTORY)
        for party, times in stirred.grants.items():
            if tuple(tally.grants.get(party, ())[:most]) != times:
                self._mark_all(ledger.handing.get(party, ()), Aspect.HISTORY)
        for (party, other), first in stirred.pairs.items():
            if first is not None and tally.pairs.get(party, {}).get(other) != first:
                self._mark_all(ledger.handing.get(party, ()), Aspect.HISTORY)
        for alike, issued_at, key in stirred.renewals:
            following = ledger.next_renewal(alike, issued_at, key)
            self._mark_all((key, *((following,) if following is not None else ())), Aspect.HISTORY)

    def _is_ungrounded(self, key: str) -> bool:
        graph = self.world.graph
        return not any(graph.granted(parent) for parent in graph.parents(key) if parent != key)

    def _mark_issuers(self, batch: _Batch, stirred: Stirred) -> None:
        tally, issued = self._scene.tally, self._ledger.issued
        changed = {issuer for issuer, first in stirred.issuers.items() if tally.issuers.get(issuer) != first}
        changed |= {issuer for issuer, bound in stirred.binding.items() if bound != (issuer in tally.binding_issuers)}
        for issuer in changed | batch.new_sources:
            self._mark_all(issued.get(issuer, ()), Aspect.ISSUER)

    def _mark_words(self, batch: _Batch, stirred: Stirred) -> None:
        tally, ledger = self._scene.tally, self._ledger
        for source, before in stirred.spelled.items():
            if before != (source in tally.spelled_alike):
                self._mark_all(ledger.of_source.get(source, ()), Aspect.WORDS)
        for source in tally.spelled_alike if batch.scopes else ():
            if any((source, scope) in tally.shares for scope in batch.scopes):
                own = (one for one in ledger.of_source.get(source, ()) if ledger.actions[one].operation in batch.scopes)
                self._mark_all(own, Aspect.WORDS)
        for source, named in stirred.attributed.items():
            told = tally.sources.get(source)
            if named != (told is not None and told.names_authority > 0):
                own = (one for one in ledger.of_source.get(source, ()) if not ledger.actions[one].attributed)
                self._mark_all(own, Aspect.SOURCE)

    def _mark_shares(self, stirred: Stirred) -> None:
        """Mark the successes without a decision, if a decision is or was usual for them."""
        scene, window = self._scene, self._options.decision_window // DAY
        for spoken, days in stirred.shares.items():
            undecided, usual = self._ledger.undecided[spoken], self._usual.setdefault(spoken, {})
            first, last = min(days), max(days) + window
            for day in [day for day in undecided if first <= day <= last]:
                now = scene.is_decision_usual(spoken, day * DAY)
                if now or usual.get(day, False):
                    self._mark_all(undecided[day], Aspect.DECISIONS)
                usual[day] = now

    # Evaluation

    def _mark_all(self, keys: Iterable[str], aspect: int) -> None:
        for key in keys:
            self._marks[key] |= aspect

    def _mark_party(self, id_: str, aspect: int) -> None:
        for member in self.world.principals.party(id_):
            self._marks[f"{PRINCIPAL}:{member}"] |= aspect

    def _settle(self, batch: _Batch) -> set[str]:
        """Evaluate what is marked, and what follows from that."""
        stirred = self._missing()
        marks, self._marks = self._marks, defaultdict(int)
        again: set[str] = set()
        for key, aspect in marks.items():
            stirred |= self._look(key, aspect)
            if aspect & Aspect.OWN:
                again.update(one.id for found in self._found.get(key, {}).values() for one in found)
        for id_ in stirred:
            self._merge(id_)
        asked = stirred | again | (batch.judged & self._merged.keys())
        asked |= {id_ for id_, _ in self._due_status.reached(self.at) if id_ in self._merged}
        parties: set[str] = set()
        for id_ in asked:
            self._judge(id_)
            parties |= self._hold_responsible(id_)
        for party in sorted(parties):
            for id_ in self._repeat(party):
                self._merge(id_)
                self._judge(id_)
                asked.add(id_)
        found = {kind for kind, ids in self._by_kind.items() if ids and kind != REPEAT}
        missing = self._missing_of
        self.not_evaluated = {**missing, **without_input(self._scene, found | missing.keys())}
        return asked

    def _mark_subjects(self, rules: list[Rule]) -> None:
        """Mark everything that some rules examine, now that they can be evaluated."""
        if not rules:
            return
        world = self.world
        subjects: defaultdict[str, int] = defaultdict(int)
        for rule in rules:
            for subject in rule.of:
                subjects[subject] |= neighbourhood(rule.kind)
            for id_ in self._by_kind.get(rule.kind, ()):
                self._mark_all((key for key, _ in self._by_id[id_]), neighbourhood(rule.kind))
        decisions, actions = (f"decision:{id_}" for id_ in world.decisions), (f"action:{id_}" for id_ in world.actions)
        for key in chain(world.graph.facts, decisions, actions, others(self._scene)):
            if aspect := subjects.get(subject_of(key)):
                self._marks[key] |= aspect

    def _rules_for(self, key: str, aspect: int) -> tuple[Rule, ...]:
        subject = subject_of(key)
        known = self._rules.get((subject, aspect))
        if known is None:
            known = tuple(
                rule
                for rule in self._on
                if subject in rule.of
                and neighbourhood(rule.kind) & aspect
                and (rule.kind not in self._missing_of or rule.kind in _ALWAYS)
            )
            self._rules[subject, aspect] = known
        return known

    def _look(self, key: str, aspect: int) -> set[str]:
        """Evaluate the rules that look at some aspect of a thing; return the ids of the findings that changed."""
        rules = self._rules_for(key, aspect)
        if not rules:
            return set()
        scene = self._scene
        self._horizon.restart()
        known = is_known(scene, key) and is_subject(scene, key)
        stirred: set[str] = set()
        self._looks += 1
        monotonic = self._monotonic if self._looks % _SAMPLE == 0 else None
        for rule in rules:
            began = monotonic() if monotonic is not None else 0.0
            found = tuple(rule.check(scene, key)) if known else ()
            if monotonic is not None:
                took = (monotonic() - began) * _SAMPLE
                self.seconds[rule.kind] = self.seconds.get(rule.kind, 0.0) + took
            before = self._found.get(key, {}).get(rule.kind, ())
            if found != before:
                stirred |= self._replace((key, rule.kind), before, found)
        self._due_marks.add(self._horizon.next, key, aspect)
        return stirred

    def _replace(self, place: tuple[str, str], before: tuple[Finding, ...], found: tuple[Finding, ...]) -> set[str]:
        key, kind = place
        if found:
            self._found.setdefault(key, {})[kind] = found
        else:
            own = self._found[key]
            del own[kind]
            if not own:
                del self._found[key]
        grouped: defaultdict[str, list[Finding]] = defaultdict(list)
        for one in found:
            grouped[one.id].append(one)
        ids = {one.id for one in before} | grouped.keys()
        for id_ in ids:
            alike = self._by_id.setdefault(id_, {})
            if id_ in grouped:
                alike[place] = tuple(grouped[id_])
            else:
                alike.pop(place, None)
                if not alike:
                    del self._by_id[id_]
        return ids

    def _merge(self, id_: str) -> None:
        alike = self._by_id.get(id_)
        if alike is None:
            one = self._merged.pop(id_, None)
            if one is not None:
                self._by_kind[one.kind].discard(id_)
            return
        one = merge([one for group in alike.values() for one in group])
        self._merged[id_] = one
        self._by_kind[one.kind].add(id_)

    def _missing(self) -> set[str]:
        """Find out which rules cannot be evaluated; return the ids of the findings that this shows or hides."""
        before = self._missing_of
        missing = {rule.kind: why for rule in RULES.values() if (why := why_not(self._scene, rule)) is not None}
        self._missing_of = missing
        turned = before.keys() ^ missing.keys()
        if turned:
            self._rules.clear()
            self._mark_subjects([RULES[kind] for kind in turned - missing.keys() - {REPEAT, *_ALWAYS}])
        return {id_ for kind in turned for id_ in self._by_kind.get(kind, ())}

    def _judge(self, id_: str) -> None:
        """Find out whether a finding is shown, and its status."""
        one = self._merged.get(id_)
        if one is None or one.kind in self._missing_of:
            self.findings.pop(id_, None)
            self.status.pop(id_, None)
            return
        self.findings[id_] = one
        self._horizon.restart()
        self.status[id_] = status_of(one, self.world.judgements, self._options, self._scene.at)
        self._due_status.add(self._horizon.next, id_, 0)

    def _hold_responsible(self, id_: str) -> set[str]:
        """Note by whom a serious finding is; return the parties for whom that changes something."""
        one, changed, party = self.findings.get(id_), set[str](), None
        if (
            one is not None
            and one.kind != REPEAT
            and severity_of(one.kind, one.severity, self._options) >= Severity.HIGH
            and self.status[id_] != SUPPRESSED
        ):
            by = doer(self._scene, one)
            if by is not None and self._scene.kind(by) == "agent":
                party = self._scene.party(by)
        before = self._party.pop(id_, None)
        if before is not None and before != party:
            del self._serious[before][id_]
            changed.add(before)
        if party is not None and one is not None:
            self._party[id_] = party
            if self._serious[party].get(id_) != one:
                self._serious[party][id_] = one
                changed.add(party)
        return changed

    def _repeat(self, party: str) -> set[str]:
        """Look at the serious findings of a party together; return the ids of the findings that changed."""
        rule, key = RULES[REPEAT], f"{PRINCIPAL}:{party}"
        if not is_on(rule, self._options):
            return set()
        self._scene.serious = {party: list(self._serious[party].values())}
        found = tuple(rule.check(self._scene, key))
        before = self._found.get(key, {}).get(REPEAT, ())
        return self._replace((key, REPEAT), before, found) if found != before else set()


class _Due:
    """When things have to be looked at again."""

    def __init__(self) -> None:
        self._heap: list[tuple[Instant, str, int]] = []
        self._known: dict[tuple[str, int], Instant] = {}

    @property
    def next(self) -> Instant:
        """The earliest moment."""
        return self._heap[0][0] if self._heap else NEVER

    def add(self, at: Instant, key: str, aspect: int) -> None:
        """Note a moment, unless an earlier one is noted: then it is found out again what comes after it."""
        if at == NEVER or self._known.get((key, aspect), NEVER) <= at:
            return
        self._known[key, aspect] = at
        heappush(self._heap, (at, key, aspect))

    def reached(self, at: Instant) -> Iterator[tuple[str, int]]:
        """Yield what is due, each once."""
        while self._heap and self._heap[0][0] <= at:
            due, key, aspect = heappop(self._heap)
            if self._known.get((key, aspect)) == due:
                del self._known[key, aspect]
                yield key, aspect
