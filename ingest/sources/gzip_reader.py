"""Read damaged gzip: everything that can be decompressed is returned, then the stream ends and the error is kept.

The standard library's reader loses what it had decompressed before the error, and a buffering reader loses its buffer
if the stream raises. So nothing is raised here: the caller checks the error after reading to the end.
"""

import io
import zlib
from typing import Any, Final

from ingest.codec.credentials.packed import before_fault

MAGIC: Final = b"\x1f\x8b"
_STEP_BYTES: Final = 4096
_MEMBER: Final = 31  # tells zlib to expect gzip's header and trailer, and to verify the checksum


class Gzipped(io.RawIOBase):
    """The plain bytes of a gzip stream, which stays open."""

    def __init__(self, stream: Any) -> None:
        """Wrap a stream of bytes."""
        self._stream = stream
        self._member = zlib.decompressobj(_MEMBER)
        self._begun = False  # whether the current member has had any bytes
        self._packed = b""
        self._plain = b""
        self.fault: str | None = None
        """Why no more can be decompressed: the stream is truncated, damaged, or followed by something else."""
        self._ended = False

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some plain bytes; none at the end, or if nothing more can be decompressed."""
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
                self.fault = "the gzip is truncated"
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
        rest = rest.lstrip(b"\0")  # padding, which gzip itself allows
        while len(rest) < len(MAGIC) and (more := self._stream.read(_STEP_BYTES)):
            rest = (rest + more).lstrip(b"\0")
        if rest and not rest.startswith(MAGIC):
            self.fault = "it is followed by something that is not gzip"
        self._member, self._begun, self._packed = zlib.decompressobj(_MEMBER), False, rest
