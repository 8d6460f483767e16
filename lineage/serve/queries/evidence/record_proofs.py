"""Proofs about records of the log: that one is under a checkpoint, that a tree extends another, and what is absent."""

from typing import Final

from lineage.core.evidence.checkpoints import RecordProof, encoded_hashes
from lineage.core.evidence.merkle import consistency_proof, inclusion_proof
from lineage.core.evidence.notes import parse_note
from lineage.core.evidence.record_tree import RecordEntry
from lineage.core.model.errors import RefusedError
from lineage.core.model.records import TOPICS, Position
from lineage.core.model.times import format_instant
from lineage.deliver.tlog.checkpointing import origin_of, origin_of_lane
from lineage.serve.documents.core_documents import Document, instant
from lineage.serve.queries.service import Service
from lineage.store import evidence_trees
from lineage.store.deletions import deleted_sequences

_LARGEST_PARTITION: Final = (1 << 20) - 1
_LARGEST_OFFSET: Final = (1 << 40) - 1
_PARTS: Final = 3


def parse_position(text: str) -> Position | None:
    """Parse the position of a record, ``TOPIC/PARTITION/OFFSET``; None if it is not one."""
    parts = text.split("/")
    if (
        len(parts) != _PARTS
        or parts[0] not in TOPICS
        or not all(each.isascii() and each.isdigit() for each in parts[1:])
    ):
        return None
    partition, offset = (int(each[:20]) for each in parts[1:])
    if partition > _LARGEST_PARTITION or offset > _LARGEST_OFFSET:
        return None
    return Position(parts[0], partition, offset)


def positions_of(service: Service, fact: str, source: str | None) -> list[Position]:
    """Find the positions of the records of a fact.

    Args:
        service: The service.
        fact: The id of an event; or, without a source, the position of a record.
        source: The source of the event.

    Raises:
        RefusedError: It is neither.
    """
    if source is not None:
        return evidence_trees.positions_of_event(service.store, source, fact)
    found = parse_position(fact)
    if found is None:
        raise RefusedError(
            f"{fact!r} is not the position of a record, such as orders/0/12; for an event, name its source: "
            f"delegraph prove-record {fact} --source URI"
        )
    return [found]


def prove_record(service: Service, position: Position, *, origin: str | None) -> Document | None:
    """Prove that a record is under the earliest checkpoint that covers it; None if the log has no such record.

    Raises:
        RefusedError: No checkpoint covers it yet.
    """
    lane = (position.topic, position.partition)
    with evidence_trees.opened_tree(service.store, lane) as tree:
        index = tree.index_of(position.offset)
        if index is None:
            return None
        name = origin_of_lane(origin_of(service.store, origin), lane)
        found = evidence_trees.checkpoint_at(service.store, name, index + 1)
        if found is None:
            raise RefusedError(
                f"no checkpoint covers {position.topic}/{position.partition}/{position.offset} yet: it is record "
                f"{index + 1:,} of its partition; sign one with 'delegraph evidence checkpoint'"
            )
        path = inclusion_proof(index, found.head.size, tree.subtree)
        entry = tree.entry(index)
        stated = tree.read_entry(index)
    proof = RecordProof(index, tuple(path), parse_note(found.note), entry)
    return {
        **entry_document(stated),
        "index": index,
        "entry": entry.hex(),
        "proof": encoded_hashes(path),
        "checkpoint": {"origin": name, "size": found.head.size, "root": found.head.root.hex(), "note": found.note},
        "witnessed": found.witnessed_at is not None,
        "tlog_proof": str(proof),
    }


def prove_alone(service: Service, position: Position, *, origin: str | None) -> Document | None:
    """Return the same in the form of ``prove_nothing_between``, without the next record."""
    found = prove_record(service, position, origin=origin)
    return None if found is None else {"first": found, "next": None}


def latest_checkpoints(service: Service, *, origin: str | None) -> Document:
    """Describe the latest checkpoint of each partition, and the combined one."""
    name = origin_of(service.store, origin)
    found = evidence_trees.latest_checkpoints(service.store)
    combined = found.pop(name, None)
    return {
        "origin": name,
        "checkpoints": [
            {
                "origin": one.head.origin,
                "size": one.head.size,
                "signed_at": format_instant(one.signed_at),
                "witnessed_at": instant(one.witnessed_at),
                "note": one.note,
            }
            for _, one in sorted(found.items())
        ],
        "combined": None if combined is None else combined.note,
    }


def entry_document(entry: RecordEntry) -> Document:
    """Describe an entry."""
    topic, partition, offset = entry.position
    return {
        "position": f"{topic}/{partition}/{offset}",
        "gap": entry.gap,
        "recorded_at": format_instant(entry.recorded_at),
        "sha256": entry.digest.hex(),
    }


def prove_consistency(service: Service, lane: tuple[str, int], old: int, new: int | None) -> Document:
    """Prove that the first ``old`` records of a partition are a prefix of the first ``new`` (by default of all).

    Raises:
        RefusedError: The sizes are not those of such trees.
    """
    with evidence_trees.opened_tree(service.store, lane) as tree:
        size = tree.head.size if new is None else new
        if not 0 <= old <= size <= tree.head.size:
            raise RefusedError(
                f"the tree of {lane[0]}/{lane[1]} has {tree.head.size:,} records; "
                "give two sizes up to that, the smaller first"
            )
        return {
            "topic": lane[0],
            "partition": lane[1],
            "old": {"size": old, "root": tree.root(old).hex()},
            "new": {"size": size, "root": tree.root(size).hex()},
            "proof": encoded_hashes(consistency_proof(old, size, tree.subtree)),
        }


def prove_nothing_between(service: Service, position: Position, *, origin: str | None) -> Document | None:
    """Prove that the log has no record between one and the next of its partition: their leaves are adjacent.

    Returns:
        The proofs of both; None if the log has no record at the position, or none after it.

    Raises:
        RefusedError: No checkpoint covers both yet.
    """
    with evidence_trees.opened_tree(service.store, (position.topic, position.partition)) as tree:
        index = tree.index_of(position.offset)
        if index is None or index + 1 >= tree.head.size:
            return None
        following = tree.read_entry(index + 1).position
    first, second = (prove_record(service, each, origin=origin) for each in (position, following))
    return None if first is None or second is None else {"first": first, "next": second}


def prove_sequence_absent(service: Service, source: str, sequence: int, *, origin: str | None) -> Document:
    """Show what a source sent around a sequence number that never arrived.

    A source numbers its events without gaps, so a number between two that arrived is missing if no record has it. The
    proofs are of the records of its neighbours; that no record has the number is a statement of this store, which
    anyone with the whole log can check.

    Raises:
        RefusedError: An event with this number did arrive.
    """
    before, at, after = evidence_trees.sequence_neighbours(service.store, source, sequence)
    if at is not None:
        topic, partition, offset = at
        raise RefusedError(f"{source} did send number {sequence}: see {topic}/{partition}/{offset}")
    if any(first <= sequence <= last for first, last in deleted_sequences(service.store, source)):
        raise RefusedError(f"{source} did send number {sequence}; retention deleted it: see 'delegraph deletions'")
    return {
        "source": source,
        "sequence": sequence,
        "before": None if before is None else prove_record(service, before, origin=origin),
        "after": None if after is None else prove_record(service, after, origin=origin),
    }
