"""Enter elements, decisions, actions and facts into the tally of a scene, each once, in any order."""

from bisect import insort
from collections.abc import Iterable

from lineage.core.authority.elements import Element
from lineage.core.authority.receivers import issuer_of
from lineage.core.findings import inputs
from lineage.core.findings.acts import Act, Decided, permits, plain_operation
from lineage.core.findings.finding import CITED
from lineage.core.findings.options import MINUTE
from lineage.core.findings.scene import Scene
from lineage.core.findings.tally import Denied, SourceTally, Tally, first_few, seen
from lineage.core.model.events import DecisionMade, Fact

_ROLES = ("parent", "delegation", "subject", "refresh", "replaced", "actor")
HISTORY_KEPT = 64  # earliest times kept for each thing: more than any setting needs


def enter_all(scene: Scene, facts: Iterable[Fact]) -> None:
    """Enter some facts, and every element, decision and action of the scene's world."""
    for fact in facts:
        enter_fact(scene, fact)
    scene.tally.inputs |= inputs.in_world(scene.world)
    for key in scene.world.graph.facts:
        enter_element(scene, key)
    for id_ in scene.world.decisions:
        if (decided := scene.decided(f"decision:{id_}")) is not None:
            enter_decision(scene, decided)
    for id_ in scene.world.actions:
        if (act := scene.act(f"action:{id_}")) is not None:
            enter_action(scene, act)


def enter_element(scene: Scene, key: str) -> None:
    """Enter a token or a delegation."""
    element = scene.element(key)
    if element is None or not scene.is_known(element.facts):
        return
    tally = scene.tally
    _offer_element(scene, element)
    for fact in element.facts:
        tally.scopes.update(getattr(fact.event.body, "scopes", ()))
    holder = scene.holder(key)
    if holder is not None:
        given = tally.granted[scene.party(holder)]
        held = scene.scopes.held(key)
        given[held] = min(element.issued_at, given.get(held, element.issued_at))
    for name in element.names:
        if name.startswith("principal:"):
            seen(tally.principals, name.removeprefix("principal:"), element.issued_at, element.facts[0])
    if key.startswith("token:"):
        _enter_token(scene, element, holder)
    else:
        _enter_delegation(scene, element)


def _offer_element(scene: Scene, element: Element) -> None:
    delegator = element.first("delegator")
    granted = {role for parent in scene.granted_parents(element, *_ROLES) for role in element.parents[parent]}
    scene.tally.inputs |= inputs.in_element(
        element,
        holder_kind=scene.kind(scene.holder(element.key) or ""),
        delegator_kind=scene.kind(str(delegator)) if delegator is not None else "unknown",
        granted=frozenset(granted),
    )


def _enter_token(scene: Scene, element: Element, holder: str | None) -> None:
    tally = scene.tally
    issuer = issuer_of(element.id)
    if issuer is not None:
        tally.issuers[issuer] = min(element.issued_at, tally.issuers.get(issuer, element.issued_at))
    if element.first("workload") is not None or element.first("key_thumbprint") is not None:
        tally.binding_issuers.add(issuer_or_source(element))
    if holder is not None and scene.kind(holder) == "agent":
        party = scene.party(holder)
        for name in element.names:
            if name.startswith(("client:", "session:")):
                tokens = tally.wielded[name]
                tokens[party] = min(element.key, tokens.get(party, element.key))


def issuer_or_source(element: Element) -> str:
    """Return the issuer of a token: the one its id names, else the first source that reported it."""
    return issuer_of(element.id) or element.facts[0].event.source


def _enter_delegation(scene: Scene, element: Element) -> None:
    tally = scene.tally
    delegator, delegatee = scene.party(element.first("delegator")), scene.party(element.first("delegatee"))
    pairs = tally.pairs[delegator]
    pairs[delegatee] = min(element.issued_at, pairs.get(delegatee, element.issued_at))
    first_few(tally.grants[delegator], element.issued_at, HISTORY_KEPT)
    insort(tally.renewals[grant_alike(scene, element)], (element.issued_at, element.key))


def grant_alike(scene: Scene, element: Element) -> tuple[object, ...]:
    """Return what two grants have in common if the later one renews the earlier."""
    parents = tuple(sorted(element.parents))
    parties = scene.party(element.first("delegator")), scene.party(element.first("delegatee"))
    return element.first("task"), *parties, parents


def enter_decision(scene: Scene, decided: Decided) -> None:
    """Enter a decision."""
    if not scene.is_known(decided.facts):
        return
    tally = scene.tally
    tally.inputs |= inputs.in_decision(decided)
    tally.decisions += 1
    for fact in decided.facts:
        policy = fact.event.body.policy if isinstance(fact.event.body, DecisionMade) else None
        if policy is not None and policy.version is not None:
            versions = tally.policies[fact.event.source, policy.id]
            at = fact.event.occurred_at
            versions[policy.version] = min(at, versions.get(policy.version, at))
    asker = scene.asker(decided)
    if asker is None:
        return
    resource = decided.resource.id if decided.resource else None
    if resource is not None:
        alike = scene.runner(asker), plain_operation(decided.operation), resource
        for fact in decided.facts:
            at = fact.event.occurred_at
            if not permits(fact):
                tally.denials[alike].append(Denied(at, (decided.operation, resource), fact, decided.key))
            elif not decided.denials(at):
                insort(tally.permits[alike], at)
    if denials := decided.denials():
        denied = Denied(denials[0].event.occurred_at, (decided.operation, resource), denials[0], decided.key)
        tally.denied[scene.party(asker)].append(denied)


def enter_action(scene: Scene, act: Act) -> None:
    """Enter an action."""
    if not scene.is_known(act.facts):
        return
    tally = scene.tally
    tally.inputs |= inputs.in_action(act, known_token=act.token is not None and scene.element(act.token) is not None)
    for id_ in (act.actor, act.on_behalf_of):
        if id_ is not None:
            seen(tally.principals, id_, act.occurred_at, act.facts[0])
    actor = scene.actor(act)
    if not act.succeeded:
        if actor is not None and act.decided is None:
            _enter_denial(tally, scene.party(actor), act)
        return
    told = tally.sources[act.source]
    if act.named or act.decision is not None:
        told.names_authority = True
    elif actor is not None and scene.kind(actor) in ("agent", "workload"):
        told.unattributed += 1
        seen(told.samples, "unattributed", act.occurred_at, act.facts[0])
    tally.tasks |= act.task is not None
    tally.instructions |= act.instruction_source is not None
    if actor is not None:
        party = scene.party(actor)
        seen(tally.acting, party, act.occurred_at, act.facts[0])
        first = tally.operations[party]
        first[act.operation] = min(act.occurred_at, first.get(act.operation, act.occurred_at))
        first_few(tally.successes[party], act.occurred_at, HISTORY_KEPT)
    tally.shares[act.source, act.operation].enter(act.occurred_at, decided=act.decided is not None)
    if act.decision is not None:
        tally.decision_uses[act.decision][act.key] = act.facts[0]
    if act.operation in scene.stated_scopes(act.authority):
        tally.spelled_alike.add(act.source)
    needed = act.required_scopes or scene.needed_as_set(act) or ({act.operation} & scene.stated_scopes(act.authority))
    tally.needs_known |= bool(needed)
    # each token that any fact names was used: nobody takes a use back by naming another
    tokens = {f"token:{token}" for fact in act.facts if (token := getattr(fact.event.body, "token", None)) is not None}
    for key in tokens | ({act.authority} if act.authority is not None else set()):
        _enter_use(scene, key, act, needed)


def _enter_denial(tally: Tally, party: str, act: Act) -> None:
    for fact in act.facts:
        if getattr(fact.event.body, "outcome", None) == "denied":
            resource = act.resource.id if act.resource else None
            tally.denied[party].append(Denied(act.occurred_at, (act.operation, resource), fact, act.key))
            return


def _enter_use(scene: Scene, key: str, act: Act, needed: frozenset[str] | set[str]) -> None:
    used = scene.tally.used_of(key)
    used.times.append(act.occurred_at)
    fact, at = act.facts[0], act.occurred_at
    if len(used.acts) < CITED:
        used.acts[act.key] = fact
    elif act.key < (largest := max(used.acts)):
        del used.acts[largest]
        used.acts[act.key] = fact
    if act.actor is not None:
        seen(used.actors, scene.runner(act.actor), at, fact)
    if act.workload is not None:
        seen(used.workloads, scene.runner(act.workload), at, fact)
    if act.key_thumbprint is not None:
        seen(used.keys, scene.key_holder(act.key_thumbprint), at, fact)
    if act.tool is not None:
        seen(used.tools, act.tool, at, fact)
    if not needed:
        used.needs_known = False
    for scope in needed:
        used.needed[scope] = max(at, used.needed.get(scope, at))


def enter_fact(scene: Scene, fact: Fact) -> None:
    """Enter what a fact shows about its source: its volume, delay and clock."""
    told: SourceTally = scene.tally.sources[fact.event.source]
    told.facts += 1
    told.first = min(told.first, fact.recorded_at)
    told.minutes.add(fact.recorded_at // MINUTE)
    if (fact.recorded_at, fact.event.event_id) > (told.last, told.last_fact.event.event_id if told.last_fact else ""):
        told.last, told.last_fact = fact.recorded_at, fact
    delay = fact.recorded_at - fact.event.occurred_at
    if delay > scene.options.late:
        told.late += 1
        seen(told.samples, "late", fact.event.occurred_at, fact)
    elif delay < -scene.options.leeway:
        told.early += 1
        seen(told.samples, "early", fact.event.occurred_at, fact)
