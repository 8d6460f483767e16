"""Prometheus metrics of a collecting process, in a separate registry; explained in docs/monitoring.md.

Labels come from a fixed set and from the settings, never from a record.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ingest.sources.inputs.intake import DeliveryOutcome
from lineage import __version__
from lineage.core.model.times import SECOND, Instant
from lineage.serve.processes.health_server import Health

_AGE: Final = "How long ago the last record of a source was taken."
_OUTCOMES: Final = ("read", "skipped", "quarantined")


class CollectMetrics:
    """Counts of one process by source; health is passed on. Thread-safe."""

    def __init__(self, sources: Iterable[str], health: Health, clock: Callable[[], Instant]) -> None:
        """Keep the names of the sources, the health, and the clock."""
        self.registry = CollectorRegistry()
        self._health, self._clock = health, clock
        self._came: dict[str, Instant] = {}
        self._waiting: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        registry = self.registry
        self._records = Counter(
            "delegraph_collected_records", "Records of a source, once the log has them.", ["source", "outcome"],
            registry=registry,
        )  # fmt: skip
        self._events = Counter("delegraph_collected_events", "Events that they gave.", ["source"], registry=registry)
        self._behind = Gauge(
            "delegraph_collect_behind_bytes", "Bytes that an input holds and that were not taken yet.",
            ["source", "input"], registry=registry,
        )  # fmt: skip
        self._behind_records = Gauge(
            "delegraph_collect_behind_records", "Records of a topic that were not taken yet.", ["source"],
            registry=registry,
        )  # fmt: skip
        self._faults = Gauge(
            "delegraph_collect_unreadable", "Files of an input that cannot be read, or are of another format.",
            ["source", "input"], registry=registry,
        )  # fmt: skip
        self._waits = Counter(
            "delegraph_collect_waits", "How often an input waited for the log, the store or its own origin.",
            ["source", "input"], registry=registry,
        )  # fmt: skip
        self._refused = Counter(
            "delegraph_collect_refused_requests", "Requests that were refused, by status.", ["status"],
            registry=registry,
        )  # fmt: skip
        for source in sources:
            self._events.labels(source)
            for outcome in _OUTCOMES:
                self._records.labels(source, outcome)
        Gauge("delegraph_build_info", "1, with the version.", ["version"], registry=registry).labels(__version__).set(1)
        registry.register(_Ages(self._ages))
        ProcessCollector(registry=registry)

    def came_before(self, source: str, at: Instant) -> None:
        """Note when the last record of a source arrived in an earlier process."""
        self._came.setdefault(source, at)

    def took(self, source: str, outcome: DeliveryOutcome) -> None:
        """Count records that the log has now."""
        self._records.labels(source, "read").inc(outcome.records)
        self._records.labels(source, "skipped").inc(sum(outcome.skipped.values()))
        self._records.labels(source, "quarantined").inc(sum(outcome.quarantined.values()))
        self._events.labels(source).inc(outcome.events)
        if outcome.records:
            self._came[source] = self._clock()

    def behind(self, source: str, of: str, size: int, unreadable: int = 0) -> None:
        """Set how many bytes of an input are pending, and how many of its files are unreadable."""
        self._behind.labels(source, of).set(size)
        self._faults.labels(source, of).set(unreadable)

    def behind_records(self, source: str, count: int) -> None:
        """Set how many records of a topic are pending."""
        self._behind_records.labels(source).set(count)

    def refused(self, status: int) -> None:
        """Count a refused request."""
        self._refused.labels(str(status)).inc()

    def waits(self, source: str, of: str) -> None:
        """Count a wait of an input for something unavailable."""
        self._waits.labels(source, of).inc()
        with self._lock:
            self._waiting.add((source, of))
            self._health.missed(f"the input {of} of {source}")

    def goes_on(self, source: str, of: str) -> None:
        """Note that an input is working again."""
        with self._lock:
            self._waiting.discard((source, of))
            if not self._waiting:
                self._health.answered()

    def exposition(self) -> bytes:
        """Render everything in Prometheus's text format."""
        return generate_latest(self.registry)

    def _ages(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("delegraph_collect_last_record_age_seconds", _AGE, labels=["source"])
        now = self._clock()
        for source, at in sorted(self._came.items()):
            family.add_metric([source], max(0, now - at) / SECOND)
        yield family


class _Ages(Collector):
    def __init__(self, ages: Callable[[], Iterator[Metric]]) -> None:
        self._ages = ages

    def collect(self) -> Iterator[Metric]:
        return self._ages()

    def describe(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("delegraph_collect_last_record_age_seconds", _AGE)
