"""The real servers of a test run: started by the first test that asks, once for all test processes, gone at the end.

The controller of a run makes a folder for it and keeps it locked; the test processes share what is started in there.
What a run left behind that was itself killed is known by its free lock, and ended by the next run.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from compose.native.jars import ROOT
from compose.native.kafka import Kafka
from compose.native.postgres import Postgres
from compose.native.processes import stop_all
from compose.native.secured import SecuredKafka
from lineage.core.model.errors import UnavailableError

RUNS = ROOT / "build" / "test-servers"
# A kill of a process loses nothing that it has written; only a power cut could, and then the tests are over.
QUICK = {"fsync": "off", "max_connections": "200"}
MISSING = "needs a server that cannot be had"
T = TypeVar("T")
Server = TypeVar("Server", Kafka, SecuredKafka, Postgres)


class Run:
    """The folder of a run, held by its controller until it is closed."""

    def __init__(self) -> None:
        RUNS.mkdir(parents=True, exist_ok=True)
        with locked(RUNS / "lock"):
            for lock in RUNS.glob("*/run.lock"):
                with suppress(BlockingIOError), locked(lock, wait=False):
                    _end(lock.parent)
            self.folder = Path(tempfile.mkdtemp(dir=RUNS))
            self._held = ExitStack()
            self._held.enter_context(locked(self.folder / "run.lock"))

    def close(self) -> None:
        """End all that was started in it, and forget it."""
        with locked(RUNS / "lock"), self._held:
            _end(self.folder)


def shared_kafka(run: Path) -> Kafka:
    """The broker of a run, where everyone may do everything."""
    return _shared(run, "kafka", Kafka)


def shared_secured_kafka(run: Path) -> SecuredKafka:
    """The broker of a run that asks everyone who he is."""
    return _shared(run, "secured-kafka", SecuredKafka)


def shared_postgres(run: Path) -> Postgres:
    """The database server of a run."""
    return _shared(run, "postgres", lambda folder: Postgres(folder, parameters=QUICK))


def own_kafka(run: Path, folder: Path) -> Kafka:
    """A broker of a test's own."""
    note(run, folder)
    server = Kafka(folder / "kafka")
    server.start()
    return server


def own_postgres(run: Path, folder: Path) -> Postgres:
    """A database server of a test's own."""
    note(run, folder)
    server = Postgres(folder / "postgres")
    server.start()
    return server


def had(start: Callable[[], T]) -> T:
    """What a server's start gives; where it cannot be had the test is skipped, in CI it fails."""
    try:
        return start()
    except UnavailableError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{MISSING}: {error}")


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """An empty database of a server, given by the URL of another of its databases, and dropped afterwards."""
    import psycopg

    name = f"test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _shared(run: Path, name: str, make: Callable[[Path], Server]) -> Server:
    """A server that is shared: the first process starts it, or says for all why it could not."""
    failed = run / f"{name}.failed"
    with locked(run / "start.lock"):
        if failed.exists():
            raise UnavailableError(failed.read_text(encoding="utf-8"))
        try:
            server = make(run / name)
            server.start()
        except UnavailableError as error:
            failed.write_text(str(error), encoding="utf-8")
            raise
    return server


def note(run: Path, folder: Path) -> None:
    """Note where a test keeps servers of its own, for the case that its process does not live to stop them."""
    with (run / "own").open("a", encoding="utf-8") as notes:
        notes.write(f"{folder}\n")


def _end(run: Path) -> None:
    own = run / "own"
    noted = own.read_text(encoding="utf-8").splitlines() if own.exists() else []
    for folder in (run, *map(Path, noted)):
        stop_all(folder)
    shutil.rmtree(run)


@contextmanager
def locked(file: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock; with ``wait=False`` one that is held elsewhere is a ``BlockingIOError``."""
    with file.open("a") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
