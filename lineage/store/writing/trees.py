"""Extend the Merkle tree of each partition with the records of a batch, in the transaction that writes them.

The position of a partition is advanced first, which locks out other writers of its tree. A store of an older version
has projected records before it had trees: a tree is only extended from where it ends, and the missing part is added
from the log later (``evidence_trees.extend_tree``).

A damaged tree must not keep facts from being written: it is marked as broken and not extended any more.
"""

import hashlib
import logging
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.evidence.record_tree import (
    HEIGHT,
    NO_VALUE,
    WIDTH,
    Committed,
    encode_entries,
    grown,
    partial_tiles,
    unit_of,
)
from lineage.core.model.records import Batch, Position, RejectedRecord
from lineage.store.database.dialects import add
from lineage.store.database.tables import BROKEN, tile, tree

logger = logging.getLogger(__name__)


def committed_of(batch: Batch) -> list[Committed]:
    """Return what the trees need of every record of a batch, sorted."""
    sha256 = hashlib.sha256
    committed = [(number, fact.recorded_at, sha256(value).digest()) for number, fact, value, _ in batch.readable]
    committed += [
        (record.number, record.recorded_at, _digest_of(record))
        for record in batch.unreadable
        if record.number is not None
    ]
    committed += batch.deleted
    committed.sort()
    return committed


def extend(
    connection: Connection, advance: Mapping[tuple[str, int], tuple[int, int]], committed: list[Committed]
) -> None:
    """Extend the trees of the partitions that a batch advances.

    Args:
        connection: In a transaction that has advanced the positions.
        advance: For (topic, partition): the previous next offset and the new one.
        committed: All records between these positions, sorted.
    """
    for lane, (expected, following) in sorted(advance.items()):
        first = bisect_left(committed, (Position(*lane, expected).number,))
        end = bisect_left(committed, (Position(*lane, following).number,))
        extend_lane(connection, lane, expected, following, committed[first:end])


def extend_lane(
    connection: Connection, lane: tuple[str, int], first: int, following: int, records: Sequence[Committed]
) -> bool:
    """Append records to the tree of a partition.

    Args:
        connection: In a transaction that no other writer of this tree can run concurrently.
        lane: The topic and partition.
        first: The offset from which the records are complete.
        following: The offset after them.
        records: The records, by offset.

    Returns:
        False if the tree does not end at ``first``, or is broken; then it was not extended.
    """
    number = Position(*lane, 0).number
    found = connection.execute(sa.select(tree).where(tree.c.lane == number)).first()
    size, covered, after = (0, 0, 0) if found is None else (found.size, found.covered, found.after)
    if covered != first:
        return False
    entries = encode_entries(records, number + after)
    if entries:
        if not _append(connection, number, size, entries):
            logger.error("the tree of %s/%d is damaged, and is not extended; run 'delegraph rebuild'", *lane)
            connection.execute(tree.update().where(tree.c.lane == number).values(covered=BROKEN))
            return False
        after = records[-1][0] - number + 1
    row = {"size": size + len(entries), "covered": following, "after": after}
    if found is None:
        connection.execute(tree.insert(), [{"lane": number, **row}])
    else:
        connection.execute(tree.update().where(tree.c.lane == number).values(row))
    return True


def _append(connection: Connection, lane: int, size: int, entries: list[bytes]) -> bool:
    """Write the tiles that are new or extended; return False if the stored ones do not belong to such a tree."""
    partial = {}
    for level, place in partial_tiles(size):
        where = (tile.c.lane == lane) & (tile.c.level == level) & (tile.c.place == place)
        data = connection.execute(sa.select(tile.c.data).where(where)).scalar()
        if data is None or len(data) != (size >> HEIGHT * level) % WIDTH * unit_of(level):
            return False
        partial[level] = data
    written = grown(size, partial, entries)
    for level, place in partial_tiles(size):
        if (level, place) in written:
            connection.execute(tile.delete().where(tile.c.lane == lane, tile.c.level == level, tile.c.place == place))
    # A tile in the way, of a tree that was once larger, must not fail the transaction.
    first = dict(sorted(written, reverse=True))
    beyond = sa.or_(*((tile.c.level == level) & (tile.c.place >= place) for level, place in first.items()))
    if connection.execute(sa.select(tile.c.place).where(tile.c.lane == lane, beyond).limit(1)).first() is not None:
        return False
    add(connection, tile, [(lane, level, place, data) for (level, place), data in written.items()])
    return True


def _digest_of(record: RejectedRecord) -> bytes:
    """The digest of a record in quarantine, which may have been kept without its value."""
    return NO_VALUE if record.reason == "no-value" and not record.size else bytes.fromhex(record.sha256)
