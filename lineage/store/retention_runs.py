"""The last run of retention, and the lock that lets one process at a time delete."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from lineage.core.model.errors import UnavailableError
from lineage.core.retention.schedule import RetentionRun
from lineage.store.database.dialects import backend_of, faults, wait_for_turn
from lineage.store.database.tables import meta
from lineage.store.store import Store

_NAME: Final = "retention"  # in `meta`
_LOCK: Final = int.from_bytes(b"retain", "big")  # the advisory lock of a run
_LOCK_FILE: Final = "-retention"  # appended to the name of a SQLite store


def last_run(store: Store) -> RetentionRun | None:
    """Return the last run; None if there was none."""
    with store.connection() as connection:
        raw = connection.execute(sa.select(meta.c.value).where(meta.c.name == _NAME)).scalar()
    return None if raw is None else RetentionRun(**json.loads(raw))


def note_run(store: Store, run: RetentionRun) -> None:
    """Record the last run."""
    engine = store.engine
    with faults(engine), backend_of(engine.dialect).writing(engine).begin() as connection:
        wait_for_turn(connection)
        connection.execute(meta.delete().where(meta.c.name == _NAME))
        connection.execute(meta.insert(), [{"name": _NAME, "value": json.dumps(asdict(run)).encode()}])


@contextmanager
def only_run(store: Store) -> Iterator[None]:
    """Hold the lock of retention over a store within the block. A process that is killed releases it.

    Raises:
        UnavailableError: Another process is deleting.
    """
    if store.engine.dialect.name == "postgresql":
        with faults(store.engine), store.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as keeper:
            if not keeper.exec_driver_sql(f"SELECT pg_try_advisory_lock({_LOCK})").scalar():
                raise _busy(store)
            try:
                yield
            finally:
                keeper.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK})")
    elif store.file is not None:
        with _locked(store, store.file):
            yield
    else:  # in memory, so there is no other process
        yield


@contextmanager
def _locked(store: Store, file: Path) -> Iterator[None]:
    """Hold the lock of a SQLite store: on a file of its own, because closing the store's would drop SQLite's locks."""
    try:
        lock = os.open(f"{file}{_LOCK_FILE}", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UnavailableError(f"{file}{_LOCK_FILE} cannot be opened or created: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _busy(store) from error
        yield
    finally:
        os.close(lock)


def _busy(store: Store) -> UnavailableError:
    return UnavailableError(f"another process deletes records of {store.url} now; nothing was deleted, try again later")
