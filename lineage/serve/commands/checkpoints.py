"""Complete the trees over the log, and sign checkpoints of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lineage.core.evidence.notes import KeyKind
from lineage.core.evidence.record_tree import Committed, digest_of
from lineage.core.model.errors import IntegrityError, RefusedError
from lineage.core.model.records import position_of
from lineage.deliver.tlog.checkpointing import origin_of, sign_checkpoints
from lineage.deliver.tlog.cosigning import quorum_of, request_cosignatures
from lineage.deliver.tlog.note_keys import NoteKeys, load_note_keys
from lineage.deliver.tlog.witness_settings import WitnessEndpoint
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.evidence.key_rotations import refuse_retired, rotations_of
from lineage.serve.queries.evidence.record_proofs import latest_checkpoints
from lineage.serve.queries.service import Service
from lineage.store import evidence_trees
from lineage.store.evidence_trees import TreeState

_PAGE: Final = 50_000  # records of the log read at once
NO_KEY: Final = (
    "there is no key to sign checkpoints with: make one with 'delegraph evidence keygen FILE', and name it as "
    "DELEGRAPH_EVIDENCE_KEY_FILE"
)


def keys_of(service: Service, file: Path | None, origin: str | None) -> NoteKeys:
    """Load the keys that sign checkpoints of the service's log.

    Raises:
        RefusedError: None are configured, or they cannot be used.
    """
    if file is None:
        raise RefusedError(NO_KEY)
    return load_note_keys(origin_of(service.store, origin), KeyKind.ED25519, file)


def complete_trees(service: Service) -> None:
    """Append to the trees the records that an older version projected, which had none."""
    log = service.require_log()
    for lane, end in sorted(service.store.positions().items()):
        first = evidence_trees.heads(service.store).get(lane, TreeState(0, 0, 0)).covered
        while 0 <= first < end:  # a broken tree is left to a rebuild
            records, following = log.read(*lane, first, limit=min(_PAGE, end - first))
            following = min(following, end) if following > first else end
            committed: list[Committed] = [
                (record.number, record.recorded_at, digest_of(record.value))
                for record in records
                if position_of(record.number).offset < following
            ]
            if not evidence_trees.extend_tree(service.store, lane, first, following, committed):
                break  # another process completes it
            first = following


def sign(
    service: Service, keys: NoteKeys, witnesses: Sequence[WitnessEndpoint] = (), needed: int | None = None
) -> Document:
    """Complete the trees, sign those that have grown, and ask the witnesses that have not cosigned yet.

    Args:
        service: The service.
        keys: Signs; its name is the origin of the trees.
        witnesses: The witnesses to ask.
        needed: The number that must have cosigned a checkpoint for it to count as witnessed; None for all.

    Raises:
        IntegrityError: A tree is damaged or does not extend its last checkpoint; the others were signed.
    """
    complete_trees(service)
    refuse_retired(rotations_of(service.store, service.trust.table, keys.name), keys.verifiers[0])
    done = sign_checkpoints(service.store, keys, service.clock())
    if done.faults:
        raise IntegrityError("; ".join(done.faults))
    signed = {head.origin for head in done.new}
    faults = request_cosignatures(service.store, keys.name, quorum_of(witnesses, needed), service.clock)
    latest = latest_checkpoints(service, origin=keys.name)
    return {
        **latest,
        "key": keys.verifiers[0].text,
        "signed": len(signed),
        "checkpoints": [{**one, "new": one["origin"] in signed} for one in latest["checkpoints"]],
        "faults": [{"witness": name, "origin": origin, "fault": fault} for (name, origin), fault in faults.items()],
    }
