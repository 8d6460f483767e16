"""The SQLite backend: file, pragmas, the single writer, multi-row inserts, the meaning of its errors."""

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
from lineage.plumbing.sqlite_file import APPLICATION_ID, PinnedFile, begin_writing, fault_of_file

# How long to wait for a locked store before raising an error.
_BUSY_SECONDS: Final = 10
# Many rows in one statement halve the cost of a row; SQLite allows 32,766 parameters.
_PARAMETERS: Final = 32_000
_SMALLER: Final = 50
# 128 MiB of cached pages and temporary tables in memory; or 8 MiB of pages and temporary tables in files.
_ROOMY: Final = ("temp_store = MEMORY", "cache_size = -131072")
_FRUGAL: Final = ("temp_store = FILE", "cache_size = -8192")
_POOL_MORE: Final = 25  # temporary connections beyond the pool of five: as many as the threads of a server can use
_PINNED: Final = "delegraph_file"  # the execution option with the PinnedFile of an engine
# Keys are random, so a batch changes nearly every page of the newest run: checkpoint several batches at once.
_CHECKPOINT_PAGES: Final = 16_384  # 64 MiB
TAKES_TURNS: Final = False  # only one transaction may write
KEPT_CONNECTIONS: Final = 1  # more are opened within a millisecond


def engine_of(url: URL, *, create: bool) -> Engine:
    """Create the engine for a store in a file, or in memory."""
    file = file_of(url)
    if file is not None:
        _refuse_place(file, create=create)
    # The connection used last is reused first, since its page cache is warm.
    connect_args = {"timeout": _BUSY_SECONDS, "isolation_level": None}
    engine = sa.create_engine(
        url, connect_args=connect_args, pool_use_lifo=True, max_overflow=_POOL_MORE, pool_timeout=_BUSY_SECONDS
    )
    event.listen(engine, "connect", partial(_on_connect, url.render_as_string(), create))
    if file is not None:
        pinned = PinnedFile(file)
        engine.update_execution_options(**{_PINNED: pinned})
        # Also before a connection is opened: SQLite would create an empty file if ours has been deleted.
        event.listen(engine, "do_connect", lambda *_: _refuse_replaced(pinned))
        event.listen(engine, "checkout", lambda *_: _refuse_replaced(pinned))
    event.listen(engine, "begin", _on_begin)
    return engine


def never_sync(engine: Engine) -> None:
    """Let commits return before they are on the disk, in a file that nobody needs after a crash."""
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))


def _refuse_replaced(pinned: PinnedFile) -> None:
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
            raise AbsentError(f"the folder {file.parent} does not exist; create it first")
        if not create and not file.exists():
            hint = "create one with 'delegraph init' or 'delegraph ingest'"
            raise AbsentError(f"there is no store at {file}; {hint}")
    except OSError as error:
        raise UnavailableError(f"the store {file} cannot be opened: {error.strerror}") from error


def _on_connect(url: str, create: bool, connection: Any, _record: Any) -> None:  # noqa: FBT001 (a listener)
    cursor = connection.cursor()
    (pages,), (id_,) = (cursor.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "application_id"))
    if fault := fault_of_file(pages=pages, application_id=id_, create=create):
        raise AbsentError(f"{url} {fault}")
    if pages == 0:
        cursor.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    # FULL: a committed fact survives a power failure. WAL: queries do not wait for writers.
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
        *_ROOMY,
    ):
        try:
            cursor.execute(f"PRAGMA {pragma}")
        except sqlite3.OperationalError as error:
            if "readonly" not in str(error):  # a read-only store can still be queried
                raise
    cursor.close()


def _on_begin(connection: Connection) -> None:
    # A writer takes the lock at the beginning, so that nothing it reads changes before it writes.
    options = connection.get_execution_options()
    if options.get("delegraph_writes", False):
        raw: Any = connection.connection.driver_connection
        pages = 0 if options.get("delegraph_maintains", False) else _CHECKPOINT_PAGES
        raw.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        begin_writing(raw, _BUSY_SECONDS)
    else:
        connection.exec_driver_sql("BEGIN")


def reading(engine: Engine) -> Engine:
    """The engine for queries: every transaction reads from one snapshot."""
    return engine


def writing(engine: Engine) -> Engine:
    """The engine for writers: one at a time."""
    return engine.execution_options(delegraph_writes=True)


def maintaining(engine: Engine) -> Engine:
    """The engine for short steps of maintenance: a checkpoint, which may take long, is left to the next writer."""
    return engine.execution_options(delegraph_writes=True, delegraph_maintains=True)


class ChangeProbe:
    """Detects commits to a file, in microseconds and without blocking. Thread-safe."""

    def __init__(self, file: Path, pinned: PinnedFile) -> None:
        """Open a separate connection: ``data_version`` only counts the commits of other connections.

        Args:
            file: The file.
            pinned: The file as it was when the store was opened.
        """
        where = f"{file.absolute().as_uri()}?mode=rw"  # does not create a missing file
        self._connection = sqlite3.connect(where, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self._pinned = pinned

    def __call__(self) -> object:
        """A value that changes with every commit, and whenever the file cannot be checked without blocking."""
        try:
            _refuse_replaced(self._pinned)
            with self._lock:
                (number,) = self._connection.execute("PRAGMA data_version").fetchone()
        except (sqlite3.Error, ReplacedError):  # the next query of the store raises the reason
            return object()
        return self, number  # numbers of different connections cannot be compared

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def change_probe(engine: Engine) -> ChangeProbe | None:
    """The check for new commits to the file; None for a database in memory."""
    file = file_of(engine.url)
    return None if file is None else ChangeProbe(file, engine.get_execution_options()[_PINNED])


def remote_probe(_engine: Engine, _query: sa.Select[Any]) -> None:
    """Return None: there is no server to ask."""


def wait_for_turn(connection: Connection) -> None:
    """Do nothing: a writer has had the only write lock since its transaction began."""


def hold(connection: Connection, table: sa.Table) -> None:
    """Do nothing: a writer has had the only write lock since its transaction began."""


def without_limits(connection: Connection) -> None:
    """Do nothing: statements have no time limits."""


def collect_first_statistics(_connection: Connection) -> None:
    """See ``Backend``; here every index is a table of its own, so there is little to choose."""


def scan_in_parallel(_connection: Connection) -> None:
    """Do nothing: SQLite scans with one thread."""


@contextmanager
def low_memory(connection: Connection) -> Iterator[None]:
    """Limit the page cache and keep temporary tables in files within the block, which is one whole transaction."""
    raw: Any = connection.connection.driver_connection  # bypasses SQLAlchemy, which would begin a transaction first
    for pragma in _FRUGAL:
        raw.execute(f"PRAGMA {pragma}")
    try:
        yield
    finally:
        connection.rollback()
        for pragma in _ROOMY:
            raw.execute(f"PRAGMA {pragma}")


def grant_reader(_connection: Connection, role: str) -> None:
    """Refuse: access to a file is controlled by the file system.

    Raises:
        RefusedError: Always.
    """
    raise RefusedError(f"a store in a SQLite file has no roles: give {role!r} read access to the file instead")


def add(connection: Connection, table: sa.Table, columns: list[sa.Column[Any]], rows: list[tuple[Any, ...]]) -> None:
    """Insert many rows, none of which exists yet; equal adjacent rows are inserted once."""
    add_missing(connection, table, columns, rows)


def add_missing(
    connection: Connection, table: sa.Table, columns: list[sa.Column[Any]], rows: list[tuple[Any, ...]]
) -> int:
    """Insert the rows that do not exist yet, and return how many there were. Hot path: no Core construct per row."""
    return _add_missing(connection, table, columns, ["?"] * len(columns), rows)


def add_to_run(connection: Connection, table: sa.Table, run: int, rows: list[tuple[Any, ...]]) -> None:
    """Insert entries into a run of the index unless they exist there; the rows lack its number, the first column."""
    columns = list(table.c)
    _add_missing(connection, table, columns, [str(run), *["?"] * (len(columns) - 1)], rows)


def _add_missing(
    connection: Connection,
    table: sa.Table,
    columns: list[sa.Column[Any]],
    values: list[str],
    rows: list[tuple[Any, ...]],
) -> int:
    names = ", ".join(column.name for column in columns)
    marks = f"({', '.join(values)})"
    insert = f'INSERT OR IGNORE INTO "{table.name}" ({names}) VALUES '  # noqa: S608 (names of our tables)
    # Two sizes of statements: with few rows, most of the cost is releasing and reacquiring the GIL.
    largest = _PARAMETERS // values.count("?")
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
    """Translate an error of the database into one of ours; a damaged file is distinguished from an unavailable one."""
    message = str(error)
    if "locked" in message or "busy" in message:
        return UnavailableError(f"the store {where} is locked by another process; try again")
    if "readonly" in message:
        return UnavailableError(f"the store {where} cannot be written: it is read-only")
    if "full" in message:
        return UnavailableError(f"the store {where} cannot be written: the disk is full")
    if "unable to open" in message:
        return UnavailableError(f"the store {where} cannot be opened: {message}")
    if "not a database" in message:
        return UnavailableError(f"{where} is not a delegraph store; name another file with --store")
    if "malformed" in message or "corrupt" in message:
        return DamagedError(
            f"the store {where} is damaged ({message}): restore a backup; a store whose log is kept elsewhere can "
            "instead be projected again from that log, into a new store"
        )
    return UnavailableError(f"the store {where} does not answer: {message}")
