"""A few requests of Kafka's protocol over a socket, one at a time and until a deadline: what a probe needs."""

import socket
import struct
import time
from typing import Final

_NUMBER_BYTES: Final = 4  # of a length, and of the number of a request
_LARGEST_ANSWER_BYTES: Final = 16_777_216
_LEAST_SECONDS: Final = 0.05  # a step that begins late may still find what answers at once


class Found(Exception):  # noqa: N818 (no error of ours: what was looked for)
    """The cause, as a sentence that follows the name of the server."""


class ClosedError(Exception):
    """The other side closed the connection."""

    def __str__(self) -> str:
        return "it closes the connection"


class Wire:
    """Requests and answers of Kafka's protocol, one at a time."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def ask(self, request: tuple[int, int], body: bytes = b"") -> "Answer":
        """Send a request and wait for its answer.

        Raises:
            Found: What came is no answer of a Kafka.
            ClosedError: The connection was closed.
            OSError: It failed in another way.
        """
        head = struct.pack(">hhi", *request, 1) + string("delegraph-doctor")
        self._connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        size = self._take(_NUMBER_BYTES)
        (length,) = struct.unpack(">i", size)
        if not _NUMBER_BYTES <= length <= _LARGEST_ANSWER_BYTES:
            raise Found(f"what listens there is no Kafka (it answers {size!r}{self._peek()!r})")
        answer = self._take(length)
        return Answer(answer[_NUMBER_BYTES:])  # behind the number of the request

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
    """The fields of an answer, in order."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def numbers(self, forms: str) -> tuple[int, ...]:
        """Numbers in the letters of ``struct``; ``struct.error`` if there is nothing more."""
        values = struct.unpack_from(f">{forms}", self._raw, self._at)
        self._at += struct.calcsize(f">{forms}")
        return values

    def number(self, form: str) -> int:
        """One number."""
        return self.numbers(form)[0]

    def text(self) -> str:
        """A string; that which is null is empty."""
        return self._bytes(self.number("h")).decode(errors="replace")

    def octets(self) -> bytes:
        """Bytes."""
        return self._bytes(self.number("i"))

    def _bytes(self, count: int) -> bytes:
        begin, self._at = self._at, self._at + max(count, 0)
        return self._raw[begin : self._at]


def string(text: str) -> bytes:
    """A string as requests have it."""
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def left(deadline: float) -> float:
    """The seconds until a deadline, for one step more."""
    return max(deadline - time.monotonic(), _LEAST_SECONDS)
