"""Load the surroundings of the things that new facts are about, and determine which of them to examine."""

import logging
from collections.abc import Iterator
from typing import Final

from lineage.core.authority.world import World
from lineage.core.findings.keeping.touched import Touched
from lineage.core.model.errors import TooManyError
from lineage.core.model.events import ActionPerformed
from lineage.core.model.keys import split_key
from lineage.core.model.references import RefRole
from lineage.core.model.times import Instant
from lineage.store.reading.descendants import load_below
from lineage.store.reading.reader import Reader

logger = logging.getLogger(__name__)

SURROUNDINGS: Final = 20_000  # the most facts of each kind around the things of one evaluation


def load_touched(reader: Reader, world: World, touched: Touched, at: Instant) -> list[str]:
    """Load the surroundings of some things into an empty world.

    Returns:
        The keys to examine: the things, and those whose findings the facts may change.
    """
    for target in sorted(touched.targets):
        try:
            load_below(reader, world, target, at, most=SURROUNDINGS)
        except TooManyError as fault:
            logger.info("the elements under %s wait for the next full evaluation: %s", target, fault)
    actions = {*touched.actions, *world.actions}  # including those under ended elements
    referring = reader.facts_referring([f"decision:{id_}" for id_ in touched.decisions], RefRole.USES)
    actions |= {body.action for fact in referring if isinstance(body := fact.event.body, ActionPerformed)}
    elements = touched.granted | touched.used
    reader.load_elements(world, elements)
    elements |= set(_renewed(world, touched.granted))
    reader.load_actions(world, actions)
    reader.load_about(world, [f"decision:{id_}" for id_ in touched.decisions])
    reader.load_surroundings(world, elements, [], most=SURROUNDINGS)
    reader.load_places(world, touched.granted)
    tools = [f"principal:{name}" for tool in touched.tools for name in (tool, f"service:{tool}")]
    reader.load_orders_on(world, (), [*(f"principal:{id_}" for id_ in touched.principals), *tools])
    reader.load_about(world, [f"revocation:{id_}" for id_ in touched.revocations])
    reader.load_about(world, [f"receiver:{id_}" for id_ in touched.receivers])
    for key in touched.granted:
        actions |= world.uses.get(key, set())  # actions that came before its grant
    elements |= set(_sharing(world, touched.granted)) | set(_asserting(world, touched.targets))
    return [
        *(f"action:{id_}" for id_ in sorted(actions)),
        *(f"decision:{id_}" for id_ in sorted(touched.decisions)),
        *sorted(key for key in elements if world.graph.granted(key)),
        *(f"principal:{id_}" for id_ in sorted(touched.principals)),
        *(f"revocation:{id_}" for id_ in sorted(touched.revocations)),
        *(f"receiver:{id_}" for id_ in sorted(touched.receivers)),
    ]


def _renewed(world: World, granted: set[str]) -> Iterator[str]:
    """Yield the sources that some elements may have used up: tokens, and single-use grants."""
    for key in granted:
        element = world.graph.element(key)
        for parent in element.parents if element is not None else ():
            above = world.graph.element(parent)
            if above is not None and (parent.startswith("token:") or above.first("single_use")):
                yield parent


def _sharing(world: World, granted: set[str]) -> Iterator[str]:
    """Yield the tokens that share a status list entry with one of some."""
    for key in granted:
        element = world.graph.element(key)
        for place in element.places if element is not None else ():
            yield from world.listings.tokens.get(place, ())


def _asserting(world: World, targets: set[str]) -> Iterator[str]:
    """Yield the tokens that assert one of some targets as a prior actor."""
    for target in targets:
        kind, id_ = split_key(target)
        for member in world.principals.party(id_) if kind == "principal" else ():
            yield from world.graph.asserted.get(member, ())
