"""The rotations of the key that signs checkpoints, as the log has them, and what they forbid."""

from collections.abc import Iterator, Sequence

from lineage.core.evidence.checkpoints import Checkpoint, parse_checkpoint
from lineage.core.evidence.combined import is_combined, parse_combined
from lineage.core.evidence.notes import Note, NoteError, VerifierKey, parse_note, verified
from lineage.core.evidence.rotation import Rotation, forbidding, rotations_in
from lineage.core.model.errors import IntegrityError, RefusedError
from lineage.core.model.events import CheckpointKeyRotated, Fact
from lineage.core.model.times import format_instant
from lineage.core.model.trust import TrustTable
from lineage.deliver.tlog.checkpointing import origin_of, origin_of_lane
from lineage.deliver.tlog.note_keys import is_valid
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service
from lineage.store import evidence_trees
from lineage.store.store import Store


def rotations_of(store: Store, trust: TrustTable | None, origin: str) -> list[Rotation]:
    """Return the rotations of a log that its sources were allowed to record, the earliest of each key."""
    bodies = [fact.event.body for fact in rotation_facts(store, trust, origin)]
    return rotations_in([body.note for body in bodies if isinstance(body, CheckpointKeyRotated)], origin, is_valid)


def rotation_facts(store: Store, trust: TrustTable | None, origin: str) -> list[Fact]:
    """Return the facts that record rotations of a log, in the order of the log."""
    with store.reader(trust=trust) as reader:
        facts = reader.facts_about([f"log:{origin}"])
    rotations = [fact for fact in facts if isinstance(fact.event.body, CheckpointKeyRotated)]
    return sorted(rotations, key=lambda fact: fact.recorded_at)


def refuse_retired(rotations: list[Rotation], key: VerifierKey) -> None:
    """Raise RefusedError if a rotation has retired the key that is about to sign."""
    for rotation in rotations:
        if rotation.old == key:
            raise RefusedError(
                f"the key {key.text} was replaced by {rotation.new.text}, by a rotation in the log: put the new key "
                "before the old one in the file of evidence_key_file"
            )


def checkpoints_by_retired_keys(stored: Store, fresh: Store, trust: TrustTable | None) -> Iterator[str]:
    """Find stored checkpoints that a key signed after a rotation had retired it: a sentence about each.

    Args:
        stored: The store with the checkpoints.
        fresh: A fresh projection of the log, whose rotations count.
        trust: Which source may record a rotation.

    Cost:
        Reads every checkpoint, and verifies the signatures of those that a rotation forbids.
    """
    rotations: dict[str, list[Rotation]] = {}
    for one in evidence_trees.checkpoints(stored):
        try:
            note = parse_note(one.note)
            heads = parse_combined(note).heads if is_combined(note) else (parse_checkpoint(note),)
        except NoteError:
            continue  # reported with the trees
        log = heads[0].origin.rsplit("/", 2)[0]
        if log not in rotations:
            rotations[log] = rotations_of(fresh, trust, log)
        retired = _retired_signer(note, heads, rotations[log])
        if retired is not None:
            signed_at = format_instant(one.signed_at)
            yield (
                f"checkpoint: the checkpoint of {one.head.origin} with {one.head.size:,} records, signed {signed_at}, "
                f"is signed by {retired.old.text}, which had been replaced by {retired.new.text}"
            )


def _retired_signer(note: Note, heads: Sequence[Checkpoint], rotations: list[Rotation]) -> Rotation | None:
    """Return the rotation after which none of those that signed a note could sign it; None if there is none."""
    if not any(rotation.forbids(head) for rotation in rotations for head in heads):
        return None
    keys = [key for rotation in rotations for key in (rotation.old, rotation.new)]
    try:
        return forbidding(heads, list(verified(note, keys, is_valid)), rotations)
    except NoteError:
        return None


def check_checkpoint(service: Service, raw: str, keys: list[VerifierKey], *, origin: str | None) -> Document:
    """Compare a signed checkpoint with the trees of the store.

    Args:
        service: The service.
        raw: The note.
        keys: The keys that are trusted.
        origin: How checkpoints name the log; None for the default.

    Raises:
        RefusedError: It is not a checkpoint of this log.
        IntegrityError: No trusted key signed it, or it was replaced before, or the records are not those under it.
    """
    name = origin_of(service.store, origin)
    try:
        note = parse_note(raw)
        combined = parse_combined(note) if is_combined(note) else None
        heads = (parse_checkpoint(note),) if combined is None else combined.heads
    except NoteError as fault:
        raise RefusedError(f"that is not a checkpoint: {fault}") from fault
    signers = _signers(note, keys)
    lanes = {origin_of_lane(name, lane): lane for lane in evidence_trees.heads(service.store)}
    if combined is not None and combined.origin != name:
        raise RefusedError(f"that is a checkpoint of {combined.origin}; this log is {name}")
    retired = forbidding(heads, signers, rotations_of(service.store, service.trust.table, name))
    if retired is not None:
        raise IntegrityError(
            f"the checkpoint is signed by {retired.old.text}, which had been replaced by then: it covers more records "
            "than that key had signed before the rotation"
        )
    for head in heads:
        if (lane := lanes.get(head.origin)) is None:
            raise RefusedError(f"that is a checkpoint of {head.origin}, which is no partition of this log ({name})")
        _refuse_other(service, lane, head)
    return {
        "origin": heads[0].origin if combined is None else combined.origin,
        "size": sum(head.size for head in heads),
        "signed_by": sorted(key.text for key in signers),
        "trees": [{"origin": head.origin, "size": head.size, "root": head.root.hex()} for head in heads],
    }


def _signers(note: Note, keys: list[VerifierKey]) -> list[VerifierKey]:
    try:
        found = verified(note, keys, is_valid)
    except NoteError as fault:
        raise IntegrityError(str(fault)) from fault
    if not found:
        raise IntegrityError("no key that you trust signed the checkpoint")
    return list(found)


def _refuse_other(service: Service, lane: tuple[str, int], head: Checkpoint) -> None:
    with evidence_trees.opened_tree(service.store, lane) as tree:
        if tree.head.size < head.size:
            raise IntegrityError(
                f"the checkpoint covers {head.size:,} records of {head.origin}, and the store has {tree.head.size:,}"
            )
        if tree.root(head.size) != head.root:
            raise IntegrityError(
                f"the first {head.size:,} records of {head.origin} are not those under the checkpoint: "
                "it shows another history"
            )
