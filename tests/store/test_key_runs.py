"""What tells readers in which runs on PostgreSQL a key may be: no run is overlooked, whatever happens in between."""

import json
import random
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from ingest.codec import api as codec
from ingest.log.port import entry_of
from ingest.projector import project, read_records
from ingest.trust_file import Trust
from lineage.core.model.events import Event, TokenIssued
from lineage.core.model.records import DECISIONS, Batch, Position, Record
from lineage.serve.commands import maintenance
from lineage.serve.queries.service import Service
from lineage.store import store as store_module
from lineage.store.database import sorted_runs
from lineage.store.database.key_runs import IN_RUNS, possible_runs, slots_of
from lineage.store.database.sorted_runs import IS_NARROWED, fact_in_run, run_on_postgresql, sorted_ref
from lineage.store.reading import reader
from lineage.store.rebuild.diff import twin
from lineage.store.rebuild.index_check import entry_differences
from lineage.store.store import Store
from lineage.store.writing import key_runs as writing
from tests.support import stores
from tests.support.crashes import killed_after
from tests.support.postgres_stores import START, a_log, a_store, execute, unequal
from tests.support.wordings import documents, in_small_batches, some_events, unequal_wordings

pytestmark = pytest.mark.postgres


def narrow(patch: Any) -> None:
    """Let readers always ask which runs may have a key, a run have some facts, and a block few keys."""
    patch(reader, "_MANY_SEARCHES", -100_000)
    patch(store_module, "_COUNTED_EVERY", 0)
    patch(sorted_runs, "BYTES_OF_CACHE", 16_000_000)
    patch(sorted_runs, "LEAST_FACTS", 0)
    patch(writing, "_KEYS_OF_BLOCK", 3)
    patch(writing, "_BLOCKS", 4)
    patch(writing, "_STEP", 7)
    patch(store_module, "_SMALLEST_STEP", 20)


@pytest.fixture(autouse=True)
def narrowed(monkeypatch: pytest.MonkeyPatch):
    narrow(monkeypatch.setattr)


def token(number: int) -> Event:
    body = TokenIssued(token=f"t{number}", subject="human:alice", delegation=f"d{number % 3}", expires_at=START * 2)
    return Event(event_id=f"e{number}", source="urn:s", occurred_at=START, body=body)


def tokens(first: int, beyond: int) -> Batch:
    """Return a batch with the tokens of some numbers, recorded at these."""
    batch = Batch(advance={(DECISIONS, 0): (first, beyond)})
    records = [
        Record(Position(DECISIONS, 0, number).number, START, codec.encode(token(number)))
        for number in range(first, beyond)
    ]
    read_records(records, None, batch)
    return batch


def write(store: Store, first: int, beyond: int) -> None:
    for start in range(first, beyond, 10):
        store.write(tokens(start, min(start + 10, beyond)))


def narrowed_runs(store: Store) -> int:
    with store.connection() as connection:
        query = sa.select(sa.func.count()).select_from(run_on_postgresql).where(IS_NARROWED)
        return int(connection.execute(query).scalar_one())


def pairs(connection: sa.Connection) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Return the keys in the index, each with a run in which it is; and with each run in which it may be."""
    found = sa.union(
        sa.select(fact_in_run.c.about.label("key"), fact_in_run.c.run),
        sa.select(sorted_ref.c.key, sorted_ref.c.run),
        sa.select(sorted_ref.c.about, sorted_ref.c.run),
    ).subquery()
    keys = sa.select(found.c.key).distinct().subquery()
    possible = possible_runs(keys)
    may_be = sa.select(keys.c.key, possible.c.id).select_from(keys.join(possible, sa.true()))
    return (
        {(key, run) for key, run in connection.execute(sa.select(found))},
        {*map(tuple, connection.execute(may_be))},
    )


def overlooked(store: Store) -> list[tuple[int, int]]:
    """Return the keys that are in a run in which readers would not look for them."""
    with store.connection() as connection:
        found, possible = pairs(connection)
    return sorted(found - possible)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_wording_of_a_statement_finds_the_same(postgres_url: str, tmp_path: Path, seed: int):
    """Whether all runs are searched or only those that may have a key: for all keys and for single ones."""
    with a_log(tmp_path, some_events(seed)) as log, a_store(postgres_url) as store:
        in_small_batches(log, store)
        assert narrowed_runs(store) > 7  # of more than one octet
        assert [] == overlooked(store)
        with store.connection() as connection:
            keys = sorted({key for key, _ in pairs(connection)[0]})
            asked = [keys, *([key] for key in random.Random(seed).sample(keys, 30)), [1, -1]]
            assert [] == [*unequal_wordings(connection, IN_RUNS, asked)]


def test_answers_are_those_of_a_store_without_runs(postgres_url: str, tmp_path: Path):
    """Byte for byte, on the other database."""
    with a_log(tmp_path, some_events(11)) as log, a_store(postgres_url) as store:
        in_small_batches(log, store)
        assert narrowed_runs(store) > 4
        alone = twin(store, tmp_path / "alone.db")
        project(log, alone, None)
        expected = documents(alone, log)
        assert len(expected) > 50
        assert json.dumps(expected, default=repr) == json.dumps(documents(store, log), default=repr)
        alone.close()


def test_a_key_is_looked_for_in_few_runs(postgres_url: str):
    """In the newest, in those that have it, and seldom in another."""
    with a_store(postgres_url) as store:
        write(store, 0, 400)
        runs = store.runs().runs
        assert narrowed_runs(store) == runs - 1 > 9
        with store.connection() as connection:
            found, possible = pairs(connection)
            complete = {(key, run) for key, run in possible if run != runs}
    assert len(complete - found) < 0.05 * len(found) * runs


def test_a_snapshot_is_consistent_with_what_is_cleared_later(postgres_url: str):
    """A reader that began when a run was still the newest finds in it what it had then."""
    with a_store(postgres_url) as store, a_store(postgres_url) as other:
        write(store, 0, 15)
        with store.snapshot() as still, still.reader(trust=None) as reading:
            keys = [f"token:t{number}" for number in range(60)]
            assert len(reading.facts_about(keys)) == 15
            write(other, 15, 60)
            assert narrowed_runs(other) > 1
            assert len(reading.facts_about(keys)) == 15
        with store.reader(trust=None) as reading:
            assert len(reading.facts_about(keys)) == 60


_STATE = ("fact", "sorted_ref", "run", "run_filter", "key_runs", "position", "tree", "tile", "turn", "act")


def test_nothing_is_overlooked_after_a_failover_that_loses_a_completion(postgres_url: str):
    """
    A process that has cleared bits of a run goes on with a server that has lost that, the completion of the run and
    the last facts in it; other facts follow in their place.
    """
    with a_store(postgres_url) as store:
        write(store, 0, 100)
        saved = [f"CREATE TABLE saved_{table} AS SELECT * FROM {table}" for table in _STATE]
        execute(postgres_url, *saved)
        before = narrowed_runs(store)
        write(store, 100, 160)
        assert narrowed_runs(store) > before
        execute(
            postgres_url,
            "BEGIN",
            *(f"DELETE FROM {table}" for table in _STATE),
            *(f"INSERT INTO {table} SELECT * FROM saved_{table}" for table in _STATE),
            "COMMIT",
        )
        store._projection.forget()
        for number in range(100, 130):  # others than were there
            store.write(_replaced(tokens(number, number + 1), 1_000 + number))
        assert [] == overlooked(store)
        assert [] == [*entry_differences(store)]
        assert narrowed_runs(store) > before


def _replaced(batch: Batch, number: int) -> Batch:
    """Return a batch with the same positions and another token."""
    [(place, (first, beyond))] = batch.advance.items()
    other = Batch(advance={place: (first, beyond)})
    read_records([Record(Position(*place, first).number, START, codec.encode(token(number)))], None, other)
    return other


def test_a_rebuild_replaces_what_is_cleared(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It has other runs; a process that goes on writing and asking overlooks nothing in them."""
    with a_log(tmp_path, some_events(5)) as log, a_store(postgres_url) as store:
        in_small_batches(log, store)
        monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 3_000_000)
        maintenance.rebuild(Service(store, log, Trust(), lambda: START, source="urn:test"), lambda _: None)
        assert [] == overlooked(store)
        log.append(entry_of(each) for each in some_events(6))
        in_small_batches(log, store)
        assert narrowed_runs(store) > 1
        assert [] == overlooked(store)
        assert [] == unequal(store, log, tmp_path)


def test_what_is_missing_is_only_searched(postgres_url: str):
    """Rows that are lost make their runs be searched, and a run without any as well."""
    with a_store(postgres_url) as store:
        write(store, 0, 200)
        execute(postgres_url, "DELETE FROM key_runs WHERE (block & 1) = 0")
        assert [] == overlooked(store)
        execute(postgres_url, "DELETE FROM key_runs")
        assert [] == overlooked(store)
        execute(postgres_url, "UPDATE run SET shift = NULL, cleared = 0")
        assert [] == overlooked(store)
        write(store, 200, 300)
        assert narrowed_runs(store) > 5
        assert [] == overlooked(store)


def test_fsck_finds_a_run_that_is_overlooked(postgres_url: str):
    """It is named, with how many of its keys are not looked for there."""
    with a_store(postgres_url) as store:
        write(store, 0, 60)
        assert [] == [*entry_differences(store)]
        [(key,)] = execute(postgres_url, "SELECT about FROM fact WHERE run = 1 ORDER BY n LIMIT 1")
        slot = slots_of(key)[0]
        execute(postgres_url, f"UPDATE key_runs SET slots = set_byte(slots, {slot}, get_byte(slots, {slot}) & 253)")
        faults = [*entry_differences(store)]
        assert faults
        assert all(fault.startswith("index: questions do not search run 1 for ") for fault in faults)
        assert {run for _, run in overlooked(store)} == {1}


def test_one_process_at_a_time_clears(postgres_url: str):
    """Another one does nothing meanwhile, and does not wait."""
    with a_store(postgres_url) as one, a_store(postgres_url) as other:
        for store in (one, other):
            store._build_filters = lambda _: None  # type: ignore[method-assign]
        write(one, 0, 60)
        with one._write() as first:
            assert writing.clear_some(first, 10) > 0
            with other._write() as second:
                assert 0 == writing.clear_some(second, 10)
        with other._write() as second:
            assert writing.clear_some(second, 10) > 0
        assert [] == overlooked(one)


def test_a_rebuild_is_not_waited_for(postgres_url: str):
    """A batch is written while the rows are locked, and they are written after a later one."""
    with a_store(postgres_url) as store:
        write(store, 0, 20)
        before = narrowed_runs(store)
        with store._writing.begin() as rebuild:
            rebuild.exec_driver_sql("LOCK TABLE key_runs IN SHARE ROW EXCLUSIVE MODE")
            began = time.monotonic()
            write(store, 20, 40)
            assert time.monotonic() - began < 30  # half the lock timeout of a writer
            assert narrowed_runs(store) == before
        write(store, 40, 80)
        assert narrowed_runs(store) > before
        assert [] == overlooked(store)


def test_a_key_in_very_many_entries_is_read_once(postgres_url: str):
    """Of the entries of a name that all mention, only the first are read, and the other keys are not left out."""
    with a_store(postgres_url) as store:
        write(store, 0, 120)  # each names one person, and one of three delegations
        assert narrowed_runs(store) > 2
        assert [] == overlooked(store)


def test_a_store_of_the_version_before_is_narrowed_by_its_consumers(postgres_url: str, tmp_path: Path):
    """Its complete runs are searched until then; a role that may read the runs may read the new table."""
    role = f"reader_{uuid4().hex}"
    with a_log(tmp_path, some_events(3)) as log, a_store(postgres_url) as store:
        in_small_batches(log, store)
        try:
            execute(postgres_url, f"CREATE ROLE {role}", f"GRANT SELECT ON run TO {role}")
            stores.downgrade(store.engine, "0026")
            with a_store(postgres_url) as migrated:
                assert 0 == narrowed_runs(migrated)
                assert [] == overlooked(migrated)
                log.append(entry_of(each) for each in some_events(4))
                in_small_batches(log, migrated)
                assert narrowed_runs(migrated) > 4
                assert [] == overlooked(migrated)
                assert [] == unequal(migrated, log, tmp_path)
            assert [(0,)] == execute(postgres_url, f"SET ROLE {role}", "SELECT count(*) FROM key_runs WHERE octet = 99")
        finally:
            execute(postgres_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


WRITER = """
import sys
from ingest.codec import api as codec
from lineage.store.store import open_store
from tests.store.test_key_runs import narrow, write
narrow(setattr)
store = open_store(sys.argv[1], codec.read)
start = max(store.positions().values(), default=0)
while True:
    write(store, start, start + 10)
    start += 10
    print("written", flush=True)
"""


@pytest.mark.slow
def test_a_process_killed_while_it_clears_overlooks_nothing(postgres_url: str):
    """After SIGKILL at any moment no run is overlooked, and the next process continues."""
    rng = random.Random(3)
    with a_store(postgres_url) as store:
        for _ in range(5):
            killed_after(rng.randrange(3, 9), WRITER, postgres_url, rng)
            assert [] == overlooked(store)
            assert [] == [*entry_differences(store)]
        assert narrowed_runs(store) > 3
