"""When the index is merged: in short steps, and yet so much that runs do not pile up, however busy the machine is."""

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from lineage.store import store as stores_of
from lineage.store.database import sorted_runs
from lineage.store.database.sqlite import never_sync
from lineage.store.store import Store, open_store
from lineage.store.writing import merge_pace
from lineage.store.writing.merge_pace import (
    LARGEST_STEP,
    MOST_PUT_OFF,
    PAUSE_SECONDS,
    SMALLEST_STEP,
    STEP_SECONDS,
    BatchSize,
    Pace,
)
from tests.support import stores
from tests.support.index_entries import Ref, add_entries, emptied, fact_row, stored

FACTS, FAN = 8, 2  # of a run, and runs that are merged


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with stores.in_a_file() as url:
        opened = open_store(url, codec.read, create=True)
        never_sync(opened.engine)
        opened.engine.dispose()
        yield opened
        opened.close()


def small(patched: pytest.MonkeyPatch, *, put_off: int) -> None:
    """Let small stores have several levels of runs, and a machine be so busy that there is only time for one step."""
    for module, name, value in (
        (sorted_runs, "HOT", FACTS),
        (sorted_runs, "FAN", FAN),
        (merge_pace, "SMALLEST_STEP", 6),
        (merge_pace, "LARGEST_STEP", 20),
        (merge_pace, "MOST_PUT_OFF", put_off),
        (stores_of, "PAUSE_SECONDS", 0),
    ):
        patched.setattr(module, name, value)


def another_process(store: Store) -> None:
    """Let a store forget what it owes, as a process that ends does."""
    store._merging = Pace(stores_of._MERGED_PER_ENTRY, owed=6)


def write(store: Store, first: int, count: int, mentions: int) -> list[Ref]:
    """Write entries as a batch of some facts has, and merge what is owed for them."""
    rows = [fact_row((n, n, n % 7, 0)) for n in range(first, first + count)]
    refs = sorted(
        (n * 31 % 101 + place, 0, 1, n % 7, n) for n in range(first, first + count) for place in range(mentions)
    )
    with store._write() as connection:
        add_entries(connection, rows, refs)
    store._projection.entries += len(rows) * 2 + len(refs) * 2
    store._maintain(count)
    return refs


def runs_by_level(store: Store) -> Counter[int]:
    with store.engine.connect() as connection:
        return Counter(connection.execute(sa.select(sorted_runs.run.c.level)).scalars())


def levels_of(facts: int) -> int:
    levels, size = 1, FACTS
    while size < facts:
        levels, size = levels + 1, size * FAN
    return levels


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_runs_do_not_pile_up_whatever_is_written(store: Store, seed: int):
    """
    Batches of any size, by processes that end now and then, while there is never time for more than one step: no level
    has more runs than two merges, and what may be put off.
    """
    rng = random.Random(seed)
    put_off = rng.choice([0, 60])
    sizes = rng.choice([(1, 2), (1, 20), (FACTS, FACTS + 1), (20, 60)])
    emptied(store)
    facts = 0
    with pytest.MonkeyPatch.context() as patched:
        small(patched, put_off=put_off)
        another_process(store)
        for _ in range(min(50, 400 // sizes[1])):
            size = rng.randrange(*sizes)
            write(store, facts, size, rng.randrange(4))
            facts += size
            if rng.random() < 0.1:
                another_process(store)
            waiting = put_off // 2 // FACTS  # runs for whose facts nothing was done yet
            of_level = runs_by_level(store)
            assert max(of_level) <= levels_of(facts)
            assert all(runs <= 2 * FAN + 2 + waiting for runs in of_level.values())


def test_on_an_idle_machine_nothing_is_put_off(store: Store):
    """All that is owed for a batch is done after it, in steps."""
    emptied(store)
    with pytest.MonkeyPatch.context() as patched:
        small(patched, put_off=10**9)
        patched.setattr(stores_of, "PAUSE_SECONDS", 10**9)
        another_process(store)
        for number in range(30):
            write(store, number * FACTS, FACTS, 1)
            assert store._merging.step() == 0
        assert store.runs().runs <= 1 + levels_of(30 * FACTS) * (2 * FAN + 1)


def test_without_time_only_so_much_is_put_off(store: Store):
    """Up to a bound a batch waits for one step; beyond it, for as many as are owed."""
    emptied(store)
    with pytest.MonkeyPatch.context() as patched:
        small(patched, put_off=100)
        another_process(store)
        owed = []
        for number in range(20):
            write(store, number * FACTS, FACTS, 4)
            owed.append(store._merging.owed)
        assert max(owed) > 50
        assert max(owed) <= 100


@pytest.mark.slow
def test_a_process_killed_at_any_statement_of_a_step_loses_nothing(tmp_path: Path):
    """After SIGKILL at each statement in turn, every entry is there once, and the next process goes on merging."""
    url = f"sqlite:///{tmp_path}/store.db"
    open_store(url, codec.read, create=True).close()
    expected: list[Ref] = []
    merging = 0
    with pytest.MonkeyPatch.context() as patched:
        small(patched, put_off=0)
        for number in range(4, 44):
            first = number * 10
            assert killed_at_statement(url, number, first)
            opened = open_store(url, codec.read)
            refs = stored(opened)[0]
            if set(refs_of(first)) <= set(refs):
                expected += refs_of(first)
            assert sorted(expected) == refs
            merging += opened.runs().waiting > 0
            opened.close()
        assert merging > 10
        opened = open_store(url, codec.read)
        left = True
        while left:
            with opened._write() as connection:
                left = sorted_runs.merge_some(connection, 20) is not None
        assert sorted(expected) == stored(opened)[0]
        assert opened.runs() == (opened.runs().runs, 0, False)
        assert opened.runs().runs <= 1 + levels_of(len(expected))
        opened.close()


def refs_of(first: int) -> list[Ref]:
    return sorted((n * 31 % 101 + place, 0, 1, n % 7, n) for n in range(first, first + 10) for place in range(2))


def killed_at_statement(url: str, number: int, first: int) -> bool:
    """Write a batch in another process, which is killed at a statement with this number, or at its end."""
    if not (child := os.fork()):
        left = number

        def count(*_: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        opened = open_store(url, codec.read)
        another_process(opened)
        sa.event.listen(opened.engine, "before_cursor_execute", count)
        sa.event.listen(opened.engine, "commit", count)
        write(opened, first, 10, 2)
        os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@given(seconds=st.floats(1e-8, 1e-2), owed=st.integers(0, 10**9))
def test_a_step_takes_about_as_long_as_it_may(seconds: float, owed: int):
    """As measured, unless it would be so small that most of it would be its commit."""
    pace = Pace(1.5, owed, seconds)
    step = pace.step()
    assert step <= LARGEST_STEP
    assert step <= owed * 1.5
    assert step <= SMALLEST_STEP or step * seconds <= STEP_SECONDS
    assert step or owed * 1.5 < SMALLEST_STEP


def test_steps_become_shorter_when_the_machine_is_busy():
    """And longer again, when it is not."""
    pace = Pace(1.0, owed=10**9)
    sizes = []
    for seconds in [1e-6] * 20 + [8e-6] * 20 + [1e-6] * 20:
        step = pace.step()
        pace.did(step, step * seconds)
        sizes.append(step)
    assert sizes[19] > 40_000
    assert sizes[39] == SMALLEST_STEP
    assert sizes[59] > 40_000


def test_each_of_several_merges_gets_its_share():
    """With two under way twice as much is moved for what was written."""
    one, two = Pace(1.5, owed=100_000), Pace(1.5, owed=100_000)
    one.did(30_000, 0.05)
    two.did(60_000, 0.05, places=2)
    assert one.owed == two.owed == 80_000
    two.nothing_to_do()
    assert (one.is_behind, two.step()) == (False, 0)
    one.wrote(MOST_PUT_OFF)
    assert one.is_behind


def test_batches_become_smaller_only_when_merges_are_behind():
    """So that what is owed for one of them takes no longer than a pause."""
    size = BatchSize()
    for _ in range(40):
        size.paused(20_000, 0.8)
    assert 20_000 == size.affordable(20_000, is_behind=False)
    assert 5_000 == pytest.approx(size.affordable(20_000, is_behind=True), rel=0.01)
    for _ in range(60):
        size.paused(5_000, PAUSE_SECONDS / 5)
    assert 20_000 == size.affordable(20_000, is_behind=True)
    size.paused(10, 10.0)  # a batch for a worker process has at least this many
    assert 5_000 == size.affordable(20_000, is_behind=True)
    assert 9 == size.affordable(9, is_behind=True)
