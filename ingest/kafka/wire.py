"""A minimal client of Kafka's protocol for the connection probe: one request at a time, until a deadline."""

import socket
import struct
import time
from typing import Final

_NUMBER_BYTES: Final = 4  # size of a length, and of a correlation id
_LARGEST_ANSWER_BYTES: Final = 16_777_216
_LEAST_SECONDS: Final = 0.05  # a step that begins at the deadline still gets an immediate answer


class Found(Exception):  # noqa: N818 (not an error: it ends the probe with its result)
    """The cause was found: a sentence that follows the name of the server."""


class ClosedError(Exception):
    """The other side closed the connection."""

    def __str__(self) -> str:
        return "it closes the connection"


class Wire:
    """A connection that sends requests of Kafka's protocol and reads their responses."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def ask(self, request: tuple[int, int], body: bytes = b"") -> "Answer":
        """Send a request and wait for its response.

        Args:
            request: API key and version.
            body: The encoded request, without its header.

        Raises:
            Found: The response is not one of Kafka's protocol.
            ClosedError: The connection was closed.
            OSError: The connection failed in another way.
        """
        head = struct.pack(">hhi", *request, 1) + string("delegraph-doctor")
        self._connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        size = self._take(_NUMBER_BYTES)
        (length,) = struct.unpack(">i", size)
        if not _NUMBER_BYTES <= length <= _LARGEST_ANSWER_BYTES:
            raise Found(f"the server is not a Kafka broker (it answers {size!r}{self._peek()!r})")
        answer = self._take(length)
        return Answer(answer[_NUMBER_BYTES:])  # after the correlation id

    def _take(self, count: int) -> bytes:
        taken = bytearray()
        while len(taken) < count:
            self._connection.settimeout(left(self._deadline))
            part = self._connection.recv(count - len(taken))
            if not part:
                raise ClosedError
            taken += part
        return bytes(taken)

    def _peek(self) -> bytes:
        try:
            return self._connection.recv(12)
        except OSError:
            return b""


class Answer:
    """A response, whose fields are read in order."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def numbers(self, forms: str) -> tuple[int, ...]:
        """Read numbers, given by ``struct`` format characters.

        Raises:
            struct.error: The response ends before.
        """
        values = struct.unpack_from(f">{forms}", self._raw, self._at)
        self._at += struct.calcsize(f">{forms}")
        return values

    def number(self, form: str) -> int:
        """Read one number, given by its ``struct`` format character."""
        return self.numbers(form)[0]

    def text(self) -> str:
        """Read a string; null becomes the empty string."""
        return self._bytes(self.number("h")).decode(errors="replace")

    def octets(self) -> bytes:
        """Read bytes; null becomes empty."""
        return self._bytes(self.number("i"))

    def _bytes(self, count: int) -> bytes:
        begin, self._at = self._at, self._at + max(count, 0)
        return self._raw[begin : self._at]


def string(text: str) -> bytes:
    """Encode a string for a request."""
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def left(deadline: float) -> float:
    """The seconds until a deadline, but enough for one more step."""
    return max(deadline - time.monotonic(), _LEAST_SECONDS)
