"""An empty store in a temporary file, to project a log into; what a killed process left is removed.

A copy of a store must not outlive the process that made it: retention may have deleted some of what it contains.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from lineage.store.rebuild.diff import twin
from lineage.store.store import Store

_PREFIX: Final = ".delegraph-"
_UNLOCKED: Final = ".new-delegraph-"  # until it is locked, since an unlocked folder is removed


@contextmanager
def temporary_twin(store: Store) -> Iterator[Store]:
    """Create an empty store with the secret of another, in a folder next to its file, for the duration of the block.

    The folder of a store that is not in a file is in the system's folder for temporary files.
    """
    near = Path(tempfile.gettempdir()) if store.file is None else store.file.parent
    _remove_abandoned(near)
    folder = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=near))
    lock = _locked(folder)
    try:
        folder = folder.rename(near / f"{_PREFIX}{folder.name.removeprefix(_UNLOCKED)}")
        with closing(twin(store, folder / "twin.db")) as fresh:
            yield fresh
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_abandoned(near: Path) -> None:
    """Remove the folders that no process has locked; those of other users cannot be opened, and stay."""
    for folder in near.glob(f"{_PREFIX}*"):
        if (lock := _locked(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """Lock a folder until the descriptor that is returned is closed; None if that is not possible."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
