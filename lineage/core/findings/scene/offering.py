"""The offers of elements and actions to rules, as far as they depend on their surroundings.

Each condition is necessary for its rule to find anything, and cheaper than the rule: values that were computed for the
dependencies of a thing are compared with its own. Where an answer is not obvious, the condition is true.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from lineage.core.authority.elements import Element
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.acts import Act
from lineage.core.findings.scene.links import Granted
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.scopes import Scopes, audiences, claimed, is_wildcard
from lineage.core.model.times import NEVER, Instant

_OUTLIVING: Final = frozenset({"parent", "delegation", "subject"})
_PRESENTED: Final = frozenset({"parent", "delegation", "subject", "refresh", "actor"})
_MADE_FOR: Final = frozenset({"parent", "delegation", "refresh", "replaced"})
_SCOPED: Final = _MADE_FOR | {"subject"}
_NOTHING: Final[frozenset[str]] = frozenset()


def offered_by_element(scene: Scene, element: Element, holder: str | None) -> frozenset[str]:
    """Return what a grant or a token offers to rules."""
    above = scene.granted_above(element)
    holder_kind = scene.kind(holder or "")
    delegator = None if element.key.startswith("token:") else element.first("delegator")
    shape = inputs.shape_of(
        element,
        holder_kind=holder_kind,
        delegator_kind="unknown" if delegator is None else scene.kind(str(delegator)),
        granted=_NOTHING.union(*[roles for _, roles in above]),
    )
    more = [*_beyond(scene, element, above)] if above else []
    if not scene.links.of(element.key).is_plain:
        more.append(inputs.LOOSE_LINK)
    if holder_kind in inputs.MACHINES:
        more += _lasting(scene, element)
    if holder_kind == "agent":
        more += _of_agent(scene, element)
    if not above and scene.kind(str(element.first("subject") or delegator)) in inputs.MACHINES:
        more.append(inputs.MACHINE_ROOT)
    return _together(inputs.in_element(shape), *more)


def _beyond(scene: Scene, element: Element, above: Granted) -> Iterator[str]:
    """Yield the ways in which an element may exceed what it draws on."""
    scopes, places = claimed(element), audiences(element)
    issued_at = scene.issued_at_least(element)
    for parent, roles in above:
        parent_element = scene.element(parent)
        if scopes and not _SCOPED.isdisjoint(roles) and _may_exceed(scopes, scene.scopes.held(parent)):
            yield inputs.WIDER
        if places and not _MADE_FOR.isdisjoint(roles) and _may_exceed(places, scene.audiences.held((parent,))):
            yield inputs.FARTHER
        if not _OUTLIVING.isdisjoint(roles) and parent_element is not None and element.ends_at > parent_element.ends_at:
            yield inputs.LONGER
        if not _PRESENTED.isdisjoint(roles) and issued_at >= scene.end(parent).at:
            yield inputs.TOO_LATE


def _may_exceed(scopes: frozenset[str], held: Scopes) -> bool:
    return held is not None and not scopes <= held


def _lasting(scene: Scene, element: Element) -> Iterator[str]:
    """Yield what is long about the life of an element that a machine holds."""
    options = scene.options
    life = NEVER if element.ends_at == NEVER else element.ends_at - element.issued_at
    if life > min(options.token_life, options.refresh_life, options.delegation_life):
        yield inputs.LONG_LIVED
    if life > options.dormant + options.dormant_left:
        yield inputs.LASTING


def _of_agent(scene: Scene, element: Element) -> Iterator[str]:
    options, scopes = scene.options, claimed(element)
    if len(scopes) > options.scopes or _has_broad(scopes, options.broad):
        yield inputs.BROAD
    if scene.scopes.held(element.key) is None:
        yield inputs.UNSCOPED
    if (
        element.key.startswith("token:")
        and element.first("workload") is None
        and element.first("key_thumbprint") is None
    ):
        yield inputs.UNBOUND


@lru_cache(maxsize=4_096)
def _has_broad(scopes: frozenset[str], broad: frozenset[str]) -> bool:
    return any(is_wildcard(one) or one in broad for one in scopes)


def offered_by_action(scene: Scene, act: Act, valid: tuple[Instant, Instant]) -> frozenset[str]:
    """Return what an action offers to rules, given its ``valid_time``."""
    token = None if act.token is None else scene.element(act.token)
    more = [*_out_of_time(act, *valid)] if act.succeeded else []
    if token is not None and _is_misfit(scene, act, token):
        more.append(inputs.MISFIT)
    return _together(inputs.in_action(act, known_token=token is not None), *more)


def _is_misfit(scene: Scene, act: Act, token: Element) -> bool:
    """Whether an action states another actor, workload or key than its token."""
    return (
        (act.actor is not None and act.actor != scene.holder(token.key))
        or (act.workload is not None and act.workload != token.first("workload"))
        or (act.key_thumbprint is not None and act.key_thumbprint != token.first("key_thumbprint"))
    )


def _out_of_time(act: Act, since: Instant, until: Instant) -> Iterator[str]:
    """Yield whether an action may have been done before or after the time of its authority."""
    if act.occurred_at < since:
        yield inputs.EARLY_USE
    is_told_once = len(act.facts) == 1 and (act.decided is None or len(act.decided.facts) == 1)
    if not is_told_once or act.occurred_at >= until:
        yield inputs.LATE_USE


def valid_time(scene: Scene, act: Act) -> tuple[Instant, Instant]:
    """Return when the authority of an action began, and when the first of what the action names ended."""
    since = 0
    if act.element is not None:
        since = max(act.element.issued_at, scene.beginning(act.element.key).at)
        if act.delegation is not None and act.delegation != act.authority:
            since = max(since, scene.beginning(act.delegation).at)
    named = {act.authority, act.token, act.delegation}
    named.discard(None)
    return since, min([scene.end(str(key)).at for key in named], default=NEVER)


@lru_cache(maxsize=1_024)
def _together(found: frozenset[str], *more: str) -> frozenset[str]:
    """Return one object for equal sets: there are very many things, but few different sets."""
    return found.union(more)
