"""The embedded log: both topics in one SQLite file, one partition each. It may share its file with the store."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import Final

from ingest.log.port import Entry
from lineage.core.model.errors import AbsentError, ReplacedError, UnavailableError
from lineage.core.model.records import TOPICS, Position, Record, Slice, position_of
from lineage.core.model.times import Instant
from lineage.plumbing.sqlite_file import APPLICATION_ID, PinnedFile, begin_writing, fault_of_file, meaning_of

_BUSY_SECONDS: Final = 10
_NO_LOG: Final = "it contains no log; create one with 'delegraph init'"
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS log_meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
INSERT OR IGNORE INTO log_meta VALUES ('id', randomblob(16));
CREATE TABLE IF NOT EXISTS log_record (
    topic INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (topic, "offset")
) WITHOUT ROWID;
"""


class SqliteLog:
    """A log in a SQLite file. Used by any thread, one at a time, and by any number of processes."""

    def __init__(
        self, path: str, *, create: bool, clock: Callable[[], Instant], file: PinnedFile | None = None
    ) -> None:
        """Open the log; if there is none, create it when ``create`` is true.

        Args:
            path: The file.
            create: Whether to create a missing log.
            clock: Returns the current time, which is recorded with every append.
            file: The file as this process first opened it; None if it opens it now.

        Raises:
            AbsentError: There is no log at ``path``, and ``create`` is false.
            UnavailableError: The file cannot be used.
        """
        self._file = PinnedFile(Path(path)) if file is None else file
        self._path = path
        self._clock = clock
        self._identity: bytes | None = None
        if not create and not Path(path).exists():
            raise AbsentError(f"there is no log at {path}; create one with 'delegraph init' or 'delegraph ingest'")
        with self._faults():
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._claim(create=create)
            except (sqlite3.Error, UnavailableError):
                self._connection.close()
                raise

    def _claim(self, *, create: bool) -> None:
        ask = self._connection.execute
        (pages,), (id_,) = (ask(f"PRAGMA {name}").fetchone() for name in ("page_count", "application_id"))
        if fault := fault_of_file(pages=pages, application_id=id_, create=create):
            raise AbsentError(f"{self._path} {fault}")
        if pages == 0:
            ask(f"PRAGMA application_id = {APPLICATION_ID}")
        if create:
            ask("PRAGMA journal_mode = WAL")
            self._connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
        # FULL: an entry survives a power failure once append has returned.
        ask("PRAGMA synchronous = FULL")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        if fault := self._file.fault():
            raise ReplacedError(f"the log {fault}")
        try:
            yield
        except sqlite3.Error as error:
            message = str(error)
            hint = _NO_LOG if "no such table" in message else meaning_of(message)
            raise UnavailableError(f"the log {self._path} cannot be used: {hint}") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._faults():
            begin_writing(self._connection, _BUSY_SECONDS)
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @property
    def identity(self) -> bytes:
        """The random id that the log was given when it was created."""
        if self._identity is None:
            with self._faults():
                (found,) = self._connection.execute("SELECT value FROM log_meta WHERE name = 'id'").fetchone()
                self._identity = bytes(found)
        return self._identity

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        """Append entries, all or none.

        All entries of one call get the same time, which is never before that of the last record.
        """
        with self._transaction():
            ends, latest = self._ends()
            now = max(self._clock(), latest)
            rows, positions = [], []
            for topic, value, _ in entries:
                number = TOPICS.index(topic)
                rows.append((number, ends[number], now, value))
                positions.append(Position(topic, 0, ends[number]))
                ends[number] += 1
            self._connection.executemany("INSERT INTO log_record VALUES (?, ?, ?, ?)", rows)
        return positions

    def erase(self, topic: str, offsets: Iterable[int]) -> int:
        """Remove records that retention deleted, and overwrite their place in the file; return how many were there.

        The last record of a topic must not be among them: the next offset follows from it.
        """
        rows = [(TOPICS.index(topic), offset) for offset in offsets]
        with self._faults():
            self._connection.execute("PRAGMA secure_delete = ON")
        with self._transaction():
            done = self._connection.executemany('DELETE FROM log_record WHERE topic = ? AND "offset" = ?', rows)
        return done.rowcount

    def _ends(self) -> tuple[list[int], Instant]:
        ends, latest = [0] * len(TOPICS), 0
        for number in range(len(TOPICS)):
            query = 'SELECT "offset" + 1, recorded_at FROM log_record WHERE topic = ? ORDER BY "offset" DESC LIMIT 1'
            for end, recorded_at in self._connection.execute(query, (number,)):
                ends[number] = end
                latest = max(latest, recorded_at)
        return ends, latest

    def read(self, topic: str, partition: int, offset: int, *, limit: int) -> Slice:
        """Read at most ``limit`` records of a topic from an offset on."""
        with self._faults():
            query = (
                'SELECT ? + "offset", recorded_at, value FROM log_record WHERE topic = ? AND "offset" >= ? '
                'ORDER BY "offset" LIMIT ?'
            )
            first = Position(topic, partition, 0).number
            rows = self._connection.execute(query, (first, TOPICS.index(topic), offset, limit))
            records = list(starmap(Record, rows))
        return Slice(records, position_of(records[-1].number).offset + 1 if records else offset)

    def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last record of each topic."""
        with self._faults():
            ends, _ = self._ends()
            return {(topic, 0): end for topic, end in zip(TOPICS, ends, strict=True)}

    def begins(self) -> dict[tuple[str, int], int]:
        """The first offset of each topic, since nobody deletes its beginning."""
        return {(topic, 0): 0 for topic in TOPICS}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
