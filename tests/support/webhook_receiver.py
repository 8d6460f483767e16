"""A webhook, written from Standard Webhooks 1.0 alone: it records the messages, and answers as configured."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """The received messages, and the responses: the next of ``answers``, otherwise 204."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.answers: list[int] = []
        self.accepted: list[dict[str, Any]] = []
        self.ids: list[str] = []  # of all messages, in order
        self.url = ""

    def take(self, headers: Any, body: bytes) -> int:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(self.secret, signed, hashlib.sha256).digest()).decode()
        if headers["webhook-signature"] != f"v1,{expected}":
            return 401
        self.ids.append(headers["webhook-id"])
        answer = self.answers.pop(0) if self.answers else 204
        if answer < 300:
            self.accepted.append(json.loads(body))
        return answer


@contextmanager
def receiving(secret: bytes) -> Iterator[Receiver]:
    """Start a receiver on a separate port."""
    receiver = Receiver(secret)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.take(self.headers, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
