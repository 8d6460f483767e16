"""The files of a folder that were not read, each with the reason."""

from enum import StrEnum
from typing import NamedTuple


class Unread(StrEnum):
    """The reasons for which a file is not read."""

    OTHER_FORMAT = "other-format"
    EMPTY = "empty"
    NOT_ALLOWED = "not-allowed"  # the user of this process may not read it
    DAMAGED = "damaged"


class UnreadFile(NamedTuple):
    """A file that was not read: the reason, and a sentence for people."""

    file: str
    cause: Unread
    why: str
