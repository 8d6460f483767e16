"""Worlds on a real Kafka: topics that nobody else uses, records that are sent to them, and the expected result."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError

from kafka import KafkaAdminClient, KafkaProducer

from ingest.codec import api as codec
from ingest.kafka.log import KafkaLog
from ingest.log.port import Entry, entry_of
from ingest.projector import project
from lineage.core.model.events import digest
from lineage.core.model.records import TOPICS
from lineage.store.rebuild.diff import differences, twin
from lineage.store.store import Store, open_store
from tests.support.crashes import events
from tests.support.places import ROOT

LINE = "from lineage.serve.cli.main import main; main(prog_name='delegraph')"
# The same for a consumer that gives every batch to its worker process. Every test of a consumer can run with it: set
# this variable.
WITH_WORKER = f"from tests.support.kafka_worlds import force_worker; force_worker(); {LINE}"
FORCED = "DELEGRAPH_TEST_WORKER"
PARTITIONS = 3
Event = dict[str, Any]
T = TypeVar("T")


# Topics and their records


@contextmanager
def made_log(url: str, *, partitions: int = PARTITIONS) -> Iterator[KafkaLog]:
    """Create a log with its topics."""
    log = KafkaLog(url)
    try:
        log.create(partitions=partitions, replication=1)
        yield log
    finally:
        log.close()


@contextmanager
def producing(servers: str | Sequence[str], **more: Any) -> Iterator[KafkaProducer]:
    """Create a producer of the bare library, like that of another program."""
    producer = KafkaProducer(bootstrap_servers=servers, **{"acks": "all", "linger_ms": 5, **more})
    try:
        yield producer
    finally:
        producer.close(timeout=10)


@contextmanager
def administering(servers: str | Sequence[str]) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        yield admin
    finally:
        admin.close()


def history(count: int, seed: int = 1) -> list[Event]:
    """Generate events of every kind, with duplicates and conflicts among them."""
    return events(count, random.Random(seed))


def entries_of(made: Iterable[Event]) -> list[Entry]:
    return [entry_of(codec.event_from_document(event)) for event in made]


def content_digest(event: Event) -> str:
    """Return the digest of an event, envelope included."""
    return digest(codec.event_from_document(event))


def recreate(log: KafkaLog, *, partitions: int = PARTITIONS) -> None:
    """Delete the topics, and create others under their names."""
    names = [log.topic_name(topic) for topic in TOPICS]
    with administering(log.servers) as admin:
        admin.delete_topics(names)
        wait_until(lambda: not set(names) & set(admin.list_topics()))
    log.forget()
    log.create(partitions=partitions, replication=1)


# The content of a store


@contextmanager
def opened(url: str, *, create: bool = False) -> Iterator[Store]:
    store = open_store(url, codec.read, create=create)
    try:
        yield store
    finally:
        store.close()


def facts_in(url: str) -> Counter[str]:
    """Count each content in a store."""
    with opened(url) as store:
        return Counter(digest(stored.fact.event) for stored in store.facts())


def unequal(url: str, log: KafkaLog, folder: Path) -> list[str]:
    """Find where a store differs from an uninterrupted projection of the whole log."""
    log.forget()
    with opened(url) as store:
        file = folder / f"undisturbed-{random.getrandbits(64):x}.db"
        fresh = twin(store, file)
        try:
            project(log, fresh, None)
            return list(differences(store, fresh))
        finally:
            fresh.close()
            file.unlink()


@dataclass(frozen=True)
class Account:
    """The content of the log, and the outcomes in a store."""

    records: int
    outcomes: int
    moved: int  # the sum of the positions


def account(url: str, log: KafkaLog) -> Account:
    log.forget()
    records = sum(log.ends().values())
    with opened(url) as store:
        return Account(records, sum(store.outcomes()), sum(store.positions().values()))


def assert_whole(url: str, log: KafkaLog, value: Iterable[str], folder: Path) -> None:
    """Check that a store has everything acknowledged, once, accounts for every record, and equals an undisturbed one.

    Args:
        url: The URL of the store, which is at the end of the log.
        log: The projected log; without gaps.
        value: The contents that were acknowledged.
        folder: The folder for the undisturbed projection.
    """
    assert dict.fromkeys(value, 1) == dict(facts_in(url))
    found = account(url, log)
    assert found.records == found.outcomes == found.moved
    assert [] == unequal(url, log, folder)


def lag_of(url: str, log: KafkaLog) -> int:
    with opened(url) as store:
        positions = store.positions()
    return sum(end - positions.get(place, 0) for place, end in log.ends().items())


# Processes


def started(*words: str, code: str = LINE, stderr: Any = subprocess.PIPE, **settings: str) -> subprocess.Popen[bytes]:
    """Start one of our commands in a separate process; settings are variables without their prefix, in lower case.

    A process whose output is not read while it runs needs a file for its ``stderr``: a full pipe would block it.
    """
    if os.environ.get(FORCED) and "consume" in code + " ".join(words):
        code = f"from tests.support.kafka_worlds import force_worker; force_worker()\n{code}"
    variables = {f"DELEGRAPH_{name.upper()}": value for name, value in settings.items()}
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
    )


@dataclass
class Consuming:
    """A ``delegraph consume`` in a separate process, which chooses its port and reports it."""

    run: subprocess.Popen[bytes]
    log_file: Path

    def output(self) -> str:
        """Return its log so far."""
        return self.log_file.read_text(encoding="utf-8")

    def get(self, path: str) -> tuple[int, Any]:
        """The status and the document, or the text, at a path of the consumer's port.

        Raises:
            OSError: It does not listen yet, or any more.
        """
        where = re.search(r"http://127\.0\.0\.1:\d+", self.output())
        if where is None:
            raise ConnectionRefusedError(f"it does not listen yet: {self.output()}")
        return got(f"{where[0]}{path}")

    def leave(self, number: signal.Signals = signal.SIGTERM) -> tuple[dict[str, Any], float]:
        """Ask it to stop; return its final document, and the seconds that it took."""
        began = time.monotonic()
        self.run.send_signal(number)
        stdout, _ = self.run.communicate(timeout=60)
        took = time.monotonic() - began

        assert self.run.returncode == 0, self.output()
        return json.loads(stdout), took

    def kill(self) -> None:
        """Kill it at once, if it is still running."""
        with suppress(ProcessLookupError):
            self.run.send_signal(signal.SIGCONT)
        self.run.kill()
        self.run.wait()
        if self.run.stdout is not None:
            self.run.stdout.close()


@contextmanager
def consuming(store: str, log: str, *words: str, code: str = LINE, **settings: str) -> Iterator[Consuming]:
    """Run a consumer that follows; it is killed in the end if it is still running."""
    settings = {"group": group_of(log), **settings}
    asked = ("consume", "--json", "--store", store, "--log", log, "--listen", "127.0.0.1:0")
    with tempfile.NamedTemporaryFile(prefix="delegraph-", suffix=".log") as log_file:
        found = Consuming(started(*asked, *words, code=code, stderr=log_file, **settings), Path(log_file.name))
        try:
            yield found
        except BaseException as fault:
            fault.add_note(f"The output of the consumer:\n{found.output()}")
            raise
        finally:
            found.kill()


def given_up(run: subprocess.Popen[bytes], seconds: float = 60) -> tuple[int, str]:
    """Return the exit code and the output of a command once it has exited by itself."""
    _, stderr = run.communicate(timeout=seconds)
    return run.returncode, stderr.decode()


def group_of(log: str) -> str:
    """Return a group for the consumers of a log that no other test uses."""
    return log.rpartition("/")[2]


def drained(store: str, log: str) -> dict[str, Any]:
    """Project a log to its end by ``consume --drain``, and return the document."""
    run = started("consume", "--drain", "--json", "--store", store, "--log", log)
    stdout, stderr = run.communicate(timeout=90)

    assert run.returncode == 0, stderr.decode()
    return json.loads(stdout)


def got(url: str) -> tuple[int, Any]:
    """Return the status and the document, or the text, of a URL."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            status, body = answer.status, answer.read().decode()
    except HTTPError as fault:
        with fault:
            status, body = fault.code, fault.read().decode()
    try:
        return status, json.loads(body)
    except ValueError:
        return status, body


def wait_until(is_so: Callable[[], Any], seconds: float = 60) -> float:
    """Wait until a condition holds, or fail; return how long it took."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"not so after {seconds:g} s")
        time.sleep(0.05)
    return time.monotonic() - began


def soon(act: Callable[[], T], seconds: float) -> T:
    """Return the result of something that must not take longer than some seconds.

    A machine under load may take longer for anything: then it is repeated, at most twice.
    """
    for _ in range(3):
        began = time.monotonic()
        given = act()
        took = time.monotonic() - began
        if took < seconds:
            return given
    raise TimeoutError(f"it took {took:.1f} s, which is no less than {seconds:g} s")


# A consumer that kills itself


@dataclass(frozen=True)
class Step:
    """A step of a consumer: before or after the nth call of a function.

    Attributes:
        function: ``module:name`` of the function.
        when: ``before`` or ``after``.
        nth: The number of the call.
        leaving: Whether the consumer is asked to stop at its third poll, so that the step occurs.
    """

    function: str
    when: str
    nth: int
    leaving: bool = False

    def __str__(self) -> str:
        return f"{self.when} {self.function.partition(':')[2]} {self.nth}"


def at_step(step: Step, act: Callable[[], object]) -> None:
    """Do something at a step of this process, from outside: the program does not know of it."""
    module, _, path = step.function.partition(":")
    *owners, name = path.split(".")
    owner = import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    real, calls = getattr(owner, name), 0

    @wraps(real)
    def watched(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        this = calls == step.nth
        if this and step.when == "before":
            act()
        result = real(*args, **more)
        if this and step.when == "after":
            act()
        return result

    setattr(owner, name, watched)


def send_self(number: signal.Signals) -> None:
    """Send this process a signal, and block every thread until it has taken effect."""
    os.kill(os.getpid(), number)
    time.sleep(0.2)


def consume_here(store: str, log: str, group: str) -> None:
    """Run a consumer with small batches and a short session timeout."""
    import ingest.kafka.consumer
    from lineage.serve.cli.main import main

    ingest.kafka.consumer.BATCH = SMALL
    ingest.kafka.consumer._SESSION_MS = SESSION_MS
    main(["consume", "--json", "--store", store, "--log", log, "--group", group])


def force_worker() -> None:
    """Make this process give every batch to the worker of its consumer, wait for its start, and replace it at once."""
    from lineage.serve.processes import row_worker

    row_worker.LEAST, row_worker._AGAIN_SECONDS = 1, 0.0
    is_ready = row_worker._Worker.is_ready

    def is_ready_soon(self: row_worker._Worker) -> bool:
        if not self._is_ready:
            self._process.pipe.poll(60)
        return is_ready(self)

    row_worker._Worker.is_ready = is_ready_soon  # type: ignore[method-assign]


def workers_of(pid: int) -> list[int]:
    """Return the worker processes of a process."""
    children = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for child in " ".join(children).split() if b"spawn_main" in _command_of(child)]


def _command_of(pid: str) -> bytes:
    """Return the command line of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


SMALL = 100  # records in a batch
SESSION_MS = 6_000  # the shortest that a broker allows by default


def dies_at(step: Step, store: str, log: str) -> None:
    """Consume in a separate process until it kills itself at a step.

    It is in a separate group, so that nobody has to wait until a group has noticed: its position is in the store.

    Raises:
        AssertionError: The step did not occur.
    """
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        signal.alarm(60)
        at_step(step, lambda: send_self(signal.SIGKILL))
        if step.leaving:
            at_step(Step("ingest.kafka.consumer:_Member.poll", "before", 3), lambda: send_self(signal.SIGTERM))
        try:
            consume_here(store, log, f"{group_of(log)}-{random.SystemRandom().getrandbits(32):x}")
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)

    assert os.WIFSIGNALED(status), f"{step}: it left"
    assert os.WTERMSIG(status) == signal.SIGKILL, f"{step}: it came to no such step"
