"""Compare the stored trees with those of a fresh projection, and both with the checkpoints that were signed."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

import sqlalchemy as sa

from lineage.core.evidence.checkpoints import Checkpoint, parse_checkpoint
from lineage.core.evidence.combined import is_combined, parse_combined
from lineage.core.evidence.notes import NoteError, parse_note
from lineage.core.evidence.record_tree import ENTRY_BYTES, WIDTH, decode_entry, unit_of
from lineage.core.model.records import Position
from lineage.core.model.times import format_instant
from lineage.store import evidence_trees
from lineage.store.database.tables import tile
from lineage.store.evidence_trees import Lane, SignedCheckpoint
from lineage.store.store import Store

_PAGE = 200  # tiles in memory at a time


def tree_differences(stored: Store, fresh: Store) -> Iterator[str]:
    """Find what is wrong with the stored trees and checkpoints: a sentence about the first fault of each.

    The trees of a store written by an older version may be incomplete; then only their checkpoints are checked.

    Args:
        stored: The store.
        fresh: A fresh projection of the log, up to the positions of the store.
    """
    heads, expected = evidence_trees.heads(stored), evidence_trees.heads(fresh)
    for lane, following in sorted(stored.positions().items()):
        head = heads.get(lane)
        if head is not None and head.is_broken:
            yield f"tree: {_named(lane)} is damaged and has not been extended beyond {head.size:,} records"
        elif head is None or head.covered < following:
            continue
        elif head != expected.get(lane):
            yield f"tree: {_named(lane)} has {head.size:,} records up to offset {head.covered:,}; the log differs"
        yield from _tile_differences(stored, fresh, lane)
    yield from broken_checkpoints(evidence_trees.checkpoints(stored), fresh)


def broken_checkpoints(checkpoints: Iterable[SignedCheckpoint], fresh: Store) -> Iterator[str]:
    """Find checkpoints that trees do not extend, because the log has changed since they were signed.

    Args:
        checkpoints: The checkpoints.
        fresh: The store with the trees.
    """
    heads = evidence_trees.heads(fresh)
    by_origin = {f"{topic}/{partition}": (topic, partition) for topic, partition in heads}
    for one in checkpoints:
        signed_at = format_instant(one.signed_at)
        name = f"the checkpoint of {one.head.origin} with {one.head.size:,} records, signed {signed_at},"
        try:
            note = parse_note(one.note)
            combined = parse_combined(note) if is_combined(note) else None
            signed = combined.head if combined is not None else parse_checkpoint(note)
        except NoteError as fault:
            yield f"checkpoint: {name} cannot be read: {fault}"
            continue
        if signed != one.head:
            yield f"checkpoint: {name} contradicts the note stored with it"
        for head in (signed,) if combined is None else combined.heads:
            lane = by_origin.get("/".join(head.origin.rsplit("/", 2)[-2:]))
            wrong = "is of a partition that the log does not have" if lane is None else _fault(fresh, lane, head)
            if wrong is not None:
                yield f"checkpoint: {name} {wrong}"


def _fault(fresh: Store, lane: Lane, signed: Checkpoint) -> str | None:
    """Return why the tree of a partition does not extend a checkpoint; None if it does."""
    with evidence_trees.opened_tree(fresh, lane) as tree:
        if tree.head.size < signed.size:
            return f"has more records than the {tree.head.size:,} of the log: some are missing"
        if tree.root(signed.size) != signed.root:
            return "is not of these records: the log was changed since"
    return None


def _tile_differences(stored: Store, fresh: Store, lane: Lane) -> Iterator[str]:
    """Find the first tile that differs, and on level 0 the first record."""
    query = (
        sa.select(tile.c.level, tile.c.place, tile.c.data)
        .where(tile.c.lane == Position(*lane, 0).number)
        .order_by(tile.c.level, tile.c.place)
        .execution_options(yield_per=_PAGE)
    )
    with stored.connection() as first, fresh.connection() as second:
        for row, twin in zip_longest(first.execute(query), second.execute(query)):
            if row is None or twin is None or tuple(row) != tuple(twin):
                level, place = (row or twin)[:2]
                data, other = (b"" if one is None else bytes(one.data) for one in (row, twin))
                if level == 0 and row is not None and twin is not None and row.place == twin.place:
                    yield f"tree: {_named(lane)} differs from {_first_difference(data, other, place)} on"
                else:
                    yield f"tree: {_named(lane)} differs in tile {place} of level {level}"
                return


def _first_difference(data: bytes, other: bytes, place: int) -> str:
    unit = unit_of(0)
    for at in range(0, max(len(data), len(other)), unit):
        if data[at : at + unit] != other[at : at + unit]:
            entry = decode_entry(other[at : at + ENTRY_BYTES]) or decode_entry(data[at : at + ENTRY_BYTES])
            if entry is not None:
                return f"offset {entry.position.offset:,}"
            return f"record {place * WIDTH + at // unit:,}"
    return f"record {place * WIDTH:,}"


def _named(lane: Lane) -> str:
    topic, partition = lane
    return f"{topic}/{partition}"
