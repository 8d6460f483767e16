"""The log on Kafka: two topics, any number of partitions. The time of a record is the broker's append time.

A log is identified by its cluster and the ids of its topics, so a topic that was deleted and created again under the
same name is another log. Reads are ``read_committed``; aborted transactions leave gaps.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAlreadyExistsError
from kafka.protocol.consumer import OffsetSpec

from ingest.codec.limits import RECORD_BYTES
from ingest.kafka.client import BOOTSTRAP_MS, REQUEST_MS, new_client
from ingest.kafka.errors import kafka_faults
from ingest.kafka.fetch_batches import read_lean
from ingest.kafka.records import harden, records_of
from ingest.kafka.settings import KafkaSettings, parse_url
from ingest.log.port import Entry
from lineage.core.model.errors import IntegrityError, UnavailableError
from lineage.core.model.records import TOPICS, Position, Record, Slice

logger = logging.getLogger(__name__)

# The topic settings that the log needs to be the source of truth.
TOPIC_SETTINGS: Final = {
    "message.timestamp.type": "LogAppendTime",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    # The broker decompresses: consumers need no codec, and a small record that decompresses to a huge one is refused.
    "compression.type": "uncompressed",
}
# If a read returns no record for this long although there are some, the broker is not answering.
_READ_SECONDS: Final = 30
_POLL_MS: Final = 250
_POLL_RECORDS: Final = 5_000
_FETCH_BYTES: Final = 16 * 1024 * 1024
_SLICE_BYTES: Final = 64 * 1024 * 1024  # of values in one slice: records may be large, and a slice is kept in memory
# Enough for the largest record, its key, and headers of other producers.
MESSAGE_BYTES: Final = RECORD_BYTES + 64 * 1024


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the cluster describes it.

    Attributes:
        name: Its name on the cluster, including the prefix.
        id: Its topic id, which differs between topics of the same name.
        partitions: Its number of partitions.
        replication: The smallest number of replicas of any partition.
    """

    name: str
    id: str
    partitions: int
    replication: int


class KafkaLog:
    """A log on Kafka. Used by one thread at a time, and by any number of processes."""

    def __init__(self, url: str, settings: KafkaSettings | None = None) -> None:
        """Connect to the cluster.

        Args:
            url: ``kafka://host:port[,host:port][/prefix]``.
            settings: How to connect; None for neither TLS nor a password.

        Raises:
            RefusedError: The URL or the settings are invalid, or the cluster denies access.
            UnavailableError: The cluster cannot be reached; the message says why.
        """
        self.servers, self.prefix = parse_url(url)
        harden()
        self.settings = settings or KafkaSettings()
        self._client: dict[str, Any] = {"bootstrap_servers": self.servers, **self.settings.client(self.servers)}
        self._consumer: Any = None
        self._producer: Any = None
        self._topics: dict[str, Topic] | None = None
        self._cluster = ""
        with self._faults():
            self._admin = new_client(
                KafkaAdminClient, **self._client, bootstrap_timeout_ms=BOOTSTRAP_MS, request_timeout_ms=REQUEST_MS
            )

    @contextmanager
    def _faults(self, doing: str = "use", *topics: str) -> Iterator[None]:
        with kafka_faults(self.servers, self.settings, doing=doing, topics=topics):
            yield

    def topic_name(self, topic: str) -> str:
        """The name on the cluster of one of TOPICS."""
        return f"{self.prefix}.{topic}"

    def client(self, **more: Any) -> dict[str, Any]:
        """The keyword arguments for a client of this cluster."""
        return {**self._client, **more}

    # Topics

    @property
    def identity(self) -> bytes:
        """The cluster id and the ids of the topics."""
        topics = self.topics()
        ids = ",".join(f"{topic}={topics[topic].id}" for topic in TOPICS)
        return f"kafka {self._cluster} {ids}".encode()

    def topics(self) -> dict[str, Topic]:
        """Describe the topics. The result is cached; see ``forget``.

        Raises:
            UnavailableError: A topic does not exist, or is not visible to this user.
        """
        if self._topics is None:
            self._topics = self._describe(missing_ok=False)
        return self._topics

    def forget(self) -> None:
        """Clear the cached descriptions: topics may have been deleted and created again."""
        self._topics = None

    def _describe(self, *, missing_ok: bool) -> dict[str, Topic]:
        names = {self.topic_name(topic): topic for topic in TOPICS}
        with self._faults("describe", *names):
            self._cluster = self._admin.describe_cluster()["cluster_id"]
            described = self._admin.describe_topics(list(names))
        found = {
            names[topic["name"]]: Topic(
                topic["name"],
                str(topic["topic_id"]),
                len(topic["partitions"]),
                min((len(each["replica_nodes"]) for each in topic["partitions"]), default=0),
            )
            for topic in described
            if topic["error_code"] == 0 and topic["partitions"]
        }
        if not missing_ok and (missing := [name for name, topic in names.items() if topic not in found]):
            raise UnavailableError(
                f"the topic {missing[0]} does not exist on {','.join(self.servers)}, or is not visible to this user; "
                "create the topics with 'delegraph init'"
            )
        return found

    def create(self, *, partitions: int | None, replication: int | None) -> list[str]:
        """Create the topics that are missing, with ``TOPIC_SETTINGS``.

        Args:
            partitions: Partitions of each topic; None for the cluster's default.
            replication: Replicas of each partition; None for the cluster's default.

        Returns:
            The names of the topics that were created.
        """
        present = self._describe(missing_ok=True)
        created = []
        for topic in TOPICS:
            if topic in present:
                continue
            configs = {**TOPIC_SETTINGS, "max.message.bytes": str(max(MESSAGE_BYTES, 1_048_588))}
            if replication is not None:
                configs["min.insync.replicas"] = str(max(1, replication - 1))
            topics = {
                self.topic_name(topic): {
                    "num_partitions": partitions or -1,
                    "replication_factor": replication or -1,
                    "configs": configs,
                }
            }
            with self._faults("create", self.topic_name(topic)):
                try:
                    self._admin.create_topics(topics, wait_for_metadata=True)
                    created.append(self.topic_name(topic))
                except TopicAlreadyExistsError:
                    logger.info("the topic %s has just been created by another client", self.topic_name(topic))
        self.forget()
        return created

    def topic_settings(self) -> dict[str, dict[str, str]]:
        """The settings of each topic, by topic and name."""
        resources = [ConfigResource(ConfigResourceType.TOPIC, self.topic_name(topic)) for topic in self.topics()]
        with self._faults("describe", *(found.name for found in self.topics().values())):
            described = self._admin.describe_configs(resources, config_filter="all")
        found: dict[str, dict[str, str]] = {}
        for topic in self.topics():
            configs: Mapping[str, Any] = described["topic"][self.topic_name(topic)]
            found[topic] = {name: str(config["value"]) for name, config in configs.items()}
        return found

    def erase(self, topic: str, offsets: Iterable[int]) -> int:  # noqa: ARG002 (as every log has it)
        """Remove nothing: Kafka can only delete the first records of a partition, and that is up to its operator."""
        return 0

    def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last record, by topic and partition."""
        return self._offsets(OffsetSpec.LATEST)

    def begins(self) -> dict[tuple[str, int], int]:
        """The offset of the first record that was not deleted on the broker, by topic and partition."""
        return self._offsets(OffsetSpec.EARLIEST)

    def _offsets(self, which: OffsetSpec) -> dict[tuple[str, int], int]:
        places = {
            TopicPartition(found.name, partition): (topic, partition)
            for topic, found in self.topics().items()
            for partition in range(found.partitions)
        }
        with self._faults("describe", *(found.name for found in self.topics().values())):
            offsets = self._admin.list_partition_offsets(
                dict.fromkeys(places, which), isolation_level="read_committed", timeout_ms=REQUEST_MS
            )
        return {places[place]: found.offset for place, found in offsets.items()}

    # Reading

    def read(self, topic: str, partition: int, offset: int, *, limit: int) -> Slice:
        """Read about ``limit`` records of a partition from an offset on, up to its current end.

        Raises:
            IntegrityError: The partition ends before the offset, or the records have been deleted.
            UnavailableError: The broker does not deliver the records.
        """
        place = TopicPartition(self.topic_name(topic), partition)
        with self._faults("read", place.topic), self._discarded_after_a_fault():
            consumer = self._reader()
            if consumer.assignment() != {place}:
                consumer.assign([place])
            consumer.seek(place, offset)
            end = consumer.end_offsets([place])[place]
            if offset > end:
                raise IntegrityError(
                    f"{place.topic}/{partition} ends at {end:,}, before {offset:,}: it has lost records"
                )
            records: list[Record] = []
            following, idle, size = offset, 0, 0
            while following < end and len(records) < limit and size < _SLICE_BYTES:
                polled = consumer.poll(timeout_ms=_POLL_MS, max_records=min(limit - len(records), _POLL_RECORDS))
                found = records_of(topic, partition, polled.get(place, []))
                records += found
                size += sum(len(record.value or b"") for record in found)
                before, following = following, consumer.position(place)
                idle = 0 if following > before else idle + _POLL_MS
                if idle >= _READ_SECONDS * 1_000:
                    raise UnavailableError(f"{','.join(self.servers)} does not deliver {place.topic}/{partition}")
        return Slice(records, following)

    @contextmanager
    def _discarded_after_a_fault(self) -> Iterator[None]:
        """Discard the clients after an error: a consumer may be stuck within a batch, a producer keeps retrying."""
        try:
            yield
        except Exception:
            if self._consumer is not None:
                self._consumer.close(autocommit=False)
                self._consumer = None
            if self._producer is not None:
                self._producer.close(timeout=0)
                self._producer = None
            raise

    def _reader(self) -> Any:
        if self._consumer is None:
            self._consumer = new_client(KafkaConsumer, **self.client(**READING))
            read_lean(self._consumer, {self.topic_name(topic): topic for topic in TOPICS})
        return self._consumer

    # Appending

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        """Append entries, each at least once; all in-sync replicas have them when this returns."""
        entries = list(entries)
        names = {entry.topic: self.topic_name(entry.topic) for entry in entries}
        with self._faults("write", *names.values()), self._discarded_after_a_fault():
            producer = self._writer()
            sent = [
                (entry.topic, producer.send(names[entry.topic], value=entry.value, key=entry.key or None))
                for entry in entries
            ]
            producer.flush(timeout=_READ_SECONDS)
            found = [(topic, future.get(timeout=_READ_SECONDS)) for topic, future in sent]
        return [Position(topic, metadata.partition, metadata.offset) for topic, metadata in found]

    def _writer(self) -> Any:
        if self._producer is None:
            self._producer = new_client(
                KafkaProducer,
                **self.client(
                    acks="all",
                    linger_ms=5,
                    max_block_ms=REQUEST_MS,
                    request_timeout_ms=REQUEST_MS,
                    delivery_timeout_ms=2 * REQUEST_MS,
                    max_request_size=MESSAGE_BYTES,
                ),
            )
        return self._producer

    def close(self) -> None:
        """Close the connections."""
        for client in (self._producer, self._consumer, self._admin):
            if client is not None:
                client.close()


# Settings of all our consumers: no automatic commit or reset of offsets, since the positions are in the store.
READING: Final[dict[str, Any]] = {
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "isolation_level": "read_committed",
    "allow_auto_create_topics": False,
    "max_partition_fetch_bytes": _FETCH_BYTES,
    "bootstrap_timeout_ms": BOOTSTRAP_MS,
    "metrics_enabled": False,
}


def refuse_lost(log: KafkaLog, positions: Mapping[tuple[str, int], int]) -> None:
    """Check that the log still has all records from the store's positions on, and no fewer than were projected.

    Raises:
        IntegrityError: Records are missing.
    """
    begins, ends = log.begins(), log.ends()
    for (topic, partition), begin in begins.items():
        following, end = positions.get((topic, partition), 0), ends[topic, partition]
        where = f"{log.topic_name(topic)}/{partition}"
        if following < begin:
            raise IntegrityError(
                f"records {following:,} to {begin - 1:,} of {where} were deleted before they were projected; "
                "restore the topic, and set its retention to unlimited (see 'delegraph doctor')"
            )
        if following > end:
            raise IntegrityError(
                f"{where} ends at {end:,}, but {following:,} of its records were projected: the log has lost records; "
                "see 'delegraph fsck'"
            )
