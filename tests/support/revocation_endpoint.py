"""The revocation endpoint of an authorization server, written from RFC 7009 alone, in a separate process.

It records every request before it answers. ``POST /behave`` sets its behaviour:

    {"status": 503, "error": "…", "headers": {...}, "times": 3}   the next responses
    {"hang_seconds": 30}                                           do not answer for this long

``python -m tests.support.revocation_endpoint PORT JOURNAL``; port 0 chooses a free one, which is in the first line
of the journal.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.parse import parse_qs
from urllib.request import Request, urlopen


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, journal: Path) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.journal = journal
        self.turn = threading.Lock()
        self.behaviour: dict[str, Any] = {}

    def note(self, **fields: Any) -> None:
        with self.turn, self.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/behave":
            self.server.behaviour = json.loads(body)
            self.answer(200, b"")
            return
        form = {name: value for name, [value] in parse_qs(body.decode()).items()}
        self.server.note(**form, authorization=self.headers.get("Authorization"), type=self.headers["Content-Type"])
        how = self.server.behaviour
        if how.get("hang_seconds"):
            time.sleep(how["hang_seconds"])
        if how.get("times", 0) > 0:
            how["times"] -= 1
            result = json.dumps({"error": how["error"]}).encode() if "error" in how else b"<html>"
            self.answer(how["status"], result, how.get("headers", {}))
        else:
            self.answer(200, b"")

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Endpoint:
    """A running endpoint, as seen by a test."""

    def __init__(self, journal: Path, process: "Popen[bytes]") -> None:
        self._journal = journal
        self.process = process

    @property
    def lines(self) -> list[dict[str, Any]]:
        if not self._journal.exists():
            return []
        return [json.loads(line) for line in self._journal.read_text().splitlines()]

    @property
    def port(self) -> int:
        return int(self.lines[0]["port"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/revoke"

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if "token" in line]

    @property
    def tokens(self) -> list[str]:
        return [line["token"] for line in self.asked]

    def behave(self, **how: Any) -> None:
        request = Request(f"http://127.0.0.1:{self.port}/behave", json.dumps(how).encode(), method="POST")
        with urlopen(request, timeout=30) as answer:
            answer.read()


@contextmanager
def running(folder: Path, port: int = 0) -> Iterator[Endpoint]:
    """Start an endpoint as a process."""
    journal = folder / "endpoint.jsonl"
    before = journal.read_text() if journal.exists() else ""
    with Popen([sys.executable, "-m", "tests.support.revocation_endpoint", str(port), str(journal)]) as process:
        try:
            until = time.monotonic() + 60
            while not journal.exists() or len(journal.read_text()) == len(before):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.02)
            yield Endpoint(journal, process)
        finally:
            process.kill()


if __name__ == "__main__":
    server = Server(int(sys.argv[1]), Path(sys.argv[2]))
    server.note(port=server.server_address[1])
    server.serve_forever()
