"""Rules that compare actions with decisions: after a denial, without a decision, other than permitted, too late."""

from collections.abc import Iterator
from typing import Final

from lineage.core.authority.verdict import State
from lineage.core.findings.rules.rule import ACTION, DECISION, Rule
from lineage.core.findings.rules.using import done, success
from lineage.core.findings.rules.widening import facts_of
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.acts import ANY_TOOL, Act, Decided, plain_operation
from lineage.core.findings.scene.entering import request_alike
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.tally import any_between
from lineage.core.model.events import DecisionMade, Fact
from lineage.core.model.finding import CITED, Finding, Severity, finding
from lineage.core.model.sentences import Sentence, keyed, listed, principal, sentence, thing
from lineage.core.model.times import DAY, SECOND, Instant

# The time between a decision and an immediate action: a change within it is a race, not a fault.
_AT_ONCE: Final = 5 * SECOND


def action_without_decision(scene: Scene, key: str) -> Iterator[Finding]:
    """Find actions without a decision, if nearly all actions of their kind in the days before have one."""
    act = success(scene, key)
    if act is None or act.decided is not None:
        return
    if scene.is_decision_usual((act.source, act.operation), act.occurred_at):
        shares = scene.tally.shares[act.source, act.operation]
        count, decided = shares.until(act.occurred_at, scene.options.decision_window)
        why = sentence(
            "{} without a decision; {} of {} successes of this operation that {} reports have one",
            done(act),
            decided,
            count,
            thing("source", act.source),
        )
        yield finding("action-without-decision", key, why, act.facts, at=act.occurred_at)


def action_after_deny(scene: Scene, key: str) -> Iterator[Finding]:
    """Find actions that their decision denies, or that follow a denial of the same request before it was permitted."""
    act = success(scene, key)
    if act is None:
        return
    if act.decided is not None and (denials := act.decided.denials(act.occurred_at + scene.options.leeway)):
        reasons = [reason for fact in denials for reason in getattr(fact.event.body, "reasons", ())]
        why = sentence("{} although {} denied it", done(act), keyed(act.decided.key))
        why += f": {'; '.join(reasons)}" if reasons else ""
        facts = (*act.facts, *denials)
        yield finding("action-after-deny", key, why, facts, at=act.occurred_at, about=act.decided.key)
        return
    yield from _retried(scene, act)


def _retried(scene: Scene, act: Act) -> Iterator[Finding]:
    actor = scene.actor(act)
    resource = act.resource.id if act.resource is not None else None
    alike = None if actor is None else request_alike(scene, actor, act.operation, resource)
    if actor is None or alike is None:
        return
    permitted_at = act.decided.permitted_at(act.occurred_at) if act.decided is not None else -1
    denied = [
        one
        for one in scene.tally.denials.get(alike, ())
        if 0 <= act.occurred_at - one.at <= scene.options.retry_window
        and permitted_at < one.at
        and not any_between(scene.tally.permits.get(alike, []), one.at, act.occurred_at + scene.options.leeway)
    ]
    if denied:
        last = max(denied, key=lambda one: (one.at, one.key))
        seconds = (act.occurred_at - last.at) / SECOND
        why = sentence(
            "{} did {}{} ({}) {} s after {} denied that",
            principal(actor),
            act.operation,
            sentence(" to {}", thing("resource", resource)) if resource is not None else "",
            keyed(act.key),
            f"{seconds:g}",
            keyed(last.key),
        )
        yield finding(
            "action-after-deny",
            act.key,
            why,
            (*act.facts, last.fact),
            at=act.occurred_at,
            about=last.key,
            severity=Severity.HIGH,
        )


def decision_mismatch(scene: Scene, key: str) -> Iterator[Finding]:
    """Find actions that differ from the permit: operation, resource, token, party, or parameters."""
    act = success(scene, key)
    if act is None or act.decided is None or not act.decided.permits:
        return
    if other := [*_differences(scene, act, act.decided)]:
        what = listed((_difference(*each) for each in other), "; ")
        why = sentence("{}, which is not what {} permitted: {}", done(act), keyed(act.decided.key), what)
        facts = (*act.facts, *act.decided.facts)
        yield finding("decision-mismatch", key, why, facts, at=act.occurred_at, about=act.decided.key)


def _differences(scene: Scene, act: Act, decided: Decided) -> Iterator[tuple[str, str, str]]:
    if not _is_same_operation(scene, act, decided):
        yield "operation", decided.operation, act.operation
    if act.resource is not None and decided.resource is not None:
        if act.resource.id != decided.resource.id:
            yield "resource", decided.resource.id, act.resource.id
        elif not _may_be_one_type(decided.resource.type, act.resource.type):
            yield "resource type", str(decided.resource.type), str(act.resource.type)
    if act.token is not None and decided.token is not None and act.token != f"token:{decided.token}":
        yield "token", decided.token, act.token.removeprefix("token:")
    for field in ("actor", "on_behalf_of"):
        permitted, done = getattr(decided, field), getattr(act, field)
        if permitted is not None and done is not None and scene.runner(permitted) != scene.runner(done):
            yield field, permitted, done
    if None not in (act.params_digest, decided.params_digest) and act.params_digest != decided.params_digest:
        yield "params_digest", str(decided.params_digest), str(act.params_digest)


def _may_be_one_type(one: str | None, other: str | None) -> bool:
    """Whether two sources may mean one type of resource: one is unstated, or its word is part of the other's."""
    if one is None or other is None:
        return True
    spelled = plain_operation(one), plain_operation(other)
    return spelled[0] in spelled[1] or spelled[1] in spelled[0]


def _difference(field: str, permitted: str, done: str) -> Sentence:
    kind = {"actor": "principal", "on_behalf_of": "principal", "token": "token", "resource": "resource"}.get(field)
    both = (permitted, done) if kind is None else (thing(kind, permitted), thing(kind, done))
    return sentence("{} {} was permitted, {} was used", field.replace("_", " "), *both)


def _is_same_operation(scene: Scene, act: Act, decided: Decided) -> bool:
    """Whether two sources mean one operation: equal except for punctuation, or needing the same scopes.

    MCP's ``tools/call`` matches any tool; a gateway may name the tool while the decision point names the operation.
    """
    done, permitted = plain_operation(act.operation), plain_operation(decided.operation)
    if done == permitted or ANY_TOOL in (done, permitted):
        return True
    needed = scene.options.needed
    if needed.get(act.operation) is not None and needed.get(act.operation) == needed.get(decided.operation):
        return True
    tool = plain_operation(act.tool) if act.tool is not None else ""
    return bool(tool) and (tool == permitted or tool.endswith(f".{permitted}"))


def decision_reused(scene: Scene, key: str) -> Iterator[Finding]:
    """Find permits used for several successes."""
    decided = scene.decided(key)
    uses = scene.tally.decision_uses.get(key.removeprefix("decision:"), {})
    if decided is None or len(uses) < 2 or not decided.permits:  # noqa: PLR2004  (more than one)
        return
    facts = sorted(uses.items())
    times = [fact.event.occurred_at for _, fact in facts]
    cached = decided.source in scene.options.caching
    why = sentence(
        "{} was used for {} successes: {}", keyed(key), len(uses), listed(keyed(action) for action, _ in facts[:3])
    )
    why += ", …" if len(uses) > 3 else ""  # noqa: PLR2004  (those that are named)
    yield finding(
        "decision-reused",
        key,
        why,
        (*decided.facts, *(fact for _, fact in facts[:CITED])),
        at=min(times),
        last=max(times),
        count=len(uses),
        severity=Severity.INFORMATIONAL if cached else None,
    )


def decision_stale(scene: Scene, key: str) -> Iterator[Finding]:
    """Find actions long after their permit, or after their authority or the policy had changed."""
    act = success(scene, key)
    if act is None or act.decided is None or not act.decided.permits:
        return
    decided = act.decided
    permitted_at = decided.permitted_at(act.occurred_at)
    age = act.occurred_at - permitted_at
    if age <= _AT_ONCE:
        return
    changed = [*_changes(scene, act, decided, permitted_at)]
    if changed or age > scene.options.decision_age:
        why = sentence("{} {} s after {} permitted it", done(act), f"{age / SECOND:g}", keyed(decided.key))
        why += sentence(", and {} in between", listed((change for change, _ in changed), " and ")) if changed else ""
        facts = (*act.facts, *decided.facts, *(fact for _, facts in changed for fact in facts))
        yield finding(
            "decision-stale",
            key,
            why,
            facts,
            at=act.occurred_at,
            about=decided.key,
            severity=Severity.HIGH if changed else None,
        )


def _changes(scene: Scene, act: Act, decided: Decided, permitted_at: Instant) -> Iterator[tuple[str, tuple[Fact, ...]]]:
    if act.element is not None and act.authority is not None:
        before, after = (scene.state(act.authority, at) for at in (permitted_at, act.occurred_at))
        if before is State.ACTIVE and after is not State.ACTIVE:
            yield sentence("{} became {}", keyed(act.authority), after), facts_of(scene, act.authority)
    for fact in decided.facts:
        policy = fact.event.body.policy if isinstance(fact.event.body, DecisionMade) else None
        if policy is not None and policy.version is not None:
            versions = scene.tally.policies.get((decided.source, policy.id), {})
            newer = _newer(versions, policy.version, fact.event.occurred_at, act.occurred_at)
            if newer is not None:
                yield f"version {newer} of the policy {policy.id} came into use", ()


def _newer(versions: dict[str, Instant], version: str, after: Instant, until: Instant) -> str | None:
    """Return the first other version of a policy that was first seen between two instants."""
    found = [(at, other) for other, at in versions.items() if other != version and after < at <= until]
    return min(found)[1] if found else None


def no_decisions(scene: Scene) -> str | None:
    """Explain why rules about decisions cannot be evaluated."""
    return None if scene.tally.decisions else "nobody sends decisions"


def too_few_decisions(scene: Scene) -> str | None:
    """Explain why missing decisions cannot be recognised."""
    options = scene.options
    if any(scene.is_decision_usual(key, day * DAY) for key, own in scene.tally.shares.items() for day in own.days):
        return None
    return (
        f"no source sent decisions for {options.decision_share:.0%} of at least {options.decision_least} successes of "
        "one operation in the time that is looked at"
    )


RULES: Final = (
    Rule(
        kind="action-without-decision",
        severity=Severity.MEDIUM,
        title="Done without a decision",
        of=(ACTION,),
        check=action_without_decision,
        needs="decisions for nearly all successes of an operation",
        looks_at=(inputs.SUCCESS,),
        settings=("decision_share", "decision_least", "decision_window_days"),
        maps_to=("ASI02", "M0028", "MEASURE 2.7"),
        fix="Find the way around the decision point, and close it.",
        missing=too_few_decisions,
        wide=True,
    ),
    Rule(
        kind="action-after-deny",
        severity=Severity.CRITICAL,
        title="Done although it was denied",
        of=(ACTION,),
        check=action_after_deny,
        needs="decisions",
        looks_at=(inputs.SUCCESS,),
        settings=("retry_window_seconds",),
        maps_to=("ASI02", "ASI10", "M Agent Tool Misuse", "T0053", "MEASURE 2.7"),
        fix="Suspend the actor, and find out why the enforcement point let it through.",
        missing=no_decisions,
    ),
    Rule(
        kind="decision-mismatch",
        severity=Severity.HIGH,
        title="Done otherwise than was permitted",
        of=(ACTION,),
        check=decision_mismatch,
        needs="decisions that state what they permit",
        looks_at=(inputs.DECIDED,),
        settings=("scopes",),
        maps_to=("ASI02", "ASI03", "M Agent Tool Misuse"),
        fix="Make the enforcement point compare the request with what was decided.",
        missing=no_decisions,
    ),
    Rule(
        kind="decision-reused",
        severity=Severity.MEDIUM,
        title="One permit used several times",
        of=(DECISION,),
        check=decision_reused,
        needs="decisions named by actions",
        looks_at=(inputs.DECIDED,),
        settings=("caching",),
        maps_to=("ASI03", "MEASURE 2.7"),
        fix="Ask for a decision for each request, or list the decision point as caching.",
        missing=no_decisions,
        wide=True,
    ),
    Rule(
        kind="decision-stale",
        severity=Severity.LOW,
        title="Done long after it was permitted",
        of=(ACTION,),
        check=decision_stale,
        needs="decisions named by actions",
        looks_at=(inputs.DECIDED,),
        settings=("decision_age_seconds",),
        maps_to=("ASI03",),
        fix="Request a new decision if a task takes long, or if its authority or the policy changes.",
        missing=no_decisions,
    ),
)
