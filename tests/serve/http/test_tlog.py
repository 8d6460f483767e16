"""The trees over HTTP: a client written from the specification verifies them, and no served tile is ever wrong."""

import random
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lineage.core.evidence.combined import parse_combined
from lineage.core.evidence.notes import KeyKind, parse_note
from lineage.core.evidence.record_tree import decode_entry
from lineage.core.model.records import DECISIONS, ORDERS, Position
from lineage.deliver.tlog.checkpointing import sign_checkpoints
from lineage.deliver.tlog.note_keys import note_keys
from lineage.store.evidence_trees import TreeState, heads_of
from lineage.store.store import Store
from lineage.store.writing.trees import extend_lane
from tests.support import tlog_client
from tests.support.http_worlds import World, api_over, problem_type

ORIGIN = "audit.example/agents"
TREE = f"{ORIGIN}/decisions/1"
SIZE = 70_000  # as the example of the specification: tiles on three levels
START = 1_790_000_000_000_000
_PRIVATE = Ed25519PrivateKey.generate()
KEYS = note_keys(ORIGIN, KeyKind.ED25519, _PRIVATE, [_PRIVATE.public_key()])


def grow(store: Store, lane: tuple[str, int], records: int) -> None:
    """Extend only the tree of a partition, which is quick; the records themselves are not read here."""
    number = Position(*lane, 0).number
    with store.engine.begin() as connection:
        first = heads_of(connection).get(lane, TreeState(0, 0, 0)).size
        committed = [(number + each, START + each, bytes(32)) for each in range(first, first + records)]
        assert extend_lane(connection, lane, first, first + records, committed)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Create the API over a partition with 70,000 records under a checkpoint, and ten later ones."""
    folder = tmp_path_factory.mktemp("tlog")
    with api_over(f"sqlite:///{folder}/store.db", folder, empty=True) as world:
        grow(world.service.store, (DECISIONS, 1), SIZE)
        grow(world.service.store, (ORDERS, 0), 3)
        sign_checkpoints(world.service.store, KEYS, START)
        grow(world.service.store, (DECISIONS, 1), 300)
        yield world


def get_from(api: World, tree: str, role: str | None = "investigator") -> tlog_client.Get:
    client = api.as_(role)

    def get(path: str) -> bytes:
        response = client.get(f"/tlog/{tree}/{path}")
        assert 200 == response.status_code, (path, response.text)
        return response.content

    return get


@pytest.mark.parametrize(("tree", "size"), [(TREE, SIZE), (f"{ORIGIN}/orders/0", 3)])
def test_a_client_of_the_specification_verifies_the_whole_tree(api: World, tree: str, size: int):
    origin, found, entries = tlog_client.verified_entries(get_from(api, tree))

    assert (tree, size) == (origin, found)
    decoded = [decode_entry(entry) for entry in entries]
    assert list(range(size)) == [one.position.offset for one in decoded if one is not None]


def test_no_request_ever_yields_a_wrong_tile(api: World):
    """In 1,000 random requests, a tile that the checkpoint covers is right, and every other one is missing."""
    get, client = get_from(api, TREE), api.as_("investigator")
    right: dict[str, bytes] = {}
    for level in (0, 1, 2, "entries"):
        right |= {path: get(path) for path, _ in tlog_client.tile_paths(SIZE, level)}
    chance = random.Random(18)
    outcomes = {True: 0, False: 0}
    for _ in range(1_000):
        level = chance.choice(["0", "0", "1", "2", "3", "63", "64", "entries", "00", "-1", "data"])
        index = chance.choice([0, 1, 2, 3, 273, 274, 10**6, chance.randrange(275)])
        width = chance.choice([None, None, 0, 1, 17, 111, 112, 113, 255, 256, chance.randrange(256)])
        path = f"tile/{level}/{tlog_client.index_path(index)}" + ("" if width is None else f".p/{width}")
        response = client.get(f"/tlog/{TREE}/{path}")
        unit = 56 if level == "entries" else 32
        exists = {
            each: data
            for each, data in right.items()
            if each.startswith(f"tile/{level}/{tlog_client.index_path(index)}")
        }
        whole = next((data for each, data in exists.items() if each.partition(".")[0] == path.partition(".")[0]), b"")
        filters = 256 if width is None else width
        is_there = len(whole) >= filters * unit and (width is None or 0 < width < 256)
        assert (200 if is_there else 404) == response.status_code, path
        if is_there:
            assert whole[: filters * unit] == response.content, path
        outcomes[is_there] += 1

    assert min(outcomes.values()) > 50


def test_a_tile_is_cached_forever_and_a_checkpoint_for_seconds(api: World):
    client = api.as_(None)
    tile, checkpoint = (client.get(f"/tlog/{TREE}/{path}") for path in ("tile/0/000", "checkpoint"))

    assert ("application/octet-stream", "public, max-age=31536000, immutable") == (
        tile.headers["content-type"],
        tile.headers["cache-control"],
    )
    assert ("text/plain; charset=utf-8", "public, max-age=5") == (
        checkpoint.headers["content-type"],
        checkpoint.headers["cache-control"],
    )
    for path, response in (("tile/0/000", tile), ("checkpoint", checkpoint)):
        again = client.get(f"/tlog/{TREE}/{path}", headers={"If-None-Match": response.headers["etag"]})
        assert (304, b"") == (again.status_code, again.content)


def test_the_combined_checkpoint_is_at_the_origin_of_the_log(api: World):
    combined = parse_combined(parse_note(api.as_(None).get(f"/tlog/{ORIGIN}/checkpoint").text))
    assert {TREE: SIZE, f"{ORIGIN}/orders/0": 3} == {head.origin: head.size for head in combined.heads}


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        (None, "checkpoint", 200),
        (None, "tile/0/000", 200),
        (None, "tile/entries/000", 401),
        ("producer", "tile/entries/000", 403),
        ("receiver", "tile/entries/000", 403),
        ("investigator", "tile/entries/000", 200),
        ("responder", "tile/entries/000", 200),
    ],
)
def test_hashes_are_public_and_entries_are_not(api: World, role: str | None, path: str, status: int):
    """An entry has the digest of a record; entries must not be stored in shared caches."""
    response = api.as_(role).get(f"/tlog/{TREE}/{path}")

    assert status == response.status_code
    if path.startswith("tile/entries") and status == 200:
        assert "private, max-age=31536000, immutable" == response.headers["cache-control"]


def test_public_access_can_be_switched_off(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("closed")
    with api_over(f"sqlite:///{folder}/store.db", folder, empty=True, public_tlog=False) as world:
        grow(world.service.store, (DECISIONS, 1), 300)
        sign_checkpoints(world.service.store, KEYS, START)
        for path in ("checkpoint", "tile/0/000", "tile/entries/000"):
            asked = f"/tlog/{TREE}/{path}"
            assert (401, 403, 200) == tuple(
                world.as_(role).get(asked).status_code for role in (None, "producer", "responder")
            )
            assert world.as_("responder").get(asked).headers["cache-control"].startswith("private")


@pytest.mark.parametrize(
    "path",
    [
        f"{ORIGIN}/decisions/2/checkpoint",
        f"{ORIGIN}/decisions/01/checkpoint",
        f"{ORIGIN}/decisions/01/tile/0/000",
        "other.example/decisions/1/tile/0/000",
        f"{ORIGIN}/tile/0/000",
        f"{ORIGIN}/decisions/{'9' * 500}/tile/0/000",
        f"{TREE}/tile/0/x001/x234/067",
        f"{TREE}/tile/0/../000",
        f"{TREE}/tile/0/000.p/01",
        f"{TREE}/tile/0/000/",
        "checkpoint",
        "x%00y/checkpoint",
    ],
)
def test_unknown_paths_are_not_found(api: World, path: str):
    response = api.as_("investigator").get(f"/tlog/{path}")
    assert 404 == response.status_code
    assert problem_type(response) in {"not-found", "no-such-path"}
