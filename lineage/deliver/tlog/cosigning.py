"""Ask the witnesses for the cosignatures that the latest checkpoints lack."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from lineage.core.evidence.merkle import consistency_proof
from lineage.core.evidence.notes import parse_note, verified
from lineage.core.model.times import Instant
from lineage.deliver.tlog.checkpointing import origin_of_lane
from lineage.deliver.tlog.note_keys import is_valid
from lineage.deliver.tlog.witness_client import request_cosignature
from lineage.deliver.tlog.witness_settings import WitnessEndpoint
from lineage.store import evidence_trees
from lineage.store.evidence_trees import Lane
from lineage.store.store import Store


class Quorum(NamedTuple):
    """The witnesses of a log, and how many of them must have cosigned a checkpoint before it counts as witnessed."""

    witnesses: tuple[WitnessEndpoint, ...]
    needed: int

    def is_reached(self, note: str) -> bool:
        """Whether enough of them have cosigned a checkpoint."""
        return len(verified(parse_note(note), [one.key for one in self.witnesses], is_valid)) >= self.needed


def quorum_of(witnesses: Sequence[WitnessEndpoint], needed: int | None) -> Quorum:
    """Return the quorum that the settings name: by default all witnesses."""
    return Quorum(tuple(witnesses), len(witnesses) if needed is None else needed)


Faults = dict[tuple[str, str], str]
"""Why a witness did not cosign, by its name and the origin of the tree."""


def request_cosignatures(
    store: Store,
    origin: str,
    quorum: Quorum,
    clock: Callable[[], Instant],
    asked: Sequence[WitnessEndpoint] | None = None,
) -> Faults:
    """Ask witnesses to cosign the latest checkpoint of each partition, unless they have.

    Args:
        store: The store with the checkpoints.
        origin: The origin of the trees.
        quorum: All witnesses, and how many must have cosigned a checkpoint.
        clock: Returns the current time.
        asked: The witnesses to ask; None for all.
    """
    faults: Faults = {}
    for lane in evidence_trees.heads(store):
        if (found := evidence_trees.latest_checkpoint(store, origin_of_lane(origin, lane))) is None:
            continue
        note, prove = parse_note(found.note), partial(consistency_of, store, lane)
        for witness in quorum.witnesses if asked is None else asked:
            if verified(note, [witness.key], is_valid):
                continue
            reply = request_cosignature(witness, note, found.head, prove, clock)
            if reply.cosignature is None:
                faults[witness.name, found.head.origin] = reply.fault or ""
            else:
                evidence_trees.add_cosignature(store, found.id, reply.cosignature.line, quorum.is_reached, clock())
    return faults


def consistency_of(store: Store, lane: Lane, old: int, new: int) -> tuple[bytes, ...]:
    """Prove that the first ``old`` records of a partition are the beginning of the first ``new``."""
    with evidence_trees.opened_tree(store, lane) as tree:
        return tuple(consistency_proof(old, new, tree.subtree))
