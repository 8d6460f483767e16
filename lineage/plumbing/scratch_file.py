"""Blocks in a private file that nobody else sees: for what a process would otherwise keep in memory."""

import logging
import os
import tempfile
import weakref
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

_PREFIX: Final = ".delegraph-"


class ScratchFile:
    """Blocks by number, in a temporary file that has no name, so that it ends with the process, even a killed one.

    The file is created with the first block. Only its owner can open it while it has a name.
    """

    def __init__(self, folder: Path | None) -> None:
        """Choose the folder of the file; None for the one that ``TMPDIR`` names, or the system's."""
        self._folder = folder
        self._file: int | None = None
        self._close: Callable[[], object] | None = None
        self._ends = array("Q", [0])  # where each block ends, after the start of the first
        self._is_full = False

    @property
    def size(self) -> int:
        """The number of bytes in the file."""
        return self._ends[-1]

    def put(self, block: bytes) -> int | None:
        """Add a block; return its number, or None if it cannot be written now, which is logged once."""
        try:
            if self._file is None:
                with tempfile.TemporaryFile(prefix=_PREFIX, dir=self._folder, buffering=0) as file:
                    self._file = os.dup(file.fileno())
                self._close = weakref.finalize(self, os.close, self._file)
            written = 0
            while written < len(block):
                written += os.pwrite(self._file, block[written:], self._ends[-1] + written)
        except OSError as fault:
            if not self._is_full:
                folder = self._folder or tempfile.gettempdir()
                logger.warning("cannot write a temporary file in %s (%s): memory is used instead", folder, fault)
            self._is_full = True
            return None
        if self._is_full:
            logger.info("the temporary file is written again")
            self._is_full = False
        self._ends.append(self._ends[-1] + len(block))
        return len(self._ends) - 2

    def get(self, number: int) -> bytes:
        """Return a block.

        Raises:
            OSError: The file cannot be read.
        """
        if self._file is None:
            raise OSError("the temporary file is closed")
        start, size = self._ends[number], self._ends[number + 1] - self._ends[number]
        block = os.pread(self._file, size, start)
        if len(block) != size:
            raise OSError(f"the temporary file ends at byte {start + len(block)}")
        return block

    def close(self) -> None:
        """Delete the file."""
        self._file = None
        if self._close is not None:
            self._close()
