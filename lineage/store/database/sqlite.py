"""What only SQLite does: its file, its pragmas, its one writer, many rows in one statement, what its errors mean."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine

from lineage.core.model.errors import (
    AbsentError,
    DamagedError,
    DelegraphError,
    RefusedError,
    ReplacedError,
    UnavailableError,
)
from lineage.plumbing.sqlite_file import APPLICATION_ID, PinnedFile, fault_of_file

# A locked store is waited for this long before it is an error.
_BUSY_SECONDS: Final = 10
# Many rows in one statement halve what a row costs; SQLite takes 32,766 parameters.
_PARAMETERS: Final = 32_000
_SMALLER: Final = 50
# 128 MiB of pages, and what a statement puts aside beside them; or 8 MiB, and the rest in files.
_ROOMY: Final = ("temp_store = MEMORY", "cache_size = -131072")
_FRUGAL: Final = ("temp_store = FILE", "cache_size = -8192")
_POOL_MORE: Final = 25  # connections beyond the five that are kept: as many as the threads of a server can use at once
_PINNED: Final = "delegraph_file"  # the execution option that holds the file of an engine
TAKES_TURNS: Final = False  # whether others may write at the same time


def engine_of(url: URL, *, create: bool) -> Engine:
    """An engine for a store in a file, or in memory."""
    file = file_of(url)
    if file is not None:
        _refuse_place(file, create=create)
    # The connection used last comes first: its cache of pages is the warm one.
    connect_args = {"timeout": _BUSY_SECONDS, "isolation_level": None}
    engine = sa.create_engine(
        url, connect_args=connect_args, pool_use_lifo=True, max_overflow=_POOL_MORE, pool_timeout=_BUSY_SECONDS
    )
    event.listen(engine, "connect", partial(_on_connect, url.render_as_string(), create))
    if file is not None:
        pinned = PinnedFile(file)
        engine.update_execution_options(**{_PINNED: pinned})
        # Before a connection is made as well: SQLite would make an empty file where there is none any more.
        event.listen(engine, "do_connect", lambda *_: _refuse_another(pinned))
        event.listen(engine, "checkout", lambda *_: _refuse_another(pinned))
    event.listen(engine, "begin", _on_begin)
    return engine


def _refuse_another(pinned: PinnedFile) -> None:
    if fault := pinned.fault():
        raise ReplacedError(f"the store {fault}")


def file_of(url: URL) -> Path | None:
    """The file of a SQLite URL; None for a database in memory."""
    database = url.database
    return None if not database or database == ":memory:" else Path(database)


def _refuse_place(file: Path, *, create: bool) -> None:
    try:
        if file.is_dir():
            raise AbsentError(f"{file} is a folder, not a delegraph store; name a file with --store")
        if create and not file.parent.is_dir():
            raise AbsentError(f"the folder {file.parent} does not exist; make it first")
        if not create and not file.exists():
            hint = "make one with 'delegraph init' or 'delegraph ingest'"
            raise AbsentError(f"there is no store at {file}; {hint}")
    except OSError as error:
        raise UnavailableError(f"the store {file} cannot be opened: {error.strerror}") from error


def _on_connect(url: str, create: bool, connection: Any, _record: Any) -> None:  # noqa: FBT001 (of a listener)
    cursor = connection.cursor()
    (pages,), (id_,) = (cursor.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "application_id"))
    if fault := fault_of_file(pages=pages, application_id=id_, create=create):
        raise AbsentError(f"{url} {fault}")
    if pages == 0:
        cursor.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    # FULL: a committed fact survives the machine going down. WAL: questions do not wait for the intake.
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        # Keys are random: every batch changes nearly every page of an index. Several go to the file in one.
        "wal_autocheckpoint = 16384",  # pages: 64 MiB
        *_ROOMY,
    ):
        try:
            cursor.execute(f"PRAGMA {pragma}")
        except sqlite3.OperationalError as error:
            if "readonly" not in str(error):  # a read-only store answers as well as any
                raise
    cursor.close()


def _on_begin(connection: Connection) -> None:
    # Writers take the lock when they begin: nothing they read can have changed when they write.
    writes = connection.get_execution_options().get("delegraph_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def reading(engine: Engine) -> Engine:
    """The engine for questions: a transaction sees one moment."""
    return engine


def writing(engine: Engine) -> Engine:
    """The engine for writers: one at a time."""
    return engine.execution_options(delegraph_writes=True)


class Glance:
    """Tells whether anybody has committed to a file since: in microseconds, without waiting. Any thread may ask."""

    def __init__(self, file: Path, pinned: PinnedFile) -> None:
        """Take the file, and what it was when the store was opened.

        The connection is its own: SQLite counts what others than that have committed.
        """
        where = f"{file.absolute().as_uri()}?mode=rw"  # it is not made if it is gone
        self._connection = sqlite3.connect(where, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self._pinned = pinned

    def __call__(self) -> object:
        """A value that is another once somebody has committed, and whenever that cannot be said at once."""
        try:
            _refuse_another(self._pinned)
            with self._lock:
                (number,) = self._connection.execute("PRAGMA data_version").fetchone()
        except (sqlite3.Error, ReplacedError):  # whoever then asks the store is told why
            return object()
        return self, number  # the numbers of two connections have nothing to do with one another

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


def glance(engine: Engine) -> Glance | None:
    """A glance at the file; None for a database in memory."""
    file = file_of(engine.url)
    return None if file is None else Glance(file, engine.get_execution_options()[_PINNED])


def wait_for_turn(connection: Connection) -> None:
    """Nothing to wait for: whoever writes has had the only lock since it began."""


def without_limits(connection: Connection) -> None:
    """Nothing to lift: no statement is timed."""


@contextmanager
def frugally(connection: Connection) -> Iterator[None]:
    """Keep few pages, and put what a walk has seen into a file, for as long as this lasts: all of a transaction."""
    raw: Any = connection.connection.driver_connection  # past SQLAlchemy, which would begin a transaction first
    for pragma in _FRUGAL:
        raw.execute(f"PRAGMA {pragma}")
    try:
        yield
    finally:
        connection.rollback()
        for pragma in _ROOMY:
            raw.execute(f"PRAGMA {pragma}")


def grant_reader(_connection: Connection, role: str) -> None:
    """Refused: who may read a file is the file system's business."""
    raise RefusedError(f"a store in a SQLite file has no roles: let {role!r} read the file instead")


def add(connection: Connection, table: sa.Table, columns: list[sa.Column[Any]], rows: list[tuple[Any, ...]]) -> None:
    """Add many rows, none of which stands already; of equal neighbours one."""
    add_missing(connection, table, columns, rows)


def add_missing(
    connection: Connection, table: sa.Table, columns: list[sa.Column[Any]], rows: list[tuple[Any, ...]]
) -> int:
    """Add rows; those that stand already are left as they are. The hot path: no Core construct per row."""
    names = ", ".join(column.name for column in columns)
    marks = "(" + ", ".join("?" for _ in columns) + ")"
    insert = f'INSERT OR IGNORE INTO "{table.name}" ({names}) VALUES '  # noqa: S608 (names of our tables)
    # In two sizes: what a statement of few rows costs most is handing over the interpreter before and after.
    largest = _PARAMETERS // len(columns)
    added = start = 0
    for size in (largest, largest // _SMALLER):
        many = insert + ", ".join([marks] * size)
        while len(rows) - start >= size:
            part = tuple(chain.from_iterable(rows[start : start + size]))
            added += connection.exec_driver_sql(many, part).rowcount
            start += size
    if start < len(rows):
        added += connection.exec_driver_sql(insert + marks, rows[start:]).rowcount
    return added


def fault_of(error: BaseException, where: str) -> DelegraphError:
    """What an error of the database means: away, locked, read-only and full are one thing, damage is another."""
    said = str(error)
    if "locked" in said or "busy" in said:
        return UnavailableError(f"the store {where} is locked by another process; try again")
    if "readonly" in said:
        return UnavailableError(f"the store {where} cannot be written: it is read-only")
    if "full" in said:
        return UnavailableError(f"the store {where} cannot be written: the disk is full")
    if "unable to open" in said:
        return UnavailableError(f"the store {where} cannot be opened: {said}")
    if "not a database" in said:
        return UnavailableError(f"{where} is not a delegraph store; name another file with --store")
    if "malformed" in said or "corrupt" in said:
        return DamagedError(
            f"the store {where} is damaged ({said}): restore a backup; a store whose log is kept elsewhere can instead "
            "be made anew from that log, in a new place"
        )
    return UnavailableError(f"the store {where} does not answer: {said}")
