"""A minimal client of Kafka's protocol for the connection probe: one request at a time, until a deadline.

The library's own classes encode the requests and decode the responses.
"""

import socket
import struct
import time
from typing import Any, Final

_CLIENT: Final = "delegraph-doctor"
_NUMBER_BYTES: Final = 4  # size of a length
_LARGEST_ANSWER_BYTES: Final = 16_777_216
_LEAST_SECONDS: Final = 0.05  # a step that begins at the deadline still gets an immediate answer


class CauseFound(Exception):  # noqa: N818 (not an error: it ends the probe with its result)
    """The cause was found: a sentence that follows the name of the server."""


class ConnectionClosedError(Exception):
    """The other side closed the connection."""

    def __str__(self) -> str:
        return "it closes the connection"


class KafkaWire:
    """A connection that sends requests of Kafka's protocol and reads their responses."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def ask(self, request: Any, response: Any, version: int) -> Any:
        """Send a request and wait for its response.

        Args:
            request: A request of the library.
            response: The class of its response.
            version: The version of both.

        Raises:
            CauseFound: The response is not one of Kafka's protocol.
            ConnectionClosedError: The connection was closed.
            OSError: The connection failed in another way.
        """
        request.API_VERSION = version
        request.with_header(correlation_id=1, client_id=_CLIENT)
        self._connection.sendall(request.encode(header=True, framed=True))
        size = self._take(_NUMBER_BYTES)
        length = int.from_bytes(size, "big", signed=True)
        if not _NUMBER_BYTES <= length <= _LARGEST_ANSWER_BYTES:
            raise CauseFound(f"the server is not a Kafka broker (it answers {size!r}{self._peek()!r})")
        raw = self._take(length)
        try:
            return response.decode(raw, version=version, header=True)
        except (struct.error, ValueError, IndexError, TypeError, KeyError) as error:
            raise CauseFound("the server is not a Kafka broker (its answer is malformed)") from error

    def _take(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            self._connection.settimeout(left(self._deadline))
            part = self._connection.recv(count - len(received))
            if not part:
                raise ConnectionClosedError
            received += part
        return bytes(received)

    def _peek(self) -> bytes:
        try:
            return self._connection.recv(12)
        except OSError:
            return b""


def left(deadline: float) -> float:
    """The seconds until a deadline, but enough for one more step."""
    return max(deadline - time.monotonic(), _LEAST_SECONDS)
