"""The stored Merkle trees over the log, and the checkpoints that were signed over them."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.evidence import merkle
from lineage.core.evidence.checkpoints import Checkpoint
from lineage.core.evidence.record_tree import ENTRY_BYTES, WIDTH, Committed, RecordEntry, decode_entry, subtrees
from lineage.core.model.errors import IntegrityError
from lineage.core.model.records import Position, position_of
from lineage.core.model.times import Instant
from lineage.store.database.dialects import add_missing, chunks, hold, in_array, values_of, writing
from lineage.store.database.sorted_runs import ident_among
from lineage.store.database.tables import BROKEN, checkpoint, fact, meta, position, sighting, tile, tree
from lineage.store.store import Store
from lineage.store.writing.trees import extend_lane

Lane = tuple[str, int]  # topic and partition

_REBUILD: Final = "run 'delegraph rebuild'"
_RETIRED: Final = "retired:"  # begins the names in `meta` of keys that sign no more
_FEW: Final = 10  # rows fetched at once where the first one nearly always counts


class TreeState(NamedTuple):
    """The state of the tree of a partition.

    Attributes:
        size: The number of its leaves.
        covered: The offset before which the tree has every record; ``BROKEN`` if it is damaged.
        after: The offset after its last record.
    """

    size: int
    covered: int
    after: int

    @property
    def is_broken(self) -> bool:
        """Whether its stored tiles are damaged, so that it is not extended until a rebuild."""
        return self.covered == BROKEN


class SignedCheckpoint(NamedTuple):
    """A stored checkpoint.

    Attributes:
        id: Its id.
        head: The signed head.
        note: The signed note, with cosignatures.
        signed_at: When it was signed.
        witnessed_at: When enough witnesses had cosigned it; None if they have not.
    """

    id: int
    head: Checkpoint
    note: str
    signed_at: Instant
    witnessed_at: Instant | None


class Tree:
    """The tree of one partition, as stored."""

    def __init__(self, connection: Connection, lane: Lane, head: TreeState) -> None:
        """Read from a connection, which must remain open."""
        self.lane = lane
        self.head = head
        self._number = Position(*lane, 0).number
        self._connection = connection
        self._tiles: dict[tuple[int, int], bytes] = {}
        self.subtree = subtrees(self.tile)  # the hashes of its complete subtrees, for proofs

    def tile(self, level: int, place: int) -> bytes:
        """Return the data of a tile, which is read once.

        Raises:
            IntegrityError: It is missing.
        """
        if (level, place) in self._tiles:
            return self._tiles[level, place]
        where = (tile.c.lane == self._number) & (tile.c.level == level) & (tile.c.place == place)
        found = self._connection.execute(sa.select(tile.c.data).where(where)).scalar()
        if found is None:
            topic, partition = self.lane
            raise IntegrityError(
                f"tile {place} of level {level} of the tree of {topic}/{partition} is missing; {_REBUILD}"
            )
        return self._tiles.setdefault((level, place), bytes(found))

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the tree, or of its first ``size`` leaves."""
        return merkle.root(self.head.size if size is None else size, self.subtree)

    def entry(self, index: int) -> bytes:
        """Return the encoded entry of a leaf."""
        place, at = divmod(index, WIDTH)
        return self.tile(0, place)[at * ENTRY_BYTES : (at + 1) * ENTRY_BYTES]

    def index_of(self, offset: int) -> int | None:
        """Return the index of the leaf of a record; None if the tree has none at this offset."""
        index = self.index_after(offset) - 1
        if index < 0:
            return None
        found = self.read_entry(index)
        return index if found.position.offset == offset else None

    def index_after(self, offset: int) -> int:
        """Count the leaves at or before an offset. The cost is logarithmic in the number of tiles."""
        low, high = 0, -(-self.head.size // WIDTH)
        while low < high:  # the first tile that begins after the offset
            middle = (low + high) // 2
            if self.read_entry(middle * WIDTH).position.offset <= offset:
                low = middle + 1
            else:
                high = middle
        if low == 0:
            return 0
        data = self.tile(0, low - 1)
        offsets = [self._read(data[at : at + ENTRY_BYTES]).position.offset for at in range(0, len(data), ENTRY_BYTES)]
        return (low - 1) * WIDTH + bisect_right(offsets, offset)

    def entries(self, place: int) -> list[RecordEntry]:
        """Return the entries of a tile of level 0."""
        data = self.tile(0, place)
        return [self._read(data[at : at + ENTRY_BYTES]) for at in range(0, len(data), ENTRY_BYTES)]

    def read_entry(self, index: int) -> RecordEntry:
        """Return the entry of a leaf."""
        return self._read(self.entry(index))

    def _read(self, raw: bytes) -> RecordEntry:
        found = decode_entry(raw)
        if found is None:
            topic, partition = self.lane
            raise IntegrityError(f"the tree of {topic}/{partition} has an entry that cannot be read; {_REBUILD}")
        return found


def heads(store: Store) -> dict[Lane, TreeState]:
    """Return the heads of the trees of a store, by partition."""
    with store.connection() as connection:
        return heads_of(connection)


def heads_of(connection: Connection) -> dict[Lane, TreeState]:
    """Return the same, over a connection."""
    rows = connection.execute(sa.select(tree).order_by(tree.c.lane))
    return {position_of(row.lane)[:2]: TreeState(row.size, row.covered, row.after) for row in rows}


@contextmanager
def opened_tree(store: Store, lane: Lane) -> Iterator[Tree]:
    """Open the tree of a partition, in one snapshot; an empty one if nothing was projected from it."""
    with store.connection() as connection:
        yield Tree(connection, lane, heads_of(connection).get(lane, TreeState(0, 0, 0)))


def extend_tree(store: Store, lane: Lane, first: int, following: int, records: Sequence[Committed]) -> bool:
    """Append records that were projected before the store had trees.

    Args:
        store: The store.
        lane: The topic and partition.
        first: The offset from which the records are complete.
        following: The offset after them; not beyond the position of the partition.
        records: The records, by offset.

    Returns:
        False if the tree does not end at ``first`` any more; then nothing was written.
    """
    with writing(store.engine) as connection:
        held = sa.select(position.c.next_offset).where(position.c.topic == lane[0], position.c.partition == lane[1])
        projected = connection.execute(held.with_for_update()).scalar() or 0
        return following <= projected and extend_lane(connection, lane, first, following, records)


def positions_of_event(store: Store, source: str, event_id: str) -> list[Position]:
    """Return the positions of every record of an event, for each of its contents, with repetitions, in order."""
    ident = store.keys["event"].once(f"{source}\0{event_id}")
    with store.connection() as connection:
        rows = connection.execute(sa.select(fact.c.n, fact.c.value).where(ident_among(values_of([ident])))).all()
        events = {row.n: store.decode(row.value) for row in rows}  # a hash is not an identity
        own = [n for n, event in events.items() if (event.source, event.event_id) == (source, event_id)]
        again = connection.execute(sa.select(sighting.c.n).where(in_array(sighting.c.fact, own))).scalars()
        return [position_of(number) for number in sorted([*own, *again])]


def values_at(store: Store, numbers: Sequence[int]) -> dict[int, bytes]:
    """Return the values of records that are facts or repeat one, by number; quarantined records are not included."""
    found: dict[int, bytes] = {}
    with store.connection() as connection:
        for part in chunks(numbers):
            facts = sa.select(fact.c.n, fact.c.value).where(in_array(fact.c.n, part))
            again = (
                sa.select(sighting.c.n, fact.c.value)
                .join(fact, fact.c.n == sighting.c.fact)
                .where(in_array(sighting.c.n, part))
            )
            for query in (facts, again):
                found.update((n, bytes(value)) for n, value in connection.execute(query))
    return found


def sequence_neighbours(
    store: Store, source: str, sequence: int
) -> tuple[Position | None, Position | None, Position | None]:
    """The records of a source with the nearest lower sequence number, with this one, and with the nearest higher one.

    Cost:
        A scan of the facts, since nothing else looks up sequence numbers.
    """
    of_source = sa.select(fact.c.n, fact.c.value).where(fact.c.source == store.keys["source"].once(source))
    lower = of_source.where(fact.c.sequence < sequence).order_by(fact.c.sequence.desc(), fact.c.n)
    same = of_source.where(fact.c.sequence == sequence).order_by(fact.c.n)
    higher = of_source.where(fact.c.sequence > sequence).order_by(fact.c.sequence, fact.c.n)
    with store.connection() as connection:
        before, at, after = (_first_of(store, connection, query, source) for query in (lower, same, higher))
    return before, at, after


def _first_of(store: Store, connection: Connection, query: sa.Select[Any], source: str) -> Position | None:
    """The position of the first fact that is of a source; a hash is not an identity."""
    with connection.execute(query.execution_options(yield_per=_FEW)) as rows:
        return next((position_of(n) for n, value in rows if store.decode(value).source == source), None)


class Signing:
    """A transaction in which no other process signs checkpoints or replaces the trees."""

    def __init__(self, connection: Connection) -> None:
        """Use the connection of the transaction."""
        self._connection = connection

    def heads(self) -> dict[Lane, TreeState]:
        """Return the heads of the trees, also of partitions that have none."""
        projected = self._connection.execute(sa.select(position.c.topic, position.c.partition))
        return {(topic, partition): TreeState(0, 0, 0) for topic, partition in projected} | heads_of(self._connection)

    def tree(self, lane: Lane, head: TreeState) -> Tree:
        """Return the tree of a partition."""
        return Tree(self._connection, lane, head)

    def latest(self, origin: str) -> SignedCheckpoint | None:
        """Return the latest checkpoint of an origin; None if there is none."""
        return _latest(self._connection, origin)

    def add(self, head: Checkpoint, note: str, signed_at: Instant) -> None:
        """Store a signed checkpoint."""
        row = {"origin": head.origin, "size": head.size, "root": head.root, "note": note, "signed_at": signed_at}
        self._connection.execute(checkpoint.insert(), [row])

    def is_retired(self, key_id: bytes) -> bool:
        """Whether a key is forbidden to sign."""
        query = sa.select(meta.c.name).where(meta.c.name == _RETIRED + key_id.hex())
        return self._connection.execute(query).first() is not None

    def retire(self, key_id: bytes) -> None:
        """Forbid a key to sign; a rebuild keeps this."""
        add_missing(self._connection, meta, [(_RETIRED + key_id.hex(), b"")])


@contextmanager
def signing(store: Store) -> Iterator[Signing]:
    """Open a transaction that signs checkpoints.

    Two processes that sign at the same time, or one during a rebuild, could otherwise sign two histories.
    """
    with writing(store.engine) as connection:
        hold(connection, checkpoint)
        yield Signing(connection)


def add_cosignature(store: Store, id_: int, line: str, witnessed: Callable[[str], bool], now: Instant) -> None:
    """Add a cosignature to the note of a checkpoint, unless it has it already.

    Args:
        store: The store.
        id_: The checkpoint.
        line: The line with the cosignature.
        witnessed: Whether a note has enough cosignatures.
        now: The current time.
    """
    with writing(store.engine) as connection:
        hold(connection, checkpoint)
        row = connection.execute(sa.select(checkpoint).where(checkpoint.c.id == id_)).first()
        if row is None:
            return
        note = row.note if line in row.note else row.note + line
        witnessed_at = row.witnessed_at or (now if witnessed(note) else None)
        changed = checkpoint.update().where(checkpoint.c.id == id_).values(note=note, witnessed_at=witnessed_at)
        connection.execute(changed)


def latest_checkpoints(store: Store) -> dict[str, SignedCheckpoint]:
    """Return the latest checkpoint of each origin."""
    latest = sa.select(sa.func.max(checkpoint.c.id)).group_by(checkpoint.c.origin)
    with store.connection() as connection:
        rows = connection.execute(sa.select(checkpoint).where(checkpoint.c.id.in_(latest))).all()
    return {row.origin: _signed(row) for row in rows}


def latest_checkpoint(store: Store, origin: str) -> SignedCheckpoint | None:
    """Return the latest checkpoint of an origin; None if there is none."""
    with store.connection() as connection:
        return _latest(connection, origin)


def has_checkpoints(store: Store) -> bool:
    """Whether any checkpoint was signed."""
    with store.connection() as connection:
        return connection.execute(sa.select(checkpoint.c.id).limit(1)).first() is not None


class SignedTree(NamedTuple):
    """The tree of a partition, its latest checkpoint, and the latest that enough witnesses have cosigned."""

    lane: Lane
    head: TreeState
    latest: SignedCheckpoint | None
    witnessed: SignedCheckpoint | None


def signed_trees(store: Store, origin: Callable[[Lane], str]) -> list[SignedTree]:
    """Return the trees of a store with their latest checkpoints, in one snapshot, by partition.

    Args:
        store: The store.
        origin: Returns the origin of the tree of a partition.

    Cost:
        Two lookups for each partition.
    """
    is_witnessed = checkpoint.c.witnessed_at.is_not(None)
    with store.connection() as connection:
        return [
            SignedTree(lane, head, _latest(connection, origin(lane)), _latest(connection, origin(lane), is_witnessed))
            for lane, head in sorted(heads_of(connection).items())
        ]


def _latest(connection: Connection, origin: str, *more: sa.ColumnElement[bool]) -> SignedCheckpoint | None:
    query = sa.select(checkpoint).where(checkpoint.c.origin == origin, *more)
    row = connection.execute(query.order_by(checkpoint.c.size.desc(), checkpoint.c.id.desc()).limit(1)).first()
    return None if row is None else _signed(row)


def checkpoints(store: Store, *, after: int = 0) -> Iterator[SignedCheckpoint]:
    """Return every checkpoint with a larger id, in the order of signing."""
    with store.connection() as connection:
        for row in connection.execute(sa.select(checkpoint).where(checkpoint.c.id > after).order_by(checkpoint.c.id)):
            yield _signed(row)


def checkpoint_at(store: Store, origin: str, size: int) -> SignedCheckpoint | None:
    """Return the smallest checkpoint of an origin that has at least ``size`` leaves; None if there is none yet."""
    query = (
        sa.select(checkpoint)
        .where(checkpoint.c.origin == origin, checkpoint.c.size >= size)
        .order_by(checkpoint.c.size, checkpoint.c.id)
        .limit(1)
    )
    with store.connection() as connection:
        row = connection.execute(query).first()
    return None if row is None else _signed(row)


def _signed(row: Any) -> SignedCheckpoint:
    head = Checkpoint(row.origin, row.size, bytes(row.root))
    return SignedCheckpoint(row.id, head, row.note, row.signed_at, row.witnessed_at)
