"""Evaluate the rules over all facts, or over the surroundings of the answer to one question."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Final

from lineage.core.authority.receivers import Deliveries
from lineage.core.authority.world import World
from lineage.core.findings.judging import SUPPRESSED, status_of
from lineage.core.findings.options import Options, RuleOptions
from lineage.core.findings.rules.catalogue import RULES, is_on, severity_of
from lineage.core.findings.rules.rule import (
    KEY,
    NAMED,
    PRINCIPAL,
    RECEIVER,
    REVOCATION,
    RULE,
    SOURCE,
    SUBJECTS,
    TOKEN,
    UNGRANTED,
    Rule,
)
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.entering import enter_all
from lineage.core.findings.scene.scene import IngestionFacts, Scene
from lineage.core.model.events import Fact
from lineage.core.model.finding import Finding, Severity, merged
from lineage.core.model.times import Instant

REPEAT: Final = "repeat-offender"
"""The rule that examines the findings of all other rules."""
Timing = Callable[[str, Iterable[Finding]], list[Finding]]
"""Consumes the findings of a rule, and records under its name how long that took."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of an evaluation.

    Attributes:
        findings: By id.
        not_evaluated: The reason for each rule that was not evaluated, by kind.
    """

    findings: dict[str, Finding]
    not_evaluated: dict[str, str]


def evaluate(
    facts: Iterable[Fact],
    options: Options,
    at: Instant,
    *,
    world: World | None = None,
    intake: IngestionFacts | None = None,
    deliveries: Deliveries | None = None,
    timing: Timing | None = None,
) -> Report:
    """Evaluate every rule over all given facts. Slow; the reference for every faster evaluation.

    Args:
        facts: The relevant facts: authorised, and known at the time of knowledge asked for.
        options: The settings.
        at: The instant asked about.
        world: A world with the facts; None to build it.
        intake: The observations of ingestion.
        deliveries: The deliveries to receivers, with their times.
        timing: Measures how long each rule takes.
    """
    known = list(dict.fromkeys(facts))
    world = World(known) if world is None else world
    scene = Scene(world, options, at, whole=True, deliveries=deliveries, intake=intake)
    enter_all(scene, known)
    found = [*look(scene, world.graph.facts, timing=timing)]
    found += look(scene, (f"decision:{id_}" for id_ in world.decisions), timing=timing)
    found += look(scene, (f"action:{id_}" for id_ in world.actions), timing=timing)
    return conclude(scene, found, timing=timing)


def look(
    scene: Scene,
    keys: Iterable[str],
    *,
    narrow: bool = False,
    without: frozenset[str] = frozenset(),
    timing: Timing | None = None,
) -> Iterator[Finding]:
    """Find what is wrong with each of some things.

    Args:
        scene: The scene.
        keys: The things.
        narrow: Leave out the rules that need all facts.
        without: The kinds of rules to leave out.
        timing: Measures how long each rule takes.
    """
    by_subject = _by_subject(tuple(scene.options.rules.items()), narrow=narrow, without=without)
    for key in keys:
        if is_known(scene, key):
            for rule in by_subject.get(subject_of(scene, key), ()):
                if timing is None:
                    yield from rule.check(scene, key)
                else:
                    yield from timing(rule.kind, rule.check(scene, key))


def conclude(scene: Scene, found: Iterable[Finding], *, timing: Timing | None = None) -> Report:
    """Add the findings that need all facts: about principals, revocations, sources, and aggregates."""
    findings = [*found, *look(scene, others(scene), timing=timing)]
    missing = {rule.kind: why for rule in RULES.values() if (why := reason_not_evaluated(scene, rule)) is not None}
    report = merged(one for one in findings if one.kind not in missing)
    missing |= without_input(scene, {one.kind for one in report.values()} | missing.keys())
    if REPEAT not in missing:
        scene.serious = _serious(scene, report.values())
        rule = RULES[REPEAT]
        repeated = [one for party in sorted(scene.serious) for one in rule.check(scene, f"principal:{party}")]
        report |= merged(repeated)
    return Report(report, missing)


def subject_of(scene: Scene, key: str) -> str:
    """Return the kind of subject by which rules are selected for a thing."""
    kind = key.partition(":")[0]
    if kind == TOKEN:
        return TOKEN if scene.world.graph.granted(key) else UNGRANTED
    return NAMED if kind in ("client", "session") else kind


@lru_cache(maxsize=64)
def _by_subject(
    settings: tuple[tuple[str, RuleOptions], ...], *, narrow: bool, without: frozenset[str]
) -> Mapping[str, list[Rule]]:
    """Return the rules by what they examine; kept, because an answer about one thing asks for them twice."""
    found: dict[str, list[Rule]] = {subject: [] for subject in SUBJECTS}
    options = Options(rules=dict(settings))
    for rule in RULES.values():
        if is_on(rule, options) and rule.kind not in {REPEAT, *without} and not (narrow and rule.wide):
            for subject in rule.of:
                found[subject].append(rule)
    return found


def is_known(scene: Scene, key: str) -> bool:
    """Whether anything was known about a thing at the instant asked about."""
    kind, _, id_ = key.partition(":")
    world = scene.world
    match kind:
        case "token" if not world.graph.granted(key):
            children = (world.graph.facts.get(child) for child in world.graph.children(key))
            return key in scene.tally.used or any(scene.is_known(facts) for facts in children)
        case "token" | "delegation":
            return scene.is_known(world.graph.facts.get(key))
        case "action":
            return scene.is_known(world.actions.get(id_))
        case "decision":
            return scene.is_known(world.decisions.get(id_))
        case _:  # aggregates were known when they were entered
            return True


def others(scene: Scene) -> Iterator[str]:
    """Yield the things that are examined besides elements, decisions and actions."""
    world, tally = scene.world, scene.tally
    principals = {*tally.principals, *tally.denied, *scene.orders_by, *world.principals.registrations}
    principals |= set(world.principals.bindings)
    yield from (f"{PRINCIPAL}:{id_}" for id_ in sorted(principals))
    yield from sorted(_ungranted(scene))
    yield from sorted(tally.wielded)
    yield from (f"{KEY}:{thumbprint}" for thumbprint in sorted(scene.bound_by_key))
    revocations = {*world.orders.by_id, *world.orders.lifts, *world.receivers.acknowledgements}
    yield from (f"{REVOCATION}:{id_}" for id_ in sorted(revocations))
    yield from (f"{RECEIVER}:{id_}" for id_ in sorted(world.receivers.registrations))
    noticed = [*scene.intake.unauthorised, *(fact for pair in scene.intake.holes for fact in pair)]
    noticed += [fact for group in scene.intake.conflicts for fact in group]
    sources = {*tally.sources, *(fact.event.source for fact in noticed)}
    sources |= {sent.source for sent in scene.intake.credentials}
    yield from (f"{SOURCE}:{source}" for source in sorted(sources))
    yield from sorted({f"{RULE}:{each.rule}" for each in scene.options.exempted})


def _ungranted(scene: Scene) -> set[str]:
    """Return the tokens that are used or drawn on, and that nobody granted."""
    graph = scene.world.graph
    return {key for key in (*scene.tally.used, *graph) if key.startswith("token:") and not graph.granted(key)}


def is_subject(scene: Scene, key: str) -> bool:
    """Whether a full evaluation examines a thing."""
    kind, _, id_ = key.partition(":")
    world, tally = scene.world, scene.tally
    match kind:
        case "principal":
            named = id_ in tally.principals or id_ in tally.denied or id_ in scene.orders_by
            return named or id_ in world.principals.registrations or id_ in world.principals.bindings
        case "client" | "session":
            return key in tally.wielded
        case _:
            return True


def reason_not_evaluated(scene: Scene, rule: Rule) -> str | None:
    """Explain why a rule cannot be evaluated or is disabled; None if it is evaluated."""
    if not is_on(rule, scene.options):
        settings = scene.options.rules.get(rule.kind)
        return "it is off unless it is switched on" if settings is None else "it is switched off in the settings"
    return rule.missing(scene) if rule.missing is not None else None


def without_input(scene: Scene, evaluated: Collection[str]) -> dict[str, str]:
    """Explain which of the other rules had no input: a rule without input has not passed."""
    offered = {*scene.registered_inputs, *_offered_besides(scene)}.union(*scene.tally.inputs)
    return {
        rule.kind: f"no {lacking} is known"
        for rule in RULES.values()
        if rule.kind not in evaluated
        and (lacking := next((one for one in rule.looks_at if one not in offered), None)) is not None
    }


def _offered_besides(scene: Scene) -> set[str]:
    """Return the inputs that aggregates, ingestion and settings offer to rules."""
    tally, intake = scene.tally, scene.intake
    named = chain(tally.principals, scene.world.principals.registrations, scene.world.principals.bindings)
    offered = {
        inputs.AGENT: any(scene.kind(id_) == "agent" for id_ in named),
        inputs.CLIENT: bool(tally.wielded),
        inputs.EXCEPTION: bool(scene.options.exempted),
        inputs.FACT: bool(tally.sources or intake.unauthorised or intake.conflicts or intake.credentials),
    }
    return {what for what, there in offered.items() if there}


def _serious(scene: Scene, findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Group the open findings of high severity and above by the responsible agent."""
    found: dict[str, list[Finding]] = {}
    for one in findings:
        if severity_of(one.kind, one.severity, scene.options) < Severity.HIGH:
            continue
        if status_of(one, scene.world.judgements, scene.options, scene.at) == SUPPRESSED:
            continue
        party = doer(scene, one)
        if party is not None and scene.kind(party) == "agent":
            found.setdefault(scene.party(party), []).append(one)
    return found


def doer(scene: Scene, one: Finding) -> str | None:
    """Return the responsible party of a finding: the actor, the token's holder, or the delegator."""
    kind, _, id_ = one.of.partition(":")
    match kind:
        case "action":
            act = scene.act(one.of)
            return scene.actor(act) if act is not None else None
        case "token":
            return scene.holder(one.of)
        case "delegation":
            element = scene.element(one.of)
            return str(element.first("delegator")) if element is not None else None
        case "principal":
            return id_
        case _:
            return None
