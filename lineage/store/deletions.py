"""Deletions by retention: which records, by which certificate, and what they mentioned.

The entries of the deleted records stay in the tree of their partition, so every proof still holds, and a rebuild makes
the same tree from the log and from these entries.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from lineage.core.evidence.record_tree import WIDTH, Committed, RecordEntry
from lineage.core.model.records import Position, position_of
from lineage.core.model.references import RefRole
from lineage.core.model.times import Instant
from lineage.store import evidence_trees
from lineage.store.database.dialects import CHUNK, add_missing, chunks, in_array, wait_for_turn, writing
from lineage.store.database.sorted_runs import upward
from lineage.store.database.tables import (
    deleted_key,
    deleted_sequence,
    deleted_tile,
    deletion,
    sighting,
)
from lineage.store.evidence_trees import Lane, Tree
from lineage.store.store import Store

TILE_BYTES: Final = WIDTH // 8
Tiles = dict[int, int]  # for each tile of a partition, the deleted leaves as bits


class Deletion(NamedTuple):
    """A deletion of records of one partition, as stored.

    Attributes:
        id: Its id.
        lane: The topic and partition.
        first_tile: The first tile of which records were deleted.
        last_tile: The last one.
        records: The number of records that were deleted.
        rule: The rule by which they were.
        recorded_before: All of them were recorded before.
        deleted_at: When they were deleted.
        deleted_by: Who deleted them.
        list_sha256: The digest of the list of them (``digest_of_list``).
        certificate: The signed note.
    """

    id: str
    lane: Lane
    first_tile: int
    last_tile: int
    records: int
    rule: str
    recorded_before: Instant
    deleted_at: Instant
    deleted_by: str
    list_sha256: str
    certificate: str


def deletions(store: Store) -> list[Deletion]:
    """Return every deletion, earliest first."""
    query = sa.select(deletion).order_by(deletion.c.deleted_at, deletion.c.id)
    with store.connection() as connection:
        return [Deletion(*row)._replace(lane=position_of(row.lane)[:2]) for row in connection.execute(query)]


def tiles_of(store: Store, id_: str) -> Tiles:
    """Return which records a deletion deleted."""
    query = sa.select(deleted_tile.c.place, deleted_tile.c.records).where(deleted_tile.c.deletion == id_)
    with store.connection() as connection:
        return {place: int.from_bytes(bits, "little") for place, bits in connection.execute(query)}


def digest_of_list(tiles: Tiles) -> str:
    """Return the SHA-256 of a list of records: of each tile its number in 8 bytes, big-endian, and its 256 bits."""
    parts = (place.to_bytes(8, "big") + bits.to_bytes(TILE_BYTES, "little") for place, bits in sorted(tiles.items()))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def count_of(tiles: Tiles) -> int:
    """Count the records of a list."""
    return sum(bits.bit_count() for bits in tiles.values())


def tiles_at(tree: Tree, numbers: Collection[int], cutoff: int) -> Tiles:
    """Return the leaves of some records of a partition, all of which come before an offset."""
    unread, found = set(numbers), {}
    for place in range(-(-tree.index_after(cutoff - 1) // WIDTH)):
        bits = 0
        for at, entry in enumerate(tree.entries(place)):
            if entry.position.number in unread:
                bits |= 1 << at
        if bits:
            found[place] = bits
    return found


def old_until(tree: Tree, horizon: Instant, size: int | None = None) -> int:
    """Return the offset after the last of the full tiles, from the first on, whose records came before an instant.

    Args:
        tree: The tree of a partition.
        horizon: The instant.
        size: Only the first leaves, so many; None for all.
    """
    after = 0
    for place in range((tree.head.size if size is None else size) // WIDTH):
        last = tree.read_entry(place * WIDTH + WIDTH - 1)
        if last.recorded_at >= horizon:
            break
        after = last.position.offset + 1
    return after


def numbers_with_aliases(store: Store) -> list[int]:
    """Return the numbers of the facts that state aliases."""
    way, alias = upward(store.engine.dialect.name, RefRole.ALIAS)
    query = sa.select(way.c.n).where(*alias).distinct()
    with store.connection() as connection:
        return [int(number) for number in connection.execute(query).scalars()]


def repetitions(store: Store) -> dict[int, list[int]]:
    """Return the numbers of the duplicates of each fact that has any."""
    found: dict[int, list[int]] = {}
    with store.connection() as connection:
        for number, fact in connection.execute(sa.select(sighting.c.n, sighting.c.fact)):
            found.setdefault(fact, []).append(number)
    return found


def record(
    store: Store,
    found: Deletion,
    tiles: Tiles,
    *,
    keys: Iterable[str],
    sequences: Mapping[str, Sequence[int]],
    is_current: Callable[[], bool],
) -> bool:
    """Record a deletion, which the next rebuild carries out.

    Args:
        store: The store.
        found: The deletion.
        tiles: The deleted records.
        keys: What these records mention.
        sequences: The sequence numbers of the deleted events, by source.
        is_current: Called when nobody else can write; whether nothing has come that keeps one of the records.

    Returns:
        False if something has come; then nothing was written.
    """
    row = found._replace(lane=Position(*found.lane, 0).number)._asdict()  # type: ignore[arg-type]
    with writing(store.engine) as connection:
        wait_for_turn(connection)
        connection.execute(deletion.insert(), [row])
        if not is_current():
            connection.rollback()
            return False
        bits = ((found.id, place, each.to_bytes(TILE_BYTES, "little")) for place, each in sorted(tiles.items()))
        add_missing(connection, deleted_tile, list(bits))
        add_missing(connection, deleted_key, [(key, found.deleted_at) for key in sorted(set(map(store.keys, keys)))])
        once = store.keys["source"].once
        runs = [(once(source), first, last) for source, numbers in sequences.items() for first, last in _runs(numbers)]
        add_missing(connection, deleted_sequence, runs)
    return True


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of consecutive numbers."""
    first = last = None
    for number in sorted(set(numbers)):
        if last is not None and number == last + 1:
            last = number
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = number
    if first is not None and last is not None:
        yield first, last


def deleted_at(store: Store, keys: Collection[str]) -> dict[str, Instant]:
    """Return when retention deleted a record that mentioned each of some keys; others are left out."""
    hashed = {store.keys(key): key for key in keys}
    found: dict[str, Instant] = {}
    with store.connection() as connection:
        for part in chunks(hashed):
            for key, at in connection.execute(sa.select(deleted_key).where(in_array(deleted_key.c.key, part))):
                found[hashed[key]] = at
    return found


def deleted_sequences(store: Store, source: str) -> list[tuple[int, int]]:
    """Return the runs of sequence numbers of a source that were deleted, first and last of each."""
    query = sa.select(deleted_sequence.c.first, deleted_sequence.c.last).where(
        deleted_sequence.c.source == store.keys["source"].once(source)
    )
    with store.connection() as connection:
        return [(first, last) for first, last in connection.execute(query.order_by(deleted_sequence.c.first))]


class DeletedRecords:
    """The records that were deleted from a store: what a rebuild does not project again."""

    def __init__(self, store: Store) -> None:
        """Load which there are: 32 bytes for each tile. Their entries are read from the tree when needed."""
        self._store = store
        self._tiles: dict[Lane, Tiles] = {}
        for each in deletions(store):
            tiles = self._tiles.setdefault(each.lane, {})
            for place, bits in tiles_of(store, each.id).items():
                tiles[place] = tiles.get(place, 0) | bits

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._tiles)

    def offsets(self) -> Iterator[tuple[Lane, list[int]]]:
        """Yield the offsets of the deleted records, many at once."""
        for lane, tiles in sorted(self._tiles.items()):
            with evidence_trees.opened_tree(self._store, lane) as tree:
                found: list[int] = []
                for place, bits in sorted(tiles.items()):
                    entries = enumerate(tree.entries(place))
                    found += [entry.position.offset for at, entry in entries if bits >> at & 1]
                    if len(found) >= CHUNK:
                        yield lane, found
                        found = []
                if found:
                    yield lane, found

    def from_(self, topic: str, partition: int, offset: int, *, limit: int) -> tuple[list[Committed], int]:
        """Return the deleted records that follow one another from an offset on, and the offset after them."""
        lane = (topic, partition)
        if lane not in self._tiles:
            return [], offset
        found: list[Committed] = []
        following = offset
        with evidence_trees.opened_tree(self._store, lane) as tree:
            for at, entry in self._entries(tree, tree.index_after(offset - 1)):
                following = entry.position.offset
                if not self._is_deleted(lane, at) or len(found) == limit:
                    break
                following += 1
                found.append(_committed(entry))
        return (found, following) if found else ([], offset)

    def between(self, topic: str, partition: int, first: int, following: int) -> list[Committed]:
        """Return the deleted records from an offset on and before another."""
        lane = (topic, partition)
        if lane not in self._tiles:
            return []
        found: list[Committed] = []
        with evidence_trees.opened_tree(self._store, lane) as tree:
            for at, entry in self._entries(tree, tree.index_after(first - 1)):
                if entry.position.offset >= following:
                    break
                if self._is_deleted(lane, at):
                    found.append(_committed(entry))
        return found

    def first_kept(self, lane: Lane, before: int) -> int | None:
        """Return the index of the first leaf of a tree that was not deleted; None if all before an index were."""
        tiles = self._tiles.get(lane, {})
        for place in range(-(-before // WIDTH)):
            kept = ~tiles.get(place, 0) & ((1 << WIDTH) - 1)
            if kept:
                index = place * WIDTH + (kept & -kept).bit_length() - 1
                return index if index < before else None
        return None

    def _is_deleted(self, lane: Lane, index: int) -> bool:
        place, at = divmod(index, WIDTH)
        return bool(self._tiles[lane].get(place, 0) >> at & 1)

    def _entries(self, tree: Tree, index: int) -> Iterator[tuple[int, RecordEntry]]:
        """Yield the entries from a leaf on, up to the last tile of which records were deleted."""
        last = max(self._tiles[tree.lane]) + 1
        for place in range(index // WIDTH, min(last + 1, -(-tree.head.size // WIDTH))):
            for at, entry in enumerate(tree.entries(place), start=place * WIDTH):
                if at >= index:
                    yield at, entry


def _committed(entry: RecordEntry) -> Committed:
    return entry.position.number, entry.recorded_at, entry.digest


def check_lists(store: Store) -> Iterator[str]:
    """Find the deletions whose list is not the one in their certificate: a sentence about each."""
    for each in deletions(store):
        tiles = tiles_of(store, each.id)
        if digest_of_list(tiles) != each.list_sha256 or count_of(tiles) != each.records:
            yield f"deletion: the list of records of {each.id} is not the one that its certificate states"
