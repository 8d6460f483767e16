"""Delivery as a process: spread what orders do over the elements, feed the topic that followers read, and push."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from ingest.kafka_settings import KafkaSettings
from lineage.core.errors import DelegraphError, FencedError, UnavailableError
from lineage.core.times import Instant
from lineage.core.trust import TrustTable
from lineage.deliver.spread import Spread
from lineage.deliver.ssf.settings import SsfSettings
from lineage.serve.documents import Document
from lineage.serve.page import Page, many
from lineage.serve.patience import opened_in_time
from lineage.serve.stopping import stopped_by_signals
from lineage.serve.wiring import Settings, now, opened_store
from lineage.store.store import Store
from lineage.store.streams import count_dead_letters

if TYPE_CHECKING:
    from lineage.deliver.ssf.pusher import Pusher

logger = logging.getLogger(__name__)

_TURN_SECONDS: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 10.0
_STILL_SECONDS: Final = 5.0  # who is shut out takes over again when nobody has fed for so long


def deliver(settings: Settings, *, once: bool) -> Document:
    """Deliver until stopped by SIGINT or SIGTERM; with ``once`` what there is now.

    Unless it is once, a store or a topic that is away is waited for, from the beginning on, longer each time.

    Raises:
        RefusedError: The log's URL cannot be used, or the topic is not ours to write.
        UnavailableError: Something is away, and it was to deliver once or was stopped before it began.
    """
    if once:
        with _opened(settings) as (delivery, pushing):
            delivery.turn()
            pushing.once()
            return {**delivery.document(), **pushing.document()}
    with stopped_by_signals() as stopped, opened_in_time(partial(_opened, settings), stopped) as (delivery, pushing):
        with pushing.beside(stopped):
            delivery.run(stopped)
        return {**delivery.document(), **pushing.document()}


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple["Delivery", "_Pushing"]]:
    trust = settings.read_trust().table
    with opened_store(settings) as store:
        pushing = _Pushing(settings, store, trust)
        delivery = Delivery(store, trust, settings.log_url, settings.kafka, now)
        try:
            yield delivery, pushing
        finally:
            delivery.close()


def page_of(document: Document) -> Page:
    """What was delivered, for people."""
    page = Page().line(f"{many(document['spread'], 'change')} of an element's state written.")
    fed = document["fed"]
    page.line("No feed: the log is not on Kafka." if fed is None else f"{many(fed, 'change')} sent to the feed.")
    if "pushed" in document:
        page.line(f"{many(document['pushed'], 'event')} accepted by receivers, {document['refused']} refused for good.")
    return page


class Delivery:
    """Spreads, and feeds if there is a topic to feed and nobody else does. One thread."""

    def __init__(
        self, store: Store, trust: TrustTable | None, log: str, kafka: KafkaSettings, clock: Callable[[], Instant]
    ) -> None:
        """Take what it works on.

        Args:
            store: What it follows.
            trust: The trust table in force.
            log: URL of the log; beside one on Kafka there is a topic to feed.
            kafka: How to get in there.
            clock: The moment now.
        """
        self._spread = Spread(store, trust)
        self._clock = clock
        self._feeder = _Feeder(store, log, kafka) if log.startswith("kafka://") else None
        self.spread = 0
        self.fed = 0

    def turn(self) -> None:
        """Do what there is to do now.

        Raises:
            FencedError: Others were faster.
            UnavailableError: Store or topic are away.
        """
        self.spread += self._spread.round(self._clock())
        if self._feeder is not None:
            self.fed += self._feeder.turn(self._clock())

    def run(self, stopped: threading.Event) -> None:
        """Deliver until stopped; what is away is waited for, longer each time."""
        wait = _TURN_SECONDS
        while not stopped.is_set():
            began = time.monotonic()
            try:
                self.turn()
                wait = max(0.0, _TURN_SECONDS - (time.monotonic() - began))
            except FencedError as fault:
                logger.info("%s", fault)
                wait = _TURN_SECONDS
            except UnavailableError as fault:
                wait = min(max(wait, _TURN_SECONDS) * 2, _LONGEST_WAIT_SECONDS)
                logger.warning("%s; trying again in %.1f s", fault, wait)
            stopped.wait(wait)

    def document(self) -> Document:
        """How many rows were written and sent."""
        return {"spread": self.spread, "fed": None if self._feeder is None else self.fed}

    def close(self) -> None:
        """Give back what it holds."""
        if self._feeder is not None:
            self._feeder.close()


class _Pushing:
    """Pushes Shared Signals in threads of its own, so that it does not wait for the topic, nor the topic for it."""

    def __init__(self, settings: Settings, store: Store, trust: TrustTable | None) -> None:
        self._store = store
        self._pusher = None if settings.ssf is None else _pusher_of(settings, settings.ssf, store, trust)

    def once(self) -> None:
        if self._pusher is not None:
            self._pusher.once()

    @contextmanager
    def beside(self, stopped: threading.Event) -> Iterator[None]:
        """Push while this lasts; it ends once ``stopped`` is set."""
        if self._pusher is None:
            yield
            return
        thread = threading.Thread(target=self._pusher.run, args=(stopped,), name="pusher")
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def document(self) -> Document:
        """How many events were accepted here, and how many were ever refused for good; nothing if nothing is pushed."""
        if self._pusher is None:
            return {}
        return {"pushed": self._pusher.accepted, "refused": count_dead_letters(self._store)}


def _pusher_of(settings: Settings, ssf: SsfSettings, store: Store, trust: TrustTable | None) -> "Pusher":
    from lineage.deliver.keys import load_keys
    from lineage.deliver.ssf.pusher import Pusher
    from lineage.deliver.ssf.transmitter import Transmitter

    keys = load_keys([settings.signing_key_file] if settings.signing_key_file else [])
    return Pusher(Transmitter(store, trust, ssf, keys, now))


class _Feeder:
    """Feeds, until somebody else does; then waits until nobody does any more."""

    def __init__(self, store: Store, log: str, kafka: KafkaSettings) -> None:
        from ingest.revocation_topic import RevocationTopic
        from lineage.deliver.feed import Feed, Watch

        self._topic = RevocationTopic(log, kafka)
        self._feed = Feed(store, self._topic)
        self._watch = Watch(store)
        self._feeding = False
        self._shut_out = False

    def turn(self, at: Instant) -> int:
        if not self._feeding:
            if self._shut_out and self._watch.still_seconds() < _STILL_SECONDS:
                return 0
            self._feed.begin()
            self._feeding, self._shut_out = True, False
        try:
            return self._feed.deliver(at)
        except DelegraphError as fault:
            self._feeding, self._shut_out = False, isinstance(fault, FencedError)
            if self._shut_out:
                self._watch.still_seconds()  # from now on
            raise

    def close(self) -> None:
        self._topic.close()
