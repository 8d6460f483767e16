"""A disk spool for lines from senders that cannot be asked to wait, until the log has them.

The lines are in segments, which a follower reads and this class removes. A restarted process finds them again.
Written data reaches the operating system at once, and the disk within a second.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_SEGMENT_BYTES: Final = 64 * 1024 * 1024
MOST_BYTES: Final = 1024 * 1024 * 1024
_IDLE_SECONDS: Final = 2.0
_SYNC_SECONDS: Final = 1.0


class LineSpool:
    """The lines of one source. One thread writes, another reports what was read."""

    def __init__(
        self, folder: Path, *, most_bytes: int = MOST_BYTES, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Open the folder; if it is missing, create it, accessible only to its owner.

        Raises:
            OSError: It cannot be created.
        """
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._most, self._monotonic = most_bytes, monotonic
        self._lock = threading.Lock()
        segments = sorted(int(path.stem) for path in folder.glob("*.lines") if path.stem.isdigit())
        self._number = segments[-1] if segments else 0
        self._path: Path | None = None
        self._handle = -1
        self._size = 0
        self._wrote_at = self._synced_at = monotonic()
        self._held = sum(path.stat().st_size for path in folder.glob("*.lines"))

    @property
    def is_full(self) -> bool:
        """Whether the size limit is reached."""
        return self._held >= self._most

    @property
    def has_room(self) -> bool:
        """Whether half of the size limit is free."""
        return self._held < self._most / 2

    def write(self, lines: bytes) -> None:
        """Write complete lines.

        Raises:
            OSError: The disk does not accept them.
        """
        with self._lock:
            if self._path is None or self._size >= _SEGMENT_BYTES:
                self._begin()
            before = self._size
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[os.write(self._handle, rest) :]
            except OSError:
                os.ftruncate(self._handle, before)  # remove a partial line, which will be written again
                raise
            self._size += len(lines)
            self._held += len(lines)
            self._wrote_at = self._monotonic()
            if self._wrote_at - self._synced_at >= _SYNC_SECONDS:
                os.fdatasync(self._handle)
                self._synced_at = self._wrote_at

    def finished(self, path: str, size: int) -> None:
        """Note that ``size`` bytes of a segment are in the log.

        The segment is removed if that is its whole size and no more will be written to it.
        """
        with self._lock:
            segment = Path(path)
            if segment == self._path:
                is_idle = self._monotonic() - self._wrote_at >= _IDLE_SECONDS
                if self._size != size or not (is_idle or self.is_full):
                    return
                self._end()
            if not segment.exists() or segment.stat().st_size != size:  # more was written before it was closed
                return
            segment.unlink()
            self._held = max(0, self._held - size)

    def close(self) -> None:
        """Flush what was written to the disk."""
        with self._lock:
            if self._path is not None:
                os.fdatasync(self._handle)
                self._end()

    def _begin(self) -> None:
        if self._path is not None:
            os.fdatasync(self._handle)
            self._end()
        self._number += 1
        path = self.folder / f"{self._number:012}.lines"
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._path, self._size = path, 0

    def _end(self) -> None:
        os.close(self._handle)
        self._path, self._handle, self._size = None, -1, 0
