"""Complete the trees over the log, and sign checkpoints of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from lineage.core.evidence.notes import KeyKind
from lineage.core.evidence.record_entry import Committed, digest_of
from lineage.core.model.errors import RefusedError
from lineage.core.model.records import position_of
from lineage.core.model.times import format_instant
from lineage.deliver.tlog.checkpointing import origin_of, sign_checkpoints
from lineage.deliver.tlog.note_keys import NoteKeys, load_note_keys
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service
from lineage.store import evidence_trees
from lineage.store.evidence_trees import Head

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


def complete_trees(service: Service, progress: Callable[[int], None] = lambda _records: None) -> int:
    """Append to the trees the records that an older version projected, which had none; return how many."""
    log, added = service.require_log(), 0
    for lane, end in sorted(service.store.positions().items()):
        first = evidence_trees.heads(service.store).get(lane, Head(0, 0, 0)).covered
        while first < end:
            records, following = log.read(*lane, first, limit=min(_PAGE, end - first))
            following = min(following, end) if following > first else end
            committed: list[Committed] = [
                (record.number, record.recorded_at, digest_of(record.value))
                for record in records
                if position_of(record.number).offset < following
            ]
            if not evidence_trees.extend_tree(service.store, lane, first, following, committed):
                break  # another process completes it
            added += len(committed)
            progress(len(committed))
            first = following
    return added


def sign(service: Service, keys: NoteKeys) -> Document:
    """Complete the trees, and sign those that have grown.

    Raises:
        IntegrityError: A tree does not extend its last checkpoint.
    """
    complete_trees(service)
    now = service.clock()
    signed = sign_checkpoints(service.store, keys, now)
    latest = evidence_trees.latest_checkpoints(service.store)
    new = {one.head.origin for one in signed}
    return {
        "origin": keys.name,
        "key": keys.verifiers[0].text,
        "signed": len(signed),
        "checkpoints": [
            {
                "origin": one.head.origin,
                "size": one.head.size,
                "signed_at": format_instant(one.signed_at),
                "new": one.head.origin in new,
                "note": one.note,
            }
            for _, one in sorted(latest.items())
        ],
    }
