"""The worker process of a consumer: it makes the rows that the consumer would, and whatever it does loses nothing."""

import multiprocessing
import os
import random
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest.codec import api as codec
from ingest.projector import read_records
from lineage.core.model.errors import FencedError
from lineage.core.model.events import ActionPerformed, DecisionMade, Event, TokenIssued
from lineage.core.model.records import DECISIONS, Batch, Outcomes, Position, Record, position_of
from lineage.core.model.trust import TrustTable
from lineage.serve.processes import row_worker
from lineage.serve.processes.row_worker import RowProcess, RowsBatch
from lineage.store.database.tables import name
from lineage.store.rebuild.swap import temporary_store
from lineage.store.store import Store, new_edition, open_store
from tests.support import compare, stores, worlds
from tests.support.crashes import refuse_processes
from tests.support.hostile_logs import hostile_log, rows_of, store_outcomes

Place = tuple[str, int]
Polled = Mapping[Place, list[Record]]


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


@pytest.fixture(autouse=True)
def any_batch_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_worker, "LEAST", 1)


@contextmanager
def row_process(store: Store, failed: list[None] | None = None) -> Iterator[RowProcess]:
    """Start a worker, and wait until it is ready."""
    process = RowProcess(store, traced=True, failed=lambda: None if failed is None else failed.append(None))
    try:
        while not process.takes(1):
            worker = process._worker
            assert worker is not None
            worker._process.pipe.poll(60)
        yield process
    finally:
        process.close()
    assert not multiprocessing.active_children()


def polls(rng: random.Random, count: int, most: int) -> Iterator[tuple[Polled, dict[Place, tuple[int, int]]]]:
    """Read a hostile log as a consumer polls it: some records of some partitions at a time, and their positions."""
    left = {place: list(records) for place, records in hostile_log(rng, count).partitions.items()}
    at = dict.fromkeys(left, 0)
    while any(left.values()):
        polled, advance = {}, {}
        for place in rng.sample(sorted(left), rng.randrange(1, len(left))):
            some = rng.randrange(1, most)
            if records := left[place][:some]:
                left[place] = left[place][some:]
                polled[place] = records
                advance[place] = at[place], position_of(records[-1].number).offset + 1
                at[place] = advance[place][1]
        if polled:
            yield polled, advance


def decoded(polled: Polled, advance: dict[Place, tuple[int, int]], trust: TrustTable | None = None) -> Batch:
    batch = Batch(advance=dict(advance))
    for records in polled.values():
        read_records(records, trust, batch)
    return batch


def written(process: RowProcess, batch: tuple[Polled, dict[Place, tuple[int, int]]]) -> Outcomes | None:
    """Write a batch with the worker; None if it was not written."""
    prepared = process.prepare(*batch, None)
    return None if prepared.made() is None else prepared.write()


def test_the_worker_makes_the_rows_of_the_consumer(fresh: stores.Fresh):
    """With duplicates, conflicts, unreadable and unauthorised records; the trust table changes on the way, and some
    batches are written by the consumer itself, as small ones are.
    """
    rng = random.Random(1)
    tables = [None, compare.table_of(worlds.trust(rng)), compare.table_of(worlds.trust(rng))]
    with fresh() as url:
        store = open_store(url, codec.read, create=True)
        with temporary_store(store) as other, row_process(other) as process:
            for number, (polled, advance) in enumerate(polls(rng, 600, 30)):
                trust = tables[number // 3 % len(tables)]
                batch = decoded(polled, advance, trust)
                outcomes = store.write(batch)
                if number % 4 == 3:
                    assert outcomes == other.write(decoded(polled, advance, trust))
                    continue
                prepared = process.prepare(polled, advance, trust)
                made = prepared.made()
                assert made is not None
                assert outcomes == prepared.write()
                assert (batch.advance, batch.records, batch.recorded_at) == (
                    made.advance,
                    made.records,
                    made.recorded_at,
                )
                assert list(batch.facts()) == list(made.facts())
                assert list(authority_of(batch)) == list(made.authority())
                assert [fact.event.traceparent for fact in batch.facts() if fact.event.traceparent] == list(
                    prepared.traceparents()
                )
            one, several = rows_of(store), rows_of(other)
        store.close()

    assert all(store_outcomes(one))
    assert [] == [what for what, rows in one.items() if several[what] != rows]


def authority_of(batch: Batch) -> Iterator[object]:
    return (fact for fact in batch.facts() if not isinstance(fact.event.body, ActionPerformed | DecisionMade))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    yield store
    store.close()


def named(store: Store) -> set[str]:
    with store.connection() as connection:
        return set(connection.execute(sa.select(name.c.key)).scalars())


def test_what_was_prepared_before_a_failed_write_is_not_used(store: Store):
    """Names that only the failed batch would have written are written later, by whichever batch mentions them."""
    first, second, third, *_ = polls(random.Random(2), 200, 60)
    with temporary_store(store) as other, row_process(other) as process:
        before = process.prepare(*first, None)
        after = process.prepare(*second, None)
        assert before.made() is not None
        process._store.write(decoded(*first))
        with pytest.raises(FencedError):
            before.write()

        assert after.made() is None
        assert second_outcomes(store, first, second) == other.write(decoded(*second))
        assert store.write(decoded(*third)) == written(process, third)
        assert named(store) <= named(other)


def second_outcomes(store: Store, *batches: tuple[Polled, dict[Place, tuple[int, int]]]) -> Outcomes:
    """Write batches undisturbed, and return the outcomes of the last."""
    return [store.write(decoded(*batch)) for batch in batches][-1]


def test_what_was_prepared_before_a_rebuild_is_not_used(fresh: stores.Fresh):
    """The store has another edition then, and may no longer have names that the worker remembers."""
    first, second, third, *_ = polls(random.Random(3), 200, 60)
    with fresh() as url:
        store = open_store(url, codec.read, create=True)
        with row_process(store) as process:
            assert written(process, first) is not None
            with store._write() as connection:
                new_edition(connection)
            positions = store.positions()

            assert written(process, second) is None
            assert positions == store.positions()
            store.write(decoded(*second))
            assert written(process, third) is not None
        store.close()


def test_a_killed_worker_makes_no_batch_and_is_counted(store: Store, caplog: pytest.LogCaptureFixture):
    """What it had is left to the consumer. The log says how it ended; another is started, but not at once."""
    first, second, *_ = polls(random.Random(4), 100, 30)
    failed: list[None] = []
    process = RowProcess(store, traced=False, failed=lambda: failed.append(None))
    try:
        while not process.takes(1):
            assert process._worker is not None
            process._worker._process.pipe.poll(60)
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)
        prepared = [process.prepare(*batch, None) for batch in (first, second)]

        assert [None, None] == [each.made() for each in prepared]
        assert [None] == failed
        assert "ended by signal 9" in caplog.text
        assert not process.takes(1)
        assert not multiprocessing.active_children()
        process._not_before = 0.0
        process.takes(1)
        assert multiprocessing.active_children()
    finally:
        process.close()


def test_a_worker_that_does_not_answer_is_killed(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """A stopped process must not stop the consumer for ever."""
    monkeypatch.setattr(row_worker, "_ANSWER_SECONDS", 0.1)
    [batch, *_] = polls(random.Random(5), 50, 30)
    with row_process(store) as process:
        [child] = multiprocessing.active_children()
        os.kill(child.pid or 0, signal.SIGSTOP)

        assert written(process, batch) is None
        assert "did not answer within" in caplog.text


def a_large_batch() -> tuple[Polled, dict[Place, tuple[int, int]]]:
    """Return a batch of some megabytes: the buffer of the pipe has no place for it, nor for its rows."""
    bodies = [TokenIssued(token=f"t{number}", subject=f"human:{'h' * 400}{number}") for number in range(5_000)]
    events = [Event(event_id=body.token, source="urn:s", occurred_at=1, body=body) for body in bodies]
    numbered = enumerate(map(codec.encode, events))
    records = [Record(Position(DECISIONS, 0, offset).number, 1, value) for offset, value in numbered]
    return {(DECISIONS, 0): records}, {(DECISIONS, 0): (0, len(records))}


def test_a_worker_that_does_not_accept_a_large_batch_is_killed(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """The thread that polls waits while it is sent, as long as a batch may take; those after it do not wait again."""
    monkeypatch.setattr(row_worker, "_ANSWER_SECONDS", 0.2)
    batch, failed = a_large_batch(), list[None]()
    with row_process(store, failed) as process:
        [child] = multiprocessing.active_children()
        os.kill(child.pid or 0, signal.SIGSTOP)
        prepared = [process.prepare(*batch, None) for _ in range(2)]

        assert [None, None] == [each.made() for each in prepared]
        assert [None] == failed
        assert "did not answer within" in caplog.text
        assert not process.takes(1)


def test_a_worker_that_stops_in_the_middle_of_an_answer_is_killed(store: Store, monkeypatch: pytest.MonkeyPatch):
    """What has arrived of its rows is not used."""
    failed: list[None] = []
    with row_process(store, failed) as process:
        [child] = multiprocessing.active_children()
        prepared = process.prepare(*a_large_batch(), None)
        assert process._worker is not None
        assert process._worker._process.pipe.poll(60)
        os.kill(child.pid or 0, signal.SIGSTOP)
        monkeypatch.setattr(row_worker, "_ANSWER_SECONDS", 0.2)

        assert prepared.made() is None
        assert [None] == failed


def test_a_worker_that_cannot_be_started_is_tried_again_later(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Where no further process is permitted, the consumer decodes by itself; the log says why."""
    refuse_processes(monkeypatch)
    failed: list[None] = []
    process = RowProcess(store, traced=False, failed=lambda: failed.append(None))

    assert [False, False] == [process.takes(1) for _ in range(2)]
    assert [None] == failed
    assert "no worker process can be started" in caplog.text
    monkeypatch.undo()
    process._not_before = 0.0
    monkeypatch.setattr(row_worker, "LEAST", 1)
    process.takes(1)
    assert multiprocessing.active_children()
    process.close()


def test_a_worker_that_has_failed_is_closed_after_its_batches(store: Store):
    """The writer's thread may still be reading from the pipe."""
    [batch, *_] = polls(random.Random(8), 50, 30)
    with row_process(store) as process:
        worker, prepared = process._worker, process.prepare(*batch, None)
        assert worker is not None
        worker.fail("failed")

        assert not process.takes(1)
        assert not worker._process.pipe.closed
        assert prepared.made() is None
        assert not process.takes(1)
        assert worker._process.pipe.closed


def test_the_worker_ends_when_there_are_no_large_batches(store: Store, monkeypatch: pytest.MonkeyPatch):
    """A consumer that has caught up does not keep its memory."""
    monkeypatch.setattr(row_worker, "LEAST", 10)
    process = RowProcess(store, traced=False, failed=lambda: None)
    assert not process.takes(9)
    assert not multiprocessing.active_children()
    process.takes(10)
    assert multiprocessing.active_children()
    process.takes(9)
    assert multiprocessing.active_children()
    monkeypatch.setattr(row_worker, "_IDLE_SECONDS", 0.0)
    assert not process.takes(9)
    assert not multiprocessing.active_children()


def test_a_signal_to_all_processes_does_not_end_the_worker(store: Store):
    """A terminal sends SIGINT to both, a supervisor SIGTERM: the consumer completes its batch, and then ends both."""
    [batch, *_] = polls(random.Random(6), 50, 30)
    with row_process(store) as process:
        [child] = multiprocessing.active_children()
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(child.pid or 0, number)

        assert isinstance(process.prepare(*batch, None).made(), RowsBatch)


def test_a_worker_with_a_batch_is_not_idle(store: Store, monkeypatch: pytest.MonkeyPatch):
    """The store may have kept the consumer waiting for longer than that."""
    monkeypatch.setattr(row_worker, "_IDLE_SECONDS", 0.0)
    [batch, *_] = polls(random.Random(7), 50, 30)
    with row_process(store) as process:
        prepared = process.prepare(*batch, None)
        monkeypatch.setattr(row_worker, "LEAST", 10)

        assert not process.takes(9)
        assert isinstance(prepared.made(), RowsBatch)
        assert not process.takes(9)
        assert not multiprocessing.active_children()
