"""Hostile records on a real Kafka: whatever a producer's credential permits, it delays and harms nobody else."""

import json
import os
import random
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Self

import pytest
from kafka.codec import gzip_encode
from kafka.errors import KafkaError
from kafka.producer.kafka import KafkaProducer
from kafka.record import default_records

from ingest.codec import api as codec
from ingest.codec.limits import RECORD_BYTES
from ingest.kafka import records as kafka_records
from ingest.kafka.log import MESSAGE_BYTES
from ingest.projector import project
from lineage.core.model.errors import BadRecordError
from lineage.core.model.records import DECISIONS, ORDERS, TOPICS
from tests.support.kafka_worlds import (
    Consuming,
    assert_whole,
    consuming,
    content_digest,
    entries_of,
    history,
    lag_of,
    made_log,
    opened,
    producing,
    wait_until,
)

pytestmark = pytest.mark.kafka

MANY = int(os.environ.get("DELEGRAPH_TEST_HOSTILE", "5000"))
MEMORY_BYTES = 1_000_000_000

# Made up; each has the form by which such a secret is recognised, and a part that occurs nowhere else.
CREDENTIALS = [
    b"eyJhbGciOiJub25lIn0.eyJqdGkiOiJob3N0aWxlLW1hcmtlciJ9.aG9zdGlsZS1zaWc",
    b"ghp_hostileMARKER0123456789abcdefghij",
    b"hvs.hostileMARKERabcdefghijklmnop0123",
    b"Bearer hostileMARKER.0123456789-abcdef",
    b"sk-proj-hostileMARKER0123456789",
]
MARKERS = [b"hostileMARKER", b"aG9zdGlsZS1zaWc", b"eyJqdGkiOiJob3N0aWxlLW1hcmtlciJ9"]


class Name(str):
    """The name of a header as bytes, which need not be UTF-8."""

    __slots__ = ("raw",)
    raw: bytes

    def __new__(cls, raw: bytes) -> Self:
        name = super().__new__(cls, raw.decode(errors="replace"))
        name.raw = raw
        return name

    def encode(self, *_: Any, **__: Any) -> bytes:
        return self.raw


Sent = tuple[bytes | None, list[tuple[str, bytes]], int | None]  # value, headers, timestamp


def hidden(rng: random.Random) -> bytes:
    """Return a credential unchanged or spelled in a way that could be overlooked."""
    credential = rng.choice(CREDENTIALS)
    match rng.randrange(4):
        case 0:
            return credential.decode().encode("utf-16-le")
        case 1:
            return b"".join(b"\\u%04x" % byte for byte in credential)
        case 2:
            return rng.randbytes(rng.randrange(20)) + b" " + credential
        case _:
            return credential


def headers(rng: random.Random) -> list[tuple[str, bytes]]:
    """Return headers that nobody should send."""

    def one() -> tuple[str, bytes]:
        return rng.choice(
            [
                ("", b""),
                ("a\0b", b"\0"),
                (Name(b"\xed\xa0\x80"), b"a surrogate"),
                (Name(rng.randbytes(12)), rng.randbytes(40)),
                (Name(b" " + hidden(rng)), b"in the name"),
                ("authorization", hidden(rng)),
                ("traceparent", b"00-zz"),
                ("x" * rng.randrange(2_000), b"y" * rng.randrange(2_000)),
            ]
        )

    return [one() for _ in range(rng.choice([0, 0, 0, 0, 1, 1, 3, 70]))]


def hostile(rng: random.Random, good: bytes) -> Sent:
    """Return a record that is not one of our events, whatever it looks like."""
    magic, fingerprint, body = good[:2], good[2:10], good[10:]
    value: bytes | None = rng.choice(
        [
            lambda: None,
            lambda: b"",
            lambda: rng.randbytes(rng.randrange(300)),
            lambda: b"\xc3\x02" + fingerprint + body,
            lambda: magic + rng.randbytes(8) + body,
            lambda: magic + fingerprint,
            lambda: good[: rng.randrange(2, len(good) - 1)],
            lambda: good + b"\0",
            lambda: magic + fingerprint + b"\xff" * 9 + b"\x01" + body,
            lambda: magic + fingerprint + rng.randbytes(rng.randrange(100)),
            lambda: b"\0" + rng.randrange(2**31).to_bytes(4, "big") + body,
            lambda: b"[" * rng.randrange(1, 5_000),
            lambda: json.dumps({"event_id": "e", "type": "token.issued"}).encode(),
            lambda: magic + fingerprint + hidden(rng),
            lambda: b'{"token": "%s"}' % hidden(rng),
        ]
    )()
    return value, headers(rng), rng.choice([None, 0, 1, 2**53, 2**62])


def large(rng: random.Random, good: bytes) -> list[Sent]:
    """Return a record as large as the broker accepts, of one kind or another."""
    small = MESSAGE_BYTES - RECORD_BYTES - 20_000
    return [
        (rng.randbytes(RECORD_BYTES), [], None),
        (b"x-sk-" * (RECORD_BYTES // 5), [], None),
        (b" eyJaaaaaaaa..~~~" * (RECORD_BYTES // 17), [], None),
        (bytes(1) + b"a\0" * (RECORD_BYTES // 2 - 1), [], None),
        (good[:10] + b"\x02" * (RECORD_BYTES + 5_000), [], None),
        (b"[" * RECORD_BYTES, [], None),
        (b"many", [(f"h{n}", b"") for n in range(10_000)], None),
        (b"many", [(Name(b"\xff%d" % n), b"") for n in range(10_000)], None),
        (b"wide", [("h" * small, b"v" * RECORD_BYTES)], None),
    ]


def is_refused(value: bytes | None) -> bool:
    try:
        return value is None or not codec.decode(value)
    except BadRecordError:
        return True


@pytest.mark.slow
def test_hostile_records_among_good_ones_end_in_quarantine(kafka_url: str, tmp_path: Path):
    """
    Thousands of them: each is in quarantine, no consumer ends, all good ones are projected, and no credential is stored
    anywhere.
    """
    rng = random.Random()
    made = history(MANY // 5)
    good = entries_of(made)
    bad: Iterator[Sent] = (hostile(rng, rng.choice(good).value) for _ in range(MANY))
    bad = (sent for sent in bad if is_refused(sent[0]))
    big = [sent for _ in range(5) for sent in large(rng, good[0].value)]
    store, file = f"sqlite:///{tmp_path}/delegraph.db", tmp_path / "delegraph.db"
    refused = 0
    with (
        opened(store, create=True),
        made_log(kafka_url) as log,
        consuming(store, kafka_url) as first,
        consuming(store, kafka_url) as second,
        producing(log.servers, max_request_size=2 * MESSAGE_BYTES) as producer,
    ):
        for n, (value, names, moment) in enumerate(chain(big, bad)):
            refused += 1
            topic = log.topic_name(rng.choice(TOPICS))
            producer.send(topic, value, key=rng.randbytes(8), headers=names, timestamp_ms=moment)
            if n < len(good):
                producer.send(log.topic_name(good[n].topic), good[n].value, key=good[n].key)
        for entry in good[refused:]:
            producer.send(log.topic_name(entry.topic), entry.value, key=entry.key)
        producer.flush(60)
        wait_until(lambda: lag_of(store, log) == 0 or has_ended(first, second), seconds=180 + MANY / 500)
        for consumer in (first, second):
            assert 200 == consumer.get("/healthz")[0]
            assert memory_of(consumer) < MEMORY_BYTES
            consumer.leave()

        with opened(store) as found:
            outcomes = found.outcomes()
        kept = b"".join(part.read_bytes() for part in tmp_path.glob("delegraph.db*"))
        assert (refused, refused + len(good)) == (outcomes.quarantined, sum(outcomes))
        assert [] == [marker for marker in MARKERS for spelling in spellings(marker) if spelling in kept]
        assert file.exists()
        assert_whole(store, log, {content_digest(event) for event in made}, tmp_path)


def has_ended(*consumers: Consuming) -> bool:
    return any(consumer.run.poll() is not None for consumer in consumers)


def memory_of(consumer: Consuming) -> float:
    _, metrics = consumer.get("/metrics")
    [value] = [line.split()[1] for line in metrics.splitlines() if line.startswith("process_resident_memory_bytes ")]
    return float(value)


def spellings(marker: bytes) -> list[bytes]:
    """Return the forms that a marker may have in a file."""
    escaped = b"".join(b"\\u%04x" % byte for byte in marker)
    return [
        marker,
        marker.decode().encode("utf-16-le"),
        escaped,
        escaped.replace(b"\\", b"\\\\"),
        marker.hex().encode(),
    ]


def test_credentials_in_headers_are_not_kept(kafka_url: str, tmp_path: Path):
    """
    Every spelling of every credential, in the name and in the value of a header and in the record itself.
    """
    rng = random.Random(1)
    store = f"sqlite:///{tmp_path}/delegraph.db"
    with made_log(kafka_url, partitions=1) as log, producing(log.servers) as producer:
        for _ in range(300):
            producer.send(
                log.topic_name(DECISIONS), hidden(rng), headers=[(Name(hidden(rng)), b"x"), ("x", hidden(rng))]
            )
        producer.flush(30)
        with opened(store, create=True) as found:
            project(log, found, None)
            assert 300 == found.outcomes().quarantined

    kept = b"".join(part.read_bytes() for part in tmp_path.glob("delegraph.db*"))
    assert b"sha256:" in kept
    assert [] == [spelling for marker in MARKERS for spelling in spellings(marker) if spelling in kept]


def test_a_header_that_is_not_utf_8_stops_nothing(kafka_url: str, tmp_path: Path):
    """
    The library gives up on a batch with such a name; ours reads it unchanged, with the records around it.
    """
    with made_log(kafka_url, partitions=1) as log, producing(log.servers, linger_ms=500) as producer:
        for n, name in enumerate([Name(b"plain"), Name(b"\xff\xfe"), Name(b"\xed\xa0\x80"), Name("é".encode())]):
            producer.send(log.topic_name(ORDERS), b"%d" % n, headers=[(name, b"\xff")])
        producer.flush(30)
        records = log.read(ORDERS, 0, 0, limit=10).records

    assert kafka_records.harden()
    assert [b"0", b"1", b"2", b"3"] == [record.value for record in records]
    assert [
        (("plain", b"\xff"),),
        (("\\xff\\xfe", b"\xff"),),
        (("\\xed\\xa0\\x80", b"\xff"),),
        (("é", b"\xff"),),
    ] == [record.headers for record in records]


def lying(monkeypatch: pytest.MonkeyPatch, offsets: list[int]) -> None:
    """Make producers number the records of a batch arbitrarily."""
    append = default_records.DefaultRecordBatchBuilder.append

    def appended(self: Any, offset: int, *args: Any, **more: Any) -> Any:
        return append(self, offsets[offset] if offset < len(offsets) else offset, *args, **more)

    monkeypatch.setattr(default_records.DefaultRecordBatchBuilder, "append", appended)


@pytest.mark.slow
@pytest.mark.parametrize("claimed", [[0, 5, 2, 3], [0, -1, 1, 3], [2**30, 0, 0, 3]], ids=str)
def test_a_false_offset_does_not_displace_another_record(
    kafka_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claimed: list[int]
):
    """
    The broker believes the offsets in a batch; each record keeps its real offset anyway, and the records before and
    after it are not lost.
    """
    made = [event for event in history(40) if not event["type"].startswith("revocation.")][:12]
    values = [entry.value for entry in entries_of(made)]
    store = f"sqlite:///{tmp_path}/delegraph.db"
    with opened(store, create=True), made_log(kafka_url, partitions=1) as log:
        name = log.topic_name(DECISIONS)
        with producing(log.servers) as producer:
            for value in values[:4]:
                producer.send(name, value).get(30)
            with monkeypatch.context() as patched, producing(log.servers, linger_ms=1_000) as liar:
                lying(patched, claimed)
                for future in [liar.send(name, value) for value in values[4:8]]:
                    future.get(30)
            with consuming(store, kafka_url):
                wait_until(lambda: lag_of(store, log) == 0)
                for value in values[8:]:
                    producer.send(name, value).get(30)
                wait_until(lambda: lag_of(store, log) == 0)

        assert list(range(12)) == [record.number for record in log.read(DECISIONS, 0, 0, limit=100).records]
        assert values == [record.value for record in log.read(DECISIONS, 0, 0, limit=100).records]
        assert [values[6]] == [record.value for record in log.read(DECISIONS, 0, 6, limit=1).records]
        assert_whole(store, log, {content_digest(event) for event in made}, tmp_path)


def lz4(data: Any) -> bytes:
    """Build an LZ4 frame of one uncompressed block."""
    raw = bytes(data)
    return bytes.fromhex("04224d18604082") + (len(raw) | 1 << 31).to_bytes(4, "little") + raw + bytes(4)


def test_the_broker_decompresses_what_producers_compress(kafka_url: str, monkeypatch: pytest.MonkeyPatch):
    """
    A producer may use a codec that is not installed here: the topic stores the uncompressed records.
    """
    monkeypatch.setattr(default_records, "lz4_encode", lz4)
    monkeypatch.setattr("kafka.codec.has_lz4", lambda: True)
    monkeypatch.setitem(KafkaProducer._COMPRESSORS, "lz4", (lambda: True, 3))
    with made_log(kafka_url, partitions=1) as log:
        with producing(log.servers, compression_type="lz4") as producer:
            producer.send(log.topic_name(ORDERS), b"x" * 1_000).get(30)
        monkeypatch.undo()

        assert [b"x" * 1_000] == [record.value for record in log.read(ORDERS, 0, 0, limit=10).records]


def test_a_compression_bomb_is_refused_by_the_broker(kafka_url: str):
    """
    A record of a gigabyte of zeros, compressed to a megabyte, would exhaust a consumer's memory.
    """
    size = 64 * 1024 * 1024
    assert len(gzip_encode(bytes(size))) < MESSAGE_BYTES
    with (
        made_log(kafka_url, partitions=1) as log,
        producing(log.servers, compression_type="gzip", max_request_size=2 * size, batch_size=2 * size) as producer,
    ):
        future = producer.send(log.topic_name(ORDERS), bytes(size))
        with pytest.raises(KafkaError, match=r"(?i)too|large|size"):
            future.get(60)
        assert 0 == log.ends()[ORDERS, 0]
