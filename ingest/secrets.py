"""A secret of a setting: given as it is, or in a file that only its owner can read. It is never shown."""

import stat
from pathlib import Path
from typing import Final

from lineage.core.model.errors import RefusedError

_LARGEST_BYTES: Final = 65_536  # no password and no token is as long


class Secret(str):
    """A text that hides itself wherever it is shown as a value: in the repr of settings, in a library's debug log."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'...'"


def read_secret(path: Path, what: str) -> Secret:
    """The secret in a file, without the end of its last line.

    Raises:
        RefusedError: The file cannot be read, is empty, or is no text.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_BYTES + 1)
        said = raw.decode().rstrip("\r\n")
    except OSError as error:
        raise RefusedError(f"{what}: the file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RefusedError(f"{what}: the file {path} is no UTF-8 text") from error
    if not said or len(raw) > _LARGEST_BYTES:
        raise RefusedError(f"{what}: the file {path} is {'too long for a secret' if said else 'empty'}")
    return Secret(said)


def is_open_to_others(path: Path) -> bool:
    """Whether anybody on this machine may read a file; a group may. A file that is gone is open to nobody."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
