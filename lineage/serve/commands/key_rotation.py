"""Rotate the key that signs checkpoints: a last checkpoint by the old key, then the rotation as a fact of the log."""

from pathlib import Path

from lineage.core.evidence.notes import KeyKind
from lineage.core.evidence.rotation import Rotation, signed_rotation
from lineage.core.model.errors import IntegrityError, RefusedError
from lineage.core.model.events import CheckpointKeyRotated
from lineage.core.model.times import format_instant
from lineage.deliver.tlog.checkpointing import origin_of_lane, sign_checkpoints
from lineage.deliver.tlog.note_keys import NoteKeys, load_note_keys
from lineage.serve.commands.append import send
from lineage.serve.commands.checkpoints import complete_trees
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.evidence.key_rotations import refuse_retired, rotations_of
from lineage.serve.queries.service import Service
from lineage.store import evidence_trees


def rotate(service: Service, keys: NoteKeys, file: Path, *, by: str, reason: str) -> Document:
    """Retire the key that signs, in favour of another.

    After the last checkpoint no process over this store signs with the old key.

    Args:
        service: The service.
        keys: The keys that sign until now.
        file: The PEM file of the new key.
        by: The principal who rotates.
        reason: Why.

    Raises:
        RefusedError: The new key is the old one, or the old one was replaced already, or the trust file does not let
            us record it.
        IntegrityError: A tree cannot be signed.
    """
    old, fresh = keys.verifiers[0], load_note_keys(keys.name, KeyKind.ED25519, file)
    new = fresh.verifiers[0]
    if new in keys.verifiers:
        raise RefusedError(f"the key in {file} is one that signs or signed already; make another one")
    if not reason.strip():
        raise RefusedError("a rotation needs a reason: --reason TEXT")
    refuse_retired(rotations_of(service.store, service.trust.table, keys.name), old)
    complete_trees(service)
    done = sign_checkpoints(service.store, keys, service.clock(), retire=True)
    if done.faults:
        raise IntegrityError("; ".join(done.faults))
    latest = evidence_trees.latest_checkpoints(service.store)
    sizes = [
        (f"{lane[0]}/{lane[1]}", last.head.size)
        for lane in sorted(evidence_trees.heads(service.store))
        if (last := latest.get(origin_of_lane(keys.name, lane))) is not None
    ]
    rotation = Rotation(keys.name, old, new, tuple(sizes))
    note = signed_rotation(rotation, fresh.sign(rotation.text).line, keys.sign(rotation.text).line)
    fact = send(service, CheckpointKeyRotated(keys.name, by, reason, note), service.clock())
    return {
        "log": keys.name,
        "old": old.text,
        "new": new.text,
        "by": by,
        "reason": reason,
        "recorded_at": format_instant(fact.recorded_at),
        "sizes": [{"tree": tree, "size": size} for tree, size in sizes],
        "note": note,
        "file": str(file),
    }
