"""The runs of the index on PostgreSQL: nothing in a complete one is overlooked, and existing stores get them online."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from ingest import projector
from ingest.codec import api as codec
from ingest.log.port import Log, entry_of
from ingest.projector import project, read_records
from ingest.trust_file import Trust
from lineage.core.model.errors import AbsentError
from lineage.core.model.events import Event, TokenIssued
from lineage.core.model.records import DECISIONS, Batch, Position, Record
from lineage.plumbing import key_filter
from lineage.plumbing.key_filter import KeyFilter
from lineage.serve.commands import maintenance
from lineage.serve.queries.service import Service
from lineage.store.database import engine as opening
from lineage.store.database import postgres, sorted_runs
from lineage.store.database.sorted_runs import fact_in_run, run_filter, run_on_postgresql, sorted_ref
from lineage.store.reading import statements
from lineage.store.rebuild.index_check import entry_differences
from lineage.store.store import Store, open_store
from lineage.store.writing import projection, run_filters
from lineage.store.writing.run_filters import RunFilters
from tests.support import stores, worlds
from tests.support.kafka_worlds import wait_until
from tests.support.places import ROOT
from tests.support.postgres_stores import START, a_log, a_store, execute, unequal

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def filters_for_small_batches(monkeypatch: pytest.MonkeyPatch):
    """Load filters for batches of every size."""
    monkeypatch.setattr(run_filters, "_FEW", 0)


MANY = 1_000_000  # records in a batch for which filters are loaded


def some_events(seed: int) -> list[Event]:
    """Return the events of some worlds that share their names."""
    rng = random.Random(seed)
    items = [item for _ in range(8) for item in worlds.world(rng)]
    return [codec.decode_line(json.dumps(item["event"]).encode()) for item in items]


def token(number: int, *, ends_at: int = START * 2, identity: int | None = None) -> Event:
    body = TokenIssued(token=f"t{number}", subject="human:alice", delegation=f"d{number % 3}", expires_at=ends_at)
    name = number if identity is None else identity
    return Event(event_id=f"e{name}", source="urn:s", occurred_at=START, body=body)


def a_batch(events: list[Event], *, partition: int = 0, start: int = 0) -> Batch:
    batch = Batch(advance={(DECISIONS, partition): (start, start + len(events))})
    records = [
        Record(Position(DECISIONS, partition, start + place).number, START, codec.encode(event))
        for place, event in enumerate(events)
    ]
    read_records(records, None, batch)
    return batch


def in_small_batches(log: Log, store: Store) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(projector, "BATCH", 9)
        project(log, store, None)


def runs_of(store: Store) -> list[tuple[int, int, bool]]:
    """Return each run: its number, its level, and whether it has a filter."""
    marks = sa.select(run_filter.c.mark)
    with store.connection() as connection:
        query = sa.select(run_on_postgresql.c.id, run_on_postgresql.c.level, run_on_postgresql.c.mark.in_(marks))
        return [tuple(row) for row in connection.execute(query.order_by(run_on_postgresql.c.id))]


def overlooked(store: Store) -> int:
    """Count the keys of complete runs that writers would not look for there."""
    count = 0
    with store._write() as connection:
        now = RunFilters().runs(connection, MANY)
        for run in {id_ for _, ids in now.filters for id_ in ids}:
            for table, column, which in (
                (fact_in_run, fact_in_run.c.ident, sa.true()),
                (fact_in_run, fact_in_run.c.about, sa.true()),
                (sorted_ref, sorted_ref.c.key, sorted_ref.c.until > 0),
                (sorted_ref, sorted_ref.c.about, sorted_ref.c.role == 1),
            ):
                keys = connection.scalars(sa.select(column).where(table.c.run == run, which).distinct()).all()
                asked = {pair for part in now.asked(keys) for pair in zip(part["runs"], part["keys"], strict=True)}
                # A bound that was raised later adds no way up.
                first = [key for key in keys if column is not sorted_ref.c.about or _is_about(connection, run, key)]
                count += sum((run, key) not in asked for key in first)
    return count


def _is_about(connection: sa.Connection, run: int, key: int) -> bool:
    query = sa.select(fact_in_run.c.n).where(fact_in_run.c.run == run, fact_in_run.c.about == key)
    return connection.execute(query).first() is not None


@pytest.mark.parametrize("seed", range(4))
def test_random_worlds_in_many_runs_equal_those_on_sqlite(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
):
    """Whatever is in complete runs is found: duplicates, conflicts, bounds. And no filter denies a key of its run."""
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 16_000_000)  # a run has 8 facts
    with a_log(tmp_path, some_events(seed)) as log, a_store(postgres_url) as store:
        in_small_batches(log, store)
        runs = runs_of(store)
        assert len(runs) > 4
        assert sum(filtered for *_, filtered in runs) >= len(runs) - 2
        assert 0 == overlooked(store)
        assert [] == unequal(store, log, tmp_path)


def test_a_batch_asks_a_complete_run_only_for_what_it_may_have(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    """New keys are looked up only in the newest run; the run of an older key is found again."""
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 4_000_000)
    with a_store(postgres_url) as store:
        for start in range(0, 200, 40):
            store.write(a_batch([token(number) for number in range(start, start + 40)], start=start))
        complete = [run for run, level, filtered in runs_of(store) if level and filtered]
        with store._write() as connection:
            now = RunFilters().runs(connection, MANY)
            of_old = connection.scalars(sa.select(fact_in_run.c.ident).where(fact_in_run.c.run == 1)).all()
        rng = random.Random(1)
        new = [rng.getrandbits(63) for _ in range(10_000)]
        asked = [run for part in now.asked(new) for run in part["runs"] if run not in now.unfiltered]
        found = {
            key for part in now.asked(of_old) for run, key in zip(part["runs"], part["keys"], strict=True) if run == 1
        }
    assert len(complete) >= 4
    assert len(asked) < 0.02 * len(new) * len(complete)
    assert set(of_old) == found


def test_a_writer_whose_run_is_completed_by_another_writes_again(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    """
    Nobody may add to a complete run, because its filter is built once. A batch that has already been written to it,
    but not committed, is written to the newest one instead.
    """
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 1 << 27)  # each batch completes a run
    with a_store(postgres_url) as one, a_store(postgres_url) as other:
        wait_for_turn = projection.wait_for_turn
        between = iter([lambda: [other.write(a_batch([token(n)], partition=1, start=n)) for n in range(2)]])

        def after_others(connection: sa.Connection) -> None:
            next(between, lambda: None)()
            wait_for_turn(connection)

        monkeypatch.setattr(projection, "wait_for_turn", after_others)
        one.write(a_batch([token(7)]))
        with one.connection() as connection:
            rows = connection.execute(
                sa.select(fact_in_run.c.run).order_by(fact_in_run.c.recorded_at, fact_in_run.c.run)
            )
            runs = rows.scalars().all()
        assert [1, 2, 3] == runs
        assert 0 == overlooked(one)
        again = one.write(a_batch([token(7), token(0), token(1)], start=1))
    assert 3 == again.duplicates


def test_filters_of_a_replaced_store_are_not_used(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A process that goes on writing after a rebuild finds what the rebuild put into other runs."""
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 8_000_000)
    with a_log(tmp_path, some_events(5)) as log, a_store(postgres_url) as store:
        in_small_batches(log, store)
        monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 3_000_000)
        maintenance.rebuild(Service(store, log, Trust(), lambda: START, source="urn:test"), lambda _: None)
        log.append(entry_of(each) for each in some_events(5))
        in_small_batches(log, store)
        assert 0 == overlooked(store)
        assert [] == unequal(store, log, tmp_path)


def test_the_last_run_has_whatever_comes_then(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    """Every look-up searches all runs, so there are only so many."""
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 1 << 27)
    with a_store(postgres_url) as store:
        for number in range(sorted_runs.MOST_RUNS + 5):
            store.write(a_batch([token(number)], start=number))
        runs = runs_of(store)
        assert sorted_runs.MOST_RUNS == store.runs().runs
    assert [0] == [level for *_, level, _ in runs[-1:]]
    assert [1] * (len(runs) - 1) == [level for *_, level, _ in runs[:-1]]


@pytest.mark.parametrize(("gib", "most"), [(0.25, 32), (2.4, 32), (8, 12), (64, 12)])
def test_there_are_more_runs_if_their_filters_fit_into_memory(gib: float, most: int, monkeypatch: pytest.MonkeyPatch):
    """A run without a filter is searched for each key of a batch, so a large one is not followed by many others."""
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 640)
    monkeypatch.setattr(sorted_runs, "LEAST_FACTS", 4_000_000)
    assert most == sorted_runs._most_runs(int(gib * (1 << 30)))


def test_a_run_gets_another_mark_when_it_is_complete(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    """
    What a process has read of a run is not taken for its content if the database loses the completion, as after a
    failover, and other facts follow.
    """
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 4_000_000)
    monkeypatch.setattr(run_filters, "_STEP", 4)
    with a_store(postgres_url) as store:
        [(mark,)] = execute(postgres_url, "SELECT mark FROM run")
        filters = store._projection.filters
        build_some = filters.build_some
        monkeypatch.setattr(filters, "build_some", lambda connection, _: build_some(connection, 50))
        store.write(a_batch([token(number) for number in range(40)]))
        store.write(a_batch([token(40)], start=40))
        [building] = filters._building.values()
        assert building.source > 0
        # What a server does that has lost the last transactions.
        execute(
            postgres_url,
            "DELETE FROM fact WHERE n IN (SELECT n FROM fact ORDER BY n OFFSET 20)",
            "DELETE FROM run WHERE id > 1",
            "DELETE FROM key_runs",
            f"UPDATE run SET level = 0, facts = 20, mark = {mark}, shift = NULL, cleared = 0 WHERE id = 1",
            "UPDATE position SET next_offset = 20",
        )
        monkeypatch.setattr(filters, "build_some", build_some)
        store.write(a_batch([token(number) for number in range(50, 90)], start=20))
        store.write(a_batch([token(90)], start=60))
        assert [True] == [filtered for _, level, filtered in runs_of(store) if level]
        assert [] == [*entry_differences(store)]


def test_two_processes_may_store_one_filter(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    """The second changes nothing, and a thread that finds nothing left to build does nothing."""
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 4_000_000)
    with a_store(postgres_url) as store:
        monkeypatch.setattr(store, "_build_filters", lambda _: None)
        store.write(a_batch([token(number) for number in range(40)]))
        both = [RunFilters(), RunFilters()]
        with store._write() as connection:
            for each in both:
                each.runs(connection, MANY)
            for each in both:
                each.build_some(connection, MANY)
                each.build_some(connection, MANY)
        assert [True] == [filtered for _, level, filtered in runs_of(store) if level]


def test_a_rebuild_is_not_waited_for_with_a_filter(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    """
    The exchange of a rebuild locks the filters, and then waits for everybody who has read a run: a process that waited
    for it in turn would delay it until its own lock timeout. The filter is stored after a later batch.
    """
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 4_000_000)
    with a_store(postgres_url) as store:
        store.write(a_batch([token(number) for number in range(40)]))
        with store._writing.begin() as rebuild:
            rebuild.exec_driver_sql("LOCK TABLE run_filter IN SHARE ROW EXCLUSIVE MODE")
            began = time.monotonic()
            store.write(a_batch([token(40)], start=40))
            assert time.monotonic() - began < 30  # half the lock timeout of a writer
            assert [(1, 1, False), (2, 0, False)] == runs_of(store)
        store.write(a_batch([token(41)], start=41))
        assert [(1, 1, True), (2, 0, False)] == runs_of(store)
        assert 0 == overlooked(store)


def test_a_new_store_is_searched_by_key_from_the_first_batches_on(postgres_url: str):
    """Without statistics the planner searches the whole index of the way up for each key, until the server has some."""
    delegated = [token(number, ends_at=START * 2) for number in range(4_000)]  # under d0, d1 and d2
    with a_store(postgres_url) as store:
        store.write(a_batch(delegated))
        with store.reader(trust=None) as reader:
            asked = [*reader.hashes(["delegation:d0", "delegation:d1", "delegation:d2"])]
            asked += reader.hashes(f"token:t{number}" for number in range(4_000))
            query = statements.KEYS_BELOW["postgresql"].compile(dialect=store.engine.dialect)
            explained = reader.connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}",
                {"keys": f"{{{','.join(map(str, asked))}}}", "span": 0},
            )
            [plan] = explained.scalar_one()

        assert plan["Plan"]["Actual Rows"] == 4_003
        assert plan["Plan"]["Shared Hit Blocks"] < 8 * 4_003


def test_few_records_load_no_filters(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    """An order does not wait for megabytes of filters: it asks every run, and finds what is there."""
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 4_000_000)
    with a_store(postgres_url) as store:
        store.write(a_batch([token(number) for number in range(40)]))
        store.write(a_batch([token(40)], start=40))
    monkeypatch.setattr(run_filters, "_FEW", 1_000)
    with a_store(postgres_url) as store:
        assert 1 == store.write(a_batch([token(7)], start=41)).duplicates
        assert {} == store._projection.filters._loaded


def test_fsck_finds_a_filter_that_denies_a_key(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    """A filter without its keys is reported with its run, and a fact in no run as well."""
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 4_000_000)
    with a_store(postgres_url) as store:
        store.write(a_batch([token(number) for number in range(40)]))
        store.write(a_batch([token(40)], start=40))
        assert [] == [*entry_differences(store)]
        execute(
            postgres_url,
            "UPDATE run_filter SET words = decode(repeat('00', length(words)), 'hex')",
            "UPDATE fact SET run = 99 WHERE run = 2",
        )
        stray, denied = entry_differences(store)
    assert "index: 1 facts are in a run that does not exist" == stray
    assert denied.startswith("index: the filter of run 1 denies ")


@pytest.mark.parametrize("count", [0, 1_000, 10**10])
def test_a_filter_has_a_size_that_the_database_can_send(count: int, monkeypatch: pytest.MonkeyPatch):
    """Text takes two characters for each byte, and a value may have 1 GiB."""
    monkeypatch.setattr(key_filter, "_MOST_WORDS", key_filter._MOST_WORDS >> 10)  # so that the test needs less memory
    assert len(KeyFilter.for_keys(count).dump()) << 10 < 1 << 29


# The migration


def at_the_version_before(url: str, log: Log) -> None:
    """Fill a store, and bring it back to the version without runs."""
    with a_store(url) as store:
        project(log, store, None)
        stores.downgrade(store.engine, "0022")


def add_without_a_run(url: str) -> None:
    """Add a fact and what it mentions as a consumer of the previous version does: the latter in its turn."""
    execute(
        url,
        "BEGIN",
        "INSERT INTO fact (n, ident, about, outcome, misrouted, recorded_at, until, source, value) "
        "VALUES (99999, 9, 9, 0, 0, 1, 0, 1, '')",
        "SELECT pg_sleep(0.01)",
        postgres._TURN,
        "INSERT INTO ref (key, until, role, about, n) VALUES (9, 0, 3, 9, 99999)",
        "DELETE FROM fact WHERE n = 99999",
        "DELETE FROM ref WHERE n = 99999",
        "COMMIT",
    )


def test_an_existing_store_is_its_first_run(postgres_url: str, tmp_path: Path):
    """No row is copied; what is written then is in the first run or a later one; a reader needs no new rights."""
    role = f"reader_{uuid4().hex}"
    with a_log(tmp_path, some_events(3)) as log:
        at_the_version_before(postgres_url, log)
        try:
            execute(
                postgres_url,
                f"CREATE ROLE {role}",
                f"GRANT USAGE ON SCHEMA public TO {role}",
                f"GRANT SELECT ON ref TO {role}",
            )
            files = "SELECT pg_relation_filenode('fact'), pg_relation_filenode('{}')"
            before = execute(postgres_url, files.format("ref"))
            with a_store(postgres_url) as store:
                after = execute(postgres_url, files.format("sorted_ref"))
                log.append(entry_of(each) for each in some_events(3))
                in_small_batches(log, store)
                assert [] == unequal(store, log, tmp_path)
                assert 0 == overlooked(store)
            assert before == after
            assert [("fact",), ("sorted_ref",)] == execute(
                postgres_url, "SELECT tablename FROM pg_stats WHERE attname = 'run' ORDER BY 1"
            )
            assert execute(postgres_url, f"SET ROLE {role}", "SELECT count(*) FROM ref, sorted_ref, run")[0][0] > 0
        finally:
            execute(postgres_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_store_with_many_runs_can_be_taken_back_to_the_version_before(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A row that is in several runs is kept once; nothing else is lost."""
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 16_000_000)
    rows = "SELECT key, until, role, about, n FROM ref ORDER BY 1, 2, 3, 4, 5"
    with a_log(tmp_path, some_events(7)) as log, a_store(postgres_url) as store:
        in_small_batches(log, store)
        assert len(runs_of(store)) > 4
        before = execute(postgres_url, rows)
        execute(
            postgres_url,
            "INSERT INTO sorted_ref (run, key, until, role, about, n) "
            "SELECT run + 1, key, until, role, about, n FROM sorted_ref WHERE run IN (1, 2)",
        )
        stores.downgrade(store.engine, "0022")
        assert before == execute(postgres_url, rows)


_INIT = """
import sys
from lineage.store.database.engine import connect, upgrade
upgrade(connect(sys.argv[1], create=True))
"""
_INVALID = "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE NOT indisvalid"


def test_a_migration_that_is_killed_is_continued(postgres_url: str, tmp_path: Path):
    """
    Killed while it builds an index: the store is used as before, and the next attempt builds what is missing.
    """
    with a_log(tmp_path, some_events(4)) as log:
        at_the_version_before(postgres_url, log)
        engine = sa.create_engine(
            sa.make_url(postgres_url).set(drivername="postgresql+psycopg"), isolation_level="REPEATABLE READ"
        )
        with engine.connect() as old:
            old.exec_driver_sql("SELECT 1 FROM pg_class")  # an index is complete only when this snapshot has ended
            migration = subprocess.Popen([sys.executable, "-c", _INIT, postgres_url], cwd=ROOT)
            try:
                wait_until(lambda: execute(postgres_url, _INVALID), 120)
            finally:
                os.kill(migration.pid, signal.SIGKILL)
                migration.wait()
            execute(
                postgres_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE 'CREATE INDEX CONCURRENTLY%%' AND pid <> pg_backend_pid()",
            )
            add_without_a_run(postgres_url)
            with pytest.raises(AbsentError, match="has version 0022"):
                open_store(postgres_url, codec.read)
            assert execute(postgres_url, _INVALID)
        engine.dispose()
        with a_store(postgres_url) as store:
            assert [] == unequal(store, log, tmp_path)
        assert [] == execute(postgres_url, _INVALID)


def test_a_migration_waits_for_no_writer_and_delays_none(postgres_url: str, tmp_path: Path):
    """A consumer of the previous version goes on writing until the last step; two migrations at a time are one."""
    with a_log(tmp_path, some_events(6)) as log:
        at_the_version_before(postgres_url, log)
        stopped = threading.Event()

        def write() -> int:
            count = 0
            while not stopped.is_set():
                try:
                    add_without_a_run(postgres_url)
                except sa.exc.DBAPIError as error:
                    if getattr(error.orig, "sqlstate", None) in postgres.LOCKED:
                        raise
                    return count  # it was migrated
                count += 1
            return count

        with ThreadPoolExecutor(3) as pool:
            writing = pool.submit(write)

            def migrate() -> bool:
                engine = opening.connect(postgres_url, create=True)
                did = opening.upgrade(engine)
                engine.dispose()
                return did

            both = [pool.submit(migrate) for _ in range(2)]
            did = sorted(each.result() for each in both)
            stopped.set()
            writing.result()
        assert [False, True] == did
        execute(postgres_url, "DELETE FROM fact WHERE n = 99999", "DELETE FROM sorted_ref WHERE n = 99999")
        with a_store(postgres_url) as store:
            assert [] == unequal(store, log, tmp_path)
