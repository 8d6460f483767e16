"""Prometheus metrics of a delivery process, in a separate registry; explained in docs/monitoring.md.

Labels come from a fixed set and from the settings, never from an event.
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
from lineage.core.model.times import SECOND, Instant, parse_instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.processes.health_server import Health

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_OUTCOMES: Final = ("enforced", "rejected", "failed")


class DeliveryMetrics:
    """Counts of one process; health is passed on."""

    def __init__(
        self,
        health: Health,
        clock: Callable[[], Instant],
        document: Callable[[], Document],
        ahead_seconds: Callable[[], float],
    ) -> None:
        """Keep the health, the clock, and the functions that report what was delivered and how far the clock is off."""
        self.registry = CollectorRegistry()
        self._health = health
        self._clock = clock
        self._turns = Histogram(
            "delegraph_delivery_turn_seconds",
            "The duration of a turn, which writes state changes to the outbox and sends them to the topic.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._turned_at = Gauge(
            "delegraph_delivery_last_turn_timestamp_seconds",
            "When a turn last succeeded, in seconds since the epoch.",
            registry=self.registry,
        )
        self._faults = Counter(
            "delegraph_delivery_faults", "Faults after which the process waited and retried.", registry=self.registry
        )
        Gauge("delegraph_clock_ahead_seconds", _AHEAD, registry=self.registry).set_function(ahead_seconds)
        self._left = Gauge("delegraph_delivery_left_to_examine", _LEFT, registry=self.registry)
        info = Gauge("delegraph_build_info", "1, with the version.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)
        self.registry.register(_Delivered(document))
        ProcessCollector(registry=self.registry)

    def turned(self, seconds: float) -> None:
        """Count a successful turn: everything pending was written and fed."""
        self._turns.observe(seconds)
        self._turned_at.set(self._clock() / SECOND)
        self._health.lag_known(True)
        self._health.answered()

    def examined(self, left: int) -> None:
        """Set what is left to examine."""
        self._left.set(left)

    def is_long(self, reason: str) -> None:
        """Note that an examination takes long: the process works, but what it delivers is not complete yet."""
        self._health.examining(reason)

    def fenced(self) -> None:
        """Note that another process was faster, which is not an error."""
        self._health.lag_known(True)
        self._health.answered()

    def fault(self) -> None:
        """Count an error: the store or the topic is unavailable."""
        self._faults.inc()
        self._health.missed("delivery")

    def exposition(self) -> bytes:
        """Render everything in Prometheus's text format."""
        return generate_latest(self.registry)


class _Delivered(Collector):
    """Exports the counts of the delivery document."""

    def __init__(self, document: Callable[[], Document]) -> None:
        self._document = document

    def collect(self) -> Iterator[Metric]:
        document = self._document()
        yield CounterMetricFamily("delegraph_spread_changes", _SPREAD, value=document["spread"])
        if document["fed"] is not None:
            yield CounterMetricFamily("delegraph_fed_changes", _FED, value=document["fed"])
        if "pushed" in document:
            yield CounterMetricFamily("delegraph_pushed_events", _PUSHED, value=document["pushed"])
            yield GaugeMetricFamily("delegraph_dead_letters", _REFUSED, value=document["refused"])
        if "called" in document:
            calls = CounterMetricFamily("delegraph_revocation_calls", _CALLS, labels=["receiver", "outcome"])
            for called in document["called"]:
                for outcome in _OUTCOMES:
                    calls.add_metric([called["receiver"], outcome], called[outcome])
            yield calls
        if "checkpoints" in document:
            yield CounterMetricFamily("delegraph_checkpoints_signed", _SIGNED, value=document["checkpoints"])
            yield GaugeMetricFamily("delegraph_checkpoint_faults", _WRONG, value=len(document["checkpoint_faults"]))
            if document["evidence"] is not None:
                yield from _of_evidence(document["evidence"])
        if document.get("retention") is not None:
            yield from _of_retention(document["retention"])

    def describe(self) -> Iterator[Metric]:
        return iter(())


def _of_evidence(document: Document) -> Iterator[Metric]:
    """Export the age and size of what is signed and witnessed, and the witnesses that are silent or refuse."""
    times = GaugeMetricFamily("delegraph_checkpoint_timestamp_seconds", _TIME, labels=["kind"])
    after = GaugeMetricFamily("delegraph_records_after_checkpoint", _AFTER, labels=["kind"])
    size = GaugeMetricFamily("delegraph_checkpoint_records", _SIZE, labels=["kind"])
    for kind in ("signed", "witnessed"):
        found = document["checkpoint" if kind == "signed" else kind]
        if found is not None:
            times.add_metric([kind], parse_instant(found["at"]) / SECOND)
            after.add_metric([kind], found["records_after"])
            size.add_metric([kind], found["size"])
    yield from (times, size, after)
    faults = GaugeMetricFamily("delegraph_witness_faults", _WITNESS, labels=["witness", "fault"])
    for one in document["witnesses"]:
        for fault in ("silent", "refuses"):
            faults.add_metric([one["name"], fault], one[fault])
    yield faults
    yield GaugeMetricFamily("delegraph_broken_trees", _BROKEN, value=document["broken"])


def _of_retention(document: Document) -> Iterator[Metric]:
    """Export when retention last succeeded, whether it is overdue or failed, and what the last run did."""
    run = document["last_run"]
    if run is not None and run["succeeded_at"] is not None:
        at = parse_instant(run["succeeded_at"]) / SECOND
        yield GaugeMetricFamily("delegraph_retention_last_success_timestamp_seconds", _RETAINED, value=at)
    yield GaugeMetricFamily("delegraph_retention_overdue", _OVERDUE, value=document["overdue"])
    failed = run is not None and run["fault"] is not None
    yield GaugeMetricFamily("delegraph_retention_failed", _FAILED, value=failed)
    records = GaugeMetricFamily("delegraph_retention_records", _RECORDS, labels=["outcome"])
    for outcome, name in (("deleted", "records"), ("held", "held"), ("unwitnessed", "unwitnessed")):
        records.add_metric([outcome], 0 if run is None else run[name])
    yield records


_LEFT: Final = "Orders, other new facts and rows of the outbox that are not examined yet: many at a start."
_AHEAD: Final = "By how much the clock of this machine is ahead of that of the database server; 0 with SQLite."
_SPREAD: Final = "Changes of an element's state that were written to the outbox."
_FED: Final = "Changes that were sent to the feed."
_PUSHED: Final = "Security events that receivers accepted by push."
_REFUSED: Final = "Security events that receivers permanently refused, in total."
_SIGNED: Final = "Checkpoints of partitions that this process signed."
_WRONG: Final = "Partitions that cannot be signed, and witnesses that do not cosign, now."
_TIME: Final = "When the last checkpoint was signed, in seconds since the epoch: of those signed, of those witnessed."
_SIZE: Final = "The records under the last checkpoints."
_AFTER: Final = "The projected records that no such checkpoint covers."
_WITNESS: Final = "1 if a witness does not answer (silent), or does not cosign (refuses), now."
_BROKEN: Final = "Partitions whose stored tree is damaged."
_RETAINED: Final = "When a run of retention last succeeded, in seconds since the epoch."
_OVERDUE: Final = "1 if no run of retention has succeeded for twice the time between two of them."
_FAILED: Final = "1 if the last run of retention failed."
_RECORDS: Final = "The old records of the last run: deleted, kept only by holds, waiting for a witnessed checkpoint."
_CALLS: Final = "Calls of revocation endpoints, by outcome."
