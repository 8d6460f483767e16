"""The offers of things to rules that depend on what surrounds them: uses, dependents, orders, denials.

Unlike what a thing states (``inputs.py``) and what it draws on (``offering.py``), these change without it, so they are
determined when it is examined. Each condition is necessary for its rule to find anything: a look-up that decides for
nearly every thing.
"""

from typing import Final

from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.entering import ActionEntry, DecisionEntry, ElementEntry
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.keys import split_key

_REPLACED: Final = "replaced"
_NOTHING: Final[frozenset[str]] = frozenset()
_DECIDED: Final = frozenset({inputs.USUALLY_DECIDED})
Entry = ElementEntry | ActionEntry | DecisionEntry


def offered_around(scene: Scene, subject: str, key: str, entry: Entry | None) -> frozenset[str] | None:
    """Return what the surroundings of a thing offer to rules; None for a thing of which this is not determined.

    Args:
        scene: The facts and aggregates.
        subject: The kind of subject by which rules are selected for the thing.
        key: The thing.
        entry: Its contribution to the aggregates, if it has one.
    """
    match entry:
        case ActionEntry():
            is_usual = scene.is_decision_usual((entry.source, entry.operation), entry.at)
            return _DECIDED if is_usual else _NOTHING
        case ElementEntry():
            found = _around_element(scene, key, entry.issuer)
        case _ if subject == "ungranted":
            found = _around_element(scene, key, None)
        case _ if subject == "principal":
            found = _around_principal(scene, key)
        case _ if subject == "named":
            found = [inputs.MANY_BELOW] if _may_reach_many(scene, key) else []
        case _:
            return None
    return frozenset(found) if found else _NOTHING


def _may_reach_many(scene: Scene, key: str) -> bool:
    return scene.reaches is None or not scene.reaches.are_few(key)


def _around_element(scene: Scene, key: str, issuer: str | None) -> list[str]:
    options, tally = scene.options, scene.tally
    found: list[str] = []
    if _may_reach_many(scene, key):
        found.append(inputs.MANY_BELOW)
    if scene.world.orders and (not scene.whole or key in scene.affected):
        found.append(inputs.ORDERED)
    if issuer is not None and issuer not in tally.sources:
        found.append(inputs.FOREIGN)
    is_crowded = False
    if children := scene.world.graph.children(key):
        is_crowded = len(children) > options.burst
        for child in children:
            if (element := scene.element(child)) is not None and _REPLACED in element.parents[key]:
                found.append(inputs.REPLACED)
                break
    if (used := tally.used.get(key)) is not None:
        is_crowded |= len(used.times) > options.burst
        if len(used.actors) > 1 or len(used.workloads) > 1 or len(used.keys) > 1:
            found.append(inputs.SHARED)
        if len(used.tools) >= options.tools:
            found.append(inputs.MANY_TOOLS)
    if is_crowded:
        found.append(inputs.CROWDED)
    return found


def _around_principal(scene: Scene, key: str) -> list[str]:
    id_ = split_key(key)[1]
    found: list[str] = []
    if _may_reach_many(scene, key):
        found.append(inputs.MANY_BELOW)
    if id_ in scene.tally.denied:
        found.append(inputs.DENIED)
    if registered := scene.world.principals.registrations.get(id_):
        found += [inputs.REGISTRATION, inputs.RESTATED][: len(registered)]
    return found
