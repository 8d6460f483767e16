"""The producer on a real Kafka: a broker that is unavailable, goes down, refuses, and accepts; nothing is lost."""

import gc
import json
import os
import re
import shlex
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ConfigResource,
    ConfigResourceType,
    ResourcePattern,
    ResourceType,
)

from compose.native.kafka import Kafka
from compose.native.processes import free_port
from compose.native.secured import SecuredKafka
from ingest.codec import api as codec
from ingest.kafka.log import KafkaLog
from ingest.kafka.settings import KafkaSettings
from ingest.log.port import key_of
from ingest.producer.api import Producer, now
from ingest.producer.file_publisher import publish
from lineage.core.model.errors import BadRecordError, UnavailableError
from lineage.core.model.events import Event
from lineage.core.model.times import format_instant
from lineage.serve.cli.main import main
from tests.support.kafka_worlds import made_log
from tests.support.producers import ACTION, SOURCE, killed_while_emitting
from tests.support.spool_processes import in_child, together, until

pytestmark = [
    pytest.mark.kafka,
    # The library leaves the socket of every failed attempt to reconnect to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

ORDER: dict[str, Any] = {
    "type": "revocation.ordered",
    "revocation": "r1",
    "target": {"kind": "token", "id": "t1"},
    "reason": "test",
    "ordered_by": "human:ruth",
}


@pytest.fixture(autouse=True)
def _collect_here(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Collect what the library has left while its warning is expected."""
    yield
    caplog.get_records("call").clear()  # its exceptions refer to frames, and these to the sockets
    gc.collect()


@pytest.fixture
def spool(tmp_path: Path) -> str:
    return str(tmp_path / "spool.db")


def opened(url: str, spool: str, **more: Any) -> Producer:
    return Producer(url, **{"source": SOURCE, "spool": spool, **more})


def records(log: KafkaLog) -> Iterator[Any]:
    """Return all records of the log, by partition, as the library returns them."""
    for (topic, partition), end in log.ends().items():
        place = TopicPartition(log.topic_name(topic), partition)
        consumer = KafkaConsumer(**log.client(enable_auto_commit=False))
        try:
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            deadline = time.monotonic() + 60
            while consumer.position(place) < end:
                assert time.monotonic() < deadline
                yield from consumer.poll(timeout_ms=500).get(place, ())
        finally:
            consumer.close()


def logged(log: KafkaLog) -> list[Event]:
    return [codec.decode(record.value) for record in records(log)]


# What it sends


def test_events_arrive_with_their_keys_on_their_topics(kafka_url: str, spool: str):
    """Each event is on its topic once, under its key, without a header, and flush reports that it arrived."""
    with made_log(kafka_url) as log:
        with opened(kafka_url, spool) as producer:
            for number in range(300):
                producer.emit({**ACTION, "token": f"t{number % 7}"})
            producer.emit(ORDER)
            assert producer.flush(30)
            assert (301, 301, 0) == (
                producer.metrics().emitted,
                producer.metrics().acknowledged,
                producer.metrics().spooled,
            )

        found = list(records(log))
        assert Counter({"decisions": 300, "orders": 1}) == Counter(record.topic.rpartition(".")[2] for record in found)
        events = [codec.decode(record.value) for record in found]
        assert list(range(1, 302)) == sorted(event.sequence or 0 for event in events)
        assert [key_of(event).encode() for event in events] == [record.key for record in found]
        assert [()] * 301 == [tuple(record.headers) for record in found]


def test_headers_are_sent_on_request(kafka_url: str, spool: str):
    """Each record has the attributes of CloudEvents in binary mode and the trace context."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with made_log(kafka_url) as log:
        with opened(kafka_url, spool, cloudevents=True, traceparent=True) as producer:
            emitted = producer.emit({**ACTION, "traceparent": trace}, occurred_at=1_000_001)
            assert producer.flush(30)
        [record] = records(log)

    assert {
        "content-type": b"application/avro",
        "ce_specversion": b"1.0",
        "ce_id": emitted.event_id.encode(),
        "ce_source": SOURCE.encode(),
        "ce_type": b"action.performed",
        "ce_time": format_instant(1_000_001).encode(),
        "traceparent": trace.encode(),
    } == dict(record.headers)


@pytest.mark.slow
def test_many_threads_emit_to_a_broker(kafka_url: str, spool: str):
    """Eight threads emit at once, and every event is in the log exactly once."""
    with made_log(kafka_url) as log:
        with opened(kafka_url, spool) as producer:
            together(lambda thread: [producer.emit(ACTION) for _ in range(100)], 8)
            assert producer.flush(60)
        assert list(range(1, 801)) == sorted(event.sequence or 0 for event in logged(log))


def test_the_largest_allowed_event_arrives(kafka_url: str, spool: str):
    """An event just below the size limit of a record passes every setting on its way."""
    context = {f"k{number:02}": "x" * 4_000 for number in range(64)}
    large = {"type": "decision.made", "decision": "d1", "permitted": True, "operation": "o", "context": context}
    with made_log(kafka_url) as log:
        with opened(kafka_url, spool, cloudevents=True) as producer:
            producer.emit(large)
            assert producer.flush(30)
        [record] = records(log)
    assert len(record.value) > 256_000


# A broker that is unavailable


@pytest.mark.slow
def test_the_producer_waits_for_a_broker_that_is_down_at_the_start(
    own_kafka: Callable[[Path], Kafka], tmp_path: Path, spool: str, caplog: pytest.LogCaptureFixture
):
    """Emitting before there is a broker or a topic takes no time and raises nothing; everything arrives in the end."""
    kafka = own_kafka(tmp_path / "kafka")
    url = f"kafka://{kafka.servers}/away"
    kafka.stop()
    with opened(url, spool, close_seconds=60, durable="process") as producer:  # so that a slow disk does not matter
        began = time.monotonic()
        for _ in range(20):
            producer.emit(ACTION)
        assert time.monotonic() - began < 2
        until(lambda: producer.metrics().fault is not None)
        assert kafka.servers in (producer.metrics().fault or "")

        kafka.start()
        until(
            lambda: "has no topic away.decisions; create it with 'delegraph init'" in (producer.metrics().fault or ""),
            60,
        )
        with made_log(url) as log:
            assert producer.flush(60)
            assert None is producer.metrics().fault
            assert list(range(1, 21)) == sorted(event.sequence or 0 for event in logged(log))
    messages = [record.getMessage() for record in caplog.records if record.name == "ingest.producer.sender"]
    assert "the log accepts decisions again" in messages
    assert len(messages) == len(set(messages))


@pytest.mark.slow
def test_a_broker_that_is_killed_meanwhile_loses_nothing(
    own_kafka: Callable[[Path], Kafka], tmp_path: Path, spool: str
):
    """While the broker is killed repeatedly no caller of emit is delayed, and every accepted event is in the log."""
    kafka = own_kafka(tmp_path / "kafka")
    url = f"kafka://{kafka.servers}/kills"
    slowest = [0.0]
    stop = threading.Event()

    def run(_thread: int) -> None:
        while not stop.is_set():
            began = time.monotonic()
            producer.emit(ACTION)
            slowest[0] = max(slowest[0], time.monotonic() - began)
            time.sleep(0.002)

    with made_log(url):
        pass
    with opened(url, spool, close_seconds=90) as producer:
        emitting = threading.Thread(target=together, args=(run, 2))
        emitting.start()
        try:
            for _ in range(2):
                before = producer.metrics().acknowledged
                until(lambda before=before: producer.metrics().acknowledged > before, 60)
                kafka.kill()
                time.sleep(0.5)  # some events while it is unavailable
                kafka.start()
        finally:
            stop.set()
            emitting.join()
        assert producer.flush(90)
        emitted = producer.metrics().emitted

    with made_log(url) as log:
        assert set(range(1, emitted + 1)) == {event.sequence for event in logged(log)}
    assert slowest[0] < 5


@pytest.mark.slow
def test_acknowledged_events_survive_kills_of_the_producer(kafka_url: str, spool: str):
    """
    A killed producer leaves the rest to the next run: every event for which emit returned arrives, and is one fact.
    """
    acknowledged: dict[str, int] = {}
    with made_log(kafka_url) as log:
        for run in range(4):
            acknowledged |= killed_while_emitting(kafka_url, spool, run, 0.1 + 0.4 * run)
        with opened(kafka_url, spool) as producer:
            assert producer.flush(60)
        facts = set(logged(log))  # an event that was sent twice is one fact

    found = {event.event_id: event.sequence or 0 for event in facts}
    assert acknowledged == {name: found[name] for name in acknowledged}
    assert list(range(1, len(facts) + 1)) == sorted(found.values())
    assert len(acknowledged) > 20


def test_the_spool_outlives_its_producer_while_the_broker_is_down(kafka_url: str, spool: str):
    """Events emitted before there ever was a broker are sent by the next producer, once there is one."""
    nobody = f"kafka://127.0.0.1:{free_port()}/none"
    producer = opened(nobody, spool, close_seconds=0.1)
    producer.emit_all([ACTION] * 50)
    assert not producer.close()

    with made_log(kafka_url) as log, opened(kafka_url, spool) as producer:
        assert producer.emit(ACTION).sequence == 51
        assert producer.flush(30)
        assert list(range(1, 52)) == sorted(event.sequence or 0 for event in logged(log))


@pytest.mark.slow
def test_close_is_bounded_while_events_are_in_flight(own_kafka: Callable[[Path], Kafka], tmp_path: Path, spool: str):
    """After the broker was killed, close takes its own limit, not the library's, and the spool keeps the rest."""
    kafka = own_kafka(tmp_path / "kafka")
    url = f"kafka://{kafka.servers}/closing"
    with made_log(url):
        pass
    producer = opened(url, spool, close_seconds=0.5)
    producer.emit(ACTION)
    assert producer.flush(30)
    kafka.kill()
    producer.emit_all([ACTION] * 10)
    began = time.monotonic()
    assert not producer.close()
    assert time.monotonic() - began < 5

    kafka.start()
    with opened(url, spool) as again:
        assert again.flush(60)
    with made_log(url) as log:
        assert set(range(1, 12)) == {event.sequence for event in logged(log)}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_does_not_harm_the_parents_connection(kafka_url: str, spool: str):
    """A child that is forked while the parent sends is refused, exits, and the parent continues sending."""
    with made_log(kafka_url) as log:
        with opened(kafka_url, spool) as producer:
            for _ in range(5):
                producer.emit_all([ACTION] * 20)
                assert "RefusedError" in in_child(lambda: str(producer.emit(ACTION)))
            assert producer.flush(30)
        assert list(range(1, 101)) == sorted(event.sequence or 0 for event in logged(log))


@pytest.mark.slow
def test_a_missing_topic_delays_only_its_own_events(kafka_url: str, spool: str, caplog: pytest.LogCaptureFixture):
    """The events of the other topic arrive, and the missing one is reported once."""
    with made_log(kafka_url) as log:
        drop(log, "orders")
        with opened(kafka_url, spool, close_seconds=0) as producer:
            producer.emit(ORDER)
            for _ in range(3):
                before = producer.metrics().retries
                until(lambda before=before: producer.metrics().retries > before, 60)
                producer.emit_all([ACTION] * 10)
                until(lambda: producer.metrics().spooled == 1, 60)
                assert "has no topic" in (producer.metrics().fault or "")
    messages = [record.getMessage() for record in caplog.records if record.name == "ingest.producer.sender"]
    assert 1 == len(messages)
    assert messages[0].startswith("orders wait in the spool")


def drop(log: KafkaLog, topic: str) -> None:
    admin = KafkaAdminClient(**log.client())
    try:
        admin.delete_topics([log.topic_name(topic)])
        until(lambda: log.topic_name(topic) not in admin.list_topics())
    finally:
        admin.close()


# A broker that refuses


@pytest.mark.slow
def test_refused_events_are_set_aside_and_delay_no_others(
    secured_kafka: SecuredKafka, tmp_path: Path, spool: str, caplog: pytest.LogCaptureFixture
):
    """With a producer's credential decisions arrive; an order is set aside, reported, and kept for another one."""
    prefix = f"refused-{os.getpid()}-{time.monotonic_ns()}"
    url = f"kafka://{secured_kafka.servers}/{prefix}"
    admin = KafkaLog(url, settings_of(secured_kafka, "admin"))
    try:
        admin.create(partitions=2, replication=1)
        secured_kafka.grant(prefix)
        with opened(url, spool, settings=settings_of(secured_kafka, "producer")) as producer:
            producer.emit(ORDER)
            producer.emit_all([ACTION] * 20)
            assert not producer.flush(60)
            metrics = producer.metrics()
            assert (21, 20, 1, 0) == (metrics.emitted, metrics.acknowledged, metrics.refused, metrics.spooled)
            [refused] = producer.refused()
            assert "not-authorised" == refused.reason
            assert f"{prefix}.orders" in refused.detail
            assert 1 == producer.retry_refused()
            until(lambda: producer.metrics().refused == 1)
        assert "the log refused an event of the topic orders" in caplog.text
        assert {("decisions", 0), ("decisions", 1)} >= {place for place, end in admin.ends().items() if end}

        with opened(url, spool, settings=settings_of(secured_kafka, "responder")) as responder:
            assert responder.flush(60)
        assert set(range(1, 22)) == {event.sequence for event in logged(admin)}
    finally:
        admin.close()


@pytest.mark.slow
def test_a_late_refusal_of_an_order_does_not_affect_decisions(secured_kafka: SecuredKafka, spool: str):
    """A broker that shows a topic but permits no writes fails everything in flight; only the orders are set aside."""
    prefix = f"late-{os.getpid()}-{time.monotonic_ns()}"
    url = f"kafka://{secured_kafka.servers}/{prefix}"
    admin = KafkaLog(url, settings_of(secured_kafka, "admin"))
    try:
        admin.create(partitions=2, replication=1)
        secured_kafka.grant(prefix)
        show(admin, "producer", f"{prefix}.orders")
        with opened(url, spool, settings=settings_of(secured_kafka, "producer")) as producer:
            for _ in range(10):
                producer.emit_all([ORDER, *[ACTION] * 20])
            assert not producer.flush(90)
            metrics = producer.metrics()
            assert (210, 10, 0) == (metrics.emitted, metrics.refused, metrics.spooled)
            assert {True} == {codec.decode(refused.entry.value).is_order for refused in producer.refused()}
        assert 200 == len({event.sequence for event in logged(admin)})
    finally:
        admin.close()


def show(log: KafkaLog, user: str, topic: str) -> None:
    """Let a user see a topic."""
    right = ACL(
        principal=f"User:{user}",
        host="*",
        operation=ACLOperation.DESCRIBE,
        permission_type=ACLPermissionType.ALLOW,
        resource_pattern=ResourcePattern(ResourceType.TOPIC, topic),
    )
    admin = KafkaAdminClient(**log.client())
    try:
        admin.create_acls([right])
        until(lambda: bool(admin.describe_acls(right)[0]))
    finally:
        admin.close()


def settings_of(broker: SecuredKafka, user: str) -> KafkaSettings:
    return KafkaSettings.from_mapping(broker.settings(user))


def test_a_wrong_password_is_retried_and_reported(secured_kafka: SecuredKafka, tmp_path: Path, spool: str):
    """The events stay in the spool, and the metrics say that the login fails."""
    settings = KafkaSettings.from_mapping(
        secured_kafka.settings("producer") | {"password_file": str(written(tmp_path))}
    )
    with opened(f"kafka://{secured_kafka.servers}", spool, settings=settings, close_seconds=0) as producer:
        producer.emit(ACTION)
        until(lambda: producer.metrics().fault is not None, 60)
        assert "SCRAM-SHA-512" in (producer.metrics().fault or "")
        assert (1, True) == (producer.metrics().spooled, producer.metrics().sender_alive)


def written(folder: Path) -> Path:
    file = folder / "wrong.password"
    file.write_text("not-the-password")
    file.chmod(0o600)
    return file


@pytest.mark.slow
def test_an_event_too_large_for_the_topic_is_set_aside_alone(kafka_url: str, spool: str):
    """If a topic accepts less than we send, only the event that is too large is set aside; the others arrive."""
    large = {**ACTION, "operation": "x" * 4_000, "tool": "y" * 4_000}
    with made_log(kafka_url, partitions=1) as log:
        alter(log, "max.message.bytes", "5000")
        with opened(kafka_url, spool) as producer:
            producer.emit_all([large if number in (2, 70, 71) else ACTION for number in range(1, 151)])
            assert not producer.flush(90)
            refused = {codec.decode(refused.entry.value).sequence: refused.reason for refused in producer.refused()}
            assert dict.fromkeys([2, 70, 71], "too-large") == refused
        assert set(range(1, 151)) - {2, 70, 71} == {event.sequence for event in logged(log)}


def alter(log: KafkaLog, name: str, value: str) -> None:
    admin = KafkaAdminClient(**log.client())
    try:
        admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, log.topic_name("decisions"), configs={name: value})]
        )
    finally:
        admin.close()


# delegraph emit


def file_of(folder: Path, *events: dict[str, Any]) -> str:
    file = folder / "events.jsonl"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    return str(file)


def whole(number: int) -> dict[str, Any]:
    return {**ACTION, "event_id": f"e{number}", "source": SOURCE, "occurred_at": "2026-11-01T09:00:00Z"}


@pytest.mark.slow
def test_files_are_published(kafka_url: str, tmp_path: Path):
    """The events of a file arrive unchanged; an invalid line is refused with file, line and reason."""
    file = file_of(tmp_path, whole(1), {"type": "nonsense"}, whole(2))
    with made_log(kafka_url) as log:
        assert {
            "read": 3,
            "published": 2,
            "refused": [
                {"file": file, "line": 2, "reason": "unknown-schema", "detail": publish_detail()},
            ],
        } == publish([file], kafka_url, clock=now)
        assert {"e1", "e2"} == {event.event_id for event in logged(log)}
        assert {None} == {event.sequence for event in logged(log)}


def publish_detail() -> str:
    try:
        codec.decode_line(b'{"type": "nonsense"}')
    except BadRecordError as fault:
        return fault.detail
    raise AssertionError


def emit(url: str, *words: str) -> tuple[Result, float]:
    """Run ``delegraph emit`` and return how many seconds it took."""
    began = time.monotonic()
    result = CliRunner().invoke(main, ["emit", "--json", "--log", url, *words])
    return result, time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 1, 4])
@pytest.mark.parametrize("named", [True, False])
def test_emit_waits_for_a_broker_as_long_as_requested(
    own_kafka: Callable[[Path], Kafka], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, named: bool
):
    """
    Then the exit code is 5, and the error names the spool, which has everything, and the command that sends it.

    That command does send it once the broker is back, with a named spool and without.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    kafka = own_kafka(tmp_path / "kafka")
    url = f"kafka://{kafka.servers}/away"
    with made_log(url):
        pass
    kafka.stop()

    file = file_of(tmp_path, whole(1), whole(2))
    spool = ["--spool", str(tmp_path / "my spool.db")] if named else []
    result, took = emit(url, "--wait", str(seconds), *spool, file)

    assert 5 == result.exit_code, result.output
    assert seconds <= took < seconds + 4
    assert "0 events were published, and 2 wait in the spool" in result.stderr
    assert kafka.servers in result.stderr
    [command] = re.findall(r"'delegraph (emit --spool .*)'\. ", result.stderr)
    kafka.start()
    again, _ = emit(url, *shlex.split(command)[1:])
    assert {"read": 0, "published": 2, "refused": []} == json.loads(again.stdout)
    with made_log(url) as log:
        assert ["e1", "e2"] == sorted(event.event_id for event in logged(log))


@pytest.mark.slow
def test_a_broker_that_comes_back_in_time_gets_everything(own_kafka: Callable[[Path], Kafka], tmp_path: Path):
    """Nothing is left: neither events nor, if no spool was named, its folder."""
    kafka = own_kafka(tmp_path / "kafka")
    url = f"kafka://{kafka.servers}/back"
    with made_log(url):
        pass
    kafka.stop()
    later = threading.Timer(2, kafka.start)
    later.start()
    try:
        result, _ = emit(url, file_of(tmp_path, whole(1), whole(2)))
    finally:
        later.join()

    assert (0, {"read": 2, "published": 2, "refused": []}) == (result.exit_code, json.loads(result.stdout))
    with made_log(url) as log:
        assert ["e1", "e2"] == sorted(event.event_id for event in logged(log))


@pytest.mark.slow
@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "a minute", ""])
def test_an_invalid_wait_is_refused(tmp_path: Path, seconds: str):
    result, _ = emit("kafka://127.0.0.1:1/x", "--wait", seconds, file_of(tmp_path, whole(1)))

    assert 2 == result.exit_code
    assert "--wait" in result.stderr


def test_a_full_spool_reports_that_the_files_were_not_read_to_the_end(
    tmp_path: Path, spool: str, monkeypatch: pytest.MonkeyPatch
):
    """The spool alone is not enough to continue."""
    monkeypatch.setattr("ingest.producer.file_publisher.LIMIT_EVENTS", 10)
    nobody = f"kafka://127.0.0.1:{free_port()}/none"
    file = file_of(tmp_path, *map(whole, range(8)))
    with pytest.raises(UnavailableError, match=r"8 wait in the spool"):
        publish([file], nobody, clock=now, wait_seconds=0, spool=spool)

    with pytest.raises(UnavailableError, match=r"wait in the spool .* cannot take the rest of the files .* same files"):
        publish([file], nobody, clock=now, wait_seconds=0.5, spool=spool)
