"""Revocation from the event to enforcement: in force, plan, receipt, topic, follower; and an incumbent for comparison.

``python -m benchmarks.revocation`` starts Kafka and PostgreSQL on loopback, in a temporary folder. Consumer, delivery
and follower run in separate processes. Goals and ratios are within the run.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from kafka import KafkaConsumer, TopicPartition

from benchmarks import events
from benchmarks.__main__ import show
from benchmarks.incumbent import cascades
from benchmarks.measures import NOW, Figure, a_service, order, put, seconds, write_figures
from compose.native.kafka import Kafka
from compose.native.postgres import Postgres
from ingest.codec import api as codec
from ingest.kafka.log import READING, KafkaLog
from ingest.kafka.revocation_follower import Revocations
from ingest.kafka.revocation_topic import HEARTBEAT
from ingest.log.port import Entry, entry_of
from ingest.projector import project
from lineage.core.model.events import Event, RevocationOrdered, Target
from lineage.core.model.records import ORDERS
from lineage.core.revocation.reach import Proposal
from lineage.deliver.http.signing_keys import load_keys
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.deliver.ssf.polling import poll
from lineage.deliver.ssf.settings import SsfSettings
from lineage.deliver.ssf.stream_requests import MOST_EVENTS, POLL, PollRequest
from lineage.deliver.ssf.transmitter import Transmitter
from lineage.serve.config.wiring import now
from lineage.serve.queries.revocations import closure, receipt
from lineage.serve.queries.service import Service
from lineage.store.store import open_store

SIZES: Final = (1, 1_000, 10_000, 100_000)
DEEP: Final = 10_000
ANSWERED: Final = (10_000, 100_000)  # elements in plan and receipt
DELIVERED: Final = 10_000
ROUNDS: Final = 3
PARTITIONS: Final = 4
KNOWN_GOAL: Final = 1.0  # seconds until another process knows that 99 % of the tokens are dead


def given(root: str, revocation: str, at: int) -> Event:
    """A revocation of a token."""
    body = RevocationOrdered(revocation=revocation, target=Target("token", root), reason="test", ordered_by="human:ir")
    return Event(event_id=f"order-{revocation}", source="urn:bench", occurred_at=at, body=body)


def orders() -> Iterator[Figure]:
    """Measure the time from the append of a revocation until all queries reflect it, by the size of the subtree."""
    with a_service() as (service, _):
        for number, size in enumerate(SIZES):
            put(service, events.a_tree(size, root=f"root{size}", first=(50 + number) << 43))
            yield order(service, f"root{size}", f"root{size}/0", f"{size:,} below")
        put(service, events.a_chain(DEEP, name="chain", first=60 << 43))
        yield order(service, "chain-0", f"chain-{DEEP - 1}", f"a chain {DEEP:,} deep")


def answers() -> Iterator[Figure]:
    """Plan, receipt and closure, from SQLite."""
    for size in ANSWERED:
        with a_service() as (service, _):
            put(service, events.a_tree(size))
            proposal = Proposal(target=Target("token", "root"), at=NOW)
            took = seconds(lambda s=service, p=proposal: s.reach(p))  # type: ignore[misc]
            yield Figure(name=f"plan of {size:,}", value=took, unit="s")
            service.require_log().append([Entry(ORDERS, codec.encode(given("root", "r", NOW)))])
            project(service.require_log(), service.store, None)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            took = seconds(lambda s=service: _read_receipt(s, size))  # type: ignore[misc]  # noqa: B023
            yield Figure(name=f"receipt of {size:,}", value=took, unit="s")
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
            yield Figure(name=f"receipt of {size:,}, more memory", value=grown, unit="MiB")
            took = seconds(lambda s=service: closure.closure(s, "r", at=NOW))  # type: ignore[misc]
            yield Figure(name=f"verdict on {size:,}", value=took, unit="s")


def _read_receipt(service: Service, size: int) -> None:
    with receipt.receipt(service, "r", at=NOW) as found:
        assert found is not None
        assert sum(1 for _ in found.lines) == size + 1


def delivery(folder: Path) -> Iterator[Figure]:
    """Measure the way from an acknowledged revocation to its topic, and to ``is_dead`` in another process."""
    with ExitStack() as stack:
        broker = stack.enter_context(Kafka(folder / "kafka"))
        store = stack.enter_context(Postgres(folder / "postgres")).url()
        url = f"kafka://{broker.servers}/bench"
        log = stack.enter_context(_log(url))
        roots = [f"root{number}" for number in range(ROUNDS + 1)]
        for number, root in enumerate(roots):
            tree = events.a_tree(DELIVERED - 1, root=root, first=(number + 1) << 40, start=now())
            log.append([entry_of(event) for event in tree])
        kept = open_store(store, codec.read, create=True)
        kept.bind(log.identity)
        project(log, kept, None)
        kept.close()
        stack.enter_context(_running("consume", store, url))
        stack.enter_context(_running("deliver", store, url))
        rounds = [_round(log, url, root) for root in roots][1:]  # the first includes the start of the processes
    for name, place in (
        ("to the topic, the last", 0),
        ("to is_dead elsewhere, p50", 1),
        ("to is_dead elsewhere, the last", 3),
    ):
        value = statistics.median(each[place] for each in rounds)
        yield Figure(name=f"{DELIVERED:,} {name}", value=value, unit="s")
    p99 = statistics.median(each[2] for each in rounds)
    yield Figure(name=f"{DELIVERED:,} to is_dead elsewhere, p99", value=p99, unit="s",
                 goal=f"<= {KNOWN_GOAL:g} s", met=p99 <= KNOWN_GOAL)  # fmt: skip


def polled(folder: Path) -> Iterator[Figure]:
    """Polls of a Shared Signals receiver: signed events, a hundred in each, acknowledged with the next poll."""
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / "keys.pem"
    file.touch(mode=0o600)
    file.write_bytes(key)
    with a_service() as (service, _):
        put(service, events.a_tree(DELIVERED - 1, start=now()))
        service.require_log().append([Entry(ORDERS, codec.encode(given("root", "r", now())))])
        project(service.require_log(), service.store, None)
        OutboxWriter(service.store, None).round(now)
        settings = SsfSettings(issuer="https://delegraph.example")
        transmitter = Transmitter(service.store, None, settings, load_keys([file]), now)
        stream = transmitter.create("urn:bench", {"delivery": {"method": POLL}})["stream_id"]
        took = seconds(lambda: _poll_all(transmitter, stream))
    yield Figure(name=f"{DELIVERED:,} to a receiver that polls, signed", value=took, unit="s")


def _poll_all(transmitter: Transmitter, stream: str) -> None:
    count, received = 0, frozenset[str]()
    while found := poll(
        transmitter, "urn:bench", stream, PollRequest(MOST_EVENTS, at_once=True, acknowledged=received, refused={})
    )["sets"]:
        count, received = count + len(found), frozenset(found)
    assert count == DELIVERED


def _round(log: KafkaLog, url: str, root: str) -> tuple[float, float, float, float]:
    """Send one revocation: seconds until the topic had all tokens, and until 50 %, 99 % and all were known dead."""
    follower = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.revocation", "--follow", url, root],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    follower.stdout.readline()  # printed once it is current
    log.append([entry_of(given(root, f"rev-{root}", now()))])
    began = time.time()
    out, _ = follower.communicate(timeout=120)
    known = sorted(moment - began for moment in json.loads(out))
    last = _last_in_topic(url, root) - began
    return last, known[len(known) // 2], known[len(known) * 99 // 100], known[-1]


def follow(url: str, root: str) -> None:
    """Follow the feed in this process: print when it is current, then the times at which the tokens were dead."""
    filters = [event.body.token for event in events.a_tree(DELIVERED - 1, root=root)]  # type: ignore[union-attr]
    with Revocations(url) as known:
        if not known.wait_until_current(timeout=120):
            raise SystemExit("the feed is not running")
        print("current", flush=True)
        moments: list[float] = []
        while filters:
            time.sleep(0.005)
            moment = time.time()
            left = [token for token in filters if not known.is_dead(token)]
            moments += [moment] * (len(filters) - len(left))
            filters = left
    print(json.dumps(moments))


def _last_in_topic(url: str, root: str) -> float:
    """The append time of the last record about a tree, in seconds since 1970."""
    servers, _, prefix = url.removeprefix("kafka://").partition("/")
    place = TopicPartition(f"{prefix}.revocations", 0)
    consumer: Any = KafkaConsumer(bootstrap_servers=servers.split(","), **READING)
    last = 0
    try:
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        [end] = consumer.end_offsets([place]).values()
        while consumer.position(place) < end:
            for record in consumer.poll(timeout_ms=500).get(place, ()):
                if record.key != HEARTBEAT.encode() and record.key.decode().startswith(f"token:{root}"):
                    last = max(last, record.timestamp)
    finally:
        consumer.close()
    return last / 1e3


@contextmanager
def _log(url: str) -> Iterator[KafkaLog]:
    log = KafkaLog(url)
    try:
        log.create(partitions=PARTITIONS, replication=1)
        yield log
    finally:
        log.close()


@contextmanager
def _running(command: str, store: str, log: str) -> Iterator[None]:
    """Run a delegraph command in a process, and terminate it afterwards."""
    words = [str(Path(sys.executable).with_name("delegraph")), command, "--store", store, "--log", log]
    run = subprocess.Popen(words, stdout=subprocess.DEVNULL, env={**os.environ, "DELEGRAPH_LOG_LEVEL": "error"})
    try:
        yield
    finally:
        run.terminate()
        run.wait()


def main() -> None:
    """Run the measurements, print each figure as it is ready, and write them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.revocation", description=__doc__)
    parser.add_argument("--only", choices=["orders", "answers", "delivery", "polled", "incumbent"], help="one group")
    parser.add_argument(
        "--json", type=Path, default=Path("build/benchmarks-revocation.json"), help="output file for the figures"
    )
    parser.add_argument("--follow", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.follow:
        follow(*options.follow)
        return
    print(f"{platform.machine()}, Python {platform.python_version()}; goals are within this run")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        groups: dict[str, Callable[[], Iterator[Figure]]] = {
            "orders": orders,
            "answers": answers,
            "delivery": lambda: delivery(Path(folder)),
            "polled": lambda: polled(Path(folder)),
            "incumbent": cascades,
        }
        for name, group in groups.items():
            if options.only in (None, name):
                for figure in group():
                    figures.append(figure)
                    show(figure)
    write_figures(figures, options.json)


if __name__ == "__main__":
    main()
