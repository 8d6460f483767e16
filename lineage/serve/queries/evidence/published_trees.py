"""The published part of the trees (C2SP tlog-tiles): checkpoints, and the tiles under the latest one of each tree."""

from typing import Final

from lineage.core.evidence.record_tree import (
    ENTRY_BYTES,
    HEIGHT,
    WIDTH,
    TilePath,
    entry_bundle,
    hashes_of,
    parse_tile_path,
)
from lineage.core.model.records import TOPICS
from lineage.deliver.tlog.checkpointing import origin_of_lane
from lineage.serve.queries.service import Service
from lineage.store import evidence_trees
from lineage.store.evidence_trees import Lane, Tree

_PARTS: Final = 3  # of the origin of a tree: that of the log, the topic, the partition
_LONGEST_PARTITION: Final = 7  # digits


def published_checkpoint(service: Service, origin: str) -> str | None:
    """Return the latest checkpoint of a tree, or the combined one of a log; None if there is none."""
    found = evidence_trees.latest_checkpoint(service.store, origin)
    return None if found is None else found.note


def published_tile(service: Service, origin: str, path: str) -> bytes | None:
    """Return a tile of hashes, or a bundle of entries, of a tree as its latest checkpoint has it.

    Args:
        service: The service.
        origin: The origin of the tree.
        path: What follows ``tile/`` in the path, such as ``0/x001/234.p/7`` or ``entries/000``.

    Returns:
        The bytes, which never change; None if the tree has no such tile yet.
    """
    tile, lane = parse_tile_path(path), _lane_of(origin)
    latest = None if lane is None else evidence_trees.latest_checkpoint(service.store, origin)
    if tile is None or lane is None or latest is None:
        return None
    there = (latest.head.size >> HEIGHT * (tile.level or 0)) - tile.index * WIDTH
    if there < tile.width:
        return None
    with evidence_trees.opened_tree(service.store, lane) as tree:
        return _content(tree, tile)


def _content(tree: Tree, tile: TilePath) -> bytes:
    stored = tree.tile(tile.level or 0, tile.index)
    if tile.level is None:
        return entry_bundle(stored[: tile.width * ENTRY_BYTES])
    return b"".join(hashes_of(tile.level, stored)[: tile.width])


def _lane_of(origin: str) -> Lane | None:
    """The partition that the origin of a tree names; None if it is not one of a tree."""
    parts = origin.rsplit("/", _PARTS - 1)
    if len(parts) != _PARTS or parts[1] not in TOPICS:
        return None
    digits = parts[2]
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _LONGEST_PARTITION:
        return None
    lane = parts[1], int(digits)
    return lane if origin_of_lane(parts[0], lane) == origin else None
