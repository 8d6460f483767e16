"""Bundles of evidence: an answer, the records that it rests on, and the proofs that they are under signed checkpoints.

A bundle is an in-toto statement whose predicate holds all that ``schemas/verify_evidence.py`` needs. It contains the
values of records that are facts; records in quarantine, which may hold a credential, are represented by their digests.
"""

import base64
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import schemas
from lineage.core.authority.rule import RULE_VERSION
from lineage.core.evidence.checkpoints import encoded_hashes
from lineage.core.evidence.merkle import inclusion_proof
from lineage.core.evidence.record_tree import digest_of
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import Fact, canonical_json
from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS, key_of
from lineage.core.model.records import ORDERS, Position
from lineage.core.model.times import Instant, format_instant
from lineage.core.model.trust import TrustTable
from lineage.deliver.tlog.checkpointing import origin_of_lane
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.cases.case_export import cited_facts, export_case
from lineage.serve.queries.evidence.key_rotations import rotation_facts
from lineage.serve.queries.revocations.receipt import receipt
from lineage.serve.queries.service import Service
from lineage.store import evidence_trees
from lineage.store.evidence_trees import Lane, SignedCheckpoint, Tree

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://delegraph.dev/evidence/v1"
RULE: Final = {"document": "docs/rule-of-authority.md", "version": RULE_VERSION}
MOST_ORDERS: Final = 10_000  # up to so many records all orders are in a bundle, so that no other one says otherwise
MOST_LINES: Final = 10_000  # of a receipt


def who_statement(
    service: Service, origin: str, action: str, *, at: Instant, most_orders: int = MOST_ORDERS
) -> Document | None:
    """Build the statement about who stood behind an action; None if no fact mentions it.

    Args:
        service: The service.
        origin: The origin of the trees.
        action: The id of the action.
        at: The instant asked about.
        most_orders: Up to so many records on the topic of orders, all of them are included.

    Raises:
        RefusedError: No checkpoint covers one of the records yet.
    """
    answer = service.who(action, at=at)
    if answer is None:
        return None
    with service.store.reader(trust=service.trust.table) as reader:
        world = reader.world()
        reader.load_actions(world, [action])
        facts = list(world.facts())
    asked = {"kind": "who", "at": format_instant(at)}
    return _statement(service, origin, f"action:{action}", answer, facts, asked, most_orders)


def receipt_statement(service: Service, origin: str, revocation: str, *, at: Instant) -> Document | None:
    """Build the statement about what the orders of an id ended; None if there is no such order.

    Raises:
        RefusedError: It has more than ``MOST_LINES`` elements, or no checkpoint covers one of the records yet.
    """
    with receipt(service, revocation, at=at) as found:
        if found is None:
            return None
        lines = [json.loads(line) for line in itertools.islice(found.lines, MOST_LINES + 1)]
    if len(lines) > MOST_LINES:
        raise RefusedError(f"the receipt of {revocation} has more than {MOST_LINES:,} elements, too many for a bundle")
    with service.store.reader(trust=service.trust.table) as reader:
        world = reader.world()
        reader.load_elements(world, [f"{line['kind']}:{line['id']}" for line in lines])
        facts = list(world.facts())
    asked = {"kind": "receipt", "revocation": revocation, "at": format_instant(at)}
    return _statement(service, origin, f"revocation:{revocation}", lines, facts, asked)


def case_statement(service: Service, origin: str, case: str, *, at: Instant) -> Document | None:
    """Build the statement about a case: its export, and the records from which its statements follow; None if unknown.

    Raises:
        RefusedError: No checkpoint covers one of the records yet.
    """
    document = export_case(service, case, at=at)
    if document is None:
        return None
    export = document["export"]
    ids: dict[str, list[str]] = {}
    for item in export["items"]:
        ids.setdefault(item["kind"], []).append(item["id"])
    with service.store.reader(trust=service.trust.table) as reader:
        world = reader.world()
        reader.load_actions(world, ids.get("action", []))
        reader.load_elements(world, [key_of(kind, id_) for kind in ELEMENT_KINDS for id_ in ids.get(kind, [])])
        for key in (key_of(kind, id_) for kind in sorted(NAME_KINDS) for id_ in ids.get(kind, [])):
            reader.load_name(world, key)
        facts = [*world.facts(), *cited_facts(service, export)]
    return _statement(service, origin, f"case:{case}", export, facts, {"kind": "case", "at": format_instant(at)})


def _statement(
    service: Service,
    origin: str,
    subject: str,
    answer: Any,
    facts: Iterable[Fact],
    asked: Document,
    most_orders: int = MOST_ORDERS,
) -> Document:
    trust = trust_document(service.trust.table)
    latest = evidence_trees.latest_checkpoints(service.store)
    rotations = rotation_facts(service.store, service.trust.table, origin)  # whose keys must not have signed this
    trees, fingerprints = _trees(service, origin, [*facts, *rotations], latest, most_orders)
    if (combined := latest.get(origin)) is None:
        raise RefusedError("there is no checkpoint over all partitions yet: 'delegraph evidence checkpoint'")
    return {
        "_type": STATEMENT,
        "subject": [{"name": subject, "digest": {"sha256": hashlib.sha256(canonical_json(answer)).hexdigest()}}],
        "predicateType": PREDICATE,
        "predicate": {
            **asked,
            "rule": RULE,
            "answer": answer,
            "trust": trust,
            "trust_digest": "none" if trust is None else hashlib.sha256(canonical_json(trust)).hexdigest(),
            "schemas": {
                one.fingerprint.hex(): schemas.text_of(one)
                for one in schemas.versions()
                if one.fingerprint in fingerprints
            },
            "combined": combined.note,
            "trees": trees,
        },
    }


def trust_document(trust: TrustTable | None) -> Document | None:
    """The trust table as a document; None if every source may say everything."""
    if trust is None:
        return None
    return {
        source: {"types": sorted(grant.types), "ids": list(grant.prefixes)}
        for source, grant in sorted(trust.sources.items())
    }


def _trees(
    service: Service,
    origin: str,
    facts: Iterable[Fact],
    latest: Mapping[str, SignedCheckpoint],
    most_orders: int,
) -> tuple[list[Document], set[bytes]]:
    """The trees with the records of some facts, and the fingerprints of the schemas of these records."""
    store = service.store
    offsets: dict[Lane, set[int]] = {}
    for fact in facts:
        for topic, partition, offset in evidence_trees.positions_of_event(
            store, fact.event.source, fact.event.event_id
        ):
            offsets.setdefault((topic, partition), set()).add(offset)
    heads = evidence_trees.heads(store)
    few = sum(head.size for (topic, _), head in heads.items() if topic == ORDERS) <= most_orders
    found, fingerprints = [], set()
    for lane in sorted({*offsets, *(lane for lane in heads if lane[0] == ORDERS and few)}):
        checkpoint = latest.get(origin_of_lane(origin, lane))
        if checkpoint is None:
            if not offsets.get(lane):
                continue  # nothing was recorded there
            raise RefusedError(f"there is no checkpoint of {lane[0]}/{lane[1]} yet: 'delegraph evidence checkpoint'")
        with evidence_trees.opened_tree(store, lane) as tree:
            document, used = _tree(service, tree, checkpoint, None if lane[0] == ORDERS and few else offsets[lane])
        found.append(document)
        fingerprints |= used
    return found, fingerprints


def _tree(
    service: Service, tree: Tree, checkpoint: SignedCheckpoint, offsets: set[int] | None
) -> tuple[Document, set[bytes]]:
    """One tree with the records at some offsets, or with all of them (None)."""
    size, number = checkpoint.head.size, Position(*tree.lane, 0).number
    indexes = list(range(size)) if offsets is None else sorted(_index(tree, offset, size) for offset in offsets)
    entries = [tree.entry(index) for index in indexes]
    decoded = [tree.read_entry(index) for index in indexes]
    values = evidence_trees.values_at(service.store, [number + entry.position.offset for entry in decoded])
    records, fingerprints = [], set()
    for index, raw, entry in zip(indexes, entries, decoded, strict=True):
        value = values.get(number + entry.position.offset)
        if value is None or digest_of(value) != entry.digest:
            value = None  # in quarantine, or an event that was encoded differently before
        else:
            fingerprints.add(value[2:10])
        if value is None and offsets is not None:
            continue
        record = {
            "index": index,
            "entry": base64.b64encode(raw).decode(),
            "value": None if value is None else base64.b64encode(value).decode(),
        }
        if offsets is not None:
            record["path"] = encoded_hashes(inclusion_proof(index, size, tree.subtree))
        records.append(record)
    return {"checkpoint": checkpoint.note, "complete": offsets is None, "records": records}, fingerprints


def _index(tree: Tree, offset: int, size: int) -> int:
    index = tree.index_of(offset)
    topic, partition = tree.lane
    if index is None or index >= size:
        raise RefusedError(
            f"no checkpoint covers {topic}/{partition}/{offset} yet: sign one with 'delegraph evidence checkpoint'"
        )
    return index
