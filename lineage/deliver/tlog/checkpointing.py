"""Sign checkpoints of the trees in a store."""

from collections.abc import Iterator
from typing import Final

from lineage.core.evidence.checkpoints import Checkpoint
from lineage.core.evidence.notes import Note
from lineage.core.model.errors import IntegrityError
from lineage.core.model.times import Instant
from lineage.deliver.tlog.note_keys import NoteKeys
from lineage.store import evidence_trees
from lineage.store.evidence_trees import Lane, SignedCheckpoint
from lineage.store.store import Store

_ORIGIN_BYTES: Final = 8  # of the identity of the log, in its origin by default


def origin_of(store: Store, origin: str | None) -> str:
    """Return the origin of all trees: the configured one, or one derived from the identity of the log."""
    return origin or f"delegraph/{(store.log or b'').hex()[: 2 * _ORIGIN_BYTES]}"


def origin_of_lane(origin: str, lane: Lane) -> str:
    """Return the origin of the tree of a partition."""
    topic, partition = lane
    return f"{origin}/{topic}/{partition}"


def sign_checkpoints(store: Store, keys: NoteKeys, now: Instant) -> list[Checkpoint]:
    """Sign the trees that have grown since their last checkpoints.

    Args:
        store: The store with the trees.
        keys: Signs; its name is the origin of the trees.
        now: The current time.

    Returns:
        The new checkpoints.

    Raises:
        IntegrityError: A tree no longer extends its last checkpoint, so earlier records of the log have changed.
            Nothing was signed.
    """
    new = list(_grown(store, keys.name, evidence_trees.latest_checkpoints(store)))
    for head in new:
        evidence_trees.add_checkpoint(store, head, str(Note(head.text, (keys.sign(head.text),))), now)
    return new


def _grown(store: Store, origin: str, last: dict[str, SignedCheckpoint]) -> Iterator[Checkpoint]:
    """Return the heads of the trees that have grown, after checking that each extends its last checkpoint."""
    for lane in evidence_trees.heads(store):
        with evidence_trees.opened_tree(store, lane) as tree:
            name = origin_of_lane(origin, lane)
            before = last.get(name)
            if before is not None and not extends(tree, before.head):
                raise IntegrityError(
                    f"the records of {lane[0]}/{lane[1]} are not those under its checkpoint of {before.head.size:,} "
                    "records: the log or the store was changed; run 'delegraph fsck'"
                )
            if tree.head.size > (0 if before is None else before.head.size):
                yield Checkpoint(name, tree.head.size, tree.root())


def extends(tree: evidence_trees.Tree, head: Checkpoint) -> bool:
    """Whether a tree begins with the records under a checkpoint."""
    return tree.head.size >= head.size and tree.root(head.size) == head.root
