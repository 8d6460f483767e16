"""Trees in tiles: the result does not depend on how a tree grew, and has the shape that tlog-tiles describes."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.core.evidence import merkle, record_tree
from lineage.core.evidence.merkle import hash_leaf, hash_node
from lineage.core.evidence.record_tree import ENTRY_BYTES, decode_entry, encode_entries
from lineage.core.model.records import Position

ENTRIES = encode_entries([(number, number, bytes([number % 251] * 32)) for number in range(70_000)], 0)


def grown_in(steps: list[int]) -> dict[tuple[int, int], bytes]:
    """Return the tiles of a tree that grew in steps."""
    stored: dict[tuple[int, int], bytes] = {}
    size = 0
    for step in steps:
        partial = {level: stored[level, index] for level, index in record_tree.partial_tiles(size)}
        stored.update(record_tree.grown(size, partial, ENTRIES[size : size + step]))
        size += step
    return stored


@given(st.lists(st.integers(1, 700), min_size=1, max_size=8))
@settings(max_examples=100)
def test_tiles_do_not_depend_on_how_a_tree_grew(steps: list[int]):
    assert grown_in([sum(steps)]) == grown_in(steps)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_535, 65_536, 65_537, 70_000])
def test_the_tiles_give_the_root_of_the_entries(size: int):
    stored = grown_in([size])
    level = [hash_leaf(entry) for entry in ENTRIES[:size]]
    while len(level) > 1:  # an odd hash at the end goes up as it is, as in RFC 6962
        pairs = [hash_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) & ~1 :]

    assert level[0] == merkle.root(size, record_tree.subtrees(lambda *key: stored[key]))


def test_the_example_of_the_specification():
    """70,000 entries: 273 full tiles and one of 112; one full and one of 17; one of 1."""
    stored = grown_in([70_000])
    widths = {key: len(data) // record_tree.unit_of(key[0]) for key, data in stored.items()}

    assert {112: 1, 256: 273} == counted([width for (level, _), width in widths.items() if level == 0])
    assert {17: 1, 256: 1} == counted([width for (level, _), width in widths.items() if level == 1])
    assert {1: 1} == counted([width for (level, _), width in widths.items() if level == 2])
    assert [(0, 273), (1, 1), (2, 0)] == record_tree.partial_tiles(70_000)


def counted(widths: list[int]) -> dict[int, int]:
    return {width: widths.count(width) for width in sorted(set(widths))}


@given(st.integers(0, 1 << 50))
def test_the_path_of_a_tile_is_read_as_it_is_written(index: int):
    assert record_tree.parse_tile_path(f"3/{record_tree.tile_index(index)}") == record_tree.TilePath(3, index, 256)
    assert record_tree.parse_tile_path(f"entries/{record_tree.tile_index(index)}.p/255") == record_tree.TilePath(
        None, index, 255
    )


def test_the_path_of_the_specification():
    assert record_tree.tile_index(1_234_067) == "x001/x234/067"


@pytest.mark.parametrize(
    "path",
    [
        "", "0", "0/", "0/1", "0/0001", "0/x000/001", "00/001", "100/001", "-1/001", "0/001.p/0", "0/001.p/256",
        "0/001.p/01", "0/001.p/", "0/001/", "0/١٢٣", "0/../001", "data/001", "0/" + "x999/" * 100 + "001", "0/001\n",
    ],
)  # fmt: skip
def test_other_paths_are_refused(path: str):
    assert record_tree.parse_tile_path(path) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 1 << 30), st.integers(-1, 1 << 60), st.binary(min_size=32, max_size=32)),
        max_size=5,
        unique_by=lambda record: record[0],
    )
)
def test_an_entry_identifies_its_record(records: list[tuple[int, int, bytes]]):
    """It has position, gap, time and digest, and a gap of any length before it."""
    lane = Position("orders", 7, 0).number
    committed = sorted((lane + offset, at, digest) for offset, at, digest in records)
    after = 0
    for entry, (number, at, digest) in zip(encode_entries(committed, lane), committed, strict=True):
        offset = number - lane
        assert decode_entry(entry) == (("orders", 7, offset), offset - after, at, digest)
        after = offset + 1


@pytest.mark.parametrize(
    "entry", [b"", b"\x01" * (ENTRY_BYTES - 1), b"\x02" * ENTRY_BYTES, b"\x01" * (ENTRY_BYTES + 1)]
)
def test_other_bytes_are_not_an_entry(entry: bytes):
    assert decode_entry(entry) is None


def test_the_vector_of_the_documentation():
    """docs/evidence.md prints this entry."""
    number, after = Position("orders", 3, 12).number, Position("orders", 3, 10).number
    (entry,) = encode_entries([(number, 1_790_000_000_000_000, bytes(range(32)))], after)
    assert "01 100003000000000c 0000000002 00065bfeda25e000".replace(" ", "") + bytes(range(32)).hex() == entry.hex()
    assert hash_leaf(entry) == hashlib.sha256(b"\0" + entry).digest()


def test_a_bundle_gives_each_entry_with_its_length():
    assert record_tree.entry_bundle(b"".join(ENTRIES[:2])) == b"\x00\x36" + ENTRIES[0] + b"\x00\x36" + ENTRIES[1]
