"""Telling our SQLite files from everybody else's, and from those that are later put in their place.

The store and the embedded log may share a file, and either may be the first in it.

They ask SQLite and never read the file themselves: to close a file that SQLite has open in the same process drops its
locks (https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

import os
from pathlib import Path
from typing import Final

APPLICATION_ID: Final = 0x64656C67  # "delg", https://www.sqlite.org/pragma.html#pragma_application_id


# What SQLite says, and what it means for whoever uses the file.
_MEANINGS: Final = (
    ("locked", "another process has locked it; try again"),
    ("busy", "another process has locked it; try again"),
    ("readonly", "it is read-only"),
    ("full", "the disk is full"),
    ("not a database", "it is no database; name another file"),
    ("unable to open", "it cannot be opened or made; is there such a folder, and may it be written?"),
)


def meaning_of(said: str) -> str:
    """What a fault of SQLite means, as a half-sentence with the remedy; what is not known is told in its own words."""
    return next((meaning for word, meaning in _MEANINGS if word in said), said)


def fault_of_file(*, pages: int, application_id: int, create: bool) -> str | None:
    """Why a database is none that may be used, as a half-sentence with the remedy; None if it is.

    Args:
        pages: How many pages it has.
        application_id: What it says of itself.
        create: Whether an empty one may be made into ours.
    """
    if pages == 0:
        return None if create else "is empty; make its tables with 'delegraph init'"
    if application_id != APPLICATION_ID:
        return "is a database, but not a delegraph store; name another file"
    return None


class PinnedFile:
    """A file that a process has opened, known by its device and inode. Any thread may ask.

    A backup that is put in place leaves the process with the old file, which has no name any more: what it reads there
    is out of date, and what it appends is lost.
    """

    def __init__(self, path: Path) -> None:
        """Take the path. A file that is not there yet is pinned by the first check that finds it."""
        self._path = path
        self._identity = self._found()

    def fault(self) -> str | None:
        """Why the name no longer leads to the same file, with the remedy; None while it does.

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
            "what is there now"
        )

    def _found(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 (asked for every answer, and a third of Path.stat)
        except OSError:
            return None
        return status.st_dev, status.st_ino
