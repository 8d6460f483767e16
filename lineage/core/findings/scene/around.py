"""The offers of things to rules that depend on what surrounds them: uses, dependents, orders, denials.

Unlike what a thing states (``inputs.py``) and what it draws on (``offering.py``), these change without it, so they are
determined when it is examined. Each condition is necessary for its rule to find anything: a look-up that decides for
nearly every thing.
"""

from collections.abc import Iterator
from typing import Final

from lineage.core.authority.receivers import issuer_of
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.keys import split_key

_REPLACED: Final = "replaced"
_NOTHING: Final[frozenset[str]] = frozenset()


def offered_around(scene: Scene, subject: str, key: str) -> frozenset[str] | None:
    """Return what the surroundings of a thing offer to rules; None for a thing of which this is not determined."""
    match subject:
        case "token" | "delegation" | "ungranted":
            found = [*_around_element(scene, key)]
        case "action":
            found = [*_around_action(scene, key)]
        case "principal":
            found = [*_around_principal(scene, key)]
        case "named":
            found = [inputs.MANY_BELOW] if _may_reach_many(scene, key) else []
        case _:
            return None
    return frozenset(found) if found else _NOTHING


def _may_reach_many(scene: Scene, key: str) -> bool:
    return scene.reaches is None or not scene.reaches.are_few(key)


def _around_element(scene: Scene, key: str) -> Iterator[str]:
    options, tally = scene.options, scene.tally
    if _may_reach_many(scene, key):
        yield inputs.MANY_BELOW
    if scene.world.orders and (not scene.whole or key in scene.affected):
        yield inputs.ORDERED
    if key.startswith("token:") and (issuer := issuer_of(split_key(key)[1])) and issuer not in tally.sources:
        yield inputs.FOREIGN
    children = scene.world.graph.children(key)
    is_crowded = False
    if children:
        is_crowded = len(children) > options.burst
        if any(_REPLACED in element.parents[key] for child in children if (element := scene.element(child))):
            yield inputs.REPLACED
    used = tally.used.get(key)
    if used is not None:
        is_crowded |= len(used.times) > options.burst
        if len(used.actors) > 1 or len(used.workloads) > 1 or len(used.keys) > 1:
            yield inputs.SHARED
        if len(used.tools) >= options.tools:
            yield inputs.MANY_TOOLS
    if is_crowded:
        yield inputs.CROWDED


def _around_action(scene: Scene, key: str) -> Iterator[str]:
    facts = scene.world.actions.get(split_key(key)[1])
    event = facts[0].event
    operation = str(getattr(event.body, "operation", ""))
    if len(facts) > 1 or scene.is_decision_usual((event.source, operation), event.occurred_at):
        yield inputs.USUALLY_DECIDED


def _around_principal(scene: Scene, key: str) -> Iterator[str]:
    id_ = split_key(key)[1]
    if _may_reach_many(scene, key):
        yield inputs.MANY_BELOW
    if id_ in scene.tally.denied:
        yield inputs.DENIED
    if id_ in scene.world.principals.registrations:
        yield inputs.REGISTRATION
