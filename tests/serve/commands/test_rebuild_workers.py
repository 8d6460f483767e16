"""A rebuild with worker processes makes the same store as one process, and a worker that dies changes nothing."""

import gc
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest import projection_tasks, projector
from ingest.codec import api as codec
from ingest.projector import project
from ingest.trust_file import Trust
from lineage.core.model.errors import UnavailableError
from lineage.core.model.records import Batch, DecodedRecord
from lineage.serve.commands import maintenance
from lineage.serve.commands.rebuild_workers import Workers, project_with_workers
from lineage.serve.queries.service import Service
from lineage.store.database.tables import fact
from lineage.store.deletions import DeletedRecords
from lineage.store.rebuild.swap import temporary_store
from lineage.store.rebuild.time_index_check import time_index_differences
from lineage.store.store import Store, open_store
from lineage.store.writing.fact_rows import BatchRows
from tests.support import compare, stores, worlds
from tests.support.crashes import refuse_processes
from tests.support.hostile_logs import START, hostile_log, is_alive, rows_of, store_outcomes
from tests.support.partitioned_log import PartitionedLog
from tests.support.places import ROOT


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


@pytest.mark.parametrize("gaps", [False, True])
def test_workers_make_the_rows_of_one_process(fresh: stores.Fresh, monkeypatch: pytest.MonkeyPatch, gaps: bool):
    """The log has several partitions with duplicates, conflicts, misrouted and unreadable records, in many batches.

    Where offsets are missing or slices are short, batches differ, and so do the parts of the index by time, whose
    content is then compared.
    """
    monkeypatch.setattr(projector, "BATCH", 70)
    monkeypatch.setattr(projection_tasks, "BATCH", 70)
    rng = random.Random(gaps)
    log = hostile_log(rng, 700, gaps=gaps, most=23 if gaps else 1_000_000)
    trust = compare.table_of(worlds.trust(rng)) if gaps else None

    with fresh() as url:
        store = open_store(url, codec.read, create=True)
        records = project(log, store, trust)
        one = rows_of(store)
        with temporary_store(store) as other:
            told: list[int] = []
            gone = DeletedRecords(store)
            count = project_with_workers(log, other, trust, Workers(log, 2, 1), progress=told.append, deleted=gone)
            assert count == sum(told) == records
            assert store.outcomes() == other.outcomes()
            assert [] == list(time_index_differences(other))
            several = rows_of(other)
        store.close()

    if gaps:
        one.pop("act")
    assert all(store_outcomes(one))
    assert [] == [what for what, rows in one.items() if several[what] != rows]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1])
def test_the_collector_never_looks_at_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int):
    """Whenever it runs, nothing of a batch is left: to look at every value of it takes a tenth of the time."""
    monkeypatch.setattr(projector, "BATCH", 70)
    monkeypatch.setattr(projection_tasks, "BATCH", 70)
    log = hostile_log(random.Random(5), 300)
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    left: list[bool] = []

    def collected(phase: str, _info: object) -> None:
        if phase == "start":
            left.append(any(isinstance(each, Batch | BatchRows | DecodedRecord) for each in gc.get_objects(0)))

    before = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(300)
    try:
        if workers:
            gone = DeletedRecords(store)
            project_with_workers(log, store, None, Workers(log, 1, 1), progress=lambda _: None, deleted=gone)
        else:
            project(log, store, None)
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(collected)
        store.close()
    assert left
    assert not any(left)


def a_service(store: Store, log: PartitionedLog) -> Service:
    return Service(store, log, Trust(), lambda: START, source="urn:test")


def test_a_rebuild_with_workers_replaces_what_was_damaged(fresh: stores.Fresh):
    """As with one process, `fsck` finds no difference afterwards."""
    log = hostile_log(random.Random(3), 300)
    with fresh() as url:
        store = open_store(url, codec.read, create=True)
        records = project(log, store, None)
        before = rows_of(store)["fact"]
        with store._write() as connection:
            connection.execute(fact.delete().where(fact.c.n == sa.select(sa.func.max(fact.c.n)).scalar_subquery()))

        service = a_service(store, log)
        document = maintenance.rebuild(service, lambda _: None, Workers(log, 2, 1))

        assert document["records"] == records
        assert before == rows_of(store)["fact"]
        assert [] == maintenance.fsck(service, lambda _: None)["differences"]
        store.close()


def test_a_killed_worker_ends_the_rebuild_and_nothing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The error says by which signal; the other workers end, and no file of the rebuild is left."""
    monkeypatch.setattr(projection_tasks, "BATCH", 20)
    log = hostile_log(random.Random(4), 500)
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    project(log, store, None)
    before, files = rows_of(store), sorted(tmp_path.iterdir())

    def kill_one(_records: int) -> None:
        for process in multiprocessing.active_children()[:1]:
            os.kill(process.pid or 0, signal.SIGKILL)

    with pytest.raises(UnavailableError, match=r"ended by signal 9; nothing was replaced"):
        maintenance.rebuild(a_service(store, log), kill_one, Workers(log, 2, 1))

    assert not multiprocessing.active_children()
    assert files == sorted(tmp_path.iterdir())
    assert before == rows_of(store)
    store.close()


def test_a_rebuild_whose_workers_cannot_be_started_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The error says why, and what to do."""
    log = hostile_log(random.Random(6), 100)
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    refuse_processes(monkeypatch)

    with pytest.raises(UnavailableError, match=r"cannot be started .*; nothing was replaced"):
        maintenance.rebuild(a_service(store, log), lambda _: None, Workers(log, 1, 1))
    store.close()


def _no_log() -> PartitionedLog:
    raise UnavailableError("there is no log")


def test_the_rebuild_reports_the_fault_of_a_worker(tmp_path: Path):
    """A worker that cannot open the log says why."""
    log = hostile_log(random.Random(5), 100)
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)

    with pytest.raises(UnavailableError, match="there is no log"):
        maintenance.rebuild(a_service(store, log), lambda _: None, Workers(_no_log, 1, 1))
    store.close()


def test_a_small_log_uses_no_workers():
    """A worker is started for each 100,000 records, up to the most there may be."""
    log = PartitionedLog({})

    assert [0, 0, 1, 2, 2] == [Workers(log, 2).needed(records) for records in (0, 99_999, 100_000, 200_000, 10**9)]
    assert 0 == Workers(log, 0).needed(10**9)


ORPHANS = """
import multiprocessing, random, sys, time
from functools import partial
from ingest import projection_tasks
from ingest.codec import api as codec
from lineage.serve.commands.rebuild_workers import Workers, project_with_workers
from lineage.store.deletions import DeletedRecords
from lineage.store.store import open_store
from tests.support.hostile_logs import hostile_log

def progress(_records):
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(600)

projection_tasks.BATCH = 20
log = hostile_log(random.Random(6), 300)
store = open_store(sys.argv[1], codec.read, create=True)
project_with_workers(log, store, None, Workers(log, 2, 1), progress=progress, deleted=DeletedRecords(store))
"""


@pytest.mark.slow
def test_workers_end_when_the_rebuild_is_killed(tmp_path: Path):
    """SIGKILL gives a process no time to end its workers: they notice that their pipe is closed."""
    command = [sys.executable, "-c", ORPHANS, f"sqlite:///{tmp_path}/store.db"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        workers = [int(pid) for pid in process.stdout.readline().split()]
        process.kill()

    assert 2 == len(workers)
    while any(map(is_alive, workers)):  # the timeout of the test ends it
        time.sleep(0.05)
