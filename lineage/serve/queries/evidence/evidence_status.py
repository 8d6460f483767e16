"""The state of the evidence: what the last checkpoints cover, how old they are, and which witnesses cosigned them."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from lineage.core.evidence.notes import NoteError, VerifierKey, parse_note, verified
from lineage.core.model.times import SECOND, Instant, format_instant
from lineage.deliver.tlog.checkpointing import origin_of, origin_of_lane
from lineage.deliver.tlog.note_keys import is_valid
from lineage.deliver.tlog.witness_settings import WitnessEndpoint
from lineage.serve.documents.core_documents import Document, instant
from lineage.serve.queries.service import Service
from lineage.store import evidence_trees
from lineage.store.evidence_trees import SignedCheckpoint, SignedTree
from lineage.store.store import Store

OLD_SECONDS: Final = 3_600  # a checkpoint that lacks records and is older deserves attention


class CheckpointCoverage(NamedTuple):
    """The records that the latest checkpoints of all partitions cover together.

    Attributes:
        at: When the last of them was signed.
        size: The records under them.
        records_after: The projected records that none of them covers.
    """

    at: Instant
    size: int
    records_after: int

    def is_old(self, now: Instant) -> bool:
        """Whether records have waited too long for a checkpoint."""
        return self.records_after > 0 and now - self.at > OLD_SECONDS * SECOND


class Coverages(NamedTuple):
    """Describe what is signed and what is witnessed; None if there is no such checkpoint."""

    signed: CheckpointCoverage | None
    witnessed: CheckpointCoverage | None

    @property
    def sentence(self) -> str | None:
        """Return the checkpoint that covers an answer, in words; None if nothing is signed."""
        best = self.witnessed or self.signed
        if best is None:
            return None
        kind = "witnessed checkpoint" if self.witnessed else "checkpoint, not witnessed,"
        after = f"{best.records_after:,} record{'' if best.records_after == 1 else 's'} later than it"
        return f"under {kind} of {format_instant(best.at)[:16].replace('T', ' ')}, {after}"


def coverages(store: Store, origin: str | None) -> Coverages:
    """Return what the checkpoints of a store cover, given the configured origin of its trees."""
    return _coverages(_trees(store, origin_of(store, origin)))


def evidence_state(
    service: Service, origin: str | None, witnesses: Sequence[WitnessEndpoint] = (), *, at: Instant
) -> Document:
    """Describe the evidence of a service; see ``evidence_status``."""
    return evidence_status(service.store, origin, witnesses, at=at)


def evidence_status(
    store: Store, origin: str | None, witnesses: Sequence[WitnessEndpoint] = (), *, at: Instant
) -> Document:
    """Describe checkpoints, trees and witnesses.

    Args:
        store: The store.
        origin: The configured origin of the trees.
        witnesses: The configured witnesses.
        at: The current time, from which ages are counted.
    """
    name = origin_of(store, origin)
    trees = _trees(store, name)
    found = _coverages(trees)
    return {
        "origin": name,
        "says": found.sentence,
        "checkpoint": _document(found.signed, at),
        "witnessed": _document(found.witnessed, at),
        "broken": sum(one.head.is_broken for one in trees),
        "trees": [_tree(one) for one in trees],
        "witnesses": [_witness(one.name, one.key, [tree.latest for tree in trees]) for one in witnesses],
    }


def _trees(store: Store, name: str) -> list[SignedTree]:
    return evidence_trees.signed_trees(store, partial(origin_of_lane, name))


def _coverages(trees: Sequence[SignedTree]) -> Coverages:
    records = sum(one.head.size for one in trees)
    return Coverages(
        _covered(records, [one.latest for one in trees]), _covered(records, [one.witnessed for one in trees])
    )


def _covered(records: int, found: Iterable[SignedCheckpoint | None]) -> CheckpointCoverage | None:
    signed = [one for one in found if one is not None]
    if not signed:
        return None
    size = sum(one.head.size for one in signed)
    return CheckpointCoverage(max(one.signed_at for one in signed), size, max(0, records - size))


def _document(found: CheckpointCoverage | None, at: Instant) -> Document | None:
    if found is None:
        return None
    age = max(0, at - found.at) // SECOND
    document = {"at": format_instant(found.at), "age_seconds": age, "size": found.size}
    return {**document, "records_after": found.records_after, "old": found.is_old(at)}


def _tree(one: SignedTree) -> Document:
    latest, witnessed = one.latest, one.witnessed
    return {
        "topic": one.lane[0],
        "partition": one.lane[1],
        "size": one.head.size,
        "is_broken": one.head.is_broken,
        "signed_size": None if latest is None else latest.head.size,
        "signed_at": instant(None if latest is None else latest.signed_at),
        "witnessed_size": None if witnessed is None else witnessed.head.size,
        "witnessed_at": instant(None if witnessed is None else witnessed.witnessed_at),
    }


def _witness(name: str, key: VerifierKey, latest: Iterable[SignedCheckpoint | None]) -> Document:
    """Report which of the latest checkpoints a witness has cosigned, and when it did so last."""
    times: list[Any] = []
    lacking = []
    for one in latest:
        if one is None:
            continue
        try:
            made_at = verified(parse_note(one.note), [key], is_valid).get(key)
        except NoteError:
            made_at = None
        if made_at is None:
            lacking.append(one.head.origin)
        else:
            times.append(made_at)
    last = max(times, default=None)
    return {"name": name, "lacking": lacking, "cosigned_at": None if last is None else format_instant(last * SECOND)}
