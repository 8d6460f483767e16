"""How a follower of the feed proves which elements it denies: the question, the answer, and a small endpoint.

The question is ``{"nonce", "keys": ["token:ID", …]}``; the answer repeats the nonce and states for each key whether
it must not be honoured: ``{"nonce", "current", "dead": [true, false, null, …]}``. A follower that is not current, or
does not know, answers null: it never answers from outdated knowledge.
"""

import hmac
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final, Protocol

from lineage.core.model.errors import RefusedError

MOST_KEYS: Final = 10_000
_QUESTION_BYTES: Final = 8 * 1024 * 1024
_NONCE_CHARACTERS: Final = 128


class LiveRevocations(Protocol):
    """The part of ``Revocations`` that an answer needs."""

    @property
    def is_current(self) -> bool:
        """Whether its knowledge is recent enough to answer."""
        ...

    def is_dead(self, token: str) -> bool | None:
        """Whether a token must not be honoured; None if unknown."""
        ...

    def status_of(self, kind: str, id_: str) -> Any:
        """The last state of an element; None if there is none."""
        ...


def question_of(nonce: str, keys: Sequence[str]) -> bytes:
    """Write a question."""
    return json.dumps({"nonce": nonce, "keys": list(keys)}).encode()


def answer_of(follower: LiveRevocations, question: bytes) -> bytes:
    """Answer a question from the knowledge of a follower.

    Raises:
        RefusedError: The bytes are not a valid question.
    """
    nonce, keys = _read(question)
    current = follower.is_current
    dead = [_is_dead(follower, key) if current else None for key in keys]
    return json.dumps({"nonce": nonce, "current": current, "dead": dead}).encode()


def _read(question: bytes) -> tuple[str, list[str]]:
    try:
        parsed = json.loads(question)
    except (ValueError, RecursionError) as error:
        raise RefusedError("the question is not JSON") from error
    nonce, keys = (parsed.get("nonce"), parsed.get("keys")) if isinstance(parsed, dict) else (None, None)
    if not isinstance(nonce, str) or len(nonce) > _NONCE_CHARACTERS:
        raise RefusedError(f"'nonce' must be a string of at most {_NONCE_CHARACTERS} characters")
    if not isinstance(keys, list) or len(keys) > MOST_KEYS or not all(isinstance(key, str) for key in keys):
        raise RefusedError(f"'keys' must list at most {MOST_KEYS:,} strings, KIND:ID")
    return nonce, keys


def _is_dead(follower: LiveRevocations, key: str) -> bool | None:
    kind, _, id_ = key.partition(":")
    if kind == "token":
        return follower.is_dead(id_)
    status = follower.status_of(kind, id_)
    return None if status is None else bool(status.ended)


def replies_of(answer: bytes, nonce: str, keys: Sequence[str]) -> list[bool | None]:
    """Read an answer: for each key, whether it is denied; None if the follower does not know.

    Raises:
        ValueError: The bytes are not an answer to this question.
    """
    parsed = json.loads(answer)
    if not isinstance(parsed, dict) or parsed.get("nonce") != nonce:
        raise ValueError("it repeats another nonce")
    dead = parsed.get("dead")
    if not isinstance(dead, list) or len(dead) != len(keys):
        raise ValueError("it does not have one reply for each element")
    if parsed.get("current") is not True:
        return [None] * len(keys)
    return [one if isinstance(one, bool) else None for one in dead]


@contextmanager
def answering(follower: LiveRevocations, secret: str, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve answers on an address of this machine, to callers with a bearer token, within the block; yields the URL.

    Put a proxy with TLS in front of it if the questions come from elsewhere.

    Args:
        follower: A ``Revocations``.
        secret: The bearer token that a caller must present.
        host: The address to listen on.
        port: The port; 0 for any free one.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            header = self.headers.get("Authorization", "")
            if not hmac.compare_digest(header.encode(), f"Bearer {secret}".encode()):
                self._say(HTTPStatus.UNAUTHORIZED, b"")
                return
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit()) or int(length) > _QUESTION_BYTES:
                self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"")
                return
            try:
                self._say(HTTPStatus.OK, answer_of(follower, self.rfile.read(int(length))))
            except RefusedError as fault:
                self._say(HTTPStatus.BAD_REQUEST, str(fault).encode())

        def _say(self, status: HTTPStatus, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if status is HTTPStatus.OK else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Write nothing; the prober that sends the question logs it."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, name="delegraph-answers", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
