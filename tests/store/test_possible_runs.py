"""In which runs on SQLite readers look for a key: no run is overlooked, whatever happens to the runs in between."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.log.port import entry_of
from ingest.projector import project
from ingest.trust_file import Trust
from lineage.plumbing.key_filter import FiltersOfMany, KeyFilter, bits_of
from lineage.serve.commands import maintenance
from lineage.serve.queries.service import Service
from lineage.store.database import sorted_runs
from lineage.store.database.run_function import IN_RUNS_ON_SQLITE, RUNS_OF
from lineage.store.database.sorted_runs import SORTED, filter_on_sqlite, filter_part, run, sorted_ident, sorted_upward
from lineage.store.reading import possible_runs
from lineage.store.reading.possible_runs import PossibleRuns
from lineage.store.rebuild.diff import twin
from lineage.store.rebuild.index_check import entry_differences
from lineage.store.store import Store, open_store
from tests.support import stores
from tests.support.crashes import killed_after
from tests.support.postgres_stores import START, a_log, unequal
from tests.support.small_runs import a_store, lose_a_step, small, tokens, write
from tests.support.wordings import documents, in_small_batches, some_events, unequal_wordings


def narrow(setting: Any) -> None:
    """Let small stores have several runs, and readers use the filters from the first one on."""
    small(setting)
    setting(possible_runs, "_READERS_BEFORE", 0)
    setting(possible_runs, "_FEWEST", 1)
    setting(possible_runs, "_REMEMBERED", 90)


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch.setattr)


@pytest.fixture
def unmerged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not merge runs after batches: how far that gets depends on the clock."""
    monkeypatch.setattr(Store, "_merge_run", lambda _: False)


def build_filters(store: Store) -> None:
    """Build the filters of all complete runs."""
    built = 1
    while built:
        with store._write() as connection:
            built = store._projection.filters.build_some(connection, 10_000)


def prepared(store: Store, connection: sa.Connection) -> int:
    """Prepare a connection once all filters are loaded; return how many runs are narrowed."""
    return max(store._possible_runs.prepare(connection) for _ in range(40))


def narrowed_runs(store: Store) -> int:
    with store.connection() as connection:
        return prepared(store, connection)


def entries(connection: sa.Connection) -> Iterator[tuple[int, int]]:
    """Yield the keys by which readers find entries, each with a run in which it is."""
    for table in SORTED:
        if table is not sorted_ident:
            key = table.c.about if table is sorted_upward else table.c.key
            yield from map(tuple, connection.execute(sa.select(key, table.c.run).distinct()))


def overlooked(store: Store, connection: sa.Connection) -> list[tuple[int, int]]:
    """Return the keys that are in a run in which readers would not look for them, as of the snapshot of a connection.

    Whether a reader loads one filter more, or another process has the others.
    """
    found, missed = [*entries(connection)], []
    for possible in (store._possible_runs, PossibleRuns(lambda _: None)):
        for _ in range(3):
            if possible.prepare(connection):
                asked = connection.exec_driver_sql(
                    f"SELECT value, {RUNS_OF}(value) FROM json_each(?)", (json.dumps([key for key, _ in found]),)
                )
                runs = {key: json.loads(text) for key, text in asked}
                missed += [(key, id_) for key, id_ in found if id_ not in runs[key]]
    return missed


def overlooked_now(store: Store) -> list[tuple[int, int]]:
    with store.connection() as connection:
        return overlooked(store, connection)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), fan=st.integers(2, 4), hot=st.integers(3, 20))
def test_no_run_is_overlooked(tmp_path_factory: pytest.TempPathFactory, seed: int, fan: int, hot: int):
    """
    Batches of any size, merges and filters in any order, steps that are lost, processes that end, and a version before
    that is migrated: readers look for each key in every run that has it, also one whose snapshot is older.
    """
    rng = random.Random(seed)
    events = tokens(rng.randrange(40, 110), seed)
    url = f"sqlite:///{tmp_path_factory.mktemp('runs')}/store.db"
    with pytest.MonkeyPatch.context() as patched:
        narrow(patched.setattr)
        patched.setattr(sorted_runs, "FAN", fan)
        patched.setattr(sorted_runs, "HOT", hot)
        patched.setattr(possible_runs, "_MOST_WORDS", rng.choice([64, 300, 1 << 20]))
        steps = {"_merge_run": Store._merge_run, "_build_filter": Store._build_filter}
        store, done = open_store(url, codec.read, create=True), 0
        while done < len(events):
            for name, step in steps.items():
                patched.setattr(Store, name, rng.choice([step, step, lambda _: False]))
            store._merging.share = rng.choice([0.2, 1.5, 5, 20])
            size = rng.randrange(1, 20)
            with store.snapshot() as still, still.connection() as older:
                began = [*entries(older)]
                write(store, events[done : done + size], batch=size, start=done)
                done = min(done + size, len(events))
                if rng.random() < 0.3:
                    lose_a_step(store, build=rng.randrange(1, 80), merge=rng.choice([0, rng.randrange(1, 40)]))
                assert [] == overlooked_now(store)
                assert [] == overlooked(store, older)
                assert began == [*entries(older)]
            if rng.random() < 0.1:
                store.close()
                store = open_store(url, codec.read)
            elif rng.random() < 0.1:  # the filters of the version before, which lack keys
                with store._write() as connection:
                    connection.execute(filter_on_sqlite.update().values(whole=0))
        assert [] == [*entry_differences(store)]
        store.close()


@pytest.mark.usefixtures("unmerged")
@pytest.mark.parametrize("seed", [0, 1])
def test_every_wording_of_a_statement_finds_the_same(tmp_path: Path, seed: int):
    """Whether all runs are searched or only those that may have a key: for all keys and for single ones."""
    rng = random.Random(seed)
    with a_log(tmp_path, some_events(seed, 6)) as log, a_store(f"sqlite:///{tmp_path}/store.db") as store:
        in_small_batches(log, store)
        build_filters(store)
        with store._write() as connection:
            sorted_runs.merge_some(connection, 7)
        with store.connection() as connection:
            assert prepared(store, connection) > 3
            merged = connection.scalars(sa.select(run.c.id).where(run.c.target.is_not(None))).all()
            assert [] == overlooked(store, connection)
            assert prepared(store, connection)
            keys = sorted({key for key, _ in entries(connection)})
            asked = [keys, *([key] for key in rng.sample(keys, 30)), [1, -1]]
            assert [] == [*unequal_wordings(connection, IN_RUNS_ON_SQLITE, asked)]
    assert merged  # a merge is under way


@pytest.mark.usefixtures("unmerged")
def test_answers_are_those_of_a_store_without_filters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Byte for byte."""
    with a_log(tmp_path, some_events(11, 5)) as log, a_store(f"sqlite:///{tmp_path}/store.db") as store:
        in_small_batches(log, store)
        build_filters(store)
        assert narrowed_runs(store) > 2
        found = documents(store, log)
        monkeypatch.setattr(sorted_runs, "HOT", 1_000_000)
        monkeypatch.setattr(possible_runs, "_READERS_BEFORE", 1_000_000)
        alone = twin(store, tmp_path / "alone.db")
        project(log, alone, None)
        expected = documents(alone, log)
        assert len(expected) > 50
        assert json.dumps(expected, default=repr) == json.dumps(found, default=repr)
        alone.close()


@pytest.mark.usefixtures("unmerged")
def test_a_key_is_looked_for_in_few_runs(tmp_path: Path):
    """In the newest, in those that have it, and seldom in another."""
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, tokens(400))
        build_filters(store)
        rng = random.Random(1)
        with store.connection() as connection:
            runs = connection.scalar(sa.select(sa.func.count()).select_from(run))
            narrowed = prepared(store, connection)
            keys = json.dumps([rng.getrandbits(63) for _ in range(2_000)])
            asked = connection.exec_driver_sql(f"SELECT {RUNS_OF}(value) FROM json_each(?)", (keys,)).scalars().all()
        assert narrowed > 4
        assert sum(len(json.loads(text)) for text in asked) < 2_000 * (runs - narrowed + 0.1 * narrowed)


def test_a_snapshot_is_consistent_with_runs_that_are_replaced(tmp_path: Path):
    """A reader finds what it had when it began, while the runs are merged and their filters deleted."""
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, tokens(60))
        with store.reader(trust=None) as reading:
            keys = [f"token:t{number}" for number in range(60)]
            known = reading.facts_about(keys)
            marks = {*reading.connection.scalars(sa.select(run.c.mark))}
            with a_store(store.url) as other:
                write(other, tokens(140, 2), start=60)
                with other.connection() as connection:
                    assert marks - {None} - {*connection.scalars(sa.select(run.c.mark))}
            assert known == reading.facts_about(keys)
            assert [] == overlooked(store, reading.connection)
        with store.reader(trust=None) as reading:
            assert len(reading.facts_about(keys)) > len(known)


@pytest.mark.usefixtures("unmerged")
def test_a_store_of_the_version_before_is_searched_until_its_filters_are_built_again(tmp_path: Path):
    """Its writers use the filters that it has, and build those of readers after their batches; ``fsck`` finds nothing.

    The version before can continue with the new ones.
    """
    url = f"sqlite:///{tmp_path}/store.db"
    with a_log(tmp_path, some_events(3, 4)) as log:
        with a_store(url) as store:
            in_small_batches(log, store)
            stores.downgrade(store.engine, "0027")
        with a_store(url) as store:
            assert 0 == narrowed_runs(store)
            assert [] == [*entry_differences(store)]
            log.append(entry_of(each) for each in some_events(4, 4))
            in_small_batches(log, store)
            build_filters(store)
            assert narrowed_runs(store)
            assert [] == overlooked_now(store)
            assert [] == [*entry_differences(store)]
            assert [] == unequal(store, log, tmp_path)


@pytest.mark.usefixtures("unmerged")
def test_a_rebuild_replaces_the_filters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It has other runs; a process that goes on asking overlooks nothing in them."""
    with a_log(tmp_path, some_events(5, 4)) as log, a_store(f"sqlite:///{tmp_path}/store.db") as store:
        in_small_batches(log, store)
        build_filters(store)
        before = documents(store, log)
        assert narrowed_runs(store)
        monkeypatch.setattr(sorted_runs, "HOT", 11)
        maintenance.rebuild(Service(store, log, Trust(), lambda: START, source="urn:test"), lambda _: None)
        assert [] == overlooked_now(store)
        assert before == documents(store, log)
        log.append(entry_of(each) for each in some_events(6, 4))
        in_small_batches(log, store)
        build_filters(store)
        assert narrowed_runs(store)
        assert [] == overlooked_now(store)


@pytest.mark.usefixtures("unmerged")
def test_a_command_loads_no_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A process that opens few readers searches every run; a server loads one filter with each further reader."""
    monkeypatch.setattr(possible_runs, "_READERS_BEFORE", 3)
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, tokens(100))
        build_filters(store)
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        loaded = []
        for _ in range(6):
            with store.reader(trust=None):
                loaded.append(len(store._possible_runs._loaded))
    assert [0, 0, 0, 1, 2, 3] == loaded


@pytest.mark.usefixtures("unmerged")
def test_the_smallest_filters_are_loaded_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The runs of the others are searched for every key."""
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, tokens(200))
        build_filters(store)
        everything = narrowed_runs(store)
        words = sorted(map(len, store._possible_runs._loaded.values()))
        monkeypatch.setattr(possible_runs, "_MOST_WORDS", sum(words) - 1)
        with store._write() as connection:  # whatever was written: the runs are read again
            connection.execute(run.update().values(facts=run.c.facts + 1))
        assert everything > narrowed_runs(store) > 0
        assert words[:-1] == sorted(map(len, store._possible_runs._loaded.values()))
        assert [] == overlooked_now(store)


def test_a_filter_that_is_damaged_is_not_used(tmp_path: Path):
    """The run of a filter that lacks a part is searched for every key."""
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, tokens(60))
        with store._write() as connection:
            connection.execute(filter_part.delete().where(filter_part.c.part == 0))
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        assert 0 == narrowed_runs(store)
        assert [] == overlooked_now(store)


@pytest.mark.usefixtures("unmerged")
def test_a_filter_that_misses_keys_hides_facts(tmp_path: Path):
    """What the other tests exclude: they would notice."""
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, tokens(60))
        build_filters(store)
        with store._write() as connection:
            connection.exec_driver_sql("UPDATE run_filter_part SET words = zeroblob(length(words))")
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        assert narrowed_runs(store)
        assert overlooked_now(store)


@pytest.mark.usefixtures("unmerged")
def test_the_filters_of_writers_are_used_if_they_are_in_memory(tmp_path: Path):
    """A process that writes and answers has each of them once."""
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, tokens(100))
        build_filters(store)
        write(store, tokens(1, 3), start=100)
        ours = {id(each) for each in store._projection.filters._loaded.values()}
        assert narrowed_runs(store)
        assert ours & {id(each) for each in store._possible_runs._loaded.values()}


def test_many_filters_answer_like_each_of_them():
    """Filters of several sizes, some with several places, for keys of each and for others."""
    rng = random.Random(5)
    filters = []
    for place in range(9):
        each = KeyFilter.for_keys(rng.choice([10, 300, 2_000]))
        each.add(keys := [rng.getrandbits(64) - (1 << 63) for _ in range(150)])
        filters.append((each, 1 << place | 1 << rng.randrange(200), keys))
    together = FiltersOfMany((each, places) for each, places, _ in filters)
    for key in [*(key for _, _, keys in filters for key in keys), *(rng.getrandbits(63) for _ in range(2_000))]:
        expected = 0
        for each, places, _ in filters:
            if each.possible([(key, bits_of(key))]):
                expected |= places
        assert expected == together.places(key)


WRITER = """
import sys
from ingest.codec import api as codec
from lineage.store.store import open_store
from tests.store.test_possible_runs import narrow
from tests.support.small_runs import tokens, write
narrow(setattr)
store = open_store(sys.argv[1], codec.read)
events = tokens(3_000)
start = max(store.positions().values(), default=0)
while True:
    write(store, events[start : start + 20], batch=20, start=start)
    start += 20
    print("written", flush=True)
"""


@pytest.mark.slow
def test_a_reader_beside_a_process_that_is_killed_overlooks_nothing(tmp_path: Path):
    """After SIGKILL at any moment, a process that goes on asking finds every key."""
    url = f"sqlite:///{tmp_path}/store.db"
    rng = random.Random(4)
    with a_store(url) as store:
        for _ in range(4):
            killed_after(rng.randrange(2, 7), WRITER, url, rng)
            assert [] == overlooked_now(store)
            assert [] == [*entry_differences(store)]
        assert narrowed_runs(store)
