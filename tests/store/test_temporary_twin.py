"""Temporary copies of a store: a killed process leaves one until the next, and a running one keeps its own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.codec import api as codec
from lineage.store.rebuild import temporary_twin as twins
from lineage.store.rebuild.temporary_twin import temporary_twin
from lineage.store.store import open_store
from tests.support.desk import Desk, token
from tests.support.places import ROOT

# Kills itself when it projects into the copy.
KILLED = """
import os, signal
from lineage.serve.commands import maintenance
maintenance.project = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
from lineage.serve.cli.main import main
main()
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.take(token("t1"))
    return desk


def copies(desk: Desk) -> set[Path]:
    return {file.parent for file in desk.file.parent.glob("**/twin.db")}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["rebuild", "fsck"])
def test_the_copy_of_a_killed_process_is_removed_by_the_next(desk: Desk, command: str):
    """
    Also that of another command.
    """
    run = subprocess.run(
        [sys.executable, "-c", KILLED, command, "--store", desk.url], cwd=ROOT, capture_output=True, check=False
    )
    left = copies(desk)
    desk.run("fsck" if command == "rebuild" else "rebuild")

    assert (-signal.SIGKILL, 1) == (run.returncode, len(left))
    assert not any(folder.exists() for folder in left)


def test_the_copy_of_a_running_process_stays(desk: Desk):
    """
    While one process has a copy, others make and remove their own.
    """
    store = open_store(desk.url, codec.read)
    with temporary_twin(store) as fresh:
        before = copies(desk)
        desk.run("rebuild")
        desk.run("fsck")
        during = copies(desk)
        positions = fresh.positions()
    store.close()

    assert (1, before, {}) == (len(before), during, positions)
    assert not copies(desk)
    assert not [*desk.file.parent.glob(".*delegraph-*")]


def test_a_copy_is_removed_where_files_cannot_be_locked(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    Then those of others stay, since nobody knows whether they are in use.
    """
    other = desk.file.parent / ".delegraph-other"
    other.mkdir()
    monkeypatch.setattr(twins, "_locked", lambda _: None)
    store = open_store(desk.url, codec.read)
    with temporary_twin(store):
        during = copies(desk)
    store.close()

    assert (1, set(), True) == (len(during), copies(desk), other.exists())
