"""Recognise our SQLite files, notice when one is replaced by another, and take turns at writing them.

The store and the embedded log may share a file, and either may be created first.

They use SQLite and never open the file themselves: closing a file that SQLite has open in the same process drops
SQLite's locks (https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

import os
import sqlite3
import time
from pathlib import Path
from typing import Final

APPLICATION_ID: Final = 0x64656C67  # "delg", https://www.sqlite.org/pragma.html#pragma_application_id
_RETRY_SECONDS: Final = 0.002  # between attempts to get the write lock
_PRIMARY: Final = 0xFF  # the bits of an error code without its details

# Parts of SQLite's messages, and what they mean for the user.
_MEANINGS: Final = (
    ("locked", "another process has locked it; try again"),
    ("busy", "another process has locked it; try again"),
    ("readonly", "it is read-only"),
    ("full", "the disk is full"),
    ("not a database", "it is not a database; name another file"),
    ("unable to open", "it cannot be opened or created; check that the folder exists and is writable"),
)


def meaning_of(message: str) -> str:
    """Explain a message of SQLite in a clause with the remedy; an unknown message is returned unchanged."""
    return next((meaning for part, meaning in _MEANINGS if part in message), message)


def fault_of_file(*, pages: int, application_id: int, create: bool) -> str | None:
    """Return why a database cannot be used, as a clause with the remedy; None if it can.

    Args:
        pages: The number of its pages.
        application_id: Its ``application_id``.
        create: Whether an empty database may be initialised.
    """
    if pages == 0:
        return None if create else "is empty; create its tables with 'delegraph init'"
    if application_id != APPLICATION_ID:
        return "is a database, but not a delegraph store; name another file"
    return None


def begin_writing(connection: sqlite3.Connection, seconds: int) -> None:
    """Begin a transaction with the write lock of a file, as soon as the lock is free.

    After a while SQLite itself asks for the lock only every 100 ms. Beside a process that writes with hardly a pause it
    gets the lock after seconds, or never.

    Args:
        connection: A connection without a transaction, whose ``busy_timeout`` is ``seconds``.
        seconds: How long to wait.

    Raises:
        sqlite3.OperationalError: Another process has had the lock all the time, or the file cannot be written.
    """
    until = time.monotonic() + seconds
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return
    finally:
        connection.execute(f"PRAGMA busy_timeout = {seconds * 1_000}")


class PinnedFile:
    """A file that a process has opened, identified by its device and inode. Thread-safe.

    If a backup is restored over the file, the process still has the old, unlinked file open: its reads are out of date
    and its writes are lost.
    """

    def __init__(self, path: Path) -> None:
        """Pin the file; one that does not exist yet is pinned by the first check that finds it."""
        self._path = path
        self._identity = self._found()

    def fault(self) -> str | None:
        """Return why the path no longer refers to the same file, with the remedy; None while it does.

        Cost:
            One ``stat``.
        """
        found = self._found()
        if self._identity is None:
            self._identity = found
        if found == self._identity:
            return None
        what = "is gone" if found is None else "was replaced by another file"
        return (
            f"{self._path} {what} while this process had it open: put it back, or restart this process to use "
            "the file that is there now"
        )

    def _found(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 (called for every query, at a third of the cost of Path.stat)
        except OSError:
            return None
        return status.st_dev, status.st_ino
