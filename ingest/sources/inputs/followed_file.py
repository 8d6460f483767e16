"""An open followed file: its plain bytes from a position on, whether it is gzipped or not."""

import os
import stat
from typing import Final

from ingest.sources.adapters.raw_records import Plain, plain
from ingest.sources.gzip_reader import MAGIC
from ingest.sources.inputs.followed_place import FilePlace, sample
from lineage.core.model.errors import BadRecordError, RefusedError

_STEP_BYTES: Final = 1024 * 1024


class OpenFile:
    """A regular file, opened by name once and then read by its handle, even after it was moved."""

    def __init__(self, path: str) -> None:
        """Open a file.

        Raises:
            OSError: It cannot be opened.
            RefusedError: It is not a regular file.
        """
        self._handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        seen = os.fstat(self._handle)
        self.file = f"{seen.st_dev}:{seen.st_ino}"
        self._reader: Plain | None = None
        self._at = 0
        if not stat.S_ISREG(seen.st_mode):
            self.close()
            raise RefusedError("it is not a regular file")
        self.packed = os.pread(self._handle, len(MAGIC), 0) == MAGIC

    @property
    def size(self) -> int:
        """Return its current size in bytes."""
        return os.fstat(self._handle).st_size

    @property
    def is_deleted(self) -> bool:
        """Whether it has been unlinked."""
        return os.fstat(self._handle).st_nlink == 0

    @property
    def broken(self) -> BadRecordError | None:
        """Explain why its gzip was truncated; to be called after the last byte."""
        return None if self._reader is None else self._reader.broken

    def stream(self) -> Plain:
        """The plain bytes from the beginning."""
        os.lseek(self._handle, 0, os.SEEK_SET)
        self._reader, self._at = None, 0
        return plain(open(self._handle, "rb", buffering=0, closefd=False))

    def read(self, offset: int, size: int) -> bytes:
        """Read plain bytes from an offset on; fewer at the end."""
        if not self.packed:
            return os.pread(self._handle, size, offset)
        if self._reader is None or self._at > offset:
            self._reader, self._at = self.stream(), 0
        while self._at < offset and (passed := self._reader.read(min(_STEP_BYTES, offset - self._at))):
            self._at += len(passed)
        found = self._reader.read(size) if self._at == offset else b""
        self._at += len(found)
        return found

    def again(self) -> None:
        """Decompress from the beginning on the next read, because the file may have grown."""
        self._reader, self._at = None, 0

    def holds(self, place: FilePlace) -> bool:
        """Whether the bytes before a position are the same as those read earlier."""
        digest, size = place.tail
        if not place.lines:
            return sample(self.read(0, size)) == place.tail
        before = self.read(place.offset - size, size) if place.offset >= size else b""
        return sample(before) == (digest, size)

    def close(self) -> None:
        """Close the handle."""
        self._reader = None
        os.close(self._handle)
