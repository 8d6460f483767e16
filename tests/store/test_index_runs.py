"""The sorted runs of the index on SQLite: whatever writes, merges or interrupts them, no entry is lost or repeated."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from lineage.core.model.references import RefRole
from lineage.store.database import sorted_runs
from lineage.store.database.sorted_runs import by_about, run
from lineage.store.database.tables import UPWARD, fact, ref
from lineage.store.store import Store, open_store
from tests.support import stores
from tests.support.index_entries import Fact, Ref, Up, add_entries, emptied, fact_row, stored
from tests.support.places import ROOT

FEW_KEYS = 6  # so that many entries share a key, and a step ends between two of them


class KilledError(Exception):
    """Ends a process within a transaction."""


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with stores.in_a_file() as url:
        opened = open_store(url, codec.read, create=True)
        yield opened
        opened.close()


def ways_up(refs: list[Ref]) -> list[Up]:
    """Return the expected way up for some rows of ``ref``."""
    return sorted({(about, key, role, n) for key, _, role, about, n in refs if role in UPWARD})


def found(store: Store, key: int) -> tuple[list[Ref], int | None]:
    """Return the entries of one key, by a look-up, and the highest bound of the facts about it."""
    with store.connection() as connection:
        rows = connection.execute(sa.select(*ref.c).where(ref.c.key == key))
        refs = sorted(tuple(row) for row in rows)
        highest = connection.execute(sa.select(sa.func.max(by_about.c.until)).where(by_about.c.key == key)).scalar()
    return refs, highest


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), hot=st.integers(1, 9), fan=st.integers(2, 4))
def test_merging_neither_loses_nor_repeats_an_entry(store: Store, seed: int, hot: int, fan: int):
    """
    Batches, merge steps of any size, and processes that end within a transaction come in any order: after each of them
    the views equal a list, and a look-up finds the entry.
    """
    rng = random.Random(seed)
    refs: list[Ref] = []
    facts: list[Fact] = []
    emptied(store)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sorted_runs, "HOT", hot)
        patched.setattr(sorted_runs, "FAN", fan)
        for _ in range(rng.randrange(3, 30)):
            dies = rng.random() < 0.25
            new: list[Fact] = []
            written: list[Ref] = []
            try:
                with store._write() as connection:
                    if rng.random() < 0.5:
                        for n in range(len(facts), len(facts) + rng.randrange(1, 8)):
                            key = rng.randrange(FEW_KEYS)
                            new.append((n, rng.getrandbits(63), key, rng.randrange(3)))
                            mentioned = rng.sample(range(FEW_KEYS), 2)
                            role = rng.choice([RefRole.DEPENDS, RefRole.NAMES])
                            written += [(other, rng.randrange(3), role, key, n) for other in mentioned]
                        add_entries(connection, [fact_row(one) for one in new], sorted(written))
                    else:
                        sorted_runs.merge_some(connection, rng.randrange(1, 40), turn=rng.randrange(5))
                    if dies:
                        raise KilledError  # noqa: TRY301 (it ends the transaction)
            except KilledError:
                continue
            facts += new
            refs += written
            assert stored(store) == (
                sorted(refs),
                sorted((about, until, n) for n, _, about, until in facts),
                sorted((ident, n) for n, ident, _, _ in facts),
                ways_up(refs),
            )
            key = rng.randrange(FEW_KEYS)
            bounds = [until for _, _, about, until in facts if about == key]
            assert found(store, key) == (sorted(row for row in refs if row[0] == key), max(bounds, default=None))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), fan=st.integers(2, 5))
def test_merging_ends_with_fewer_runs_than_it_merges(store: Store, seed: int, fan: int):
    """Once no merge is due, each level has fewer runs than are merged at once, and nothing waits."""
    rng = random.Random(seed)
    emptied(store)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sorted_runs, "HOT", 2)
        patched.setattr(sorted_runs, "FAN", fan)
        for n in range(rng.randrange(60)):
            with store._write() as connection:
                add_entries(connection, [fact_row((n, n, n % FEW_KEYS, 0))], [])
        left = True
        while left:
            with store._write() as connection:
                left = sorted_runs.merge_some(connection, 7, turn=rng.randrange(5)) is not None
        with store.connection() as connection:
            levels = Counter(connection.execute(sa.select(run.c.level)).scalars())
        state = store.runs()

    assert 1 == levels.pop(0)
    assert [] == [level for level, runs in levels.items() if runs >= fan]
    assert state is not None
    assert (sum(levels.values()) + 1, 0) == (state.runs, state.waiting)


def test_a_deleted_fact_leaves_no_entry(store: Store):
    """Whatever deletes facts and rows of ``ref``, their entries are deleted too, and no others."""
    emptied(store)
    rows = [fact_row((n, n + 100, n % 2, 0)) for n in range(4)]
    with store._write() as connection:
        connection.exec_driver_sql("DELETE FROM fact")
        sorted_runs.add(connection, fact, rows)
        refs = [(9, 0, role, n % 2, n) for role in (RefRole.DEPENDS, RefRole.USES) for n in range(4)]
        add_entries(connection, rows, refs)
        connection.execute(fact.delete().where(fact.c.n >= 2))
        connection.execute(ref.delete().where(ref.c.n >= 2))

    assert stored(store) == (
        [(9, 0, role, n, n) for role in (RefRole.DEPENDS, RefRole.USES) for n in range(2)],
        [(0, 0, 0), (1, 0, 1)],
        [(100, 0), (101, 1)],
        [(0, 9, RefRole.DEPENDS, 0), (1, 9, RefRole.DEPENDS, 1)],
    )


def test_a_migration_copies_the_way_up_run_by_run(store: Store):
    """Entries of a store of the previous version are found from below as before, also during merges."""
    emptied(store)
    rng = random.Random(4)
    with pytest.MonkeyPatch.context() as patched, store._write() as connection:
        patched.setattr(sorted_runs, "HOT", 5)
        patched.setattr(sorted_runs, "FAN", 2)
        for n in range(40):
            refs = [(rng.randrange(FEW_KEYS), 3, rng.choice(UPWARD), n % FEW_KEYS, n)]
            add_entries(connection, [fact_row((n, n, n % FEW_KEYS, 3))], refs)
            sorted_runs.add_raised(connection, [(key, 9, role, about, m) for key, _, role, about, m in refs])
        sorted_runs.merge_some(connection, 7)
    before = stored(store)
    runs = store.runs()

    stores.downgrade(store.engine, "0020")
    open_store(store.url, codec.read, create=True).close()

    assert runs is not None
    assert runs.waiting
    assert ways_up(before[0]) == before[3]
    *entries, ways = stored(store)
    assert list(before[:3]) == entries
    assert before[3] == sorted(set(ways))  # a bound that was raised is in another run than what it raised


WRITER = """
import random, sys
from ingest.codec import api as codec
from lineage.store.database.tables import fact
from lineage.store.store import open_store
from lineage.store.database import sorted_runs
from tests.support.index_entries import add_entries, fact_row
sorted_runs.HOT, sorted_runs.FAN = 40, 2
store = open_store(sys.argv[1], codec.read)
rng = random.Random(int(sys.argv[2]))
while True:
    with store._write() as connection:
        n = (connection.exec_driver_sql("SELECT max(n) FROM fact").scalar() or 0) + 1
        rows = [fact_row((n + i, rng.getrandbits(63), rng.randrange(50), i)) for i in range(20)]
        sorted_runs.add(connection, fact, rows)
        add_entries(connection, rows, sorted((rng.randrange(50), 0, 1, row[2], row[0]) for row in rows))
    for _ in range(3):
        with store._write() as connection:
            sorted_runs.merge_some(connection, 60)
    print("written", flush=True)
"""


@pytest.mark.slow
def test_a_process_killed_while_it_merges_loses_nothing(tmp_path: Path):
    """After SIGKILL at any moment each fact has its entries once, and the next process continues the merge."""
    url = f"sqlite:///{tmp_path}/store.db"
    store = open_store(url, codec.read, create=True)
    rng = random.Random(3)
    before = 0
    for seed in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, url, str(seed)], cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ}
        )
        assert writer.stdout is not None
        for _ in range(rng.randrange(4, 12)):
            assert b"written" in writer.stdout.readline()
        time.sleep(rng.uniform(0, 0.03))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        with store.connection() as connection:
            facts = connection.execute(sa.select(fact.c.n, fact.c.ident, fact.c.about, fact.c.until)).all()
        refs, abouts, idents, ways = stored(store)
        assert sorted((about, until, n) for n, _, about, until in facts) == abouts
        assert sorted((ident, n) for n, ident, _, _ in facts) == idents
        assert sorted(n for n, *_ in facts) == sorted(n for *_, n in refs)
        assert ways_up(refs) == ways
        assert len(facts) > before
        before = len(facts)
    with store.connection() as connection:
        assert max(connection.execute(sa.select(run.c.level)).scalars()) > 2
    store.close()
