"""A store file that is replaced under a running process is noticed before anything is read or appended."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.codec import api as codec
from ingest.log.shared import SharedLog
from ingest.log.sqlite_log import SqliteLog
from ingest.opening import open_log
from lineage.core.model.errors import ReplacedError, UnavailableError
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.plumbing.sqlite_file import PinnedFile
from lineage.serve.processes.live_graph import LiveGraph
from lineage.store.store import Store, open_store
from tests.support.http_worlds import LEAKED, World, api_over, problem_type

ORDER = {"target": {"kind": "token", "id": LEAKED.removeprefix("token:")}, "reason": "test"}
EVENT = {
    "type": "principal.registered",
    "event_id": "e",
    "source": "urn:test:a",
    "principal": "human:x",
    "occurred_at": "2026-11-02T10:00:00Z",
    "kind": "human",
}


def copy_in_place(file: Path) -> None:
    """Restore a backup in the usual way: the old files are moved away, and a copy takes their name."""
    backup = file.with_suffix(".backup")
    connection = sqlite3.connect(file)
    connection.execute(f"VACUUM INTO '{backup}'")
    connection.close()
    move_away(file)
    shutil.copy(backup, file)


def move_away(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        there = Path(f"{file}{suffix}")
        if there.exists():
            there.rename(there.with_name(f"old-{there.name}"))


def move_back(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        there = Path(f"{file}{suffix}")
        there.unlink(missing_ok=True)
        old = there.with_name(f"old-{there.name}")
        if old.exists():
            old.rename(there)


WAYS: dict[str, Callable[[Path], None]] = {"a copy in its place": copy_in_place, "no file any more": move_away}


def orders_in(file: Path) -> int:
    connection = sqlite3.connect(file)
    try:
        return int(connection.execute("SELECT count(*) FROM log_record WHERE topic = 1").fetchone()[0])
    finally:
        connection.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Create the incident with its log inside the store, queried once to fill the caches."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, log_inside=True) as found:
        assert 200 == found.get("/v1/status", params={"of": LEAKED}).status_code
        assert 200 == found.get("/v1/status", params={"of": LEAKED}).status_code
        yield found


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_no_query_is_answered_from_a_replaced_file(world: World, tmp_path: Path, way: Callable[[Path], None]):
    """
    Queries, also cached ones, writes and readiness are 503 with the reason; nothing is ingested.
    """
    way(tmp_path / "store.db")
    answers = [
        world.get("/v1/status", params={"of": LEAKED}),
        world.get("/v1/who", params={"action": "mail-7"}),
        world.get("/v1/reach", params={"of": LEAKED}),
        world.post("/v1/revocations", json=ORDER),
        world.post("/v1/events", "producer", json=[EVENT]),
        world.get("/readyz"),
    ]

    assert [(503, "unavailable")] * len(answers) == [(one.status_code, problem_type(one)) for one in answers]
    assert all("restart" in one.json()["detail"] for one in answers)
    assert str(tmp_path) not in answers[-1].json()["detail"]  # this is open to everybody


def test_an_order_is_not_written_to_a_replaced_file(world: World, tmp_path: Path):
    """
    An order after the exchange is in neither file; once the first file is back, everything continues.
    """
    file = tmp_path / "store.db"
    copy_in_place(file)
    refused = world.post("/v1/revocations", json=ORDER)
    in_either = (orders_in(file), orders_in(tmp_path / "old-store.db"))
    move_back(file)

    assert (503, (0, 0)) == (refused.status_code, in_either)
    assert 200 == world.get("/v1/status", params={"of": LEAKED}).status_code


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_consumer_and_delivery_notice_a_replaced_file(tmp_path: Path, way: Callable[[Path], None]):
    """
    No follower of the store reads anything more from the old file: log, live graph and outbox report the reason.
    """
    file = tmp_path / "store.db"
    with api_over(f"sqlite:///{file}", tmp_path, log_inside=True):
        pass
    store, log = open_store(f"sqlite:///{file}", codec.read), open_log(f"sqlite:///{file}", create=False, clock=int)
    try:
        live, spread = LiveGraph(store, None, int), OutboxWriter(store, None)
        live.follow()
        spread.round(lambda: 0)
        way(file)
        asks: list[Callable[[], Any]] = [
            log.ends,
            lambda: log.read("decisions", 0, 0, limit=1),
            lambda: log.append([]),
            live.follow,
            lambda: spread.round(lambda: 1),
            store.positions,
        ]
        for ask in asks:
            with pytest.raises(ReplacedError, match="restart"):
                ask()
    finally:
        log.close()
        store.close()


def test_a_reopened_log_is_the_same_file(tmp_path: Path):
    """
    A separate log file that is replaced is not used silently either: its positions mean nothing to the projection.
    """
    file = tmp_path / "log.db"
    pinned = PinnedFile(file)

    def opening() -> SqliteLog:
        return SqliteLog(str(file), create=True, clock=int, file=pinned)

    log = SharedLog(opening)
    log.ends()
    copy_in_place(file)
    with pytest.raises(UnavailableError):
        log.ends()
    with pytest.raises(ReplacedError):
        opening()
    log.close()


def test_a_file_is_identified_by_inode_and_not_by_modification_time(tmp_path: Path):
    """
    Writing to a file leaves it the same; another file with the same bytes and name is a different one.
    """
    file = tmp_path / "f"
    file.write_bytes(b"a")
    pinned = PinnedFile(file)
    file.write_bytes(b"ab")
    os.utime(file, (1, 1))
    same = pinned.fault()
    other = tmp_path / "g"
    other.write_bytes(b"ab")
    other.rename(file)

    assert (None, True) == (same, "was replaced" in str(pinned.fault()))


def test_a_file_is_pinned_as_soon_as_it_exists(tmp_path: Path):
    """
    A store that is created by its first writer is the one from then on.
    """
    store: Store = open_store(f"sqlite:///{tmp_path}/new.db", codec.read, create=True)
    store.positions()
    move_away(tmp_path / "new.db")

    with pytest.raises(ReplacedError):
        store.positions()
    store.close()
