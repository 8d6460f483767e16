"""The doctor: what it reports about settings, stores, logs and brokers, without raising."""

import gc
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from rich.console import Console

from compose.native.secured import SecuredKafka
from ingest.kafka.cluster_report import PartitionReport, faults_of_copies, faults_of_settings, other_log
from ingest.kafka.log import MESSAGE_BYTES, TOPIC_SETTINGS, KafkaLog
from ingest.kafka.settings import KafkaSettings, parse_url
from ingest.log.port import Entry
from ingest.opening import open_log
from ingest.projector import project
from lineage.core.model.records import DECISIONS
from lineage.serve.cli.doctor import doctor
from lineage.serve.cli.main import main
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now, opened_log, opened_store
from lineage.serve.text import render_chain
from lineage.store.database import sorted_runs
from tests.support.kafka_worlds import wait_until
from tests.support.places import INCIDENT

SECRET = "correct-horse-battery-staple"
WELL = {**TOPIC_SETTINGS, "max.message.bytes": str(MESSAGE_BYTES), "min.insync.replicas": "2"}


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., Settings]:
    """Settings with a store in a separate folder."""

    def of(**fields: str) -> Settings:
        env = {"DELEGRAPH_STORE": f"sqlite:///{tmp_path / 'delegraph.db'}"}
        return Settings.of(env=env | {f"DELEGRAPH_{name.upper()}": value for name, value in fields.items()})

    return of


# The library forgets a socket that could not connect.
FORGOTTEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def forgotten(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Collect unreferenced objects before the next test; a stored log record would keep them alive."""
    caplog.set_level(logging.CRITICAL, logger="kafka")
    yield
    gc.collect()


def checks(document: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    return {check["check"]: (check["ok"], check["says"]) for check in document["checks"]}


def prepare(settings: Settings, *values: bytes) -> None:
    """Make the store and the log, append values to it, and project them."""
    with opened_log(settings, create=True) as log:
        if isinstance(log, KafkaLog):
            log.create(partitions=2, replication=1)
        with opened_store(settings, create=True) as store:
            log.append([Entry(DECISIONS, value) for value in values])
            project(log, store, None)


@contextmanager
def administering(url: str) -> Iterator[Any]:
    """The library's own client, for changes that we never make to a topic."""
    servers, _ = parse_url(url)
    admin = KafkaAdminClient(bootstrap_servers=list(servers))
    try:
        yield admin
    finally:
        admin.close()


def make_topics(url: str, **configs: str) -> None:
    """Create topics as someone else might."""
    _, prefix = parse_url(url)
    named = {name.replace("_", "."): value for name, value in configs.items()}
    with administering(url) as admin:
        filters = {"num_partitions": 1, "replication_factor": 1, "configs": named}
        admin.create_topics({f"{prefix}.{topic}": filters for topic in ("decisions", "orders")}, wait_for_metadata=True)


# Settings, store, the embedded log


def test_a_healthy_store_passes_every_check(settings_of: Callable[..., Settings]):
    """
    Every check passes, each setting has its origin, and every version is named.
    """
    settings = settings_of(group="night")
    prepare(settings, b"no event")

    document = doctor(settings)

    assert document["ok"]
    assert ["trust", "store", "log", "projection", "retention"] == list(checks(document))
    assert ("environment", "environment", "default") == tuple(
        next(item["from"] for item in document["settings"] if item["name"] == name)
        for name in ("store", "group", "source")
    )
    assert {"topic": "decisions", "partition": 0, "next_offset": 1, "end": 1, "behind": 0} in document["positions"]
    assert {"python", "delegraph", "kafka-python", "SQLite"} <= document["versions"].keys()
    assert None is document["kafka"]


@pytest.mark.slow
@FORGOTTEN
@pytest.mark.usefixtures("forgotten")
def test_no_secret_is_shown(tmp_path: Path, settings_of: Callable[..., Settings]):
    """
    Whatever is configured, and whatever fails, no password is in the document or on the page.
    """
    file = tmp_path / "password"
    file.write_text(SECRET, encoding="utf-8")
    file.chmod(0o600)
    settings = settings_of(
        store=f"postgresql://app:{SECRET}@127.0.0.1:1/facts",
        log="kafka://127.0.0.1:1",
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_username="app",
        kafka_password_file=str(file),
    )

    document = doctor(settings)

    assert not document["ok"]
    assert SECRET not in json.dumps(document)
    assert "postgresql://app:***@127.0.0.1:1/facts" == document["store"]
    assert {"name": "kafka.password", "value": "set", "from": "environment"} in document["settings"]


def test_a_world_readable_secret_is_a_fault(tmp_path: Path, settings_of: Callable[..., Settings]):
    """
    The file is named, with the command that closes it.
    """
    file = tmp_path / "password"
    file.write_text(SECRET, encoding="utf-8")
    file.chmod(0o644)

    ok, message = checks(doctor(settings_of(store_password_file=str(file))))["secrets"]

    assert not ok
    assert f"chmod o-r {file}" in message


def test_an_unknown_variable_is_reported_with_a_suggestion(settings_of: Callable[..., Settings]):
    """
    A misspelled variable is shown, but is not a fault, because it may belong to another program.
    """
    settings = settings_of(kafka_pasword_file="x")
    prepare(settings)

    assert (True, "nothing reads DELEGRAPH_KAFKA_PASWORD_FILE (is DELEGRAPH_KAFKA_PASSWORD_FILE meant?)") == checks(
        doctor(settings)
    )["settings"]


def test_a_record_from_the_future_is_a_fault(settings_of: Callable[..., Settings]):
    """
    If a record is from the future by our clock, one of the clocks is wrong.
    """
    settings = settings_of()
    log = open_log(settings.log_url, create=True, clock=lambda: now() + 3_600_000_000)
    log.append([Entry(DECISIONS, b"x")])
    log.close()
    prepare(settings)

    ok, message = checks(doctor(settings))["projection"]

    assert not ok
    assert "in our future" in message


def test_a_missing_log_setting_is_reported(settings_of: Callable[..., Settings]):
    """
    A store on PostgreSQL has no embedded log: the check says what to set.
    """
    document = doctor(settings_of(store="postgresql://127.0.0.1:1/facts"))

    assert (False, False) == (checks(document)["store"][0], checks(document)["log"][0])
    assert "DELEGRAPH_LOG" in checks(document)["log"][1]


# Kafka


@pytest.mark.kafka
def test_a_healthy_kafka_passes_every_check(kafka_url: str, settings_of: Callable[..., Settings]):
    """
    Cluster, topics, copies, records, group and clock pass, and the document has the details.
    """
    settings = settings_of(log=kafka_url)
    prepare(settings, b"1", b"2", b"3")
    servers, prefix = parse_url(kafka_url)

    document = doctor(settings)
    found = document["kafka"]

    assert document["ok"], checks(document)
    assert ["cluster", "topics", "copies", "records", "group", "broker clock"] == list(checks(document))[-6:]
    assert (list(servers), f"{prefix}.orders", 2, 1) == (
        found["brokers"], found["topics"]["orders"]["name"], found["topics"]["orders"]["partitions"],
        found["topics"]["orders"]["replication"],
    )  # fmt: skip
    assert found["cluster"] in checks(document)["cluster"][1]
    assert TOPIC_SETTINGS.items() <= found["topics"]["decisions"]["settings"].items()
    assert 3 == sum(item["next_offset"] for item in document["positions"])
    assert document["versions"]["Kafka"].startswith(found["version"])


@pytest.mark.kafka
def test_an_unreviewed_client_version_is_a_fault(
    kafka_url: str, settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    """
    With a version of the library that was not reviewed, records are not made safe; the check says what may happen.
    """
    settings = settings_of(log=kafka_url)
    prepare(settings)
    well = checks(doctor(settings))["kafka-python"]
    monkeypatch.setattr("kafka.__version__", "3.1.0")
    ill = checks(doctor(settings))["kafka-python"]

    assert (True, False) == (well[0], ill[0])
    assert "a hostile record may stop every consumer" in ill[1]


@pytest.mark.kafka
def test_the_lag_is_reported_by_partition(kafka_url: str, settings_of: Callable[..., Settings]):
    """
    Records that are not projected are counted, in sum and by partition, on the page as well.
    """
    settings = settings_of(log=kafka_url)
    prepare(settings)
    with opened_log(settings) as log:
        log.append([Entry(DECISIONS, b"x")] * 5)

    document = doctor(settings)

    assert checks(document)["projection"][1].startswith("5 records behind")
    assert 5 == sum(item["behind"] for item in document["positions"])
    assert "0 of " in page_of(document)


@pytest.mark.kafka
def test_topics_that_would_lose_facts_are_a_fault(kafka_url: str, settings_of: Callable[..., Settings]):
    """
    Retention, compaction, the producers' clock and a too small size are each reported with the remedy.
    """
    make_topics(kafka_url, retention_ms="86400000", retention_bytes="1000000", cleanup_policy="compact,delete",
                max_message_bytes="1000")  # fmt: skip

    ok, message = checks(doctor(settings_of(log=kafka_url)))["topics"]

    assert not ok
    for value in ("1 days: set retention.ms=-1", "retention.bytes=-1", "cleanup.policy=delete",
                 "message.timestamp.type=LogAppendTime", f"max.message.bytes={MESSAGE_BYTES}"):  # fmt: skip
        assert value in message


@pytest.mark.kafka
def test_records_that_are_gone_are_a_fault(kafka_url: str, settings_of: Callable[..., Settings]):
    """
    It reports how many records were deleted before they were projected.
    """
    make_topics(kafka_url, **{name.replace(".", "_"): value for name, value in TOPIC_SETTINGS.items()})
    settings = settings_of(log=kafka_url)
    with opened_log(settings) as log, opened_store(settings, create=True):
        log.append([Entry(DECISIONS, b"x")] * 4)
    _, prefix = parse_url(kafka_url)
    with administering(kafka_url) as admin:
        admin.delete_records({TopicPartition(f"{prefix}.decisions", 0): 3})

    found = checks(doctor(settings))

    assert "has lost 3 records already" in found["topics"][1]
    assert "0 to 2 of" in found["records"][1]
    assert (False, False) == (found["topics"][0], found["records"][0])


@pytest.mark.kafka
def test_a_recreated_topic_is_a_fault(kafka_url: str, settings_of: Callable[..., Settings]):
    """
    A topic that was deleted and created again under its name is reported as another log.
    """
    settings = settings_of(log=kafka_url)
    prepare(settings)
    with opened_log(settings) as log, opened_store(settings) as store:
        store.bind(log.identity)
    _, prefix = parse_url(kafka_url)
    with administering(kafka_url) as admin:
        admin.delete_topics([f"{prefix}.orders"])
        wait_until(lambda: f"{prefix}.orders" not in admin.list_topics())
    with opened_log(settings) as log:
        log.create(partitions=2, replication=1)

    ok, message = checks(doctor(settings))["projection"]

    assert not ok
    assert "the topic of orders is not the one" in message
    assert "created again" in message


@pytest.mark.kafka
def test_missing_topics_are_reported(kafka_url: str, settings_of: Callable[..., Settings]):
    """
    A cluster without the topics: the log does not answer, and `delegraph init` is the remedy.
    """
    ok, message = checks(doctor(settings_of(log=kafka_url)))["log"]

    assert not ok
    assert "delegraph init" in message


@pytest.mark.kafka
def test_a_running_consumer_is_seen(kafka_url: str, settings_of: Callable[..., Settings]):
    """
    It reports the state of the group and the number of consumers.
    """
    servers, prefix = parse_url(kafka_url)
    group = f"group-{uuid4().hex}"
    settings = settings_of(log=kafka_url, group=group)
    prepare(settings)
    consumer = KafkaConsumer(f"{prefix}.decisions", bootstrap_servers=list(servers), group_id=group)
    try:
        for _ in range(200):
            consumer.poll(timeout_ms=100)
            if consumer.assignment():
                break
        document = doctor(settings)
    finally:
        consumer.close()

    assert {"name": group, "state": "Stable", "members": 1} == document["kafka"]["group"]
    assert "1 consumer of the group" in checks(document)["group"][1]


@pytest.mark.kafka
def test_a_broker_whose_clock_is_ahead_is_a_fault(kafka_url: str, settings_of: Callable[..., Settings]):
    """
    A record from our future shows that the clock which stamped it is ahead of ours.
    """
    make_topics(kafka_url)  # stamped by the producer, which may state any time
    servers, prefix = parse_url(kafka_url)
    producer = KafkaProducer(bootstrap_servers=list(servers))
    producer.send(f"{prefix}.decisions", b"x", timestamp_ms=now() // 1_000 + 600_000).get(timeout=30)
    producer.close()

    ok, message = checks(doctor(settings_of(log=kafka_url)))["broker clock"]

    assert not ok
    assert "ahead of ours by at least 5" in message


@pytest.mark.slow
@FORGOTTEN
@pytest.mark.usefixtures("forgotten")
def test_an_unavailable_kafka_is_reported_with_the_cause(settings_of: Callable[..., Settings]):
    """
    The check says that nothing listens, and the store is checked nevertheless.
    """
    settings = settings_of(log="kafka://127.0.0.1:1")
    with opened_store(settings, create=True):
        pass

    found = checks(doctor(settings))

    assert (True, False) == (found["store"][0], found["log"][0])
    assert "connection refused" in found["log"][1]
    assert "projection" not in found


@pytest.mark.kafka
@pytest.mark.parametrize("user", ["consumer", "responder", "producer"])
def test_each_credential_sees_what_its_rights_allow(
    secured_kafka: SecuredKafka, settings_of: Callable[..., Settings], user: str
):
    """
    A consumer sees everything that concerns it; a responder everything but the group, which is not a fault; a producer
    connects, and learns that it may not read the topic of orders.
    """
    prefix = f"test-{uuid4().hex}"
    secured_kafka.grant(prefix)
    url = f"kafka://{secured_kafka.servers_of('SASL_TLS')}/{prefix}"
    log = KafkaLog(url, KafkaSettings.from_mapping(secured_kafka.settings("admin", "SASL_TLS")))
    log.create(partitions=1, replication=1)
    log.close()
    variables = secured_kafka.environment(user, "SASL_TLS")
    settings = settings_of(log=url, **{name.removeprefix("DELEGRAPH_"): value for name, value in variables.items()})
    with opened_store(settings, create=True):
        pass

    found = checks(doctor(settings))

    assert f"encrypted, as {user!r} by SCRAM-SHA-512" in found["cluster"][1]
    if user != "producer":
        assert all(ok for ok, _ in found.values()), found
        assert (user == "responder") == found["group"][1].startswith("not for us to see")
    else:
        assert (True, False) == (found["cluster"][0], found["log"][0])
        assert f"{prefix}.orders" in found["log"][1]


# PostgreSQL


@pytest.mark.postgres
def test_a_store_whose_last_run_grows_is_reported_with_the_remedy(
    postgres_url: str, settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
):
    """
    It works, so the check is passed; but it becomes slower, and no run is started any more.
    """
    settings = settings_of(store=postgres_url)
    with opened_store(settings, create=True):
        pass
    assert "shared_buffers" not in checks(doctor(settings))["store"][1]
    monkeypatch.setattr(sorted_runs, "MOST_RUNS", 1)

    ok, message = checks(doctor(settings))["store"]

    assert ok
    assert "1 sorted run of the index (no more are started: " in message
    assert "raise shared_buffers, restart PostgreSQL and run 'delegraph rebuild'" in message


@pytest.mark.postgres
def test_the_clock_of_the_database_is_compared(postgres_url: str, settings_of: Callable[..., Settings]):
    """
    The difference between PostgreSQL's clock and ours, and its version, are reported.
    """
    settings = settings_of(store=postgres_url)
    with opened_store(settings, create=True):
        pass

    # The answer may take its time on a busy machine.
    wait_until(lambda: "the clock of PostgreSQL is 0." in checks(doctor(settings))["database clock"][1])

    document = doctor(settings)
    ok, message = checks(document)["database clock"]
    assert ok, message
    assert document["versions"]["PostgreSQL"]


# What is wrong with topics. Pure.


@pytest.mark.parametrize(
    ("otherwise", "message"),
    [
        ({}, None),
        ({"message.timestamp.type": "CreateTime"}, "LogAppendTime"),
        ({"retention.ms": "604800000"}, "after 7 days"),
        ({"retention.ms": "5000"}, "after 5 s"),
        ({"retention.bytes": "1073741824"}, "1,073,741,824 bytes"),
        ({"cleanup.policy": "compact"}, "cleanup.policy=delete"),
        ({"cleanup.policy": "compact,delete"}, "cleanup.policy=delete"),
        ({"cleanup.policy": "", "retention.ms": "5000"}, None),  # as of Kafka 4: nothing is deleted
        ({"max.message.bytes": str(MESSAGE_BYTES - 1)}, "max.message.bytes"),
        ({"unclean.leader.election.enable": "true"}, "unclean"),
    ],
)
def test_what_is_wrong_with_the_settings_of_a_topic(otherwise: dict[str, str], message: str | None):
    """
    Every setting that could lose or falsify a fact is a fault, and nothing else is.
    """
    faults = faults_of_settings("d", WELL | otherwise, gone=0)

    assert (0 if message is None else 1) == len(faults), faults
    assert message is None or message in faults[0]


@pytest.mark.parametrize(
    ("copies", "in_sync", "least", "led", "message"),
    [
        (3, 3, 2, True, None),
        (1, 1, 1, True, None),
        (2, 2, 1, True, None),
        (3, 2, 2, True, None),
        (3, 1, 2, True, "needs 2"),
        (1, 1, 2, True, "nothing can be written"),
        (3, 3, 1, True, "min.insync.replicas=2"),
        (3, 0, 2, False, "no leader"),
    ],
)
def test_what_is_wrong_with_the_copies_of_a_partition(
    copies: int, in_sync: int, least: int, led: bool, message: str | None
):
    """
    It is a fault if too few copies are in sync, too few exist, one broker alone acknowledges, or there is no leader.
    """
    partition = PartitionReport(topic="d", number=0, copies=copies, in_sync=in_sync, led=led)
    faults = faults_of_copies([partition], {"d": {"min.insync.replicas": str(least)}})

    assert (0 if message is None else 1) == len(faults), faults
    assert message is None or message in faults[0]


@pytest.mark.parametrize(
    ("known", "found", "message"),
    [
        (b"kafka A decisions=1,orders=2", b"kafka B decisions=1,orders=2", "another cluster (A, and this one is B)"),
        (b"kafka A decisions=1,orders=2", b"kafka A decisions=1,orders=3", "the topic of orders"),
        (b"kafka A decisions=1,orders=2", b"kafka A decisions=3,orders=4", "the topic of decisions and that of orders"),
        (b"\x00\xff" * 8, b"kafka A decisions=1,orders=2", "another kind of log"),
    ],
)
def test_how_two_logs_differ(known: bytes, found: bytes, message: str):
    """
    Logs differ by cluster, by a recreated topic, or by kind.
    """
    assert message in other_log(known, found)


# The page


def page_of(document: dict[str, Any]) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render_chain.doctor(document))
    return capture.get()


def test_the_page_fits_a_screen_however_many_partitions(settings_of: Callable[..., Settings]):
    """
    Of many partitions those furthest behind are shown, with the number of the others.
    """
    settings = settings_of()
    prepare(settings)
    document = doctor(settings)
    document["positions"] = [
        {"topic": "decisions", "partition": number, "next_offset": 0, "end": number, "behind": number}
        for number in range(40)
    ]

    page = page_of(document)

    assert "decisions/39: 0 of 39, 39 behind" in page
    assert "decisions/27:" not in page
    assert "and 28 more, none further behind" in page
    assert "environment: store" in page


# Damage


@pytest.mark.parametrize("command", ["status token:c", "who x", "fsck", "rebuild", "doctor"])
def test_damage_has_its_exit_code_and_a_remedy_that_works(tmp_path: Path, command: str):
    """
    Every command on a damaged embedded store exits with 6 and says to restore a backup, because its log is damaged too.
    """
    file = tmp_path / "store.db"
    url = f"sqlite:///{file}"
    assert 0 == CliRunner().invoke(main, ["ingest", str(INCIDENT), "--store", url]).exit_code
    page, damaged = 4_096, bytearray(file.read_bytes())
    for offset in range(3 * page, len(damaged), page):
        damaged[offset : offset + 64] = b"\xa5" * 64
    file.write_bytes(damaged)
    result = CliRunner().invoke(main, [*command.split(), "--store", url])

    text = " ".join(result.output.split())
    assert 6 == result.exit_code
    assert "restore a backup" in text
    assert "rebuild it from the log" not in text
