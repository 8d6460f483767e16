"""Settings: the origin of each, what is refused, and that a secret is never shown."""

import base64
import gc
import http.server
import json
import logging
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from kafka.net.sasl import get_sasl_mechanism

from compose.native.certificates import make_authority, make_certificate
from ingest.kafka.client import new_client
from ingest.kafka.settings import MECHANISMS, NAMES, KafkaSettings, host_and_port, is_loopback, parse_url
from ingest.secrets import Secret, read_secret
from lineage.core.model.errors import RefusedError, UnavailableError
from lineage.plumbing.addresses import without_password
from lineage.serve.config import http_settings
from lineage.serve.config import settings as settings_module
from lineage.serve.config.settings import Settings
from lineage.serve.server.listening import address_of
from tests.support.places import ROOT

SECRET = "correct-horse-battery-staple"
SASL = {"security_protocol": "SASL_SSL", "username": "app", "password": SECRET}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority and a certificate that it signed."""
    from datetime import UTC, datetime

    folder = tmp_path_factory.mktemp("certificates")
    make_authority(folder)
    make_certificate(folder, "app", now=datetime.now(UTC))
    return folder


def refused(fields: Mapping[str, str]) -> str:
    with pytest.raises(RefusedError) as fault:
        KafkaSettings.from_mapping(fields)
    return str(fault.value)


def secret_file(folder: Path, text: str = f"{SECRET}\n", mode: int = 0o600) -> Path:
    file = folder / "secret"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return file


# Where settings are from


def test_an_option_counts_more_than_the_environment_and_that_more_than_the_file(tmp_path: Path):
    """
    Options come first, then the environment, the file and the defaults; each setting knows its origin.
    """
    config = tmp_path / "delegraph.toml"
    config.write_text('store = "sqlite:///file.db"\nlog = "sqlite:///file.db"\ngroup = "file"\n', encoding="utf-8")
    env = {"DELEGRAPH_CONFIG": str(config), "DELEGRAPH_STORE": "sqlite:///env.db", "DELEGRAPH_LOG": "sqlite:///env.db"}

    settings = Settings.of(env=env, store="sqlite:///option.db", log=None)

    assert ("sqlite:///option.db", "sqlite:///env.db", "file", "urn:delegraph:cli") == (
        settings.store, settings.log, settings.group, settings.source,
    )  # fmt: skip
    assert ["option", "environment", "file", "default"] == [
        settings.origin(name) for name in ("store", "log", "group", "source")
    ]


def test_the_file_has_the_kafka_settings_of_the_environment(tmp_path: Path):
    """
    A table [kafka] and the variables DELEGRAPH_KAFKA_… have the same names, and a variable takes precedence.
    """
    config = tmp_path / "delegraph.toml"
    config.write_text(
        'log = "kafka://k1:9092"\n[kafka]\nsecurity_protocol = "SASL_SSL"\nusername = "file"\npassword = "file"\n',
        encoding="utf-8",
    )
    in_file = Settings.of(env={"DELEGRAPH_CONFIG": str(config)})
    in_both = Settings.of(env={"DELEGRAPH_CONFIG": str(config), "DELEGRAPH_KAFKA_USERNAME": "env"})
    variables = {"SECURITY_PROTOCOL": "SASL_SSL", "USERNAME": "file", "PASSWORD": "file"}
    in_env = Settings.of(env={f"DELEGRAPH_KAFKA_{name}": value for name, value in variables.items()})

    assert in_env.kafka == in_file.kafka
    assert ("env", "environment", "file") == (
        in_both.kafka.username, in_both.origin("kafka.username"), in_both.origin("kafka.password"),
    )  # fmt: skip


def test_a_secret_and_its_file_are_one_setting(tmp_path: Path):
    """
    A password file in the environment replaces the password in the file, and the other way round.
    """
    config = tmp_path / "delegraph.toml"
    config.write_text(
        '[kafka]\nsecurity_protocol = "SASL_SSL"\nusername = "app"\npassword = "file"\n', encoding="utf-8"
    )
    env = {"DELEGRAPH_CONFIG": str(config), "DELEGRAPH_KAFKA_PASSWORD_FILE": str(secret_file(tmp_path))}

    assert SECRET == Settings.of(env=env).kafka.password


def test_a_file_that_the_file_names_is_next_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    A relative path in the file is relative to the file, wherever the command is run.
    """
    secret_file(tmp_path)
    (tmp_path / "trust.toml").write_text("[sources]\n", encoding="utf-8")
    config = tmp_path / "delegraph.toml"
    config.write_text('trust = "trust.toml"\nstore_password_file = "secret"\n', encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    settings = Settings.of(env={"DELEGRAPH_CONFIG": str(config)})

    assert (SECRET, str(tmp_path / "trust.toml")) == (settings.store_password, settings.trust)
    assert {} == settings.read_trust(lambda: 0).table.sources


def test_an_empty_variable_is_not_set():
    """
    An empty variable, as a compose file creates them, counts as none.
    """
    env = {"DELEGRAPH_STORE": "", "DELEGRAPH_LOG": "", "DELEGRAPH_KAFKA_USERNAME": "", "DELEGRAPH_CONFIG": ""}

    assert Settings.of(env={}) == Settings.of(env=env, store="", log=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('stroe = "sqlite:///x.db"', "'stroe'"),
        ('[kafka]\nusernane = "x"', "'usernane' of [kafka]"),
        ("group = 7", "'group'"),
        ("kafka = 7", "[kafka]"),
        ("group = ", "not TOML"),
        ('store_password = "x"\nstore_password_file = "y"', "both"),
        ('store_password_file = "none"', "none"),
        ('listen = "9464"', "host:port"),
        ('listen = "127.0.0.1:http"', "host:port"),
        ('group = "a\\nb"', "printable"),
        ('log = "kafka://k1"', "port"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, message: str):
    """
    An unknown, mistyped or invalid setting is refused by its name.
    """
    config = tmp_path / "delegraph.toml"
    config.write_text(text, encoding="utf-8")

    with pytest.raises(RefusedError) as fault:
        Settings.of(env={"DELEGRAPH_CONFIG": str(config)})

    assert message in str(fault.value)


def test_a_config_that_is_not_there_is_refused(tmp_path: Path):
    """
    DELEGRAPH_CONFIG names a file that can be read, or nothing is done.
    """
    with pytest.raises(RefusedError, match=r"none\.toml"):
        Settings.of(env={"DELEGRAPH_CONFIG": str(tmp_path / "none.toml")})


def test_a_variable_that_nothing_reads_is_remembered():
    """
    A variable that looks like a Kafka setting but is unknown is reported; others are ignored.
    """
    env = {"DELEGRAPH_KAFKA_PASWORD": "x", "DELEGRAPH_TEST_KAFKA": "x", "DELEGRAPH_PORT": "x", "HOME": "/"}

    assert ("DELEGRAPH_KAFKA_PASWORD",) == Settings.of(env=env).unread


@pytest.mark.parametrize(("listen", "address"), [("127.0.0.1:9464", ("127.0.0.1", 9464)), ("[::1]:0", ("::1", 0))])
def test_where_a_process_listens(listen: str, address: tuple[str, int]):
    """
    `listen` is a host and a port; 0 takes any port that is free.
    """
    assert address == address_of(Settings.of(env={}, listen=listen).listen or "")


def test_every_setting_is_explained():
    """
    The reference lists each variable, and no other.
    """
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    names = {f"DELEGRAPH_{name.upper()}" for name in settings_module.NAMES}
    names |= {f"DELEGRAPH_KAFKA_{name.upper()}" for name in NAMES}
    names |= {f"DELEGRAPH_HTTP_{name.upper()}" for name in http_settings.NAMES}
    others = {"DELEGRAPH_CONFIG", "DELEGRAPH_LOG_FORMAT", "DELEGRAPH_LOG_LEVEL"}

    assert names | others == set(re.findall(r"DELEGRAPH_[A-Z_]*[A-Z]", page))


# Secrets


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library forgets a socket
def test_a_secret_is_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """
    No secret is in the repr of settings, in what doctor shows, or in what the library logs when it starts.
    """
    env = {
        "DELEGRAPH_STORE": f"postgresql://app:{SECRET}@db/facts",
        "DELEGRAPH_STORE_PASSWORD": SECRET,
        "DELEGRAPH_LOG": "kafka://127.0.0.1:1",
        **{f"DELEGRAPH_KAFKA_{name.upper()}": value for name, value in SASL.items()},
    }
    settings = Settings.of(env=env)
    with caplog.at_level(logging.DEBUG), pytest.raises(KafkaError):
        new_client(
            KafkaAdminClient, bootstrap_servers="127.0.0.1:1", bootstrap_timeout_ms=100, **settings.kafka.client()
        )
    gc.collect()

    assert "sasl_plain_password" in caplog.text
    assert SECRET not in caplog.text
    assert SECRET not in repr(settings.kafka)
    assert SECRET not in json.dumps(settings.shown())
    assert SECRET == settings.kafka.client()["sasl_plain_password"]


@pytest.mark.parametrize("variable", ["DELEGRAPH_STORE_PASSWORD", "DELEGRAPH_HTTP_PROXY_SECRET"])
def test_an_invalid_secret_is_refused_without_being_shown(variable: str):
    """
    A secret with a character that is not printable is refused by the name of its setting alone.
    """
    with pytest.raises(RefusedError, match="not printable UTF-8") as fault:
        Settings.of(env={variable: f"{SECRET}\a", "DELEGRAPH_HTTP_PROXY_USER_HEADER": "X-User"})

    assert SECRET not in str(fault.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://app:{SECRET}@db:5432/facts", "postgresql://app:***@db:5432/facts"),
        (f"postgresql://app:{SECRET}@{SECRET}@db/facts", "postgresql://app:***@db/facts"),
        (f"postgresql://db/facts?user=app&password={SECRET}&a=b", "postgresql://db/facts?user=app&password=***&a=b"),
        ("postgresql://app@db:5432/facts", "postgresql://app@db:5432/facts"),
        ("sqlite:////var/a:b@c.db", "sqlite:////var/a:b@c.db"),
        ("kafka://k1:9092,k2:9092/audit", "kafka://k1:9092,k2:9092/audit"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str):
    """
    Only the password of a URL is hidden.
    """
    assert shown == without_password(url)


@pytest.mark.parametrize(("text", "message"), [("", "empty"), ("\n", "empty"), ("x" * 70_000, "too long")])
def test_a_secret_file_holds_a_secret(tmp_path: Path, text: str, message: str):
    """
    A file that is empty, or too long to be a secret, is refused by name.
    """
    with pytest.raises(RefusedError, match=message):
        read_secret(secret_file(tmp_path, text), "x")


def test_a_secret_file_loses_only_the_end_of_its_line(tmp_path: Path):
    """
    Spaces belong to the secret, the end of the line does not.
    """
    assert " a b " == read_secret(secret_file(tmp_path, " a b \r\n"), "x")


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_world_readable_secret_is_reported(tmp_path: Path, mode: int, is_open: bool):
    """
    A file with a secret may be readable by its owner and a group; any other is reported.
    """
    file = secret_file(tmp_path, mode=mode)
    settings = KafkaSettings.from_mapping({**{name: SASL[name] for name in ("security_protocol", "username")},
                                           "password_file": str(file)})  # fmt: skip

    assert ((file,) if is_open else ()) == settings.open_files


# Connecting to Kafka


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library forgets a socket
@pytest.mark.parametrize("kind", [KafkaAdminClient, KafkaConsumer, KafkaProducer])
def test_a_client_that_cannot_connect_leaves_nothing_behind(kind: type, caplog: pytest.LogCaptureFixture):
    """
    After any number of attempts at an unavailable broker there are no additional threads and open files.
    """

    def after_a_try() -> tuple[int, int]:
        with pytest.raises(KafkaError):
            new_client(kind, bootstrap_servers="127.0.0.1:1", bootstrap_timeout_ms=50)
        gc.collect()
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    caplog.set_level(logging.CRITICAL, logger="kafka")  # a stored log record would keep a reference to its connection
    first = after_a_try()

    assert [first] * 3 == [after_a_try() for _ in range(3)]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"user": "x"}, "'user'"),
        ({"security_protocol": "TLS"}, "SASL_SSL"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI"}, "SCRAM-SHA-512"),
        ({"security_protocol": "SASL_SSL"}, "'username'"),
        ({"security_protocol": "SASL_SSL", "username": "app"}, "'password_file'"),
        ({"username": "app", "password": "x"}, "security_protocol to SASL_SSL"),
        ({"security_protocol": "SSL", "username": "app"}, "security_protocol to SASL_SSL"),
        ({"sasl_mechanism": "PLAIN"}, "security_protocol"),
        ({"ca_file": "CA"}, "security_protocol to SSL"),
        ({**SASL, "security_protocol": "SASL_PLAINTEXT", "ca_file": "CA"}, "security_protocol to SASL_SSL"),
        ({"security_protocol": "SSL", "ca_file": "none.pem"}, "none.pem"),
        ({"security_protocol": "SSL", "ca_file": "NOT_PEM"}, "no PEM certificates"),
        ({"security_protocol": "SSL", "key_file": "KEY"}, "'cert_file'"),
        ({"security_protocol": "SSL", "cert_file": "CERT", "key_file": "CA_KEY"}, "belong together"),
        ({"security_protocol": "SSL", "cert_file": "CERT"}, "PEM"),
        ({**SASL, "password_file": "x"}, "both"),
        ({"security_protocol": "SASL_SSL", "username": "app", "password_file": "none"}, "none"),
        ({**SASL, "token_file": "CA"}, "OAUTHBEARER"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}, "'token_url'"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "username": "app"}, "SCRAM-SHA-512"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "token_url": "https://idp.example/t"},
         "'token_client_id'"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "token_url": "http://idp.example/t",
          "token_client_id": "x", "token_client_secret": SECRET}, "unencrypted"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "token_url": "file:///etc/passwd",
          "token_client_id": "x", "token_client_secret": SECRET}, "https://host/path"),
    ],
)  # fmt: skip
def test_invalid_settings_are_refused(tmp_path: Path, certificates: Path, settings: dict[str, str], word: str):
    """
    This covers an unknown name or value, a missing one, one without effect, and a wrong file.
    """
    (tmp_path / "notes").write_text("Dear diary,", encoding="utf-8")
    files = {
        "CA": certificates / "ca.pem", "CERT": certificates / "app.pem", "KEY": certificates / "app.key",
        "CA_KEY": certificates / "ca.key", "NOT_PEM": tmp_path / "notes",
    }  # fmt: skip
    fault = refused({name: str(files.get(value, value)) for name, value in settings.items()})

    assert word in fault
    assert SECRET not in fault


def test_a_key_that_needs_a_password_does_not_ask_for_it_on_the_terminal(tmp_path: Path, certificates: Path):
    """
    An encrypted key opens with its password; without it, or with another, it is refused immediately.
    """
    from cryptography.hazmat.primitives import serialization as form

    key = form.load_pem_private_key((certificates / "app.key").read_bytes(), None)
    file = tmp_path / "encrypted.key"
    encryption = form.BestAvailableEncryption(SECRET.encode())
    file.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, encryption))
    fields = {"security_protocol": "SSL", "cert_file": str(certificates / "app.pem"), "key_file": str(file)}

    assert "key_password" in refused(fields)
    assert "key_password" in refused({**fields, "key_password": "another"})
    assert SECRET == KafkaSettings.from_mapping({**fields, "key_password": SECRET}).client()["ssl_password"]


def test_every_offered_name_is_known():
    """
    Each name that a message offers is a known one.
    """
    for name in NAMES:
        assert "there is no Kafka setting" not in refused({name: "x"})


def test_scram_is_the_default():
    """
    A SASL protocol without a mechanism is SCRAM-SHA-512.
    """
    assert "SCRAM-SHA-512" == KafkaSettings.from_mapping(SASL).client()["sasl_mechanism"]


@pytest.mark.parametrize("mechanism", [mechanism for mechanism in MECHANISMS if mechanism != "OAUTHBEARER"])
def test_the_library_accepts_the_arguments_from_the_settings(mechanism: str):
    """
    The arguments for a client are ones that the library's own mechanism starts a login with.
    """
    client = KafkaSettings.from_mapping({**SASL, "sasl_mechanism": mechanism}).client()

    assert get_sasl_mechanism(mechanism)(host="k1", **client).auth_bytes()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.parametrize("host", ["k1.example", "10.0.0.7", "127.0.0.1", "[::1]", "localhost"])
def test_a_password_never_goes_out_in_the_clear(mechanism: str, host: str):
    """
    PLAIN without TLS is refused except to this machine, by the settings and by a new client; SCRAM is not.
    """
    fields = {**SASL, "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism}
    env = {f"DELEGRAPH_KAFKA_{name.upper()}": value for name, value in fields.items()}
    far = mechanism == "PLAIN" and host in {"k1.example", "10.0.0.7"}

    for attempt in (
        lambda: Settings.of(env=env, log=f"kafka://{host}:9092"),
        lambda: KafkaSettings.from_mapping(fields).client((f"{host}:9092",)),
    ):
        if far:
            with pytest.raises(RefusedError, match="unencrypted"):
                attempt()
        else:
            assert attempt()


# The URL


@pytest.mark.parametrize(
    ("url", "servers", "prefix"),
    [
        ("kafka://k1:9092", ("k1:9092",), "delegraph"),
        ("kafka://k1:9092/", ("k1:9092",), "delegraph"),
        ("kafka://k1:9092,k2:9093/audit.eu-1", ("k1:9092", "k2:9093"), "audit.eu-1"),
        ("kafka://[::1]:9092,127.0.0.1:1/a_b", ("[::1]:9092", "127.0.0.1:1"), "a_b"),
    ],
)
def test_the_url_of_a_kafka(url: str, servers: tuple[str, ...], prefix: str):
    """
    It has servers with their ports, and the prefix of the topics, by default `delegraph`.
    """
    assert (servers, prefix) == parse_url(url)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("kafka:k1:9092", "not a Kafka URL"),
        ("kafka://", "port"),
        ("kafka://k1", "port"),
        ("kafka://k1:", "port"),
        ("kafka://k1:9092,", "port"),
        ("kafka://k1:0", "1 to 65535"),
        ("kafka://k1:65536", "1 to 65535"),
        ("kafka://k1:٣", "1 to 65535"),
        ("kafka://::1:9092", "brackets"),
        ("kafka://[::g]:9092", "IPv6"),
        ("kafka://k 1:9092", "host"),
        ("kafka://-k1:9092", "host"),
        ("kafka://app:secret@k1:9092", "DELEGRAPH_KAFKA_USERNAME"),
        ("kafka://k1:9092?acks=1", "'?'"),
        ("kafka://k1:9092/a/b", "prefix"),
        ("kafka://k1:9092/..", "prefix"),
        ("kafka://k1:9092/a b", "prefix"),
        ("kafka://k1:9092/ä", "prefix"),
        (f"kafka://k1:9092/{'a' * 238}", "237"),
    ],
)
def test_an_invalid_url_is_refused(url: str, word: str):
    """
    The error says what is wrong, and does not repeat a password in it.
    """
    with pytest.raises(RefusedError) as fault:
        parse_url(url)

    assert word in str(fault.value)
    assert "secret" not in str(fault.value)


@given(st.text(max_size=40))
def test_any_text_is_a_url_or_refused(text: str):
    """
    Any text after kafka:// is either parsed in full into parts that Kafka accepts, or refused.
    """
    try:
        servers, prefix = parse_url(f"kafka://{text}")
    except RefusedError:
        return

    assert all(0 < host_and_port(server)[1] < 65_536 for server in servers)
    assert set(prefix) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("[::1]", True), ("localhost", True),
     ("localhost.example", False), ("10.0.0.1", False), ("[::2]", False), ("127.0.0.1.example", False)],
)  # fmt: skip
def test_which_addresses_are_this_machine(host: str, expected: bool):
    """
    Only addresses of the loopback and `localhost` are.
    """
    assert expected == is_loopback(host)


# Tokens


class Endpoint:
    """A token endpoint on loopback with configurable answers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.answer: object = {}
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, dict[str, list[str]]]] = []


@contextmanager
def serving() -> Iterator[Endpoint]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            endpoint.asked.append((self.headers["Authorization"], urllib.parse.parse_qs(body)))
            answer = endpoint.answer
            raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(endpoint.status)
            for name, value in endpoint.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/token")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield endpoint
        server.shutdown()
        thread.join()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as endpoint:
        yield endpoint


@pytest.fixture
def token_of(endpoint: Endpoint) -> Callable[[], str]:
    """Return the token with which a client of these settings logs in."""
    settings = KafkaSettings.from_mapping(
        {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "OAUTHBEARER",
            "token_url": endpoint.url,
            "token_client_id": "app:1",
            "token_client_secret": f"{SECRET} &",
            "token_scope": "kafka",
        }
    )
    return settings.client()["sasl_oauth_token_provider"].token


def test_a_token_is_requested_with_the_credentials_of_the_client(endpoint: Endpoint, token_of: Callable[[], str]):
    """
    RFC 6749: client_credentials and the scope in the body, the form-encoded id and secret as basic authentication.
    """
    endpoint.answer = {"access_token": "t1", "expires_in": 3600}

    assert "t1" == token_of()
    [(authorization, body)] = endpoint.asked
    assert f"app%3A1:{SECRET}+%26" == base64.b64decode(authorization.removeprefix("Basic ")).decode()
    assert {"grant_type": ["client_credentials"], "scope": ["kafka"]} == body


@pytest.mark.parametrize(("life", "asked"), [({"expires_in": 3600}, 1), ({}, 1), ({"expires_in": 0.0001}, 3)])
def test_a_token_is_used_until_shortly_before_its_end(
    endpoint: Endpoint, token_of: Callable[[], str], life: dict[str, float], asked: int
):
    """
    No other token is requested while one is valid; an expired one is never used again.
    """
    import time

    endpoint.answer = {"access_token": "t1", **life}
    for _ in range(3):
        token_of()
        time.sleep(0.001)

    assert asked == len(endpoint.asked)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (
            401,
            {"error": "invalid_client", "error_description": "no such\x1b[31m client"},
            "401 invalid_client no such?[31m",
        ),
        (500, b"<html>", "500"),
        (302, b"", "302"),
        (200, {}, "no access_token"),
        (200, [], "no access_token"),
        (200, {"access_token": 7}, "no access_token"),
        (200, b"\xff", "cannot be asked"),
    ],
)
def test_an_endpoint_that_grants_no_token_is_reported(
    endpoint: Endpoint, token_of: Callable[[], str], status: int, answer: object, message: str
):
    """
    The error names the endpoint and its answer, without invisible characters and secrets; redirects are not followed.
    """
    endpoint.status, endpoint.answer, endpoint.headers = status, answer, {"Location": endpoint.url}

    with pytest.raises(UnavailableError) as fault:
        token_of()

    assert message in str(fault.value)
    assert endpoint.url in str(fault.value)
    assert SECRET not in str(fault.value)
    assert 1 == len(endpoint.asked)


def test_an_unavailable_endpoint_is_reported():
    """
    A token endpoint where nothing listens is unavailable, and named.
    """
    with serving() as stopped:
        url = stopped.url
    settings = KafkaSettings.from_mapping({
        "security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "token_url": url,
        "token_client_id": "x", "token_client_secret": SECRET,
    })  # fmt: skip

    with pytest.raises(UnavailableError, match="cannot be asked"):
        settings.client()["sasl_oauth_token_provider"].token()


def test_a_token_file_is_read_again_for_every_connection(tmp_path: Path):
    """
    A program that refreshes the file need not notify us.
    """
    file = secret_file(tmp_path, "t1")
    settings = KafkaSettings.from_mapping(
        {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "token_file": str(file)}
    )
    provider = settings.client()["sasl_oauth_token_provider"]
    first = provider.token()
    file.write_text("t2\n", encoding="utf-8")

    assert ("t1", "t2") == (first, provider.token())
    assert isinstance(first, Secret)
    login = get_sasl_mechanism("OAUTHBEARER")(**settings.client())
    assert b"n,,\x01auth=Bearer t2\x01\x01" == login.auth_bytes()
