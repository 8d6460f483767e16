"""Rules about behaviour over time: bursts, repeated denials, repeated findings, things never seen before."""

from collections.abc import Iterator
from typing import Final

from lineage.core.findings.rules.rule import ACTION, DELEGATION, PRINCIPAL, TOKEN, Rule
from lineage.core.findings.rules.using import success
from lineage.core.findings.rules.widening import facts_of
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.tally import crowded, densest
from lineage.core.model.finding import CITED, Finding, Severity, finding, first_seen
from lineage.core.model.sentences import keyed, principal, sentence
from lineage.core.model.times import DAY

_HISTORY: Final = 30 * DAY


def fan_out_burst(scene: Scene, key: str) -> Iterator[Finding]:
    """Find very many delegations, or very many actions, under one element within a minute."""
    element = scene.element(key)
    if element is None:
        return
    options = scene.options
    used = scene.tally.used.get(key)
    granted = [
        child.issued_at
        for name in scene.world.graph.children(key)
        if name.startswith("delegation:") and (child := scene.element(name)) is not None
    ]
    for what, times in (("delegations", granted), ("actions", list(used.times) if used else [])):
        count, first, last = densest(times, options.burst_window) if len(times) > options.burst else (0, 0, 0)
        if count > options.burst:
            happened = f"{count} {what} were {'granted' if what == 'delegations' else 'done'}"
            why = sentence("{} under {} within {} s", happened, keyed(key), f"{(last - first) / 1000000:g}")
            evidence = used.acts.values() if used and what == "actions" else ()
            facts = (*element.facts, *evidence)
            yield finding("fan-out-burst", key, why, facts, at=first, last=last, count=count, about=what)


def repeated_denials(scene: Scene, key: str) -> Iterator[Finding]:
    """Find parties that are denied many different things in a short time."""
    id_ = key.removeprefix("principal:")
    options = scene.options
    denied = scene.tally.denied.get(id_, [])
    if ordered := crowded(denied, options.denials_window, least=options.denials, kinds=options.denials_kinds):
        kinds = {one.what for one in ordered}
        why = sentence(
            "{} was denied {} times, for {} different operations or resources", principal(id_), len(ordered), len(kinds)
        )
        yield finding(
            "repeated-denials",
            key,
            why,
            [one.fact for one in ordered[:CITED]],
            at=ordered[0].at,
            last=ordered[-1].at,
            count=len(ordered),
        )


def repeat_offender(scene: Scene, key: str) -> Iterator[Finding]:
    """Find agents with several open findings of high severity and above within a day."""
    own = sorted(scene.serious.get(key.removeprefix("principal:"), ()), key=lambda one: (first_seen(one), one.id))
    count, first, last = densest([first_seen(one) for one in own], scene.options.offences_window)
    if count >= scene.options.offences:
        within = [one for one in own if first <= first_seen(one) <= last]
        kinds = sorted({one.kind for one in within})
        why = sentence(
            "{} findings of high severity or above on {}: {}",
            count,
            principal(key.removeprefix("principal:")),
            ", ".join(kinds),
        )
        yield finding(
            "repeat-offender",
            key,
            why,
            [fact for one in within for fact in one.facts[-1:]],
            at=first,
            last=last,
            count=count,
            caused_by=[one.id for one in within],
        )


def first_seen_edge(scene: Scene, key: str) -> Iterator[Finding]:
    """Find pairs of delegator and delegatee, or of agent and operation, that were never seen before."""
    if key.startswith("action:"):
        act = success(scene, key)
        actor = scene.actor(act) if act else None
        if act is None or actor is None or scene.kind(actor) != "agent":
            return
        party = scene.party(actor)
        before = scene.tally.successes.get(party, [])
        if before and before[0] <= act.occurred_at - _HISTORY:
            first = scene.tally.operations.get(party, {}).get(act.operation)
            if first is not None and first >= act.occurred_at:
                why = sentence("{} did {} ({}) for the first time", principal(actor), act.operation, keyed(key))
                yield finding("first-seen-edge", key, why, act.facts, at=act.occurred_at)
        return
    element = scene.element(key)
    if element is None:
        return
    delegator, delegatee = scene.party(element.first("delegator")), scene.party(element.first("delegatee"))
    before = scene.tally.grants.get(delegator, [])
    if before and before[0] <= element.issued_at - _HISTORY:
        first = scene.tally.pairs.get(delegator, {}).get(delegatee, element.issued_at)
        if first >= element.issued_at:
            why = sentence(
                "{} delegates to {} for the first time, by {}",
                principal(element.first("delegator")),
                principal(element.first("delegatee")),
                keyed(key),
            )
            yield finding("first-seen-edge", key, why, facts_of(scene, key), at=element.issued_at)


RULES: Final = (
    Rule(
        kind="fan-out-burst",
        severity=Severity.MEDIUM,
        title="Very much at once",
        of=(DELEGATION, TOKEN),
        check=fan_out_burst,
        needs="delegations and actions",
        looks_at=(inputs.ELEMENT,),
        settings=("burst", "burst_window_seconds"),
        maps_to=("ASI08", "T0034.002", "M Resource Hijacking"),
        fix="Suspend it if nobody expected so much; make an exception for agents that work in batches.",
        posture=True,
        wide=True,
    ),
    Rule(
        kind="repeated-denials",
        severity=Severity.MEDIUM,
        title="Denied again and again",
        of=(PRINCIPAL,),
        check=repeated_denials,
        needs="denials",
        looks_at=(inputs.ATTEMPT,),
        settings=("denials", "denials_kinds", "denials_window_minutes"),
        maps_to=("ASI10", "ASI02", "MEASURE 2.4"),
        fix="Find out what it attempts: the cause may be a wrong setting, or an agent that probes for access.",
        posture=True,
        wide=True,
    ),
    Rule(
        kind="repeat-offender",
        severity=Severity.HIGH,
        title="Several serious findings on one agent",
        of=(PRINCIPAL,),
        check=repeat_offender,
        needs="findings",
        looks_at=(inputs.AGENT,),
        settings=("offences", "offences_window_hours"),
        maps_to=("ASI10", "MANAGE 2.3"),
        fix="Suspend the agent, and examine its findings together.",
        posture=True,
        wide=True,
    ),
    Rule(
        kind="first-seen-edge",
        severity=Severity.INFORMATIONAL,
        title="Never seen before",
        of=(DELEGATION, ACTION),
        check=first_seen_edge,
        needs="30 days of history",
        looks_at=(inputs.FACT,),
        maps_to=("ASI03", "ASI10"),
        fix="Check whether it was intended.",
        posture=True,
        wide=True,
        optional=True,
    ),
)
