"""The real servers of a test run: started by the first test that needs one, shared, and stopped at the end.

The controller of a run creates a folder for it and keeps it locked; the test processes share the servers started in
there. The remains of a killed run are recognised by the free lock, and stopped by the next run.
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
# A kill of a process loses nothing that it has written; only a power failure could, which also ends the tests.
QUICK = {"fsync": "off", "max_connections": "200"}
MISSING = "needs a server that is not available"
T = TypeVar("T")
Server = TypeVar("Server", Kafka, SecuredKafka, Postgres)


class Run:
    """The folder of a run, locked by its controller until it is closed."""

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
        """Stop every server that was started in it, and remove it."""
        with locked(RUNS / "lock"), self._held:
            _end(self.folder)


def shared_kafka(run: Path) -> Kafka:
    """Return the broker of a run, where everyone may do everything."""
    return _shared(run, "kafka", Kafka)


def shared_secured_kafka(run: Path) -> SecuredKafka:
    """Return the broker of a run that authenticates every client."""
    return _shared(run, "secured-kafka", SecuredKafka)


def shared_postgres(run: Path) -> Postgres:
    """Return the database server of a run."""
    return _shared(run, "postgres", lambda folder: Postgres(folder, parameters=QUICK))


def own_kafka(run: Path, folder: Path) -> Kafka:
    """Start a broker for a single test."""
    note(run, folder)
    server = Kafka(folder / "kafka")
    server.start()
    return server


def own_postgres(run: Path, folder: Path) -> Postgres:
    """Start a database server for a single test."""
    note(run, folder)
    server = Postgres(folder / "postgres")
    server.start()
    return server


def started_or_skip(start: Callable[[], T]) -> T:
    """Return the result of a server's start; if it is not available the test is skipped, in CI it fails."""
    try:
        return start()
    except UnavailableError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{MISSING}: {error}")


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """Create an empty database on a server, given by the URL of another of its databases; it is dropped afterwards."""
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
    """Return a shared server: the first process starts it, or records for all why it could not."""
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
    """Record where a test has separate servers, in case its process dies before it stops them."""
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
    """Hold a lock within the block; with ``wait=False`` one that is taken raises ``BlockingIOError``."""
    with file.open("a") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
