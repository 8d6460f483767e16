"""A client of the feed: which tokens may no longer be honoured, held in memory, for whoever asks on every call.

    with Revocations("kafka://broker:9093/delegraph") as revocations:
        revocations.wait_until_current(timeout=30)
        if revocations.is_dead(token_id) is not False:
            refuse()

It reads the topic from its beginning, in a thread, and goes on reading. ``None`` means *unknown*: it is not caught up,
or has heard nothing for longer than ``max_age_seconds``. What to do then is the asker's decision.

How old its knowledge is it tells without comparing clocks. It asks the broker where the topic ends. The second
heartbeat behind that place was begun after the question was asked, and everything that the feed knew then stands
before it.
"""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from kafka import KafkaConsumer, TopicPartition

from ingest.kafka.client import made
from ingest.kafka.errors import kafka_faults
from ingest.kafka.log import READING
from ingest.kafka.records import harden
from ingest.kafka.revocation_topic import HEARTBEAT, PARTITION, Told, told_in
from ingest.kafka.settings import KafkaSettings, parse_url
from lineage.core.model.errors import DelegraphError, RefusedError

logger = logging.getLogger(__name__)

LEAST_SECONDS: Final = 5.0  # of ``max_age_seconds``: less is no more than some heartbeats
_POLL_MS: Final = 200
_RETRY_SECONDS: Final = 1.0
_WORD: Final = HEARTBEAT.encode()
_TOKEN: Final = "token:"
# Of a value that cannot be read: what nobody can tell is not to be honoured.
_UNREADABLE: Final = Told("unreadable", 0, "")


class Revocations:
    """What may no longer be honoured. Any thread may ask."""

    def __init__(self, url: str, settings: KafkaSettings | None = None, *, max_age_seconds: float = 15.0) -> None:
        """Begin to follow.

        Args:
            url: That of the log, ``kafka://host:port[,host:port][/prefix]``.
            settings: How to get in; None: without TLS or a password.
            max_age_seconds: How old its knowledge may be.

        Raises:
            RefusedError: The URL or the age cannot be used.
        """
        if not max_age_seconds >= LEAST_SECONDS:
            raise RefusedError(f"max_age_seconds={max_age_seconds:g} is less than {LEAST_SECONDS:g}")
        harden()
        self._servers, prefix = parse_url(url)
        self._place = TopicPartition(f"{prefix}.revocations", PARTITION)
        self._settings = settings or KafkaSettings()
        self._max_age_seconds = max_age_seconds
        self._told: dict[str, Told] = {}
        self._dead: set[str] = set()  # ids of tokens
        self._current_until = float("-inf")
        self._current = threading.Condition()
        self._leaving = threading.Event()
        self.fault: DelegraphError | None = None
        """Why it does not follow at the moment; None: it does."""
        self._thread = threading.Thread(target=self._follow, name="delegraph-revocations", daemon=True)
        self._thread.start()

    # Asking

    def is_dead(self, token: str, _now: Callable[[], float] = time.monotonic) -> bool | None:
        """Whether a token is revoked, suspended, or hangs on something that is; None: unknown."""
        if _now() > self._current_until:
            return None
        return token in self._dead

    def told(self, kind: str, id_: str) -> Told | None:
        """What the feed last said of an element, however long ago; None: nothing that still matters."""
        return self._told.get(f"{kind}:{id_}")

    def dead(self) -> frozenset[str]:
        """The ids of all tokens that may not be honoured, as of the last that was heard."""
        return frozenset(self._dead.copy())

    @property
    def is_current(self) -> bool:
        """Whether it knows enough to answer."""
        return time.monotonic() <= self._current_until

    def wait_until_current(self, timeout: float) -> bool:
        """Wait until it can answer; false if it still cannot.

        Args:
            timeout: Seconds to wait at the most.
        """
        with self._current:
            return self._current.wait_for(lambda: self.is_current, timeout)

    def close(self) -> None:
        """Stop following; every answer is unknown from then on."""
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
        self._current_until = float("-inf")

    def _read(self) -> None:
        """Read the topic from its beginning until told to leave. What is known stays until it is replaced."""
        consumer = made(
            KafkaConsumer,
            bootstrap_servers=list(self._servers),
            **{**READING, "fetch_max_wait_ms": _POLL_MS},
            **self._settings.client(self._servers),
        )
        try:
            consumer.assign([self._place])
            consumer.seek_to_beginning(self._place)
            anew: dict[str, Told] = {}  # what has come since the beginning, until that is everything
            asked = time.monotonic()
            [end] = consumer.end_offsets([self._place]).values()
            self._catch_up(consumer, end, anew)
            self._keep_up(consumer, asked, end)
        finally:
            consumer.close(autocommit=False)

    def _catch_up(self, consumer: Any, end: int, anew: dict[str, Told]) -> None:
        """Read up to the end that there was, aside, and put it in place of what was known: all else is forgotten."""
        while consumer.position(self._place) < end:
            if self._leaving.is_set():
                return
            for record in consumer.poll(timeout_ms=_POLL_MS).get(self._place, ()):
                if record.key != _WORD:
                    _take(anew, record)
        self._told = anew
        self._dead = {key.removeprefix(_TOKEN) for key, told in anew.items() if told.ended and key.startswith(_TOKEN)}
        self.fault = None

    def _keep_up(self, consumer: Any, asked: float, end: int) -> None:
        """Take in what comes; with the second heartbeat behind a known end it knows how old its knowledge is."""
        heard = 0
        while not self._leaving.is_set():
            for record in consumer.poll(timeout_ms=_POLL_MS).get(self._place, ()):
                if record.key != _WORD:
                    self._put(_take(self._told, record))
                elif record.offset >= end:
                    heard += 1
            if heard > 1:
                self._heard(asked)
                asked, heard = time.monotonic(), 0
                [end] = consumer.end_offsets([self._place]).values()

    def _put(self, key: str) -> None:
        if key.startswith(_TOKEN):
            told = self._told.get(key)
            if told is not None and told.ended:
                self._dead.add(key.removeprefix(_TOKEN))
            else:
                self._dead.discard(key.removeprefix(_TOKEN))

    def _heard(self, asked: float) -> None:
        with self._current:
            self._current_until = asked + self._max_age_seconds
            self._current.notify_all()


def _take(known: dict[str, Told], record: Any) -> str:
    """Take in what a record says: its key."""
    key = str((record.key or b"").decode(errors="replace"))
    if record.value is None:
        known.pop(key, None)
        return key
    try:
        told = told_in(record.value)
    except ValueError as error:
        logger.warning("the feed says something of %s that cannot be read, so it is not honoured: %s", key, error)
        told = _UNREADABLE
    before = known.get(key)
    # After a crash the feed says again what it said before, in the same order: that is not gone back to.
    if before is None or told.origin != before.origin or told.version >= before.version:
        known[key] = told
    return key
