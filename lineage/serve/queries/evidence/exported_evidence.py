"""The evidence that goes with an export: proofs of what it cites, and the checkpoints and the bundle that it names."""

import base64
from collections.abc import Mapping
from functools import partial

from lineage.core.evidence.checkpoints import encoded_hashes
from lineage.core.evidence.merkle import inclusion_proof
from lineage.core.model.records import Position
from lineage.deliver.tlog.checkpointing import origin_of, origin_of_lane
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service
from lineage.store import evidence_trees
from lineage.store.evidence_trees import Lane, SignedCheckpoint


def named_evidence(service: Service, origin: str | None, bundle: str) -> Document | None:
    """Name the last checkpoint of each partition, and the command that exports a bundle; None if nothing is signed."""
    found = _latest(service, origin)
    if not found:
        return None
    heads = [one.head for one in found.values()]
    checkpoints = [{"origin": one.origin, "size": one.size, "root": one.root.hex()} for one in heads]
    return {"bundle": bundle, "checkpoints": checkpoints}


def proofs_of(
    service: Service, origin: str | None, positions: Mapping[str, Position | None], bundle: str
) -> Document | None:
    """Prove that records are under the last checkpoints of their partitions; None if nothing is signed.

    Args:
        service: The service.
        origin: The configured origin of the trees.
        positions: The position of each record, by the digest of its event; None if it is not known.
        bundle: The command that exports a bundle.

    Returns:
        The signed notes, a proof for each record that they cover, and the digests of the others.
    """
    found = _latest(service, origin)
    if not found:
        return None
    proofs: dict[str, Document] = {}
    for lane, checkpoint in found.items():
        own = {digest: one for digest, one in positions.items() if one is not None and one[:2] == lane}
        with evidence_trees.opened_tree(service.store, lane) as tree:
            for digest, position in own.items():
                index = tree.index_of(position.offset)
                if index is not None and index < checkpoint.head.size:
                    proofs[digest] = {
                        "digest": digest,
                        "origin": checkpoint.head.origin,
                        "index": index,
                        "entry": base64.b64encode(tree.entry(index)).decode(),
                        "proof": encoded_hashes(inclusion_proof(index, checkpoint.head.size, tree.subtree)),
                    }
    return {
        "bundle": bundle,
        "checkpoints": [{"origin": one.head.origin, "size": one.head.size, "note": one.note} for one in found.values()],
        "proofs": [proofs[digest] for digest in sorted(proofs)],
        "not_covered": sorted(positions.keys() - proofs.keys()),
    }


def _latest(service: Service, origin: str | None) -> dict[Lane, SignedCheckpoint]:
    name = partial(origin_of_lane, origin_of(service.store, origin))
    return {one.lane: one.latest for one in evidence_trees.signed_trees(service.store, name) if one.latest is not None}
