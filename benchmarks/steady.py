"""The memory of every long-running process over an hour of steady traffic.

``python -m benchmarks.steady --minutes 60`` starts Kafka and PostgreSQL on loopback, and the processes of an
installation: ``collect`` (one file), ``consume``, ``deliver``, ``findings keep`` and the HTTP server. A producer sends
events of a day, twelve times as fast and with lifetimes a twelfth as long, so that what is alive stays about the same
after five minutes; every few seconds a revocation ends a small tree; and a client asks about new actions and tokens.
The resident memory of each process is read after each twelfth of the time. Prints a table, and exits with 1 if a
process ended, or grew by more than 5 % from half of the time to its end.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final
from urllib.parse import quote

from kafka import KafkaProducer

from benchmarks import events
from benchmarks.http import connected, signed_in
from compose.native.kafka import Kafka
from compose.native.postgres import Postgres
from ingest.codec import api as codec
from ingest.kafka.log import KafkaLog
from ingest.log.port import entry_of
from lineage.core.model.events import ActionPerformed, DelegationGranted, Event, RevocationOrdered, Target, TokenIssued
from lineage.serve.config.wiring import now
from lineage.store.store import open_store
from tests.support.collecting import line

_FASTER: Final = 12  # the day passes this many times as fast: some 110 events a second
_SAMPLES: Final = 12
_GROWTH: Final = 1.05  # from half of the time to its end
_ORDER_SECONDS: Final = 10.0
_TREE: Final = 20  # tokens that each order ends
_ASK_SECONDS: Final = 0.5
_LINE_SECONDS: Final = 0.02
_PARTITIONS: Final = 4
_CATCH_UP_SECONDS: Final = 120
_LINE: Final = "from lineage.serve.cli.main import main; main(prog_name='delegraph')"


class Traffic:
    """What is written and asked while the processes run.

    Args:
        log: The log on Kafka.
        audit: The file that `collect` follows.
    """

    def __init__(self, log: KafkaLog, audit: Path) -> None:
        self.sent = self.collected = self.asked = 0
        self.faults: list[str] = []
        self.stopped = threading.Event()
        self._log, self._audit = log, audit
        self._recent: deque[str] = deque(maxlen=1_000)  # paths of questions about what was sent last

    def produce(self) -> None:
        """Send a day's events, each dated when it is sent, and an order every few seconds."""
        producer = KafkaProducer(**self._log.client(acks="all", linger_ms=5))
        began, next_order = now(), time.monotonic() + _ORDER_SECONDS
        for event in events.a_day(1 << 40, start=began):
            due = began + (event.occurred_at - began) // _FASTER
            if self.stopped.wait(max(0.0, (due - now()) / 1e6)):
                break
            self._send(producer, _sooner(event, began)._replace(occurred_at=now()))
            match event.body:
                case ActionPerformed(action=action):
                    self._recent.append(f"/v1/who?action={quote(action, safe='')}")
                case TokenIssued(token=token):
                    self._recent.append(f"/v1/status?of={quote(f'token:{token}', safe='')}")
            if time.monotonic() > next_order:
                next_order += _ORDER_SECONDS
                for one in _tree_and_order(self.sent):
                    self._send(producer, one)
        producer.close()

    def _send(self, producer: KafkaProducer, event: Event) -> None:
        topic, value, key = entry_of(event)
        producer.send(self._log.topic_name(topic), value=value, key=key)
        self.sent += 1

    def write(self) -> None:
        """Append decisions to the file."""
        for number in count():
            if self.stopped.wait(_LINE_SECONDS):
                return
            with self._audit.open("ab") as file:
                file.write(line(number))
            self.collected += 1

    def ask(self, port: int, token: str) -> None:
        """Ask about what was sent some seconds ago, each thing once."""

        async def run() -> None:
            while not self.stopped.is_set():
                with suppress(AssertionError):  # what a busy consumer has not projected yet is answered with 404
                    async with connected(port, token) as connection:
                        while not self.stopped.wait(_ASK_SECONDS):
                            if len(self._recent) == self._recent.maxlen:
                                await connection.get(self._recent.popleft())
                                self.asked += 1

        asyncio.run(run())

    @contextmanager
    def running(self, port: int, token: str) -> Iterator[None]:
        """Write and ask within the block."""
        runs: list[Callable[[], None]] = [self.produce, self.write, lambda: self.ask(port, token)]

        def guarded(run: Callable[[], None]) -> None:
            try:
                run()
            except Exception as error:  # noqa: BLE001 (it is a fault of the run)
                self.faults.append(repr(error))

        threads = [threading.Thread(target=guarded, args=(run,), daemon=True) for run in runs]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join(30)


def _sooner(event: Event, began: int) -> Event:
    """Shorten the lifetime of what an event issues or grants."""
    body = event.body
    if isinstance(body, TokenIssued | DelegationGranted) and body.expires_at is not None:
        ends_at = began + (body.expires_at - began) // _FASTER
        return event._replace(body=body._replace(expires_at=ends_at))
    return event


def _tree_and_order(number: int) -> Iterator[Event]:
    first, at = (1 << 50) + number * (_TREE + 2), now()
    root = f"tree-{number}"
    yield from events.a_tree(_TREE, root=root, first=first, start=at)
    order = RevocationOrdered(
        revocation=f"order-{number}", target=Target("token", root), reason="test", ordered_by="human:ir"
    )
    yield events.numbered(order, first + _TREE + 1, at)


@contextmanager
def _process(command: list[str], **environment: str) -> "Iterator[subprocess.Popen[str]]":
    """Run a process within the block."""
    with subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as started:
        try:
            yield started
        finally:
            started.terminate()


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB, without pages of files that it shares."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.partition("RssAnon:")[2].split()[0]) / 1024


def steady(folder: Path, minutes: float) -> tuple[dict[str, list[float]], Traffic]:
    """Run everything for some minutes; return the memory of each process, and the traffic."""
    with ExitStack() as stack:
        broker = stack.enter_context(Kafka(folder / "kafka"))
        store = stack.enter_context(Postgres(folder / "postgres")).url()
        log_url = f"kafka://{broker.servers}/steady"
        log = KafkaLog(log_url)
        log.create(partitions=_PARTITIONS, replication=1)
        open_store(store, codec.read, create=True).close()
        audit, config = folder / "audit.log", folder / "delegraph.toml"
        audit.touch()
        config.write_text(f'[[source]]\nname = "file"\nformat = "opa"\nfollow = "{audit}"\n', encoding="utf-8")
        where = {"DELEGRAPH_STORE": store, "DELEGRAPH_LOG": log_url}
        own = {
            name: stack.enter_context(_process([sys.executable, "-c", _LINE, *words], **where, **more))
            for name, words, more in (
                ("consume", ["consume"], {}),
                ("deliver", ["deliver"], {}),
                ("findings keep", ["findings", "keep"], {}),
                ("collect", ["collect"], {"DELEGRAPH_CONFIG": str(config)}),
            )
        }
        keys, token = signed_in(folder, seconds=int(minutes * 60) + 600)
        served = [sys.executable, "-m", "benchmarks.http", "--process", "served", store, str(keys), log_url]
        own["serve"] = stack.enter_context(_process(served))
        output = own["serve"].stdout
        assert output is not None
        port = int(output.readline().rpartition(":")[2])
        for process in own.values():  # nobody reads their further output
            threading.Thread(target=lambda each=process: deque(each.stdout, maxlen=0), daemon=True).start()
        sizes: dict[str, list[float]] = {name: [] for name in own}
        traffic = Traffic(log, audit)
        with traffic.running(port, token):
            for _ in range(_SAMPLES):
                time.sleep(minutes * 60 / _SAMPLES)
                for name, process in own.items():
                    if process.poll() is not None:
                        traffic.faults.append(f"{name} ended with {process.returncode}")
                        return sizes, traffic
                    sizes[name].append(resident_mb(process.pid))
                print(json.dumps({name: round(of[-1]) for name, of in sizes.items()}), flush=True)
        until = time.monotonic() + _CATCH_UP_SECONDS
        with closing(open_store(store, codec.read)) as opened:
            while (arrived := sum(opened.positions().values())) < traffic.sent + traffic.collected:
                if time.monotonic() > until:
                    traffic.faults.append(f"{arrived:,} of {traffic.sent + traffic.collected:,} records arrived")
                    break
                time.sleep(1)
        return sizes, traffic


def main() -> int:
    """Run the traffic, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steady", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="the duration; default 60")
    options = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, {options.minutes:g} minutes")
    with tempfile.TemporaryDirectory(prefix="delegraph-steady-") as folder:
        sizes, traffic = steady(Path(folder), options.minutes)
    print(f"events sent: {traffic.sent:,}; lines collected: {traffic.collected:,}; questions: {traffic.asked:,}")
    for name, of in sizes.items():
        shown = " ".join(f"{size:.0f}" for size in of)
        print(f"{name:<16} MB after each twelfth of the time: {shown}")
        if len(of) == _SAMPLES and of[-1] > _GROWTH * of[_SAMPLES // 2 - 1]:
            traffic.faults.append(f"{name} grew from {of[_SAMPLES // 2 - 1]:.0f} to {of[-1]:.0f} MB")
    for fault in traffic.faults:
        print(fault)
    return 1 if traffic.faults else 0


if __name__ == "__main__":
    sys.exit(main())
