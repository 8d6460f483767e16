"""Secrets in settings, given directly or in a file that only its owner should be able to read. Never shown."""

import stat
from pathlib import Path
from typing import Final

from lineage.core.model.errors import RefusedError

_LARGEST_BYTES: Final = 65_536  # longer than any password or token


class Secret(str):
    """A string whose repr hides its value, for example in the repr of settings or in a library's debug log."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'...'"


def read_secret(path: Path, what: str) -> Secret:
    """Read the secret in a file, without its trailing newline.

    Args:
        path: The file.
        what: The setting that names it, for the message.

    Raises:
        RefusedError: The file cannot be read, is empty, is too long, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_BYTES + 1)
        text = raw.decode().rstrip("\r\n")
    except OSError as error:
        raise RefusedError(f"{what}: the file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RefusedError(f"{what}: the file {path} is not UTF-8 text") from error
    if not text or len(raw) > _LARGEST_BYTES:
        raise RefusedError(f"{what}: the file {path} is {'too long for a secret' if text else 'empty'}")
    return Secret(text)


def is_open_to_others(path: Path) -> bool:
    """Whether every user of this machine can read a file. Group access is allowed; a missing file is not open."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
