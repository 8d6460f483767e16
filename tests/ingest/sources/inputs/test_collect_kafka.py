"""A topic of raw records on a real broker, in every compression, read by a source with its offsets in the store."""

import gzip
import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from ingest.kafka.settings import KafkaSettings
from ingest.sources.inputs.kafka_topic import TopicReader, place_of
from lineage.core.model.errors import RefusedError, UnavailableError
from tests.support.collecting import World, decision, ids

pytestmark = pytest.mark.kafka
CODECS = (None, "gzip", "snappy", "lz4", "zstd")  # the extra `kafka` has all of them


class Topic:
    """A topic with two partitions."""

    def __init__(self, servers: str) -> None:
        self.servers, self.name = servers, f"raw-{uuid4().hex}"
        admin = KafkaAdminClient(bootstrap_servers=servers)
        admin.create_topics([NewTopic(self.name, 2, 1)])
        admin.close()

    def send(self, *values: bytes, codec: str | None = None, headers=()) -> None:
        producer = KafkaProducer(bootstrap_servers=self.servers, compression_type=codec, linger_ms=100)
        for number, value in enumerate(values):
            producer.send(self.name, value, partition=number % 2, headers=list(headers))
        producer.flush()
        producer.close()

    def reader(self, world: World, **more) -> TopicReader:
        return TopicReader(world.intake(**more), (self.servers,), self.name, KafkaSettings())


@pytest.fixture
def topic(kafka) -> Topic:
    """Create a topic that nobody else uses."""
    return Topic(kafka)


@pytest.fixture
def world() -> Iterator[World]:
    """Create a log and a store in memory."""
    return World()


def raw(number: int) -> bytes:
    return json.dumps(decision(number)).encode()


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
def test_records_are_ingested_whatever_the_compression(world, topic, codec):
    """
    The broker delivers batches of every codec; a second round ingests nothing.
    """
    topic.send(*(raw(number) for number in range(40)), codec=codec)
    reader = topic.reader(world)
    assert 40 == reader.drain()
    reader.close()
    again = topic.reader(world)
    assert 0 == again.drain()
    again.close()

    assert ids(range(40)) == set(world.decisions)
    assert {1} == set(world.decisions.values())


@pytest.mark.slow
def test_a_record_may_contain_several_records_or_gzip_or_garbage(world, topic):
    """
    An array, lines, gzip, garbage, no value: each is accounted for, by its offset.
    """
    topic.send(
        json.dumps([decision(1), decision(2)]).encode(),
        raw(3) + b"\n" + raw(4),
        gzip.compress(raw(5)),
        b"garbage",
        b"",
    )
    reader = topic.reader(world)
    reader.drain()
    reader.close()

    assert ids({1, 2, 3, 4, 5}) == set(world.decisions)
    assert {("json", 1), ("no-value", 2)} == {(one.reason, one.place) for one in world.aside.values()}
    assert {f"kafka {topic.name}/0", f"kafka {topic.name}/1"} == {one.origin for one in world.aside.values()}


@pytest.mark.slow
def test_the_headers_of_a_record_identify_it(world, topic):
    """
    Cerbos states the kind of an audit entry nowhere else.
    """
    value = {
        "callId": "01M8ASNVQ4RDYT48HPQB7RRNGS",
        "timestamp": "2026-11-26T02:06:44.964888544Z",
        "method": "/cerbos.svc.v1.CerbosService/CheckResources",
        "peer": {"address": "127.0.0.1:43368"},
    }
    kind = [("cerbos.audit.kind", b"access"), ("cerbos.audit.encoding", b"json")]
    topic.send(json.dumps(value).encode(), headers=kind)
    reader = topic.reader(world, name="cerbos-eu", format_="cerbos")
    reader.drain()
    reader.close()

    assert 1 == world.counts["record", ""]
    assert {} == world.aside


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", [0, 1])
def test_an_offset_advances_only_once_the_log_has_the_record(world, topic, step, after):
    """
    This holds whatever fails in between, and whether or not the write had succeeded.
    """
    topic.send(raw(1), raw(2))
    reader = topic.reader(world)
    world.failing, world.fails_after = step, after
    with pytest.raises(UnavailableError):
        reader.drain()
    reader.drain()
    reader.close()

    assert ids({1, 2}) == set(world.decisions)
    assert 2 == world.counts["record", ""]


def test_a_missing_topic_is_reported_with_the_source(world, kafka):
    """
    The reader waits for it.
    """
    reader = TopicReader(world.intake(), (kafka,), f"nothing-{uuid4().hex}", KafkaSettings())

    with pytest.raises(UnavailableError, match=r"there is no topic nothing-.*'kafka_topic' of the source 'opa-eu'"):
        reader.round()


TOPICS_MEANT = {
    "a name, where the log is a Kafka": ("raw", "kafka://k1:9092,k2:9092/audit", (("k1:9092", "k2:9092"), "raw")),
    "a URL": ("kafka://k3:9092/raw", "sqlite:///x.db", (("k3:9092",), "raw")),
    "a URL, where the log is another one": ("kafka://k3:9092/raw", "kafka://k1:9092", (("k3:9092",), "raw")),
}


@pytest.mark.parametrize("case", TOPICS_MEANT.values(), ids=TOPICS_MEANT)
def test_the_setting_names_a_topic_here_or_elsewhere(case):
    """
    The topic is on the log's own cluster, or on another one.
    """
    result, log, expected = case

    assert expected == place_of(result, log, "opa-eu")


@pytest.mark.parametrize("setting", ["raw", "kafka://k1:9092/", "kafka://k1:9092/a b"])
def test_an_invalid_topic_is_refused_with_the_remedy(setting):
    """
    The message names the source.
    """
    with pytest.raises(RefusedError, match=r"the source 'opa-eu'.*write kafka://host:port/topic"):
        place_of(setting, "sqlite:///x.db", "opa-eu")
