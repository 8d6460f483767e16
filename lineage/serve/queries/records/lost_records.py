"""Records that the store has and the log has lost: those at the beginning of a partition that a broker deleted.

Records that retention deleted from the store as well are not missed. Whatever else was changed in a log is found by
``fsck``, and that a log has become shorter by ``refuse_lost``.
"""

from ingest.log.port import Log
from lineage.core.model.errors import IntegrityError
from lineage.store import evidence_trees
from lineage.store.deletions import DeletedRecords
from lineage.store.store import Store


def lost_records(log: Log, store: Store) -> list[str]:
    """Find partitions that no longer have the first records under their trees: a sentence about each.

    Args:
        log: The log.
        store: The store that has read it.

    Raises:
        UnavailableError: The log or the store is unavailable.
    """
    begins = {lane: begin for lane, begin in sorted(log.begins().items()) if begin}
    if not begins or store.log not in (None, log.identity):
        return []
    deleted, found = DeletedRecords(store), []
    for (topic, partition), begin in begins.items():
        with evidence_trees.opened_tree(store, (topic, partition)) as tree:
            index = deleted.first_kept(tree.lane, tree.index_after(begin - 1))
            if index is not None:
                found.append(
                    f"{topic}/{partition} of the log begins at offset {begin:,}: records that were projected from "
                    f"it, from offset {tree.read_entry(index).position.offset:,} on, were deleted on the broker"
                )
    return found


def refuse_lost_records(log: Log, store: Store, refused: str) -> None:
    """Raise IntegrityError if the log has lost records of the store, since a projection of it would lack them.

    Args:
        log: The log.
        store: The store.
        refused: What is not done in this case, as a clause.
    """
    if lost := lost_records(log, store):
        raise IntegrityError(f"{'; '.join(lost)}; {refused}")
