"""The tree of the records of a partition: its entries, how it grows, and its hashes in tiles of 256 (C2SP tlog-tiles).

An entry is what the tree says of one record, in 54 bytes (docs/evidence.md). It is a function of the partition alone,
so that every consumer, rebuild and store of one log has the same tree.

A tile of level 0 holds the entries themselves, from which their hashes follow. A tile of a higher level holds the
hashes of full tiles of the level below. The last tile of each level may be partial.
"""

import hashlib
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from lineage.core.evidence.merkle import HASH_BYTES, Subtree, hash_complete, hash_leaves
from lineage.core.model.records import Position, position_of
from lineage.core.model.times import Instant

_ENTRY_VERSION: Final = 1
ENTRY_BYTES: Final = 54
NO_VALUE: Final = bytes(32)  # the digest of a record without a value, which Kafka permits

# version, Position.number, the upper byte of the gap, its other four bytes, recorded_at, SHA-256 of the value
_LAYOUT: Final = struct.Struct(">BQBIq32s")
assert _LAYOUT.size == ENTRY_BYTES  # noqa: S101 (with the prefix of a leaf, one block of SHA-256)

WIDTH: Final = 256  # entries or hashes of a full tile
HEIGHT: Final = 8  # levels of the tree in one tile

_PATH: Final = re.compile(r"(entries|0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)
_LONGEST_PATH: Final = 64

Committed = tuple[int, Instant, bytes]  # the number (``Position.number``), recorded_at and digest of a record
Key = tuple[int, int]  # level and index of a tile
Fetch = Callable[[int, int], bytes]  # the stored data of a tile, given its level and index


class RecordEntry(NamedTuple):
    """The content of a leaf about a record.

    Attributes:
        position: The position of the record in the log.
        gap: The number of offsets without a record directly before this one.
        recorded_at: When the log recorded it.
        digest: The SHA-256 of its value; ``NO_VALUE`` if it has none.
    """

    position: Position
    gap: int
    recorded_at: Instant
    digest: bytes


def digest_of(value: bytes | None) -> bytes:
    """Return the digest of the value of a record."""
    return NO_VALUE if value is None else hashlib.sha256(value).digest()


def encode_entries(records: Iterable[Committed], after: int) -> list[bytes]:
    """Encode the entries of consecutive records of a partition.

    Args:
        records: The records, by offset.
        after: The number (``Position.number``) that follows the record before the first of them.
    """
    pack, entries = _LAYOUT.pack, []
    for number, recorded_at, digest in records:
        gap = number - after
        entries.append(pack(_ENTRY_VERSION, number, gap >> 32, gap & 0xFFFFFFFF, recorded_at, digest))
        after = number + 1
    return entries


def decode_entry(entry: bytes) -> RecordEntry | None:
    """Decode an entry; None if it is not one."""
    if len(entry) != ENTRY_BYTES or entry[0] != _ENTRY_VERSION:
        return None
    _, number, upper, lower, recorded_at, digest = _LAYOUT.unpack(entry)
    return RecordEntry(position_of(number), upper << 32 | lower, recorded_at, digest)


@dataclass(frozen=True, slots=True)
class TilePath:
    """The parsed path of a tile.

    Attributes:
        level: The level; None for a bundle of entries.
        index: The index within the level.
        width: The number of hashes or entries; ``WIDTH`` unless it is partial.
    """

    level: int | None
    index: int
    width: int


def unit_of(level: int) -> int:
    """The size in bytes of what a stored tile consists of: entries, or hashes."""
    return HASH_BYTES if level else ENTRY_BYTES


def grown(size: int, partial: Mapping[int, bytes], entries: Sequence[bytes]) -> dict[Key, bytes]:
    """Append entries to a tree.

    Args:
        size: The number of leaves before.
        partial: The data of its partial tiles by level.
        entries: The new entries.

    Returns:
        The tiles that are new or extended.
    """
    written: dict[Key, bytes] = {}
    level, added = 0, entries
    while added:
        data = b"".join((partial.get(level, b""), *added))
        first, full = size >> HEIGHT * (level + 1), WIDTH * unit_of(level)
        blocks = [data[at : at + full] for at in range(0, len(data), full)]
        written.update({(level, first + at): block for at, block in enumerate(blocks)})
        added = [hash_complete(hashes_of(level, block)) for block in blocks if len(block) == full]
        level += 1
    return written


def partial_tiles(size: int) -> list[Key]:
    """The level and index of each partial tile of a tree with ``size`` leaves."""
    return [
        (level, size >> HEIGHT * (level + 1))
        for level in range((max(size.bit_length(), 1) - 1) // HEIGHT + 1)
        if size >> HEIGHT * level & WIDTH - 1
    ]


def hashes_of(level: int, data: bytes) -> list[bytes]:
    """The hashes of a stored tile."""
    unit = unit_of(level)
    parts = [data[at : at + unit] for at in range(0, len(data), unit)]
    return parts if level else hash_leaves(parts)


def subtrees(fetch: Fetch) -> Subtree:
    """Derive the hashes of complete subtrees from tiles, fetching each tile once."""
    fetched: dict[Key, list[bytes]] = {}

    def subtree(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        tile, first = divmod(index << height, WIDTH)
        if (tile_level, tile) not in fetched:
            fetched[tile_level, tile] = hashes_of(tile_level, fetch(tile_level, tile))
        leaves = fetched[tile_level, tile][first : first + (1 << height)]
        if len(leaves) != 1 << height:
            raise LookupError(f"tile {tile} of level {tile_level} is too short")
        return hash_complete(leaves)

    return subtree


def entry_bundle(data: bytes) -> bytes:
    """The bundle of the entries of a stored tile: each preceded by its length as a 16-bit big-endian integer."""
    length = ENTRY_BYTES.to_bytes(2, "big")
    return b"".join(length + data[at : at + ENTRY_BYTES] for at in range(0, len(data), ENTRY_BYTES))


def parse_tile_path(path: str) -> TilePath | None:
    """Parse what follows ``tile/`` in the path of a tile, such as ``1/x001/234.p/7``; None if it is not one."""
    matched = _PATH.fullmatch(path) if len(path) <= _LONGEST_PATH else None
    if matched is None:
        return None
    level, index, width = matched.groups()
    number = int(index.replace("x", "").replace("/", ""))
    if tile_index(number) != index or (width is not None and int(width) >= WIDTH):
        return None
    return TilePath(None if level == "entries" else int(level), number, WIDTH if width is None else int(width))


def tile_index(index: int) -> str:
    """Format the index of a tile: 1234067 as ``x001/x234/067``."""
    parts = [f"{index % 1000:03}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03}")
    return "/".join(reversed(parts))
