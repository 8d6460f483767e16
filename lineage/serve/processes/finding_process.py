"""The process that maintains the index of findings, separate so that the delivery of revocations never waits for it.

One thread examines new facts; another reads all facts at the start, and again when their basis changes.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Final

from ingest.kafka.settings import KafkaSettings
from lineage.core.model.errors import FencedError, RefusedError, UnavailableError
from lineage.plumbing.backoff import Backoff
from lineage.serve.commands.finding_keeper import FindingKeeper
from lineage.serve.config.wiring import Settings, now, opened_store
from lineage.serve.documents.core_documents import Document
from lineage.serve.processes.background_threads import background_threads
from lineage.serve.processes.signals import stopped_by_signals
from lineage.serve.processes.sole_feeder import SoleFeeder
from lineage.serve.processes.startup_retry import opened_in_time
from lineage.serve.text.text_page import Page, many
from lineage.store.store import Store

if TYPE_CHECKING:
    from lineage.deliver.findings.webhook_sender import WebhookSender
    from lineage.serve.processes.finding_metrics import FindingMetrics

logger = logging.getLogger(__name__)

MOST: Final = 3_000_000  # facts: some 4 GB of memory
_TURN_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.03  # the wait for new facts
_LONGEST_WAIT_SECONDS: Final = 10.0


def keep_findings(settings: Settings, *, once: bool, most: int = MOST) -> Document:
    """Maintain the findings until SIGINT or SIGTERM; with ``once`` evaluate everything once.

    Raises:
        RefusedError: The store has more facts than may be evaluated.
        UnavailableError: The store is unavailable with ``once``, or it was stopped before it began.
    """
    if once:
        with _opened(settings, most) as process:
            process.once()
            return process.document()
    with (
        stopped_by_signals() as stopped,
        opened_in_time(partial(_opened, settings, most), stopped) as process,
        ExitStack() as stack,
    ):
        if settings.listen:
            process.metrics = _shown(settings, process, stack)
        process.run(stopped)
    return process.document()


@contextmanager
def _opened(settings: Settings, most: int) -> Iterator["FindingProcess"]:
    trust = settings.read_trust(now)
    with opened_store(settings) as store, ExitStack() as stack:
        process = FindingProcess(settings, store, FindingKeeper(store, trust, settings.findings), most)
        process.senders = tuple(_senders(settings, store))
        for sender in process.senders:
            stack.callback(sender.close)
        if settings.on_kafka:
            process.feeder = FindingFeeder(store, settings.log_url, settings.kafka)
            stack.callback(process.feeder.close)
        yield process


def _senders(settings: Settings, store: Store) -> "Iterator[WebhookSender]":
    if not settings.webhooks:
        return
    try:
        from lineage.deliver.findings.webhook_sender import WebhookSender
    except ImportError as error:
        raise RefusedError("telling webhooks needs a few more packages: pip install 'delegraph[serve]'") from error
    for webhook in settings.webhooks:
        yield WebhookSender(store, webhook, now)


def _shown(settings: Settings, process: "FindingProcess", stack: ExitStack) -> "FindingMetrics":
    """Serve metrics and health on a port, for the lifetime of the stack."""
    from lineage.serve.processes.finding_metrics import FindingMetrics
    from lineage.serve.processes.health_server import Health, Serving

    health = Health()
    metrics = FindingMetrics(health, process.store, process.keeper, process.webhook_counts)
    limits = settings.http.connection_limits
    serving = stack.enter_context(Serving(settings.listen or "", metrics.exposition, health, limits=limits))
    logger.info("metrics and health on http://%s:%d", serving.host, serving.port)
    return metrics


def page_of(document: Document) -> Page:
    """Render what was done, for people."""
    page = Page().line(f"{many(document['written'], 'change')} of findings written to the index.")
    page.line(f"{many(document['findings'], 'finding')} in it now.")
    if "fed" in document:
        page.line(f"{many(document['fed'], 'message')} sent to the topic.")
    for one in document.get("webhooks", ()):
        page.line(f"{one['name']}: {one['accepted']} accepted, {one['refused']} refused, {one['held_back']} held back.")
    return page


class FindingProcess:
    """Maintains the index of findings: examines new facts in one thread, and reads all facts in another."""

    def __init__(self, settings: Settings, store: Store, keeper: FindingKeeper, most: int) -> None:
        """Create the process; ``most`` limits the facts that are evaluated."""
        self.settings = settings
        self.store = store
        self.keeper = keeper
        self.metrics: FindingMetrics | None = None
        self.senders: tuple[WebhookSender, ...] = ()
        self.feeder: FindingFeeder | None = None
        self._most = most
        self._stopped = threading.Event()
        self._news: dict[str, threading.Event] = {}  # by the thread that delivers what is written
        self._written = 0

    def once(self) -> None:
        """Evaluate everything once, and send the notifications."""
        self._refuse_too_many()
        for sender in self.senders:
            sender.turn()  # a new webhook is notified from now on
        self._written += self.keeper.sweep(now())
        for sender in self.senders:
            while sender.turn():
                pass
        if self.feeder is not None:
            self.feeder.turn()

    def run(self, stopped: threading.Event) -> None:
        """Maintain the index until stopped; retry whatever is unavailable with exponential backoff."""
        self._refuse_too_many()
        self._stopped = stopped
        tells: dict[str, Callable[[], bool]] = {"feeds": self._feed}
        tells |= {sender.name: partial(_tell, sender) for sender in self.senders}
        self._news = {name: threading.Event() for name in tells}
        threads = {name: partial(self._each_time, turn, news=self._news[name]) for name, turn in tells.items()}
        threads["evaluates"] = partial(self._each_time, self._sweep)
        with background_threads(threads, stopped, None if self.metrics is None else self.metrics.health):
            self._each_time(self._look, stopped, _LOOK_SECONDS)

    def _look(self) -> bool:
        began = time.monotonic()
        self._tell_of(self.keeper.look(now()))
        if self.metrics is not None:
            self.metrics.turned(time.monotonic() - began)
        return self.keeper.is_behind

    def _tell_of(self, written: int) -> None:
        """Count what was written, and wake the threads that deliver it."""
        self._written += written
        if written:
            for news in self._news.values():
                news.set()

    def _feed(self) -> bool:
        return self.feeder is not None and self.feeder.turn() > 0

    def _sweep(self) -> bool:
        if self.keeper.is_due():
            self._refuse_too_many()
            self._tell_of(self.keeper.sweep(now()))
        return False

    def _each_time(
        self,
        turn: Callable[[], bool],
        stopped: threading.Event,
        seconds: float = _TURN_SECONDS,
        news: threading.Event | None = None,
    ) -> None:
        """Take turns until stopped, ``seconds`` apart, or sooner if ``news`` is set."""
        backoff = Backoff(2 * _TURN_SECONDS, _LONGEST_WAIT_SECONDS)
        while not stopped.is_set():
            woken = stopped if news is None else news
            wait = seconds
            try:
                if news is not None:
                    news.clear()
                if turn():
                    wait = 0.0
                backoff.reset()
            except FencedError as fault:
                logger.info("%s", fault)
            except RefusedError as fault:
                wait, woken = _LONGEST_WAIT_SECONDS, stopped
                logger.warning("%s", fault)
            except UnavailableError as fault:
                wait, woken = backoff.next_seconds(), stopped
                logger.warning("%s; trying again in %.1f s", fault, wait)
                if self.metrics is not None:
                    self.metrics.fault()
            woken.wait(wait)

    def _refuse_too_many(self) -> None:
        """Refuse to evaluate more facts than the limit."""
        count = sum(self.store.positions().values())
        if count > self._most:
            gigabytes = count // 1_000_000 + 1
            raise RefusedError(
                f"the store has {count:,} records, and keeping their findings takes some {gigabytes} GB of memory; "
                f"say --most {count} if this machine has that"
            )

    def document(self) -> Document:
        """Report the number of versions written, and the number of findings."""
        from lineage.store.kept_findings import counts

        document: Document = {"written": self._written, "findings": sum(counts(self.store).values())}
        if self.feeder is not None:
            document["fed"] = self.feeder.fed
        if self.senders:
            document["webhooks"] = self.webhook_counts()
        return document

    def webhook_counts(self) -> list[Document]:
        """Count the outcomes of messages, for each webhook."""
        return [{"name": one.webhook.name, **asdict(one.counts)} for one in self.senders]


def _tell(sender: "WebhookSender") -> bool:
    return sender.turn() > 0


class FindingFeeder:
    """Feeds the changes of the index to its topic."""

    def __init__(self, store: Store, log: str, kafka: KafkaSettings) -> None:
        """Create a feeder of a store's index to the topic of a log on Kafka."""
        from ingest.kafka.revocation_topic import RevocationTopic
        from lineage.deliver.findings.finding_feed import FEED, TOPIC, FindingFeed
        from lineage.deliver.outbox.kafka_feed import StallWatch

        self.fed = 0
        self._topic = RevocationTopic(log, kafka, topic=TOPIC)
        self._feed = FindingFeed(store, self._topic)
        self._sole = SoleFeeder(self._feed.begin, StallWatch(store, FEED))

    def turn(self) -> int:
        """Send what is new; return the number of messages.

        Raises:
            FencedError: Another process feeds.
            UnavailableError: The topic or the store is unavailable.
        """
        sent = self._sole.turn(self._feed.deliver)
        self.fed += sent
        return sent

    def close(self) -> None:
        """Close the connection to the topic."""
        self._topic.close()
