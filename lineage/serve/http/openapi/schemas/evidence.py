"""Checkpoints, and the proofs under them."""

from typing import NotRequired, TypedDict

from lineage.serve.http.openapi.schemas.common import Time


class StoredCheckpoint(TypedDict):
    """A signed checkpoint of a partition."""

    origin: str
    size: int
    signed_at: Time
    witnessed_at: Time | None
    note: str


class Checkpoints(TypedDict):
    """The latest checkpoints."""

    origin: str
    checkpoints: list[StoredCheckpoint]
    combined: str | None


class NamedCheckpoint(TypedDict):
    """A signed checkpoint of a partition, with its note or its root."""

    origin: str
    size: int
    note: NotRequired[str]
    root: NotRequired[str]


class EventProof(TypedDict):
    """The proof that the record of an event is under a checkpoint."""

    digest: str
    origin: str
    index: int
    entry: str
    proof: list[str]


class EvidenceOfCase(TypedDict):
    """The proofs of the events of a case, and how to export all of it."""

    bundle: str
    checkpoints: list[NamedCheckpoint]
    proofs: list[EventProof]
    not_covered: list[str]


class EvidenceOfReceipt(TypedDict):
    """The last checkpoints when a receipt was signed, and how to export its proofs."""

    bundle: str
    checkpoints: list[NamedCheckpoint]


class ProvingCheckpoint(TypedDict):
    """The checkpoint that a proof leads to."""

    origin: str
    size: int
    root: str
    note: str


class RecordProof(TypedDict):
    """The proof that a record is under a checkpoint."""

    position: str
    gap: int
    recorded_at: Time
    sha256: str
    index: int
    entry: str
    proof: list[str]
    checkpoint: ProvingCheckpoint
    witnessed: bool
    tlog_proof: str


class ProvedRecord(TypedDict):
    """A proved record, and the next one of its partition if that was asked for."""

    first: RecordProof
    next: RecordProof | None


class RecordProofs(TypedDict):
    """The proofs of every record of a fact."""

    items: list[ProvedRecord]
    total: int | None
    complete: bool
    next: str | None


class TreeHead(TypedDict):
    """The size and the root of a tree."""

    size: int
    root: str


class CheckpointCoverage(TypedDict):
    """The records that the last checkpoints of all partitions cover together."""

    at: Time
    age_seconds: int
    size: int
    records_after: int
    old: bool


class EvidenceTree(TypedDict):
    """The tree of a partition and its last checkpoints."""

    topic: str
    partition: int
    size: int
    is_broken: bool
    signed_size: int | None
    signed_at: Time | None
    witnessed_size: int | None
    witnessed_at: Time | None


class EvidenceWitness(TypedDict):
    """The checkpoints that a witness has cosigned."""

    name: str
    lacking: list[str]
    cosigned_at: Time | None


class Evidence(TypedDict):
    """The state of the evidence."""

    origin: str
    says: str | None
    checkpoint: CheckpointCoverage | None
    witnessed: CheckpointCoverage | None
    broken: int
    trees: list[EvidenceTree]
    witnesses: list[EvidenceWitness]


class ConsistencyProof(TypedDict):
    """The proof that a tree extends an earlier one."""

    topic: str
    partition: int
    old: TreeHead
    new: TreeHead
    proof: list[str]


class AbsenceProof(TypedDict):
    """The proofs of what a source sent around a number that never arrived."""

    source: str
    sequence: int
    before: RecordProof | None
    after: RecordProof | None
