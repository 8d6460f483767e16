"""Load the elements that the drawings of the delegation graph show."""

from collections.abc import Collection
from itertools import islice
from typing import Any

from lineage.core.authority.world import World
from lineage.core.model.times import Instant
from lineage.store.database.dialects import chunks
from lineage.store.reading import statements
from lineage.store.reading.latest_elements import latest_elements
from lineage.store.reading.reader import Reader


def load_nearby(reader: Reader, world: World, key: str, most: int) -> tuple[set[str], set[str], bool]:
    """Load an element, or the elements that name a key, with all ancestors and up to ``most`` descendants.

    If there are too many descendants, the selection is deterministic and spread over their parents.

    Returns:
        The keys of the starting elements; of all elements loaded at and below them; whether more elements name the
        key.
    """
    more = False
    if key.startswith(("token:", "delegation:")):
        starts = {reader.keys(key)}
    else:
        party = reader.party({key}) if key.startswith("principal:") else {reader.keys(key)}
        naming: dict[int, None] = {}
        for hashed in sorted(party):
            naming.update(dict.fromkeys(reader.elements_naming(hashed, most + 1)))
            if more := len(naming) > most:
                break
        starts = set(islice(naming, most))
    near, frontier = set(starts), starts
    while frontier and len(near) < most:
        children_of_these = reader.worded(statements.CHILDREN, len(frontier))
        children = reader.first_hashes(children_of_these, {"keys": list(frontier)}, most)
        frontier = set(sorted(children - near)[: most - len(near)])
        near |= frontier
    loaded = reader.load_hashed(world, near)
    return {one for one in loaded if reader.keys(one) in starts}, loaded, more


def load_latest(reader: Reader, world: World, most: int, *, at: Instant) -> tuple[set[str], int | None]:
    """Load the elements that were recorded last in the whole store, those alive at an instant first.

    Returns:
        The keys of the loaded elements; how many more there are, or None if that was not counted to the end.
    """

    def has_come(row: Any) -> bool:
        if reader.known_at is not None and row.recorded_at > reader.known_at:
            return False
        return reader.decode(row.value).occurred_at <= at

    latest = latest_elements(reader.connection, most, at=at, has_come=has_come)
    return reader.load_hashed(world, latest.hashes), latest.left_out


def children_of(reader: Reader, keys: Collection[str]) -> dict[str, int]:
    """Return the number of direct children of each element; elements without children are omitted."""
    hashed = {reader.keys(key): key for key in keys}
    found: dict[str, int] = {}
    for part in chunks(hashed):
        rows = reader.connection.execute(reader.worded(statements.COUNT_CHILDREN, len(part)), {"keys": part})
        found.update((hashed[key], count) for key, count in rows)
    return found
