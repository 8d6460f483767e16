"""Strict parsing of HTTP/1.1 request heads: whatever two parsers could read differently is refused.

A proxy and the server behind it must agree on where a request ends and which host it names. Whatever RFC 9112 allows
a server to refuse because parsers disagree about it is refused here, before anything is answered.
"""

import re
from http import HTTPStatus
from typing import Any, Final

import h11

MOST_FIELDS: Final = 100

# RFC 9112 section 3.2: uri-host and port. A reg-name may only contain characters of machine names and addresses, so
# that user information, percent-encoding and control characters are refused.
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*)(?::[0-9]{1,5})?")
_VERSIONS: Final = (b" HTTP/1.1", b" HTTP/1.0")
_LENGTH: Final = b"\r\ncontent-length:"
_CODING: Final = b"\r\ntransfer-encoding:"
_HOST_FIELD: Final = b"\r\nhost:"
_BLANKS: Final = frozenset((b" ", b"\t"))
_LINE_END: Final = b"\r\n"
_HEAD_END: Final = b"\r\n\r\n"


class FramingError(h11.RemoteProtocolError):
    """A request head that is refused.

    Attributes:
        status: The HTTP status of the refusal.
        detail: One sentence for the client; repeats nothing of the request.
    """

    def __init__(self, detail: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        """Keep status and detail as attributes."""
        super().__init__(detail, error_status_hint=status)
        self.status = status
        self.detail = detail


def is_host(value: bytes) -> bool:
    """Whether a value of the header ``Host`` names a machine, with or without a port.

    Examples:
        >>> is_host(b"127.0.0.1:8480"), is_host(b"[::1]"), is_host(b"evil@127.0.0.1")
        (True, True, False)
    """
    return _HOST.fullmatch(value) is not None


def check_head(head: bytes, *, complete: bool = True) -> None:
    """Check a head: the request line and the fields, each with its CR LF.

    Args:
        head: The head, or the part received so far.
        complete: Whether it is complete.

    Raises:
        FramingError: Two parsers could read it differently.
    """
    lines = head.split(_LINE_END)
    # RFC 9112 section 2.2. The last CR of an incomplete head may still get its LF.
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") - lines[-1].endswith(b"\r") != len(lines) - 1:
        raise FramingError("a line of the request ends in a bare LF or CR; end lines in CR LF")
    if not _BLANKS.isdisjoint([line[:1] for line in lines]):  # RFC 9112 section 5.2
        raise FramingError("a header is continued in the next line; write it in one line")
    if len(lines) > MOST_FIELDS + 2:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        raise FramingError(f"a request has at most {MOST_FIELDS} headers", status)
    if complete:
        _check_fields(lines[0], head.lower())


def _check_fields(request_line: bytes, lowered: bytes) -> None:
    version = request_line[-9:]
    if version not in _VERSIONS:
        raise FramingError("only HTTP/1.1 and HTTP/1.0 are spoken here")
    lengths, codings = lowered.count(_LENGTH), lowered.count(_CODING)
    # RFC 9112 section 6.3: no sender may send both, and a gateway could use the one and we the other.
    if lengths + codings > 1:
        raise FramingError("Content-Length and Transfer-Encoding say twice where the request ends; send one of them")
    if lengths and not _value(lowered, _LENGTH).isdigit():
        raise FramingError("Content-Length is not one number")
    if codings and (_value(lowered, _CODING) != b"chunked" or version != _VERSIONS[0]):
        raise FramingError("only Transfer-Encoding: chunked is read, and only in HTTP/1.1")
    if lowered.count(_HOST_FIELD) != 1 or not is_host(_value(lowered, _HOST_FIELD)):
        raise FramingError("the header Host must occur once and name a host, with or without a port")


def _value(lowered: bytes, field: bytes) -> bytes:
    start = lowered.index(field) + len(field)
    return lowered[start : lowered.index(_LINE_END, start)].strip(b" \t")


class StrictConnection(h11.Connection):
    """The server's side of a connection; h11 reads a request once its head has been checked.

    Attributes:
        fault: Why the received data is not a request; None while it is.
    """

    fault: h11.RemoteProtocolError | None = None

    def next_event(self) -> Any:
        """Return the next event of the connection.

        Raises:
            FramingError: The head of the request is ambiguous.
            h11.RemoteProtocolError: It is not a request.
        """
        try:
            return self._next_strict_event()
        except h11.RemoteProtocolError as fault:
            self.fault = fault
            raise

    def _next_strict_event(self) -> Any:
        if self.their_state is h11.IDLE:
            waiting = self.trailing_data[0]
            end = waiting.find(_HEAD_END)
            if end >= 0:
                check_head(waiting[: end + len(_LINE_END)])
            elif waiting:
                check_head(waiting, complete=False)
        event = super().next_event()
        if type(event) is h11.EndOfMessage and event.headers:
            raise FramingError("a body has no trailer section here")
        return event
