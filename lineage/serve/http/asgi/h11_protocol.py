"""HTTP/1.1 on the wire, by uvicorn and h11; what is no request is told as every other fault is."""

from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from lineage.deliver.http.problems import problem


class Wire(H11Protocol):
    """A connection."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (the name is the library's)
        """Answer what cannot be read, and close; what the library says of it names nothing."""
        title = "That is no HTTP request"
        detail = "the request line, a header or a length is wrong; whatever is not ASCII in a URL is percent-encoded"
        fault = problem(HTTPStatus.BAD_REQUEST, "malformed", title, detail)
        headers = [*fault.raw_headers, (b"cache-control", b"no-store"), (b"connection", b"close")]
        answer = h11.Response(status_code=fault.status_code, headers=headers, reason=b"Bad Request")
        for event in (answer, h11.Data(data=bytes(fault.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
