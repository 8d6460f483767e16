"""The contract of a log, tested on a real Kafka: order, positions, gaps, identity, and errors."""

import random
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaConsumer
from kafka.structs import TopicPartition

from compose.native.kafka import Kafka
from ingest.codec import api as codec
from ingest.codec.limits import RECORD_BYTES
from ingest.kafka.log import KafkaLog
from ingest.log.port import Entry
from ingest.opening import open_log
from ingest.projector import project
from ingest.trust_file import Trust
from lineage.core.model.errors import IntegrityError, UnavailableError
from lineage.core.model.events import digest
from lineage.core.model.records import DECISIONS, ORDERS, TOPICS, Position
from lineage.core.model.times import NEVER
from lineage.serve.config.wiring import now
from lineage.serve.queries.service import Service
from tests.support.kafka_worlds import (
    PARTITIONS,
    administering,
    content_digest,
    entries_of,
    facts_in,
    history,
    made_log,
    opened,
    producing,
    recreate,
    started,
    wait_until,
)

pytestmark = pytest.mark.kafka

LIMITS = (1, 2, 7, 1_000)
PLACES = {(topic, partition) for topic in TOPICS for partition in range(PARTITIONS)}


def read_whole(log: KafkaLog, topic: str, partition: int, limit: int = 1_000) -> list[bytes | None]:
    """Return the values of a partition, read one slice at a time."""
    values, following = [], 0
    while True:
        records, after = log.read(topic, partition, following, limit=limit)
        if after == following:
            return values
        values += [record.value for record in records]
        following = after


def written(log: KafkaLog) -> dict[tuple[str, int], int]:
    """Return the ends of the partitions, including uncommitted records.

    A broker reports that a transaction is over before it has written that to every partition; only then are both ends
    equal.
    """
    consumer = KafkaConsumer(bootstrap_servers=log.servers, isolation_level="read_uncommitted")
    try:
        ends = consumer.end_offsets([TopicPartition(log.topic_name(topic), n) for topic, n in log.ends()])
    finally:
        consumer.close()
    topics = {log.topic_name(topic): topic for topic in TOPICS}
    return {(topics[place.topic], place.partition): end for place, end in ends.items()}


def some(count: int, rng: random.Random) -> list[Entry]:
    """Generate arbitrary entries, under a few keys and without one, on both topics."""
    return [
        Entry(rng.choice(TOPICS), rng.randbytes(rng.randrange(1, 300)), rng.choice([b"", b"a", b"b", b"c"]))
        for _ in range(count)
    ]


@pytest.mark.slow
def test_appended_values_are_at_the_positions_that_append_returned(kafka_url: str):
    """
    This holds whatever the size of the slices.
    """
    given = some(200, random.Random())
    with made_log(kafka_url) as log:
        positions = log.append(given)

        assert len(given) == len(set(positions))
        assert {entry.topic for entry in given} == {position.topic for position in positions}
        expected = defaultdict(list)
        for (_, value, _), (topic, partition, offset) in sorted(
            zip(given, positions, strict=True), key=lambda pair: pair[1]
        ):
            assert len(expected[topic, partition]) == offset
            expected[topic, partition].append(value)
        for place in PLACES:
            for limit in LIMITS:
                assert expected[place] == read_whole(log, *place, limit=limit)
        assert {place: len(expected[place]) for place in PLACES} == log.ends()
        assert dict.fromkeys(PLACES, 0) == log.begins()


def test_the_order_within_a_partition_is_that_of_append(kafka_url: str):
    """
    Entries with one key are in one partition, in the order of appending; many keys use every partition.
    """
    given = [Entry(DECISIONS, b"%d" % n, b"key %d" % (n % 50)) for n in range(500)]
    with made_log(kafka_url) as log:
        positions = log.append(given[:300]) + log.append(given[300:])

    of_key = defaultdict(list)
    for entry, position in zip(given, positions, strict=True):
        of_key[entry.key].append(position)
    assert all(found == sorted(found) for found in of_key.values())
    assert [1] * 50 == [len({position.partition for position in found}) for found in of_key.values()]
    assert set(range(PARTITIONS)) == {position.partition for position in positions}


def test_the_numbers_of_a_slice_are_positions(kafka_url: str):
    """
    A record's number is its position, a slice begins at the requested offset, and nothing comes after the end.
    """
    with made_log(kafka_url, partitions=1) as log:
        log.append([Entry(ORDERS, b"%d" % n) for n in range(10)])

        records, following = log.read(ORDERS, 0, 4, limit=3)
        assert [Position(ORDERS, 0, offset).number for offset in (4, 5, 6)] == [record.number for record in records]
        assert 7 == following
        assert ([], 10) == log.read(ORDERS, 0, 10, limit=3)
        assert ([], 0) == log.read(DECISIONS, 0, 0, limit=3)


def test_recorded_at_is_set_by_the_broker(kafka_url: str):
    """
    It is when the log accepted a record, whatever its producer claims, and never decreases.
    """
    with made_log(kafka_url, partitions=1) as log, producing(log.servers) as producer:
        before = now()
        for claimed in (1, 2**52, 1_000, None):
            producer.send(log.topic_name(DECISIONS), b"x", timestamp_ms=claimed).get(30)
        after = now()
        moments = [record.recorded_at for record in log.read(DECISIONS, 0, 0, limit=10).records]

    assert moments == sorted(moments)
    assert before // 1_000 * 1_000 <= moments[0]
    assert moments[-1] <= after


def test_times_set_by_a_producer_are_clamped(kafka_url: str):
    """
    With CreateTime the time is the producer's claim, within the valid range.
    """
    with made_log(kafka_url, partitions=1) as log, producing(log.servers) as producer:
        name = log.topic_name(DECISIONS)
        with administering(log.servers) as admin:
            admin.delete_topics([name])
            wait_until(lambda: name not in admin.list_topics())
            admin.create_topics(
                {
                    name: {
                        "num_partitions": 1,
                        "replication_factor": 1,
                        "configs": {
                            "message.timestamp.type": "CreateTime",
                            "message.timestamp.after.max.ms": str(2**63 - 1),
                        },
                    }
                },
                wait_for_metadata=True,
            )
        log.forget()
        for claimed in (1_700_000_000_000, 0, 2**62):
            producer.send(name, b"x", timestamp_ms=claimed).get(30)
        records = log.read(DECISIONS, 0, 0, limit=10).records

    assert [1_700_000_000_000_000, 0, NEVER - 1] == [record.recorded_at for record in records]


def test_headers_and_records_without_a_value_are_returned_unchanged(kafka_url: str):
    """
    Headers keep their order, including those of the same name, and a null value is None.
    """
    headers = [("b", b"2"), ("a", b"\x00\xff"), ("b", b""), ("é", b"1")]
    with made_log(kafka_url, partitions=1) as log, producing(log.servers) as producer:
        producer.send(log.topic_name(ORDERS), None, key=b"k", headers=headers).get(30)
        [record] = log.read(ORDERS, 0, 0, limit=10).records

    assert record.value is None
    assert tuple(headers) == record.headers


@pytest.mark.slow
def test_aborted_records_are_a_gap(kafka_url: str, tmp_path: Path):
    """
    All committed records are there and the aborted ones are hidden; at the end the lag is zero.
    """
    made = [event for event in history(400) if not event["type"].startswith("revocation.")]
    kept, given_up = made[::2], made[1::2]
    store_url = f"sqlite:///{tmp_path}/delegraph.db"
    with made_log(kafka_url, partitions=2) as log:
        name = log.topic_name(DECISIONS)
        with producing(log.servers, transactional_id=f"{log.prefix} t") as producer:
            producer.init_transactions()
            for n in range(0, len(kept), 10):
                for part, end in (
                    (kept, producer.commit_transaction),
                    (given_up, producer.abort_transaction),
                ):
                    producer.begin_transaction()
                    for entry in entries_of(part[n : n + 10]):
                        producer.send(name, entry.value, key=entry.key)
                    producer.flush(30)
                    end()
        wait_until(lambda: log.ends() == written(log))
        values = [value for partition in range(2) for value in read_whole(log, DECISIONS, partition, limit=7)]
        with opened(store_url, create=True) as store:
            count = project(log, store, None)
            behind = Service(store, log, Trust(), now, source="urn:test").as_of()["behind"]
            positions = store.positions()

        assert sorted(entry.value for entry in entries_of(kept)) == sorted(values)
        assert len(kept) == count < sum(log.ends().values())
        assert 0 == behind
        assert log.ends() == {place: positions.get(place, 0) for place in log.ends()}
    assert {content_digest(event) for event in kept} == set(facts_in(store_url))


def test_an_open_transaction_delays_the_records_after_it(kafka_url: str):
    """
    Nothing is read past an open transaction, because its records may still be aborted; afterwards everything is.
    """
    with made_log(kafka_url, partitions=1) as log, producing(log.servers) as plain:
        name = log.topic_name(DECISIONS)
        with producing(log.servers, transactional_id=f"{log.prefix} t") as producer:
            producer.init_transactions()
            producer.begin_transaction()
            producer.send(name, b"open")
            producer.flush(30)
            plain.send(name, b"after").get(30)
            held = log.read(DECISIONS, 0, 0, limit=10)
            end = log.ends()[DECISIONS, 0]
            producer.abort_transaction()
        wait_until(lambda: log.ends() == written(log))
        values = read_whole(log, DECISIONS, 0)

    assert ([], 0) == held
    assert 0 == end
    assert [b"after"] == values


def test_acknowledged_entries_are_visible_to_every_client(kafka_url: str):
    """
    A client that starts after `append` has returned finds all of them.
    """
    given = [Entry(DECISIONS, b"%d" % n) for n in range(100)]
    with made_log(kafka_url) as log:
        log.append(given)
        other = open_log(kafka_url, create=False, clock=now)
        values = [value for partition in range(PARTITIONS) for value in read_whole(other, DECISIONS, partition)]
        other.close()

    assert sorted(entry.value for entry in given) == sorted(values)


@pytest.mark.slow
def test_a_log_is_identified_by_its_cluster_and_topics(
    kafka_url: str, own_kafka: Callable[[Path], Kafka], tmp_path: Path
):
    """
    Its identity is the same for every client and after further records; it differs for topics created again, another
    prefix and another cluster.
    """
    elsewhere = f"kafka://{own_kafka(tmp_path).servers}/{kafka_url.rpartition('/')[2]}"
    with (
        made_log(kafka_url) as log,
        made_log(kafka_url) as same,
        made_log(f"{kafka_url}-b") as other,
        made_log(elsewhere) as far,
    ):
        first = log.identity
        log.append([Entry(DECISIONS, b"x")])
        log.forget()
        assert first == log.identity == same.identity
        recreate(log)

        assert 4 == len({first, log.identity, other.identity, far.identity})


def test_creating_existing_topics_changes_nothing(kafka_url: str):
    """
    `create` creates the missing ones, and the second time none.
    """
    with made_log(kafka_url) as log:
        identity = log.identity
        assert [] == log.create(partitions=PARTITIONS + 1, replication=1)
        assert identity == log.identity
        assert [PARTITIONS] * 2 == [topic.partitions for topic in log.topics().values()]
        assert {"LogAppendTime"} == {settings["message.timestamp.type"] for settings in log.topic_settings().values()}


def test_missing_topics_are_reported(kafka_url: str):
    """
    Without its topics a log is unavailable, and the message says how to create them.
    """
    log = KafkaLog(kafka_url)
    for ask in (lambda: log.identity, log.ends, log.topic_settings):
        with pytest.raises(UnavailableError, match="init"):
            ask()
    log.close()


@pytest.mark.slow
def test_an_unreachable_cluster_is_reported_soon(tmp_path: Path):
    """
    If nothing listens, the log is unavailable, and the error takes seconds.
    """
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"")
    began = time.monotonic()
    run = started("ingest", str(file), "--store", f"sqlite:///{tmp_path}/delegraph.db", "--log", "kafka://127.0.0.1:1")
    _, text = run.communicate(timeout=60)

    assert (5, True) == (run.returncode, b"refused" in text), text
    assert time.monotonic() - began < 20


def test_deleted_records_are_reported(kafka_url: str):
    """
    A log that no longer has the record at an offset violates the contract, and says so; the rest is readable.
    """
    with made_log(kafka_url, partitions=1) as log:
        log.append([Entry(DECISIONS, b"%d" % n) for n in range(10)])
        with administering(log.servers) as admin:
            admin.delete_records({TopicPartition(log.topic_name(DECISIONS), 0): 4})

        with pytest.raises(IntegrityError):
            log.read(DECISIONS, 0, 2, limit=10)
        assert 4 == log.begins()[DECISIONS, 0]
        assert [b"4", b"5"] == [record.value for record in log.read(DECISIONS, 0, 4, limit=2).records]


def test_a_log_that_ends_before_the_position_is_reported(kafka_url: str):
    """
    An offset beyond the end means that the log has lost records.
    """
    with made_log(kafka_url, partitions=1) as log:
        log.append([Entry(DECISIONS, b"x")])
        with pytest.raises(IntegrityError, match="lost"):
            log.read(DECISIONS, 0, 2, limit=10)


def test_the_largest_event_and_its_headers_fit(kafka_url: str):
    """
    An event of the largest allowed size can be appended, and is read unchanged.
    """
    value = random.Random(1).randbytes(RECORD_BYTES)
    with made_log(kafka_url, partitions=1) as log:
        log.append([Entry(DECISIONS, value, b"k" * 512)])
        assert [value] == read_whole(log, DECISIONS, 0)


def test_every_event_of_a_history_comes_back(kafka_url: str):
    """
    Events are read as they were appended, whichever partition they went to.
    """
    made = history(500)
    with made_log(kafka_url) as log:
        log.append(entries_of(made))
        found = [codec.read(value) for place in PLACES for value in read_whole(log, *place) if value is not None]

    assert sorted(map(content_digest, made)) == sorted(map(digest, found))
