"""Telling our SQLite files from everybody else's, before anything is written to them. Pure.

The store and the embedded log may share a file, and either may be the first in it.

They ask SQLite and never read the file themselves: to close a file that SQLite has open in the same process drops its
locks (https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

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
