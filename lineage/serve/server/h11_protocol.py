"""HTTP/1.1 by uvicorn and h11: strict about requests, with time limits on everything a client can delay.

Data that is not a request is answered with a problem document, like every other error.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import h11
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

from lineage.plumbing.problem_documents import MEDIA_TYPE, json_bytes, problem_document
from lineage.serve.server.connections import Connections, peer_of
from lineage.serve.server.request_framing import FramingError, StrictConnection

HEAD_BYTES: Final = 64 * 1024
RETRY_AFTER_SECONDS: Final = 5
_LINGER_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 1.0  # so that the application can refuse a slow body first, with a better message
_SLOWEST_BYTES_A_SECOND: Final = 16 * 1024  # the time a client has to read a complete answer
_CHUNKED: Final = (b"transfer-encoding", b"chunked")
_WORDS: Final = {
    HTTPStatus.BAD_REQUEST: ("malformed", "This is not a valid HTTP request"),
    HTTPStatus.REQUEST_TIMEOUT: ("too-slow", "The request came too slowly"),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: ("too-large", "The request is too large"),
    HTTPStatus.SERVICE_UNAVAILABLE: ("overloaded", "Too much is asked at once"),
}


class StrictH11Protocol(H11Protocol):
    """One connection."""

    conn: StrictConnection

    def __init__(self, *args: Any, connections: Connections, **more: Any) -> None:
        """Pass uvicorn's arguments on, and keep the registry of all connections."""
        super().__init__(*args, **more)
        self.conn = StrictConnection(h11.SERVER, HEAD_BYTES)
        self.peer = ""
        self._connections = connections
        self._since: float | None = None  # the time since which the rest of a request is due
        self._unread_until: float | None = None  # the time since which a complete answer is unread
        self._paused_at: float | None = None  # the time since which too much of an answer is unread to send more
        self._lingering: asyncio.TimerHandle | None = None
        self._is_asked = False  # whether there was a request; before the first there is no cycle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the client, if there is room."""
        super().connection_made(transport)
        self.peer = peer_of(self.client[0] if self.client else "")
        self._since = self.loop.time()
        if not self._connections.admit(self, self.loop):
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are open; try again")
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free its place."""
        self._connections.left(self)
        if self._lingering is not None:
            self._lingering.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process received data."""
        if self._lingering is not None:
            return
        if self._since is None:
            self._since = self.loop.time()
        super().data_received(data)

    def handle_events(self) -> None:
        """Handle the received events."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._is_asked = True
            self._since = self.loop.time()  # from here on the body is due
            if _CHUNKED in self.headers:
                # Parsers disagree about the end of chunked bodies, so what follows one is not read as a request.
                self.headers.append(CLOSE_HEADER)
        match self.conn.their_state:
            case h11.IDLE:
                if self._since is None and self.conn.trailing_data[0]:
                    self._since = self.loop.time()  # the head of the next request arrived with this one
            case h11.SEND_BODY:
                pass
            case _:
                self._since = None

    def pause_writing(self) -> None:
        """Note that the client does not read what it is sent."""
        self._paused_at = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        self._paused_at = None
        super().resume_writing()

    def overdue(self, now: float) -> str | None:
        """Explain why the connection must be closed now; None if it may stay."""
        limits = self._connections.limits
        if self._since is not None and self._lingering is None and not self.transport.is_closing():
            owed = now - self._since
            if self.conn.their_state is h11.IDLE and owed > limits.head_seconds:
                return "head"
            if self.conn.their_state is h11.SEND_BODY and owed > limits.body_seconds + _GRACE_SECONDS:
                return "body"
        if self._paused_at is not None and now - self._paused_at > limits.unread_seconds:
            return "unread"
        unread = self.transport.get_write_buffer_size()
        if not unread or self._is_answering():
            self._unread_until = None
        elif self._unread_until is None:
            self._unread_until = now + limits.unread_seconds + unread / _SLOWEST_BYTES_A_SECOND
        elif now > self._unread_until:
            return "unread"
        return None

    def is_waiting(self) -> bool:
        """Whether it waits for its client, so that no answer is lost if it is closed."""
        return not self._is_answering() and not self.transport.get_write_buffer_size()

    def close_for(self, reason: str) -> None:
        """Close it for a reason."""
        if reason == "head" and self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            seconds = self._connections.limits.head_seconds
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the head of a request is sent within {seconds:g} s")
        else:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (the name is the library's)
        """Answer unreadable data and close; the library's own message may repeat the request."""
        fault = self.conn.fault
        if isinstance(fault, FramingError):
            self._refuse(fault.status, fault.detail)
        elif fault is not None and fault.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a request head has at most {HEAD_BYTES:,} bytes")
        else:
            text = "the request line, a header or a length is wrong; whatever is not ASCII in a URL is percent-encoded"
            self._refuse(HTTPStatus.BAD_REQUEST, text)

    def _is_answering(self) -> bool:
        return self._is_asked and not self.cycle.response_complete

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Send a problem document, if no answer has begun, and close."""
        if self._is_asked:  # a client that still sends its body learns that it is not read
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not self._answer(status, detail):
            self.transport.close()
            return
        # Keep reading and dropping for a moment; otherwise the client's system may discard the answer unread.
        self.transport.write_eof()
        self.flow.resume_reading()
        self._lingering = self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

    def _answer(self, status: HTTPStatus, detail: str) -> bool:
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return False
        body = json_bytes(problem_document(status, *_WORDS[status], detail))
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"connection", b"close"),
        ]
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
        answer = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        return True
