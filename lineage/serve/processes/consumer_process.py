"""The consumer process: project the log and whatever arrives, until stopped, and report its health.

If it listens on a loopback port, it also keeps the live graph and answers from it.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Final

from ingest.log.port import Log
from ingest.log.sqlite_log import SqliteLog
from ingest.projector import project
from ingest.tracing import no_tracer
from lineage.core.model.errors import IntegrityError, UnavailableError
from lineage.core.model.records import Outcomes, ProjectedBatch
from lineage.plumbing.backoff import Backoff
from lineage.serve.config.limits import ConnectionLimits
from lineage.serve.config.wiring import Settings, opened_service
from lineage.serve.documents.core_documents import Document
from lineage.serve.processes.background_threads import background_threads
from lineage.serve.processes.consumer_metrics import ConsumerMetrics
from lineage.serve.processes.health_server import Health, Serving
from lineage.serve.processes.live_graph import LiveGraph, routes
from lineage.serve.processes.row_worker import RowProcess, RowsBatch, is_worthwhile
from lineage.serve.processes.signals import stopped_by_signals
from lineage.serve.processes.startup_retry import opened_in_time
from lineage.serve.processes.tracing import tracer
from lineage.serve.queries.records.lost_records import lost_records
from lineage.serve.queries.service import Service
from lineage.store.quarantine import count_beyond_quota, count_quarantined
from lineage.store.store import Store

logger = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.2
_LONGEST_WAIT_SECONDS: Final = 10.0
_FOLLOW_SECONDS: Final = 0.5  # how often the live graph fetches what others have projected
_COUNT_SECONDS: Final = 5.0  # how often the quarantine is counted
_LIVE: Final = "live graph"  # its thread


# Creates a progress callback for a total number of records; the total is None if unknown.
Progress = Callable[[int | None], AbstractContextManager[Callable[[int], None]]]


def consume(settings: Settings, *, drain: bool, progress: Progress) -> Document:
    """Project until SIGINT or SIGTERM; with ``drain`` up to the current end of the log.

    A batch in progress is completed first. Unless it drains, an unavailable log or store is retried from the start,
    with exponential backoff.

    Raises:
        RefusedError: The settings are invalid, or access is denied.
        IntegrityError: The log is not the one that the store has read, or has lost records.
        UnavailableError: Something is unavailable while draining, or it was stopped before it began.
    """
    if drain:
        with opened_service(settings, create=True) as service, progress(service.as_of()["behind"]) as report:
            _check_log(service)
            count = project(service.require_log(), service.store, service.trust.table, progress=report)
            return _document(service, count)
    opening = partial(_opened, settings, progress)
    with stopped_by_signals() as stopped, opened_in_time(opening, stopped) as (service, report):
        count = _follow(service, report, stopped, settings=settings)
        try:
            return _document(service, count)
        except UnavailableError as fault:  # nothing is lost: facts and positions are unchanged
            logger.warning("%s; the contents of the store cannot be counted", fault)
            return {"records": count, "outcomes": None, "as_of": {"recorded_at": None, "behind": None}}


@contextmanager
def _opened(settings: Settings, progress: Progress) -> Iterator[tuple[Service, Callable[[int], None]]]:
    with opened_service(settings, create=True) as service:
        _check_log(service)
        with progress(service.as_of()["behind"]) as report:
            yield service, report


def _check_log(service: Service) -> None:
    """Report the records that the log has lost, without which the store can still project what comes.

    Raises:
        IntegrityError: The log is not the one that the store has read, or is shorter than what was projected.
    """
    log = service.require_log()
    if not isinstance(log, SqliteLog):
        from ingest.kafka.log import KafkaLog, refuse_lost

        assert isinstance(log, KafkaLog)  # noqa: S101 (there are two kinds)
        refuse_lost(log, service.store.positions())
    for sentence in lost_records(log, service.store):
        logger.error("%s; the store keeps what it has of them, see 'delegraph doctor'", sentence)


def _document(service: Service, count: int) -> Document:
    return {"records": count, "outcomes": service.store.outcomes()._asdict(), "as_of": service.as_of()}


def _follow(service: Service, progress: Callable[[int], None], stopped: threading.Event, *, settings: Settings) -> int:
    """Project until stopped, and return the number of records.

    Args:
        service: The service.
        progress: Called with the number of records projected so far.
        stopped: Set to stop.
        settings: The Kafka consumer group, and the address for metrics, health and the live graph, if any.
    """
    log = service.log
    keeper = _ConsumerObserver(service, progress)
    with ExitStack() as stack:
        if settings.listen:
            stack.enter_context(keeper.serving(settings.listen, settings.http.connection_limits, stopped))
        if isinstance(log, SqliteLog):
            _poll(log, service, keeper, stopped)
        else:
            from ingest.kafka.consumer import Consumer
            from ingest.kafka.log import KafkaLog

            assert isinstance(log, KafkaLog)  # noqa: S101 (there are two kinds)
            traced = stack.enter_context(tracer(os.environ))
            worker = None
            if settings.consume_workers or (settings.consume_workers is None and is_worthwhile()):
                with_links = traced is not no_tracer
                worker = RowProcess(service.store, traced=with_links, failed=keeper.worker_failed)
                stack.callback(worker.close)
            consumer = Consumer(
                log,
                service.store,
                service.trust,
                group=settings.group,
                observer=keeper,
                traced=traced,
                worker=worker,
            )
            consumer.run(stopped)
    return keeper.records


def _poll(log: Log, service: Service, keeper: "_ConsumerObserver", stopped: threading.Event) -> None:
    """Poll an embedded log, which cannot notify."""
    backoff, polled = Backoff(2 * _POLL_SECONDS, _LONGEST_WAIT_SECONDS), "store"
    keeper.assigned(log.ends())
    while not stopped.is_set():
        keeper.turned()
        try:
            polled = "log"
            ends = log.ends()
            polled = "store"
            project(log, service.store, service.trust, stop=stopped.is_set, committed=keeper.committed)
            positions = service.store.positions()
            keeper.lag({place: max(0, end - positions.get(place, 0)) for place, end in ends.items()})
            wait = _POLL_SECONDS
            backoff.reset()
        except UnavailableError as fault:
            wait = backoff.next_seconds()
            logger.warning("%s; trying again in %.1f s", fault, wait)
            keeper.fault(polled, wait)
        stopped.wait(wait)


class _ConsumerObserver:
    """The consumer's observer: keeps metrics, health and the live graph up to date."""

    def __init__(self, service: Service, progress: Callable[[int], None]) -> None:
        self._store: Store = service.store
        self._health = Health()
        self._metrics = ConsumerMetrics(service.clock, self._health)
        self._live = LiveGraph(service.store, service.trust, service.clock)
        self._shown = False
        self._progress = progress
        self.records = 0

    def committed(
        self, batch: ProjectedBatch, outcomes: Outcomes, batch_seconds: float, transaction_seconds: float
    ) -> None:
        self.records += batch.records
        self._progress(batch.records)
        self._metrics.committed(outcomes, batch.records, batch_seconds, transaction_seconds)
        if isinstance(batch, RowsBatch):
            self._metrics.made_by_worker(batch.records)
        if batch.records:
            self._metrics.position(batch.recorded_at)
        if self._shown:
            self._live.projected(batch)

    def turned(self) -> None:
        self._health.turned()

    def lag(self, by_partition: Mapping[tuple[str, int], int]) -> None:
        self._metrics.lag(by_partition)

    def assigned(self, partitions: Collection[tuple[str, int]]) -> None:
        self._metrics.assigned(partitions)

    def fault(self, kind: str, wait: float) -> None:
        self._metrics.fault(kind, wait)

    def worker_failed(self) -> None:
        """Count a failure of the worker process."""
        self._metrics.worker_failed()

    @contextmanager
    def serving(self, listen: str, limits: ConnectionLimits, stopped: threading.Event) -> Iterator[None]:
        """Serve on a port, and keep the live graph up to date, within the block."""
        answers = routes(self._live)
        with Serving(listen, self._metrics.exposition, self._health, answers, limits=limits) as serving:
            self._shown = serving.is_loopback  # the live graph is not accessible from elsewhere
            what = "metrics, health and the live graph" if self._shown else "metrics and health"
            logger.info("%s on http://%s:%d", what, serving.host, serving.port)
            with background_threads({_LIVE: self._keep}, stopped, self._health, join_seconds=1):
                yield

    def _keep(self, stopped: threading.Event) -> None:
        counted = -_COUNT_SECONDS
        while not stopped.is_set():
            try:
                if self._shown:
                    self._live.follow()
                    self._metrics.graph(*self._live.size())
                if time.monotonic() - counted >= _COUNT_SECONDS:
                    self._metrics.quarantine(count_quarantined(self._store), count_beyond_quota(self._store))
                    index = self._store.runs()
                    self._metrics.index(index.runs, index.waiting)
                    counted = time.monotonic()
                self._health.part_works(_LIVE)
            except (UnavailableError, IntegrityError) as fault:
                logger.warning("the live graph is not kept up: %s", fault)
                self._health.part_failed(_LIVE, str(fault))
            stopped.wait(_FOLLOW_SECONDS)
