"""Rules about uses: beyond the authority's scopes, outside its time, after its end, without any authority.

They consider successes only. Failed attempts are counted by ``repeated-denials``.
"""

from collections.abc import Iterator
from typing import Final

from lineage.core.authority.orders import Order
from lineage.core.findings.rules.rule import ACTION, SOURCE, Rule
from lineage.core.findings.rules.widening import facts_of, where_widened
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.acts import Act
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.scopes import audiences, may_cover
from lineage.core.model.events import ActionPerformed, Fact
from lineage.core.model.finding import Finding, Severity, finding
from lineage.core.model.keys import split_key
from lineage.core.model.sentences import Sentence, keyed, listed, moment, principal, sentence, thing
from lineage.core.model.times import NEVER, Instant
from lineage.core.revocation.late_uses import in_force_at, successes_of

_UNATTRIBUTED: Final = "unattributed-action"
_ACTING_FOR_OTHERS: Final = frozenset({"agent", "workload"})
_SUBTASKS: Final = ("/", ":", ".", "#", "-", "_", " ")


def success(scene: Scene, key: str) -> Act | None:
    """Return an action, if it succeeded."""
    act = scene.act(key)
    return act if act is not None and act.succeeded else None


def done(act: Act) -> Sentence:
    """Say what was done, and by whom if anybody says that; begins a sentence."""
    actor = act.actor or (act.decided.actor if act.decided else None) or act.workload
    if actor is None:
        return sentence("{} ({}) was done", keyed(act.key), act.operation)
    return sentence("{} did {} ({})", principal(actor), act.operation, keyed(act.key))


def action_outside_scope(scene: Scene, key: str) -> Iterator[Finding]:
    """Find actions that need a scope their authority does not effectively have."""
    act = success(scene, key)
    needed = scene.needed(act) if act else None
    if act is None or act.element is None or not needed:
        return
    authority = act.element.key
    missing = tuple(sorted(scope for scope in needed if scene.allows(authority, scope) is False))
    if missing:
        effective = sorted(scene.scopes.effective(authority) or ())
        why = sentence(
            "{}, which needs {}; {} effectively allows {}",
            done(act),
            ", ".join(missing),
            keyed(authority),
            f"only {', '.join(effective)}" if effective else "nothing",
        )
        yield finding(
            "action-outside-scope",
            key,
            why,
            (*act.facts, *facts_of(scene, authority, *scene.scopes.sources(authority))),
            at=act.occurred_at,
            about=authority,
            caused_by=where_widened(scene, authority, missing),
        )


def action_outside_audience(scene: Scene, key: str) -> Iterator[Finding]:
    """Find actions at a tool that is not an audience of the token or its dependencies."""
    act = success(scene, key)
    audience = scene.options.audiences.get(act.tool or "") if act else None
    if act is None or act.element is None or audience is None:
        return
    rests_on = [
        element
        for node in scene.world.graph.above(act.element.key)
        if (element := scene.element(node)) is not None and (node == act.element.key or node.startswith("delegation:"))
    ]
    stated = [found for element in rests_on if (found := audiences(element))]
    if stated and not any(may_cover(found, audience.rstrip("/")) for found in stated):
        audiences_stated = ", ".join(sorted(frozenset().union(*stated)))
        why = sentence(
            "{} at {} ({}), but {} is meant for {}",
            done(act),
            thing("tool", str(act.tool)),
            audience,
            keyed(act.element.key),
            audiences_stated,
        )
        facts = (*act.facts, *act.element.facts)
        yield finding("action-outside-audience", key, why, facts, at=act.occurred_at, about=act.element.key)


def action_outside_task(scene: Scene, key: str) -> Iterator[Finding]:
    """Find actions for another task than the nearest grant above states; a subtask is not another task."""
    act = success(scene, key)
    if act is None or act.task is None or act.element is None:
        return
    level, entered = [act.element.key], {act.element.key}
    while level:
        tasks = {node: element.first("task") for node in level if (element := scene.element(node)) is not None}
        granted = {node: task for node, task in tasks.items() if task is not None}
        if granted:
            if not any(_is_part(act.task, task) for task in granted.values()):
                node = min(granted)
                why = sentence(
                    "{} for the task {}, but {} was granted for {}",
                    done(act),
                    repr(act.task),
                    keyed(node),
                    repr(granted[node]),
                )
                facts = (*act.facts, *facts_of(scene, node))
                yield finding("action-outside-task", key, why, facts, at=act.occurred_at, about=node)
            return
        level = [one for node in level for one in scene.scopes.sources(node) if one not in entered]
        entered.update(level)


def _is_part(task: str, whole: str) -> bool:
    return task == whole or any(task.startswith(whole + separator) for separator in _SUBTASKS)


def used_after_expiry(scene: Scene, key: str) -> Iterator[Finding]:
    """Find uses of an expired token or delegation, or one whose delegation had expired."""
    act = success(scene, key)
    if act is None:
        return
    ends = [
        (scene.end(one), one, at)
        for one, at in _presented(scene, act, act.authority, act.token, act.delegation)
        if scene.element(one)
    ]
    late = [each for each in ends if each[0].at != NEVER and each[2] >= each[0].at + scene.options.leeway]
    end, under, at = min(late, key=lambda each: (each[0].at, each[2], each[1]), default=(None, "", 0))
    if end is None:
        return
    why = sentence("{} at {} under {}, ", done(act), moment(at), keyed(under))
    ended = "which" if end.key == under else sentence("although {}", keyed(end.key))
    why += sentence("{} had ended at {}", ended, moment(end.at))
    severity = None
    if in_time := _uses_in_time(scene, act, under, end.at + scene.options.leeway):
        if min(fact.recorded_at for fact in in_time) < end.at + scene.options.leeway:
            return  # the log knew of it before that end: what came later are reports
        first = in_time[0].event
        why += sentence(", but {} says that it was at {}", thing("source", first.source), moment(first.occurred_at))
        severity = Severity.INFORMATIONAL
    facts = (*act.facts, *facts_of(scene, under, end.key))
    yield finding("used-after-expiry", key, why, facts, at=at, about=end.key, severity=severity)


def _uses_in_time(scene: Scene, act: Act, under: str, limit: Instant) -> list[Fact]:
    """Return the facts each of which alone says that an action succeeded under an element before a moment."""
    world = scene.world
    return [
        fact
        for fact in act.facts
        if fact.event.occurred_at < limit
        and isinstance(fact.event.body, ActionPerformed)
        and fact.event.body.outcome == "succeeded"
        and world.stated_authority((fact,), world.decision_facts((fact,))) == under
    ]


def used_before_valid(scene: Scene, key: str) -> Iterator[Finding]:
    """Find uses before a token or delegation was issued, or before it or its delegation was valid."""
    act = success(scene, key)
    if act is None or act.element is None:
        return
    beginning = scene.beginning_of(act)
    if act.occurred_at < beginning.at - scene.options.leeway:
        used = act.element.key
        why = sentence(
            "{} at {} under {}, which is only valid from {}",
            done(act),
            moment(act.occurred_at),
            keyed(used) if used == beginning.key else sentence("{} of {}", keyed(used), keyed(beginning.key)),
            moment(beginning.at),
        )
        facts = (*act.facts, *facts_of(scene, used, beginning.key))
        yield finding("used-before-valid", key, why, facts, at=act.occurred_at, about=beginning.key)


def used_after_revocation(scene: Scene, key: str) -> Iterator[Finding]:
    """Find uses of elements that an order had ended, when that order could be known."""
    yield from _uses(scene, key, "used-after-revocation")


def tainted_use(scene: Scene, key: str) -> Iterator[Finding]:
    """Find uses of elements that an order had ended before it was known: seen in hindsight, and counted by order."""
    yield from _uses(scene, key, "tainted-use")


def used_while_suspended(scene: Scene, key: str) -> Iterator[Finding]:
    """Find uses of elements that were suspended at the time."""
    yield from _uses(scene, key, "used-while-suspended")


def _uses(scene: Scene, key: str, kind: str) -> Iterator[Finding]:
    act = success(scene, key)
    if act is None:
        return
    reported: set[str] = set()  # one action is one use, however many facts report it
    for used, at in _presented(scene, act, act.authority, act.token):
        orders = scene.ending(used, at)
        known = [order for order in orders if at >= in_force_at(order)]
        revoking = [order for order in known if not order.suspends]
        if kind == "tainted-use":  # revoking something is not a use of it
            ending = [order for order in orders if not order.suspends and order.effective_at < at]
            relevant = [] if revoking else ending
        else:
            relevant = revoking if kind == "used-after-revocation" else [] if revoking else known
        order = min(relevant, key=in_force_at, default=None)
        if order is not None:
            one = _tainted(act, order, at) if kind == "tainted-use" else _used(scene, act, kind, order, (used, at))
            if one.id not in reported:
                reported.add(one.id)
                yield one


def _used(scene: Scene, act: Act, kind: str, order: Order, use: tuple[str, Instant]) -> Finding:
    used, at = use
    how = "suspended" if order.suspends else "revoked"
    why = sentence(
        "{} at {} under {}, which {} had {} at {}",
        done(act),
        moment(at),
        keyed(used),
        thing("revocation", order.body.revocation),
        how,
        moment(in_force_at(order)),
    )
    why += "" if order.key == used else sentence(" with everything that depends on {}", keyed(order.key))
    return finding(kind, act.key, why, (*act.facts, order.fact, *facts_of(scene, used)), at=at, about=used)


def _tainted(act: Act, order: Order, at: Instant) -> Finding:
    revocation = order.body.revocation
    why = sentence(
        "actions succeeded under what {} ended, between {}, when it took effect, and {}, when it could be known",
        thing("revocation", revocation),
        moment(order.effective_at),
        moment(in_force_at(order)),
    )
    return finding("tainted-use", f"revocation:{revocation}", why, (order.fact, *act.facts), at=at)


def _presented(scene: Scene, act: Act, *named: str | None) -> list[tuple[str, Instant]]:
    """Return the elements under which an action was done, and when, by its facts together and by each (clause 10.16).

    A token that it presents counts as used, even if something else that it names is its authority.
    """
    presented = {(key, act.occurred_at) for key in named if key is not None}
    if len(act.facts) > 1 or (act.decided is not None and len(act.decided.facts) > 1):
        presented |= successes_of(scene.world, split_key(act.key)[1])
    return sorted(presented, key=lambda each: (each[1], each[0]))


def unattributed_action(scene: Scene, key: str) -> Iterator[Finding]:
    """Find actions by agents or workloads without authority, or under one that was never granted.

    Authority that was never granted may merely be unknown, as with keys older than the log: then it is reported once
    for the element used, not for every use.
    """
    act = success(scene, key)
    if act is None or act.element is not None:
        return
    actor = act.actor or (act.decided.actor if act.decided else None) or act.workload
    kind = scene.kind(actor) if actor is not None else "unknown"
    if kind == "unknown" and act.workload is not None:  # a workload did it, whatever actor it states
        kind = scene.kind(act.workload)
    at = act.occurred_at
    if act.named and kind in _ACTING_FOR_OTHERS:
        why = sentence(
            "{} did {} ({}) under {}, which nobody granted",
            principal(str(actor)),
            act.operation,
            keyed(key),
            listed(map(keyed, act.named)),
        )
        yield finding(_UNATTRIBUTED, key, why, act.facts, at=at, about=act.named[0])
    elif act.named and kind == "unknown":
        why = sentence(
            "actions succeeded under {}, which nobody granted; what kind of party did them is not known",
            keyed(act.named[0]),
        )
        yield finding(_UNATTRIBUTED, act.named[0], why, act.facts, at=at, severity=Severity.LOW)
    elif act.decision is not None and act.decided is None and kind in _ACTING_FOR_OTHERS and scene.tally.decisions:
        named = f"decision:{act.decision}"
        why = sentence(
            "{} did {} ({}) by {}, which nobody made", principal(str(actor)), act.operation, keyed(key), keyed(named)
        )
        yield finding(_UNATTRIBUTED, key, why, act.facts, at=at, about=named)
    elif kind in _ACTING_FOR_OTHERS and act.decision is None and _names_authority(scene, act.source):
        why = sentence(
            "{} did {} ({}) and names no token, delegation or decision",
            principal(str(actor)),
            act.operation,
            keyed(key),
        )
        yield finding(_UNATTRIBUTED, key, why, act.facts, at=at, severity=Severity.MEDIUM)


def unattributed_source(scene: Scene, key: str) -> Iterator[Finding]:
    """Find sources that never name the authority of agents: one finding instead of one per action."""
    source = key.removeprefix("source:")
    tally = scene.tally.sources.get(source)
    if tally is None or not tally.unattributed or tally.names_authority:
        return
    count, sample = tally.unattributed, tally.samples["unattributed"]
    why = sentence(
        "{} reports {} of agents, but never a token, a delegation or a decision",
        thing("source", source),
        "a successful action" if count == 1 else f"{count} successful actions",
    )
    facts, first, last = (sample.fact,), sample.first, sample.last
    yield finding(_UNATTRIBUTED, key, why, facts, at=first, last=last, count=count, severity=Severity.MEDIUM)


def unattributed(scene: Scene, key: str) -> Iterator[Finding]:
    """Find actions that cannot be attributed, one by one or all actions of a source."""
    return unattributed_source(scene, key) if key.startswith("source:") else unattributed_action(scene, key)


def _names_authority(scene: Scene, source: str) -> bool:
    """Whether a source ever names the authority of an action."""
    tally = scene.tally.sources.get(source)
    return tally is not None and tally.names_authority > 0


def no_needed_scopes(scene: Scene) -> str | None:
    """Explain why rules about needed scopes cannot be evaluated."""
    if scene.tally.needs_known or scene.options.needed or scene.options.operations == "scopes":
        return None
    return (
        "no action or decision states required_scopes, no operation is spelled as a scope, and the table [scopes] "
        "of the settings is empty"
    )


def no_audiences(scene: Scene) -> str | None:
    """Explain why the rule about audiences cannot be evaluated."""
    return None if scene.options.audiences else "the table [audiences] of the settings is empty"


def no_tasks(scene: Scene) -> str | None:
    """Explain why the rule about tasks cannot be evaluated."""
    return None if scene.tally.tasks else "no action states its task"


def no_orders(scene: Scene) -> str | None:
    """Explain why rules about orders have nothing to examine."""
    return None if scene.world.orders else "nothing was ever revoked or suspended"


def no_actions(scene: Scene) -> str | None:
    """Explain why rules about actions have nothing to examine."""
    return None if scene.tally.acting or scene.tally.used else "no action is known"


RULES: Final = (
    Rule(
        kind="action-outside-scope",
        severity=Severity.HIGH,
        title="Done beyond the scopes of its authority",
        of=(ACTION,),
        check=action_outside_scope,
        needs="required_scopes of actions or decisions",
        looks_at=(inputs.USE,),
        settings=("scopes", "operations", "scope_match", "implies"),
        maps_to=("ASI02", "ASI03", "NHI5", "T0053", "M Agent Tool Misuse", "M0028", "MEASURE 2.4"),
        fix="Find out why the tool let it through; revoke the token if it was not meant to do this.",
        missing=no_needed_scopes,
    ),
    Rule(
        kind="action-outside-audience",
        severity=Severity.MEDIUM,
        title="Done where the token is not meant for",
        of=(ACTION,),
        check=action_outside_audience,
        needs="audiences of tokens and delegations",
        looks_at=(inputs.AT_TOOL,),
        settings=("audiences",),
        maps_to=("ASI02", "ASI07", "T0091.000", "M Lateral Movement"),
        fix="Make the tool refuse tokens of other audiences.",
        missing=no_audiences,
    ),
    Rule(
        kind="action-outside-task",
        severity=Severity.MEDIUM,
        title="Done for another task than the one granted",
        of=(ACTION,),
        check=action_outside_task,
        needs="task of actions and of tokens or delegations",
        looks_at=(inputs.USE,),
        maps_to=("ASI02", "ASI10", "MAP 3.3"),
        fix="Find out what the agent was working on; issue a separate grant for the other task.",
        missing=no_tasks,
    ),
    Rule(
        kind="used-after-expiry",
        severity=Severity.HIGH,
        title="Used after it had ended",
        of=(ACTION,),
        check=used_after_expiry,
        needs="expires_at of tokens and delegations",
        looks_at=(inputs.USE,),
        settings=("leeway_seconds",),
        maps_to=("ASI03", "NHI7", "NHI1", "T0091.000"),
        fix="Make the tool check the end of the token and of its delegation.",
    ),
    Rule(
        kind="used-before-valid",
        severity=Severity.MEDIUM,
        title="Used before it was valid",
        of=(ACTION,),
        check=used_before_valid,
        needs="issue times of tokens and delegations",
        looks_at=(inputs.USE,),
        settings=("leeway_seconds",),
        maps_to=("ASI03", "T0091"),
        fix="Compare the clocks of issuer and tool; if they agree, the token was forged or back-dated.",
    ),
    Rule(
        kind="used-after-revocation",
        severity=Severity.CRITICAL,
        title="Used after revocation",
        of=(ACTION,),
        check=used_after_revocation,
        needs="orders and actions",
        looks_at=(inputs.SUCCESS,),
        maps_to=("ASI03", "ASI10", "NHI1", "T0091.000", "MANAGE 2.4", "MANAGE 4.1"),
        fix="Disconnect the tool that still accepts it, and check the closure of the revocation.",
        missing=no_orders,
    ),
    Rule(
        kind="tainted-use",
        severity=Severity.MEDIUM,
        title="Used before the revocation was known",
        of=(ACTION,),
        check=tainted_use,
        needs="orders and actions",
        looks_at=(inputs.SUCCESS,),
        maps_to=("ASI03", "MANAGE 4.3"),
        fix="Review the actions of that time, and undo those that should not have been done.",
        missing=no_orders,
    ),
    Rule(
        kind="used-while-suspended",
        severity=Severity.HIGH,
        title="Used while suspended",
        of=(ACTION,),
        check=used_while_suspended,
        needs="suspensions and actions",
        looks_at=(inputs.SUCCESS,),
        maps_to=("ASI03", "MANAGE 2.4"),
        fix="Make the tool check the state of presented credentials; revoke this one if the suspension was justified.",
        missing=no_orders,
    ),
    Rule(
        kind=_UNATTRIBUTED,
        severity=Severity.HIGH,
        title="Done under nothing that anybody granted",
        of=(ACTION, SOURCE),
        check=unattributed,
        needs="tokens, delegations and decisions of actions",
        looks_at=(inputs.SUCCESS,),
        maps_to=("ASI10", "ASI03", "T0053", "M Repudiation", "MEASURE 2.8", "GOVERN 2.1"),
        fix="Find out which credential was presented, and let its issuer report what it issues.",
        missing=no_actions,
    ),
)
