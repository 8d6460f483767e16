"""A followed file that is open: its plain bytes from a place on, whether it is gzipped or not."""

import os
import stat
from typing import Final

from ingest.sources.adapters.raw_records import Plain, plain
from ingest.sources.gzip_reader import MAGIC
from ingest.sources.inputs.followed_place import FilePlace, sample
from lineage.core.model.errors import BadRecordError, RefusedError

_STEP_BYTES: Final = 1024 * 1024


class OpenFile:
    """A regular file. It is read by name once, and by its handle from then on, wherever it is moved to."""

    def __init__(self, path: str) -> None:
        """Open a file.

        Raises:
            OSError: It cannot be opened.
            RefusedError: It is no regular file by now.
        """
        self._handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        seen = os.fstat(self._handle)
        self.file = f"{seen.st_dev}:{seen.st_ino}"
        self._reader: Plain | None = None
        self._at = 0
        if not stat.S_ISREG(seen.st_mode):
            self.close()
            raise RefusedError("it is no regular file")
        self.packed = os.pread(self._handle, len(MAGIC), 0) == MAGIC

    @property
    def size(self) -> int:
        """How many bytes it has now."""
        return os.fstat(self._handle).st_size

    @property
    def is_deleted(self) -> bool:
        """Whether it has no name any more."""
        return os.fstat(self._handle).st_nlink == 0

    @property
    def broken(self) -> BadRecordError | None:
        """Why its gzip ended before its end; asked behind the last byte."""
        return None if self._reader is None else self._reader.broken

    def stream(self) -> Plain:
        """The plain bytes from the beginning."""
        os.lseek(self._handle, 0, os.SEEK_SET)
        self._reader, self._at = None, 0
        return plain(open(self._handle, "rb", buffering=0, closefd=False))

    def read(self, offset: int, size: int) -> bytes:
        """Plain bytes from an offset on: fewer where it ends."""
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
        """Read what is packed from its beginning the next time: it may have grown."""
        self._reader, self._at = None, 0

    def holds(self, place: FilePlace) -> bool:
        """Whether what stands before a place is what was read there."""
        digest, size = place.tail
        if not place.lines:
            return sample(self.read(0, size)) == place.tail
        before = self.read(place.offset - size, size) if place.offset >= size else b""
        return sample(before) == (digest, size)

    def close(self) -> None:
        """Give the handle back."""
        self._reader = None
        os.close(self._handle)
