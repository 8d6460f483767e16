"""``delegraph collect``: the inputs of all named sources in one process, each in a separate thread.

With an embedded log the process also projects, so that answers include what was just written; with a log on Kafka the
consumers do that.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final, Self

from ingest.log.port import Log
from ingest.projector import project
from ingest.sources.inputs.intake import DeliveryOutcome, SourceIntake
from ingest.sources.named import NamedSource
from lineage.core.model.errors import DelegraphError, RefusedError, UnavailableError
from lineage.core.model.trust import in_force
from lineage.plumbing.backoff import Backoff
from lineage.serve.config.wiring import Settings, opened_collecting
from lineage.serve.documents.core_documents import Document
from lineage.serve.processes.collect_inputs import Input, inputs_of, receivers_of
from lineage.serve.processes.collect_metrics import CollectMetrics
from lineage.serve.processes.health_server import Health, Serving
from lineage.serve.processes.signals import stopped_by_signals
from lineage.serve.processes.startup_retry import opened_in_time
from lineage.serve.queries.service import Service
from lineage.store.source_records import SourceRecords

logger = logging.getLogger(__name__)

_TURN_SECONDS: Final = 0.25
_SHORTEST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 10.0
_GOODBYE_SECONDS: Final = 30.0


def collect(settings: Settings, *, drain: bool) -> Document:
    """Collect until SIGINT or SIGTERM; with ``drain`` only what files and topics contain now.

    Raises:
        RefusedError: The settings are invalid, or name no source with an input.
        UnavailableError: Something is unavailable while draining, or it was stopped before it began.
    """
    named = [source for source in settings.sources if source.inputs]
    if not named:
        where = settings.config or "the file of DELEGRAPH_CONFIG"
        raise RefusedError(
            f"there is nothing to collect: {where} has no [[source]] with an input; "
            "give one follow, http, tcp, kafka_topic or otlp"
        )
    if drain:
        with opened_collecting(settings) as (service, log), _Collecting(settings, named, service, log) as collecting:
            collecting.drain()
            return collecting.document()
    with (
        stopped_by_signals() as stopped,
        opened_in_time(partial(opened_collecting, settings), stopped) as (service, log),
        _Collecting(settings, named, service, log) as collecting,
    ):
        collecting.run(stopped)
        return collecting.document()


class _Collecting:
    """The sources and their inputs."""

    def __init__(self, settings: Settings, named: Sequence[NamedSource], service: Service, log: Log) -> None:
        self._settings, self._service, self._log = settings, service, log
        self._health = Health()
        self._metrics = CollectMetrics([one.name for one in named], self._health, service.clock)
        self._came = threading.Event()
        self._totals: dict[str, list[DeliveryOutcome]] = {one.name: [] for one in named}
        self._lock = threading.Lock()
        records = SourceRecords(service.store)
        for count in records.counts():
            self._metrics.came_before(count.source, count.came_at)
        self._intakes = [
            SourceIntake(
                one, log=log, aside=service.store, keeper=records, clock=service.clock, committed=self._committed
            )
            for one in named
        ]
        self._stack = ExitStack()
        self._inputs: list[Input] = []
        self._warn_of_untrusted(named)

    def __enter__(self) -> Self:
        self._inputs = inputs_of(self._settings, self._intakes, self._service.clock, self._metrics, self._stack)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def drain(self) -> None:
        for one in self._inputs:
            if one.drain is not None:
                one.drain()
                continue
            while one.turn(lambda: False):
                pass
        for intake in self._intakes:
            intake.settle(at_once=True)
        if self._projects:
            project(self._service.require_log(), self._service.store, self._service.trust)

    def run(self, stopped: threading.Event) -> None:
        with ExitStack() as stack:
            if self._settings.listen:
                limits = self._settings.http.connection_limits
                serving = stack.enter_context(
                    Serving(self._settings.listen, self._metrics.exposition, self._health, limits=limits)
                )
                logger.info("metrics and health on http://%s:%d", serving.host, serving.port)
            for receiver in receivers_of(self._settings, self._intakes, self._metrics):
                stack.enter_context(receiver)
            for one in self._inputs:
                if one.opening is not None:
                    stack.enter_context(one.opening())
                stack.enter_context(self._thread(one.name, partial(self._turn, one), stopped, one.woken))
            if self._projects:
                stack.enter_context(self._thread("the projection", self._project, stopped, self._came))
            parts = [f"{one.named.name} ({', '.join(sorted(one.named.inputs))})" for one in self._intakes]
            logger.info("collecting: %s", ", ".join(parts))
            self._health.lag_known(True)  # the lag of inputs is reported by source
            while not stopped.wait(_TURN_SECONDS):
                self._health.turned()
                self._settle()

    @property
    def _projects(self) -> bool:
        return not self._settings.on_kafka

    def _turn(self, one: Input, stop: Callable[[], bool]) -> bool:
        try:
            took = one.turn(stop)
        except Exception:
            self._metrics.waits(one.source, one.kind)
            raise
        self._metrics.goes_on(one.source, one.kind)
        return took

    def _project(self, stop: Callable[[], bool]) -> bool:
        return project(self._service.require_log(), self._service.store, self._service.trust, stop=stop) > 0

    def _settle(self) -> None:
        for intake in self._intakes:
            try:
                intake.settle()
            except DelegraphError as fault:
                logger.warning("events of %s wait to be sent: %s", intake.named.name, fault)

    @contextmanager
    def _thread(
        self, name: str, turn: Callable[[Callable[[], bool]], bool], stopped: threading.Event, woken: threading.Event
    ) -> Iterator[None]:
        """Create a thread that takes turns until stopped, and waits longer after each error."""
        done = threading.Event()

        def stop() -> bool:
            return stopped.is_set() or done.is_set()

        def run() -> None:
            backoff = Backoff(_SHORTEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
            while not stop():
                wait = _TURN_SECONDS
                try:
                    woken.clear()
                    if turn(stop):
                        continue
                    backoff.reset()
                except UnavailableError as fault:
                    wait = backoff.next_seconds()
                    logger.warning("%s: %s; trying again in %.1f s", name, fault, wait)
                except DelegraphError as fault:
                    wait = backoff.next_seconds()
                    logger.error("%s: %s; trying again in %.1f s", name, fault, wait)  # noqa: TRY400 (expected; the message suffices)
                except Exception:
                    wait = backoff.next_seconds()
                    logger.exception("%s: trying again in %.1f s", name, wait)
                if wait == _TURN_SECONDS:
                    woken.wait(wait)
                else:
                    stopped.wait(wait)

        thread = threading.Thread(target=run, name=f"delegraph-{name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            woken.set()
            thread.join(_GOODBYE_SECONDS)

    def _committed(self, named: NamedSource, outcome: DeliveryOutcome) -> None:
        self._metrics.took(named.name, outcome)
        with self._lock:
            total = self._totals[named.name]
            self._totals[named.name] = [_sum([*total, outcome])]
        if outcome.events:
            self._came.set()

    def _warn_of_untrusted(self, named: Sequence[NamedSource]) -> None:
        table = in_force(self._service.trust)
        if table is None:
            return
        for one in named:
            if one.source.urn not in table.sources:
                logger.warning(
                    "the trust file does not list %s, the source of the events of %r: they are stored, but count in "
                    "no answer until it is listed",
                    one.source.urn,
                    one.name,
                )

    def document(self) -> Document:
        """Report what was ingested from each source, and which of its files could not be read (``unread``)."""
        items = []
        for name, total in sorted(self._totals.items()):
            unread = {path: why for one in self._inputs if one.source == name for path, why in one.unread().items()}
            item = {"name": name} | _sum(total)._asdict()
            items.append(item | {"unread": unread} if unread else item)
        return {"sources": items}


def _sum(several: Sequence[DeliveryOutcome]) -> DeliveryOutcome:
    skipped: dict[str, int] = {}
    quarantined: dict[str, int] = {}
    for one in several:
        for counts, more in ((skipped, one.skipped), (quarantined, one.quarantined)):
            for reason, count in more.items():
                counts[reason] = counts.get(reason, 0) + count
    return DeliveryOutcome(
        sum(one.records for one in several), sum(one.events for one in several), skipped, quarantined
    )
