"""Measurements with a real Kafka and PostgreSQL: ingestion compared with the bare client and a naive consumer.

``python -m benchmarks.kafka`` starts both on loopback, in a temporary folder; ``--full`` uses a million events. Every
consumer runs in its own process, so that none inherits another's heap; all read the same topics, and ratios are within
the run.
"""

import argparse
import io
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fastavro
import networkx as nx
import sqlalchemy as sa
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import schemas
from benchmarks import events
from benchmarks.__main__ import show
from benchmarks.measures import Figure, write_figures
from compose.native.kafka import Kafka
from compose.native.postgres import Postgres
from ingest.codec import api as codec
from ingest.kafka.consumer import Consumer
from ingest.kafka.log import READING, KafkaLog
from ingest.log.port import entry_of
from ingest.producer.api import Producer
from ingest.projector import project
from lineage.core.model.records import DECISIONS, TOPICS, Outcomes, ProjectedBatch
from lineage.serve.config.wiring import now
from lineage.serve.processes.live_graph import LiveGraph
from lineage.serve.processes.row_worker import RowProcess
from lineage.store.store import open_store

QUICK, FULL = 50_000, 1_000_000
NAIVE = 20_000  # it would take an hour for a million
PARTITIONS = 4
RATES = (1_000, 10_000)  # events per second, for the latency
LATENCY_SECONDS = 10


# Each of these runs in its own process: its arguments are strings, its result is JSON on standard output.


def bare(url: str) -> dict[str, float]:
    """Poll and decode with fastavro, and store nothing: the upper bound for a consumer in Python."""
    log = KafkaLog(url)
    schema = fastavro.parse_schema(schemas.latest().definition)
    consumer = KafkaConsumer(**log.client(**READING))
    place = [TopicPartition(log.topic_name(topic), number) for topic, number in log.ends()]
    consumer.assign(place)
    for each in place:
        consumer.seek(each, 0)
    left = sum(log.ends().values())
    count, began = 0, time.perf_counter()
    while left:
        for records in consumer.poll(timeout_ms=200, max_records=20_000).values():
            for record in records:
                fastavro.schemaless_reader(io.BytesIO(record.value[10:]), schema, None)
            left -= len(records)
            count += len(records)
    return {"records": count, "seconds": time.perf_counter() - began}


class _Base(DeclarativeBase):
    """The tables of the naive consumer."""


class _Event(_Base):
    __tablename__ = "event"
    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    subject: Mapped[str] = mapped_column(index=True)
    document: Mapped[str]


class _Edge(_Base):
    __tablename__ = "edge"
    parent: Mapped[str] = mapped_column(primary_key=True)
    child: Mapped[str] = mapped_column(primary_key=True)


def naive(url: str, store: str) -> dict[str, float]:
    """Run a naive first implementation: text ids, the ORM, networkx with attributes, a commit for every poll."""
    log = KafkaLog(url)
    schema = fastavro.parse_schema(schemas.latest().definition)
    engine = sa.create_engine(store)
    _Base.metadata.create_all(engine)
    graph = nx.DiGraph()
    consumer = KafkaConsumer(**log.client(**READING))
    place = TopicPartition(log.topic_name(DECISIONS), 0)
    consumer.assign([place])
    consumer.seek(place, 0)
    count, began = 0, time.perf_counter()
    while count < min(NAIVE, log.ends()[DECISIONS, 0]):
        with Session(engine) as session:
            for record in consumer.poll(timeout_ms=200, max_records=500).get(place, ()):
                event: Any = fastavro.schemaless_reader(io.BytesIO(record.value[10:]), schema, None)
                body = event["body"]
                own = next((str(body[name]) for name in ("token", "delegation", "action") if body.get(name)), "?")
                session.add(_Event(id=event["event_id"], type="", subject=own, document=json.dumps(body, default=str)))
                graph.add_node(own, **body)
                for parent in body.get("derived_from") or ():
                    graph.add_edge(parent["token"], own)
                    session.add(_Edge(parent=parent["token"], child=own))
                count += 1
            session.commit()
    return {"records": count, "seconds": time.perf_counter() - began}


class Clocked:
    """An observer that maintains the live graph, and records the times of the first and the last batch."""

    def __init__(self, live: LiveGraph | None) -> None:
        self.live = live
        if live is not None:
            live.follow()
        self.began = 0.0
        self.ended = 0.0
        self.records = 0

    def committed(
        self, batch: ProjectedBatch, outcomes: Outcomes, batch_seconds: float, transaction_seconds: float
    ) -> None:
        """Note the time, and update the live graph."""
        if self.live is not None:
            self.live.projected(batch)
        self.records += sum(outcomes)
        self.ended = time.perf_counter()

    def turned(self) -> None:
        """Do nothing."""

    def lag(self, by_partition: Mapping[tuple[str, int], int]) -> None:
        """Do nothing."""

    def assigned(self, _partitions: object) -> None:
        """Note the time of the first assignment."""
        self.began = self.began or time.perf_counter()

    def fault(self, kind: str, wait: float) -> None:
        """Print what is unavailable."""
        sys.stderr.write(f"{kind} is unavailable\n")


def ours(url: str, store: str, live: str, workers: str = "0") -> dict[str, float]:
    """Run our consumer until the store has everything, alone or with its worker process."""
    log, kept = KafkaLog(url), open_store(store, codec.read)
    ends = {place: end for place, end in log.ends().items() if end}
    clocked = Clocked(LiveGraph(kept, None, now) if live == "live" else None)
    stopped = threading.Event()
    worker = RowProcess(kept, traced=False, failed=lambda: None) if workers == "1" else None
    group = f"bench-{store[-12:]}"
    consumer = Consumer(KafkaLog(url), kept, None, group=group, observer=clocked, worker=worker)
    running = threading.Thread(target=consumer.run, args=(stopped,))
    running.start()
    while running.is_alive() and kept.positions() != ends:
        time.sleep(0.05)
    stopped.set()
    running.join()
    if worker is not None:
        worker.close()
    return {"records": clocked.records, "seconds": clocked.ended - clocked.began, "until": time.time()}


def rebuilt(url: str, store: str) -> dict[str, float]:
    """Project the log with assigned partitions instead of a group, as ``rebuild`` does."""
    log, kept = KafkaLog(url), open_store(store, codec.read, create=True)
    began = time.perf_counter()
    count = project(log, kept, None)
    return {"records": count, "seconds": time.perf_counter() - began}


def produced(url: str, count: str, spool: str) -> dict[str, float]:
    """Run the producer SDK from the first emit until the broker has everything."""
    made = list(events.a_day(int(count), seed=2))
    with Producer(url=url, source=events.SOURCE, spool=spool) as producer:
        began = time.perf_counter()
        for event in made:
            producer.emit(event)
        emitted = time.perf_counter() - began
        producer.flush(600)
        return {"records": len(made), "seconds": time.perf_counter() - began, "emitting": emitted}


def bare_produced(url: str, count: str) -> dict[str, float]:
    """Run the idempotent producer of the client library alone, with encoded events."""
    log = KafkaLog(url)
    made = [entry_of(event) for event in events.a_day(int(count), seed=3)]
    producer = KafkaProducer(**log.client(acks="all", linger_ms=5))
    began = time.perf_counter()
    for entry in made:
        producer.send(log.topic_name(entry.topic), value=entry.value, key=entry.key)
    producer.flush()
    return {"records": len(made), "seconds": time.perf_counter() - began}


def paced(url: str, rate: str, spool: str) -> dict[str, float]:
    """Emit at a fixed rate; each event has the time of its emission."""
    made = events.a_day(int(rate) * LATENCY_SECONDS, seed=int(rate))
    with Producer(url=url, source="urn:bench:latency", spool=spool) as producer:
        began = time.perf_counter()
        for number, event in enumerate(made):
            behind = began + number / int(rate) - time.perf_counter()
            if behind > 0.001:
                time.sleep(behind)
            producer.emit(event._replace(occurred_at=now(), source="urn:bench:latency", sequence=None))
        took = time.perf_counter() - began
        producer.flush(60)
    return {"records": int(rate) * LATENCY_SECONDS, "seconds": took}


PROCESSES: Mapping[str, Callable[..., dict[str, float]]] = {
    each.__name__: each for each in (bare, naive, ours, rebuilt, produced, bare_produced, paced)
}


def start(name: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start one of ``PROCESSES``."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.kafka", "--run", name, *arguments], stdout=subprocess.PIPE
    )


def result(process: "subprocess.Popen[bytes]") -> dict[str, float]:
    """Wait for a process, and return its result."""
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args!r} failed")
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def run(name: str, *arguments: str) -> dict[str, float]:
    """Run one of ``PROCESSES``, and return its result."""
    return result(start(name, *arguments))


def rate(found: Mapping[str, float]) -> float:
    """Events per second."""
    return found["records"] / found["seconds"]


def cpu(found: Mapping[str, float]) -> float:
    """CPU microseconds for each event, including the start of the process."""
    return found["cpu"] / found["records"] * 1e6


def fill(url: str, count: int) -> None:
    """Create the topics and write a day of events to them."""
    log = KafkaLog(url)
    log.create(partitions=PARTITIONS, replication=1)
    producer = KafkaProducer(**log.client(acks="all", linger_ms=20))
    for event in events.a_day(count):
        topic, value, key = entry_of(event)
        producer.send(log.topic_name(topic), value=value, key=key)
    producer.flush()
    producer.close()
    log.close()


class Databases:
    """Creates new stores."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self._folder, self._postgres, self._count = folder, postgres, 0

    def sqlite(self) -> str:
        """Create a SQLite store, and return its URL."""
        self._count += 1
        return self._made(f"sqlite:///{self._folder}/store-{self._count}.db")

    def postgresql(self) -> str:
        """Create a PostgreSQL store, and return its URL."""
        self._count += 1
        name = f"bench{self._count}"
        server = sa.create_engine(self._postgres.url(), isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        server.dispose()
        return self._made(self._postgres.url(name))

    @staticmethod
    def _made(url: str) -> str:
        open_store(url, codec.read, create=True).close()
        return url


def intake(url: str, stores: Databases, folder: Path) -> Iterator[Figure]:
    """Consumers, compared with bare polling and decoding."""
    ceiling = run("bare", url)
    yield Figure(name="bare poll + fastavro", value=rate(ceiling), unit="events/s")
    yield Figure(name="bare poll + fastavro, of a core", value=cpu(ceiling), unit="us/event")
    slow = run("naive", url, f"sqlite:///{folder}/naive.db")
    yield from _against(f"naive networkx + ORM, SQLite ({NAIVE:,})", slow, ceiling)
    for live in ("live", "-"):
        words = "with the live graph" if live == "live" else "no live graph"
        yield from _against(f"ours to SQLite, {words}", run("ours", url, stores.sqlite(), live), ceiling, goal=0.8)
        found = run("ours", url, stores.postgresql(), live)
        yield from _against(f"ours to PostgreSQL, {words}", found, ceiling, goal=0.8)
        if live == "live":
            times = rate(found) / rate(slow)
            yield Figure(name="ours to PostgreSQL", value=rate(found), unit="events/s", against="naive", ratio=times,
                         goal=">= 6", met=times >= 6)  # fmt: skip
    for kind, store in (("SQLite", stores.sqlite()), ("PostgreSQL", stores.postgresql())):
        helped = run("ours", url, store, "-", "1")
        yield from _against(f"ours to {kind}, with a worker", helped, ceiling, goal=0.8)
        yield Figure(name=f"the worker for {kind}, of a core", value=helped["worker_cpu"] / helped["records"] * 1e6,
                     unit="us/event")  # fmt: skip
    shared = stores.postgresql()
    began = time.time()
    both = [result(process) for process in [start("ours", url, shared, "-") for _ in range(2)]]
    together = sum(each["records"] for each in both) / max(each["seconds"] for each in both)
    times = together / rate(found)
    yield Figure(name="two consumers to PostgreSQL", value=together, unit="events/s", against="one", ratio=times,
                 goal=">= 1.7", met=times >= 1.7)  # fmt: skip
    sys.stderr.write(f"(two consumers took {time.time() - began:.0f} s, including their start)\n")
    again = run("rebuilt", url, f"sqlite:///{folder}/rebuilt.db")
    yield Figure(name="rebuild", value=rate(again), unit="events/s", against="bare", ratio=rate(again) / rate(ceiling),
                 goal=">= 100,000/s", met=rate(again) >= 100_000)  # fmt: skip


def _against(name: str, found: Mapping[str, float], ceiling: Mapping[str, float], goal: float = 0) -> Iterator[Figure]:
    """Figures by wall-clock time and by CPU time; on a machine with other load, rely on CPU time.

    CPU time does not include PostgreSQL, which runs in other processes.
    """
    ratio = rate(found) / rate(ceiling)
    text = f">= {goal}" if goal else ""
    yield Figure(name=name, value=rate(found), unit="events/s", against="bare", ratio=ratio, goal=text,
                 met=ratio >= goal if goal else None)  # fmt: skip
    ratio = cpu(ceiling) / cpu(found)
    yield Figure(name=f"{name}, of a core", value=cpu(found), unit="us/event", against="bare", ratio=ratio)


def producing(servers: str, count: int, folder: Path) -> Iterator[Figure]:
    """The producer SDK, compared with the bare producer."""
    for each in ("sdk", "raw"):
        KafkaLog(f"kafka://{servers}/{each}").create(partitions=PARTITIONS, replication=1)
    raw = run("bare_produced", f"kafka://{servers}/raw", str(count))
    yield Figure(name="bare idempotent producer", value=rate(raw), unit="events/s")
    sdk = run("produced", f"kafka://{servers}/sdk", str(count), f"{folder}/spool.db")
    yield from _against("producer SDK, until acknowledged", sdk, raw)
    ratio = sdk["records"] / sdk["emitting"] / rate(raw)
    yield Figure(name="producer SDK, emit returned (on disk)", value=sdk["records"] / sdk["emitting"], unit="events/s",
                 against="bare", ratio=ratio)  # fmt: skip


def latency(servers: str, stores: Databases, folder: Path) -> Iterator[Figure]:
    """The latency from ``emit`` until queries see the event, which is when its batch is committed."""
    for each in RATES:
        for kind, store in (("SQLite", stores.sqlite()), ("PostgreSQL", stores.postgresql())):
            url = f"kafka://{servers}/paced-{kind}-{each}"  # one log for both would hold every identity twice
            KafkaLog(url).create(partitions=PARTITIONS, replication=1)
            waits = _waits(url, store, each, folder / f"spool-{kind}-{each}.db")
            p50, p99 = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
            yield Figure(name=f"emit to answerable, {each:,}/s, {kind}, p50", value=p50 * 1e3, unit="ms")
            yield Figure(name=f"emit to answerable, {each:,}/s, {kind}, p99", value=p99 * 1e3, unit="ms",
                         goal="<= 500 ms", met=p99 <= 0.5)  # fmt: skip


def _waits(url: str, store: str, each: int, spool: Path) -> list[float]:
    kept, joined, stopped = open_store(store, codec.read), threading.Event(), threading.Event()
    waits: list[float] = []

    class Waiting(Clocked):
        def assigned(self, partitions: object) -> None:
            joined.set()

        def committed(
            self, batch: ProjectedBatch, outcomes: Outcomes, batch_seconds: float, transaction_seconds: float
        ) -> None:
            at = now()
            waits.extend((at - fact.event.occurred_at) / 1e6 for fact in batch.facts())

    consumer = Consumer(KafkaLog(url), kept, None, group=f"paced-{store[-12:]}", observer=Waiting(None))
    running = threading.Thread(target=consumer.run, args=(stopped,))
    running.start()
    joined.wait(60)
    run("paced", url, str(each), str(spool))
    deadline = time.monotonic() + 60
    while len(waits) < each * LATENCY_SECONDS and time.monotonic() < deadline:
        time.sleep(0.1)
    stopped.set()
    running.join()
    kept.close()
    return waits


def run_as_process(processes: Mapping[str, Callable[..., dict[str, Any]]], name: str, *arguments: str) -> None:
    """Run one function in this process, and print its result with the processor time that it took, as JSON."""
    before = time.process_time()
    found = processes[name](*arguments)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = {"cpu": time.process_time() - before, "worker_cpu": children.ru_utime + children.ru_stime}
    print(json.dumps({**found, **took}))


def main() -> None:
    """Run the measurements, print each figure as it is ready, and write them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kafka", description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} events instead of {QUICK:,}")
    parser.add_argument("--events", type=int, help="the number of events")
    parser.add_argument("--only", choices=["intake", "producing", "latency"], help="one group")
    parser.add_argument(
        "--json", type=Path, default=Path("build/benchmarks-kafka.json"), help="output file for the figures"
    )
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run_as_process(PROCESSES, *options.run)
        return
    count = options.events or (FULL if options.full else QUICK)
    print(f"{platform.machine()}, Python {platform.python_version()}, {count:,} events, topics {', '.join(TOPICS)}")
    figures: list[Figure] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Kafka(folder / "kafka"))
        stores = Databases(folder, stack.enter_context(Postgres(folder / "postgres")))
        url = f"kafka://{broker.servers}/bench"
        groups: dict[str, Callable[[], Iterator[Figure]]] = {
            "intake": lambda: intake(url, stores, folder),
            "producing": lambda: producing(broker.servers, count // 5, folder),
            "latency": lambda: latency(broker.servers, stores, folder),
        }
        for name, group in groups.items():
            if options.only in (None, name):
                if name == "intake":
                    fill(url, count)
                for figure in group():
                    figures.append(figure)
                    show(figure)
    write_figures(figures, options.json)


if __name__ == "__main__":
    main()
