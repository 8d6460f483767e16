"""The filters of the runs on SQLite: whatever writes, merges or interrupts them, no key of a run is overlooked."""

import random
import time
from collections.abc import Collection
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from ingest.codec import api as codec
from ingest.log.port import entry_of
from ingest.opening import open_log
from ingest.projector import project
from ingest.trust_file import Trust
from lineage.core.model.errors import UnavailableError
from lineage.core.model.events import Event, TokenIssued
from lineage.plumbing.key_filter import KeyFilter
from lineage.serve.commands import maintenance
from lineage.serve.queries.service import Service
from lineage.store import store as stores_of
from lineage.store.database import sorted_runs
from lineage.store.database.sorted_runs import (
    filter_on_sqlite,
    filter_part,
    run,
    sorted_about,
    sorted_ident,
    sorted_ref,
    sorted_upward,
)
from lineage.store.rebuild.diff import differences, twin
from lineage.store.rebuild.index_check import entry_differences
from lineage.store.store import Store, open_store
from lineage.store.writing import merge_pace, run_filters
from lineage.store.writing.filter_groups import FilterGroups
from lineage.store.writing.run_filters import RunFilters
from tests.support import stores
from tests.support.crashes import killed_after
from tests.support.small_runs import MANY, START, a_batch, a_store, lose_a_step, small, tokens, write


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch.setattr)


def overlooked(store: Store) -> list[tuple[str, int]]:
    """Return the runs in which writers, the store's own or new ones, would not look for some key in them; the table."""
    return [*_overlooked_by(store, RunFilters()), *_overlooked_by(store, store._projection.filters)]


def _overlooked_by(store: Store, filters: RunFilters) -> list[tuple[str, int]]:
    found = []
    with store._write() as connection:
        now = filters.runs(connection, MANY)
        for table, column, which in (
            (sorted_ident, sorted_ident.c.key, sa.true()),
            (sorted_about, sorted_about.c.key, sa.true()),
            (sorted_ref, sorted_ref.c.key, sorted_ref.c.until > 0),
            (sorted_upward, sorted_upward.c.about, sa.true()),
        ):
            for id_ in connection.scalars(sa.select(run.c.id)).all():
                keys = connection.scalars(sa.select(column).where(table.c.run == id_, which).distinct()).all()
                asked = {key for part in now.asked(keys) if id_ in part["runs"] for key in part["keys"]}
                found += [(table.name, id_)] * bool({*keys} - asked)
    return found


def filtered(store: Store) -> int:
    """Count the runs that have filters."""
    with store._write() as connection:
        return len({id_ for _, ids in RunFilters().runs(connection, MANY).filters for id_ in ids})


def unequal(store: Store, events: list[Event], folder: Path) -> list[str]:
    """Find where a store differs from one that has no filters."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_filters, "_FEW", MANY)
        alone = twin(store, folder / f"alone-{time.monotonic_ns()}.db")
        write(alone, events, batch=len(events))
        found = [*differences(store, alone)]
        alone.close()
    return found


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), fan=st.integers(2, 3), hot=st.integers(3, 20))
def test_no_key_is_overlooked(tmp_path_factory: pytest.TempPathFactory, seed: int, fan: int, hot: int):
    """
    Batches of any size, merges and filters in any order, steps that are lost and processes that end: writers look for
    each key in every run that has it, and the store is the same as one without filters.
    """
    rng = random.Random(seed)
    events = tokens(rng.randrange(40, 140), seed)
    folder = tmp_path_factory.mktemp("runs")
    url = f"sqlite:///{folder}/store.db"
    with pytest.MonkeyPatch.context() as patched:
        small(patched.setattr)
        patched.setattr(sorted_runs, "FAN", fan)
        patched.setattr(sorted_runs, "HOT", hot)
        steps = {"_merge_run": Store._merge_run, "_build_filter": Store._build_filter}
        store, done = open_store(url, codec.read, create=True), 0
        while done < len(events):
            for name, step in steps.items():
                patched.setattr(Store, name, rng.choice([step, step, lambda _: False]))
            store._merging.share = rng.choice([0.2, 1.5, 5, 20])
            size = rng.randrange(1, 20)
            store.write(a_batch(events[done : done + size], done))
            done = min(done + size, len(events))
            if rng.random() < 0.3:
                lose_a_step(store, build=rng.randrange(1, 80), merge=rng.choice([0, rng.randrange(1, 40)]))
            if rng.random() < 0.1:
                store.close()
                store = open_store(url, codec.read)
            assert [] == overlooked(store)
        assert [] == [*entry_differences(store)]
        assert [] == unequal(store, events, folder)
        store.close()


def test_a_batch_asks_a_complete_run_only_for_what_it_may_have(tmp_path: Path):
    """New keys are looked up in the newest run only, and those that a run has in that run, during merges as well."""
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, tokens(150))
        with store._write() as connection:
            now = RunFilters().runs(connection, MANY)
            ids = connection.scalars(sa.select(run.c.id).where(run.c.level > 0)).all()
        rng = random.Random(1)
        new = [rng.getrandbits(63) for _ in range(5_000)]
        asked = [part for part in now.asked(new) if part["runs"] != now.unfiltered]
    assert len(ids) > 2
    assert 2 >= len(now.unfiltered)  # the newest, and perhaps one that was completed by the last batch
    assert sum(len(part["keys"]) for part in asked) < 0.15 * len(new) * len(ids)


def test_a_filter_that_misses_keys_lets_identities_be_accepted_twice(tmp_path: Path):
    """What the other tests exclude: they would notice. ``fsck`` names the run."""
    events = tokens(60)
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, events)
        with store._write() as connection:
            connection.exec_driver_sql("UPDATE run_filter_part SET words = zeroblob(length(words))")
        assert next(iter(entry_differences(store))).startswith("index: the filter of run ")
        assert overlooked(store)
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        assert store.write(a_batch(events, 60)).duplicates < len(events)


def test_a_run_that_was_merged_has_the_filters_of_the_others_until_it_has_its_own(tmp_path: Path):
    """It is never without; what it had before is deleted then, part by part."""
    seen = set()
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        for number in range(40):
            write(store, tokens(4, number), start=4 * number)
            with store.connection() as connection:
                of = sa.select(filter_on_sqlite.c.of, sa.func.count()).group_by(filter_on_sqlite.c.of)
                seen |= {count for _, count in connection.execute(of)}
        for _ in range(60):
            store._filtering.owed = MANY
            store._build_filter()
        with store.connection() as connection:
            used = {*connection.scalars(sa.select(filter_on_sqlite.c.mark))}
            kept = {*connection.scalars(sa.select(filter_part.c.mark))}
            complete = connection.scalars(sa.select(run.c.id).where(run.c.level > 0, run.c.target.is_(None))).all()
        assert filtered(store) >= len(complete)
    assert seen >= {1, 2}
    assert used == kept


def test_the_filter_of_a_merged_run_takes_no_reading_of_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One process has built those of its runs, and united them; they are asked together until then."""
    read, together = set(), 0
    some_keys = run_filters._some_keys

    def noted(connection: Connection, source: sa.Select[int], run: int, first: int) -> list[int]:
        read.add(connection.execute(sa.select(sorted_runs.run.c.level).where(sorted_runs.run.c.id == run)).scalar())
        return some_keys(connection, source, run, first)

    monkeypatch.setattr(run_filters, "_some_keys", noted)
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        store._merging.share, store._filtering.share = 5, 50  # no merge begins without the filters of its runs
        for number in range(30):
            write(store, tokens(4, number), batch=4, start=4 * number)
            with store._write() as connection:
                together += len(store._projection.filters.runs(connection, MANY).groups)
                alone = connection.scalars(sa.select(run.c.mark).where(run.c.level == 2, run.c.target.is_(None))).all()
        assert [] == overlooked(store)
        with store.connection() as connection:
            of = connection.scalars(sa.select(filter_on_sqlite.c.of)).all()
    assert alone
    assert together
    assert {mark for mark in alone if mark} <= {*of}
    assert {1} == read - {3, 4, 5}  # larger ones are built of their keys


def test_a_step_that_unites_filters_reads_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Either takes as long as a step may take."""
    steps: list[set[str]] = []
    build_some, some_keys, unite = RunFilters.build_some, run_filters._some_keys, FilterGroups.unite

    def a_step(filters: RunFilters, connection: Connection, most: int) -> int:
        steps.append(set())
        return build_some(filters, connection, most)

    def reading(connection: Connection, source: sa.Select[int], run: int, first: int) -> list[int]:
        steps[-1].add("read")
        return some_keys(connection, source, run, first)

    def uniting(groups: FilterGroups, mark: int, built: KeyFilter, now: Collection[Collection[int]]) -> None:
        steps[-1].add("united")
        unite(groups, mark, built, now)

    monkeypatch.setattr(RunFilters, "build_some", a_step)
    monkeypatch.setattr(run_filters, "_some_keys", reading)
    monkeypatch.setattr(FilterGroups, "unite", uniting)
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, tokens(60))
    assert {"read"} in steps
    assert {"united"} in steps
    assert {"read", "united"} not in steps


def test_a_process_that_was_started_later_reads_the_keys_of_a_merged_run(tmp_path: Path):
    """It has built the filters of some of its runs only."""
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        for number in range(40):
            write(store, tokens(4, number), batch=4, start=4 * number)
            if number % 3 == 0:
                store._projection.filters = RunFilters()
            assert [] == overlooked(store)
        assert [] == [*entry_differences(store)]
        assert filtered(store) > 2


def test_a_merge_waits_for_the_filters_of_its_runs_but_not_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A process that builds none, because it writes too little, has one more run of a level."""
    monkeypatch.setattr(Store, "_build_filter", lambda _: False)
    merging = []
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        store._merging.share = 5
        rng = random.Random(2)
        for number in range(40):
            body = TokenIssued(token=f"t{number}", subject="human:alice", expires_at=START + rng.randrange(1, 50))
            store.write(a_batch([Event(event_id=f"e{number}", source="s", occurred_at=START, body=body)], number))
            with store.connection() as connection:
                complete = connection.scalars(sa.select(run.c.target).where(run.c.level == 1)).all()
                merging.append((len(complete), any(complete)))
    assert (sorted_runs.FAN, False) in merging
    assert max(count for count, _ in merging) == sorted_runs.FAN + 1


def test_filters_are_built_however_busy_the_machine_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without time for more than one step, what is owed for them does not grow either: look-ups would become slower."""
    monkeypatch.setattr(stores_of, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(merge_pace, "MOST_PUT_OFF", 20)
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        for number in range(12):
            write(store, tokens(10, number), batch=10, start=10 * number)
            assert store._filtering.owed <= 20
        assert filtered(store)


def test_few_records_load_no_filters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An order does not wait for megabytes of filters: it asks every run, and finds what is there."""
    url, events = f"sqlite:///{tmp_path}/store.db", tokens(60)
    with a_store(url) as store:
        write(store, events)
        assert filtered(store)
    monkeypatch.setattr(run_filters, "_FEW", 1_000)
    monkeypatch.setattr(Store, "_build_filter", lambda _: False)  # one that is built is kept
    with a_store(url) as store:
        assert 5 == store.write(a_batch(events[:5], 60)).duplicates
        assert {} == store._projection.filters._loaded


def test_filters_take_only_so_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The runs with the largest ones are always asked then."""
    url, events = f"sqlite:///{tmp_path}/store.db", tokens(60)
    with a_store(url) as store:
        write(store, events)
    monkeypatch.setattr(run_filters, "MOST_WORDS", 150)  # two of 64 words
    with a_store(url) as store:
        assert 7 == store.write(a_batch(events[:7], 60)).duplicates
        assert 0 < sum(len(each) for each in store._projection.filters._loaded.values()) <= 150
        assert [] == overlooked(store)


def test_an_incomplete_filter_is_not_used(tmp_path: Path):
    """A part that is lost makes the run be asked for everything, and ``fsck`` says so."""
    events = tokens(60)
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, events)
        with store._write() as connection:
            connection.execute(filter_part.delete().where(filter_part.c.part == 1))
        assert 0 == filtered(store)
        assert [] == overlooked(store)
        assert [*entry_differences(store)]


def test_a_store_of_the_version_before_gets_its_filters(tmp_path: Path):
    """Its runs are asked until they are built, also those that are being merged."""
    events = tokens(220)
    url = f"sqlite:///{tmp_path}/store.db"
    with a_store(url) as store:
        write(store, events[:100])
        stores.downgrade(store.engine, "0025")
    with a_store(url) as store:
        assert 0 == filtered(store)
        write(store, events[100:], start=100)
        assert filtered(store)
        assert [] == overlooked(store)
        assert [] == unequal(store, events, tmp_path)


def test_filters_of_a_replaced_store_are_not_used(tmp_path: Path):
    """A process that goes on writing after a rebuild finds what the rebuild put into other runs."""
    log = open_log(f"sqlite:///{tmp_path}/log.db", create=True, clock=lambda: START)
    log.append(entry_of(each) for each in tokens(120))
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        project(log, store, None)
        maintenance.rebuild(Service(store, log, Trust(), lambda: START, source="urn:test"), lambda _: None)
        assert [] == overlooked(store)
        log.append(entry_of(each) for each in tokens(120))
        project(log, store, None)
        assert [] == overlooked(store)
        alone = twin(store, tmp_path / "alone.db")
        project(log, alone, None)
        assert [] == [*differences(store, alone)]
        alone.close()
    log.close()


def test_a_run_that_cannot_be_filtered_now_is_filtered_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The batch is written all the same."""
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:

        def fail(*_: object) -> int:
            raise UnavailableError("the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(RunFilters, "build_some", fail)
            write(store, tokens(30))
        assert 0 == filtered(store)
        write(store, tokens(30, 2), start=30)
        assert filtered(store)


def test_parts_that_are_lost_with_their_transaction_are_stored_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A filter is only said to be stored when all of it is."""
    monkeypatch.setattr(Store, "_build_filter", lambda _: False)
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, tokens(30))
        filters = store._projection.filters
        while not any(building.stored for building in filters._building.values()):
            lose_a_step(store, build=4, merge=0)
        built = 1
        while built:
            with store._write() as connection:
                built = filters.build_some(connection, 4)
        assert filtered(store)
        assert [] == [*entry_differences(store)]


def test_parts_of_a_filter_that_another_process_has_stored_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """This one stops building it, and deletes what it has stored of it once it has nothing else to do."""
    monkeypatch.setattr(Store, "_build_filter", lambda _: False)
    with a_store(f"sqlite:///{tmp_path}/store.db") as store:
        write(store, tokens(30))
        ours, theirs = store._projection.filters, RunFilters()
        while ours.is_due:
            build(store, ours)
        write(store, tokens(30, 2), start=30)
        while not any(building.stored for building in ours._building.values()):
            build(store, ours)
        build(store, theirs)
        while theirs.due:
            build(store, theirs)
        build(store, ours)
        while ours.is_due:
            build(store, ours)
        with store.connection() as connection:
            used = {*connection.scalars(sa.select(filter_on_sqlite.c.mark))}
            assert used == {*connection.scalars(sa.select(filter_part.c.mark))}


def build(store: Store, filters: RunFilters) -> None:
    with store._write() as connection:
        filters.build_some(connection, 4)


WRITER = """
import random, sys
from ingest.codec import api as codec
from lineage.store.store import open_store
from tests.support.small_runs import small, tokens, write
small(setattr)
store = open_store(sys.argv[1], codec.read)
events = tokens(3_000)
start = max(store.positions().values(), default=0)
while True:
    write(store, events[start : start + 20], batch=20, start=start)
    start += 20
    print("written", flush=True)
"""


@pytest.mark.slow
def test_a_process_killed_while_it_builds_or_merges_overlooks_nothing(tmp_path: Path):
    """After SIGKILL at any moment no key of a run is overlooked, and the next process continues."""
    url = f"sqlite:///{tmp_path}/store.db"
    store = open_store(url, codec.read, create=True)
    rng = random.Random(3)
    for _ in range(4):
        killed_after(rng.randrange(2, 7), WRITER, url, rng)
        assert [] == overlooked(store)
        assert [] == [*entry_differences(store)]
    events = tokens(3_000)[: max(store.positions().values())]
    assert [] == unequal(store, events, tmp_path)
    assert filtered(store)
    store.close()


def test_parts_together_are_the_filter():
    """A filter that is stored in parts is the one that was built."""
    rng = random.Random(1)
    built = KeyFilter.for_keys(400)
    built.add(rng.getrandbits(64) - (1 << 63) for _ in range(400))
    parts = [built.dump(first, first + 48) for first in range(0, len(built), 48)]
    assert built.dump() == b"".join(parts)
