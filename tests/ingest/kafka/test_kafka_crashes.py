"""Crashes on a real Kafka: whatever dies, and whatever wakes late, nothing is lost and nothing is repeated.

After each, the facts are exactly those that the log acknowledged, every record is accounted for, and the store equals
an uninterrupted projection of the same log.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from compose.native.kafka import Kafka
from compose.native.postgres import Postgres
from ingest.kafka.log import KafkaLog
from lineage.core.model.errors import UnavailableError
from lineage.core.model.records import DECISIONS
from tests.support.hostile_logs import is_alive
from tests.support.kafka_worlds import (
    LINE,
    PARTITIONS,
    SMALL,
    WITH_WORKER,
    Consuming,
    Step,
    account,
    assert_whole,
    consuming,
    content_digest,
    drained,
    entries_of,
    given_up,
    group_of,
    history,
    lag_of,
    made_log,
    opened,
    producing,
    started,
    wait_until,
    workers_of,
)

pytestmark = pytest.mark.kafka

MEMBER, CONSUMER = "ingest.kafka.consumer:_Member", "ingest.kafka.consumer:Consumer"
OBSERVER = "lineage.serve.processes.consumer_process:_ConsumerObserver"
# From the assignment of partitions, through poll and transaction, to the offsets of the group and leaving it.
STEPS = [
    *(Step(f"{MEMBER}.on_partitions_assigned", when, 1) for when in ("before", "after")),
    *(Step(f"{MEMBER}.poll", when, 2) for when in ("before", "after")),
    Step("ingest.kafka.consumer:read_records", "after", 2),
    *(Step(f"{MEMBER}.claim", when, 2) for when in ("before", "after")),
    *(Step("lineage.store.store:Store.write", when, 2) for when in ("before", "after")),
    # Within the transaction: when nothing is written, the positions, everything.
    Step("lineage.store.writing.projection:Projection.write", "before", 2),
    Step("lineage.store.writing.projection:_advance", "after", 2),
    Step("lineage.store.writing.projection:Projection.write", "after", 2),
    *(Step(f"{CONSUMER}._settle", when, 2) for when in ("before", "after")),
    *(
        Step("lineage.serve.processes.consumer_process:_ConsumerObserver.committed", when, 2)
        for when in ("before", "after")
    ),
    *(Step(f"{MEMBER}.commit", when, 2) for when in ("before", "after")),
    *(Step(f"{MEMBER}.close", when, 1, leaving=True) for when in ("before", "after")),
]
WORKER = "lineage.serve.processes.row_worker"
# The same with a worker: from giving it a batch to the transaction with its rows, and leaving while it has one.
WORKER_STEPS = [
    *(Step(f"{WORKER}:RowProcess.prepare", when, 2) for when in ("before", "after")),
    *(Step(f"{WORKER}:_Prepared.made", when, 2) for when in ("before", "after")),
    Step("lineage.store.writing.projection:_advance", "after", 2),
    Step("lineage.store.writing.projection:Projection.write_rows", "after", 2),
    Step("lineage.store.store:Store.write_rows", "after", 2),
    Step(f"{CONSUMER}._announce", "before", 3),
    Step(f"{MEMBER}.close", "after", 1, leaving=True),
]
# One process forks each process that will die, so that it need not be loaded repeatedly.
DYING = """
import sys
from lineage.serve.processes import consumer_process
from lineage.serve.cli import main, process_commands
from lineage.store import store
from lineage.store.database import postgres
import ingest.kafka.consumer, psycopg, alembic.command
from tests.support.kafka_worlds import Step, dies_at
for step in eval(sys.argv[3]):
    dies_at(step, *sys.argv[1:3])
"""
DYING_WITH_WORKER = f"from tests.support.kafka_worlds import force_worker; force_worker()\n{DYING}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a store on either database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/delegraph.db"
    return str(request.getfixturevalue("postgres_url"))


def digests_of(made: list[dict[str, Any]]) -> set[str]:
    return {content_digest(event) for event in made}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "code"), [(STEPS, DYING), (WORKER_STEPS, DYING_WITH_WORKER)], ids=["alone", "with a worker"]
)
def test_a_consumer_that_dies_at_any_step_loses_nothing(
    kafka_url: str, store_url: str, tmp_path: Path, steps: list[Step], code: str
):
    """
    Consumers are each killed at another step between poll and group commit: their results add up, and the last one
    completes them.
    """
    made = history(len(steps) * 4 * SMALL)
    with made_log(kafka_url) as log:
        log.append(entries_of(made))
        with opened(store_url, create=True):
            pass
        run = started(store_url, kafka_url, repr(steps), code=code)
        _, stderr = run.communicate(timeout=200)
        assert run.returncode == 0, stderr.decode()[-2000:]
        left = account(store_url, log)
        drained(store_url, kafka_url)

        assert left.outcomes == left.moved
        assert SMALL < left.moved < left.records
        assert_whole(store_url, log, digests_of(made), tmp_path)


# A worker that dies


@pytest.mark.slow
def test_a_worker_that_is_killed_repeatedly_loses_nothing(kafka_url: str, store_url: str, tmp_path: Path):
    """
    The consumer says so, counts it, decodes what the worker had by itself, and starts another. When the consumer is
    killed as well, its last worker ends.
    """
    made = history(60 * SMALL)
    load = iter(entries_of(made))
    killed: set[int] = set()

    def kill_another() -> bool:
        """Send more events once the earlier ones are processed, and kill a worker; return whether that was enough."""
        if lag_of(store_url, log) == 0:
            log.append(islice(load, 3 * SMALL))
        for worker in set(workers_of(consumer.run.pid)) - killed:
            time.sleep(random.random() * 0.1)  # so that it dies before, while or after it decodes
            os.kill(worker, signal.SIGKILL)
            killed.add(worker)
        return len(killed) >= 5

    with opened(store_url, create=True), made_log(kafka_url) as log:
        with consuming(store_url, kafka_url, code=WITH_WORKER) as consumer:
            wait_until(kill_another)
            log.append(load)
            wait_until(lambda: lag_of(store_url, log) == 0 and by_workers(consumer) > 0)
            assert "ended by signal 9" in consumer.output()
            assert worker_failures(consumer) >= 4
            [last] = workers_of(consumer.run.pid)
        wait_until(lambda: not is_alive(last))

        assert_whole(store_url, log, digests_of(made), tmp_path)


# A consumer whose first worker is stopped before it gets its first batch.
HANGING = """
import os, signal
from lineage.serve.processes import row_worker
from tests.support.kafka_worlds import Step, at_step, send_self, workers_of
row_worker._ANSWER_SECONDS = 3.0
def hang():
    for worker in workers_of(os.getpid()):
        os.kill(worker, signal.SIGSTOP)
at_step(Step("lineage.serve.processes.row_worker:_Worker.send", "before", 1), hang)
"""
LEAVING = """
at_step(Step("lineage.serve.processes.row_worker:_Worker.send", "before", 1), lambda: send_self(signal.SIGTERM))
"""


@pytest.mark.slow
@pytest.mark.parametrize("leaving", [False, True], ids=["goes on", "is asked to stop"])
def test_a_consumer_whose_worker_hangs_goes_on(kafka_url: str, tmp_path: Path, leaving: bool):
    """The pipe has no place for the first batch, and the consumer waits there only so long, also when it should end."""
    store = f"sqlite:///{tmp_path}/delegraph.db"
    made = history(3 * SMALL)
    code = HANGING + LEAVING * leaving + WITH_WORKER
    with opened(store, create=True), made_log(kafka_url) as log:
        with producing(log.servers) as producer:
            producer.send(log.topic_name(DECISIONS), b"x" * 500_000).get(30)  # more than the buffer of the pipe
        with consuming(store, kafka_url, code=code) as consumer:
            if leaving:
                consumer.run.wait(60)
                assert consumer.run.returncode == 0
                assert 1 == account(store, log).moved
            else:
                wait_until(lambda: lag_of(store, log) == 0)
                assert worker_failures(consumer) == 1
                log.append(entries_of(made))
                wait_until(lambda: lag_of(store, log) == 0 and by_workers(consumer) > 0)
            assert "did not answer within 3 s" in consumer.output()
        if leaving:
            log.append(entries_of(made))
            drained(store, kafka_url)

        assert_whole(store, log, digests_of(made), tmp_path)


def by_workers(consumer: Consuming) -> float:
    return number_of(consumer, "delegraph_worker_records_total")


def worker_failures(consumer: Consuming) -> float:
    return number_of(consumer, "delegraph_worker_failures_total")


def number_of(consumer: Consuming, name: str) -> float:
    [value] = [line.split()[1] for line in consumer.get("/metrics")[1].splitlines() if line.startswith(f"{name} ")]
    return float(value)


# Servers that stop and start


@contextmanager
def emitting(log: KafkaLog, made: list[dict[str, Any]], rate: float = 300) -> Iterator[set[str]]:
    """Emit events at a fixed rate within the block; afterwards all of them are acknowledged."""
    acknowledged: set[str] = set()
    faults: list[Exception] = []
    enough = threading.Event()

    def send() -> None:
        try:
            with producing(log.servers, delivery_timeout_ms=90_000, max_block_ms=60_000) as producer:
                sent = []
                for entry, event in zip(entries_of(made), made, strict=True):
                    if enough.wait(1 / rate):
                        break
                    sent.append(
                        (producer.send(log.topic_name(entry.topic), entry.value, key=entry.key), content_digest(event))
                    )
                for future, content in sent:
                    future.get(timeout=90)
                    acknowledged.add(content)
        except Exception as fault:  # noqa: BLE001 (told below)
            faults.append(fault)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield acknowledged
    finally:
        enough.set()
        sender.join()
    assert not faults


def answers(log: KafkaLog) -> bool:
    """Whether a client of a broker that was unavailable has reconnected."""
    try:
        log.forget()
        return bool(log.ends())
    except UnavailableError:
        return False


def moved(store: str) -> int:
    """Return the sum of a store's positions."""
    with opened(store) as found:
        return sum(found.positions().values())


@pytest.mark.slow
def test_a_broker_that_is_killed_while_producing_and_consuming_loses_nothing(
    own_kafka: Callable[[Path], Kafka], tmp_path: Path
):
    """
    After SIGKILL and a restart, producer and consumer continue by themselves; while the broker is down, the consumer
    leaves as quickly as ever.
    """
    broker = own_kafka(tmp_path)
    store, url = f"sqlite:///{tmp_path}/delegraph.db", f"kafka://{broker.servers}/test"
    made = history(20_000)
    with opened(store, create=True), made_log(url) as log, consuming(store, url) as consumer:
        with emitting(log, made) as acknowledged:
            wait_until(lambda: moved(store))
            broker.kill()
            time.sleep(0.5)
            broker.start()
            held = moved(store)
            wait_until(lambda: moved(store) > held)
        wait_until(lambda: answers(log) and lag_of(store, log) == 0)
        broker.kill()
        document, took = consumer.leave()
        broker.start()
        wait_until(lambda: answers(log))

        assert took < 5, took
        assert document["records"] == account(store, log).records
        assert_whole(store, log, acknowledged, tmp_path)


STALE = f"""
import lineage.serve.processes.live_graph
lineage.serve.processes.live_graph.STALE_SECONDS = 2.0
{LINE}
"""


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("end", [Postgres.stop, Postgres.kill])
def test_the_consumer_waits_for_a_database_that_goes_away_under_load(
    kafka_url: str, own_postgres: Callable[[Path], Postgres], tmp_path: Path, end: Callable[[Postgres], None]
):
    """
    Stopped or killed while records come: the consumer waits, reports it, and continues; meanwhile its live graph stops
    answering, since it cannot know what others have projected.
    """
    database = own_postgres(tmp_path)
    store = database.url()
    made = history(20_000)
    with opened(store, create=True), made_log(kafka_url) as log, consuming(store, kafka_url, code=STALE) as consumer:
        with emitting(log, made) as acknowledged:
            wait_until(lambda: moved(store))
            wait_until(lambda: consumer.get("/digest")[0] == 200)
            end(database)
            wait_until(lambda: "waiting after a fault: store" in str(consumer.get("/readyz")))
            wait_until(lambda: "has not kept up with the store" in str(consumer.get("/digest")))
            database.start()
        wait_until(lambda: lag_of(store, log) == 0)
        wait_until(lambda: consumer.get("/readyz")[0] == 200 == consumer.get("/digest")[0])
        document, _ = consumer.leave()

        assert document["records"] == account(store, log).records
        assert_whole(store, log, acknowledged, tmp_path)


EAGER = f"""
import lineage.serve.processes.startup_retry
lineage.serve.processes.startup_retry._LONGEST_WAIT_SECONDS = 0.5
{LINE}
"""


@pytest.mark.slow
@pytest.mark.postgres
def test_servers_that_are_down_at_start_or_end_are_not_an_error(
    own_kafka: Callable[[Path], Kafka], own_postgres: Callable[[Path], Postgres], tmp_path: Path
):
    """
    A consumer that starts before its database and its broker waits for both, says for which, and projects everything;
    one that is stopped while the database is unavailable exits normally. Draining does not wait.
    """
    broker, database = own_kafka(tmp_path / "a"), own_postgres(tmp_path / "b")
    store, url = database.url(), f"kafka://{broker.servers}/test"
    made = history(300)
    with made_log(url) as log:
        log.append(entries_of(made))
        broker.kill()
        database.kill()
        with consuming(store, url, code=EAGER) as consumer:
            wait_until(lambda: "trying again" in consumer.output())
            code, said_at_once = given_up(started("consume", "--drain", "--store", store, "--log", url))
            database.start()
            wait_until(lambda: broker.servers in consumer.output())
            broker.start()
            wait_until(lambda: answers(log) and has_tables(store) and lag_of(store, log) == 0)
            assert_whole(store, log, digests_of(made), tmp_path)
            wait_until(lambda: consumer.get("/readyz")[0] == 200)
            database.stop()
            document, _ = consumer.leave()

    assert (5, database.address) == (code, database.address if database.address in said_at_once else said_at_once)
    assert {"records": 300, "outcomes": None, "as_of": {"recorded_at": None, "behind": None}} == document


def has_tables(store: str) -> bool:
    try:
        with opened(store) as found:
            return found.positions() is not None
    except UnavailableError:
        return False


IMPATIENT = f"""
import lineage.store.database.sqlite
lineage.store.database.sqlite._BUSY_SECONDS = 0.5
{LINE}
"""


@pytest.mark.slow
def test_the_consumer_waits_for_a_locked_file(kafka_url: str, tmp_path: Path):
    """
    A store in a file that is locked for longer than a transaction waits: the consumer retries until it is free.
    """
    file = tmp_path / "delegraph.db"
    store = f"sqlite:///{file}"
    made = history(1_000)
    with (
        opened(store, create=True),
        made_log(kafka_url) as log,
        consuming(store, kafka_url, code=IMPATIENT) as consumer,
    ):
        log.append(entries_of(made[:500]))
        wait_until(lambda: moved(store))
        locker = sqlite3.connect(file, isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        log.append(entries_of(made[500:]))
        wait_until(lambda: "waiting after a fault: store" in str(consumer.get("/readyz")))
        locker.execute("ROLLBACK")
        locker.close()
        wait_until(lambda: lag_of(store, log) == 0)
        consumer.leave()

        assert_whole(store, log, digests_of(made), tmp_path)


FORGETFUL = f"""
import ingest.kafka.consumer
from kafka.coordinator.consumer import ConsumerCoordinator

real, joins = ConsumerCoordinator._on_join_complete_async, []

async def forgetful(self, *args):
    joins.append(args)
    if len(joins) > 1:
        return await real(self, *args)

ConsumerCoordinator._on_join_complete_async = forgetful
ingest.kafka.consumer._JOIN_SECONDS = 1.0
{LINE}
"""


@pytest.mark.slow
def test_a_join_that_the_library_loses_is_repeated(kafka_url: str, tmp_path: Path):
    """
    The library may lose the result of a join, and would wait for it for ever: the consumer joins again.
    """
    store = f"sqlite:///{tmp_path}/delegraph.db"
    made = history(200)
    with opened(store, create=True), made_log(kafka_url) as log:
        log.append(entries_of(made))
        with consuming(store, kafka_url, code=FORGETFUL):
            wait_until(lambda: lag_of(store, log) == 0)

        assert_whole(store, log, digests_of(made), tmp_path)


# Late wake-ups

FREEZING = """
import signal, sys
import lineage.serve.processes.consumer_process
from tests.support.kafka_worlds import Step, at_step, consume_here, send_self
at_step(eval(sys.argv[4]), lambda: send_self(signal.SIGSTOP))
consume_here(*sys.argv[1:4])
"""
# With a batch that it believes to be its own.
IN_HAND = Step("lineage.store.store:Store.write", "before", 2)
# In the middle of the transaction: nobody else can write until it is gone or wakes.
WITHIN = Step("lineage.store.writing.projection:Projection.write", "after", 2)
# With a batch written that is not committed to the group yet.
UNTOLD = Step(f"{MEMBER}.commit", "before", 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("store_url", "step"),
    [
        ("sqlite", IN_HAND),
        ("sqlite", WITHIN),
        pytest.param("postgres", IN_HAND, marks=pytest.mark.postgres),
        pytest.param("postgres", UNTOLD, marks=pytest.mark.postgres),
    ],
    indirect=["store_url"],
    ids=str,
)
def test_a_zombie_that_wakes_after_its_partitions_moved_writes_nothing_twice(
    kafka_url: str, store_url: str, tmp_path: Path, step: Step
):
    """
    A consumer is frozen until the group has reassigned its partitions, and thawed: whatever batch it had, no record is
    projected twice, and the two continue together.
    """
    made = history(20 * SMALL)
    load = iter(entries_of(made))

    def more() -> bool:
        """Send more events once the earlier ones are processed; return true when the zombie is frozen."""
        if lag_of(store_url, log) == 0:
            log.append(islice(load, SMALL // 2))
        return state_of(zombie.pid) == "T"

    with (
        opened(store_url, create=True),
        made_log(kafka_url) as log,
        consuming(store_url, kafka_url) as other,
        running(store_url, kafka_url, group_of(kafka_url), repr(step), code=FREEZING) as zombie,
    ):
        wait_until(lambda: has_partitions(other, PARTITIONS))
        wait_until(more)
        wait_until(lambda: has_partitions(other, 2 * PARTITIONS))
        log.append(islice(load, SMALL))
        if step is not WITHIN:
            wait_until(lambda: lag_of(store_url, log) == 0)
        zombie.send_signal(signal.SIGCONT)
        wait_until(lambda: lag_of(store_url, log) == 0 and has_partitions(other, PARTITIONS))
        log.append(load)
        wait_until(lambda: lag_of(store_url, log) == 0)
        zombie.terminate()
        stdout, stderr = zombie.communicate(timeout=30)
        document, _ = other.leave()

        assert zombie.returncode == 0, stderr.decode()
        assert account(store_url, log).records == document["records"] + json.loads(stdout)["records"]
        assert_whole(store_url, log, digests_of(made), tmp_path)


@contextmanager
def running(*words: str, code: str) -> Iterator[subprocess.Popen[bytes]]:
    run = started(*words, code=code)
    try:
        yield run
    except BaseException as fault:
        run.kill()
        fault.add_note(f"What the other said:\n{run.communicate()[1].decode()}")
        raise
    finally:
        run.kill()
        run.communicate()


def state_of(pid: int) -> str:
    """Return the state of a process: T if it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


def has_partitions(consumer: Consuming, count: int) -> bool:
    try:
        return f"delegraph_partitions {count}.0\n" in consumer.get("/metrics")[1]
    except OSError:
        return False


# Repeated events in any order


@pytest.mark.slow
def test_repeated_events_in_any_order_are_facts_once(kafka_url: str, store_url: str, tmp_path: Path):
    """
    Each event three times, on any partition and in any order, read by two consumers: the facts are those of the events,
    and all other records are sightings.
    """
    rng = random.Random()
    made = history(1_200)
    given = [entry for entry in entries_of(made) for _ in range(3)]
    rng.shuffle(given)
    with opened(store_url, create=True), made_log(kafka_url) as log:
        with (
            producing(log.servers) as producer,
            consuming(store_url, kafka_url),
            consuming(store_url, kafka_url) as other,
        ):
            for n, entry in enumerate(given):
                producer.send(log.topic_name(entry.topic), entry.value, partition=rng.randrange(3))
                if n == len(given) // 2:
                    producer.flush(30)
                    wait_until(lambda: has_partitions(other, PARTITIONS))
            producer.flush(30)
            wait_until(lambda: lag_of(store_url, log) == 0)

        with opened(store_url) as store:
            outcomes = store.outcomes()
        assert len(given) == sum(outcomes)
        assert len(given) - len(digests_of(made)) == outcomes.duplicates
        assert_whole(store_url, log, digests_of(made), tmp_path)
