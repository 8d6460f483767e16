"""A store whose partitions grow by records on which nothing depends, and a key that signs its trees."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingest.codec import api as codec
from ingest.projector import read_records
from lineage.core.evidence.notes import KeyKind
from lineage.core.model.records import DECISIONS, ORDERS, Batch, Position, Record
from lineage.deliver.tlog.note_keys import note_keys
from lineage.store.store import Store, open_store

ORIGIN = "log.example"
START = 1_790_000_000_000_000
LANES = ((DECISIONS, 0), (DECISIONS, 1), (ORDERS, 0))
_PRIVATE = Ed25519PrivateKey.generate()
KEYS = note_keys(ORIGIN, KeyKind.ED25519, _PRIVATE, [_PRIVATE.public_key()])


def new_store(url: str) -> Store:
    return open_store(url, codec.read, create=True)


def grow(store: Store, lane: tuple[str, int], records: int, *, mark: bytes = b"?") -> None:
    """Append unreadable records, which are in the tree like all others."""
    first = store.positions().get(lane, 0)
    offsets = range(first, first + records)
    batch = Batch(advance={lane: (first, first + records)})
    found = [Record(Position(*lane, each).number, START + each, mark + b"%d" % each) for each in offsets]
    read_records(found, None, batch)
    store.write(batch)
