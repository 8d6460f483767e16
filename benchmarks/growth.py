"""The cost of an event in a store of a given size: of ingesting it, and of the questions about it.

A store with very many facts takes hours to fill, so its index can be filled in advance, with random entries in runs as
the product leaves them (``benchmarks.filling``). Several stores are compared in turns: each takes a part of the same
events, and then each is asked the same questions.

    python -m benchmarks.growth sqlite:////tmp/store.db [--filled 6000000] [--events 100000]
    python -m benchmarks.growth --server /tmp/growth --filled 0 20000000 --events 1000000 --part 100000

The second command starts a PostgreSQL server on loopback, with its data in that folder, and creates one database for
each number of facts; some 13 GB and a quarter of an hour for 20,000,000. Run again, it takes only the events that a
store does not have yet, and asks again: the comparison can be repeated, or continued with more events.

On PostgreSQL the pages, the WAL and the processor time of the whole server are counted: nothing else should use it. The
processor time only of a server on this machine, whose files the user may read.
"""

import argparse
import math
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from benchmarks import events
from benchmarks.filling import fill
from benchmarks.measures import NOW, percentiles
from compose.native.postgres import Postgres
from ingest.codec import api as codec
from ingest.projector import read_records
from ingest.trust_file import Trust
from lineage.core.model.events import ActionPerformed, TokenIssued
from lineage.core.model.records import DECISIONS, Batch, Position, Record
from lineage.plumbing.gc_pause import gc_paused
from lineage.serve.queries.service import Service
from lineage.store.store import Store, open_store

BATCH: Final = 20_000
ASKED: Final = 200
_ROUNDS: Final = 3
# Of the server that is started: 256 MB hold the index of some 400,000 events.
_SERVER: Final = {"shared_buffers": "256MB", "max_wal_size": "1GB"}


class Usage(NamedTuple):
    """What was used so far, or between two readings.

    Attributes:
        client: Seconds of a core of this process.
        server: Those of all processes of a PostgreSQL server; NaN if they cannot be read.
        pages_read: Pages of tables and indexes that the server has read, here and below since it was started.
        pages_written: Those that it has written.
        wal_bytes: The WAL that it has written.
    """

    client: float
    server: float
    pages_read: int
    pages_written: int
    wal_bytes: int

    def since(self, before: "Usage") -> "Usage":
        """Return what was used after another reading."""
        return Usage(*(end - begin for begin, end in zip(before, self, strict=True)))  # type: ignore[arg-type]

    def and_also(self, other: "Usage") -> "Usage":
        """Return the sum of two differences."""
        return Usage(*(one + another for one, another in zip(self, other, strict=True)))  # type: ignore[arg-type]


_TRAFFIC: Final = """
SELECT sum(reads), sum(writes), pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') FROM pg_stat_io WHERE object = 'relation'
"""
NOTHING: Final = Usage(0.0, 0.0, 0, 0, 0)


def usage(store: Store) -> Usage:
    """Read what was used so far; on SQLite only by this process."""
    if store.engine.dialect.name != "postgresql":
        return NOTHING._replace(client=time.process_time())
    with store.engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")  # this session reports its pages now
        connection.commit()
        row = connection.exec_driver_sql(_TRAFFIC).one()
        folder = Path(connection.exec_driver_sql("SHOW data_directory").scalar_one())
    return Usage(time.process_time(), server_seconds(folder), *(int(figure) for figure in row))


def server_seconds(folder: Path) -> float:
    """Return the seconds of a core that a PostgreSQL server has used, with all its processes (Linux).

    Args:
        folder: The folder of its data; NaN if it is on another machine or not readable.
    """
    try:
        server = int((folder / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    except OSError:
        return math.nan
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            state = file.read_text(encoding="utf-8", errors="replace")
            # Fields 4 and 14 to 17 of proc_pid_stat(5): the parent; user and system time, own and of ended children.
            fields = state.rpartition(")")[2].split()
            if int(file.parent.name) == server:
                ticks += sum(map(int, fields[11:15]))
            elif int(fields[1]) == server:
                ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def described(used: Usage, count: int, unit: float, name: str) -> str:
    """Describe what each of ``count`` events or questions has used; ``name`` is that of the unit of time."""
    text = f"{used.client / count / unit:6.2f} {name} of a core"
    if not used.wal_bytes and not used.server:
        return text
    return (
        f"{text}, server {used.server / count / unit:6.2f}, {used.pages_read / count:.2f} pages read and "
        f"{used.pages_written / count:.2f} written, {used.wal_bytes / count:,.0f} bytes of WAL"
    )


def parts(count: int, part: int) -> Iterator[list[Record]]:
    """Yield the records of the same events of a day, in parts."""
    numbered = enumerate(events.a_day(count))
    while records := [
        Record(Position(DECISIONS, 0, offset).number, events.START + offset, codec.encode(event))
        for offset, event in islice(numbered, part)
    ]:
        yield records


def take(store: Store, records: list[Record], label: str) -> None:
    """Write those records of a part that are not in the store, in batches; print what an event cost."""
    offset = store.positions().get((DECISIONS, 0), 0)
    missing = [record for record in records if record.number >= offset]  # the number in the first partition
    before, clock, longest = usage(store), 0.0, 0.0
    for start in range(0, len(missing), BATCH):
        batch = missing[start : start + BATCH]
        with gc_paused():
            began = time.perf_counter()
            taken = Batch(advance={(DECISIONS, 0): (batch[0].number, batch[-1].number + 1)})
            read_records(batch, None, taken)
            store.write(taken)
            took = time.perf_counter() - began
        clock, longest = clock + took, max(longest, took)
    if missing:
        cost = described(usage(store).since(before), len(missing), 1e-6, "us")
        print(
            f"{label}{missing[-1].number + 1:>10,} events: {cost}; "
            f"{clock / len(missing) * 1e6:6.1f} us by the clock, the longest batch {longest:.2f} s, {store.runs()}",
            flush=True,
        )


def ask(stores: dict[str, Store], count: int) -> None:
    """Print how long questions about random tokens and actions take, asking the stores in turns."""
    tokens, actions = [], []
    for event in events.a_day(count):
        if isinstance(event.body, TokenIssued):
            tokens.append(event.body.token)
        elif isinstance(event.body, ActionPerformed):
            actions.append(event.body.action)
    rng = random.Random(1)
    for name, things in (("status", tokens), ("chain", tokens), ("who", actions)):
        rounds = [rng.choices(things, k=ASKED) for _ in range(_ROUNDS)]
        halves: dict[str, list[float]] = {label: [] for label in stores}
        used = dict.fromkeys(stores, NOTHING)
        for store in stores.values():
            percentiles(_question(store, name), rng.choices(things, k=ASKED // 3))
        for asked in rounds:
            for label, store in stores.items():
                before = usage(store)
                halves[label].append(percentiles(_question(store, name), asked)[0])
                used[label] = used[label].and_also(usage(store).since(before))
        for label in stores:
            print(
                f"{label}{name}: p50 {statistics.median(halves[label]):.2f} ms by the clock; "
                f"{described(used[label], ASKED * _ROUNDS, 1e-3, 'ms')}",
                flush=True,
            )


def _question(store: Store, name: str) -> Callable[[str], object]:
    service = Service(store, None, Trust(), lambda: NOW, source="urn:bench")
    if name == "who":
        return lambda action: service.who(action, at=NOW)
    answer = service.status if name == "status" else service.chain
    return lambda token: answer("token", token, at=NOW)


def databases(server: Postgres, sizes: list[int]) -> dict[str, str]:
    """Create the databases that are missing; return the URL of each by its name."""
    names = [f"filled_{size}" for size in sizes]
    engine = sa.create_engine(
        sa.make_url(server.url()).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        existing = set(connection.exec_driver_sql("SELECT datname FROM pg_database").scalars())
        for name in names:
            if name not in existing:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return {name: server.url(name) for name in names}


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", nargs="?")
    parser.add_argument("--server", type=Path, metavar="FOLDER")
    parser.add_argument("--filled", type=int, nargs="+", default=[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--part", type=int, default=100_000)
    given = parser.parse_args()
    if (given.store is None) == (given.server is None) or (given.server is None and len(given.filled) > 1):
        parser.error("name one store, or the folder of a server")
    with ExitStack() as stack:
        urls = {"": given.store}
        if given.server is not None:
            urls = databases(stack.enter_context(Postgres(given.server, parameters=_SERVER)), given.filled)
        width = max(map(len, urls))
        stores: dict[str, Store] = {}
        for (name, url), filled in zip(urls.items(), given.filled, strict=True):
            store = stack.enter_context(closing(open_store(url, codec.read, create=True)))
            stores[f"{name:<{width}} " if name else ""] = store
            if filled:
                fill(store, filled)
        for records in parts(given.events, given.part):
            for label, store in stores.items():
                take(store, records, label)
        ask(stores, given.events)


if __name__ == "__main__":
    main()
