"""Checkpoints of a growing store, for each partition and for all together, signed by one process or several."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingest.codec import api as codec
from lineage.core.evidence.combined import is_combined, parse_combined
from lineage.core.evidence.notes import KeyKind, Note, parse_note, verified
from lineage.deliver.tlog.checkpointing import Pace, is_due, sign_checkpoints
from lineage.deliver.tlog.note_keys import is_valid, note_keys
from lineage.serve.cli.main import main
from lineage.store import evidence_trees
from lineage.store.database.tables import tile, tree
from lineage.store.store import Store, open_store
from tests.support import stores
from tests.support.growing_trees import KEYS, LANES, ORIGIN, START, grow
from tests.support.kafka_worlds import wait_until
from tests.support.places import INCIDENT, ROOT

SECOND = 1_000_000


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


@pytest.fixture
def url(fresh: stores.Fresh) -> Iterator[str]:
    with fresh() as found:
        yield found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url, codec.read, create=True)
    yield opened
    opened.close()


def assert_one_history(store: Store) -> Mapping[str, list[int]]:
    """Check every checkpoint against the trees; return the sizes by origin, in the order of signing."""
    sizes = defaultdict(list)
    trees = {f"{ORIGIN}/{topic}/{partition}": (topic, partition) for topic, partition in evidence_trees.heads(store)}
    for one in evidence_trees.checkpoints(store):
        note = parse_note(one.note)
        for head in parse_combined(note).heads if is_combined(note) else [one.head]:
            with evidence_trees.opened_tree(store, trees[head.origin]) as found:
                assert found.root(head.size) == head.root
        sizes[one.head.origin].append(one.head.size)
    for origin, each in sizes.items():
        assert sorted(set(each)) == each, f"{origin} was signed twice at one size, or backwards"
    return sizes


def test_all_partitions_that_have_grown_are_signed_together(store: Store):
    """The combined checkpoint names the latest head of every partition, including those that have not grown."""
    for lane in LANES:
        grow(store, lane, 3)
    assert 3 == len(sign_checkpoints(store, KEYS, START).new)
    grow(store, LANES[1], 300)
    assert [303] == [head.size for head in sign_checkpoints(store, KEYS, START).new]
    assert [] == sign_checkpoints(store, KEYS, START).new

    combined = evidence_trees.latest_checkpoint(store, ORIGIN)
    assert combined is not None
    found = parse_combined(parse_note(combined.note))
    assert [3, 303, 3] == [head.size for head in found.heads]
    assert list(KEYS.verifiers) == list(verified(parse_note(combined.note), KEYS.verifiers, is_valid))
    assert [9, 309] == assert_one_history(store)[ORIGIN]


@pytest.mark.parametrize(
    ("records", "seconds", "due"),
    [(99, 59, False), (100, 0, True), (1, 60, True), (0, 1_000, False), (1, -60, True), (1, -59, False)],
)
def test_a_checkpoint_is_due_after_a_number_of_records_or_seconds(store: Store, records: int, seconds: int, due: bool):
    """Without new records none is due. A clock that is set back does not stop them."""
    grow(store, LANES[0], 1)
    assert is_due(store, ORIGIN, START, Pace(100, 60))
    sign_checkpoints(store, KEYS, START)
    if records:
        grow(store, LANES[0], records)

    assert due == is_due(store, ORIGIN, START + seconds * SECOND, Pace(100, 60))


DAMAGE = {
    "a record": tile.update().where(tile.c.level == 0, tile.c.lane == 0).values(data=b"x" * 54 * 5),
    "a tile": tile.delete().where(tile.c.lane == 0),
    "the tree": tree.delete().where(tree.c.lane == 0),
    "records at its end": tree.update().where(tree.c.lane == 0).values(size=4, covered=4, after=4),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_changed_tree_is_not_signed_but_the_others_are(store: Store, damage: str):
    for lane in LANES:
        grow(store, lane, 5)
    sign_checkpoints(store, KEYS, START)
    with store.engine.begin() as connection:
        connection.execute(DAMAGE[damage])
    for lane in LANES:
        grow(store, lane, 2)
    done = sign_checkpoints(store, KEYS, START)

    assert [f"{ORIGIN}/decisions/1", f"{ORIGIN}/orders/0"] == [head.origin for head in done.new]
    assert 1 == len(done.faults)
    assert "decisions/0" in done.faults[0]
    combined = evidence_trees.latest_checkpoint(store, ORIGIN)
    assert combined is not None
    assert [5, 7, 7] == [head.size for head in parse_combined(parse_note(combined.note)).heads]


def test_several_signers_sign_one_history(url: str, store: Store):
    """While the trees grow, no partition is signed twice at one size."""
    done = threading.Event()
    faults: list[BaseException] = []

    def sign() -> None:
        own = open_store(url, codec.read)
        try:
            while not done.is_set():
                sign_checkpoints(own, KEYS, START)
        except BaseException as fault:  # noqa: BLE001 (reported below)
            faults.append(fault)
        finally:
            own.close()

    threads = [threading.Thread(target=sign) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(40):
        grow(store, LANES[number % 3], 1 + number * 7 % 30)
    done.set()
    for thread in threads:
        thread.join()

    assert not faults
    sign_checkpoints(store, KEYS, START)
    sizes = assert_one_history(store)
    assert len(sizes[ORIGIN]) > 1


# Real processes


def process(env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from lineage.serve.cli.main import main; main()", "deliver"]
    return subprocess.Popen(command, env={**os.environ, **env}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def is_signed(store: Store, size: int) -> bool:
    found = evidence_trees.latest_checkpoint(store, f"{ORIGIN}/decisions/0")
    return found is not None and found.head.size == size


@pytest.mark.slow
def test_two_processes_sign_one_history_if_one_is_killed(url: str, tmp_path: Path):
    """After ``kill -9`` a successor continues: what was signed stays, and nothing contradicts it."""
    env = {
        "DELEGRAPH_STORE": url,
        "DELEGRAPH_LOG": f"sqlite:///{tmp_path}/log.db",
        "DELEGRAPH_EVIDENCE_KEY_FILE": str(tmp_path / "key.pem"),
        "DELEGRAPH_EVIDENCE_ORIGIN": ORIGIN,
        "DELEGRAPH_EVIDENCE_EVERY_RECORDS": "1",
    }
    lines = INCIDENT.read_text(encoding="utf-8").splitlines(keepends=True)

    def ingest(number: int) -> None:
        file = tmp_path / f"{number}.jsonl"
        file.write_text("".join(lines[number : number + 1]), encoding="utf-8")
        result = CliRunner().invoke(main, ("ingest", str(file)), env=env)
        assert result.exit_code == 0, result.output

    assert CliRunner().invoke(main, ("evidence", "keygen", str(tmp_path / "key.pem")), env=env).exit_code == 0
    ingest(0)
    store = open_store(url, codec.read)
    with ExitStack() as stack:
        stack.callback(store.close)
        running = [stack.enter_context(process(env)) for _ in range(2)]
        try:
            for number in range(1, 6):
                wait_until(partial(is_signed, store, number))
                if number == 3:
                    running[0].send_signal(signal.SIGKILL)
                    running.append(stack.enter_context(process(env)))
                ingest(number)
            wait_until(partial(is_signed, store, 6))
        finally:
            for each in running[1:]:
                each.terminate()

        assert [1, 2, 3, 4, 5, 6] == assert_one_history(store)[f"{ORIGIN}/decisions/0"]


def test_the_documented_combined_checkpoint_has_a_valid_signature():
    """The vector has text, key and signature line."""
    text = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    note_text, line = re.findall(
        r"```text\n(audit\.example/agents\npartitions .*?)```.*?```text\n(— .*?)```", text, re.DOTALL
    )[0]
    (key,) = re.findall(r"the public key is `(.*?)`", text)
    private = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    keys = note_keys("audit.example/agents", KeyKind.ED25519, private, [private.public_key()])

    assert note_text == parse_combined(Note(note_text, ())).text
    assert (key, line) == (keys.verifiers[0].text, keys.sign(note_text).line)
