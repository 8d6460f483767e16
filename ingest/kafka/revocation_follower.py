"""A client of the revocation feed: the tokens that must not be honoured, in memory, for a check on every call.

    with Revocations("kafka://broker:9093/delegraph") as revocations:
        revocations.wait_until_current(timeout=30)
        if revocations.is_dead(token_id) is not False:
            refuse()

A background thread reads the topic from its beginning and then follows it. ``None`` means *unknown*: the client has not
caught up yet, or its knowledge is older than ``max_age_seconds``. The caller decides what to do then.

The age of its knowledge is determined without comparing clocks. The client asks the broker for the end of the topic.
The second heartbeat after that offset was begun after the request, and everything that the feed knew by then is before
it.
"""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from kafka import KafkaConsumer, TopicPartition

from ingest.kafka.client import new_client
from ingest.kafka.errors import kafka_faults
from ingest.kafka.log import READING
from ingest.kafka.records import harden
from ingest.kafka.revocation_topic import HEARTBEAT, PARTITION, ElementStatus, element_status_of
from ingest.kafka.settings import KafkaSettings, parse_url
from lineage.core.model.errors import DelegraphError, RefusedError

logger = logging.getLogger(__name__)

LEAST_SECONDS: Final = 5.0  # the least ``max_age_seconds``: a few intervals of the heartbeat
_POLL_MS: Final = 200
_RETRY_SECONDS: Final = 1.0
_HEARTBEAT_KEY: Final = HEARTBEAT.encode()
_TOKEN: Final = "token:"
# Replaces a value that cannot be read: an element whose state is unknown must not be honoured.
_UNREADABLE: Final = ElementStatus("unreadable", 0, "")


class Revocations:
    """The tokens and other elements that must not be honoured. Thread-safe."""

    def __init__(self, url: str, settings: KafkaSettings | None = None, *, max_age_seconds: float = 15.0) -> None:
        """Start to follow the feed.

        Args:
            url: The URL of the log, ``kafka://host:port[,host:port][/prefix]``.
            settings: How to connect; None for neither TLS nor a password.
            max_age_seconds: The greatest age of its knowledge; beyond it every answer is unknown.

        Raises:
            RefusedError: The URL is invalid, or ``max_age_seconds`` is too small.
        """
        if not max_age_seconds >= LEAST_SECONDS:
            raise RefusedError(f"max_age_seconds={max_age_seconds:g} is less than {LEAST_SECONDS:g}")
        harden()
        self._servers, prefix = parse_url(url)
        self._place = TopicPartition(f"{prefix}.revocations", PARTITION)
        self._settings = settings or KafkaSettings()
        self._max_age_seconds = max_age_seconds
        self._statuses: dict[str, ElementStatus] = {}
        self._dead: set[str] = set()  # ids of tokens
        self._current_until = float("-inf")
        self._current = threading.Condition()
        self._leaving = threading.Event()
        self.fault: DelegraphError | None = None
        """Why the feed is not being followed at the moment; None if it is."""
        self._thread = threading.Thread(target=self._follow, name="delegraph-revocations", daemon=True)
        self._thread.start()

    # Queries

    def is_dead(self, token: str, _now: Callable[[], float] = time.monotonic) -> bool | None:
        """Whether a token is revoked or suspended, directly or because of something it depends on; None if unknown."""
        if _now() > self._current_until:
            return None
        return token in self._dead

    def status_of(self, kind: str, id_: str) -> ElementStatus | None:
        """The last state of an element in the feed, however old; None if the feed has none for it."""
        return self._statuses.get(f"{kind}:{id_}")

    def dead(self) -> frozenset[str]:
        """The ids of all tokens that must not be honoured, as of the last record read."""
        return frozenset(self._dead.copy())

    @property
    def is_current(self) -> bool:
        """Whether its knowledge is recent enough to answer."""
        return time.monotonic() <= self._current_until

    def wait_until_current(self, timeout: float) -> bool:
        """Wait until ``is_current``.

        Args:
            timeout: The longest wait, in seconds.

        Returns:
            Whether it is current.
        """
        with self._current:
            return self._current.wait_for(lambda: self.is_current, timeout)

    def close(self) -> None:
        """Stop following; from then on every answer is unknown."""
        self._leaving.set()
        self._thread.join()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop following."""
        self.close()

    # Following

    def _follow(self) -> None:
        while not self._leaving.is_set():
            try:
                with kafka_faults(self._servers, self._settings, doing="read", topics=[self._place.topic]):
                    self._read()
            except DelegraphError as fault:
                if self.fault is None:
                    logger.warning("revocations are not followed: %s", fault)
                self.fault = fault
                self._leaving.wait(_RETRY_SECONDS)
            except Exception as error:  # if this thread ended, every answer would stay unknown
                logger.exception("revocations are not followed; trying again")
                self.fault = DelegraphError(f"an internal error: {error!r}")
                self._leaving.wait(_RETRY_SECONDS)
        self._current_until = float("-inf")

    def _read(self) -> None:
        """Read the topic from its beginning until closed. Existing knowledge is kept until it can be replaced."""
        consumer = new_client(
            KafkaConsumer,
            bootstrap_servers=list(self._servers),
            **{**READING, "fetch_max_wait_ms": _POLL_MS},
            **self._settings.client(self._servers),
        )
        try:
            consumer.assign([self._place])
            consumer.seek_to_beginning(self._place)
            asked = time.monotonic()
            [end] = consumer.end_offsets([self._place]).values()
            self._catch_up(consumer, end)
            self._keep_up(consumer, asked, end)
        finally:
            consumer.close(autocommit=False)

    def _catch_up(self, consumer: Any, end: int) -> None:
        """Read up to ``end`` into new state, then replace the old state by it."""
        states: dict[str, ElementStatus] = {}
        while consumer.position(self._place) < end:
            if self._leaving.is_set():
                return
            for record in consumer.poll(timeout_ms=_POLL_MS).get(self._place, ()):
                if record.key != _HEARTBEAT_KEY:
                    _apply(states, record)
        self._statuses = states
        self._dead = {
            key.removeprefix(_TOKEN) for key, status in states.items() if status.ended and key.startswith(_TOKEN)
        }
        self.fault = None

    def _keep_up(self, consumer: Any, asked: float, end: int) -> None:
        """Apply new records; the second heartbeat after a known end tells how old the knowledge is."""
        received = 0
        while not self._leaving.is_set():
            for record in consumer.poll(timeout_ms=_POLL_MS).get(self._place, ()):
                if record.key != _HEARTBEAT_KEY:
                    self._put(_apply(self._statuses, record))
                elif record.offset >= end:
                    received += 1
            if received > 1:
                self._heard(asked)
                asked, received = time.monotonic(), 0
                [end] = consumer.end_offsets([self._place]).values()

    def _put(self, key: str) -> None:
        if key.startswith(_TOKEN):
            status = self._statuses.get(key)
            if status is not None and status.ended:
                self._dead.add(key.removeprefix(_TOKEN))
            else:
                self._dead.discard(key.removeprefix(_TOKEN))

    def _heard(self, asked: float) -> None:
        with self._current:
            self._current_until = asked + self._max_age_seconds
            self._current.notify_all()


def _apply(known: dict[str, ElementStatus], record: Any) -> str:
    """Apply a record to the known states, and return its key."""
    key = str((record.key or b"").decode(errors="replace"))
    if record.value is None:
        known.pop(key, None)
        return key
    try:
        status = element_status_of(record.value)
    except ValueError as error:
        logger.warning("the feed's state of %s cannot be read, so it is not honoured: %s", key, error)
        status = _UNREADABLE
    before = known.get(key)
    # After a crash the feed repeats earlier states in the same order: a newer state is not replaced by an older one.
    if before is None or status.origin != before.origin or status.version >= before.version:
        known[key] = status
    return key
