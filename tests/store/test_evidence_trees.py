"""The stored trees over the log: each is a function of its partition alone, on both databases."""

import hashlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.projector import read_records
from lineage.core.evidence import merkle
from lineage.core.evidence.record_tree import NO_VALUE, decode_entry
from lineage.core.model.errors import FencedError, IntegrityError
from lineage.core.model.events import Event, TokenIssued
from lineage.core.model.records import DECISIONS, ORDERS, Batch, Position, Record
from lineage.store import evidence_trees
from lineage.store.database.tables import tile, tree
from lineage.store.store import Store, open_store
from tests.support import stores

START = 1_790_000_000_000_000
Lane = tuple[str, int]


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


@pytest.fixture
def store(fresh: stores.Fresh) -> Iterator[Store]:
    with fresh() as url:
        opened = open_store(url, codec.read, create=True)
        yield opened
        opened.close()


def value(number: int) -> bytes | None:
    """Generate a fact, a repetition of an earlier one, an unreadable record, an empty one, or one without a value."""
    if number % 7 in {3, 4, 5}:
        return (None, b"", b"?%d" % number)[number % 7 - 3]
    body = TokenIssued(token=f"t{number % 90}", subject="human:alice", expires_at=START * 2)
    return codec.encode(Event(event_id=f"e{number % 90}", source="urn:s", occurred_at=START, body=body))


def records_of(lane: Lane, offsets: list[int]) -> list[Record]:
    return [Record(Position(*lane, offset).number, START + offset, value(offset)) for offset in offsets]


def write(store: Store, *parts: tuple[Lane, int, int, list[Record]]) -> None:
    """Write a batch of parts: the partition, the first and the next offset, and the records between."""
    batch = Batch(advance={lane: (first, following) for lane, first, following, _ in parts})
    read_records([record for *_, records in parts for record in records], None, batch)
    store.write(batch)


def tiles_of(store: Store) -> list[tuple[object, ...]]:
    """Return every row of both tables."""
    with store.connection() as connection:
        tables = [sa.select(each).order_by(*each.primary_key) for each in (tree, tile)]
        return [tuple(row) for query in tables for row in connection.execute(query)]


def root_of(store: Store, lane: Lane) -> bytes:
    with evidence_trees.opened_tree(store, lane) as one:
        return one.root()


@pytest.mark.slow
@given(
    offsets=st.lists(st.integers(0, 900), min_size=1, max_size=400, unique=True).map(sorted),
    cuts=st.lists(st.integers(0, 902), max_size=6),
)
@settings(max_examples=15)
def test_a_tree_is_a_function_of_its_partition_alone(fresh: stores.Fresh, offsets: list[int], cuts: list[int]):
    """It depends on the records and on offsets without a record, but not on batches, other
    partitions, databases or known facts.
    """
    here, other = (DECISIONS, 3), (ORDERS, 0)
    end = offsets[-1] + 1
    found = []
    for ends in ([end], sorted({end, *(cut for cut in cuts if cut < end)} - {0})):
        with fresh() as url:
            store = open_store(url, codec.read, create=True)
            first = 0
            for number, following in enumerate(ends):
                inside = [offset for offset in offsets if first <= offset < following]
                write(
                    store,
                    (here, first, following, records_of(here, inside)),
                    (other, number, number + 1, records_of(other, [number])),
                )
                first = following
            found.append([row for row in tiles_of(store) if row[0] == Position(*here, 0).number])
            store.close()
    assert found[0] == found[1]


def test_leaves_identify_records(store: Store):
    """Each has position, gap, time and digest of the value, also of quarantined and repeated records."""
    lane = (DECISIONS, 0)
    offsets = [0, 1, 2, 3, 4, 5, 6, 90, 95]
    write(store, (lane, 0, 100, records_of(lane, offsets)))

    with evidence_trees.opened_tree(store, lane) as one:
        entries = [one.read_entry(index) for index in range(one.head.size)]
        assert (len(offsets), 100, 96) == one.head
    for before, entry in zip([-1, *offsets], entries, strict=False):
        raw = value(entry.position.offset)
        digest = NO_VALUE if raw is None else hashlib.sha256(raw).digest()
        assert (entry.position.offset - before - 1, START + entry.position.offset, digest) == entry[1:]
    assert offsets == [entry.position.offset for entry in entries]


@pytest.mark.parametrize("step", [1, 3])
def test_a_record_is_found_by_its_offset(store: Store, step: int):
    """This works with and without gaps, over several tiles; an offset without a record finds none."""
    lane = (ORDERS, 1)
    offsets = list(range(0, 700 * step, step))
    write(store, (lane, 0, 5_000, records_of(lane, offsets)))

    with evidence_trees.opened_tree(store, lane) as one:
        for offset in [*range(10), 255 * step, 256 * step, 257 * step, offsets[-1], offsets[-1] + 1, 4_999]:
            expected = offset // step if offset in offsets else None
            assert expected == one.index_of(offset)
            if expected is not None:
                raw = one.entry(expected)
                path = merkle.inclusion_proof(expected, one.head.size, one.subtree)
                assert one.root() == merkle.root_of_inclusion(merkle.hash_leaf(raw), expected, one.head.size, path)
                decoded = decode_entry(raw)
                assert decoded is not None
                assert offset == decoded.position.offset


def test_a_fenced_batch_leaves_no_leaf(store: Store):
    lane = (DECISIONS, 0)
    write(store, (lane, 0, 2, records_of(lane, [0, 1])))
    before = tiles_of(store)

    with pytest.raises(FencedError):
        write(store, (lane, 1, 3, records_of(lane, [1, 2])))
    assert before == tiles_of(store)


def test_records_projected_by_an_older_version_are_added_later(store: Store):
    """Until then the tree does not grow; afterwards it is the same as if it had grown from the start."""
    lane = (DECISIONS, 0)
    records = records_of(lane, list(range(600)))
    write(store, (lane, 0, 300, records[:300]))
    with store.engine.begin() as connection:
        connection.execute(tile.delete())
        connection.execute(tree.delete())
    write(store, (lane, 300, 600, records[300:]))
    assert {} == evidence_trees.heads(store)

    def digest(raw: bytes | None) -> bytes:
        return NO_VALUE if raw is None else hashlib.sha256(raw).digest()

    committed = [(one.number, one.recorded_at, digest(one.value)) for one in records]
    assert not evidence_trees.extend_tree(store, lane, 100, 200, committed[100:200])  # it does not end there
    assert not evidence_trees.extend_tree(store, lane, 0, 601, committed)  # not projected yet
    assert evidence_trees.extend_tree(store, lane, 0, 450, committed[:450])
    assert evidence_trees.extend_tree(store, lane, 450, 600, committed[450:])
    write(store, (lane, 600, 601, records_of(lane, [600])))

    with evidence_trees.opened_tree(store, lane) as one:
        assert (601, 601, 601) == one.head
        leaves = [merkle.hash_leaf(one.entry(index)) for index in range(601)]

    def subtree(level: int, at: int) -> bytes:
        return merkle.hash_complete(leaves[at << level : (at + 1) << level])

    assert root_of(store, lane) == merkle.root(601, subtree)


def test_a_missing_tile_is_named(store: Store):
    lane = (DECISIONS, 0)
    write(store, (lane, 0, 300, records_of(lane, list(range(300)))))
    with store.engine.begin() as connection:
        connection.execute(tile.delete().where(tile.c.level == 0, tile.c.place == 0))

    with (
        evidence_trees.opened_tree(store, lane) as one,
        pytest.raises(IntegrityError, match="tile 0 of level 0 of the tree of decisions/0 is missing; run"),
    ):
        one.entry(0)


DAMAGE = {
    "its last tiles": tile.delete().where(tile.c.place == 1, tile.c.level == 0),
    "a part of its last tile": tile.update().where(tile.c.place == 1, tile.c.level == 0).values(data=b"x" * 53),
    "the hash of its full tiles": tile.delete().where(tile.c.level == 1),
    "a record of its size": tree.update().values(size=299),
    "a tile of its size": tree.update().values(size=255),
    "all of its size": tree.update().values(size=0),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_tree_does_not_stop_intake(store: Store, damage: str):
    """The tree is not extended and is reported as broken; facts and other trees continue."""
    lane, other = (DECISIONS, 0), (ORDERS, 0)
    write(store, (lane, 0, 300, records_of(lane, list(range(300)))))
    with store.engine.begin() as connection:
        assert connection.execute(DAMAGE[damage]).rowcount == 1

    for first in (300, 301):
        parts = [(one, at, at + 1, records_of(one, [at])) for one, at in ((lane, first), (other, first - 300))]
        write(store, *parts)

    heads = evidence_trees.heads(store)
    assert {lane: 302, other: 2} == store.positions()
    assert (True, False, 2) == (heads[lane].is_broken, heads[other].is_broken, heads[other].size)
