"""The entry of a record in the tree of its partition: 54 bytes, as documented in docs/evidence.md.

An entry is a function of the partition alone, so that every consumer, rebuild and store of one log has the same tree.
"""

import hashlib
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from lineage.core.model.records import Position, position_of
from lineage.core.model.times import Instant

VERSION: Final = 1
ENTRY_BYTES: Final = 54
NO_VALUE: Final = bytes(32)  # the digest of a record without a value, which Kafka permits

# version, Position.number, the upper byte of the gap, its other four bytes, recorded_at, SHA-256 of the value
_LAYOUT: Final = struct.Struct(">BQBIq32s")
assert _LAYOUT.size == ENTRY_BYTES  # noqa: S101 (with the prefix of a leaf, one block of SHA-256)


Committed = tuple[int, Instant, bytes]  # the number (``Position.number``), recorded_at and digest of a record


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
        entries.append(pack(VERSION, number, gap >> 32, gap & 0xFFFFFFFF, recorded_at, digest))
        after = number + 1
    return entries


def decode_entry(entry: bytes) -> RecordEntry | None:
    """Decode an entry; None if it is not one."""
    if len(entry) != ENTRY_BYTES or entry[0] != VERSION:
        return None
    _, number, upper, lower, recorded_at, digest = _LAYOUT.unpack(entry)
    return RecordEntry(position_of(number), upper << 32 | lower, recorded_at, digest)
