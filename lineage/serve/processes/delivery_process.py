"""The delivery process.

It writes the outbox, feeds the Kafka topic, pushes Shared Signals, calls revocation endpoints, signs checkpoints, and
deletes old records where the settings say so.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from ingest.kafka.settings import KafkaSettings
from lineage.core.model.errors import FencedError, RefusedError, UnavailableError
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.plumbing.backoff import Backoff
from lineage.serve.config.wiring import Settings, now, opened_store
from lineage.serve.documents.core_documents import Document
from lineage.serve.processes.background_threads import background_threads
from lineage.serve.processes.checkpoint_process import Checkpointing
from lineage.serve.processes.health_server import Health, Serving
from lineage.serve.processes.retention_process import Retaining
from lineage.serve.processes.rfc7009_process import EndpointCalls
from lineage.serve.processes.signals import stopped_by_signals
from lineage.serve.processes.sole_feeder import SoleFeeder
from lineage.serve.processes.startup_retry import opened_in_time
from lineage.serve.text import render_retention
from lineage.serve.text.text_page import Page, many
from lineage.store.delivery.ssf_streams import count_dead_letters
from lineage.store.server_clock import ServerClock
from lineage.store.store import Store

if TYPE_CHECKING:
    from lineage.deliver.ssf.push_supervisor import Pusher
    from lineage.serve.processes.delivery_metrics import DeliveryMetrics

logger = logging.getLogger(__name__)

_TURN_SECONDS: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 10.0
_LONG_SECONDS: Final = 5.0  # an examination that takes longer is reported: followers may answer "unknown"
_REPORT_SECONDS: Final = 10.0


def deliver(settings: Settings, *, once: bool) -> Document:
    """Deliver until SIGINT or SIGTERM; with ``once`` only what is pending now.

    Unless ``once``, an unavailable store or topic is retried from the start, with exponential backoff.

    Raises:
        RefusedError: The log's URL is invalid, or we may not write the topic.
        UnavailableError: Something is unavailable with ``once``, or it was stopped before it began.
    """
    if once:
        with _opened(settings) as (delivery, ways):
            delivery.turn()
            for way in ways:
                way.once()
            return _document(delivery, ways)
    with (
        stopped_by_signals() as stopped,
        opened_in_time(partial(_opened, settings), stopped) as (delivery, ways),
        ExitStack() as stack,
    ):
        health = Health()
        for way in ways:
            stack.enter_context(way.in_background(stopped, health))
        metrics = _shown(settings, delivery, ways, health, stack) if settings.listen else None
        delivery.run(stopped, metrics)
    return _document(delivery, ways)


def _shown(
    settings: Settings, delivery: "OutboxDelivery", ways: "Ways", health: Health, stack: ExitStack
) -> "DeliveryMetrics":
    """Serve metrics and health on a port, for the lifetime of the stack."""
    from lineage.serve.processes.delivery_metrics import DeliveryMetrics

    metrics = DeliveryMetrics(health, now, partial(_document, delivery, ways), lambda: delivery.clock.ahead_seconds)
    limits = settings.http.connection_limits
    serving = stack.enter_context(Serving(settings.listen or "", metrics.exposition, health, limits=limits))
    logger.info("metrics and health on http://%s:%d", serving.host, serving.port)
    return metrics


def _document(delivery: "OutboxDelivery", ways: "Ways") -> Document:
    document = delivery.document()
    for way in ways:
        document |= way.document()
    return document


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple["OutboxDelivery", "Ways"]]:
    trust = settings.read_trust(now)
    with opened_store(settings) as store:
        clock = ServerClock(store, now)
        pushing = _Pushing(settings, store, trust, clock)
        calling = EndpointCalls(settings, store, trust, clock)
        checkpointing = Checkpointing(settings, store, trust, clock)
        retaining = Retaining(settings, store, clock)
        delivery = OutboxDelivery(store, trust, settings.log_url, settings.kafka, clock)
        try:
            yield delivery, (pushing, calling, checkpointing, retaining)
        finally:
            calling.close()
            delivery.close()


def page_of(document: Document) -> Page:
    """Render what was delivered, for people."""
    page = Page().line(f"{many(document['spread'], 'change')} of an element's state written.")
    fed = document["fed"]
    page.line("No feed: the log is not on Kafka." if fed is None else f"{many(fed, 'change')} sent to the feed.")
    if "pushed" in document:
        page.line(f"{many(document['pushed'], 'event')} accepted by receivers, {document['refused']} refused for good.")
    for called in document.get("called", ()):
        page.line(f"{called['receiver']}: {called['enforced']} enforced, {called['rejected']} rejected.")
    if "checkpoints" in document:
        page.line(f"{many(document['checkpoints'], 'checkpoint')} signed.")
        for fault in document["checkpoint_faults"]:
            page.line((fault, "bold"))
    if (retention := document.get("retention")) is not None:
        render_retention.last_run(page, retention["last_run"])
    return page


class OutboxDelivery:
    """Writes the outbox, and feeds the topic if there is one and no other process does. Single-threaded."""

    def __init__(self, store: Store, trust: Trusted | None, log: str, kafka: KafkaSettings, clock: ServerClock) -> None:
        """Create a delivery.

        Args:
            store: The store to follow.
            trust: Provides the trust table in force.
            log: The URL of the log; for a log on Kafka there is a topic to feed.
            kafka: How to connect to it.
            clock: Returns the current time.
        """
        self._spread = OutboxWriter(store, trust)
        self.clock = clock
        self._feeder = _Feeder(store, log, kafka) if log.startswith("kafka://") else None
        self.spread = 0
        self.fed = 0

    def turn(self, examined: Callable[[int], None] = lambda _left: None) -> None:
        """Process what is pending now.

        Args:
            examined: Called with the number of facts and rows that are left to examine, while there are many.

        Raises:
            FencedError: Another process was faster.
            UnavailableError: The store or the topic is unavailable.
        """
        self.spread += self._spread.round(self.clock.ask, examined)
        if self._feeder is not None:
            self.fed += self._feeder.turn(self.clock())

    def run(self, stopped: threading.Event, metrics: "DeliveryMetrics | None" = None) -> None:
        """Deliver until stopped; retry whatever is unavailable with exponential backoff."""
        backoff = Backoff(2 * _TURN_SECONDS, _LONGEST_WAIT_SECONDS)
        while not stopped.is_set():
            began = time.monotonic()
            try:
                self.turn(_Examination(metrics).examined)
                seconds = time.monotonic() - began
                wait = max(0.0, _TURN_SECONDS - seconds)
                backoff.reset()
                if metrics is not None:
                    metrics.turned(seconds)
            except FencedError as fault:
                logger.info("%s", fault)
                wait = _TURN_SECONDS
                if metrics is not None:
                    metrics.fenced()
            except UnavailableError as fault:
                wait = backoff.next_seconds()
                logger.warning("%s; trying again in %.1f s", fault, wait)
                if metrics is not None:
                    metrics.fault()
            stopped.wait(wait)

    def document(self) -> Document:
        """Report how many rows were written and sent."""
        return {"spread": self.spread, "fed": None if self._feeder is None else self.fed}

    def close(self) -> None:
        """Release its resources."""
        if self._feeder is not None:
            self._feeder.close()


class _Examination:
    """Reports the progress of a long examination: of a start, or after a change of trust.

    Meanwhile there is no heartbeat. It would tell followers that they know of every order that is projected, and some
    are not examined yet.
    """

    def __init__(self, metrics: "DeliveryMetrics | None") -> None:
        self._metrics = metrics
        self._report_at = time.monotonic() + _LONG_SECONDS

    def examined(self, left: int) -> None:
        """Report how much is left."""
        if self._metrics is not None:
            self._metrics.examined(left)
        if left and time.monotonic() >= self._report_at:
            self._report_at = time.monotonic() + _REPORT_SECONDS
            reason = f"{left:,} orders, other facts and rows of the outbox are left to examine"
            logger.info("%s; until then followers get no heartbeat", reason)
            if self._metrics is not None:
                self._metrics.is_long(reason)


class _Pushing:
    """Pushes Shared Signals in separate threads, so that it and the topic do not wait for each other."""

    def __init__(self, settings: Settings, store: Store, trust: Trusted | None, clock: Callable[[], Instant]) -> None:
        self._store = store
        self._pusher = None if settings.ssf is None else _pusher_of(settings, store, trust, clock)

    def once(self) -> None:
        if self._pusher is not None:
            self._pusher.once()

    @contextmanager
    def in_background(self, stopped: threading.Event, health: Health) -> Iterator[None]:
        """Push within the block; ends once ``stopped`` is set."""
        if self._pusher is None:
            yield
            return
        with background_threads({"pusher": self._pusher.run}, stopped, health):
            yield

    def document(self) -> Document:
        """Report how many events this process delivered, and how many were ever permanently refused.

        Empty if nothing is pushed.
        """
        if self._pusher is None:
            return {}
        return {"pushed": self._pusher.accepted, "refused": count_dead_letters(self._store)}


Ways = tuple[_Pushing | EndpointCalls | Checkpointing | Retaining, ...]
"""The work that is done in separate threads."""


def _pusher_of(
    settings: Settings, store: Store, trust: Trusted | None, clock: Callable[[], Instant]
) -> "Pusher | None":
    try:
        from lineage.deliver.ssf.push_supervisor import Pusher
        from lineage.deliver.ssf.transmitter import Transmitter
    except ImportError as error:
        raise RefusedError("pushing needs a few more packages: pip install 'delegraph[serve]'") from error
    transmitter = Transmitter.of(store, trust, settings.ssf, settings.read_keys(), clock)
    return None if transmitter is None else Pusher(transmitter)


class _Feeder:
    """Feeds the outbox to its topic."""

    def __init__(self, store: Store, log: str, kafka: KafkaSettings) -> None:
        from ingest.kafka.revocation_topic import RevocationTopic
        from lineage.deliver.outbox.kafka_feed import Feed, StallWatch

        self._topic = RevocationTopic(log, kafka)
        self._feed = Feed(store, self._topic)
        self._sole = SoleFeeder(self._feed.begin, StallWatch(store))

    def turn(self, at: Instant) -> int:
        return self._sole.turn(partial(self._feed.deliver, at))

    def close(self) -> None:
        self._topic.close()
