"""Prometheus metrics of a process that maintains findings, in a separate registry; explained in docs/monitoring.md.

Labels come from the rules and from fixed sets, never from an event.
"""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from lineage import __version__
from lineage.core.findings.judging import STATUSES
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.model.errors import UnavailableError
from lineage.core.model.finding import Severity
from lineage.core.model.times import SECOND
from lineage.serve.commands.finding_keeper import FindingKeeper
from lineage.serve.documents.core_documents import Document
from lineage.serve.processes.health_server import Health
from lineage.store import kept_findings
from lineage.store.store import Store

_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)


class FindingMetrics:
    """Counts of one process; health is passed on."""

    def __init__(
        self, health: Health, store: Store, keeper: FindingKeeper, webhooks: Callable[[], list[Document]]
    ) -> None:
        """Keep the health, and what is counted."""
        self.registry = CollectorRegistry()
        self.health = health
        self._delay = Histogram(
            "delegraph_finding_delay_seconds",
            "The time from the record of a finding's last fact until the finding was opened, by severity.",
            ["severity"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        for severity in Severity:
            self._delay.labels(severity.word)
        self._changes = Counter(
            "delegraph_finding_changes",
            "Findings that this process opened, changed and resolved, by rule and severity.",
            ["change", "rule", "severity"],
            registry=self.registry,
        )
        self._turns = Histogram(
            "delegraph_finding_look_seconds",
            "The time to examine new facts.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._faults = Counter(
            "delegraph_finding_faults", "Faults after which it waited and retried.", registry=self.registry
        )
        info = Gauge("delegraph_build_info", "1, with the version.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)
        self.registry.register(_IndexMetrics(store, keeper, webhooks))
        ProcessCollector(registry=self.registry)
        keeper.notify = self._count

    def turned(self, seconds: float) -> None:
        """Count a successful look."""
        self._turns.observe(seconds)
        self.health.lag_known(True)
        self.health.answered()

    def fault(self) -> None:
        """Count an error: the store is unavailable."""
        self._faults.inc()
        self.health.missed("findings")

    def exposition(self) -> bytes:
        """Render everything in Prometheus's text format."""
        return generate_latest(self.registry)

    def _count(self, changes: list[tuple[str, kept_findings.StoredFinding]], now: int) -> None:
        for change, one in changes:
            if change == kept_findings.REFRESHED:
                continue
            severity = Severity(one.severity).word
            self._changes.labels(change, one.kind, severity).inc()
            if change == kept_findings.OPENED and one.recorded_at:
                self._delay.labels(severity).observe(max(0, now - one.recorded_at) / SECOND)


class _IndexMetrics(Collector):
    """Exports the content of the index; nothing while the store is unavailable."""

    def __init__(self, store: Store, keeper: FindingKeeper, webhooks: Callable[[], list[Document]]) -> None:
        self._store = store
        self._keeper = keeper
        self._webhooks = webhooks

    def collect(self) -> Iterator[Metric]:
        try:
            counts = kept_findings.counts(self._store)
            state = kept_findings.state_of(self._store)
            positions = self._store.positions()
        except UnavailableError:
            return
        found = GaugeMetricFamily("delegraph_findings", _FOUND, labels=["rule", "severity", "status"])
        for (kind, severity, status), count in counts.items():
            found.add_metric([kind, Severity(severity).word, status], count)
        yield found
        missing = GaugeMetricFamily("delegraph_rule_not_evaluated", _MISSING, labels=["rule"])
        for kind in RULES:
            missing.add_metric([kind], float(kind in state.not_evaluated))
        yield missing
        seconds = CounterMetricFamily("delegraph_rule_seconds", _SECONDS, labels=["rule"])
        took = self._keeper.total_seconds
        for kind in RULES:  # also those of which no evaluation was measured yet: a series that appears later is no rate
            seconds.add_metric([kind], took.get(kind, 0.0))
        yield seconds
        messages = CounterMetricFamily("delegraph_webhook_messages", _MESSAGES, labels=["webhook", "outcome"])
        for one in self._webhooks():
            for outcome in ("accepted", "refused", "failed", "held_back"):
                messages.add_metric([one["name"], outcome], one[outcome])
        yield messages
        yield GaugeMetricFamily("delegraph_findings_evaluated_timestamp_seconds", _SWEPT, value=state.swept_at / SECOND)
        yield GaugeMetricFamily("delegraph_findings_evaluation_seconds", _TOOK, value=state.took / SECOND)
        behind = sum(end - state.looked.get(place, 0) for place, end in positions.items())
        yield GaugeMetricFamily("delegraph_findings_not_looked_at", _BEHIND, value=behind)

    def describe(self) -> Iterator[Metric]:
        return iter(())


_FOUND: Final = f"Findings in the index, by rule, severity and status ({', '.join(STATUSES[:3])})."
_MISSING: Final = "1 if a rule was not evaluated, because no source sends what it needs or it is switched off."
_SECONDS: Final = "What each rule took in this process, estimated from a sample."
_MESSAGES: Final = "Messages to webhooks, by outcome; those that were held back were reported as a number."
_SWEPT: Final = "The time up to which the index is evaluated, in seconds since the epoch."
_TOOK: Final = "How long it took to read all facts."
_BEHIND: Final = "Records that are projected and are not in the index yet."
