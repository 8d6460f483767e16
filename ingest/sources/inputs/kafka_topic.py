"""Read the records of a foreign Kafka topic, compressed or not; the offsets are stored with the adapter's memory.

Partitions are assigned, not shared: the positions are in the store, and one process reads a source. Records deleted
from the topic before they were read are reported with their number, and reading continues after them.
"""

import io
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, Final, NamedTuple

from kafka import KafkaConsumer, TopicPartition

from ingest.kafka.client import new_client
from ingest.kafka.errors import kafka_faults
from ingest.kafka.log import READING
from ingest.kafka.records import harden
from ingest.kafka.settings import KafkaSettings, parse_url
from ingest.sources.adapters import RawRecord, read_records
from ingest.sources.inputs.intake import ReadPosition, SourceIntake
from lineage.core.model.errors import BadRecordError, RefusedError, UnavailableError

logger = logging.getLogger(__name__)

TOPIC: Final = "kafka"
_POLL_MS: Final = 250
_POLL_RECORDS: Final = 2_000
_LOOK_SECONDS: Final = 5.0
_DRAIN_SECONDS: Final = 60.0
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


def place_of(text: str, log: str | None, name: str) -> tuple[tuple[str, ...], str]:
    """Parse the setting: ``topic`` on the log's own Kafka, or ``kafka://host:port/topic``; returns servers and topic.

    Raises:
        RefusedError: It is invalid.
    """
    url, _, topic = text.rpartition("/")
    url = url or (log if log is not None and log.startswith("kafka:") else "")
    if not url or not _NAME.fullmatch(topic):
        raise RefusedError(
            f"'kafka_topic' of the source {name!r} is {text!r}, "
            + ("which is not the name of a topic" if url else "and the log is not on Kafka")
            + "; write kafka://host:port/topic"
        )
    servers, _ = parse_url(url)
    return servers, topic


class TopicReader:
    """Reads a topic for one source. Single-threaded."""

    def __init__(
        self,
        intake: SourceIntake,
        servers: tuple[str, ...],
        topic: str,
        settings: KafkaSettings,
        *,
        behind: Callable[[int], None] = lambda _records: None,
    ) -> None:
        """Create a reader; nothing is connected yet.

        Args:
            intake: Ingests records of the source.
            servers: ``host:port`` of each.
            topic: The name of the topic.
            settings: How to connect.
            behind: Called now and then with the number of records not ingested yet.
        """
        settings.refuse_in_the_clear(servers)
        harden()
        self._intake, self._servers, self._topic, self._settings = intake, servers, topic, settings
        self._behind = behind
        self._consumer: Any = None
        self._looked_at = 0.0

    def round(self) -> int:
        """Ingest what has arrived, and return the number of records.

        Raises:
            DelegraphError: The broker, the log or the store is unavailable; the offsets are unchanged.
        """
        try:
            with kafka_faults(self._servers, self._settings, doing="read", topics=[self._topic]):
                consumer = self._opened()
                found = consumer.poll(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
                self._take(found)
                if time.monotonic() - self._looked_at > _LOOK_SECONDS:
                    self._look(consumer)
                return sum(len(records) for records in found.values())
        except BaseException:
            self.close()
            raise

    def drain(self) -> int:
        """Ingest everything up to the current ends of the partitions, and return the number of records.

        Raises:
            UnavailableError: The ends cannot be reached.
        """
        with kafka_faults(self._servers, self._settings, doing="read", topics=[self._topic]):
            ends = dict(self._opened().end_offsets(self._opened().assignment()))
        count, came_at = 0, time.monotonic()
        while any(self._opened().position(partition) < end for partition, end in ends.items()):
            if more := self.round():
                count, came_at = count + more, time.monotonic()
            elif time.monotonic() - came_at > _DRAIN_SECONDS:
                raise UnavailableError(f"the topic {self._topic} delivers nothing, although it has more records")
        return count

    def close(self) -> None:
        """Close the connections. The next round starts from the stored positions."""
        if self._consumer is not None:
            self._consumer.close(autocommit=False)
            self._consumer = None

    def _opened(self) -> Any:
        if self._consumer is None:
            client = {"bootstrap_servers": self._servers, **self._settings.client(self._servers)}
            self._consumer = new_client(KafkaConsumer, **client, **READING)
            self._assign(self._consumer)
        return self._consumer

    def _assign(self, consumer: Any) -> None:
        """Assign all partitions, each at its position."""
        partitions = _partitions(consumer, self._servers, self._topic, self._intake.named.name)
        kept = self._intake.places(TOPIC)
        consumer.assign(partitions)
        begins = consumer.beginning_offsets(partitions)
        for partition in partitions:
            begin = begins[partition]
            place = kept.get(self._key(partition.partition), begin)
            if place < begin:
                logger.error(
                    "the source %r: records %d to %d of %s/%d were deleted before they were ingested; give the topic "
                    "a longer retention",
                    self._intake.named.name, place, begin - 1, self._topic, partition.partition,
                )  # fmt: skip
            consumer.seek(partition, max(begin, place))

    def _key(self, partition: int) -> str:
        return f"{self._topic}/{partition}"

    def _take(self, found: Mapping[TopicPartition, list[Any]]) -> None:
        for partition, records in found.items():
            if records:
                key = self._key(partition.partition)
                place = ReadPosition(TOPIC, key, records[-1].offset + 1)
                self._intake.take(f"kafka {key}", list(_raw_records(records)), [place])

    def _look(self, consumer: Any) -> None:
        """Determine the lag, and whether there are more partitions now."""
        self._looked_at = time.monotonic()
        assigned = consumer.assignment()
        ends = consumer.end_offsets(assigned)
        self._behind(sum(max(0, ends[partition] - consumer.position(partition)) for partition in assigned))
        if len(consumer.partitions_for_topic(self._topic) or ()) > len(assigned):
            self.close()


class TopicProgress(NamedTuple):
    """The progress in a topic.

    Attributes:
        partitions: The number of its partitions.
        behind: The number of records not ingested yet.
        lost: The number of records that were deleted before they were ingested.
    """

    partitions: int
    behind: int
    lost: int


def standing_of(
    servers: tuple[str, ...], topic: str, settings: KafkaSettings, kept: Mapping[str, int], name: str
) -> TopicProgress:
    """Determine how far the topic of a source was read, from its stored positions. Nothing is read.

    Raises:
        DelegraphError: The broker does not answer, or denies access to the topic.
    """
    settings.refuse_in_the_clear(servers)
    with kafka_faults(servers, settings, doing="read", topics=[topic]):
        client = {"bootstrap_servers": servers, **settings.client(servers)}
        with closing(new_client(KafkaConsumer, **client, **READING)) as consumer:
            partitions = _partitions(consumer, servers, topic, name)
            begins, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    behind = lost = 0
    for partition in partitions:
        place = kept.get(f"{topic}/{partition.partition}", begins[partition])
        behind += ends[partition] - max(begins[partition], place)
        lost += max(0, begins[partition] - place)
    return TopicProgress(len(partitions), behind, lost)


def _partitions(consumer: Any, servers: tuple[str, ...], topic: str, name: str) -> list[TopicPartition]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise UnavailableError(
            f"there is no topic {topic} at {', '.join(servers)}, or it is not shown to us; "
            f"'kafka_topic' of the source {name!r} names it"
        )
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def _raw_records(records: Iterable[Any]) -> Iterator[RawRecord]:
    for record in records:
        if not record.value:
            fault = BadRecordError("no-value", "the record has no value")
            yield RawRecord(record.offset, b"", None, fault)
            continue
        headers = _headers(record.headers)
        for found in read_records(io.BytesIO(record.value)):
            value = found.value
            if value is not None and headers:
                value = {"headers": headers, "value": value}
            yield found._replace(position=record.offset, value=value)


def _headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    return {name: (value or b"").decode(errors="replace") for name, value in headers}
