"""Settings of the whole suite, and the real servers that some of it needs."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from compose.native.kafka import Kafka
from compose.native.postgres import Postgres
from compose.native.secured import SecuredKafka
from lineage.store.database import sorted_runs
from tests.support import servers, stores
from tests.support.servers import MISSING, started_or_skip

# Runs in CI are reproducible: a failure there can be repeated here.
settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "here")

RUN = pytest.StashKey[servers.Run]()


@pytest.fixture(autouse=True)
def _small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the index of a small store consist of several runs; on SQLite some of them are being merged."""
    monkeypatch.setattr(sorted_runs, "HOT", 40)
    monkeypatch.setattr(sorted_runs, "FAN", 3)
    monkeypatch.setattr(sorted_runs, "BYTES_OF_CACHE", 4_000_000)  # of the usual 128 MiB
    monkeypatch.setattr(sorted_runs, "LEAST_FACTS", 0)


@pytest.fixture(autouse=True, scope="session")
def _quick_creation() -> Iterator[None]:
    """Create SQLite stores without running every migration for each of them."""
    with stores.quick_creation():
        yield


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the caller's ``DELEGRAPH_`` variables from the environment."""
    for name in [name for name in os.environ if name.startswith("DELEGRAPH_") and "TEST" not in name]:
        monkeypatch.delenv(name)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[RUN] = servers.Run()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the folder of the servers to a test process of xdist."""
    node.workerinput["servers"] = str(node.config.stash[RUN].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUN in config.stash:
        config.stash[RUN].close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the tests that were skipped because a server is missing, by name and reason."""
    missing = [
        (report.nodeid, report.longrepr[2].partition(f"{MISSING}: ")[2])
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and MISSING in report.longrepr[2]
    ]
    if missing:
        terminalreporter.section(f"{len(missing)} not run for want of a server", yellow=True)
        for name, reason in sorted(missing):
            terminalreporter.line(f"{name}: {reason}")


@pytest.fixture(scope="session")
def run_folder(request: pytest.FixtureRequest) -> Path:
    """Return the folder with the servers of this run."""
    config = request.config
    return Path(config.workerinput["servers"]) if hasattr(config, "workerinput") else config.stash[RUN].folder


@pytest.fixture(scope="session")
def kafka(run_folder: Path) -> str:
    """Return ``host:port`` of a real broker, shared by all tests, without access lists."""
    return os.environ.get("DELEGRAPH_TEST_KAFKA") or started_or_skip(lambda: servers.shared_kafka(run_folder)).servers


@pytest.fixture
def kafka_url(kafka: str) -> str:
    """Return the URL of a separate log on the broker; its topics do not exist yet."""
    return f"kafka://{kafka}/test-{uuid4().hex}"


@pytest.fixture(scope="session")
def secured_kafka(run_folder: Path) -> SecuredKafka:
    """Return a real broker, shared by all tests, that authenticates everyone.

    ``grant`` the users their rights on a prefix, then use the ``settings`` or the ``environment`` of one of them.
    """
    return started_or_skip(lambda: servers.shared_secured_kafka(run_folder))


@pytest.fixture(scope="session")
def postgres(run_folder: Path) -> str:
    """Return the URL of a real server, shared by all tests, with the rights to create databases and roles."""
    return (
        os.environ.get("DELEGRAPH_TEST_POSTGRES") or started_or_skip(lambda: servers.shared_postgres(run_folder)).url()
    )


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """Return the URL of an empty, separate database, dropped afterwards."""
    with servers.fresh_database(postgres) as url:
        yield url


@pytest.fixture
def own_kafka(run_folder: Path) -> Iterator[Callable[[Path], Kafka]]:
    """Return a function that starts a broker, to ``kill``, ``stop`` and ``start`` with the same ports and data."""
    made: list[Kafka] = []

    def start(folder: Path) -> Kafka:
        made.append(started_or_skip(lambda: servers.own_kafka(run_folder, folder)))
        return made[-1]

    yield start
    for server in made:
        server.stop()


@pytest.fixture
def own_postgres(run_folder: Path) -> Iterator[Callable[[Path], Postgres]]:
    """Return a function that starts a separate database server in a folder, to ``kill``, ``stop`` and ``start``."""
    made: list[Postgres] = []

    def start(folder: Path) -> Postgres:
        made.append(started_or_skip(lambda: servers.own_postgres(run_folder, folder)))
        return made[-1]

    yield start
    for server in made:
        server.stop()


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    """Return a function that makes URLs for empty stores: on SQLite, then on PostgreSQL."""
    yield from stores.fresh_places(request)
