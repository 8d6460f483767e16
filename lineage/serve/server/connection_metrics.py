"""Prometheus metrics about the connections of every server."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lineage.serve.server.connections import Connections


class ConnectionCollector(Collector):
    """Reads the registry of connections on request."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        """Yield how many are open, the limit, and how many were closed or refused because of a limit."""
        connections = self._connections
        yield GaugeMetricFamily("delegraph_http_connections", "Connections that are open.", connections.open)
        yield GaugeMetricFamily(
            "delegraph_http_connections_limit",
            "Connections that may be open at once, from all peers.",
            connections.limits.connections,
        )
        closed = CounterMetricFamily(
            "delegraph_http_connections_closed", "Connections that were closed because of a limit.", labels=["reason"]
        )
        for reason, count in sorted(connections.closed.items()):
            closed.add_metric([reason], count)
        yield closed
        yield CounterMetricFamily(
            "delegraph_http_connections_refused",
            "Connections that were refused because every open one was being answered.",
            connections.refused,
        )
