"""The topic ``<prefix>.revocations``: the latest state of every element that orders have touched, compacted.

It has one partition, so that it has one order. A key is ``KIND:ID``, a value small JSON; a tombstone says that the
element is over by itself. The key ``!`` is the heartbeat: by it followers know that they are not behind.

What is written together is one transaction of Kafka. Who begins to write first shuts out whoever wrote before: of two
writers, one of them asleep, an old state can never come behind a newer one.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, errors

from ingest.kafka.client import BOOTSTRAP_MS, REQUEST_MS, WRITING, made
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
ACTIVE: Final = "active"  # the one state that may be honoured
# So long an unfinished transaction of a writer that is gone holds up its followers, if nobody takes over.
_TRANSACTION_MS: Final = 15_000
_CLIENT: Final[dict[str, Any]] = {
    **WRITING,
    "batch_size": 512 * 1024,  # half of what a broker takes at once by default
    "max_block_ms": REQUEST_MS,
    "delivery_timeout_ms": _TRANSACTION_MS,
    "transaction_timeout_ms": _TRANSACTION_MS,
}
_SHUT_OUT: Final = (errors.ProducerFencedError, errors.InvalidProducerEpochError)
_SHUT_OUT_NAMES: Final = tuple(kind.__name__ for kind in _SHUT_OUT)


@dataclass(frozen=True, slots=True)
class Told:
    """What the topic says of an element.

    Attributes:
        state: ``revoked``, ``cascaded``, ``suspended`` or ``active``.
        version: How many times something was told of it.
        origin: By which store: the versions of two cannot be compared.
        revocation: Because of which order; None if it is active.
        effective_at: From when on.
        expires_at: When it is over by itself.
    """

    state: str
    version: int
    origin: str
    revocation: str | None = None
    effective_at: str | None = None
    expires_at: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it may not be honoured. A state that is not known here is none to be honoured."""
        return self.state != ACTIVE


def value_of(key: str, told: Told) -> bytes:
    """What is said of an element, as it stands in the topic."""
    return _ENCODED({"key": key, **{name: getattr(told, name) for name in _FIELDS}}).encode()


def heartbeat(seq: int, at: Instant) -> tuple[str, bytes]:
    """The heartbeat: everything up to a row of the outbox stands before it."""
    return HEARTBEAT, json.dumps({"seq": seq, "at": format_instant(at)}, separators=(",", ":")).encode()


def told_in(value: bytes) -> Told:
    """What a value says.

    Raises:
        ValueError: It is none of ours.
    """
    try:
        said = json.loads(value)
        return Told(**{name: kind(said[name]) for name, kind in _FIELDS.items()})
    except (KeyError, TypeError) as error:
        raise ValueError(f"no state of an element: {error!r}") from error


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
    """The way into the topic. One thread; of all processes only the one that began last."""

    def __init__(self, url: str, settings: KafkaSettings | None = None) -> None:
        """Take the address; ``begin`` goes there.

        Args:
            url: That of the log.
            settings: How to get in; None: without TLS or a password.

        Raises:
            RefusedError: The URL cannot be used.
        """
        harden()
        self._servers, prefix = parse_url(url)
        self._settings = settings or KafkaSettings()
        self.name = f"{prefix}.revocations"
        self._producer: Any = None

    def ensure(self, *, replication: int | None = None) -> bytes:
        """Make the topic if it is missing.

        Args:
            replication: Copies of it; None: what the cluster gives by default.

        Returns:
            What tells it from another of its name.

        Raises:
            RefusedError: It is not for us to make.
            UnavailableError: The cluster does not answer.
        """
        with kafka_faults(self._servers, self._settings, doing="create", topics=[self.name]):
            admin = self._client(KafkaAdminClient, bootstrap_timeout_ms=BOOTSTRAP_MS, request_timeout_ms=REQUEST_MS)
            try:
                [described] = admin.describe_topics([self.name])
                if described["error_code"] != 0 or not described["partitions"]:
                    configs = dict(TOPIC_SETTINGS)
                    if replication is not None:
                        configs["min.insync.replicas"] = str(max(1, replication - 1))
                    wanted = {"num_partitions": 1, "replication_factor": replication or -1, "configs": configs}
                    with suppress(errors.TopicAlreadyExistsError):
                        admin.create_topics({self.name: wanted}, wait_for_metadata=True)
                    [described] = admin.describe_topics([self.name])
                return str(described["topic_id"]).encode()
            finally:
                admin.close()

    def keys(self) -> set[str]:
        """The elements of which it says something.

        Raises:
            RefusedError: It is not for us to read.
            UnavailableError: The cluster does not answer.
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
                        raise UnavailableError(f"{', '.join(self._servers)} does not hand out {self.name}")
                    for record in polled.get(place, ()):
                        key = record.key.decode()
                        found.discard(key) if record.value is None else found.add(key)
            finally:
                consumer.close(autocommit=False)
        return found - {HEARTBEAT}

    def begin(self) -> None:
        """Become the one who writes: whoever did before is shut out, and what it had begun is given up.

        Raises:
            RefusedError: It is not for us to write.
            UnavailableError: The cluster does not answer.
        """
        self.close()
        with self._faults():
            self._producer = self._client(KafkaProducer, transactional_id=self.name, **_CLIENT)
            self._producer.init_transactions()

    def write(self, messages: Iterable[tuple[str, bytes | None]]) -> None:
        """Write keys and values, in order, all or nothing; they are on all replicas in sync when this returns.

        Raises:
            FencedError: Somebody else writes now; ``begin`` again.
            UnavailableError: They may have been written or not; ``begin`` again, and write them again.
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
        return made(kind, bootstrap_servers=list(self._servers), **config, **self._settings.client(self._servers))

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Say what a fault means. A producer that has failed is not used again."""
        try:
            with kafka_faults(self._servers, self._settings, doing="write", topics=[self.name]):
                try:
                    yield
                except errors.KafkaError as error:
                    if not _is_shut_out(error):
                        raise
                    raise FencedError(f"somebody else writes the topic {self.name} now") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections; what was not finished is given up."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.close(timeout=1)
            except errors.KafkaError as error:
                logger.debug("a producer was closed in the middle of something: %s", error)


def _is_shut_out(error: errors.KafkaError) -> bool:
    """Whether somebody else writes now; of what its own thread learned the library hands on only the text."""
    return isinstance(error, _SHUT_OUT) or any(name in str(error) for name in _SHUT_OUT_NAMES)
