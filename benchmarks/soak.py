"""The soak test: hundreds of kills with a real Kafka and a real database, and then a check of the result.

``python -m benchmarks.soak --kills 300`` runs a producer and three consumers, and kills, stops and freezes consumers,
the broker and the database at random times. At the end the facts must be exactly those that the log acknowledged, each
once; every record must be accounted for; and the store must equal an uninterrupted projection of the same log. Prints a
table, and exits with 1 if anything is wrong.

``--hostile 100000`` instead sends that many hostile records among a fifth as many good ones, as the test does.
"""

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

from compose.native.kafka import Kafka
from compose.native.postgres import Postgres
from ingest.kafka.log import KafkaLog
from lineage.core.model.errors import UnavailableError
from tests.support.kafka_worlds import (
    ROOT,
    account,
    entries_of,
    facts_in,
    history,
    identity_of,
    made_log,
    opened,
    producing,
    started,
    unequal,
    wait_until,
)

CONSUMERS = 3
PARTITIONS = 4
EVENTS_PER_SECOND = 250
PART = 2_000  # events created at a time
AGAIN = 0.05  # fraction of the events that are sent twice
PATIENCE_SECONDS = 90.0  # the longest recovery after a kill
# A dead member is noticed in two seconds instead of ten, and batches are small, so that more happens in less time.
PROPERTIES = {"group.min.session.timeout.ms": "1000"}
LIVELY = """
import sys
import ingest.kafka.consumer, lineage.store.database.sqlite
from lineage.serve.cli.main import main
ingest.kafka.consumer._SESSION_MS, ingest.kafka.consumer._HEARTBEAT_MS, ingest.kafka.consumer.BATCH = 2_000, 500, 200
ingest.kafka.consumer._LONGEST_WAIT_SECONDS = 2.0
lineage.store.database.sqlite._BUSY_SECONDS = 2
main(["consume", "--json", *sys.argv[1:]])
"""


@dataclass
class Books:
    """The record of a run.

    Attributes:
        kills: The number of kills of each kind.
        recoveries: The seconds until the projection continued, for kills after which it was awaited.
        faults: Violations, as sentences.
        sent: The number of records sent, including repetitions.
        acknowledged: The contents that the log acknowledged.
    """

    kills: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    sent: int = 0
    acknowledged: set[str] = field(default_factory=set)


class Producing(threading.Thread):
    """A producer that sends continuously, and records what was acknowledged."""

    def __init__(self, log: KafkaLog, books: Books, rng: random.Random) -> None:
        super().__init__(name="producer", daemon=True)
        self._log = log
        self._books = books
        self._rng = rng
        self._enough = threading.Event()

    def run(self) -> None:
        """Send until stopped."""
        try:
            with producing(
                self._log.servers, delivery_timeout_ms=300_000, max_block_ms=300_000, retry_backoff_ms=100
            ) as producer:
                self._send(producer)
        except Exception as fault:  # noqa: BLE001 (an error of the producer is part of the result)
            self._books.faults.append(f"the producer gave up: {fault!r}")

    def _send(self, producer: KafkaProducer) -> None:
        part, waiting = 0, []
        while not self._enough.is_set():
            part += 1
            made = [{**event, "event_id": f"{part} {event['event_id']}"} for event in history(PART, seed=part)]
            for entry, event in zip(entries_of(made), made, strict=True):
                if self._enough.wait(1 / EVENTS_PER_SECOND):
                    break
                content = identity_of(event)
                for _ in range(2 if self._rng.random() < AGAIN else 1):
                    sent = producer.send(
                        self._log.topic_name(entry.topic), entry.value, partition=self._rng.randrange(PARTITIONS)
                    )
                    waiting.append((sent, content))
                    self._books.sent += 1
        for sent, content in waiting:
            sent.get(timeout=300)
            self._books.acknowledged.add(content)

    def stop(self) -> None:
        """Stop sending, and wait for the acknowledgements."""
        self._enough.set()
        self.join()


class Consumer:
    """A consumer that is restarted whenever it has ended."""

    def __init__(self, number: int, store: str, log: str, books: Books, folder: Path) -> None:
        self._words = ("--store", store, "--log", log, "--group", "soak")
        self._books = books
        self._log_file = folder / f"consumer{number}.log"
        self.run = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        run = started(*self._words, code=LIVELY)
        threading.Thread(target=self._listen, args=(run,), daemon=True).start()
        return run

    def _listen(self, run: subprocess.Popen[bytes]) -> None:
        _, output = run.communicate()
        with self._log_file.open("ab") as file:
            file.write(output)

    def again(self) -> None:
        """Restart the consumer if it has ended: killed by us, or because a server was down when it started."""
        code = self.run.poll()
        if code is None:
            return
        if code not in (0, 5, -signal.SIGKILL, -signal.SIGTERM):  # SIGTERM before its handler was installed
            self._books.faults.append(f"a consumer ended by itself with {code}; see {self._log_file}")
        self.run = self._started()

    def end(self, number: signal.Signals) -> None:
        """Send a signal that ends the consumer, and wait for the end."""
        self.run.send_signal(number)
        self.run.wait(60)

    def freeze(self, seconds: float) -> None:
        """Stop the consumer for a while, possibly longer than the session timeout of the group."""
        with suppress(ProcessLookupError):
            self.run.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            self.run.send_signal(signal.SIGCONT)


class Soak:
    """One run on one database."""

    def __init__(self, kind: str, kills: int, rng: random.Random, folder: Path) -> None:
        self._kind = kind
        self._kills = kills
        self._rng = rng
        self._folder = folder
        self._broker = Kafka(folder / "kafka", properties=PROPERTIES)
        self._database = Postgres(folder / "postgres") if kind == "postgres" else None
        self.books = Books()

    @property
    def store(self) -> str:
        """The URL of the store."""
        return self._database.url() if self._database else f"sqlite:///{self._folder}/delegraph.db"

    def run(self) -> dict[str, Any]:
        """Run until the given number of kills, and return the balance."""
        with self._servers():
            url = f"kafka://{self._broker.servers}/soak"
            with opened(self.store, create=True), made_log(url, partitions=PARTITIONS) as log:
                producer = Producing(log, self.books, self._rng)
                producer.start()
                consumers = [Consumer(n, self.store, url, self.books, self._folder) for n in range(CONSUMERS)]
                try:
                    self._recover(0, consumers)
                    self._kill_all(consumers)
                    producer.stop()
                    wait_until(lambda: self._is_done(log, consumers), 120)
                finally:
                    for consumer in consumers:
                        consumer.run.send_signal(signal.SIGCONT)
                        consumer.end(signal.SIGTERM)
                return self._balance(log)

    @contextmanager
    def _servers(self) -> Iterator[None]:
        try:
            self._broker.start()
            if self._database:
                self._database.start()
            yield
        finally:
            self._broker.stop()
            if self._database:
                self._database.stop()

    def _kill_all(self, consumers: list[Consumer]) -> None:
        deeds: dict[str, tuple[int, Callable[[], None]]] = {
            "consumer SIGKILL": (50, lambda: self._rng.choice(consumers).end(signal.SIGKILL)),
            "consumer SIGTERM": (10, lambda: self._rng.choice(consumers).end(signal.SIGTERM)),
            "consumer frozen": (8, lambda: self._rng.choice(consumers).freeze(self._rng.uniform(0.5, 5))),
            "broker SIGKILL": (12, lambda: self._down(self._broker, self._broker.kill)),
        }
        if self._database:
            deeds["database SIGKILL"] = (12, lambda: self._down(self._database, self._database.kill))
            deeds["database stopped"] = (8, lambda: self._down(self._database, self._database.stop))
        else:
            deeds["database locked"] = (20, self._lock)
        names, weights = list(deeds), [weight for weight, _ in deeds.values()]
        while self.books.kills.total() < self._kills:
            self._rest(self._rng.uniform(0, 1.5), consumers)
            name = self._rng.choices(names, weights)[0]
            held = self._moved()
            began = time.monotonic()
            deeds[name][1]()
            self.books.kills[name] += 1
            if self._rng.random() < 0.7:  # otherwise the next kill comes before the recovery
                self._recover(held, consumers)
                self.books.recoveries.append(time.monotonic() - began)
            print(f"\r{self._kind}: {self.books.kills.total()} of {self._kills}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        self._recover(self._moved(), consumers)

    def _down(self, server: Any, end: Callable[[], None]) -> None:
        end()
        time.sleep(self._rng.uniform(0, 2))
        server.start()

    def _lock(self) -> None:
        """Lock the file for a time that may be longer or shorter than a transaction waits."""
        locker = sqlite3.connect(self._folder / "delegraph.db", isolation_level=None, timeout=30)
        with suppress(sqlite3.OperationalError):
            locker.execute("BEGIN IMMEDIATE")
            time.sleep(self._rng.uniform(0.1, 4))
        locker.close()

    def _rest(self, seconds: float, consumers: list[Consumer]) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for consumer in consumers:
                consumer.again()
            time.sleep(0.05)

    def _moved(self) -> int:
        """The sum of the positions; 0 if the store is unavailable."""
        with suppress(UnavailableError), opened(self.store) as store:
            return sum(store.positions().values())
        return 0

    def _recover(self, held: int, consumers: list[Consumer]) -> None:
        """Wait until the projection continues."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self._moved() <= held:
            self._rest(0.1, consumers)
            if time.monotonic() > until:
                self.books.faults.append(f"no progress for {PATIENCE_SECONDS:.0f} s")
                return

    def _is_done(self, log: KafkaLog, consumers: list[Consumer]) -> bool:
        for consumer in consumers:
            consumer.again()
        log.forget()
        return self._moved() == sum(log.ends().values())

    def _balance(self, log: KafkaLog) -> dict[str, Any]:
        books, facts = self.books, facts_in(self.store)
        found = account(self.store, log)
        different = unequal(self.store, log, self._folder)
        balance = {
            "kills": books.kills.total(),
            **{f"  {name}": count for name, count in sorted(books.kills.items())},
            "events sent": books.sent,
            "records in the log": found.records,
            "facts": len(facts),
            "lost": len(books.acknowledged - facts.keys()),
            "of unknown origin": len(facts.keys() - books.acknowledged),
            "twice": sum(count - 1 for count in facts.values()),
            "records not accounted for": abs(found.records - found.outcomes) + abs(found.records - found.moved),
            "differences": len(different),
            "slowest recovery": f"{max(books.recoveries, default=0):.1f} s",
            "median recovery": f"{sorted(books.recoveries)[len(books.recoveries) // 2]:.1f} s",
        }
        wrong = ("lost", "of unknown origin", "twice", "records not accounted for", "differences")
        books.faults += [f"{name}: {balance[name]}" for name in wrong if balance[name]] + different
        return balance


def hostile(count: int) -> int:
    """Run the test of hostile records with ``count`` of them, and return its exit code."""
    name = "tests/ingest/kafka/test_kafka_hostile.py::test_hostile_records_among_good_ones_end_in_quarantine"
    words = [sys.executable, "-m", "pytest", "-n0", "-q", "--timeout=0", "--durations=1", name]
    return subprocess.run(
        words, check=False, cwd=ROOT, env=os.environ | {"DELEGRAPH_TEST_HOSTILE": str(count)}
    ).returncode


def main() -> int:
    """Run the soak test on both databases, or on one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300, help="number of kills, on all databases together")
    parser.add_argument("--store", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--hostile", type=int, metavar="RECORDS", help="send this many hostile records instead of kills"
    )
    asked = parser.parse_args()
    if asked.hostile:
        return hostile(asked.hostile)
    seed = random.SystemRandom().getrandbits(32) if asked.seed is None else asked.seed
    kinds = ["sqlite", "postgres"] if asked.store == "both" else [asked.store]
    columns: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for kind in kinds:
        folder = Path(tempfile.mkdtemp(prefix=f"delegraph-soak-{kind}-"))
        soak = Soak(kind, asked.kills // len(kinds), random.Random(seed), folder)
        began = time.monotonic()
        columns[kind] = {**soak.run(), "minutes": f"{(time.monotonic() - began) / 60:.1f}"}
        faults += [f"{kind}: {fault} ({folder})" for fault in soak.books.faults]
    rows = list(dict.fromkeys(name for column in columns.values() for name in column))
    print(f"| seed {seed} | {' | '.join(kinds)} |\n|---|{'---:|' * len(kinds)}")
    for row in rows:
        print(f"| {row} | {' | '.join(str(columns[kind].get(row, '')) for kind in kinds)} |")
    for fault in faults:
        print(f"WRONG: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
