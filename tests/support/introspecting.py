"""An introspection endpoint (RFC 7662) of an enforcement point, with configurable behaviour."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs


@dataclass
class Introspecting:
    """The behaviour of the endpoint: by default it denies everything.

    Attributes:
        url: The URL at which it answers.
        active: The tokens that it accepts.
        status: The status of every response.
        body: The body to return instead; None for that of RFC 7662.
        asked: The requests, with the header ``Authorization``.
    """

    url: str = ""
    active: set[str] = field(default_factory=set)
    status: int = 200
    body: bytes | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def introspecting() -> Iterator[Introspecting]:
    """Start an endpoint on a free port of loopback."""
    point = Introspecting()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            [token] = form["token"]
            point.asked.append((token, self.headers.get("Authorization")))
            body = b'{"active": true}' if token in point.active else b'{"active": false}'
            body = body if point.body is None else point.body
            self.send_response(point.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        point.url = f"http://127.0.0.1:{server.server_address[1]}/introspect"
        yield point
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
