"""The spool: events that the log has not acknowledged yet, durable in a SQLite file that one process has at a time.

An event is in the spool from the moment that ``put`` returns until the log has acknowledged it (``acknowledge``) or
refused it for good (``refuse``); what was refused is kept aside until somebody asks for it again. The numbers that a
source gives its events (``Event.sequence``) are written in the same transaction as the events, so that they have no
hole and never repeat, whatever is killed.

Callers who come while another one waits for the disk are written together, in one transaction.

Why a file of its own, what it promises when the power fails, and what it costs: docs/adr/0012-the-spool.md.
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
# What a row costs in the file beside its key and its value, about.
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


class Refused(NamedTuple):
    """An event that the log refused for good.

    Attributes:
        number: Its place in the spool.
        reason: A stable word for machines.
        detail: A sentence for people.
    """

    number: int
    entry: Entry
    reason: str
    detail: str


class Holding(NamedTuple):
    """What the spool holds.

    Attributes:
        waiting: Events that the log has not acknowledged.
        refused: Events that the log refused for good.
        size: Of both, in bytes; the file may be somewhat larger.
        taken: Events that ``put`` returned for since the spool was opened.
    """

    waiting: int
    refused: int
    size: int
    taken: int


class Given(NamedTuple):
    """An event for the spool, and whether it gets the next sequence number of its source."""

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
    """Events as they would be kept, with the last numbers of their sources."""

    events: list[Event]
    entries: list[Entry]
    sequences: dict[str, int]
    size: int


class Spool:
    """The spool of one process. Any number of threads may use it at once; a child of a fork may not."""

    def __init__(
        self, path: str | Path, *, limit_bytes: int, limit_events: int, clock: Callable[[], Instant], durable: bool
    ) -> None:
        """Open the spool, and make it if there is none.

        Args:
            path: The file; beside it stand ``-wal`` and ``-shm``, which are SQLite's, and ``.lock``.
            limit_bytes: How much it may hold, what was refused included.
            limit_events: How many events it may hold, those refused included.
            clock: The moment now; kept with each event, so that its age can be told.
            durable: Whether what ``put`` returned for outlives the power, and not only the process.

        Raises:
            UnavailableError: Another process has it open, or the file cannot be used.
        """
        self.path = Path(path)
        self._limit_bytes, self._limit_events = limit_bytes, limit_events
        self._clock = clock
        self._process = os.getpid()
        self._sealed = self._closed = False
        # Of the three locks the earlier one is taken first: the file is written; what is known of it; it is read.
        # Guards what is known; told of whenever the spool has more or less in it.
        self._changed = threading.Condition()
        self._group = _Group()
        self._taken = self._last = self._waiting = self._refused = self._bytes = 0
        # The last number of each source: given, and written.
        self._sequences: dict[str, int] = {}
        self._durable: dict[str, int] = {}
        # One connection writes events and waits for the disk. The other one reads, and takes out what the log has
        # acknowledged and need not wait: if that is undone by a power cut, an event is sent twice, which is harmless.
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

    def put(self, given: Sequence[Given], *, wait_seconds: float = 0) -> list[Event]:
        """Keep events, all or none; they are durable when this returns.

        Args:
            given: What to keep.
            wait_seconds: How long to wait for room.

        Returns:
            The events as they were kept, with their numbers.

        Raises:
            BadRecordError: One of them does not keep the contract. No number is lost.
            RefusedError: They are more than the spool may ever hold, or this is a child of a fork.
            UnavailableError: There is no room, or the file cannot be written. No number is lost.
        """
        return self._put(lambda: self._encoded(given), wait_seconds).events

    def put_entries(self, entries: Sequence[Entry], *, wait_seconds: float = 0) -> None:
        """Keep events that are checked and encoded already; otherwise as ``put``."""
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
                admission = encoded()  # others have taken numbers meanwhile
            group = self._admit(admission)
        with self._writing:
            if not group.done:  # the first one to get here writes for all who came meanwhile
                self._write(group)
        if group.fault is not None:
            raise UnavailableError(str(group.fault)) from group.fault
        return admission

    def _encoded(self, given: Sequence[Given]) -> _Admission:
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
                f"{events:,} events of {size:,} bytes are more than the spool {self.path} may ever hold "
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
                f"{self._refused:,} were refused by it, {self._bytes:,} bytes; the event was not taken"
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
            self._group = _Group()  # who comes from now on is in the next one
        try:
            with self._faults(), _transaction(self._writer) as execute_many:
                rows = [(n, TOPICS.index(at.topic), at.key, at.value, put_at) for n, at, put_at in group.rows]
                execute_many("INSERT INTO waiting VALUES (?, ?, ?, ?, ?)", rows)
                execute_many("INSERT OR REPLACE INTO source VALUES (?, ?)", list(group.sequences.items()))
        except BaseException as error:
            # An interrupt may come when the file has them already.
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
            # Those of the next group bear the numbers that follow on the lost ones: they are lost as well.
            for lost in (group, self._group):
                lost.done, lost.fault = True, fault
                self._waiting -= len(lost.rows)
                self._bytes -= sum(_size(entry) for _, entry, _ in lost.rows)
            self._group = _Group()
            self._sequences = dict(self._durable)
            self._changed.notify_all()

    # Sending them

    def read(self, topic: str, *, after: int, limit: int) -> list[Waiting]:
        """The events of a topic that wait, in the order in which they came, after a number."""
        query = 'SELECT n, "key", value FROM waiting WHERE topic = ? AND n > ? ORDER BY n LIMIT ?'
        with self._kept() as keeper:
            rows = keeper.execute(query, (TOPICS.index(topic), after, limit)).fetchall()
        return [Waiting(number, Entry(topic, value, key)) for number, key, value in rows]

    def acknowledge(self, waiting: Sequence[Waiting]) -> None:
        """Take out what the log has acknowledged."""
        with self._writing:
            with self._kept() as keeper, _transaction(keeper) as execute_many:
                execute_many("DELETE FROM waiting WHERE n = ?", [(number,) for number, _ in waiting])
            with self._changed:
                self._waiting -= len(waiting)
                self._bytes -= sum(_size(entry) for _, entry in waiting)
                self._changed.notify_all()

    def refuse(self, number: int, reason: str, detail: str) -> None:
        """Put aside what the log refuses for good."""
        move = 'INSERT INTO refused SELECT n, topic, "key", value, put_at, ?, ? FROM waiting WHERE n = ?'
        with self._writing:
            with self._kept() as keeper, _transaction(keeper) as execute_many:
                execute_many(move, [(reason, detail, number)])
                execute_many("DELETE FROM waiting WHERE n = ?", [(number,)])
            with self._changed:
                self._waiting -= 1
                self._refused += 1
                self._changed.notify_all()

    def refused(self, *, limit: int = 1_000) -> list[Refused]:
        """What the log refused, the oldest first."""
        with self._kept() as keeper:
            query = 'SELECT n, topic, "key", value, reason, detail FROM refused ORDER BY n LIMIT ?'
            rows = keeper.execute(query, (limit,)).fetchall()
        return [
            Refused(n, Entry(TOPICS[topic], value, key), reason, detail)
            for n, topic, key, value, reason, detail in rows
        ]

    def retry_refused(self) -> int:
        """Let what the log refused wait once more, behind all the others; how many that are."""
        move = 'INSERT INTO waiting SELECT ? + row_number() OVER (ORDER BY n), topic, "key", value, put_at FROM refused'
        # Nobody is admitted while the numbers are taken; what is admitted already has smaller ones.
        with self._writing, self._changed:
            with self._kept() as keeper, _transaction(keeper) as execute_many:
                execute_many(move, [(self._last,)])
                execute_many("DELETE FROM refused", [()])
            moved, self._refused = self._refused, 0
            self._last += moved
            self._waiting += moved
            self._changed.notify_all()
        return moved

    # Looking

    def holding(self) -> Holding:
        """How much it holds, what is being written included."""
        with self._changed:
            return Holding(self._waiting, self._refused, self._bytes, self._taken)

    def oldest(self) -> Instant | None:
        """When the event was put in that has waited longest; None if none waits."""
        with self._kept() as keeper:
            oldest: Instant | None = keeper.execute("SELECT min(put_at) FROM waiting").fetchone()[0]
        return oldest

    def wait_until_sent(self, seconds: float) -> bool:
        """Wait until all that is in the spool now has left it, for the log or to be put aside; whether it has."""
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
        # What is admitted and not yet written is waiting as well, and not in the file.
        return oldest is not None and oldest > last

    def seal(self) -> None:
        """Take nothing more in."""
        with self._changed:
            self._sealed = True
            self._changed.notify_all()

    @property
    def is_ours(self) -> bool:
        """Whether this process opened it, and not one that this is a child of."""
        return os.getpid() == self._process

    def require_owner(self) -> None:
        """Refuse to serve a child of a fork.

        Raises:
            RefusedError: The process that opened the spool is another one.
        """
        if not self.is_ours:
            raise RefusedError(
                f"the spool {self.path} was opened by process {self._process}, before a fork; "
                f"process {os.getpid()} must open one of its own, in a file of its own"
            )

    def close(self) -> None:
        """Close the file and let others have it. In a child of a fork: nothing, it is the parent's."""
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

    def _let_go(self) -> None:
        """In a child of a fork: the lock is the parent's, and must end with it."""
        if self._lock is not None:
            os.close(self._lock)  # and not unlocked: that would be the parent's lock
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
            raise UnavailableError(f"the spool {self.path} was made by another version, in format {version}")

    def _load(self) -> None:
        """Take what is known from the file."""
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
    """Take the lock that says whose the spool is, for as long as the process lives and does not give it back."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Events say who did what: nobody else's business. SQLite gives its other files the mode of the first.
            # Only now: to close a file that SQLite has open in this process would drop its locks.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            _flush_folder(path.parent)  # SQLite does it for the files that it makes itself
        except OSError:
            os.close(lock)
            raise
    except BlockingIOError as error:
        raise UnavailableError(
            f"the spool {path} is open in another process, or twice in this one; give each a file of its own"
        ) from error
    except OSError as error:
        raise UnavailableError(f"the spool {path} cannot be opened or made: {error.strerror}") from error
    return lock


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# A lock of this kind is shared with the children of a fork, and would outlive the parent in them.
_open_spools: WeakSet[Spool] = WeakSet()


def _let_go_of_all() -> None:
    for spool in list(_open_spools):
        spool._let_go()  # noqa: SLF001


os.register_at_fork(after_in_child=_let_go_of_all)
