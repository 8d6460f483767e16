"""The topic ``<prefix>.revocations``: the latest state of every element affected by a revocation; compacted.

It has one partition, so that its records are totally ordered. A key is ``KIND:ID``, a value is small JSON; a tombstone
says that the element has expired by itself. The key ``!`` is the heartbeat, by which followers know that they are up
to date.

Every write is one Kafka transaction. A writer that begins fences off the previous one, so a stale writer can never
append an old state after a newer one.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, errors

from ingest.kafka.client import BOOTSTRAP_MS, REQUEST_MS, WRITING, new_client
from ingest.kafka.errors import kafka_faults
from ingest.kafka.log import READING
from ingest.kafka.records import harden
from ingest.kafka.settings import KafkaSettings, parse_url
from lineage.core.model.errors import FencedError, UnavailableError
from lineage.core.model.times import Instant, format_instant

logger = logging.getLogger(__name__)

HEARTBEAT: Final = "!"
PARTITION: Final = 0
TOPIC_SETTINGS: Final = {
    "cleanup.policy": "compact",
    "message.timestamp.type": "LogAppendTime",
    "compression.type": "uncompressed",  # followers need no codec
}
ACTIVE: Final = "active"  # the only state in which an element may be honoured
# An unfinished transaction of a dead writer blocks followers for at most this long, unless another writer begins.
_TRANSACTION_MS: Final = 15_000
_CLIENT: Final[dict[str, Any]] = {
    **WRITING,
    "batch_size": 512 * 1024,  # half of a broker's default limit
    "max_block_ms": REQUEST_MS,
    "delivery_timeout_ms": _TRANSACTION_MS,
    "transaction_timeout_ms": _TRANSACTION_MS,
}
_FENCED: Final = (errors.ProducerFencedError, errors.InvalidProducerEpochError)
_FENCED_NAMES: Final = tuple(kind.__name__ for kind in _FENCED)


@dataclass(frozen=True, slots=True)
class ElementStatus:
    """The state of an element in the topic.

    Attributes:
        state: ``revoked``, ``cascaded``, ``suspended`` or ``active``.
        version: Counts the states of this element that its origin has published.
        origin: The store that published it; versions of different origins cannot be compared.
        revocation: The revocation responsible for the state; None if it is active.
        effective_at: When the state took effect.
        expires_at: When the element expires by itself.
    """

    state: str
    version: int
    origin: str
    revocation: str | None = None
    effective_at: str | None = None
    expires_at: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the element must not be honoured. An unknown state counts as ended."""
        return self.state != ACTIVE


def value_of(key: str, status: ElementStatus) -> bytes:
    """Encode the state of an element for the topic."""
    return _ENCODED({"key": key, **{name: getattr(status, name) for name in _FIELDS}}).encode()


def heartbeat(seq: int, at: Instant) -> tuple[str, bytes]:
    """The key and value of a heartbeat: everything up to the outbox row ``seq`` has been written before it."""
    return HEARTBEAT, json.dumps({"seq": seq, "at": format_instant(at)}, separators=(",", ":")).encode()


def element_status_of(value: bytes) -> ElementStatus:
    """Decode a value of the topic.

    Raises:
        ValueError: It is not the state of an element.
    """
    try:
        stated = json.loads(value)
        return ElementStatus(**{name: kind(stated[name]) for name, kind in _FIELDS.items()})
    except (KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not the state of an element: {error!r}") from error


def _text(value: object) -> str | None:
    return None if value is None else str(value)


_ENCODED: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_FIELDS: Final[dict[str, Callable[[Any], Any]]] = {
    "state": str,
    "version": int,
    "origin": str,
    "revocation": _text,
    "effective_at": _text,
    "expires_at": _text,
}


class RevocationTopic:
    """The writer of the topic. Used by one thread; of several processes, only the last to ``begin`` can write."""

    def __init__(self, url: str, settings: KafkaSettings | None = None, *, topic: str = "revocations") -> None:
        """Set the address; nothing is connected before ``begin``.

        Args:
            url: The URL of the log.
            settings: How to connect; None for neither TLS nor a password.
            topic: The name after the prefix, for other compacted topics that are written in the same way.

        Raises:
            RefusedError: The URL is invalid.
        """
        harden()
        self._servers, prefix = parse_url(url)
        self._settings = settings or KafkaSettings()
        self.name = f"{prefix}.{topic}"
        self._producer: Any = None

    def ensure(self, *, replication: int | None = None) -> bytes:
        """Create the topic if it is missing.

        Args:
            replication: Replicas of its partition; None for the cluster's default.

        Returns:
            The topic id, which differs between topics of the same name.

        Raises:
            RefusedError: We may not create it.
            UnavailableError: The cluster cannot be reached.
        """
        with kafka_faults(self._servers, self._settings, doing="create", topics=[self.name]):
            admin = self._client(KafkaAdminClient, bootstrap_timeout_ms=BOOTSTRAP_MS, request_timeout_ms=REQUEST_MS)
            try:
                [described] = admin.describe_topics([self.name])
                if described["error_code"] != 0 or not described["partitions"]:
                    configs = dict(TOPIC_SETTINGS)
                    if replication is not None:
                        configs["min.insync.replicas"] = str(max(1, replication - 1))
                    settings = {"num_partitions": 1, "replication_factor": replication or -1, "configs": configs}
                    with suppress(errors.TopicAlreadyExistsError):
                        admin.create_topics({self.name: settings}, wait_for_metadata=True)
                    [described] = admin.describe_topics([self.name])
                return str(described["topic_id"]).encode()
            finally:
                admin.close()

    def keys(self) -> set[str]:
        """Read the keys of all elements that have a state in the topic.

        Raises:
            RefusedError: We may not read it.
            UnavailableError: The cluster cannot be reached.
        """
        place = TopicPartition(self.name, PARTITION)
        found: set[str] = set()
        with kafka_faults(self._servers, self._settings, doing="read", topics=[self.name]):
            consumer = self._client(KafkaConsumer, **READING)
            try:
                consumer.assign([place])
                consumer.seek_to_beginning(place)
                [end] = consumer.end_offsets([place]).values()
                while (before := consumer.position(place)) < end:
                    polled = consumer.poll(timeout_ms=REQUEST_MS)
                    if consumer.position(place) == before:
                        raise UnavailableError(f"{', '.join(self._servers)} does not deliver {self.name}")
                    for record in polled.get(place, ()):
                        key = record.key.decode()
                        found.discard(key) if record.value is None else found.add(key)
            finally:
                consumer.close(autocommit=False)
        return found - {HEARTBEAT}

    def begin(self) -> None:
        """Make this the only writer: the previous one is fenced off, and its open transaction is aborted.

        Raises:
            RefusedError: We may not write the topic.
            UnavailableError: The cluster cannot be reached.
        """
        self.close()
        with self._faults():
            self._producer = self._client(KafkaProducer, transactional_id=self.name, **_CLIENT)
            self._producer.init_transactions()

    def write(self, messages: Iterable[tuple[str, bytes | None]]) -> None:
        """Write keys and values, in order and atomically; all in-sync replicas have them when this returns.

        Raises:
            FencedError: Another writer has taken over; ``begin`` again.
            UnavailableError: They may or may not have been written; ``begin`` again, and write them again.
        """
        with self._faults():
            self._producer.begin_transaction()
            sent = [
                self._producer.send(self.name, key=key.encode(), value=value, partition=PARTITION)
                for key, value in messages
            ]
            self._producer.commit_transaction()
            for future in sent:
                future.get(timeout=REQUEST_MS / 1_000)

    def _client(self, kind: Any, **config: Any) -> Any:
        return new_client(kind, bootstrap_servers=list(self._servers), **config, **self._settings.client(self._servers))

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Translate exceptions. A producer that has failed is closed, not reused."""
        try:
            with kafka_faults(self._servers, self._settings, doing="write", topics=[self.name]):
                try:
                    yield
                except errors.KafkaError as error:
                    if not _is_fenced(error):
                        raise
                    raise FencedError(f"another writer has taken over the topic {self.name}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections; an open transaction is abandoned."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.close(timeout=1)
            except errors.KafkaError as error:
                logger.debug("a producer was closed during an operation: %s", error)


def _is_fenced(error: errors.KafkaError) -> bool:
    """Whether another writer has taken over; errors of its sender thread the library passes on only as text."""
    return isinstance(error, _FENCED) or any(name in str(error) for name in _FENCED_NAMES)
