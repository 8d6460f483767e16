"""Blocks in a private file that nobody else sees: for what a process would otherwise keep in memory."""

import logging
import os
import tempfile
import weakref
from array import array
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

_PREFIX: Final = ".delegraph-"


class ScratchFile:
    """Blocks by number, in a temporary file that has no name, so that it ends with the process, even a killed one.

    The file is created with the first block. Only its owner can open it while it has a name. It never becomes
    shorter, but a new block takes the place of a removed one of about the same size.
    """

    def __init__(self, folder: Path | None) -> None:
        """Choose the folder of the file; None for the one that ``TMPDIR`` names, or the system's."""
        self._folder = folder
        self._file: int | None = None
        self._close: Callable[[], object] | None = None
        self._starts = array("Q")  # of each block
        self._sizes = array("Q")
        self._end = 0
        self._removed: defaultdict[int, list[int]] = defaultdict(list)  # blocks by the room that they took
        self._is_full = False

    @property
    def size(self) -> int:
        """The number of bytes in the file."""
        return self._end

    def put(self, block: bytes) -> int | None:
        """Add a block; return its number, or None if it cannot be written now, which is logged once."""
        removed = self._removed[_room(len(block))]
        start = self._starts[removed[-1]] if removed else self._end
        try:
            if self._file is None:
                with tempfile.TemporaryFile(prefix=_PREFIX, dir=self._folder, buffering=0) as file:
                    self._file = os.dup(file.fileno())
                self._close = weakref.finalize(self, os.close, self._file)
            written = 0
            while written < len(block):
                written += os.pwrite(self._file, block[written:], start + written)
        except OSError as fault:
            if not self._is_full:
                folder = self._folder or "the temporary folder, which TMPDIR can name"
                logger.warning("cannot write a temporary file in %s (%s): memory is used instead", folder, fault)
            self._is_full = True
            return None
        if self._is_full:
            logger.info("the temporary file is written again")
            self._is_full = False
        if removed:
            number = removed.pop()
            self._sizes[number] = len(block)
            return number
        self._starts.append(start)
        self._sizes.append(len(block))
        self._end += _room(len(block))
        return len(self._starts) - 1

    def get(self, number: int) -> bytes:
        """Return a block.

        Raises:
            OSError: The file cannot be read.
        """
        if self._file is None:
            raise OSError("the temporary file is closed")
        start, size = self._starts[number], self._sizes[number]
        block = os.pread(self._file, size, start)
        if len(block) != size:
            raise OSError(f"the temporary file ends at byte {start + len(block)}")
        return block

    def remove(self, number: int) -> None:
        """Let a later block take the place and the number of this one, which can be read until then."""
        self._removed[_room(self._sizes[number])].append(number)

    def close(self) -> None:
        """Delete the file."""
        self._file = None
        if self._close is not None:
            self._close()


def _room(size: int) -> int:
    """Return the bytes that a block takes: up to an eighth more than its size, so that others fit in there later."""
    step = 1 << max(size.bit_length() - 4, 0)
    return -(-size // step) * step
