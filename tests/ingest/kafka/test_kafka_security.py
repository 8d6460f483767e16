"""Connecting to a real broker: every supported way, the real cause of every failure, and the limits of a credential."""

import base64
import gc
import http.server
import json
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import errors

from compose.native.certificates import make_authority, make_certificate
from compose.native.kafka import Kafka
from compose.native.secured import SecuredKafka
from ingest.kafka.errors import cause_of, kafka_faults, translate
from ingest.kafka.log import KafkaLog
from ingest.kafka.settings import KafkaSettings
from ingest.log.port import Entry
from lineage.core.model.errors import DelegraphError, IntegrityError, RefusedError, UnavailableError
from lineage.core.model.records import DECISIONS, ORDERS
from tests.support import servers
from tests.support.kafka_worlds import soon

EVERY_WAY_IN = [
    ("SASL", "SCRAM-SHA-512"),
    ("SASL", "PLAIN"),
    ("SASL_TLS", "SCRAM-SHA-512"),
    ("SASL_TLS", "PLAIN"),
    ("TLS", ""),
]
ALL_IS_WELL = "answers and accepts the connection"
NOBODY = KafkaSettings()


# The library does not close a socket whose handshake failed.
FORGOTTEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def forgotten(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Collect garbage before the next test; a stored log record would keep the object alive."""
    caplog.set_level(logging.CRITICAL, logger="kafka")
    yield
    gc.collect()


@contextmanager
def opened(url: str, fields: Mapping[str, str]) -> Iterator[KafkaLog]:
    log = KafkaLog(url, KafkaSettings.from_mapping(fields))
    try:
        yield log
    finally:
        log.close()


@pytest.fixture(scope="module")
def prefix(secured_kafka: SecuredKafka) -> str:
    """Create topics on the secured broker, with the permissions of the native stack."""
    prefix = f"test-{uuid4().hex}"
    secured_kafka.grant(prefix)
    with opened(f"kafka://{secured_kafka.servers}/{prefix}", secured_kafka.settings("admin")) as log:
        log.create(partitions=1, replication=1)
    return prefix


@pytest.fixture
def log_of(secured_kafka: SecuredKafka, prefix: str) -> Callable[..., KafkaLog]:
    """Open the log as a user, through one of the listeners."""
    made: list[KafkaLog] = []

    def of(user: str, listener: str = "SASL", mechanism: str = "SCRAM-SHA-512") -> KafkaLog:
        url = f"kafka://{secured_kafka.servers_of(listener)}/{prefix}"
        made.append(KafkaLog(url, KafkaSettings.from_mapping(secured_kafka.settings(user, listener, mechanism))))
        return made[-1]

    yield of
    for log in made:
        log.close()


# Every way to connect


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.parametrize(("listener", "mechanism"), EVERY_WAY_IN)
def test_every_supported_way_to_connect_works(log_of: Callable[..., KafkaLog], listener: str, mechanism: str):
    """
    SCRAM and PLAIN, with and without TLS, and a client certificate: what one user appends another reads.
    """
    value = uuid4().bytes
    [position] = log_of("producer", listener, mechanism).append([Entry(DECISIONS, value)])

    read = log_of("consumer", listener, mechanism).read(DECISIONS, position.partition, position.offset, limit=1)

    assert [value] == [record.value for record in read.records]


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.parametrize(("listener", "mechanism"), EVERY_WAY_IN)
def test_the_probe_of_a_working_connection_finds_no_cause(secured_kafka: SecuredKafka, listener: str, mechanism: str):
    """
    The probe performs the whole connection, in every way, and reports success.
    """
    server = secured_kafka.servers_of(listener)
    settings = KafkaSettings.from_mapping(secured_kafka.settings("producer", listener, mechanism))

    assert f"{server}: {ALL_IS_WELL}" == cause_of([server], settings)


# The real cause

SASL, SASL_TLS, TLS = "SASL", "SASL_TLS", "TLS"
STRANGER = {"username": "nobody"}
NO_CERTIFICATE = {"cert_file": None, "key_file": None}
# The case: the listener, the changed settings, and the expected message.
CAUSES: dict[str, tuple[str, dict[str, str | None], str]] = {
    "wrong password": (SASL, {"password": "wrong", "password_file": None}, "wrong user or password for 'producer'"),
    "wrong password, TLS": (SASL_TLS, {"password": "wrong", "password_file": None}, "wrong user or password"),
    "wrong password, PLAIN": (
        SASL,
        {"password": "wrong", "password_file": None, "sasl_mechanism": "PLAIN"},
        "wrong user or password for 'producer' by PLAIN",
    ),
    "unknown user": (SASL, STRANGER, "wrong user or password for 'nobody'"),
    "a mechanism that is not enabled": (SASL, {"sasl_mechanism": "SCRAM-SHA-256"}, "only SCRAM-SHA-512, PLAIN"),
    "another authority": (SASL_TLS, {"ca_file": "OTHER_CA"}, "is not signed by"),
    "the system's authorities": (SASL_TLS, {"ca_file": None}, "set ca_file to the CA of the brokers"),
    "no TLS where there is": (
        SASL_TLS,
        {"security_protocol": "SASL_PLAINTEXT", "ca_file": None},
        "speaks TLS; use security_protocol SASL_SSL",
    ),
    "TLS where there is none": (
        SASL,
        {"security_protocol": "SASL_SSL"},
        "without TLS; use another port, or security_protocol SASL_PLAINTEXT",
    ),
    "no login where one is asked for": (
        SASL,
        {"security_protocol": "PLAINTEXT", "sasl_mechanism": None, "username": None, "password_file": None},
        "may require a login",
    ),
    "no client certificate": (TLS, NO_CERTIFICATE, "asks for a client certificate"),
    "a stranger's certificate": (
        TLS,
        {"cert_file": "OTHER_CERT", "key_file": "OTHER_KEY"},
        "does not accept the certificate",
    ),
    "a login where none is asked for": (
        TLS,
        {"security_protocol": "SASL_SSL", "username": "producer", "password": "x"},
        "does not use SASL logins",
    ),
    "the controller": (
        "CONTROLLER",
        {"sasl_mechanism": "PLAIN"},
        "is a controller, not a broker",
    ),
}


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create an authority unknown to the broker, and a certificate signed by it."""
    folder = tmp_path_factory.mktemp("others")
    make_authority(folder)
    make_certificate(folder, "other", now=datetime.now(UTC))
    return folder


def said_otherwise(
    secured: SecuredKafka, others: Path, listener: str, otherwise: Mapping[str, str | None]
) -> KafkaSettings:
    files = {"OTHER_CA": "ca.pem", "OTHER_CERT": "other.pem", "OTHER_KEY": "other.key"}
    settings = secured.settings("producer", SASL if listener == "CONTROLLER" else listener) | otherwise
    return KafkaSettings.from_mapping(
        {name: str(others / files[value]) if value in files else value for name, value in settings.items() if value}
    )


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.parametrize("case", CAUSES)
def test_the_real_cause_is_reported(secured_kafka: SecuredKafka, others: Path, case: str):
    """
    If the library only knows that it could not connect, the cause and its remedy are reported, within seconds.
    """
    listener, otherwise, result = CAUSES[case]
    settings = said_otherwise(secured_kafka, others, listener, otherwise)

    cause = soon(lambda: cause_of([secured_kafka.servers_of(listener)], settings), 4)

    assert result in cause


@pytest.mark.slow
@pytest.mark.kafka
@FORGOTTEN
@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("case", ["wrong password", "another authority", "no client certificate"])
def test_opening_a_log_reports_the_real_cause(secured_kafka: SecuredKafka, others: Path, case: str):
    """
    The error names the cause, not "Unable to bootstrap".
    """
    listener, otherwise, result = CAUSES[case]

    with pytest.raises(UnavailableError, match=result):
        KafkaLog(
            f"kafka://{secured_kafka.servers_of(listener)}", said_otherwise(secured_kafka, others, listener, otherwise)
        )


@pytest.mark.kafka
def test_each_server_has_its_own_cause(kafka: str):
    """
    Each of several servers is reported, also the one that answers.
    """
    cause = cause_of([kafka, "127.0.0.1:1", "nowhere.invalid:9092"], NOBODY)

    for value in (f"{kafka}: {ALL_IS_WELL}", "127.0.0.1:1: nothing listens", "nowhere.invalid:9092: the name"):
        assert value in cause


# Servers that are not Kafka brokers


@contextmanager
def listening(answer: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[str]:
    """Start a server that does one thing with every connection."""
    with socket.create_server((host, 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        answer(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"{host}:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def silent(connection: socket.socket) -> None:
    while connection.recv(1024):
        pass


def rude(connection: socket.socket) -> None:
    connection.recv(1)


def babbling(connection: socket.socket) -> None:
    connection.recv(1024)
    connection.sendall(b"220 mail.example ESMTP ready\r\n")


def nonsense(connection: socket.socket) -> None:
    connection.recv(1024)
    connection.sendall(struct.pack(">ii", 6, 1) + b"\0\0")


@pytest.mark.parametrize("settings", [{}, {"security_protocol": "SSL"}], ids=["plain", "TLS"])
@pytest.mark.parametrize("answer", [silent, rude, babbling, nonsense])
def test_a_server_that_is_not_kafka_is_reported_within_the_time_limit(
    answer: Callable[[socket.socket], None], settings: dict[str, str]
):
    """
    Whatever listens there, and however it behaves: a cause, no crash, and in time.
    """
    with listening(answer) as server:
        cause = soon(lambda: cause_of([server], KafkaSettings.from_mapping(settings), within_seconds=0.5), 1.5)

    assert ALL_IS_WELL not in cause
    assert cause.startswith(f"{server}: ")


def test_a_web_server_is_not_kafka():
    """
    The probe speaks Kafka's protocol to the port of a web server.
    """

    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        cause = cause_of([f"127.0.0.1:{server.server_port}"], NOBODY, within_seconds=0.5)
        server.shutdown()
        thread.join()

    assert "does not answer like a Kafka broker" in cause


@pytest.mark.parametrize(
    ("server", "message"),
    [("127.0.0.1:1", "connection refused"), ("nowhere.invalid:9092", "cannot be resolved"), ("[::1]:1", ":1: ")],
)
def test_an_address_without_a_server_is_reported(server: str, message: str):
    """
    A port on which nothing listens, and a name that no name server knows.
    """
    assert message in cause_of([server], NOBODY)


@pytest.mark.parametrize(
    ("host", "made", "message"),
    [
        ("127.0.0.1", timedelta(days=-800), "has expired"),
        ("127.0.0.1", timedelta(days=30), "not valid yet"),
        ("127.0.0.2", timedelta(), "for another name than '127.0.0.2'"),
    ],
)
def test_an_unsuitable_certificate_is_reported(tmp_path: Path, host: str, made: timedelta, message: str):
    """
    An expired one, one that is not valid yet, and one for another name, each with its fault.
    """
    make_authority(tmp_path)
    make_certificate(tmp_path, "broker", now=datetime.now(UTC) + made)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "broker.pem", tmp_path / "broker.key")

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            silent(wrapped)

    settings = KafkaSettings.from_mapping({"security_protocol": "SSL", "ca_file": str(tmp_path / "ca.pem")})
    with listening(answer, host) as server:
        cause = cause_of([server], settings)

    assert message in cause


# Tokens, and addresses without a server


@pytest.fixture(scope="module")
def odd_kafka(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """Start a broker that accepts tokens at one port, and at another advertises an address without a server."""
    folder = tmp_path_factory.mktemp("odd")
    protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", "TOKEN": "SASL_PLAINTEXT", "AWAY": "PLAINTEXT"}
    ports = Kafka(folder / "kafka", protocols=protocols)
    advertised = [f"{name}://{ports.servers_of(name)}" for name in ("PLAINTEXT", "TOKEN")]
    handler = (
        "org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"
    )
    login = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
    broker = Kafka(
        folder / "kafka",
        protocols=protocols,
        properties={
            "advertised.listeners": ",".join([*advertised, "AWAY://127.0.0.1:1"]),
            "listener.name.token.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.token.oauthbearer.sasl.server.callback.handler.class": handler,
            "listener.name.token.oauthbearer.sasl.jaas.config": f'{login} unsecuredLoginStringClaim_sub="broker";',
        },
    )
    servers.note(run_folder, folder)
    servers.started_or_skip(broker.start)
    yield broker
    broker.stop()


def token(*, lives_seconds: float) -> str:
    """Build an unsigned JWT for a broker that is configured to accept any."""
    claims = {"sub": "app", "iat": time.time() - 600, "exp": time.time() + lives_seconds}
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "none"}, claims))
    return b".".join(parts).decode() + "."


def token_settings(folder: Path, text: str) -> KafkaSettings:
    file = folder / "token"
    file.write_text(text, encoding="utf-8")
    return KafkaSettings.from_mapping(
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER", "token_file": str(file)}
    )


@pytest.mark.slow
@pytest.mark.kafka
def test_a_token_authenticates(odd_kafka: Kafka, tmp_path: Path):
    """
    OAUTHBEARER with a token from a file: topics are created, a record is appended and read.
    """
    settings = token_settings(tmp_path, token(lives_seconds=600))
    log = KafkaLog(f"kafka://{odd_kafka.servers_of('TOKEN')}/token", settings)
    try:
        log.create(partitions=1, replication=1)
        log.append([Entry(DECISIONS, b"x")])

        assert [b"x"] == [record.value for record in log.read(DECISIONS, 0, 0, limit=1).records]
    finally:
        log.close()


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.parametrize("text", [token(lives_seconds=-300), "no token"])
def test_a_refused_token_is_reported(odd_kafka: Kafka, tmp_path: Path, text: str):
    """
    The broker accepts neither an expired token nor a text that is not a token.
    """
    cause = cause_of([odd_kafka.servers_of("TOKEN")], token_settings(tmp_path, text))

    assert "does not accept the token" in cause


@pytest.mark.slow
@pytest.mark.kafka
def test_an_unavailable_token_is_reported(odd_kafka: Kafka, tmp_path: Path):
    """
    The file of the token is gone: the cause is the file, not the broker.
    """
    settings = token_settings(tmp_path, "x")
    (tmp_path / "token").unlink()

    assert "token" in cause_of([odd_kafka.servers_of("TOKEN")], settings)
    assert "cannot be read" in cause_of([odd_kafka.servers_of("TOKEN")], settings)


@pytest.mark.slow
@pytest.mark.kafka
def test_an_advertised_address_without_a_server_is_reported(odd_kafka: Kafka):
    """
    The broker can be reached, but its advertised.listeners name an address without a server.
    """
    cause = cause_of([odd_kafka.servers_of("AWAY")], NOBODY)

    assert "sends clients to 127.0.0.1:1 (advertised.listeners)" in cause
    assert "connection refused" in cause


# Permissions


@pytest.mark.kafka
def test_the_deliverer_may_acknowledge_but_not_order(log_of: Callable[..., KafkaLog], prefix: str):
    """
    Acknowledgements of called receivers are on the topic of decisions; an order by the deliverer is refused.
    """
    deliverer = log_of("deliverer")
    assert deliverer.identity
    deliverer.append([Entry(DECISIONS, b"acknowledgement")])
    with pytest.raises(RefusedError, match=rf"may not write the topic {prefix}\.orders"):
        deliverer.append([Entry(ORDERS, b"order")])


@pytest.mark.kafka
def test_a_producer_cannot_write_orders(log_of: Callable[..., KafkaLog], prefix: str):
    """
    The broker's access lists decide who may order: the error names user, topic and remedy, and nothing is written.
    """
    producer, responder = log_of("producer"), log_of("responder")
    before = responder.ends()

    with pytest.raises(RefusedError) as fault:
        producer.append([Entry(ORDERS, b"order")])

    assert f"{prefix}.orders" in str(fault.value)
    assert "'producer'" in str(fault.value)
    assert before == responder.ends()
    producer.append([Entry(DECISIONS, b"x")])
    responder.append([Entry(ORDERS, b"order")])


@pytest.mark.kafka
@pytest.mark.parametrize("topic", [DECISIONS, ORDERS])
def test_a_reader_cannot_write(log_of: Callable[..., KafkaLog], topic: str):
    """
    The credential of a consumer writes nothing.
    """
    consumer = log_of("consumer")
    before = consumer.ends()

    with pytest.raises(RefusedError, match="'consumer' may not"):
        consumer.append([Entry(topic, b"x")])

    assert before == consumer.ends()


@pytest.mark.kafka
def test_a_writer_cannot_read(log_of: Callable[..., KafkaLog], prefix: str):
    """
    The credential of a producer reads nothing.
    """
    with pytest.raises(RefusedError, match=f"{prefix}.decisions"):
        log_of("producer").read(DECISIONS, 0, 0, limit=1)


# Errors of the library


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (errors.TopicAuthorizationFailedError({"a.orders"}), RefusedError, "--operation Write --topic a.orders"),
        (errors.TopicAuthorizationFailedError("a.orders"), RefusedError, "may not write the topic a.orders"),
        (errors.TopicAuthorizationFailedError("a long answer"), RefusedError, "the topic t"),
        (errors.GroupAuthorizationFailedError("g"), RefusedError, "the consumer group g"),
        (errors.ClusterAuthorizationFailedError(), RefusedError, "the cluster"),
        (errors.KafkaError("Unexpected: [Error 31] ClusterAuthorizationFailedError"), RefusedError, "the cluster"),
        (errors.OffsetOutOfRangeError({}), IntegrityError, "no longer holds"),
        (errors.LogTruncationError({}), IntegrityError, "no longer holds"),
        (errors.CorruptRecordError(), IntegrityError, "no longer holds"),
        (errors.UnknownTopicOrPartitionError(), UnavailableError, "delegraph init"),
        (errors.KafkaTimeoutError("Unable to bootstrap"), UnavailableError, "connection refused"),
        (errors.KafkaConnectionError("closed"), UnavailableError, "connection refused"),
        (errors.SaslAuthenticationFailedError("no"), UnavailableError, "connection refused"),
        (errors.NotEnoughReplicasError(), UnavailableError, "NotEnoughReplicas"),
        (errors.CommitFailedError(), UnavailableError, "rebalanced"),
        (errors.UnknownError(), UnavailableError, "cannot be used"),
        (errors.InvalidReplicationFactorError("3 > 1"), RefusedError, "3 > 1"),
        (errors.MessageSizeTooLargeError("big"), RefusedError, "big"),
        (errors.KafkaConfigurationError("x"), RefusedError, "x"),
    ],
)
def test_errors_of_the_library_are_translated(error: errors.KafkaError, kind: type, message: str):
    """
    An unreachable broker is unavailable and worth retrying; a denied or impossible request is refused; lost records are
    an integrity error.
    """
    with pytest.raises(DelegraphError) as fault, kafka_faults(["127.0.0.1:1"], NOBODY, doing="write", topics=["t"]):
        raise error

    assert kind is type(fault.value)
    assert message in str(fault.value)
    assert error is fault.value.__cause__
    assert "\n" not in str(fault.value)


def test_every_error_of_the_library_becomes_one_of_ours():
    """
    None ends a consumer with a traceback, and every error that the library would retry is retried.
    """
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.KafkaError)]
    settings = KafkaSettings()

    for kind in kinds:
        error = kind({}) if kind is errors.LogTruncationError else kind()
        fault = translate(error, [], settings)

        assert isinstance(fault, DelegraphError)
        if error.retriable:
            assert fault.retriable, kind
    assert len(kinds) > 50


def test_our_own_errors_pass_unchanged():
    """
    Only exceptions of the library are translated.
    """
    with pytest.raises(RefusedError, match="ours"), kafka_faults([], NOBODY):
        raise RefusedError("ours")
