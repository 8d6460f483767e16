"""The spool: events that the log has not acknowledged yet, durable in a SQLite file that one process uses at a time.

An event is in the spool from the return of ``put`` until the log acknowledges it (``acknowledge``) or permanently
refuses it (``refuse``); refused events are kept separately until they are retried. The sequence numbers of a source
(``Event.sequence``) are written in the same transaction as the events, so they have no gaps and never repeat, even
after a crash.

Events of callers that arrive during another caller's disk write are written together, in one transaction.

Why it is a separate file, what it guarantees after a power failure, and its cost: docs/adr/0012-producer-spool.md.
"""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple
from weakref import WeakSet

from ingest.log.port import Entry, entry_of
from lineage.core.model.errors import DelegraphError, RefusedError, UnavailableError
from lineage.core.model.events import Event
from lineage.core.model.records import TOPICS
from lineage.core.model.times import Instant
from lineage.plumbing.sqlite_file import meaning_of

_APPLICATION_ID: Final = 0x64656C73  # "dels": a spool, not a store or a log
_FORMAT: Final = 1
_BUSY_SECONDS: Final = 10
# The approximate overhead of a row, in addition to its key and value.
_ROW_BYTES: Final = 64
_TABLES: Final = """
CREATE TABLE waiting (
    n INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,
    "key" BLOB NOT NULL,
    value BLOB NOT NULL,
    put_at INTEGER NOT NULL
);
CREATE TABLE refused (
    n INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,
    "key" BLOB NOT NULL,
    value BLOB NOT NULL,
    put_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE TABLE source (source TEXT PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID;
"""


class Waiting(NamedTuple):
    """An event that the log has not acknowledged."""

    number: int
    entry: Entry


class RefusedEvent(NamedTuple):
    """An event that the log has permanently refused.

    Attributes:
        number: Its number in the spool.
        reason: A stable identifier for machines.
        detail: A sentence for people.
    """

    number: int
    entry: Entry
    reason: str
    detail: str


class Holding(NamedTuple):
    """The content of the spool.

    Attributes:
        waiting: Number of events that the log has not acknowledged.
        refused: Number of events that the log has permanently refused.
        size: The size of both in bytes; the file may be somewhat larger.
        taken: Number of events accepted by ``put`` since the spool was opened.
    """

    waiting: int
    refused: int
    size: int
    taken: int


class SpoolEntry(NamedTuple):
    """An event for the spool, and whether to give it the next sequence number of its source."""

    event: Event
    numbered: bool


@dataclass(slots=True)
class _Group:
    """Events that are written in one transaction."""

    rows: list[tuple[int, Entry, Instant]] = field(default_factory=list)
    sequences: dict[str, int] = field(default_factory=dict)
    done: bool = False
    fault: DelegraphError | None = None


class _Admission(NamedTuple):
    """Events ready to be stored, with the last sequence number of each of their sources."""

    events: list[Event]
    entries: list[Entry]
    sequences: dict[str, int]
    size: int


class Spool:
    """The spool of one process. Thread-safe; must not be used in the child of a fork."""

    def __init__(
        self, path: str | Path, *, limit_bytes: int, limit_events: int, clock: Callable[[], Instant], durable: bool
    ) -> None:
        """Open the spool, and create it if it does not exist.

        Args:
            path: The file; SQLite adds ``-wal`` and ``-shm`` next to it, and the spool ``.lock``.
            limit_bytes: The size limit, including refused events.
            limit_events: The largest number of events, including refused ones.
            clock: Returns the current time, which is stored with each event to tell its age.
            durable: Whether an event survives a power failure once ``put`` has returned, not only a crash.

        Raises:
            UnavailableError: Another process has it open, or the file cannot be used.
        """
        self.path = Path(path)
        self._limit_bytes, self._limit_events = limit_bytes, limit_events
        self._clock = clock
        self._process = os.getpid()
        self._sealed = self._closed = False
        # Lock order: _writing (writes to the file), _changed (the state in memory), _reading (reads of the file).
        # _changed guards the state in memory, and is notified whenever the content of the spool changes.
        self._changed = threading.Condition()
        self._group = _Group()
        self._taken = self._last = self._waiting = self._refused = self._bytes = 0
        # The last sequence number of each source: assigned, and written to the file.
        self._sequences: dict[str, int] = {}
        self._durable: dict[str, int] = {}
        # One connection writes events and waits for the disk. The other reads, and removes acknowledged events without
        # waiting: if a power failure undoes a removal, an event is sent twice, which is harmless.
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._lock: int | None = _locked(self.path)
        try:
            with self._faults():
                self._writer = self._connected("FULL" if durable else "NORMAL")
                self._keeper = self._connected("NORMAL")
            self._load()
        except BaseException:
            self.close()
            raise
        _open_spools.add(self)

    # Writing events

    def put(self, given: Sequence[SpoolEntry], *, wait_seconds: float = 0) -> list[Event]:
        """Store events, all or none; they are durable when this returns.

        Args:
            given: The events.
            wait_seconds: How long to wait for room.

        Returns:
            The events as stored, with their sequence numbers.

        Raises:
            BadRecordError: One of them is invalid. No sequence number is used up.
            RefusedError: They exceed the limits of the spool, or this is the child of a fork.
            UnavailableError: There is no room, or the file cannot be written. No sequence number is used up.
        """
        return self._put(lambda: self._encoded(given), wait_seconds).events

    def put_entries(self, entries: Sequence[Entry], *, wait_seconds: float = 0) -> None:
        """Store events that are validated and encoded already; otherwise like ``put``."""
        admission = _Admission([], list(entries), {}, sum(map(_size, entries)))
        self._put(lambda: admission, wait_seconds)

    def _put(self, encoded: Callable[[], _Admission], wait_seconds: float) -> _Admission:
        self.require_owner()
        deadline = time.monotonic() + wait_seconds
        with self._changed:
            admission = encoded()
            if not admission.entries:
                return admission
            while not self._has_room(admission):
                self._wait_for_room(deadline, wait_seconds)
                admission = encoded()  # others may have taken sequence numbers in the meantime
            group = self._admit(admission)
        with self._writing:
            if not group.done:  # the first caller to get here writes the events of all waiting callers
                self._write(group)
        if group.fault is not None:
            raise UnavailableError(str(group.fault)) from group.fault
        return admission

    def _encoded(self, given: Sequence[SpoolEntry]) -> _Admission:
        events: list[Event] = []
        sequences: dict[str, int] = {}
        for event, numbered in given:
            if numbered:
                sequence = sequences.get(event.source, self._sequences.get(event.source, 0)) + 1
                sequences[event.source] = sequence
                events.append(event._replace(sequence=sequence))
            else:
                events.append(event)
        entries = [entry_of(event) for event in events]
        return _Admission(events, entries, sequences, sum(map(_size, entries)))

    def _has_room(self, admission: _Admission) -> bool:
        if self._sealed:
            raise RefusedError(f"the spool {self.path} is closed")
        events, size = len(admission.entries), admission.size
        if events > self._limit_events or size > self._limit_bytes:
            raise RefusedError(
                f"{events:,} events of {size:,} bytes exceed the limits of the spool {self.path} "
                f"({self._limit_events:,} events, {self._limit_bytes:,} bytes)"
            )
        within = self._waiting + self._refused + events <= self._limit_events
        return within and self._bytes + size <= self._limit_bytes

    def _wait_for_room(self, deadline: float, wait_seconds: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0 or not self._changed.wait(left):
            waited = f" after {wait_seconds:g} s" if wait_seconds else ""
            raise UnavailableError(
                f"the spool {self.path} is full{waited}: {self._waiting:,} events wait for the log and "
                f"{self._refused:,} were refused by it, {self._bytes:,} bytes; the event was not stored"
            )

    def _admit(self, admission: _Admission) -> _Group:
        now = self._clock()
        group = self._group
        for entry in admission.entries:
            self._last += 1
            group.rows.append((self._last, entry, now))
        group.sequences |= admission.sequences
        self._sequences |= admission.sequences
        self._waiting += len(admission.entries)
        self._bytes += admission.size
        return group

    def _write(self, group: _Group) -> None:
        with self._changed:
            self._group = _Group()  # callers from now on are in the next group
        try:
            with self._faults(), _transaction(self._writer) as execute_many:
                rows = [(n, TOPICS.index(at.topic), at.key, at.value, put_at) for n, at, put_at in group.rows]
                execute_many("INSERT INTO waiting VALUES (?, ?, ?, ?, ?)", rows)
                execute_many("INSERT OR REPLACE INTO source VALUES (?, ?)", list(group.sequences.items()))
        except BaseException as error:
            # An interrupt may come after the commit.
            if self._is_written(group):
                self._keep(group)
            else:
                self._lose(group, error if isinstance(error, DelegraphError) else UnavailableError("interrupted"))
            if not isinstance(error, DelegraphError):
                raise
        else:
            self._keep(group)

    def _is_written(self, group: _Group) -> bool:
        with suppress(DelegraphError), self._kept() as keeper:
            found = keeper.execute("SELECT 1 FROM waiting WHERE n = ?", (group.rows[0][0],)).fetchone()
            return found is not None
        return False

    def _keep(self, group: _Group) -> None:
        with self._changed:
            group.done = True
            self._durable |= group.sequences
            self._taken += len(group.rows)
            self._changed.notify_all()

    def _lose(self, group: _Group, fault: DelegraphError) -> None:
        with self._changed:
            # The next group has the sequence numbers after the lost ones, so it must fail too.
            for lost in (group, self._group):
                lost.done, lost.fault = True, fault
                self._waiting -= len(lost.rows)
                self._bytes -= sum(_size(entry) for _, entry, _ in lost.rows)
            self._group = _Group()
            self._sequences = dict(self._durable)
            self._changed.notify_all()

    # Sending them

    def read(self, topic: str, *, after: int, limit: int) -> list[Waiting]:
        """Read the waiting events of a topic, in order, after a number."""
        query = 'SELECT n, "key", value FROM waiting WHERE topic = ? AND n > ? ORDER BY n LIMIT ?'
        with self._kept() as keeper:
            rows = keeper.execute(query, (TOPICS.index(topic), after, limit)).fetchall()
        return [Waiting(number, Entry(topic, value, key)) for number, key, value in rows]

    def acknowledge(self, waiting: Sequence[Waiting]) -> None:
        """Remove events that the log has acknowledged."""
        with self._writing:
            with self._kept() as keeper, _transaction(keeper) as execute_many:
                execute_many("DELETE FROM waiting WHERE n = ?", [(number,) for number, _ in waiting])
            with self._changed:
                self._waiting -= len(waiting)
                self._bytes -= sum(_size(entry) for _, entry in waiting)
                self._changed.notify_all()

    def refuse(self, number: int, reason: str, detail: str) -> None:
        """Set aside an event that the log permanently refuses."""
        move = 'INSERT INTO refused SELECT n, topic, "key", value, put_at, ?, ? FROM waiting WHERE n = ?'
        with self._writing:
            with self._kept() as keeper, _transaction(keeper) as execute_many:
                execute_many(move, [(reason, detail, number)])
                execute_many("DELETE FROM waiting WHERE n = ?", [(number,)])
            with self._changed:
                self._waiting -= 1
                self._refused += 1
                self._changed.notify_all()

    def refused(self, *, limit: int = 1_000) -> list[RefusedEvent]:
        """The events that the log has refused, oldest first."""
        with self._kept() as keeper:
            query = 'SELECT n, topic, "key", value, reason, detail FROM refused ORDER BY n LIMIT ?'
            rows = keeper.execute(query, (limit,)).fetchall()
        return [
            RefusedEvent(n, Entry(TOPICS[topic], value, key), reason, detail)
            for n, topic, key, value, reason, detail in rows
        ]

    def retry_refused(self) -> int:
        """Move the refused events to the end of the waiting ones.

        Returns:
            The number of these events.
        """
        move = 'INSERT INTO waiting SELECT ? + row_number() OVER (ORDER BY n), topic, "key", value, put_at FROM refused'
        # No event is admitted while the numbers are assigned; those admitted already have smaller ones.
        with self._writing, self._changed:
            with self._kept() as keeper, _transaction(keeper) as execute_many:
                execute_many(move, [(self._last,)])
                execute_many("DELETE FROM refused", [()])
            moved, self._refused = self._refused, 0
            self._last += moved
            self._waiting += moved
            self._changed.notify_all()
        return moved

    # Inspecting

    def holding(self) -> Holding:
        """The content of the spool, including events that are being written."""
        with self._changed:
            return Holding(self._waiting, self._refused, self._bytes, self._taken)

    def oldest(self) -> Instant | None:
        """Return when the oldest waiting event was added; None if none waits."""
        with self._kept() as keeper:
            oldest: Instant | None = keeper.execute("SELECT min(put_at) FROM waiting").fetchone()[0]
        return oldest

    def wait_until_sent(self, seconds: float) -> bool:
        """Wait until all events now in the spool are acknowledged or refused.

        Args:
            seconds: The longest wait.

        Returns:
            Whether they are.
        """
        self.require_owner()
        deadline = time.monotonic() + seconds
        with self._changed:
            last = self._last
            while not self._sent(last):
                if not self._changed.wait(max(0, deadline - time.monotonic())):
                    return self._sent(last)
            return True

    def _sent(self, last: int) -> bool:
        if self._waiting == 0:
            return True
        with self._kept() as keeper:
            oldest: int | None = keeper.execute("SELECT min(n) FROM waiting").fetchone()[0]
        # None if the only waiting events have been admitted but not written yet.
        return oldest is not None and oldest > last

    def seal(self) -> None:
        """Accept no more events."""
        with self._changed:
            self._sealed = True
            self._changed.notify_all()

    @property
    def is_ours(self) -> bool:
        """Whether this process opened the spool, not one that it was forked from."""
        return os.getpid() == self._process

    def require_owner(self) -> None:
        """Refuse to serve the child of a fork.

        Raises:
            RefusedError: Another process opened the spool.
        """
        if not self.is_ours:
            raise RefusedError(
                f"the spool {self.path} was opened by process {self._process}, before a fork; "
                f"process {os.getpid()} must open a separate spool, in another file"
            )

    def close(self) -> None:
        """Close the file and release its lock. In the child of a fork this does nothing: the parent owns the spool."""
        if not self.is_ours:
            return
        with self._writing, self._changed, self._reading:
            self._sealed = self._closed = True
            self._changed.notify_all()
            for connection in (getattr(self, "_writer", None), getattr(self, "_keeper", None)):
                if connection is not None:
                    connection.close()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _close_inherited_lock(self) -> None:
        """Close the inherited lock in the child of a fork, because it must be released when the parent ends."""
        if self._lock is not None:
            os.close(self._lock)  # not unlock: that would release the parent's lock
            self._lock = None

    # The file

    @contextmanager
    def _kept(self) -> Iterator[sqlite3.Connection]:
        self.require_owner()
        with self._reading, self._faults():
            if self._closed:
                raise UnavailableError(f"the spool {self.path} is closed")
            yield self._keeper

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UnavailableError(f"the spool {self.path} cannot be used: {meaning_of(str(error))}") from error

    def _connected(self, synchronous: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._claim(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _claim(self, connection: sqlite3.Connection) -> None:
        ask = connection.execute
        (pages,), (id_,), (version,) = (
            ask(f"PRAGMA {name}").fetchone() for name in ("page_count", "application_id", "user_version")
        )
        if pages == 0:
            marks = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_FORMAT};"
            connection.executescript(f"BEGIN IMMEDIATE; {marks} {_TABLES} COMMIT;")
        elif id_ != _APPLICATION_ID:
            raise UnavailableError(f"{self.path} is a database, but not a spool; name another file")
        elif version != _FORMAT:
            raise UnavailableError(f"the spool {self.path} was created by another version, in format {version}")

    def _load(self) -> None:
        """Load the state in memory from the file."""
        with self._kept() as keeper:
            ask = keeper.execute
            sums = f'count(*), coalesce(sum(length("key") + length(value) + {_ROW_BYTES}), 0), coalesce(max(n), 0)'
            self._waiting, waiting_bytes, last_waiting = ask(f"SELECT {sums} FROM waiting").fetchone()  # noqa: S608
            self._refused, refused_bytes, last_refused = ask(f"SELECT {sums} FROM refused").fetchone()  # noqa: S608
            self._durable = dict(ask("SELECT source, sequence FROM source"))
        self._sequences = dict(self._durable)
        self._bytes = waiting_bytes + refused_bytes
        self._last = max(last_waiting, last_refused)


def _size(entry: Entry) -> int:
    return len(entry.key) + len(entry.value) + _ROW_BYTES


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[Callable[[str, Sequence[tuple[object, ...]]], object]]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection.executemany
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _locked(path: Path) -> int:
    """Acquire the lock of the spool, which the process holds until it closes the lock or ends."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Events are confidential: create the file readable only by its owner. SQLite copies the mode to its other
            # files. Only after locking: closing a file that SQLite has open in this process would drop SQLite's locks.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            _flush_folder(path.parent)  # SQLite only does this for files that it creates itself
        except OSError:
            os.close(lock)
            raise
    except BlockingIOError as error:
        raise UnavailableError(
            f"the spool {path} is open in another process, or twice in this one; give each a file of its own"
        ) from error
    except OSError as error:
        raise UnavailableError(f"the spool {path} cannot be opened or created: {error.strerror}") from error
    return lock


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# A flock is shared with forked children, which would keep it after the parent has ended.
_open_spools: WeakSet[Spool] = WeakSet()


def _close_inherited_locks() -> None:
    for spool in list(_open_spools):
        spool._close_inherited_lock()  # noqa: SLF001


os.register_at_fork(after_in_child=_close_inherited_locks)
