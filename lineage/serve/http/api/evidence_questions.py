"""The questions about evidence: checkpoints, and proofs about records of the log."""

from typing import Final

from lineage.deliver.http.callers import Caller
from lineage.serve.documents.core_documents import Document, listing
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.query import Parameter, ParameterError, Query
from lineage.serve.http.core.question import Question
from lineage.serve.queries.evidence import record_proofs
from lineage.serve.queries.evidence.evidence_status import evidence_state

_LARGEST: Final = 10**18
_LONGEST: Final = 1_024
_SIZE: Final = {"type": "integer", "minimum": 0, "maximum": _LARGEST}
_URI: Final = {"type": "string", "minLength": 1, "maxLength": _LONGEST}
_FACT: Final = Parameter(
    "fact",
    {"type": "string", "minLength": 1, "maxLength": _LONGEST},
    "The position of a record, `TOPIC/PARTITION/OFFSET`; with `source` the id of an event.",
    required=True,
    example="decisions/0/7",
)
_OF_EVENT: Final = Parameter("source", _URI, "The source of the event.")
_FOLLOWING: Final = Parameter(
    "following", {"type": "boolean"}, "Also prove the next record of the partition, so that none is between them."
)
_TREE: Final = Parameter(
    "tree", {"type": "string", "maxLength": 64}, "`TOPIC/PARTITION`.", required=True, example="decisions/0"
)
_OLD: Final = Parameter("old", _SIZE, "The number of records of the smaller tree.", required=True, example="20")
_NEW: Final = Parameter("new", _SIZE, "The same of the larger tree; by default all.", example="44")
_SOURCE: Final = Parameter("source", _URI, "The source.", required=True, example="https://gateway.example")
_SEQUENCE: Final = Parameter(
    "sequence", _SIZE, "The sequence number that never arrived.", required=True, example="1000"
)


def state(site: AppContext, _caller: Caller, _query: Query) -> Document:
    """Return how old and large the last checkpoints are, and what the witnesses have cosigned."""
    return evidence_state(site.service, site.evidence_origin, site.witnesses, at=site.now)


def checkpoints(site: AppContext, _caller: Caller, _query: Query) -> Document:
    """Return the latest checkpoint of each partition, and of all together."""
    return record_proofs.latest_checkpoints(site.service, origin=site.evidence_origin)


def record(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Prove the records of a fact."""
    fact, following = _bounded(query, "fact"), query.flag("following", default=False)
    source = None if query.text("source") is None else _bounded(query, "source")
    found = [
        record_proofs.prove_nothing_between(site.service, each, origin=site.evidence_origin)
        if following
        else record_proofs.prove_alone(site.service, each, origin=site.evidence_origin)
        for each in record_proofs.positions_of(site.service, fact, source)
    ]
    proofs = [document for document in found if document is not None]
    if not proofs:
        raise NotFoundError(fact)
    return listing(proofs, total=len(proofs))


def consistency(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Prove that a tree extends an earlier one."""
    lane = record_proofs.parse_position(f"{query.the('tree')}/0")
    if lane is None:
        raise ParameterError("tree", f"{query.the('tree')!r} is not a partition of the log, such as orders/0")
    old = _number(query, "old")
    new = None if query.text("new") is None else _number(query, "new")
    return record_proofs.prove_consistency(site.service, (lane.topic, lane.partition), old, new)


def absence(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Prove the neighbours of a sequence number that never arrived."""
    return record_proofs.prove_sequence_absent(
        site.service, _bounded(query, "source"), _number(query, "sequence"), origin=site.evidence_origin
    )


def _bounded(query: Query, name: str) -> str:
    value = query.the(name)
    if not 0 < len(value) <= _LONGEST:
        raise ParameterError(name, f"{len(value):,} characters, but it must have 1 to {_LONGEST:,}")
    return value


def _number(query: Query, name: str) -> int:
    value = query.the(name)
    if not (value.isascii() and value.isdigit()) or len(value) > len(str(_LARGEST)) or int(value) > _LARGEST:
        raise ParameterError(name, f"{value[:64]!r} is not a number from 0 to {_LARGEST:,}")
    return int(value)


EVIDENCE: Final = (
    Question(
        path="/evidence",
        ask=state,
        parameters=(),
        title="The state of the evidence: age and size of the last checkpoints, what they do not cover, the witnesses",
        answer="Evidence",
        about=(),
    ),
    Question(
        path="/evidence/checkpoints",
        ask=checkpoints,
        parameters=(),
        title="The latest checkpoint of each partition, and of all together",
        answer="Checkpoints",
        about=(),
    ),
    Question(
        path="/evidence/record",
        ask=record,
        parameters=(_FACT, _OF_EVENT, _FOLLOWING),
        title="The proof that a record of the log is under a signed checkpoint",
        answer="RecordProofs",
        about=("fact", "source"),
    ),
    Question(
        path="/evidence/consistency",
        ask=consistency,
        parameters=(_TREE, _OLD, _NEW),
        title="The proof that a tree over the log extends an earlier one",
        answer="ConsistencyProof",
        about=("tree",),
    ),
    Question(
        path="/evidence/absence",
        ask=absence,
        parameters=(_SOURCE, _SEQUENCE),
        title="The proofs of what a source sent around a sequence number that never arrived",
        answer="AbsenceProof",
        about=("source",),
    ),
)
