"""Short measurements of processor time, each as a ratio to a bare loop that runs in turns with it.

Other load on the machine delays a process without costing it processor time. It also empties the processor's caches,
which makes a turn slower, never faster, so the fastest turn of each counts. A process that gets only part of a core
has cold caches in every turn: then questions seemed to cost up to twice as much, and the bare loop 1.2 times.
"""

import gc
import io
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import fastavro

import schemas
from benchmarks import events
from benchmarks.foreign import cloudtrail
from benchmarks.measures import NOW, a_service, append, put
from ingest.codec import api as codec
from ingest.projector import project
from ingest.sources.file_import import ingest_files
from lineage.core.authority.world import World
from lineage.core.model.events import ActionPerformed, Event, Fact, Target, TokenIssued
from lineage.core.revocation.reach import Proposal, reach_of
from lineage.serve.queries.revocations import closure
from lineage.serve.queries.service import Service

TURNS: Final = 4
_EVENTS: Final = 4_000
_WIDE, _DEEP, _ENDED, _ASKED = 4_000, 300, 2_000, 60
_SMALL: Final = 500  # a graph that fits into the caches of a processor


class Work(NamedTuple):
    """Something whose cost is measured; ``turn`` returns the processor time of the part that counts, in seconds."""

    name: str
    turn: Callable[[], float]


@dataclass(slots=True)
class Cost:
    """The fastest turns of some work and of its bare loop, in seconds of processor time."""

    work: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Return the cost of the work, in bare loops."""
        return min(self.work) / min(self.bare)


def spent(work: Callable[[], object]) -> float:
    """The processor time of some work in seconds, after a garbage collection."""
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


def clocks() -> tuple[float, float]:
    """The time by the clock, and that of the processor in this process, in seconds."""
    return time.perf_counter(), time.process_time()


class Bench:
    """The measurements, their bare loop, and what they have cost so far."""

    def __init__(
        self, works: list[Work], bare: Callable[[], float], *, clocks: Callable[[], tuple[float, float]] = clocks
    ) -> None:
        """Take turns of each work with the bare loop, which returns its processor time in seconds."""
        self._works = works
        self._bare = bare
        self._costs = {work.name: Cost() for work in works}
        self._clocks = clocks
        self._began = clocks()

    @property
    def share(self) -> float:
        """Return the share of a core that this process has had since the measurements began."""
        clock, core = (now - began for now, began in zip(self._clocks(), self._began, strict=True))
        return core / clock

    def measure(self, names: Collection[str] | None = None, turns: int = TURNS) -> dict[str, float]:
        """Give some works (None: all) more turns, and return the ratios of all."""
        chosen = [work for work in self._works if names is None or work.name in names]
        bare = self._bare()
        for _ in range(turns):
            for work in chosen:
                cost = self._costs[work.name]
                before = bare
                cost.work.append(work.turn())
                bare = self._bare()
                cost.bare += (before, bare)
        return {name: cost.ratio for name, cost in self._costs.items()}


@contextmanager
def bench() -> Iterator[Bench]:
    """Prepare the measurements, in temporary folders."""
    day = list(events.a_day(_EVENTS))
    values = [codec.encode(event) for event in day]
    schema = fastavro.parse_schema(schemas.latest().definition)

    def bare() -> dict[str, object]:
        half = values[: _EVENTS // 2]
        decoded = (fastavro.schemaless_reader(io.BytesIO(value[10:]), schema, None) for value in half)
        return {str(event["event_id"]): event for event in decoded}  # type: ignore[call-overload,index]

    with tempfile.TemporaryDirectory() as folder, a_service() as (service, _):
        trail = Path(folder) / "trail.json"
        cloudtrail(trail, 1)
        put(service, iter(day))
        put(service, events.a_tree(_WIDE, root="wide", first=1 << 50))
        put(service, events.a_chain(_DEEP, name="deep", first=1 << 51))
        put(service, events.a_revocation(_ENDED, NOW))
        works = [
            Work("encode events", lambda: spent(lambda: [codec.encode(event) for event in day])),
            Work("decode and check events", lambda: spent(lambda: [codec.read(value) for value in values])),
            Work("project events to SQLite", lambda: _projection(day)),
            Work("read CloudTrail", lambda: _import(trail)),
            *_questions(service, day),
        ]
        yield Bench(works, lambda: spent(bare))


def _questions(service: Service, day: list[Event]) -> Iterator[Work]:
    """The questions: about many things, at depth, and about much at once."""
    tokens = [event.body.token for event in day if isinstance(event.body, TokenIssued)][:_ASKED]
    actions = [event.body.action for event in day if isinstance(event.body, ActionPerformed)][:_ASKED]
    world = World(Fact(event, 0) for event in events.a_tree(_SMALL))
    order = Proposal(target=Target("token", "root"), at=NOW)
    stored = Proposal(target=Target("token", "wide"), at=NOW)
    yield Work("status", lambda: spent(lambda: [service.status("token", id_, at=NOW) for id_ in tokens]))
    yield Work("who", lambda: spent(lambda: [service.who(id_, at=NOW) for id_ in actions]))
    yield Work(f"status at {_DEEP} hops", lambda: spent(lambda: service.status("token", f"deep-{_DEEP - 1}", at=NOW)))
    yield Work(f"who at {_DEEP} hops", lambda: spent(lambda: service.who("deep-act", at=NOW)))
    yield Work(
        "build a graph in memory", lambda: spent(lambda: World(Fact(event, 0) for event in events.a_tree(_WIDE)))
    )
    yield Work(
        f"reach of {_SMALL} in memory, 80 times",
        lambda: spent(lambda: [reach_of(world, order).plan_digest for _ in range(80)]),
    )
    yield Work(f"plan of {_WIDE:,}", lambda: spent(lambda: service.reach(stored)))
    yield Work(f"verdict on {_ENDED:,}", lambda: spent(lambda: closure.closure(service, "revoked", at=NOW)))


def _projection(day: list[Event]) -> float:
    with a_service() as (service, _):
        append(service, iter(day))
        return spent(lambda: project(service.require_log(), service.store, None))


def _import(trail: Path) -> float:
    with a_service() as (service, _):
        log = service.require_log()
        return spent(lambda: ingest_files([str(trail)], log, service.store, format="auto", clock=lambda: NOW))
