"""Prometheus metrics of a consumer, in a separate registry.

The consumer calls a method for each event; ages are computed on request. Every metric is explained in
docs/monitoring.md. Labels come from a fixed set (outcomes, topics, partitions, kinds of error), never from an event.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from lineage import __version__
from lineage.core.model.records import Outcomes
from lineage.core.model.times import SECOND, Instant
from lineage.serve.processes.health_server import Health

# A batch of one record takes milliseconds; one of 50,000 on a busy database, seconds.
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

Place = tuple[str, int]  # topic and partition


class ConsumerMetrics:
    """Counters, gauges and histograms of one consumer; health is passed on."""

    def __init__(self, clock: Callable[[], Instant], health: Health) -> None:
        self.registry = CollectorRegistry()
        self._health = health
        self._clock = clock
        self._lock = threading.Lock()  # partitions are assigned and revoked on a thread of the client library
        self._places: frozenset[Place] | None = None  # None before the first assignment
        self._recorded_at: Instant | None = None
        self._committed_at: Instant | None = None
        registry = self.registry

        self._records = Counter("delegraph_records", "Records that were read and committed.", registry=registry)
        self._events = Counter("delegraph_events", "Records, by outcome.", ["outcome"], registry=registry)
        for outcome in Outcomes._fields:
            self._events.labels(outcome)
        self._batch = Histogram(
            "delegraph_batch_seconds",
            "From the first record of a batch to its commit.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._transaction = Histogram(
            "delegraph_transaction_seconds",
            "The database transaction of a batch.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._lag = Gauge(
            "delegraph_lag_records",
            "Records in the log that are not projected yet, of the partitions that this consumer reads.",
            ["topic", "partition"],
            registry=registry,
        )
        self._assigned = Gauge("delegraph_partitions", "Partitions that this consumer reads.", registry=registry)
        self._rebalances = Counter(
            "delegraph_rebalances", "How often the partitions of this consumer were reassigned.", registry=registry
        )
        self._faults = Counter(
            "delegraph_faults", "Faults after which it waited and retried.", ["kind"], registry=registry
        )
        self._waited = Counter(
            "delegraph_fault_wait_seconds", "Time for which faults were waited for.", ["kind"], registry=registry
        )
        for kind in ("log", "store"):
            self._faults.labels(kind)
            self._waited.labels(kind)
        self._by_worker = Counter(
            "delegraph_worker_records", "Records that the worker process decoded.", registry=registry
        )
        self._worker_failures = Counter(
            "delegraph_worker_failures", "How often the worker process ended or did not answer.", registry=registry
        )
        self._quarantine = Gauge("delegraph_quarantine_waiting", "Records in quarantine.", registry=registry)
        self._beyond_quota = Gauge(
            "delegraph_quarantine_beyond_quota",
            "Records in quarantine that are kept only as digest and place, because their source has used up its quota.",
            registry=registry,
        )
        self._index_runs = Gauge(
            "delegraph_index_runs", "Sorted runs of the index, each of which a look-up searches.", registry=registry
        )
        self._index_waiting = Gauge(
            "delegraph_index_merge_waiting_facts",
            "Facts whose entries in the index wait to be merged or are being merged.",
            registry=registry,
        )
        self._elements = Gauge(
            "delegraph_graph_elements", "Tokens and delegations in the live graph.", registry=registry
        )
        self._edges = Gauge("delegraph_graph_edges", "Dependencies in the live graph.", registry=registry)
        Gauge("delegraph_build_info", "1, with the version.", ["version"], registry=registry).labels(__version__).set(1)
        registry.register(_Moments(self._moments))
        ProcessCollector(registry=registry)

    # Called by the consumer

    def committed(self, outcomes: Outcomes, records: int, batch_seconds: float, transaction_seconds: float) -> None:
        """Count a committed batch."""
        self._records.inc(records)
        for outcome, count in outcomes._asdict().items():
            self._events.labels(outcome).inc(count)
        self._batch.observe(batch_seconds)
        self._transaction.observe(transaction_seconds)
        self._committed_at = self._clock()
        self._health.answered()

    def made_by_worker(self, records: int) -> None:
        """Count the records of a committed batch that the worker process decoded."""
        self._by_worker.inc(records)

    def worker_failed(self) -> None:
        """Count a failure of the worker process."""
        self._worker_failures.inc()

    def lag(self, by_partition: Mapping[Place, int]) -> None:
        """Set the lag of the projection, for each partition that is read."""
        with self._lock:
            for (topic, partition), records in by_partition.items():
                if (topic, partition) in (self._places or ()):  # the others belong to other consumers now
                    self._lag.labels(topic, str(partition)).set(records)
            self._health.lag_known(self._places is not None and self._places <= by_partition.keys())
        self._health.answered()

    def assigned(self, partitions: Collection[Place]) -> None:
        """Set the partitions that are read from now on. May be called from any thread."""
        places = frozenset(partitions)
        with self._lock:
            for topic, partition in (self._places or frozenset()) - places:
                self._lag.remove(topic, str(partition))
            self._places = places
            self._health.lag_known(False)
        self._assigned.set(len(places))
        self._rebalances.inc()

    def fault(self, kind: str, wait: float) -> None:
        """Count an error that will be retried after some seconds."""
        self._faults.labels(kind).inc()
        self._waited.labels(kind).inc(wait)
        self._health.missed(kind)

    def position(self, recorded_at: Instant | None) -> None:
        """Set when the log recorded the last projected record."""
        self._recorded_at = recorded_at

    def graph(self, elements: int, edges: int) -> None:
        """Set the size of the live graph."""
        self._elements.set(elements)
        self._edges.set(edges)

    def index(self, runs: int, waiting: int) -> None:
        """Set the number of runs of the index, and how many facts wait for their entries to be merged."""
        self._index_runs.set(runs)
        self._index_waiting.set(waiting)

    def quarantine(self, waiting: int, beyond_quota: int) -> None:
        """Set how many records are in quarantine, and how many of them only as digest and place."""
        self._quarantine.set(waiting)
        self._beyond_quota.set(beyond_quota)

    # Called by Prometheus

    def exposition(self) -> bytes:
        """Render everything in Prometheus's text format."""
        return generate_latest(self.registry)

    def _moments(self) -> Iterator[Metric]:
        """Omit metrics whose value is not known yet, because a zero would be wrong."""
        if self._recorded_at is not None:
            age = max(0, self._clock() - self._recorded_at) / SECOND
            yield GaugeMetricFamily("delegraph_position_age_seconds", _AGE, value=age)
        if self._committed_at is not None:
            at = self._committed_at / SECOND
            yield GaugeMetricFamily("delegraph_last_commit_timestamp_seconds", _COMMIT, value=at)


_AGE: Final = "How long ago the log took the last record that is projected."
_COMMIT: Final = "When the last batch was committed, in seconds since the epoch."


class _Moments(Collector):
    def __init__(self, moments: Callable[[], Iterator[Metric]]) -> None:
        self._moments = moments

    def collect(self) -> Iterator[Metric]:
        return self._moments()

    def describe(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("delegraph_position_age_seconds", _AGE)
        yield GaugeMetricFamily("delegraph_last_commit_timestamp_seconds", _COMMIT)
