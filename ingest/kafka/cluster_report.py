"""Describe a log on Kafka (its cluster, topics and consumer group) and find what is wrong with them. Read-only.

If the cluster denies a query, it raises ``RefusedError``, like every other use of the log.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import CoordinatorNotAvailableError, GroupIdNotFoundError, UnsupportedVersionError
from kafka.protocol.consumer import OffsetSpec

from ingest.kafka.client import new_client
from ingest.kafka.errors import kafka_faults
from ingest.kafka.log import MESSAGE_BYTES, TOPIC_SETTINGS, KafkaLog
from lineage.core.model.records import TOPICS
from lineage.core.model.times import Instant

# The topic settings that decide whether the log can be the source of truth.
JUDGED: Final = (*TOPIC_SETTINGS, "max.message.bytes", "min.insync.replicas", "unclean.leader.election.enable")
_WAIT_MS: Final = 5_000
_DAY_MS: Final = 86_400_000
_FOREVER: Final = "-1"
_ENOUGH_COPIES: Final = 3  # with this many, a broker may fail and writes are still stored on two


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster as it describes itself.

    Attributes:
        id: Its cluster id.
        version: The version of its brokers, inferred from their protocol, such as ``4.3``.
        brokers: ``host:port`` of each broker that is up.
    """

    id: str
    version: str
    brokers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionReport:
    """A partition: how many replicas it has, how many of them are in sync, and whether it has a leader."""

    topic: str
    number: int
    copies: int
    in_sync: int
    led: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A consumer group: its state, such as ``Stable`` or ``Empty``, and how many members it has."""

    state: str
    members: int


class KafkaAdmin:
    """Queries about a log on Kafka and its cluster."""

    def __init__(self, log: KafkaLog, client: Any) -> None:
        """Use a KafkaAdminClient; ``opened_admin`` creates one."""
        self._log = log
        self._client = client

    @contextmanager
    def _faults(self, doing: str = "describe") -> Iterator[None]:
        with kafka_faults(self._log.servers, self._log.settings, doing=doing, topics=self._names):
            yield

    @property
    def _names(self) -> list[str]:
        return [self._log.topic_name(topic) for topic in TOPICS]

    def cluster(self) -> Cluster:
        """Describe the cluster."""
        with self._faults():
            described = self._client.describe_cluster()
            version = self._client.get_broker_version_data(described["brokers"][0]["broker_id"]).broker_version_str
        up = (each for each in described["brokers"] if not each.get("is_fenced"))
        return Cluster(
            id=described["cluster_id"], version=version, brokers=tuple(f"{each['host']}:{each['port']}" for each in up)
        )

    def partitions(self) -> list[PartitionReport]:
        """Describe the partitions of the topics."""
        with self._faults():
            described = self._client.describe_topics(self._names)
        return [
            PartitionReport(
                topic=topic["name"],
                number=each["partition_index"],
                copies=len(each["replica_nodes"]),
                in_sync=len(each["isr_nodes"]),
                led=each["leader_id"] >= 0,
            )
            for topic in described
            for each in topic["partitions"]
        ]

    def group(self, name: str) -> Group | None:
        """Describe a consumer group; None if it does not exist."""
        with self._faults():
            try:
                described = self._client.describe_groups([name])[name]
            except (GroupIdNotFoundError, CoordinatorNotAvailableError):  # the cluster never had a consumer group
                return None
        if described["group_state"] == "Dead":
            return None
        return Group(state=described["group_state"], members=len(described["members"]))

    def newest(self) -> Instant | None:
        """The latest append time in the log; None if it is empty, or if its brokers are too old to report it."""
        places = [
            TopicPartition(topic.name, number)
            for topic in self._log.topics().values()
            for number in range(topic.partitions)
        ]
        with self._faults():
            try:
                found = self._client.list_partition_offsets(
                    dict.fromkeys(places, OffsetSpec.MAX_TIMESTAMP), timeout_ms=_WAIT_MS
                )
            except UnsupportedVersionError:  # brokers before 3.0
                return None
        newest = max((each.timestamp for each in found.values()), default=-1)
        return newest * 1_000 if newest >= 0 else None


@contextmanager
def opened_admin(log: KafkaLog) -> Iterator[KafkaAdmin]:
    """Connect an admin client to the cluster of an open log."""
    with kafka_faults(log.servers, log.settings):
        client = new_client(KafkaAdminClient, **log.client(bootstrap_timeout_ms=_WAIT_MS, request_timeout_ms=_WAIT_MS))
    try:
        yield KafkaAdmin(log, client)
    finally:
        client.close()


# Diagnosis. Pure.


def other_log(known: bytes, found: bytes) -> str:
    """Explain how the log that a store has read differs from the one found; arguments as ``KafkaLog.identity``."""
    (kind, cluster, topics), (found_kind, found_cluster, found_topics) = _parts(known), _parts(found)
    if kind != found_kind:
        return "the store has read another kind of log than this one"
    if cluster != found_cluster:
        return f"the store has read the log of another cluster ({cluster}, and this one is {found_cluster})"
    recreated = [topic for topic, id_ in topics.items() if found_topics.get(topic) != id_]
    return (
        f"the topic of {' and that of '.join(recreated)} is not the one that the store has read: "
        "it was deleted and created again, or the prefix is wrong"
    )


def _parts(identity: bytes) -> tuple[str, str, dict[str, str]]:
    kind, _, rest = identity.decode(errors="replace").partition(" ")
    if kind != "kafka":
        return "other", "", {}
    cluster, _, topics = rest.partition(" ")
    return kind, cluster, dict(topic.partition("=")[::2] for topic in topics.split(","))


def faults_of_settings(name: str, settings: Mapping[str, str], *, gone: int) -> list[str]:
    """Check the settings of a topic: one message for each fault, with its remedy.

    Args:
        name: The topic's name.
        settings: The topic's settings, by name.
        gone: The number of its records that have been deleted already.
    """
    faults = []
    if settings.get("message.timestamp.type") != TOPIC_SETTINGS["message.timestamp.type"]:
        faults.append(f"{name} lets producers choose the time of a record: set message.timestamp.type=LogAppendTime")
    policy = settings.get("cleanup.policy", "")
    if "compact" in policy:
        faults.append(f"{name} is compacted, which deletes facts: set cleanup.policy=delete")
    if "delete" in policy:
        if (kept := settings.get("retention.ms", _FOREVER)) != _FOREVER:
            faults.append(f"{name} deletes records after {_span(int(kept))}: set retention.ms=-1")
        if (kept := settings.get("retention.bytes", _FOREVER)) != _FOREVER:
            faults.append(f"{name} deletes records beyond {int(kept):,} bytes a partition: set retention.bytes=-1")
    if gone:
        faults.append(f"{name} has lost {gone:,} records already: those that the store has not projected are gone")
    if (size := int(settings.get("max.message.bytes", MESSAGE_BYTES))) < MESSAGE_BYTES:
        faults.append(f"{name} refuses records over {size:,} bytes: set max.message.bytes={MESSAGE_BYTES} or more")
    if settings.get("unclean.leader.election.enable") == "true":
        faults.append(f"{name} may lose acknowledged records: set unclean.leader.election.enable=false")
    return faults


def faults_of_copies(partitions: list[PartitionReport], settings: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Check the replication of partitions: one message for each fault.

    Args:
        partitions: The partitions of the topics.
        settings: The settings of each topic, by the topic's name.
    """
    faults = []
    for each in partitions:
        least = int(settings.get(each.topic, {}).get("min.insync.replicas", "1"))
        where = f"{each.topic}/{each.number}"
        if not each.led:
            faults.append(
                f"{where} has no leader: it can be neither read nor written until a broker that holds it is back"
            )
        elif least > each.copies:
            faults.append(f"{where} has {each.copies} copies and min.insync.replicas={least}: nothing can be written")
        elif each.in_sync < least:
            faults.append(f"{where} has {each.in_sync} copies in sync and needs {least} to be written")
        elif each.copies >= _ENOUGH_COPIES and least < 2:  # noqa: PLR2004 (with one, a single failure loses records)
            faults.append(f"{where} acknowledges writes that only one broker has: set min.insync.replicas=2")
    return faults


def _span(milliseconds: int) -> str:
    days = milliseconds / _DAY_MS
    return f"{days:,.3g} days" if days >= 1 else f"{milliseconds / 1_000:,.0f} s"
