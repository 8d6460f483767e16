"""Prometheus metrics of the HTTP API, in a separate registry.

Labels come from the defined paths, never from the content of requests.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.types import Scope

from lineage import __version__
from lineage.serve.http.core.workers import Pools
from lineage.serve.server.connection_metrics import ConnectionCollector
from lineage.serve.server.connections import Connections

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class PoolCollector(Collector):
    """Reads the thread pools on request."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    def collect(self) -> Iterator[Metric]:
        """Yield how many requests wait for a thread, and how many were turned away."""
        waiting = GaugeMetricFamily("delegraph_http_waiting", "Requests that wait for a thread.", labels=["pool"])
        turned_away = CounterMetricFamily(
            "delegraph_http_turned_away", "Requests that found no thread in time.", labels=["pool", "reason"]
        )
        for workers in self._pools.all:
            waiting.add_metric([workers.name], workers.waiting)
            for reason, count in sorted(workers.turned_away.items()):
                turned_away.add_metric([workers.name, reason], count)
        yield waiting
        yield turned_away


class Measures:
    """Counts and durations of requests."""

    def __init__(self, pools: Pools, connections: Connections | None = None) -> None:
        """Start at zero, with the thread pools, and the connections of the server if there is one."""
        self._registry = CollectorRegistry()
        self._registry.register(PoolCollector(pools))
        if connections is not None:
            self._registry.register(ConnectionCollector(connections))
        self._requests = Counter(
            "delegraph_http_requests",
            "Requests that were answered.",
            ["path", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "delegraph_http_request_seconds",
            "From a request to the beginning of its answer.",
            ["path"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}  # the number of labels is bounded
        self._listeners = Gauge("delegraph_http_listeners", "Who listens to the live tail.", registry=self._registry)
        Gauge("delegraph_http_build_info", "1, with the version.", ["version"], registry=self._registry).labels(
            __version__
        ).set(1)
        ProcessCollector(registry=self._registry)

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answered request."""
        path = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        series = self._series.get((path, method, status))
        if series is None:
            series = self._requests.labels(path, method, str(status)), self._seconds.labels(path)
            self._series[path, method, status] = series
        count, time = series
        count.inc()
        time.observe(seconds)

    def exposition(self, listeners: int) -> bytes:
        """Render everything in Prometheus's text format."""
        self._listeners.set(listeners)
        return generate_latest(self._registry)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
