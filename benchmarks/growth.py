"""The cost of an event in a store of a given size: of ingesting it, and of the questions about it.

A store with very many facts takes hours to fill, so on SQLite its index can be filled in advance, with random entries
in runs as merging leaves them. On PostgreSQL the pages and the WAL of the whole server are counted as well: no other
database of it should be in use.

    python -m benchmarks.growth sqlite:////tmp/store.db [--filled 6000000] [--events 100000]
"""

import argparse
import random
import sqlite3
import statistics
import time
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import sqlalchemy as sa

from benchmarks import events
from benchmarks.measures import NOW, percentiles
from ingest.codec import api as codec
from ingest.projector import read_records
from ingest.trust_file import Trust
from lineage.core.model.events import ActionPerformed, TokenIssued
from lineage.core.model.records import DECISIONS, Batch, Position, Record
from lineage.plumbing.gc_pause import gc_paused
from lineage.serve.queries.service import Service
from lineage.store.database.sorted_runs import FAN, HOT
from lineage.store.store import Store, open_store

BATCH = 20_000
ASKED = 300
_FIRST = 1 << 36  # the number of the first fact made up: an offset that the log does not reach
# The mentions of eleven events of ``benchmarks.events``: role, end, and how many events have it.
_MENTIONS = ((1, 420_000, 4), (2, 420_000, 11), (2, 420_000, 9), (3, 0, 6), (10, 0, 6))


def fill(file: str, facts: int) -> None:
    """Fill the index with random entries, in runs as merging leaves them; the facts have no values."""
    with sqlite3.connect(file, isolation_level=None) as database:
        for pragma in ("cache_size = -262144", "synchronous = OFF", "wal_autocheckpoint = 16384"):
            database.execute(f"PRAGMA {pragma}")
        size, level, start, run = HOT, 1, 0, 2
        while size * FAN <= facts:
            size, level = size * FAN, level + 1
        while level:
            if facts - start < size:
                size, level = size // FAN, level - 1
                continue
            database.execute("INSERT INTO run VALUES (?, ?, ?, NULL)", (run, level, size))
            _fill_run(database, run, _FIRST + start, _FIRST + start + size)
            start, run = start + size, run + 1


def _fill_run(database: sqlite3.Connection, run: int, first: int, beyond: int) -> None:
    span = f"n >= {first} AND n < {beyond}"
    mentions = " UNION ALL ".join(
        f"SELECT random(), {until}, {role}, about, n FROM fact WHERE {span} AND n % 11 < {count}"  # noqa: S608
        for role, until, count in _MENTIONS
    )
    numbers = f"WITH RECURSIVE made (n) AS (VALUES ({first}) UNION ALL SELECT n + 1 FROM made WHERE n + 1 < {beyond})"  # noqa: S608
    database.execute("BEGIN")
    for table, rows in (
        ("fact", "SELECT n, random(), random(), 0, 0, 1, iif(n % 11 < 5, 420000, 0), 7, NULL, x'' FROM made"),
        ("sorted_about", f"SELECT {run}, about, until, n FROM fact WHERE {span} ORDER BY about"),  # noqa: S608
        ("sorted_ident", f"SELECT {run}, ident, n FROM fact WHERE {span} ORDER BY ident"),  # noqa: S608
        ("sorted_ref", f"SELECT {run}, * FROM ({mentions}) ORDER BY 1"),  # noqa: S608
        (
            "sorted_upward",
            f"SELECT run, about, key, role, n FROM sorted_ref WHERE run = {run} AND role = 1 ORDER BY about, key",  # noqa: S608
        ),
    ):
        database.execute(f"{numbers} INSERT INTO {table} {rows}")
    database.execute("COMMIT")


class Traffic(NamedTuple):
    """What a PostgreSQL server has read and written since it was started; the pages only of tables and indexes."""

    pages_read: int
    pages_written: int
    wal_bytes: int


def traffic(store: Store) -> Traffic | None:
    """Return the traffic of the server of a store; None on SQLite.

    A session reports its pages at least a second after the last time, so the figures are some batches late.
    """
    if store.engine.dialect.name != "postgresql":
        return None
    query = """
        SELECT sum(reads), sum(writes), pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')
        FROM pg_stat_io WHERE object = 'relation'
    """
    with store.engine.connect() as connection:
        return Traffic(*(int(figure) for figure in connection.execute(sa.text(query)).one()))


def traffic_per_event(before: Traffic | None, after: Traffic | None, count: int) -> str:
    """Describe the traffic that each of ``count`` events caused between two readings; empty on SQLite."""
    if before is None or after is None:
        return ""
    read, written, wal = ((end - begin) / count for begin, end in zip(before, after, strict=True))
    return f", {read:.2f} pages read and {written:.2f} written, {wal:,.0f} bytes of WAL"


def take(store: Store, count: int, part: int) -> None:
    """Write events in batches, and print what an event of each part cost; making them does not count."""
    stream = events.a_day(count)
    offset, clock, core, longest = 0, 0.0, 0.0, 0.0
    before_part = traffic(store)
    while batch := list(islice(stream, min(BATCH, count - offset))):
        records = [
            Record(Position(DECISIONS, 0, offset + place).number, events.START + offset + place, codec.encode(event))
            for place, event in enumerate(batch)
        ]
        with gc_paused():
            began, core_began = time.perf_counter(), time.process_time()
            taken = Batch(advance={(DECISIONS, 0): (offset, offset + len(records))})
            read_records(records, None, taken)
            store.write(taken)
            took = time.perf_counter() - began
        clock, core, longest = clock + took, core + time.process_time() - core_began, max(longest, took)
        before, offset = offset, offset + len(records)
        if offset // part != before // part or offset == count:
            now, runs = traffic(store), store.runs()
            print(
                f"{offset:>10,} events: {core / part * 1e6:5.1f} us of a core each, {clock / part * 1e6:6.1f} by the "
                f"clock{traffic_per_event(before_part, now, part)}, the longest batch {longest:.2f} s"
                f"{f', {runs}' if runs else ''}",
                flush=True,
            )
            before_part = now
            clock = core = longest = 0.0


def ask(store: Store, count: int) -> None:
    """Print how long questions about random tokens and actions take."""
    service = Service(store, None, Trust(), lambda: NOW, source="urn:bench")
    tokens, actions = [], []
    for event in events.a_day(count):
        if isinstance(event.body, TokenIssued):
            tokens.append(event.body.token)
        elif isinstance(event.body, ActionPerformed):
            actions.append(event.body.action)
    rng = random.Random(1)
    questions: dict[str, tuple[Callable[[str], object], list[str]]] = {
        "status": (lambda key: service.status("token", key, at=NOW), tokens),
        "who": (lambda key: service.who(key, at=NOW), actions),
    }
    for name, (question, things) in questions.items():
        percentiles(question, rng.choices(things, k=ASKED // 3))
        rounds = [percentiles(question, rng.choices(things, k=ASKED)) for _ in range(3)]
        median = statistics.median(half for half, _ in rounds)
        print(f"{name}: p50 {median:.2f} ms, p99 {min(most for _, most in rounds):.2f} ms")


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--filled", type=int, default=0)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--part", type=int, default=0)
    given = parser.parse_args()
    store = open_store(given.store, codec.read, create=True)
    if given.filled and store.file is not None:
        fill(str(store.file), given.filled)
    take(store, given.events, given.part or given.events)
    ask(store, given.events)
    store.close()


if __name__ == "__main__":
    main()
