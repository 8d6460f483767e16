"""Followed files: every kind of rotation, restarts and faults at any time, and unreadable files."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sources.adapters.json_documents import RECORD_BYTES
from ingest.sources.inputs.followed_paths import found_files
from lineage.core.model.errors import UnavailableError
from tests.support.collecting import World, decision, ids, line
from tests.support.places import ROOT

MINUTE = 61 * 1_000_000


@pytest.fixture
def world():
    return World()


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "audit.log"


def appended(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


class Writer:
    """A program that writes a log, and rotates it in the usual ways."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path, self.count, self.rotated = folder, folder / "audit.log", 0, 0
        self.rest = b""

    def write(self) -> None:
        appended(self.path, self.rest + line(self.count))
        self.rest = b""
        self.count += 1

    def write_half(self) -> None:
        if not self.rest:
            whole = line(self.count)
            appended(self.path, whole[:40])
            self.rest = whole[40:]
            self.count += 1
        else:
            appended(self.path, self.rest)
            self.rest = b""

    def _next(self) -> Path:
        self.rotated += 1
        return self.folder / f"audit.log.{self.rotated}"

    def rename(self) -> None:
        if self.path.exists():
            self.finish()
            self.path.rename(self._next())

    def copy_and_truncate(self) -> None:
        if self.path.exists():
            self.finish()
            shutil.copyfile(self.path, self._next())
            os.truncate(self.path, 0)

    def compress(self) -> None:
        for path in sorted(self.folder.glob("audit.log.*")):
            if path.suffix != ".gz":
                Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
                path.unlink()

    def finish(self) -> None:
        if self.rest:
            self.write_half()


STEPS = ("write", "write_half", "rename", "copy_and_truncate", "compress", "round", "restart", "fault")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3), st.booleans()), max_size=25))
def test_every_line_is_ingested_once_however_the_log_is_rotated(tmp_path_factory, steps):
    """
    Lines, half lines, rotation by rename, by copy and truncation, compressed predecessors; rounds, restarts and faults
    anywhere. In the end every line is in the log, twice only if a fault occurred between the log and the stored
    position.
    """
    folder = tmp_path_factory.mktemp("rotated")
    writer, world = Writer(folder), World()
    follower, faults = world.follower(writer.path), 0
    for step, number, after in steps:
        if step == "round":
            follower.round()
        elif step == "restart":
            follower.close()
            follower = world.follower(writer.path)
        elif step == "fault":
            world.failing, world.fails_after = number, after
            try:
                follower.round()
            except UnavailableError:
                faults += 1
            world.failing = None
        else:
            getattr(writer, step)()
    writer.finish()
    follower.round()

    assert ids(range(writer.count)) == set(world.decisions)
    assert {} == world.aside
    assert writer.count == world.counts["record", ""]
    if not faults:
        assert {1} >= set(world.decisions.values())


def test_a_restart_continues_at_the_stored_position(world, log):
    """
    Nothing is read twice, whatever the current name of the file.
    """
    log.write_bytes(line(1) + line(2))
    world.follower(log).round()
    log.rename(log.with_name("audit.log.1"))
    log.write_bytes(line(3))

    world.follower(log).round()

    assert ids({1, 2, 3}) == set(world.decisions)
    assert 3 == world.counts["record", ""]


def test_a_file_with_a_reused_inode_is_a_different_file(world, log):
    """
    The file is removed and written again, perhaps with the same inode, and longer than before.
    """
    log.write_bytes(line(1))
    follower = world.follower(log)
    follower.round()
    log.write_bytes(line(7) + line(8) + line(9))

    follower.round()

    assert ids({1, 7, 8, 9}) == set(world.decisions)


def test_a_moved_file_is_read_to_its_end_by_its_handle(world, log, tmp_path):
    """
    Its writer keeps it open too, until it opens the new one.
    """
    log.write_bytes(line(1))
    follower = world.follower(log)
    follower.round()
    elsewhere = tmp_path / "elsewhere"
    log.rename(elsewhere)
    appended(elsewhere, line(2))

    follower.round()

    assert ids({1, 2}) == set(world.decisions)


def test_files_that_appear_in_a_folder_are_followed(world, tmp_path):
    """
    Also in subfolders, in documents and gzipped; a hidden file is not complete yet.
    """
    folder = tmp_path / "in"
    (folder / "2026/03").mkdir(parents=True)
    follower = world.follower(folder)
    follower.round()
    (folder / "a.jsonl").write_bytes(line(1))
    (folder / "2026/03/b.json.gz").write_bytes(gzip.compress(json.dumps([decision(2), decision(3)], indent=1).encode()))
    (folder / ".c").write_bytes(line(4))
    follower.round()
    follower.round()
    (folder / ".c").rename(folder / "c")
    follower.round()

    assert ids({1, 2, 3, 4}) == set(world.decisions)
    world.follower(folder).round()
    assert 4 == world.counts["record", ""]


def test_a_pattern_denotes_its_matches_and_their_predecessors(tmp_path):
    """
    Rotation inserts numbers and times into a name, and nothing else.
    """
    fits = ["a.jsonl", "a.jsonl.1", "a.jsonl.2.gz", "a-2026-03-01.jsonl.gz", "a.jsonl-20260301", "b.jsonl"]
    for name in (*fits, "a.jsonl.swp", "c.txt", "ab.json"):
        (tmp_path / name).touch()

    found = found_files([str(tmp_path / "*.jsonl")], lambda path, why: pytest.fail(f"{path}: {why}"))

    assert set(fits) == {Path(one.path).name for one in found}


def test_a_document_is_ingested_as_it_is_completed(world, tmp_path):
    """
    Its complete records are ingested at once, the rest once it is there; a cut that stays is reported after a minute.
    """
    file = tmp_path / "records.json"
    text = json.dumps({"Records": [decision(1), decision(2)]}).encode()
    file.write_bytes(text[:-40])
    follower = world.follower(file)
    follower.round()
    assert ids({1}) == set(world.decisions)
    assert {} == world.aside

    file.write_bytes(text)
    follower.round()
    assert ids({1, 2}) == set(world.decisions)

    file.write_bytes(json.dumps([decision(5)]).encode()[:-9])
    follower.round()
    world.later += 2 * MINUTE
    follower.round()
    world.follower(file).round()
    assert ["truncated"] == [record.reason for record in world.aside.values()]


def test_a_truncated_gzip_is_read_as_far_as_possible_and_reported_once(world, tmp_path):
    """
    It is not reported while it may still be written.
    """
    file = tmp_path / "audit.log.1.gz"
    packed = gzip.compress(b"".join(line(number) for number in range(200)))
    file.write_bytes(packed[:-60])
    follower = world.follower(tmp_path / "audit.log")
    follower.round()
    before = len(world.decisions)
    assert {} == world.aside

    world.later += MINUTE
    follower.round()
    world.follower(tmp_path / "audit.log").round()

    assert before > 0
    assert ["broken-gzip"] == [record.reason for record in world.aside.values()]
    assert 1 == world.counts["quarantined", "broken-gzip"]


def test_an_overlong_line_is_skipped_in_bounded_memory(world, log):
    """
    Its beginning is in quarantine, and the lines around it are ingested, even across a restart in the middle of it.
    """
    with log.open("wb") as file:
        file.write(line(1) + b'{"decision_id": "')
        for _ in range(RECORD_BYTES // 1_000_000 + 8):
            file.write(b"x" * 1_000_000)
    world.follower(log).round()
    with log.open("ab") as file:
        file.write(b'more"}\n' + line(2))
    world.follower(log).round()

    assert ids({1, 2}) == set(world.decisions)
    assert ["too-large"] == [record.reason for record in world.aside.values()]
    assert [2] == [record.place for record in world.aside.values()]


def test_a_last_line_without_an_end_is_ingested_once_it_is_a_complete_object(world, log):
    """
    No proper prefix of a JSON object is one. Text after it is a separate line.
    """
    log.write_bytes(line(1) + line(2).rstrip(b"\n"))
    follower = world.follower(log)
    follower.round()
    assert ids({1, 2}) == set(world.decisions)

    appended(log, b"\n" + line(3))
    follower.round()

    assert ids({1, 2, 3}) == set(world.decisions)
    assert 3 == world.counts["record", ""]


def test_a_file_of_another_format_is_refused_by_name_and_not_ingested(world, log, caplog):
    """
    The message names the source, the file and the remedy. It is logged once, and a file that replaces it is followed.
    """
    log.write_text('{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a","stage":"ResponseComplete"}\n')
    follower = world.follower(log)
    follower.round()
    follower.round()

    assert [] == world.log
    (text,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "the source 'opa-eu' cannot follow" in text
    assert "it holds kubernetes records, and the source has the format opa; nothing of it was ingested" in text
    assert "[[source]] of its own" in text

    log.write_bytes(line(1))
    follower.round()
    assert ids({1}) == set(world.decisions)


def test_a_file_that_changes_format_half_way_loses_nothing(world, log):
    """
    Lines that are not records of the source are quarantined one by one.
    """
    other = '{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a","stage":"ResponseComplete"}\n'
    log.write_bytes(line(1) + other.encode() + b"no json\n" + line(2))

    world.follower(log).round()

    assert ids({1, 2}) == set(world.decisions)
    assert [2, 3] == sorted(record.place for record in world.aside.values())


def test_an_inaccessible_folder_is_reported_by_name_and_the_rest_is_followed(tmp_path):
    """
    The test runs as a user who may not enter it.
    """
    closed, opened = tmp_path / "closed", tmp_path / "open"
    closed.mkdir()
    opened.mkdir()
    (closed / "a.jsonl").write_bytes(line(1))
    (opened / "b.jsonl").write_bytes(line(2))
    closed.chmod(0)
    script = (
        "import os, sys\n"
        "from ingest.sources.inputs.followed_paths import found_files\n"
        "os.setuid(65534) if os.getuid() == 0 else None\n"
        "print([one.path[-7:] for one in found_files(sys.argv[1:], lambda path, why: print(path[-6:], why))])"
    )
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(0o755)
    result = subprocess.run(
        [sys.executable, "-c", script, str(closed), str(opened), str(closed / "a.jsonl"), str(closed / "*.jsonl")],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout
    closed.chmod(0o755)

    assert 3 <= result.count("it may not be read")
    assert "['b.jsonl']" in result


def test_a_pipe_is_not_a_file(world, tmp_path, caplog):
    """
    The follower does not wait for a writer.
    """
    os.mkfifo(tmp_path / "pipe")
    world.follower(tmp_path / "pipe").round()

    assert "it is not a regular file" in caplog.text


def test_a_record_that_crashes_its_adapter_is_quarantined_and_not_retried(world, log, monkeypatch):
    """
    A bug triggered by one record must not stop the source permanently.
    """
    from ingest.sources.adapters import pipeline

    real = pipeline.Clean

    def trips(value):
        if value.get("decision_id") == "d-2":
            raise RecursionError
        return real(value)

    monkeypatch.setattr(pipeline, "Clean", trips)
    log.write_bytes(line(1) + line(2) + line(3))
    world.follower(log).round()

    assert ids({1, 3}) == set(world.decisions)
    assert ["adapter-fault"] == [record.reason for record in world.aside.values()]


@pytest.mark.parametrize("looks_before", [0, 1])
def test_a_file_that_is_truncated_while_it_is_read(world, log, looks_before):
    """
    It is copied, truncated and written between two rounds: none of the new lines is mistaken for a continuation of the
    old ones, although they are as long.
    """
    appended(log, b"".join(line(number) for number in range(10, 23)))
    looks = 0

    def rotate() -> bool:
        nonlocal looks
        looks += 1
        if looks == 1 + looks_before:
            shutil.copyfile(log, log.with_name("audit.log.1"))
            os.truncate(log, 0)
            appended(log, b"".join(line(number) for number in range(40, 60)))
        return False

    follower = world.follower(log)
    follower.round(rotate)
    for _ in range(2):
        follower.round()

    assert dict.fromkeys(ids([*range(10, 23), *range(40, 60)]), 1) == dict(world.decisions)
    assert {} == world.aside
