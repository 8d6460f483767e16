"""The receipt of a revocation: what its orders end, element by element (clauses 10.3 to 10.16)."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import orjson

from lineage.core.authority.orders import Order
from lineage.core.model.events import canonical_json
from lineage.core.model.keys import split_key
from lineage.core.model.times import Instant, format_instant
from lineage.core.revocation.receipt import ReceiptLine, receipt_of
from lineage.serve.documents.core_documents import (
    Document,
    depth_documents,
    instant,
    order_document,
)
from lineage.serve.queries.lists.external_sort import in_order
from lineage.serve.queries.revocations.revocation_snapshot import (
    around,
    moment_of,
    nearby_of,
    part_of,
    parts_of,
    snapshot,
)
from lineage.serve.queries.service import Service


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt of a revocation, to be read once.

    Attributes:
        lines: One element each, sorted by id, as canonical JSON (RFC 8785) without a line end.
        orders: The orders of the id.
        as_of: The progress of the projection.
    """

    lines: Iterator[bytes]
    orders: tuple[Order, ...]
    as_of: Document


@contextmanager
def receipt(
    service: Service, revocation: str, *, at: Instant, known_at: Instant | None = None
) -> Iterator[Receipt | None]:
    """Open the receipt of an id for reading within the block; None if there is no such order."""
    with snapshot(service) as frozen, frozen.store.reader(trust=frozen.trust.table, known_at=known_at) as reader:
        world = around(reader, revocation)
        orders = world.orders.with_id(revocation)
        if not orders:
            yield None
            return
        documents = (
            (line.place, _canonical(line_document(line)))
            for _, lines in parts_of(reader, world, revocation, at)
            for line in lines
        )
        yield Receipt(in_order(documents), tuple(orders), frozen.as_of())


def _canonical(document: Document) -> bytes:
    """Write a line as ``canonical_json`` does, faster: its names are ASCII and its numbers are small integers."""
    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # an unpaired surrogate
        return canonical_json(document)


_effective_at = lru_cache(64)(format_instant)  # very many lines have the same order


def line_document(line: ReceiptLine) -> Document:
    """Convert one line of a receipt."""
    kind, id_ = split_key(line.key)
    path, length = list(line.path), line.path_length
    return {
        "kind": kind,
        "id": id_,
        "state": str(line.state),
        "revocation": line.order.body.revocation,
        "effective_at": _effective_at(line.order.effective_at),
        "path": path,
        **({"path_length": length} if length > len(path) else {}),
        "principals": line.principals,
        "expires_at": instant(line.element.expires_at) if line.element is not None else None,
        "born_dead": line.born_dead,
        "recorded_at": format_instant(line.proven_at),
    }


def receipt_summary(found: Receipt, *, at: Instant, known_at: Instant | None) -> Document:
    """Summarise a receipt in counts and its digest: SHA-256 over the lines, each followed by a line feed."""
    hashed = hashlib.sha256()
    states: Counter[str] = Counter()
    depths: Counter[tuple[int, str]] = Counter()
    born_dead = 0
    for row in found.lines:
        hashed.update(row + b"\n")
        line = orjson.loads(row)
        states[line["state"]] += 1
        depths[line.get("path_length", len(line["path"])) - 1, line["kind"]] += 1
        born_dead += line["born_dead"]
    return {
        "revocation": found.orders[0].body.revocation,
        "orders": [order_document(order) for order in found.orders],
        "at": format_instant(at),
        "known_at": instant(known_at),
        "elements": sum(states.values()),
        "states": dict(sorted(states.items())),
        "depths": depth_documents(depths),
        "born_dead": born_dead,
        "digest": hashed.hexdigest(),
        "as_of": found.as_of,
    }


def receipt_page(
    service: Service, revocation: str, start: int, limit: int, *, at: Instant, known_at: Instant | None = None
) -> list[Document] | None:
    """Return ``limit`` lines of a receipt from ``start`` on; None if there is no such order.

    Raises:
        TooManyError: It has more elements than can be cached.
    """
    with moment_of(service, known_at) as moment:
        world = around(moment.reader, revocation)
        if not world.orders.by_id.get(revocation):
            return None
        ends = moment.worked_out(world, revocation, at)
        if ends is not None:
            keys = list(islice(ends.ended, start, start + limit))
            part = part_of(moment.reader, keys, nearby_of(world, revocation))
            return [line_document(line) for line in receipt_of(part, revocation, at, set(keys))]
    with receipt(service, revocation, at=at, known_at=known_at) as found:  # too many to be in memory at once
        return None if found is None else [json.loads(line) for line in islice(found.lines, start, start + limit)]
