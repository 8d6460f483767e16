"""Deletions by retention: the list with the verification of each certificate, and what answers say about it."""

from collections.abc import Iterator, Sequence

from lineage.core.evidence.notes import NoteError, VerifierKey, parse_note, verified
from lineage.core.model.events import RecordsDeleted
from lineage.core.model.times import format_instant
from lineage.core.retention.certificate import parse_certificate
from lineage.deliver.tlog.checkpointing import origin_of_lane
from lineage.deliver.tlog.note_keys import is_valid
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service
from lineage.store import deletions, evidence_trees
from lineage.store.deletions import Deletion


def deleted(service: Service, keys: Sequence[VerifierKey] = ()) -> Document:
    """List every deletion, the latest first.

    Args:
        service: The service to query.
        keys: Verify the certificates; without any, only what does not need a key is verified.
    """
    found = deletions.deletions(service.store)
    items = [
        {**deletion_document(each), "faults": list(_faults(service, each, keys)), "signed": bool(keys)}
        for each in reversed(found)
    ]
    return {"items": items, "total": len(items), "complete": True, "next": None, "as_of": service.as_of()}


def deletion_document(each: Deletion) -> Document:
    """Describe a deletion."""
    topic, partition = each.lane
    return {
        "deletion": each.id,
        "topic": topic,
        "partition": partition,
        "first_tile": each.first_tile,
        "last_tile": each.last_tile,
        "records": each.records,
        "rule": each.rule,
        "recorded_before": format_instant(each.recorded_before),
        "deleted_at": format_instant(each.deleted_at),
        "deleted_by": each.deleted_by,
        "list_sha256": each.list_sha256,
        "certificate": each.certificate,
    }


def _faults(service: Service, each: Deletion, keys: Sequence[VerifierKey]) -> Iterator[str]:
    """Find what is wrong with a deletion: a sentence about each fault."""
    try:
        note = parse_note(each.certificate)
        signers = verified(note, keys, is_valid)
        parsed = parse_certificate(note.text)
    except NoteError as fault:
        yield f"its certificate is not valid: {fault}"
        return
    if keys and not signers:
        yield "its certificate is not signed by a key of this log"
    names = ("first_tile", "last_tile", "records", "rule", "recorded_before", "deleted_at", "list_sha256")
    if parsed.deletion != each.id or any(getattr(parsed, name) != getattr(each, name) for name in names):
        yield "its certificate contradicts the store"
    tiles = deletions.tiles_of(service.store, each.id)
    if deletions.digest_of_list(tiles) != parsed.list_sha256 or deletions.count_of(tiles) != parsed.records:
        yield "the list of its records is not the one in its certificate"
    with evidence_trees.opened_tree(service.store, each.lane) as tree:
        if not parsed.tree.endswith(origin_of_lane("", each.lane)) or tree.head.size < parsed.size:
            yield "its certificate is of another tree"
        elif tree.root(parsed.size) != parsed.root:
            yield "the tree does not have the root in its certificate: entries were changed since"
    with service.reader() as reader:
        announced = [fact.event.body for fact in reader.facts_about([f"deletion:{each.id}"])]
    if not any(isinstance(body, RecordsDeleted) and body.certificate == each.certificate for body in announced):
        yield "no event in the log announces it"
