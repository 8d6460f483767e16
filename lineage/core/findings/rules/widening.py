"""Rules about delegation: a child must not exceed its sources in scopes, audiences, time or depth.

Each violation is reported at the edge that widens, and not again below it.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from lineage.core.authority.elements import Element
from lineage.core.findings.options import LOGIN_SCOPES
from lineage.core.findings.rules.rule import DELEGATION, TOKEN, Rule
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.scopes import Scopes, audiences, claimed, lacking, may_cover
from lineage.core.model.events import Fact
from lineage.core.model.finding import Finding, Severity, finding, finding_id
from lineage.core.model.sentences import keyed, listed, moment, principal, sentence
from lineage.core.model.times import NEVER, Instant

SCOPE_EXCEEDS: Final = "scope-exceeds-parent"
_DEPTH: Final = "delegation-depth-exceeded"


class ParentLink(NamedTuple):
    """The elements that an element draws on together."""

    parents: tuple[str, ...]
    role: str  # delegation, parent, renewed or subject


def edges(scene: Scene, element: Element) -> Iterator[ParentLink]:
    """Yield the elements that an element draws on, in groups.

    The ``actor`` token of an exchange, which identifies the user of the new token, is never among them.
    """
    if parents := scene.granted_parents(element, "parent"):
        yield ParentLink(tuple(parents), "parent")
    if delegations := scene.granted_parents(element, "delegation"):
        yield ParentLink(tuple(delegations), "delegation")
    for parent in scene.granted_parents(element, "refresh", "replaced"):
        yield ParentLink((parent,), "renewed")
    for parent in scene.granted_parents(element, "subject"):
        yield ParentLink((parent,), "subject")


def widened(scene: Scene, key: str) -> Iterator[tuple[ParentLink, Scopes, tuple[str, ...]]]:
    """Yield each edge at which an element exceeds its sources' scopes: the sources' scopes, and the excess."""
    element = scene.element(key)
    scopes = claimed(element) if element else frozenset()
    if element is None or not scopes:
        return
    for edge in edges(scene, element):
        held = scene.scopes.union(edge.parents)
        if edge.role == "subject" and held is not None:
            held -= LOGIN_SCOPES
            if not held:
                continue
        if too_much := lacking(held, scopes, scene.options):
            yield edge, held, too_much


def scope_exceeds_parent(scene: Scene, key: str) -> Iterator[Finding]:
    """Find scopes that no parent holds."""
    for edge, held, too_much in widened(scene, key):
        subject = edge.role == "subject"
        why = sentence(
            "{} claims {}, but {} {} only {}",
            keyed(key),
            _words(too_much),
            listed(map(keyed, edge.parents), " and "),
            "holds" if len(edge.parents) == 1 else "hold",
            _words(sorted(held or ())) or "no scopes",
        )
        yield finding(
            SCOPE_EXCEEDS,
            key,
            why,
            facts_of(scene, key, *edge.parents),
            at=issued_at(scene, key),
            about=edge.parents[0],
            severity=Severity.LOW if subject else None,
            caused_by=_wider_above(scene, key, too_much) if subject else (),
        )


def _wider_above(scene: Scene, key: str, too_much: tuple[str, ...]) -> tuple[str, ...]:
    """Return the findings of a token's delegations at which the same scopes were added."""
    element = scene.element(key)
    delegations = scene.granted_parents(element, "delegation") if element else []
    return tuple(cause for delegation in delegations for cause in where_widened(scene, delegation, too_much))


def where_widened(scene: Scene, key: str, scopes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids of the findings, at an element or a delegation above it, at which some scopes were added."""
    waiting, entered = [key], {key}
    while waiting:
        node = waiting.pop(0)
        causes = [
            finding_id(SCOPE_EXCEEDS, node, edge.parents[0])
            for edge, _, too_much in widened(scene, node)
            if edge.role != "subject" and not set(too_much).isdisjoint(scopes)
        ]
        if causes:
            return tuple(sorted(causes))
        fresh = [one for one in scene.scopes.sources(node) if one not in entered]
        entered.update(fresh)
        waiting += fresh
    return ()


def audience_exceeds_parent(scene: Scene, key: str) -> Iterator[Finding]:
    """Find audiences that no parent has. An exchange exists to change the audience, so it is not compared."""
    element = scene.element(key)
    claimed = audiences(element) if element else frozenset()
    if element is None or not claimed:
        return
    for edge in edges(scene, element):
        held = scene.audiences.held(edge.parents) if edge.role != "subject" else None
        if held is not None and (too_much := sorted(one for one in claimed if not may_cover(held, one))):
            why = sentence(
                "{} may be used at {}, but {} only at {}",
                keyed(key),
                _words(too_much),
                listed(map(keyed, edge.parents)),
                _words(sorted(held)),
            )
            facts = facts_of(scene, key, *edge.parents)
            yield finding("audience-exceeds-parent", key, why, facts, at=element.issued_at, about=edge.parents[0])


def outlives_parent(scene: Scene, key: str) -> Iterator[Finding]:
    """Find elements that end later than a dependency, or never. A refreshed token may outlive the one it renews."""
    element = scene.element(key)
    if element is None:
        return
    for role in ("parent", "delegation", "subject"):
        for parent in scene.granted_parents(element, role):
            above = scene.element(parent)
            ends_at = above.ends_at if above else NEVER
            if element.ends_at > _later(ends_at, scene.options.leeway):
                why = sentence("{} {}, but {} {}", keyed(key), _end(element.ends_at), keyed(parent), _end(ends_at))
                severity = Severity.INFORMATIONAL if role == "subject" else None
                yield finding(
                    "outlives-parent",
                    key,
                    why,
                    facts_of(scene, key, parent),
                    at=element.issued_at,
                    about=parent,
                    severity=severity,
                )


def delegation_depth_exceeded(scene: Scene, key: str) -> Iterator[Finding]:
    """Find more levels of delegation below a delegation or principal than it allows, along the longest path."""
    allowed = scene.depth(key)
    element = scene.element(key)
    if allowed is None or allowed.left >= 0 or element is None:
        return
    kind, _, id_ = allowed.limit.partition(":")
    if kind == "principal":
        most = scene.max_delegation_depth(id_)
        limits = tuple(
            fact
            for fact in scene.world.principals.facts_of(id_)
            if getattr(fact.event.body, "max_delegation_depth", None) is not None
        )
        what = sentence("{} may delegate {}", principal(id_), _levels(most))
    else:
        limit = scene.element(allowed.limit)
        most = limit.first("max_depth") if limit else None
        limits = limit.facts if limit else ()
        what = sentence("{} may be delegated {}", keyed(allowed.limit), _levels(most))
    beyond = "1 level" if allowed.left == -1 else f"{-allowed.left} levels"
    why = sentence("{} is {} too deep: {}", keyed(key), beyond, what)
    causes = [
        finding_id(_DEPTH, parent, above.limit)
        for parent in scene.granted_parents(element, "parent")
        if (above := scene.depth(parent)) is not None and above.left < 0
    ]
    yield finding(
        _DEPTH,
        key,
        why,
        (*element.facts, *limits),
        at=element.issued_at,
        about=allowed.limit,
        caused_by=causes,
    )


def facts_of(scene: Scene, *keys: str) -> tuple[Fact, ...]:
    """Return the facts that grant some elements."""
    return scene.world.graph.facts.of(keys)


def issued_at(scene: Scene, key: str) -> Instant:
    """Return when an element was issued, by the earliest of its facts."""
    element = scene.element(key)
    return element.issued_at if element else 0


def _later(at: Instant, by: Instant) -> Instant:
    return at if at == NEVER else at + by


def _levels(most: int | None) -> str:
    if not most:
        return "no further"
    return "1 level further" if most == 1 else f"{most} levels further"


def _end(at: Instant) -> str:
    return "has no end" if at == NEVER else sentence("ends at {}", moment(at))


def _words(words: tuple[str, ...] | list[str]) -> str:
    return ", ".join(words)


RULES: Final = (
    Rule(
        kind=SCOPE_EXCEEDS,
        severity=Severity.HIGH,
        title="More scopes than what it draws on",
        of=(DELEGATION, TOKEN),
        check=scope_exceeds_parent,
        needs="scopes of delegations and tokens",
        looks_at=(inputs.SCOPED_CHILD,),
        settings=("scope_match", "implies"),
        maps_to=("ASI03", "NHI5", "M Privilege Escalation", "T0012", "MEASURE 2.7"),
        fix="Revoke the wider grant, and let its issuer cut the scopes to those of the parent.",
    ),
    Rule(
        kind="audience-exceeds-parent",
        severity=Severity.MEDIUM,
        title="Valid at more places than what it draws on",
        of=(DELEGATION, TOKEN),
        check=audience_exceeds_parent,
        needs="audiences of delegations and tokens",
        looks_at=(inputs.PLACED_CHILD,),
        maps_to=("ASI03", "NHI5", "M Lateral Movement", "T0091.000"),
        fix="Revoke the grant, and issue it for the audience of its parent alone.",
    ),
    Rule(
        kind="outlives-parent",
        severity=Severity.MEDIUM,
        title="Lives longer than what it rests on",
        of=(DELEGATION, TOKEN),
        check=outlives_parent,
        needs="expires_at of delegations and tokens",
        looks_at=(inputs.CHILD,),
        settings=("leeway_seconds",),
        maps_to=("ASI03", "NHI7", "MANAGE 2.4"),
        fix="Let the issuer set its end no later than its parent's; revoke it if the parent's task is done.",
    ),
    Rule(
        kind=_DEPTH,
        severity=Severity.HIGH,
        title="Handed on deeper than allowed",
        of=(DELEGATION,),
        check=delegation_depth_exceeded,
        needs="max_depth of delegations or max_delegation_depth of principals",
        looks_at=(inputs.DELEGATION, inputs.DEPTH),
        maps_to=("ASI08", "ASI03", "M Goal Misalignment Cascades", "T0034.002"),
        fix="Revoke this delegation, and use reach to review what was done below it.",
    ),
)
