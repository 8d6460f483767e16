"""The contribution of each element, decision, action and fact to the aggregates of a scene.

An entry is the contribution of one thing as a value: equal entries contribute the same. Entries may be entered in any
order.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any, Final, NamedTuple

from lineage.core.authority.elements import Element
from lineage.core.authority.receivers import issuer_of
from lineage.core.authority.world import World, authorities_of
from lineage.core.findings.options import Options
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.acts import (
    ANY_TOOL,
    UNTRUSTED,
    Act,
    Decided,
    permits,
    plain_operation,
    statement_of,
)
from lineage.core.findings.scene.offering import offered_by_action, offered_by_element, valid_time
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.scopes import Scopes, alone
from lineage.core.findings.scene.tally import Denied, Sample, SourceTally, Tally, Used, first_few, seen
from lineage.core.model.events import DecisionMade, Fact, fact_order
from lineage.core.model.finding import CITED
from lineage.core.model.keys import shared_text, split_key
from lineage.core.model.times import MINUTE, Instant

HISTORY_KEPT = 64  # earliest times kept for each thing: more than any setting needs


_PRINCIPAL: Final = "principal:"
_NOTHING: Final[frozenset[str]] = frozenset()
Alike = tuple[str, str, str]
"""The party that requests or acts, the operation, the resource; "" for a request that names none."""


class ElementEntry(NamedTuple):
    """The contribution of a token or a delegation.

    Attributes:
        holder: The party that may use it.
        held: The scopes that it gives to its holder.
        names: The principals that it names.
        issuer: The issuer that its id names; None for a delegation.
        binds: The issuer or source of a token that is bound to a workload or a key.
        wielding: The clients and sessions of an agent's token.
        wielding_facts: The facts about it, if there are any such clients and sessions.
        delegator, delegatee: The parties of a delegation.
        alike: The properties that a delegation shares with its renewals.
        inputs: The inputs that it offers to rules.
    """

    key: str
    issued_at: Instant
    fact: Fact
    holder: str | None
    held: Scopes
    names: tuple[str, ...]
    issuer: str | None
    binds: str | None
    wielding: tuple[str, ...]
    wielding_facts: tuple[Fact, ...]
    delegator: str | None
    delegatee: str | None
    alike: tuple[object, ...]
    inputs: frozenset[str]


class DecisionEntry(NamedTuple):
    """The contribution of a decision: permits and denials.

    Attributes:
        party: The party that requested it; None if unknown.
        alike: The properties that it shares with decisions on the same request: party, operation, resource.
        denials, permits: The denials and permits that its facts state.
        denied: The denial in force; None if it is permitted.
        inputs: The inputs that it offers to rules.
    """

    key: str
    at: Instant
    party: str | None
    alike: Alike | None
    denials: tuple[Denied, ...]
    permits: tuple[Instant, ...]
    denied: Denied | None
    inputs: frozenset[str]


class ActionEntry(NamedTuple):
    """The contribution of an action.

    Attributes:
        parent: The action that caused it.
        names: The principals that it names.
        party: The party of its actor; None if unknown.
        machine: Whether its actor is an agent or a workload.
        denied: The denied request, if there is no decision.
        attributed: Whether it names a token, a delegation or a decision.
        undecided: Whether its decision is unknown, or it has none.
        spelled: Whether its operation is a scope of its authority.
        alike: The properties that it shares with decisions on the same request.
        elements: Its authority, and the tokens that any fact names, since naming another token does not undo a use.
        actor, workload, key_holder: The parties that act, run as its workload, and sign with its key.
        inputs: The inputs that it offers to rules.
    """

    key: str
    at: Instant
    fact: Fact
    parent: str | None
    source: str
    operation: str
    tool: str | None
    decision: str | None
    names: tuple[str, ...]
    party: str | None
    succeeded: bool
    machine: bool
    denied: Denied | None
    attributed: bool
    undecided: bool
    spelled: bool
    tasked: bool
    instructed: bool
    needed: frozenset[str]
    alike: Alike | None
    elements: tuple[str, ...]
    actor: str | None
    workload: str | None
    key_holder: str | None
    inputs: frozenset[str]


def enter_all(scene: Scene, facts: Iterable[Fact]) -> None:
    """Enter some facts, and every element, decision and action of the scene's world."""
    tally = scene.tally
    for fact in facts:
        enter_fact(tally.sources[fact.event.source], fact, scene.options)
    for key in scene.world.graph.facts:
        if (element := element_entry(scene, key)) is not None:
            enter_element(tally, element)
            enter_scopes(tally, scene.world.graph.facts.get(key))
    _enter_decisions(scene)
    _enter_actions(scene, scene.world.actions)


def _enter_decisions(scene: Scene) -> None:
    """Enter every decision of the scene's world."""
    tally = scene.tally
    for id_ in scene.world.decisions:
        if (decision := decision_entry(scene, f"decision:{id_}")) is not None:
            enter_decision(tally, decision)
            enter_policies(tally, scene.world.decisions.get(id_))


def _enter_actions(scene: Scene, actions: Iterable[str]) -> None:
    """Enter some actions, given by their ids."""
    for id_ in actions:
        if (action := action_entry(scene, f"action:{id_}")) is not None:
            enter_action(scene.tally, action)


def enter_for_narrow_rules(scene: Scene, keys: AbstractSet[str]) -> None:
    """Enter from a scene's world only the aggregates that rules read which do not need all facts.

    These rules read nothing about sources, and of elements only which delegations a party granted and, if an action is
    spelled like a scope, all scopes. For a chain of thousands of elements this is a small part of ``enter_all``.

    Args:
        scene: The scene.
        keys: What is examined. Of other actions, only those are entered that a rule about it reads.
    """
    tally, graph = scene.tally, scene.world.graph
    for key in graph.facts:
        if key.startswith("delegation:"):
            element = scene.element(key)
            if element is not None and scene.is_known(element.facts):
                delegator, delegatee = element.first("delegator"), element.first("delegatee")
                enter_grant(tally, scene.party(delegator), scene.party(delegatee), element.issued_at)
    _enter_decisions(scene)
    if _reads_any_action(scene, keys):
        _enter_actions(scene, scene.world.actions)
    else:
        _enter_actions(scene, [id_ for id_ in scene.world.actions if _may_use(scene.world, id_, keys)])
    if tally.spelled_alike:
        for key in graph.facts:
            if scene.is_known(facts := graph.facts.get(key)):
                enter_scopes(tally, facts)


def _reads_any_action(scene: Scene, keys: AbstractSet[str]) -> bool:
    """Whether a rule about one of some things reads more of other actions than the uses of these things.

    That is what an agent did before, if something untrusted instructed an action; whether a source names the authority
    of actions, if one names none; and how a source spells operations, if one is a scope, but not of its own authority.
    """
    scopes: set[str] | None = None
    for key in keys:
        act = scene.act(key) if key.startswith("action:") else None
        if act is None or not act.succeeded:
            continue
        if act.instruction_source in UNTRUSTED or act.element is None:
            return True
        if act.operation not in scene.stated_scopes(act.authority):
            if scopes is None:
                facts = chain.from_iterable(map(scene.world.graph.facts.get, scene.world.graph.facts))
                scopes = {scope for fact in facts for scope in getattr(fact.event.body, "scopes", ())}
            if act.operation in scopes:
                return True
    return False


def _may_use(world: World, id_: str, keys: AbstractSet[str]) -> bool:
    """Whether an action is among some things, or it or its decision names one of them as an authority."""
    facts = world.actions.get(id_)
    named = chain(
        (f"action:{id_}",),
        *(authorities_of(fact.event.body) for fact in (*facts, *world.decision_facts(facts))),
    )
    return not keys.isdisjoint(named)


# Elements


def element_entry(scene: Scene, key: str) -> ElementEntry | None:
    """Return the contribution of an element; None if it is unknown."""
    element = scene.element(key)
    if element is None or not scene.is_known(element.facts):
        return None
    holder = scene.holder(key)
    names = tuple([shared_text(name[len(_PRINCIPAL) :]) for name in element.names if name.startswith(_PRINCIPAL)])
    issuer = binds = delegator = delegatee = None
    wielding: tuple[str, ...] = ()
    alike: tuple[object, ...] = ()
    if key.startswith("token:"):
        issuer = issuer_of(element.id)
        if element.first("workload") is not None or element.first("key_thumbprint") is not None:
            binds = issuer_or_source(element)
        if holder is not None and scene.kind(holder) == "agent":
            wielding = tuple([name for name in element.names if name.startswith(("client:", "session:"))])
    else:
        delegator, delegatee = scene.party(element.first("delegator")), scene.party(element.first("delegatee"))
        alike = grant_alike(scene, element)
    return ElementEntry(
        key=key,
        issued_at=element.issued_at,
        fact=element.facts[0],
        holder=None if holder is None else scene.party(holder),
        held=scene.scopes.held(key),
        names=names,
        issuer=issuer,
        binds=binds,
        wielding=wielding,
        wielding_facts=element.facts if wielding else (),
        delegator=delegator,
        delegatee=delegatee,
        alike=alike,
        inputs=offered_by_element(scene, element, holder),
    )


def issuer_or_source(element: Element) -> str:
    """Return the issuer of a token: the one its id names, else the first source that reported it."""
    return issuer_of(element.id) or element.facts[0].event.source


def grant_alike(scene: Scene, element: Element) -> tuple[object, ...]:
    """Return the properties that two grants share if the later one renews the earlier."""
    parents = tuple(sorted(element.parents))
    parties = scene.party(element.first("delegator")), scene.party(element.first("delegatee"))
    return element.first("task"), *parties, parents


def enter_scopes(tally: Tally, facts: Iterable[Fact]) -> None:
    """Enter the scopes that the facts of an element state."""
    for fact in facts:
        tally.scopes.update(getattr(fact.event.body, "scopes", ()))


def enter_element(tally: Tally, entry: ElementEntry) -> None:
    """Enter an element."""
    tally.inputs[entry.inputs] += 1
    enter_held(tally, entry)
    for name in entry.names:
        seen(tally.principals, name, entry.issued_at, entry.fact)
    if entry.issuer is not None:
        tally.issuers[entry.issuer] = min(entry.issued_at, tally.issuers.get(entry.issuer, entry.issued_at))
    if entry.binds is not None:
        tally.binding_issuers[entry.binds] += 1
    for name in entry.wielding:
        enter_wielded(tally, name, entry)
    if entry.delegator is not None:
        enter_grant(tally, entry.delegator, str(entry.delegatee), entry.issued_at)
        insort(tally.renewals[entry.alike], (entry.issued_at, entry.key))


def enter_held(tally: Tally, entry: ElementEntry) -> None:
    """Enter what an element gives to its holder."""
    if entry.holder is not None:
        given = tally.granted[entry.holder]
        given[entry.held] = min(entry.issued_at, given.get(entry.held, entry.issued_at))


def enter_wielded(tally: Tally, name: str, entry: ElementEntry) -> None:
    """Enter that a client or session wields a token of an agent."""
    tally.wielded[name].enter(str(entry.holder), entry.key, entry.wielding_facts)


def enter_grant(tally: Tally, delegator: str, delegatee: str, issued_at: Instant) -> None:
    """Enter a delegation from one party to another into the history of the delegator."""
    pairs = tally.pairs[delegator]
    pairs[delegatee] = min(issued_at, pairs.get(delegatee, issued_at))
    first_few(tally.grants[delegator], issued_at, HISTORY_KEPT)


# Decisions


def decision_entry(scene: Scene, key: str) -> DecisionEntry | None:
    """Return the contribution of a decision; None if it is unknown."""
    decided = scene.decided(key)
    if decided is None or not scene.is_known(decided.facts):
        return None
    asker = scene.asker(decided)
    resource = decided.resource.id if decided.resource else None
    alike: Alike | None = None
    denials: list[Denied] = []
    permitted: list[Instant] = []
    if asker is not None:
        alike = request_alike(scene, asker, decided.operation, resource)
    if alike is not None:
        for fact in decided.facts:
            at = fact.event.occurred_at
            if not permits(fact):
                denials.append(Denied(at, (decided.operation, resource), fact, key))
            elif not decided.denials(at):
                permitted.append(at)
    return DecisionEntry(
        key=key,
        at=decided.occurred_at,
        party=None if asker is None else scene.party(asker),
        alike=alike,
        denials=tuple(denials),
        permits=tuple(permitted),
        denied=_standing_denial(decided, resource),
        inputs=inputs.in_decision(decided),
    )


def _standing_denial(decided: Decided, resource: str | None) -> Denied | None:
    denials = decided.denials()
    if not denials:
        return None
    return Denied(denials[0].event.occurred_at, (decided.operation, resource), denials[0], decided.key)


def enter_policies(tally: Tally, facts: Iterable[Fact]) -> None:
    """Enter the policy versions that the facts of a decision state."""
    for fact in facts:
        policy = fact.event.body.policy if isinstance(fact.event.body, DecisionMade) else None
        if policy is not None and policy.version is not None:
            versions = tally.policies[fact.event.source, policy.id]
            at = fact.event.occurred_at
            versions[policy.version] = min(at, versions.get(policy.version, at))


def enter_decision(tally: Tally, entry: DecisionEntry) -> None:
    """Enter a decision."""
    tally.decisions += 1
    tally.inputs[entry.inputs] += 1
    if entry.alike is not None:
        for at in entry.permits:
            insort(tally.permits[entry.alike], at)
        tally.denials[entry.alike] += entry.denials
    if entry.party is not None and entry.denied is not None:
        tally.denied[entry.party].append(entry.denied)


# Actions


def action_entry(scene: Scene, key: str) -> ActionEntry | None:
    """Return the contribution of an action; None if it is unknown."""
    act = scene.act(key)
    known = act is not None and scene.is_known(act.facts)
    return _action_entry(scene, act, valid_time(scene, act)) if act is not None and known else None


class _Uses(NamedTuple):
    """Successes that state the same, in the time of what they name.

    Attributes:
        since, until: From when and before when that was valid.
        same: What their contributions have in common.
    """

    entries: list[ActionEntry]
    since: Instant
    until: Instant
    same: tuple[Any, ...]


def action_entries(scene: Scene, keys: Iterable[str]) -> tuple[dict[str, ActionEntry | None], list[list[ActionEntry]]]:
    """Return the contributions of actions: those determined one by one, and groups of alike successes.

    What the only facts about the actions of a group state is the same, but for ids, times, causes and parameters. So
    everything that their token and their parties determine is computed once for the group.
    """
    alone: dict[str, ActionEntry | None] = {}
    alike: dict[tuple[Any, ...], _Uses] = {}
    actions = scene.world.actions
    for key in keys:
        facts = actions.get(split_key(key)[1])
        statement = statement_of(facts)
        uses = alike.get(statement) if statement is not None else None
        if uses is not None and uses.since <= (event := facts[0].event).occurred_at < uses.until:
            if scene.is_known(facts):
                parent = event.body.parent_action  # type: ignore[union-attr]  # of an action
                uses.entries.append(ActionEntry(key, event.occurred_at, facts[0], parent, *uses.same))
            else:
                alone[key] = None
            continue
        act = scene.act(key)
        if act is None or not scene.is_known(facts):
            alone[key] = None
            continue
        valid = valid_time(scene, act)
        entry = _action_entry(scene, act, valid)
        in_time = entry.inputs.isdisjoint((inputs.EARLY_USE, inputs.LATE_USE))
        if act.succeeded and uses is None and statement is not None and in_time:
            alike[statement] = _Uses([entry], *valid, entry[_OWN:])
        else:
            alone[key] = entry
    return alone, [uses.entries for uses in alike.values()]


_OWN: Final = ActionEntry._fields.index("source")  # the fields before it are those in which alike actions differ


def _action_entry(scene: Scene, act: Act, valid: tuple[Instant, Instant]) -> ActionEntry:
    actor = scene.actor(act)
    party = None if actor is None else scene.party(actor)
    spelled = act.succeeded and act.operation in scene.stated_scopes(act.authority)
    return ActionEntry(
        key=act.key,
        at=act.occurred_at,
        fact=act.facts[0],
        parent=act.parent_action,
        source=act.source,
        operation=act.operation,
        tool=act.tool,
        decision=act.decision,
        names=tuple(id_ for id_ in (act.actor, act.on_behalf_of) if id_ is not None),
        party=party,
        succeeded=act.succeeded,
        machine=actor is not None and scene.kind(actor) in ("agent", "workload"),
        denied=None if act.succeeded or party is None or act.decided is not None else _denied(act),
        attributed=bool(act.named) or act.decision is not None,
        undecided=act.decided is None,
        spelled=spelled,
        tasked=act.task is not None,
        instructed=act.instruction_source is not None,
        needed=act.required_scopes or scene.needed_as_set(act) or (alone(act.operation) if spelled else _NOTHING),
        alike=_alike(scene, act, actor),
        elements=_used_by(act),
        actor=None if act.actor is None else scene.runner(act.actor),
        workload=None if act.workload is None else scene.runner(act.workload),
        key_holder=None if act.key_thumbprint is None else scene.key_holder(act.key_thumbprint),
        inputs=offered_by_action(scene, act, valid),
    )


def _used_by(act: Act) -> tuple[str, ...]:
    if len(act.facts) == 1 and act.token == act.authority:  # nearly always
        return () if act.token is None else (act.token,)
    tokens = (getattr(fact.event.body, "token", None) for fact in act.facts)
    used = {f"token:{token}" for token in tokens if token is not None}
    if act.authority is not None:
        used.add(act.authority)
    return tuple(sorted(used))


def _alike(scene: Scene, act: Act, actor: str | None) -> Alike | None:
    resource = act.resource.id if act.resource else None
    return None if actor is None else request_alike(scene, actor, act.operation, resource)


def request_alike(scene: Scene, party: str, operation: str, resource: str | None) -> Alike | None:
    """Return what two requests have in common if they are the same; None if a request does not say what it is for."""
    plain = plain_operation(operation)
    if resource is None and plain == ANY_TOOL:
        return None
    return scene.runner(party), plain, resource or ""


def _denied(act: Act) -> Denied | None:
    for fact in act.facts:
        if getattr(fact.event.body, "outcome", None) == "denied":
            resource = act.resource.id if act.resource else None
            return Denied(act.occurred_at, (act.operation, resource), fact, act.key)
    return None


def enter_action(tally: Tally, entry: ActionEntry) -> None:
    """Enter an action."""
    if entry.succeeded:
        enter_alike(tally, (entry,))
        return
    tally.inputs[entry.inputs] += 1
    for name in entry.names:
        seen(tally.principals, name, entry.at, entry.fact)
    if entry.party is not None and entry.denied is not None:
        tally.denied[entry.party].append(entry.denied)


def enter_alike(tally: Tally, entries: Sequence[ActionEntry]) -> None:
    """Enter successes that differ in nothing but their ids, times and causes."""
    entry, ends = entries[0], _outermost(entries)
    tally.inputs[entry.inputs] += len(entries)
    for name in entry.names:
        _see(tally.principals, name, ends)
    enter_attribution(tally.sources[entry.source], entries, ends)
    tally.tasks += entry.tasked * len(entries)
    tally.instructions += entry.instructed * len(entries)
    tally.needs_known += bool(entry.needed) * len(entries)
    if entry.party is not None:
        enter_success(tally, entries, ends)
    shares = tally.shares[entry.source, entry.operation]
    for one in entries:
        shares.enter(one.at, decided=not one.undecided)
    if entry.decision is not None:
        tally.decision_uses[entry.decision].update((one.key, one.fact) for one in entries)
    if entry.spelled:
        tally.spelled_alike[entry.source] += len(entries)
    for key in entry.elements:
        enter_use(tally.used.of(key), entries, ends)


def _outermost(entries: Sequence[ActionEntry]) -> Sequence[ActionEntry]:
    """Return the first of some actions, with all others of the same time, and the last: all that samples remember."""
    if len(entries) == 1:
        return entries
    first = last = entries[0]
    for one in entries:
        if one.at < first.at:
            first = one
        elif one.at > last.at:
            last = one
    return [*[one for one in entries if one.at == first.at], last]


def _see(samples: dict[str, Sample], key: str, ends: Sequence[ActionEntry]) -> None:
    known = samples.get(key)
    if known is not None and known.first < ends[0].at:  # nearly always
        if ends[-1].at > known.last:
            samples[key] = Sample(known.first, ends[-1].at, known.fact)
        return
    for one in ends:
        seen(samples, key, one.at, one.fact)


def enter_attribution(tally: SourceTally, entries: Sequence[ActionEntry], ends: Sequence[ActionEntry]) -> None:
    """Enter whether a source names the authority of alike successes, given also the outermost of them."""
    if entries[0].attributed:
        tally.names_authority += len(entries)
    elif entries[0].machine:
        tally.unattributed += len(entries)
        _see(tally.samples, "unattributed", ends)


def enter_success(tally: Tally, entries: Sequence[ActionEntry], ends: Sequence[ActionEntry]) -> None:
    """Enter alike successes into the history of the acting party."""
    party, operation, at = str(entries[0].party), entries[0].operation, ends[0].at
    _see(tally.acting, party, ends)
    first = tally.operations[party]
    first[operation] = min(at, first.get(operation, at))
    times = tally.successes[party]
    for one in entries:
        first_few(times, one.at, HISTORY_KEPT)


def enter_use(used: Used, entries: Sequence[ActionEntry], ends: Sequence[ActionEntry]) -> None:
    """Enter alike uses of an element."""
    entry, last = entries[0], ends[-1].at
    for one in entries:
        used.times.append(one.at)
        if len(used.acts) < CITED:
            used.acts[one.key] = one.fact
        elif one.key < (largest := max(used.acts)):
            del used.acts[largest]
            used.acts[one.key] = one.fact
    if entry.actor is not None:
        _see(used.actors, entry.actor, ends)
    if entry.workload is not None:
        _see(used.workloads, entry.workload, ends)
    if entry.key_holder is not None:
        _see(used.keys, entry.key_holder, ends)
    if entry.tool is not None:
        _see(used.tools, entry.tool, ends)
    if not entry.needed:
        used.needs_known = False
    for scope in entry.needed:
        used.needed[scope] = max(last, used.needed.get(scope, last))


# Facts


def enter_fact(tally: SourceTally, fact: Fact, options: Options) -> None:
    """Enter what a fact shows about its source: volume, delay and clock."""
    tally.facts += 1
    tally.first = min(tally.first, fact.recorded_at)
    tally.minutes.add(fact.recorded_at // MINUTE)
    last = tally.last_fact
    if last is None or fact.recorded_at > tally.last or (fact.recorded_at == tally.last and _is_after(fact, last)):
        tally.last, tally.last_fact = fact.recorded_at, fact
    delay = fact.recorded_at - fact.event.occurred_at
    if delay > options.late:
        tally.late += 1
        seen(tally.samples, "late", fact.event.occurred_at, fact)
    elif delay < -options.leeway:
        tally.early += 1
        seen(tally.samples, "early", fact.event.occurred_at, fact)


def _is_after(fact: Fact, other: Fact) -> bool:
    """Whether a fact comes after another that was recorded at the same time."""
    return (fact.event.event_id, fact_order(fact)) > (other.event.event_id, fact_order(other))
