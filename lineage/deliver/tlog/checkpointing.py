"""Sign checkpoints of the trees in a store: of each partition that has grown, and one over all of them."""

from typing import Final, NamedTuple

from lineage.core.evidence.checkpoints import Checkpoint
from lineage.core.evidence.combined import CombinedCheckpoint
from lineage.core.evidence.notes import Note
from lineage.core.model.errors import IntegrityError, RefusedError
from lineage.core.model.times import SECOND, Instant
from lineage.deliver.tlog.note_keys import NoteKeys
from lineage.store import evidence_trees
from lineage.store.evidence_trees import Lane, SignedCheckpoint, Tree
from lineage.store.store import Store

_ORIGIN_BYTES: Final = 8  # of the identity of the log, in its origin by default


class Pace(NamedTuple):
    """The interval between checkpoints.

    Attributes:
        records: Sign as soon as a partition has this many records since its last checkpoint.
        seconds: Sign as soon as its last checkpoint is this old, and there are new records.
    """

    records: int
    seconds: int


AT_ONCE: Final = Pace(1, 0)


class NewCheckpoints(NamedTuple):
    """The checkpoints that were signed.

    Attributes:
        new: The new checkpoints of partitions.
        faults: Why partitions were not signed, a sentence for each.
    """

    new: list[Checkpoint]
    faults: list[str]


def origin_of(store: Store, origin: str | None) -> str:
    """Return the origin of all trees: the configured one, or one derived from the identity of the log."""
    return origin or f"delegraph/{(store.log or b'').hex()[: 2 * _ORIGIN_BYTES]}"


def origin_of_lane(origin: str, lane: Lane) -> str:
    """Return the origin of the tree of a partition."""
    topic, partition = lane
    return f"{origin}/{topic}/{partition}"


def is_due(store: Store, origin: str, now: Instant, pace: Pace) -> bool:
    """Whether any partition has enough new records, or new records for long enough, or is damaged."""
    for lane, head in evidence_trees.heads(store).items():
        last = evidence_trees.latest_checkpoint(store, origin_of_lane(origin, lane))
        if last is None:
            if head.size:
                return True
            continue
        if head.is_broken:
            return True
        new = head.size - last.head.size
        # A clock that was wrong must not keep later checkpoints from being signed.
        if new >= pace.records or (new > 0 and abs(now - last.signed_at) >= pace.seconds * SECOND):
            return True
    return False


def sign_checkpoints(store: Store, keys: NoteKeys, now: Instant, *, retire: bool = False) -> NewCheckpoints:
    """Sign the trees that have grown since their last checkpoints, and all of them together, in one transaction.

    A signature leaves this process only after the checkpoint is stored, so a crash cannot lose one that others have.

    Args:
        store: The store with the trees.
        keys: Signs; its name is the origin of the trees.
        now: The current time.
        retire: Whether the key signs nothing after this.

    Raises:
        RefusedError: The key was retired.

    Returns:
        The new checkpoints, and why others were not signed. A tree that does not extend its last checkpoint is never
        signed again.
    """
    new: list[Checkpoint] = []
    heads: list[Checkpoint] = []
    faults: list[str] = []
    with evidence_trees.signing(store) as session:
        if session.is_retired(keys.verifiers[0].id) and not retire:
            raise RefusedError(
                f"the key {keys.verifiers[0].text} was retired by 'delegraph evidence rotate': put the new key before "
                "it in the file of evidence_key_file"
            )
        for lane, found in sorted(session.heads().items()):
            origin = origin_of_lane(keys.name, lane)
            last = session.latest(origin)
            try:
                head = _next(session.tree(lane, found), origin, last)
            except IntegrityError as fault:
                faults.append(str(fault))
                head = None
            if head is not None:
                session.add(head, _signed(keys, head.text), now)
                new.append(head)
            elif last is not None:
                head = last.head
            heads += [] if head is None else [head]
        combined = CombinedCheckpoint(keys.name, tuple(heads))
        before = session.latest(keys.name)
        if heads and (before is None or before.head != combined.head):
            session.add(combined.head, _signed(keys, combined.text), now)
        if retire:
            session.retire(keys.verifiers[0].id)
    return NewCheckpoints(new, faults)


def _signed(keys: NoteKeys, text: str) -> str:
    return str(Note(text, (keys.sign(text),)))


def _next(tree: Tree, origin: str, last: SignedCheckpoint | None) -> Checkpoint | None:
    """Return the head of a tree; None if it has not grown.

    Raises:
        IntegrityError: The tree is damaged, or does not begin with the records under its last checkpoint.
    """
    size, before = tree.head.size, 0 if last is None else last.head.size
    name = f"{tree.lane[0]}/{tree.lane[1]}"
    if tree.head.is_broken:
        raise IntegrityError(
            f"the tree of {name} is damaged, and is not signed until 'delegraph rebuild' has repaired it"
        )
    if size == before:
        return None
    if last is not None and (size < before or tree.root(before) != last.head.root):
        raise IntegrityError(
            f"the records of {name} are not those under its checkpoint of {before:,} records: the log or the store was "
            "changed; run 'delegraph fsck'"
        )
    return Checkpoint(origin, size, tree.root())
