"""Helpers of the tests of stores on PostgreSQL: open one, change it with SQL, and compare it with its log."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from ingest.codec import api as codec
from ingest.log.port import Log, entry_of
from ingest.opening import open_log
from ingest.projector import project
from lineage.core.model.events import Event
from lineage.store.rebuild.diff import differences, twin
from lineage.store.store import Store, open_store

START = 1_790_000_000_000_000


@contextmanager
def a_store(url: str, *, create: bool = True) -> Iterator[Store]:
    """Open a store within the block, and create it if it is missing."""
    store = open_store(url, codec.read, create=create)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def a_log(folder: Path, events: list[Event]) -> Iterator[Log]:
    """Open a new log of some events, recorded at ``START``, within the block."""
    log = open_log(f"sqlite:///{folder}/{uuid4().hex}.db", create=True, clock=lambda: START)
    log.append(entry_of(each) for each in events)
    yield log
    log.close()


def execute(url: str, *statements: str) -> list[Any]:
    """Run statements in autocommit mode; return the rows of the last one."""
    engine = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with engine.connect() as connection:
        results = [connection.exec_driver_sql(statement) for statement in statements]
        return results[-1].all() if results[-1].returns_rows else []


def unequal(store: Store, log: Log, folder: Path) -> list[str]:
    """Find where a store differs from an uninterrupted projection of its log up to the same positions."""
    alone = twin(store, folder / f"{uuid4().hex}.db")
    project(log, alone, None, ends=store.positions())
    found = list(differences(store, alone))
    alone.close()
    return found
