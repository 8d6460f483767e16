"""Load what depends on a target: everything at and below it, at once or in parts, and the actions under it."""

import math
from array import array
from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any, Final

import sqlalchemy as sa

from lineage.core.authority.world import World
from lineage.core.model.errors import TooManyError
from lineage.core.model.events import ActionPerformed, DecisionMade, Fact, RevocationOrdered
from lineage.core.model.grants import granted_by
from lineage.core.model.keys import key_of
from lineage.core.model.references import RefRole, about, mentions
from lineage.core.model.times import Instant
from lineage.store.database.dialects import chunks
from lineage.store.database.tables import span_of
from lineage.store.reading import statements
from lineage.store.reading.reader import ON_THE_WAY, Reader

PART: Final = 5_000  # elements evaluated at a time if there may be any number
_FETCHED: Final = 10_000  # rows fetched at a time if there may be any number


def load_below(reader: Reader, world: World, target: str, at: Instant, *, most: float = math.inf) -> None:
    """Load what is needed for the reach of a revocation of a target at an instant.

    Raises:
        TooManyError: More than ``most`` elements depend on it; nothing was loaded.
    """
    span = span_of(at)
    ids = reader.party({target}) if target.startswith("principal:") else {reader.keys(target)}
    starts = ids
    if not target.startswith(("token:", "delegation:")):
        starts = set()
        for role in (RefRole.NAMES, RefRole.PRIOR):
            for part in chunks(ids):
                collect_hashes(reader, starts, statements.NAMING, {"keys": part, "span": span, "role": role}, most)
    found_below: set[int] = set(starts)
    for part in chunks(starts):
        collect_hashes(reader, found_below, statements.KEYS_BELOW, {"keys": part, "span": span}, most)
    below = dict.fromkeys(sorted(found_below)).keys()  # as in the index, in which they are looked up
    granting, above = reader.facts_of_and_above(below)
    world.add_grants(chain(granting, above))
    nearby = reader.facts(statements.FACTS_REFERRING, ids, role=RefRole.BOUND)
    nearby += reader.facts(statements.FACTS_REFERRING, ids, role=RefRole.OWNER)
    for found in nearby:
        world.add(found)
    principals = {
        f"principal:{id_}" for found in nearby for _, kind, id_ in mentions(found.event) if kind == "principal"
    }
    principals |= {about(found.event) for found in nearby}
    used = reader.facts(statements.USES_AND_ORDERS, below)
    ordered = {key_of(*found.event.body.target) for found in used if isinstance(found.event.body, RevocationOrdered)}
    ordered.update(map(granted_by, above))
    ordered.update(key for key in world.graph if not world.graph.granted(key))
    # The target also as a party: even if no element names it, its aliases and revocations of these count.
    reader.load_orders_on(world, [target], {target, *principals}, among=ordered)
    # The actions under it; their authority may also depend on other elements that they name.
    decisions = {about(found.event) for found in used if isinstance(found.event.body, DecisionMade)}
    used += reader.facts_referring(decisions, RefRole.USES)
    actions = {found.event.body.action for found in used if isinstance(found.event.body, ActionPerformed)}
    if actions:
        loaded = {target, *principals, *world.graph, *world.graph.names()}
        reader.load_actions(world, actions, loaded=loaded)


def collect_hashes(
    reader: Reader,
    found: set[int],
    query: dict[str, sa.Select[Any]],
    parameters: dict[str, Any],
    most: float = math.inf,
) -> None:
    """Collect the hashes that a query finds; raise TooManyError if there are more than ``most``."""
    streamed = {"yield_per": _FETCHED}
    worded = reader.worded(query, len(parameters["keys"]) * ON_THE_WAY)
    with reader.connection.execute(worded, parameters, execution_options=streamed) as rows:
        for part in rows.scalars().partitions():
            found.update(part)
            if len(found) > most:
                raise TooManyError(f"more than {most:,} elements depend on it")


def parts_below(
    reader: Reader,
    targets: Collection[tuple[str, Instant]],
    nearby: Collection[Fact],
    *,
    size: int = PART,
    most: float = math.inf,
) -> Iterator[tuple[World, set[str]]]:
    """Load everything at and below some targets, in parts.

    Each element is in exactly one part.

    Args:
        targets: Keys, each with an instant: subtrees that had ended by then may be omitted.
        nearby: Facts to add to every part: revocations, reinstatements, registrations.
        size: The number of elements for each part.
        most: The most elements in total.

    Yields:
        A world with the elements of a part, their ancestors and ``nearby``; and the keys of these elements.

    Raises:
        TooManyError: There are more than ``most``; nothing was loaded.

    Cost:
        Memory for one part and eight bytes for each element; several times that if very many name the target.
    """
    below = _keys_below(reader, targets, most)
    own = {reader.keys(key): key for key, _ in targets if key.startswith(("token:", "delegation:"))}
    for start in range(0, len(below), size):
        part = set(below[start : start + size])
        world = reader.world()
        keys = {key for hashed, key in own.items() if hashed in part}
        for found in nearby:
            world.add(found)
        granting = reader.facts_granting(part)
        keys.update(granted_by(found) for found in granting)
        world.add_grants(chain(granting, reader.facts_beyond(granting, part)))
        yield world, keys


def _keys_below(reader: Reader, targets: Collection[tuple[str, Instant]], most: float) -> "array[int]":
    """Return the hashes of all elements at and below some targets, without repeats."""
    below = array("q")
    sources = 0
    for key, after in targets:
        span = span_of(after)
        starts = {reader.keys(key)}
        if not key.startswith(("token:", "delegation:")):
            party = reader.party({key}) if key.startswith("principal:") else starts
            starts = set()
            for part in chunks(party):
                rows = reader.connection.execute(
                    statements.NAMING[reader.dialect], {"keys": part, "span": span, "role": RefRole.NAMES}
                )
                starts.update(rows.scalars())
        for part in chunks(starts):
            sources += 1
            rows = reader.connection.execute(
                reader.worded(statements.KEYS_BELOW, len(part) * ON_THE_WAY),
                {"keys": part, "span": span},
                execution_options={"yield_per": _FETCHED},
            )
            for some in rows.scalars().partitions():
                below.extend(some)
                if len(below) > most and (sources < 2 or len(set(below)) > most):  # noqa: PLR2004 (as below)
                    rows.close()
                    raise TooManyError(f"more than {most:,} elements depend on it")
    return below if sources < 2 else array("q", dict.fromkeys(below))  # noqa: PLR2004 (one has no repeats)


def load_successes(reader: Reader, world: World, keys: Collection[str], since: Instant) -> None:
    """Load what is needed to evaluate the actions that succeeded under elements at or after an instant."""
    used = reader.facts_referring(keys, RefRole.USES)
    decisions = {about(found.event) for found in used if isinstance(found.event.body, DecisionMade)}
    used += reader.facts_referring(decisions, RefRole.USES)
    late = {
        about(found.event)
        for found in used
        if isinstance(found.event.body, ActionPerformed) and found.event.occurred_at >= since
    }
    if not late:
        return
    # The outcome may be stated by another fact about the action than the one that names the element.
    bodies = [found.event.body for found in reader.facts_about(late)]
    reader.load_actions(
        world,
        {body.action for body in bodies if isinstance(body, ActionPerformed) and body.outcome == "succeeded"},
    )
