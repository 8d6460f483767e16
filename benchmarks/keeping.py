"""The cost of keeping findings: in memory by family of rules, during ingestion, and until an alert.

``python -m benchmarks.keeping`` starts Kafka and PostgreSQL on loopback, in a temporary folder. The consumer,
the keeper and the producer run in separate processes, as in production. On a machine with other load, rely on the
processor time.
"""

import argparse
import itertools
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from kafka import KafkaProducer

from benchmarks import events, kafka
from benchmarks.__main__ import show
from benchmarks.kafka import Clocked, Databases, cpu, rate, result
from benchmarks.measures import Figure, write_figures
from compose.native.kafka import Kafka
from compose.native.postgres import Postgres
from ingest.codec import api as codec
from ingest.kafka.consumer import Consumer
from ingest.kafka.log import KafkaLog
from ingest.kafka.settings import KafkaSettings
from ingest.log.port import entry_of
from lineage.core.findings.keeping.live import LiveFindings
from lineage.core.findings.options import Options
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.model.events import Fact
from lineage.core.model.records import Outcomes, ProjectedBatch
from lineage.deliver.findings.finding_feed import FEED
from lineage.plumbing.gc_pause import gc_freeze, gc_paused
from lineage.serve.commands.finding_keeper import FindingKeeper
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now
from lineage.serve.processes.finding_process import MOST, FindingFeeder, FindingProcess
from lineage.store import kept_findings
from lineage.store.delivery import outbox
from lineage.store.kept_findings import OPENED, StoredFinding
from lineage.store.store import Store, open_store

EVENTS: Final = 50_000
BATCH: Final = 500
RATES: Final = (500, 2_000, 5_000)  # events a second, for the delay of alerts
PACED_SECONDS: Final = 20
_SETTLING_SECONDS: Final = 3  # of warm-up at a rate, before which nothing is measured
_GOAL_COST: Final = 0.15
_GOAL_DELAY: Final = 1.0


# Each of these runs in its own process: its arguments are strings, its result is JSON on standard output.


def keeps(store: str, total: str, log: str = "") -> dict[str, float]:
    """Keep the findings of a store until a number of records is in the index; print each alert's delay at the end.

    With a log, every change is also sent to the topic of findings, and the delay until it is there is printed as well.
    """
    opened: dict[int, int] = {}  # when the last fact of a finding was recorded, by the number of its first version
    delays: list[tuple[float, float]] = []  # for each alert: when it was written, and its delay
    numbers = itertools.count(1)

    def notice(changes: list[tuple[str, StoredFinding]], _: int) -> None:
        at = now()
        for (change, one), number in zip(changes, numbers, strict=False):
            if change == OPENED:
                opened[number] = one.recorded_at
                delays.append((at / 1e6, (at - one.recorded_at) / 1e6))

    kept = open_store(store, codec.read)
    process = FindingProcess(Settings(), kept, FindingKeeper(kept, None, Options()), MOST)
    process.keeper.notify = notice
    feeder = _TimedFeeder(kept, log) if log else None
    process.feeder = feeder
    process.keeper.sweep(now())
    print("ready", flush=True)
    stopped = threading.Event()
    running = threading.Thread(target=process.run, args=(stopped,))
    running.start()
    while running.is_alive() and not _is_done(kept, int(total), fed=feeder is not None):
        time.sleep(0.1)
    ended = time.time()
    stopped.set()
    running.join()
    sent = _centiles([] if feeder is None else [*feeder.delays(opened)])
    kept.close()
    return {
        "records": int(total),
        "until": ended,
        **_centiles(delays),
        **{f"topic_{name}": value for name, value in sent.items()},
    }


def _is_done(kept: Store, total: int, *, fed: bool) -> bool:
    """Whether everything is in the index, and in the topic if it is fed."""
    positions, state = kept.positions(), kept_findings.state_of(kept)
    if sum(positions.values()) < total or state.swept != positions:
        return False
    return not fed or outbox.cursor_of(kept, FEED).seq == state.seq


class _TimedFeeder(FindingFeeder):
    """A feeder that notes when which versions were in the topic."""

    def __init__(self, store: Store, log: str) -> None:
        super().__init__(store, log, KafkaSettings())
        self._store = store
        self._turns: list[tuple[int, int]] = [(0, 0)]  # the last version that was sent, and when

    def turn(self) -> int:
        """Send what is new, and note the time."""
        sent, at = super().turn(), now()
        if sent:
            self._turns.append((outbox.cursor_of(self._store, FEED).seq, at))
        return sent

    def delays(self, opened: Mapping[int, int]) -> Iterator[tuple[float, float]]:
        """Yield when each of some versions was in the topic, and how long after the recording of its last fact."""
        for (before, _), (last, at) in itertools.pairwise(self._turns):
            for number in opened.keys() & range(before + 1, last + 1):
                yield at / 1e6, (at - opened[number]) / 1e6


def _centiles(delays: list[tuple[float, float]]) -> dict[str, float]:
    """Summarise delays, each with when it ended, without those of the warm-up."""
    since = min((at for at, _ in delays), default=0.0) + _SETTLING_SECONDS
    counted = sorted(delay for at, delay in delays if at >= since)
    centiles = statistics.quantiles(counted if len(counted) > 1 else [0.0, 0.0], n=100, method="inclusive")
    return {"delays": len(counted), "p50": centiles[49], "p99": centiles[98]}


class _IntakeDelays(Clocked):
    """An observer that notes the delay of facts between their recording and the store."""

    def __init__(self) -> None:
        super().__init__(None)
        self.found: list[tuple[float, float]] = []
        self.has_partitions = threading.Event()

    def committed(
        self, batch: ProjectedBatch, outcomes: Outcomes, batch_seconds: float, transaction_seconds: float
    ) -> None:
        """Note the delays."""
        super().committed(batch, outcomes, batch_seconds, transaction_seconds)
        at = now()
        self.found.extend((at / 1e6, (at - fact.recorded_at) / 1e6) for fact in batch.facts())

    def assigned(self, _partitions: object) -> None:
        """Note that the consumer has joined its group."""
        super().assigned(_partitions)
        self.has_partitions.set()


def consumes(url: str, store: str, total: str) -> dict[str, float]:
    """Project a log that is being written, until a number of records is in the store; print each record's delay."""
    stopped = threading.Event()
    kept = open_store(store, codec.read)
    delays = _IntakeDelays()
    consumer = Consumer(KafkaLog(url), kept, None, group=f"alerts-{store[-12:]}", observer=delays)
    running = threading.Thread(target=consumer.run, args=(stopped,))
    running.start()
    delays.has_partitions.wait()
    print("ready", flush=True)
    while running.is_alive() and sum(kept.positions().values()) < int(total):
        time.sleep(0.1)
    stopped.set()
    running.join()
    kept.close()
    return {"records": int(total), **_centiles(delays.found)}


def paced(url: str, each: str) -> dict[str, float]:
    """Send events at a fixed rate, each dated when it is sent."""
    log, count = KafkaLog(url), int(each) * PACED_SECONDS
    made = list(events.a_day(count, seed=int(each), start=now()))
    producer = KafkaProducer(**log.client(acks="all", linger_ms=5))
    gc_freeze()
    began = time.perf_counter()
    for number, event in enumerate(made):
        behind = began + number / int(each) - time.perf_counter()
        if behind > 0.001:
            time.sleep(behind)
        topic, value, key = entry_of(event._replace(occurred_at=now()))
        producer.send(log.topic_name(topic), value=value, key=key)
    took = time.perf_counter() - began
    producer.flush()
    return {"records": count, "seconds": took}


def rules(count: str) -> dict[str, float]:
    """Evaluate a day in memory, in batches; return the seconds that each rule and the whole took."""
    live = LiveFindings(Options(), monotonic=time.process_time)
    facts = [Fact(event, event.occurred_at + 50_000) for event in events.a_day(int(count))]
    gc_freeze()
    began = time.process_time()
    with gc_paused():  # as the keeper does
        for start in range(0, len(facts), BATCH):
            part = facts[start : start + BATCH]
            live.advance(part, part[-1].recorded_at + 50_000)
    return {"records": len(facts), "seconds": time.process_time() - began, **live.seconds}


PROCESSES: Mapping[str, Callable[..., dict[str, float]]] = {
    each.__name__: each for each in (keeps, consumes, paced, rules)
}


def start(name: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start one of ``PROCESSES``."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.keeping", "--run", name, *arguments], stdout=subprocess.PIPE
    )


def in_memory(count: int) -> Iterator[Figure]:
    """Measure the rules and aggregates alone, and the families of rules."""
    found = result(start("rules", str(count)))
    whole = found["seconds"] / found["records"] * 1e6
    yield Figure(name=f"rules and aggregates, {count:,} events", value=whole, unit="us/event")
    families: Counter[str] = Counter()
    for kind in RULES.keys() & found.keys():
        families[_family(kind)] += found[kind]  # type: ignore[assignment]  # seconds
    for family, took in families.most_common():
        yield Figure(name=f"rules of {family}, from a sample", value=took / found["records"] * 1e6, unit="us/event")


def _family(kind: str) -> str:
    module: str = getattr(RULES[kind].check, "__module__", "")
    return module.rpartition(".")[2]


def beside_intake(url: str, stores: Databases, count: int) -> Iterator[Figure]:
    """Measure ingestion alone, and with a concurrent keeper."""
    for words, made in (("SQLite", stores.sqlite), ("PostgreSQL", stores.postgresql)):
        alone = kafka.run("ours", url, made(), "-")
        store = made()
        keeper = start("keeps", store, str(count))
        _is_ready(keeper)
        beside = kafka.run("ours", url, store, "-")
        kept = result(keeper)
        yield Figure(name=f"intake to {words}, nothing kept", value=rate(alone), unit="events/s")
        slower = rate(alone) / rate(beside) - 1
        yield Figure(name=f"intake to {words}, with a keeper", value=rate(beside), unit="events/s",
                     against="nothing kept", ratio=rate(beside) / rate(alone), goal="<= 15 % slower",
                     met=slower <= _GOAL_COST)  # fmt: skip
        for name, found in (("intake alone", alone), ("intake, with a keeper", beside), ("keeper", kept)):
            yield Figure(name=f"{name}, {words}, of a core", value=cpu(found), unit="us/event", against="intake alone",
                         ratio=cpu(found) / cpu(alone))  # fmt: skip
        behind = kept["until"] - beside["until"]
        yield Figure(name=f"keeper even after the intake, {words}", value=max(0.0, behind), unit="s")


def alerts(servers: str, stores: Databases, rates: Iterable[int]) -> Iterator[Figure]:
    """Measure the delay from the recording of a finding's last fact until it is written, and sent, at fixed rates."""
    for each in rates:
        for words, made in (("SQLite", stores.sqlite), ("PostgreSQL", stores.postgresql)):
            url, store, total = f"kafka://{servers}/alerts-{words}-{each}", made(), each * PACED_SECONDS
            KafkaLog(url).create(partitions=kafka.PARTITIONS, replication=1)
            keeper = start("keeps", store, str(total), url)
            _is_ready(keeper)
            consumer = start("consumes", url, store, str(total))
            _is_ready(consumer)
            sent = result(start("paced", url, str(each)))
            consumed, kept = result(consumer), result(keeper)
            at = f"at {each:,}/s, {words}"
            yield Figure(name=f"sent {at}", value=rate(sent), unit="events/s")
            for name, took in (("consumer", cpu(consumed)), ("keeper", cpu(kept))):  # including their start
                yield Figure(name=f"{name} {at}", value=took, unit="us/event")
                yield Figure(name=f"{name} {at}, share of a core", value=took * each / 1e4, unit="%")
            yield Figure(name=f"fact to store {at}, p50", value=consumed["p50"], unit="s")
            yield Figure(name=f"fact to store {at}, p99", value=consumed["p99"], unit="s")
            yield Figure(name=f"fact to alert {at}, p50", value=kept["p50"], unit="s")
            yield Figure(name=f"fact to alert {at}, p99 of {kept['delays']:,}", value=kept["p99"], unit="s",
                         goal="<= 1 s", met=kept["p99"] <= _GOAL_DELAY)  # fmt: skip
            yield Figure(name=f"fact to topic {at}, p50", value=kept["topic_p50"], unit="s")
            yield Figure(name=f"fact to topic {at}, p99", value=kept["topic_p99"], unit="s", goal="<= 1 s",
                         met=kept["topic_p99"] <= _GOAL_DELAY)  # fmt: skip


def _is_ready(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdout is not None
    if process.stdout.readline().strip() != b"ready":
        raise SystemExit(f"{process.args!r} did not start")


def fill(url: str, count: int) -> None:
    """Create the topics and write the last hours of a day to them."""
    log = KafkaLog(url)
    log.create(partitions=kafka.PARTITIONS, replication=1)
    producer = KafkaProducer(**log.client(acks="all", linger_ms=20))
    for event in events.a_day(count, start=now() - count * 110_000):  # the mean time between two events
        topic, value, key = entry_of(event)
        producer.send(log.topic_name(topic), value=value, key=key)
    producer.flush()
    producer.close()
    log.close()


def main() -> None:
    """Run the measurements, print each figure as it is ready, and write them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keeping", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help="the number of events in memory and of the intake")
    parser.add_argument("--only", choices=["memory", "intake", "alerts"], help="one group")
    parser.add_argument("--rate", type=int, action="append", help="events a second, for the delay of alerts")
    parser.add_argument(
        "--json", type=Path, default=Path("build/benchmarks-keeping.json"), help="output file for the figures"
    )
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        kafka.run_as_process(PROCESSES, *options.run)
        return
    print(f"{platform.machine()}, Python {platform.python_version()}, {options.events:,} events")
    figures: list[Figure] = []

    def each(group: Iterator[Figure]) -> None:
        for figure in group:
            figures.append(figure)
            show(figure)

    if options.only in (None, "memory"):
        each(in_memory(options.events))
    if options.only != "memory":
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            broker = stack.enter_context(Kafka(folder / "kafka"))
            stores = Databases(folder, stack.enter_context(Postgres(folder / "postgres")))
            if options.only in (None, "intake"):
                url = f"kafka://{broker.servers}/day"
                fill(url, options.events)
                each(beside_intake(url, stores, options.events))
            if options.only in (None, "alerts"):
                each(alerts(broker.servers, stores, options.rate or RATES))
    write_figures(figures, options.json)


if __name__ == "__main__":
    main()
