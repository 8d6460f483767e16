"""Writers of one SQLite file take turns, however much one of them writes."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lineage.plumbing.sqlite_file import begin_writing

MANY = 40  # if SQLite waited by itself, it would be asked once


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    try:
        yield connection
    finally:
        connection.close()


def test_a_writer_asks_for_the_lock_until_it_is_free(tmp_path: Path):
    """
    It retries by itself instead of leaving that to SQLite, whose pauses grow; once it has the lock, SQLite waits for
    locks as before.
    """
    with opened(tmp_path / "file.db") as other, opened(tmp_path / "file.db") as own:
        other.execute("BEGIN IMMEDIATE")
        asked, often = [], threading.Event()

        def note(statement: str) -> None:
            asked.append(statement)
            if asked.count("BEGIN IMMEDIATE") == MANY:
                often.set()

        own.set_trace_callback(note)
        waiting = threading.Thread(target=begin_writing, args=(own, 600))
        waiting.start()
        try:
            assert often.wait(60)
            assert not own.in_transaction
        finally:
            other.execute("ROLLBACK")
            waiting.join()

        assert own.in_transaction
        assert (600_000,) == own.execute("PRAGMA busy_timeout").fetchone()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            begin_writing(other, 0)


def test_only_a_lock_is_waited_for(tmp_path: Path):
    """
    Any other error is raised at once, and SQLite then waits for locks as before.
    """
    with opened(tmp_path / "file.db") as own:
        own.execute("BEGIN")
        with pytest.raises(sqlite3.OperationalError, match="within a transaction"):
            begin_writing(own, 600)

        assert (600_000,) == own.execute("PRAGMA busy_timeout").fetchone()
