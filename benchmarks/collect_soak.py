"""The soak test of `delegraph collect`: it is killed repeatedly while all its inputs are written to, then checked.

``python -m benchmarks.collect_soak --kills 200`` starts a writer of a file that is rotated, senders of requests, of
lines over TCP and of spans, and a producer on a real Kafka, and ends the collector with SIGKILL at random times.
Afterwards every record that was written must be a fact, exactly once, and for inputs with a stored position (files and
topics) no record may have been read twice. Prints a table, and exits with 1 if anything is wrong. With ``--steady 10``
nothing is killed for ten minutes, and the memory of the collector is measured.

TCP has no acknowledgement: bytes in the kernel's buffers of a killed process are lost, and the sender is not notified.
So the sender of lines keeps its last lines and sends them again when its connection breaks, like a relay with a buffer.
It is never ahead of the reader by more than it keeps, for which it asks the kernel how many bytes are unread. Otherwise
a reader that is delayed by some seconds would lose lines at a kill, through no fault of the collector.
"""

import argparse
import gzip
import http.client
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from compose.native.kafka import Kafka
from compose.native.processes import LOOPBACK, ports_of
from ingest.codec import api as codec
from ingest.log.sqlite_log import SqliteLog
from lineage.core.model.records import DECISIONS
from tests.support.collecting import Collector, decision, until
from tests.support.configured_sources import Configured

TOKEN: Final = "a-token-of-every-source-in-the-soak"
SOURCES: Final = ("file", "posted", "lines", "topic", "spans")
_LEAST: Final = 10  # records of each source
_PAUSE: Final = 0.004
_AGAIN_LINES: Final = 2_000  # more than the collector reads at once (256 KiB) and _MOST_UNREAD together
_MOST_UNREAD: Final = 64 * 1024
_PATIENCE_SECONDS: Final = 120.0
_CATCH_UP_SECONDS: Final = 600.0
_TENTHS: Final = 10
_GROWTH: Final = 1.05  # from half of the time to its end
_BEGUN: Final = "collecting: "


class Soak:
    """The collector, the writers of its inputs, and what they have written."""

    def __init__(self, folder: Path, servers: str, chance: random.Random) -> None:
        self.desk = Configured(folder)
        self._folder, self._servers, self._chance = folder, servers, chance
        self._ports = ports_of(folder / "ports", ("tcp", "http"))
        self._topic = f"soak-{chance.getrandbits(64):x}"
        self.written: dict[str, int] = dict.fromkeys(SOURCES, 0)
        self.faults: list[str] = []
        self._done = threading.Event()
        self._caught_up = 0.0
        self._begun = 0  # how often a collector has reported that it is running
        admin = KafkaAdminClient(bootstrap_servers=servers)
        admin.create_topics([NewTopic(self._topic, 3, 1)])
        admin.close()
        http_at = f'"{LOOPBACK}:{self._ports["http"]}"'
        self.desk.settings(
            f'[[source]]\nname = "file"\nformat = "opa"\nfollow = "audit.log"\n'
            f'[[source]]\nname = "posted"\nformat = "opa"\nhttp = {http_at}\ntoken = "{TOKEN}"\n'
            f'[[source]]\nname = "lines"\nformat = "opa"\ntcp = "{LOOPBACK}:{self._ports["tcp"]}"\n'
            f'[[source]]\nname = "topic"\nformat = "opa"\nkafka_topic = "kafka://{servers}/{self._topic}"\n'
            f'[[source]]\nname = "spans"\nformat = "otlp"\notlp = {http_at}\ntoken = "{TOKEN}-of-spans"\n'
        )
        self.desk.run("init")

    # The writers

    def _writing(self, name: str, write: Callable[[int], None]) -> threading.Thread:
        def run() -> None:
            try:
                while not self._done.is_set():
                    write(self.written[name])
                    self.written[name] += 1
                    time.sleep(_PAUSE)
            except Exception as error:  # noqa: BLE001 (it is a fault of the soak)
                self.faults.append(f"the writer of {name}: {error!r}")

        return threading.Thread(target=run, name=name, daemon=True)

    def _line(self, name: str, number: int) -> bytes:
        return json.dumps(decision(number) | {"decision_id": f"{name}-{number}"}).encode() + b"\n"

    def _to_file(self, number: int) -> None:
        path, line = self._folder / "audit.log", self._line("file", number)
        cut = self._chance.randrange(len(line))
        for part in (line[:cut], line[cut:]):
            with path.open("ab") as file:
                file.write(part)
        if self._chance.random() < 0.01:
            rotated = self._folder / f"audit.log.{number}"
            match self._chance.randrange(3):
                case 0:
                    path.rename(rotated)
                case 1:
                    shutil.copyfile(path, rotated)
                    os.truncate(path, 0)
                case _:
                    path.rename(rotated)
                    packed = rotated.with_name(f".{rotated.name}.gz")
                    packed.write_bytes(gzip.compress(rotated.read_bytes()))
                    packed.rename(f"{rotated}.gz")
                    rotated.unlink()

    def _post(self, path: str, body: bytes, token: str) -> None:
        """Send until acknowledged."""
        while True:
            with (
                suppress(OSError, http.client.HTTPException),
                closing(http.client.HTTPConnection(LOOPBACK, self._ports["http"], timeout=20)) as connection,
            ):
                connection.request("POST", path, body, {"Authorization": f"Bearer {token}"})
                answer = connection.getresponse()
                result = answer.read()
                if answer.status == 200:
                    return
                if answer.status != 503:
                    raise AssertionError(f"{answer.status} {result!r}")
            time.sleep(0.05)

    def _to_http(self, number: int) -> None:
        self._post("/v1/foreign/posted", self._line("posted", number), TOKEN)

    def _span(self, number: int) -> None:
        start = 1_800_000_000_000_000_000 + number * 1_000_000
        fields = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "search",
            "gen_ai.tool.call.id": f"call-{number}",
            "enduser.id": "alice",
        }
        span = {
            "traceId": f"{number + 1:032x}",
            "spanId": f"{number + 1:016x}",
            "name": "execute_tool search",
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(start + 1_000),
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in fields.items()],
        }
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
        self._post("/v1/traces", json.dumps(body).encode(), f"{TOKEN}-of-spans")

    def _lines(self) -> Callable[[int], None]:
        recent: deque[bytes] = deque(maxlen=_AGAIN_LINES)
        held: list[socket.socket] = []

        def write(number: int) -> None:
            recent.append(self._line("lines", number))
            while True:
                try:
                    if not held:
                        opened = socket.create_connection((LOOPBACK, self._ports["tcp"]), timeout=20)
                        held.append(opened)
                        opened.sendall(b"".join(recent))
                    else:
                        held[0].sendall(recent[-1])
                    while _unread(held[0]) > _MOST_UNREAD and not self._done.is_set():
                        time.sleep(_PAUSE)
                    return
                except OSError:
                    for opened in held:
                        opened.close()
                    held.clear()
                    time.sleep(0.05)

        return write

    # The run

    def run(self, kills: int) -> dict[str, Any]:
        """Kill it a number of times, and report the outcome."""
        with self._traffic() as collector:
            for _ in range(kills):
                if self._chance.random() < 0.7:  # otherwise it is killed while it starts
                    self._wait_until_up(collector)
                time.sleep(self._chance.uniform(0.1, 2.0))
                collector.kill()
                self._begun = collector.output.count(_BEGUN)
                time.sleep(self._chance.uniform(0.0, 0.3))
                collector.__enter__()
            self._wait_until_up(collector)
            # A slow machine may answer no request between two kills.
            until(lambda: min(self.written.values()) > _LEAST or bool(self.faults), _PATIENCE_SECONDS)
            time.sleep(2.0)
        return {"kills": kills} | self._books()

    def steady(self, minutes: float) -> dict[str, Any]:
        """Let it run undisturbed; report its memory after each tenth of the time, and the outcome."""
        sizes = []
        with self._traffic() as collector:
            self._wait_until_up(collector)
            for _ in range(_TENTHS):
                time.sleep(minutes * 60 / _TENTHS)
                sizes.append(_resident_mb(collector))
        if sizes[-1] > _GROWTH * sizes[_TENTHS // 2 - 1]:
            self.faults.append(f"the memory grows: {sizes} MB")
        shown = ", ".join(f"{size:.0f}" for size in sizes)
        return {"minutes": minutes, "MB resident, each tenth of them": shown} | self._books()

    @contextmanager
    def _traffic(self) -> Iterator[Collector]:
        """Run a collector and its writers within the block, and wait until it has ingested everything."""
        producer = KafkaProducer(bootstrap_servers=self._servers, compression_type="gzip")
        writers = [
            self._writing("file", self._to_file),
            self._writing("posted", self._to_http),
            self._writing("lines", self._lines()),
            self._writing(
                "topic", lambda n: producer.send(self._topic, self._line("topic", n), partition=n % 3).get(30)
            ),
            self._writing("spans", self._span),
        ]
        collector = Collector(self.desk)
        collector.__enter__()
        for writer in writers:
            writer.start()
        try:
            yield collector
        finally:
            self._done.set()
            for writer in writers:
                writer.join(60)
            producer.close()
            try:
                self._caught_up = until(self._is_through, _CATCH_UP_SECONDS, 0.5)
            except AssertionError:  # missing records are reported by _books
                self._caught_up = _CATCH_UP_SECONDS
            if collector.stop() != 0:
                self.faults.append(f"the collector did not end well: {collector.output[-2000:]}")

    def _wait_until_up(self, collector: Collector) -> None:
        def is_up() -> bool:
            ended = collector.process is None or collector.process.poll() is not None
            assert not ended, f"the collector does not start: {collector.output[-2000:]}"
            return collector.output.count(_BEGUN) > self._begun

        until(is_up, _PATIENCE_SECONDS)

    def _counts(self) -> dict[str, int]:
        items = {item["name"]: item for item in self.desk.one("sources")["items"]}
        return {name: items[name]["records"] for name in SOURCES if name in items}

    def _is_through(self) -> bool:
        counts = self._counts()
        return all(counts.get(name, 0) >= self.written[name] for name in SOURCES) and set() == self._missing()

    def _in_log(self) -> Iterator[str]:
        log = SqliteLog(str(self.desk.file), create=False, clock=lambda: 0)
        try:
            (end,) = (end for (topic, _), end in log.ends().items() if topic == DECISIONS)
            start = 0
            while start < end:
                records, start = log.read(DECISIONS, 0, start, limit=5_000)
                for record in records:
                    event = codec.decode(record.value)
                    if event.type in {"decision.made", "action.performed"}:
                        yield event.event_id
        finally:
            log.close()

    def _missing(self) -> set[str]:
        found = set(self._in_log())
        sent = {f"{name}#{name}-{number}" for name in SOURCES[:-1] for number in range(self.written[name])}
        spans = sum(event_id.startswith("spans#") for event_id in found)
        short = {f"{self.written['spans'] - spans} spans"} if spans < self.written["spans"] else set()
        return (sent - found) | short

    def _books(self) -> dict[str, Any]:
        counts, found = self._counts(), Counter(self._in_log())
        missing, outcomes = self._missing(), self.desk.one("consume", "--drain")["outcomes"]
        read_twice = {name: counts[name] - self.written[name] for name in ("file", "topic")}
        books: dict[str, Any] = {"records written": sum(self.written.values())}
        books |= {f"  {name}": count for name, count in self.written.items()}
        books |= {
            "lost": len(missing),
            "read twice although the position is stored": sum(map(abs, read_twice.values())),
            "facts stored twice": len(found) - sum(1 for count in found.values() if count >= 1),
            "duplicates recognised by the log": outcomes["duplicates"],
            "conflicts": outcomes["conflicts"],
            "quarantined": len(self.desk.one("quarantine")["items"]),
            "seconds to catch up": f"{self._caught_up:.1f}",
        }
        accepted = outcomes["accepted"] + outcomes["duplicates"]
        in_log = sum(outcomes.values())
        if accepted != in_log:
            self.faults.append(f"of {in_log} records {in_log - accepted} are neither accepted nor duplicates")
        wrong = ("lost", "read twice although the position is stored", "facts stored twice", "conflicts", "quarantined")
        self.faults += [f"{name}: {books[name]}" for name in wrong if books[name]]
        if missing:
            self.faults.append(f"missing: {sorted(missing)[:10]}")
        self.desk.run("fsck")
        return books


def _resident_mb(collector: Collector) -> float:
    assert collector.process is not None
    text = Path(f"/proc/{collector.process.pid}/status").read_text(encoding="ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def _unread(connection: socket.socket) -> int:
    """Count the bytes sent over a connection on this machine that nobody has read, in the buffers of both ends."""
    own, theirs = (f"{end[1]:04X}" for end in (connection.getsockname(), connection.getpeername()))
    unread = 0
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        to_send, to_read = (int(size, 16) for size in queues.split(":"))
        ends = (local.rpartition(":")[2], remote.rpartition(":")[2])
        unread += to_send if ends == (own, theirs) else to_read if ends == (theirs, own) else 0
    return unread


def main() -> int:
    """Run the soak test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--steady", type=float, metavar="MINUTES", help="only measure the memory, without kills")
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if asked.seed is None else asked.seed
    folder = Path(tempfile.mkdtemp(prefix="delegraph-collect-"))
    with Kafka(folder / "kafka") as kafka:
        soak = Soak(folder, kafka.servers, random.Random(seed))
        books = soak.run(asked.kills) if asked.steady is None else soak.steady(asked.steady)
    print(f"| seed {seed} | |\n|---|---:|")
    for name, value in books.items():
        print(f"| {name} | {value} |")
    for fault in soak.faults:
        print(f"WRONG: {fault} ({folder})")
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
