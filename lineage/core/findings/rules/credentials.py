"""Rules about credentials that are used twice, after their replacement, by several parties, or with too many tools."""

from collections.abc import Collection, Iterator
from itertools import groupby
from typing import Any, Final

from lineage.core.authority.elements import Element
from lineage.core.findings.rules.rule import DELEGATION, TOKEN, UNGRANTED, Rule
from lineage.core.findings.rules.widening import facts_of
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.scopes import audiences
from lineage.core.findings.scene.tally import Sample, Used
from lineage.core.model.events import Fact
from lineage.core.model.finding import Finding, Severity, finding
from lineage.core.model.sentences import Sentence, keyed, listed, principal, sentence, thing
from lineage.core.model.times import NEVER, SECOND, Instant

_MULTIPLE: Final = 2
# Fields that describe a grant: a restatement that differs only in these states nothing new.
_DESCRIPTIVE: Final = frozenset({"purpose", "token_type", "issued_at", "expires_at", "instruction_source"})

_PARTIES: Final = frozenset({"delegator", "delegatee", "subject", "actor", "approved_by"})


def credential_replay(scene: Scene, key: str) -> Iterator[Finding]:
    """Find single-use credentials used twice, grants stated again, and tokens issued under two delegations."""
    element = scene.element(key)
    if element is None:
        return
    if any(getattr(fact.event.body, "single_use", None) for fact in element.facts):
        yield from _used_twice(scene, element)
    yield from _restated(scene, element)
    delegations = {
        delegation: fact
        for fact in reversed(element.facts)
        if (delegation := getattr(fact.event.body, "delegation", None)) is not None
    }
    if len(delegations) >= _MULTIPLE:
        why = sentence(
            "{} was issued under {}",
            keyed(key),
            listed((thing("delegation", one) for one in sorted(delegations)), " and under "),
        )
        last = max(fact.event.occurred_at for fact in delegations.values())
        yield finding("credential-replay", key, why, delegations.values(), at=last, about="delegation")


def _used_twice(scene: Scene, element: Element) -> Iterator[Finding]:
    """Find a credential with several uses: delegation, exchange or action; a renewal for the next use counts as one."""
    uses: dict[str, tuple[int, tuple[Fact, ...]]] = {}
    used = scene.tally.used.get(element.key)
    for action, fact in used.acts.items() if used else ():
        uses[action] = (fact.event.occurred_at, (fact,))
    for child in scene.world.graph.children(element.key):
        issued = scene.element(child)
        if issued is not None and child != element.key:
            uses[child] = (issued.issued_at, issued.facts)
    if len(uses) < _MULTIPLE:
        return
    ordered = sorted(uses.items(), key=lambda item: (item[1][0], item[0]))
    why = sentence(
        "{} is for one use, and was used {} times: {}",
        keyed(element.key),
        len(uses),
        listed(keyed(key) for key, _ in ordered[:3]),
    )
    why += ", …" if len(uses) > 3 else ""  # noqa: PLR2004  (those that are named)
    facts = (*element.facts, *(fact for _, (_, facts) in ordered for fact in facts))
    times = [at for _, (at, _) in ordered]
    yield finding(
        "credential-replay", element.key, why, facts, at=times[1], last=times[-1], count=len(uses), about="single_use"
    )


def _restated(scene: Scene, element: Element) -> Iterator[Finding]:
    """Find a grant that one source states again later, under another event id, with no later end and nothing new."""
    by_source: dict[str, list[Fact]] = {}
    for fact in element.facts if len(element.facts) > 1 else ():
        by_source.setdefault(fact.event.source, []).append(fact)
    restated = {source: _again(scene, facts) for source, facts in by_source.items()}
    renewed = {at for _, moments in restated.values() for at in moments}
    for source, facts in by_source.items():
        if source in scene.options.restating:
            continue
        # What one source tells at the moment of a renewal that another one tells is of that renewal.
        again = [fact for fact in restated[source][0] if fact.event.occurred_at not in renewed]
        if again:
            why = sentence(
                "{} stated {} {} times, with nothing new", thing("source", source), keyed(element.key), len(again) + 1
            )
            yield finding(
                "credential-replay",
                element.key,
                why,
                (facts[0], *again),
                at=again[0].event.occurred_at,
                last=again[-1].event.occurred_at,
                count=len(again),
                about=f"source:{source}",
            )


def _again(scene: Scene, facts: list[Fact]) -> tuple[list[Fact], set[Instant]]:
    """Return the facts of one source, in order, that state nothing new, and the moments at which it states more.

    Facts of one moment are one statement.
    """
    first, *others = facts
    known, ids = _stated(scene, first), {first.event.event_id}
    ends = {_end_of(first)}
    again: list[Fact] = []
    renewed: set[Instant] = set()
    for at, statement in groupby(others, lambda fact: fact.event.occurred_at):
        parts = list(statement)
        values = {each for fact in parts for each in _stated(scene, fact)}
        stated_ends = {_end_of(fact) for fact in parts}
        if at > first.event.occurred_at:
            if values <= known and all(_is_no_later(end, ends) for end in stated_ends):
                again += (fact for fact in parts if fact.event.event_id not in ids)
            else:
                renewed.add(at)
        known |= values
        ends |= stated_ends
        ids |= {fact.event.event_id for fact in parts}
    return again, renewed


def _is_no_later(end: int | None, ends: Collection[int | None]) -> bool:
    return end is None or any(known is not None and end <= known for known in ends)


def _stated(scene: Scene, fact: Fact) -> set[tuple[str, Any]]:
    """Return the content of a fact about a grant, without descriptive fields, and with one id for each party."""
    body = fact.event.body
    members = zip(body._fields, body, strict=True)
    return {
        (field, scene.party(str(value)) if field in _PARTIES else value)
        for field, value in members
        if field not in _DESCRIPTIVE and value not in (None, (), False)
    }


def _end_of(fact: Fact) -> int | None:
    ends_at = getattr(fact.event.body, "expires_at", None)
    return None if ends_at is None else int(ends_at)


def refresh_token_reuse(scene: Scene, key: str) -> Iterator[Finding]:
    """Find tokens renewed or used after their replacement; a lost response may be retried at once (RFC 9700, 4.14)."""
    children = [
        (child.issued_at, child.key, roles)
        for name in scene.world.graph.children(key)
        if (child := scene.element(name)) is not None and (roles := set(child.parents[key])) & {"refresh", "replaced"}
    ]
    replaced = min(((at, child) for at, child, roles in children if "replaced" in roles), default=None)
    if replaced is None:
        return
    at, successor = replaced
    grace = at + scene.options.rotation_grace
    for issued_at, reissued, _ in sorted(children, key=lambda one: (one[0], one[1])):
        if issued_at > grace and reissued != successor:
            seconds = (issued_at - at) / SECOND
            why = sentence(
                "{} was derived from {} {} s after {} had replaced it",
                keyed(reissued),
                keyed(key),
                f"{seconds:g}",
                keyed(successor),
            )
            facts = facts_of(scene, key, successor, reissued)
            yield finding("refresh-token-reuse", key, why, facts, at=issued_at, about=reissued)
    used = scene.tally.used.get(key)
    if used is not None and (late := used.after(grace)):
        why = sentence(
            "{} was used {} {} after {} had replaced it",
            keyed(key),
            late,
            "time" if late == 1 else "times",
            keyed(successor),
        )
        facts = (*facts_of(scene, key, successor), *(fact for fact in used.acts.values() if _at(fact) > grace))
        times = [moment for moment in used.times if moment > grace]
        yield finding(
            "refresh-token-reuse", key, why, facts, at=min(times), last=max(times), count=late, about=successor
        )


def _at(fact: Fact) -> int:
    return fact.event.occurred_at


def credential_shared(scene: Scene, key: str) -> Iterator[Finding]:
    """Find tokens, whether or not anybody granted them, that were used with different keys, workloads or actors."""
    used = scene.tally.used.get(key)
    if used is None:
        return
    hands = {"key": used.keys, "workload": used.workloads, "actor": used.actors}
    several = {name: found for name, found in hands.items() if len(found) >= _MULTIPLE}
    if not several:
        return
    name, found = next(iter(several.items()))
    parties = sorted(found)
    how = "with" if name == "key" else "by"
    why = sentence("{} was used {} {} {}s: ", keyed(key), how, len(parties), name)
    why += listed(_hand(scene, name, party) for party in parties[:3])
    why += ", …" if len(parties) > 3 else ""  # noqa: PLR2004  (those that are named)
    samples = [found[party] for found in several.values() for party in sorted(found)]
    yield finding(
        "credential-shared",
        key,
        why,
        (*facts_of(scene, key), *(sample.fact for sample in samples)),
        at=_second(found),
        last=max(sample.last for sample in samples),
        count=len(parties),
        severity=Severity.MEDIUM if name == "actor" else None,
    )


def _hand(scene: Scene, name: str, party: str) -> Sentence:
    """Name a key, a workload or an actor; of a key or workload that is bound to one agent, that agent is known."""
    if name == "actor" or (name == "workload" and scene.kind(party) == "workload"):
        return principal(party)
    is_bound = name == "workload" or (party not in scene.bound_by_key and scene.kind(party) != "unknown")
    return sentence("that of {}", principal(party)) if is_bound else thing("key", party)


def _second(found: dict[str, Sample]) -> int:
    return sorted(sample.first for sample in found.values())[1]


def credential_across_tools(scene: Scene, key: str) -> Iterator[Finding]:
    """Find tokens used with many tools over a long time, which are probably cached and valid everywhere."""
    element, used = scene.element(key), scene.tally.used.get(key)
    if element is None or used is None or len(audiences(element)) == 1:
        return
    if len(used.tools) < scene.options.tools or not _is_long(used, scene.options.tools_window):
        return
    tools = sorted(used.tools)
    why = sentence(
        "{} was used at {} tools: {}", keyed(key), len(tools), listed(thing("tool", tool) for tool in tools[:5])
    )
    yield finding(
        "credential-across-tools",
        key,
        why,
        (*element.facts, *(used.tools[tool].fact for tool in tools)),
        at=min(used.times),
        last=used.last,
        count=len(tools),
        severity=Severity.MEDIUM if element.ends_at == NEVER else None,
    )


def _is_long(used: Used, window: int) -> bool:
    return used.last - min(used.times) > window


RULES: Final = (
    Rule(
        kind="credential-replay",
        severity=Severity.HIGH,
        title="A credential used or stated twice",
        of=(DELEGATION, TOKEN),
        check=credential_replay,
        needs="grants and tokens, and their uses",
        looks_at=(inputs.ELEMENT,),
        settings=("restating",),
        maps_to=("ASI07", "ASI03", "NHI4", "T0091.000", "M Agent Identity Attack"),
        fix="Revoke it, and let the service that accepts it remember the credentials that it has seen.",
    ),
    Rule(
        kind="refresh-token-reuse",
        severity=Severity.HIGH,
        title="Used again after it was replaced",
        of=(TOKEN, UNGRANTED),
        check=refresh_token_reuse,
        needs="derivations of tokens",
        looks_at=(inputs.RENEWED,),
        settings=("rotation_grace_seconds",),
        maps_to=("NHI4", "T0091.000", "ASI03"),
        fix="Revoke the token with everything derived from it: one of its two holders is not legitimate.",
    ),
    Rule(
        kind="credential-shared",
        severity=Severity.HIGH,
        title="One token in several hands",
        of=(TOKEN, UNGRANTED),
        check=credential_shared,
        needs="actors, workloads or keys of actions",
        looks_at=(inputs.PRESENTED,),
        maps_to=("NHI9", "ASI03", "T0091.000", "M0027"),
        fix="Revoke the token, and bind the next one to a key or a workload.",
    ),
    Rule(
        kind="credential-across-tools",
        severity=Severity.LOW,
        title="One token good at many tools",
        of=(TOKEN,),
        check=credential_across_tools,
        needs="tools of actions",
        looks_at=(inputs.AT_TOOL,),
        settings=("tools", "tools_window_seconds"),
        maps_to=("ASI03", "NHI9", "NHI7", "T0091.000"),
        fix="Issue a short-lived token for each tool, with that tool as its audience.",
        wide=True,
    ),
)
