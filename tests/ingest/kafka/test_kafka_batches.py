"""Batches decoded directly into records equal the library's result for any bytes."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords

from ingest.kafka import fetch_batches as kafka_batches
from ingest.kafka.log import KafkaLog
from ingest.kafka.records import harden, records_of
from lineage.core.model.records import DECISIONS, ORDERS, TOPICS, Record
from tests.support.kafka_worlds import made_log, producing

PLACE = TopicPartition("log.decisions", 3)


def batch(rng: random.Random, base: int) -> bytes:
    """Build a batch as any producer and broker might write it."""
    producer = rng.choice([-1, 5, 6])
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=rng.choice([0, 0, 0, 1]),
        is_transactional=rng.random() < 0.3 and producer >= 0,
        producer_id=producer,
        producer_epoch=0 if producer >= 0 else -1,
        base_sequence=0 if producer >= 0 else -1,
        batch_size=1 << 20,
    )
    count = rng.randint(1, 6)
    for number in range(count):
        claimed = number if rng.random() < 0.9 or number in (0, count - 1) else rng.randrange(count)
        headers = [("name", rng.choice([b"x", None]))] if rng.random() < 0.1 else []
        key, value = (rng.choice([None, rng.randbytes(rng.choice([0, 1, 70, 9_000]))]) for _ in range(2))
        builder.append(claimed, rng.choice([0, 1, 10**12, 10**15]) + number, key, value, headers)
    raw = builder.build()
    raw[0:8] = base.to_bytes(8, "big")
    if rng.random() < 0.5:
        raw[22] |= 8  # the broker's append time; neither side checks the checksum
    return bytes(raw)


def read(kind: type[Any], raw: bytes, start: int) -> tuple[list[Record], int, str]:
    """Return the records from an offset on, the offset that follows, and how the read ended."""
    partition = kind(start, PLACE, MemoryRecords(raw), check_crcs=False, isolation_level=IsolationLevel.READ_COMMITTED)
    found: list[Any] = []
    try:
        while partition:
            found += partition.take(3)
    except Exception as fault:  # noqa: BLE001 (the two are to raise the same)
        return records_of(DECISIONS, 3, found), partition.next_fetch_offset, type(fault).__name__
    return records_of(DECISIONS, 3, found), partition.next_fetch_offset, ""


def lean() -> type[Any]:
    class Partition(kafka_batches._Partition):
        _topics = {PLACE.topic: DECISIONS}  # noqa: RUF012

    return Partition


@given(st.integers(0, 2**32 - 1))
def test_batches_are_read_as_the_library_reads_them(seed: int):
    """
    Compressed or not, with headers, without a key or a value, with wrong offsets, torn or damaged: the same records,
    the same fault, the same position to continue from.
    """
    assert harden()
    rng = random.Random(seed)
    base, raw = rng.choice([0, 7, 2**33]), b""
    start = base
    for _ in range(rng.randint(1, 3)):
        made = batch(rng, start)
        raw += made
        start += int.from_bytes(made[23:27], "big") + 1 + rng.choice([0, 0, 4])
    if rng.random() < 0.3:
        damaged = bytearray(raw)
        damaged[rng.randrange(61, len(raw))] = rng.randrange(256)
        raw = bytes(damaged)
    begin = base + rng.choice([0, 0, 1, 5])

    assert read(Fetcher.PartitionRecords, raw, begin) == read(lean(), raw, begin)


@pytest.mark.kafka
def test_an_unknown_version_of_the_library_is_left_unchanged(kafka_url: str, monkeypatch: pytest.MonkeyPatch):
    """
    If its private parts are unknown, `poll` returns the library's records, with the same content.
    """
    with made_log(kafka_url, partitions=1) as log, producing(log.servers) as producer:
        for number in range(50):
            producer.send(log.topic_name(ORDERS), b"%d" % number, headers=[("h", b"x")] * (number % 2))
        producer.flush(30)
        straight = log.read(ORDERS, 0, 0, limit=100)
    topics = {log.topic_name(topic): topic for topic in TOPICS}
    monkeypatch.setattr(kafka_batches, "harden", lambda: False)
    other = KafkaLog(kafka_url)
    with_theirs = other.read(ORDERS, 0, 0, limit=100)
    refused = kafka_batches.read_lean(other._reader(), topics)
    other.close()

    assert not refused
    assert 50 == len(straight.records)
    assert with_theirs == straight
