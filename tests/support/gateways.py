"""An enforcement point on loopback: it revokes (RFC 7009), introspects (RFC 7662), and may be down."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs


class Gateway:
    """One enforcement point.

    Attributes:
        revoked: The handles of the tokens that it no longer accepts.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.revoked: set[str] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def up(self) -> Iterator[None]:
        """Answer requests within the block."""
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                [token] = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["token"]
                body = b""
                if self.path == "/revoke":
                    gateway.revoked.add(token)
                else:
                    body = b'{"active": false}' if token in gateway.revoked else b'{"active": true}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
