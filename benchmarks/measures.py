"""The measurements: each yields figures, with the goal if any, and the reference in the same run."""

import gc
import io
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import fastavro
import networkx as nx

import schemas
from benchmarks import events
from ingest.codec import api as codec
from ingest.log.port import Entry, entry_of
from ingest.opening import open_log
from ingest.projector import project
from ingest.sources.file_import import ingest_files
from ingest.trust_file import Trust
from lineage.core.authority.world import World
from lineage.core.model.events import ActionPerformed, Event, Fact, RevocationOrdered, Target, TokenIssued
from lineage.core.model.records import ORDERS
from lineage.core.model.times import Instant
from lineage.core.revocation.reach import Proposal, reach_of
from lineage.serve.cache.question_cache import QuestionCache
from lineage.serve.queries.service import Service
from lineage.store.store import open_store

NOW: Instant = events.START + 2 * events.HOUR
ORDER_GOAL = 5  # milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


def write_figures(figures: list[Figure], file: Path) -> None:
    """Write figures to a JSON file, in a folder that is created if it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n", encoding="utf-8")


def seconds(work: Callable[[], object]) -> float:
    """The wall-clock time of some work in seconds."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def percentiles(work: Callable[[str], object], asked: Iterable[str]) -> tuple[float, float]:
    """The median and the 99th percentile of one kind of query, in milliseconds."""
    took = []
    for one in asked:
        began = time.perf_counter()
        work(one)
        took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took), statistics.quantiles(took, n=100, method="inclusive")[98]


@contextmanager
def a_service() -> Iterator[tuple[Service, Path]]:
    """A service over an empty store with its log, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        store = open_store(f"sqlite:///{file}", codec.read, decode_parts=codec.read_parts, create=True)
        log = open_log(f"sqlite:///{file}", create=True, clock=lambda: NOW)
        try:
            yield Service(store, log, Trust(), lambda: NOW, source="urn:bench"), file
        finally:
            log.close()
            store.close()


def append(service: Service, stream: Iterable[Event]) -> int:
    """Append events to the log without projecting them."""
    log, part, count = service.require_log(), [], 0
    for event in stream:
        part.append(entry_of(event))
        count += 1
        if len(part) == 20_000:
            log.append(part)
            part = []
    log.append(part)
    return count


def put(service: Service, stream: Iterable[Event]) -> None:
    """Append events to the log and project them."""
    append(service, stream)
    project(service.require_log(), service.store, None)


def bare_decoding(values: list[bytes]) -> float:
    """The time of a bare fastavro loop over the same records, in seconds: the upper bound for a consumer in Python."""
    schema = fastavro.parse_schema(schemas.latest().definition)

    def loop() -> None:
        for value in values:
            fastavro.schemaless_reader(io.BytesIO(value[10:]), schema, None)

    return seconds(loop)


def intake(count: int) -> Iterator[Figure]:
    """Ingestion end to end and projection alone, compared with bare decoding; disk space for each event."""
    sample = [codec.encode(event) for event in events.a_day(min(count, 200_000))]
    with a_service() as (service, file):
        append(service, events.a_day(count))
        before = bare_decoding(sample) / len(sample)
        took = seconds(lambda: project(service.require_log(), service.store, None)) / count
        bare = statistics.mean((before, bare_decoding(sample) / len(sample)))
        ratio = bare / took
        yield Figure(
            name="projection of ready records",
            value=1 / took,
            unit="events/s",
            against="bare fastavro decoding",
            ratio=ratio,
            goal=">= 0.5",
            met=ratio >= 0.5,
        )
        service.store.close()
        log_bytes = sum(len(value) for value in sample) / len(sample)
        disk = sum(part.stat().st_size for part in file.parent.iterdir()) / count
        yield Figure(
            name="disk an event, log and projection",
            value=disk,
            unit="bytes",
            against="the Avro value alone",
            ratio=disk / log_bytes,
        )
    with a_service() as (service, file):
        lines = file.with_name("events.jsonl")
        with lines.open("wb") as out:
            for event in events.a_day(count):
                out.write(codec.encode_line(event) + b"\n")

        def ingest() -> None:
            log = service.require_log()
            ingest_files([str(lines)], log, service.store, format="auto", clock=lambda: NOW)
            project(log, service.store, None)

        took = seconds(ingest) / count
        yield Figure(
            name="ingest of JSONL, end to end",
            value=1 / took,
            unit="events/s",
            against="bare fastavro decoding",
            ratio=bare / took,
        )


def questions(count: int) -> Iterator[Figure]:
    """``status`` and ``who`` in process, on a store with a number of events and at growing depth; then an order."""
    with a_service() as (service, _):
        day = list(events.a_day(min(count, 50_000)))
        put(service, events.a_day(count))
        step = max(1, len(day) // 500)
        tokens = [event.body.token for event in day if isinstance(event.body, TokenIssued)][::step]
        actions = [event.body.action for event in day if isinstance(event.body, ActionPerformed)][::step]
        del day  # a real service would not keep it in memory, and the garbage collector would scan it
        yield from time_questions(service, f"at {count:,} events", tokens, actions)
        for hops, goal in ((5, 1.0), (1_000, 20.0), (10_000, None)):
            name = f"chain{hops}"
            put(service, events.a_chain(hops, name=name, first=(41 + hops) << 41))
            ids = [f"{name}-{hops - 1}"] * 25, [f"{name}-act"] * 25
            yield from time_questions(service, f"at {hops:,} hops", *ids, milliseconds=goal)
            yield from time_questions(caching(service), f"at {hops:,} hops, asked before", *ids)
        for children in (1, 1_000, 100_000):
            root = f"root{children}"
            put(service, events.a_tree(children, root=root, first=(50 + children) << 43))
            yield order(service, root, f"{root}/0", f"{children:,} below")


def caching(service: Service) -> Service:
    """A service over the same store that keeps what questions load, as a server does."""
    store, log, trust = service.store, service.log, Trust()
    return Service(
        store,
        log,
        trust,
        lambda: NOW,
        source="urn:bench",
        worlds=QuestionCache(store, log, trust, log_inside=True),
    )


def time_questions(
    service: Service, where: str, tokens: list[str], actions: list[str], *, milliseconds: float | None = None
) -> Iterator[Figure]:
    """Queries for many ids; the goal, if there is one, is for ``who``."""
    for name, work, ids in (
        ("status", lambda id_: service.status("token", id_, at=NOW), tokens),
        ("who", lambda id_: service.who(id_, at=NOW), actions),
    ):
        work(ids[0])
        median, p99 = percentiles(work, ids)
        bound = milliseconds if name == "who" else None
        goal, met = ("", None) if bound is None else (f"<= {bound:g} ms", median <= bound)
        yield Figure(name=f"{name} {where}, p50", value=median, unit="ms", goal=goal, met=met)
        yield Figure(name=f"{name} {where}, p99", value=p99, unit="ms")


def order(service: Service, root: str, leaf: str, size: str) -> Figure:
    """A revocation of a root, from the append until it is projected: one row, however many elements depend on it."""
    log, target = service.require_log(), Target("token", root)
    took = []
    for turn in range(9):
        body = RevocationOrdered(revocation=f"{root}-{turn}", target=target, reason="test", ordered_by="human:ir")
        value = codec.encode(Event(event_id=f"{root}-{turn}", source="urn:bench", occurred_at=NOW, body=body))
        began = time.perf_counter()
        log.append([Entry(ORDERS, value)])
        project(log, service.store, None)
        took.append((time.perf_counter() - began) * 1e3)
    below = service.status("token", leaf, at=NOW)
    assert below is not None
    assert below["state"] == "cascaded"
    median = statistics.median(took)
    return Figure(name=f"order in force, {size}", value=median, unit="ms", goal="<= 5 ms", met=median <= ORDER_GOAL)


def reaches(crowd: int) -> Iterator[Figure]:
    """The reach on a graph in memory, compared with ``nx.descendants`` on the same graph, and from SQL."""
    for children, goal in ((10_000, 0.1), (110_000, 0.6)):
        yield from reach(children, goal)
    later = Proposal(target=Target("principal", "agent:busy"), at=events.START + 24 * 366 * events.HOUR)
    before = resident_bytes()
    world = World(Fact(event, 0) for event in events.a_crowd(crowd, 10))
    memory = (resident_bytes() - before) / crowd
    yield Figure(name="memory a node, its facts included", value=memory, unit="bytes")
    yield alive(world, later, crowd)
    del world
    with a_service() as (service, _):
        put(service, events.a_crowd(crowd, 10))
        took = seconds(lambda: service.reach(later))
        yield Figure(name=f"reach of 10 alive of {crowd:,}, from SQL", value=took * 1e3, unit="ms")
    yield widest(crowd)


def resident_bytes() -> int:
    """The resident memory of this process (Linux)."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def reach(children: int, goal: float) -> Iterator[Figure]:
    """The reach of a root with ``children`` descendants."""
    proposal = Proposal(target=Target("token", "root"), at=NOW)
    world = World(Fact(event, 0) for event in events.a_tree(children))
    assert len(reach_of(world, proposal).tokens) == children + 1
    graph = nx.DiGraph(world.graph.view())
    bare = min(seconds(lambda: nx.descendants(graph, "token:root")) for _ in range(3))
    took = min(seconds(lambda: reach_of(world, proposal).plan_digest) for _ in range(3))
    yield Figure(
        name=f"reach of {children:,}, ready graph",
        value=took * 1e3,
        unit="ms",
        against="nx.descendants",
        ratio=took / bare,
        goal=f"<= {goal} s, <= 2 x",
        met=took <= goal and took <= 2 * bare,
    )
    with a_service() as (service, _):
        put(service, events.a_tree(children))
        took = seconds(lambda: service.reach(proposal))
    yield Figure(
        name=f"reach of {children:,}, from SQL",
        value=took * 1e3,
        unit="ms",
        against="nx.descendants",
        ratio=took / bare,
    )


def alive(world: World, later: Proposal, crowd: int) -> Figure:
    """The reach of a principal with ten living tokens among many that have ended, which are not traversed."""
    assert len(reach_of(world, later).tokens) == 10
    took = min(seconds(lambda: reach_of(world, later)) for _ in range(3))
    return Figure(name=f"reach of 10 alive of {crowd:,}, ready graph", value=took * 1e3, unit="ms")


def widest(crowd: int) -> Figure:
    """The reach of a very wide fan-out."""
    world = World(Fact(event, 0) for event in events.a_tree(crowd))
    took = seconds(lambda: reach_of(world, Proposal(target=Target("token", "root"), at=NOW)))
    return Figure(name=f"reach of {crowd:,}, ready graph", value=took * 1e3, unit="ms")
