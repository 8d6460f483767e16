"""Gzip that breaks: everything that can be unpacked is read, then the stream ends, and the fault is kept beside it.

The standard library's reader loses what it had unpacked before the fault; and whatever buffers a stream loses what it
holds if the stream raises. So nothing is raised here: whoever has read to the end asks for the fault.
"""

import io
import zlib
from typing import Any, Final

from ingest.codec.credentials.packed import before_fault

MAGIC: Final = b"\x1f\x8b"
_STEP_BYTES: Final = 4096
_MEMBER: Final = 31  # zlib's word for: with gzip's header and trailer, whose checksum is verified


class Gzipped(io.RawIOBase):
    """The plain bytes of a gzip stream that belongs to someone else."""

    def __init__(self, stream: Any) -> None:
        """Take a stream of bytes."""
        self._stream = stream
        self._member = zlib.decompressobj(_MEMBER)
        self._begun = False  # whether the member has had any byte
        self._packed = b""
        self._plain = b""
        self.fault: str | None = None
        """Why no more can be unpacked: it ends too early, is damaged, or has something else behind it."""
        self._ended = False

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some plain bytes; none at the end, and where nothing more can be unpacked."""
        while not self._plain and not self._ended and self.fault is None:
            self._unpack()
        size = min(len(buffer), len(self._plain))
        buffer[:size], self._plain = self._plain[:size], self._plain[size:]
        return size

    def _unpack(self) -> None:
        packed = self._packed or self._stream.read(_STEP_BYTES)
        if not packed:
            self._ended = not self._begun
            if self._begun:
                self.fault = "the gzip ends before its end"
            return
        before = self._member.copy()
        try:
            self._plain = self._member.decompress(packed, _STEP_BYTES * 16)
        except zlib.error as error:
            self._plain = before_fault(before, packed)
            self.fault = f"the gzip is damaged: {error}"
            return
        self._begun, self._packed = True, self._member.unconsumed_tail
        if self._member.eof:
            self._next_member(self._member.unused_data)

    def _next_member(self, rest: bytes) -> None:
        rest = rest.lstrip(b"\0")  # padding, as gzip itself allows
        while len(rest) < len(MAGIC) and (more := self._stream.read(_STEP_BYTES)):
            rest = (rest + more).lstrip(b"\0")
        if rest and not rest.startswith(MAGIC):
            self.fault = "something that is no gzip stands behind it"
        self._member, self._begun, self._packed = zlib.decompressobj(_MEMBER), False, rest
