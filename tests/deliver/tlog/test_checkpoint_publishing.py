"""Checkpoints in files and on a topic: each is complete at every moment, and never of a second history."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kafka import KafkaConsumer, TopicPartition

from ingest.kafka.log import READING
from lineage.core.model.errors import IntegrityError, UnavailableError
from lineage.deliver.tlog.checkpoint_files import append_history, refuse_older_store, write_latest
from lineage.deliver.tlog.checkpointing import sign_checkpoints
from lineage.serve.cli.main import main
from lineage.store import evidence_trees
from lineage.store.store import Store
from tests.support.growing_trees import KEYS, LANES, ORIGIN, START, grow, new_store
from tests.support.places import INCIDENT


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = new_store(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.close()


def sign(store: Store, records: int = 3) -> None:
    for lane in LANES:
        grow(store, lane, records)
    sign_checkpoints(store, KEYS, START)


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_file_has_the_latest_checkpoints(store: Store, tmp_path: Path):
    file = tmp_path / "checkpoints.jsonl"
    for size in (3, 6):
        sign(store)
        write_latest(file, store, ORIGIN)

        latest = evidence_trees.latest_checkpoints(store)
        assert {one["origin"]: one["note"] for one in lines_of(file)} == {
            name: one.note for name, one in latest.items()
        }
        assert {3 * size, size} == {one["size"] for one in lines_of(file)}
    assert ["checkpoints.jsonl"] == [path.name for path in tmp_path.glob("*checkpoints*")]


def test_the_history_has_every_checkpoint_once(store: Store, tmp_path: Path):
    """Several processes write at once, and one continues after a crash in the middle of a line."""
    file = tmp_path / "history.jsonl"
    sign(store)
    append_history(file, store)
    with file.open("ab") as target:
        target.write(b'{"id": 99, "origin": "cut o')
    sign(store)
    threads = [threading.Thread(target=append_history, args=(file, store)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    expected = [(one.id, one.head.origin, one.note) for one in evidence_trees.checkpoints(store)]
    assert expected == [(one["id"], one["origin"], one["note"]) for one in lines_of(file)]


@pytest.mark.parametrize("content", [b"x\n", b"{}\n", b"[]\n", b'{"id": "x"}\n', b"\xff\n"])
def test_other_files_are_left_alone(store: Store, tmp_path: Path, content: bytes):
    file = tmp_path / "other"
    file.write_bytes(content)
    sign(store)

    with pytest.raises(UnavailableError, match="is not a history of checkpoints"):
        append_history(file, store)
    with pytest.raises(IntegrityError, match="has a line that is not a checkpoint"):
        write_latest(file, store, ORIGIN)
    assert content == file.read_bytes()


def test_a_store_restored_from_a_backup_does_not_sign(store: Store, tmp_path: Path):
    """It would sign a history that contradicts what was published."""
    file, backup = tmp_path / "checkpoints.jsonl", tmp_path / "backup.db"
    sign(store)
    store.close()
    shutil.copy(tmp_path / "store.db", backup)
    sign(store)
    write_latest(file, store, ORIGIN)
    before = file.read_bytes()
    restored = new_store(f"sqlite:///{backup}")
    try:
        for records in (0, 9):  # it knows less; then more, but not the same
            if records:
                grow(restored, LANES[0], records, mark=b"other")
            with pytest.raises(IntegrityError, match="was the store restored from a backup"):
                refuse_older_store(file, restored, ORIGIN)
            with pytest.raises(IntegrityError):
                write_latest(file, restored, ORIGIN)
    finally:
        restored.close()
    assert before == file.read_bytes()


@pytest.mark.kafka
def test_the_topic_has_the_latest_note_of_each_origin(kafka_url: str, tmp_path: Path):
    """The test uses the command line, with a log on Kafka."""
    env = {
        "DELEGRAPH_STORE": f"sqlite:///{tmp_path}/store.db",
        "DELEGRAPH_LOG": kafka_url,
        "DELEGRAPH_EVIDENCE_KEY_FILE": str(tmp_path / "key.pem"),
        "DELEGRAPH_EVIDENCE_ORIGIN": ORIGIN,
        "DELEGRAPH_EVIDENCE_FILE": str(tmp_path / "latest.jsonl"),
        "DELEGRAPH_EVIDENCE_HISTORY_FILE": str(tmp_path / "history.jsonl"),
    }
    for arguments in (
        ("evidence", "keygen", str(tmp_path / "key.pem")),
        ("init",),
        ("ingest", str(INCIDENT)),
        ("deliver", "--once"),
    ):
        result = CliRunner().invoke(main, arguments, env=env)
        assert result.exit_code == 0, result.output

    servers, _, prefix = kafka_url.removeprefix("kafka://").partition("/")
    place, found = TopicPartition(f"{prefix}.checkpoints", 0), {}
    consumer = KafkaConsumer(bootstrap_servers=servers.split(","), **READING)
    try:
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        [end] = consumer.end_offsets([place]).values()
        while consumer.position(place) < end:
            for record in consumer.poll(timeout_ms=500).get(place, ()):
                found[record.key.decode()] = record.value.decode()
    finally:
        consumer.close()
    published = {one["origin"]: one["note"] for one in lines_of(tmp_path / "latest.jsonl")}
    assert ORIGIN in found
    assert published == found
    assert len(published) == len(lines_of(tmp_path / "history.jsonl"))
