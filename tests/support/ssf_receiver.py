"""A receiver of Shared Signals, written from SSF 1.0, RFC 8417 and RFC 8935 alone, in a separate process.

It only knows the URL of the transmitter's configuration. It records every push, in order, before it answers.
``POST /behave`` sets its behaviour:

    {"status": 503, "headers": {...}, "body": {...}, "times": 3}   the next responses
    {"wait_seconds": 0.1}                                          delay the response
    {"hold": true}                                                 do not answer until this is over
    {"refuse": "token-7"}                                          400 for events about it, permanently

``python -m tests.support.ssf_receiver PORT JOURNAL CONFIGURATION_URL AUDIENCE AUTHORIZATION``
"""

import json
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt


class RefusalError(Exception):
    """Why an event is not accepted, with an error code of RFC 8935 section 2.4."""


class Receiver(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_port = True  # it starts again at the same address

    def __init__(self, port: int, journal: Path, configuration: str, audience: str, authorization: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.journal = journal
        self.configuration = configuration
        self.audience = audience
        self.authorization = authorization
        self.turn = threading.Lock()
        self.behaviour: dict[str, Any] = {}
        self.known: dict[str, dict[str, Any]] = {}
        self.keys: jwt.PyJWKSet | None = None
        self.issuer = ""

    def note(self, **fields: Any) -> None:
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")

    def verified(self, token: str) -> dict[str, Any]:
        """Return the claims of a valid event (RFC 8417 section 2, SSF 1.0 sections 4.1 and 7.1)."""
        header = jwt.get_unverified_header(token)
        if header.get("typ", "").lower() not in {"secevent+jwt", "application/secevent+jwt"}:
            raise RefusalError("invalid_request")
        if self.keys is None:
            configuration = got(self.configuration)
            self.issuer = configuration["issuer"]
            self.keys = jwt.PyJWKSet.from_dict(got(configuration["jwks_uri"]))
        try:
            key = self.keys[header["kid"]]
        except KeyError:
            self.keys = None
            raise RefusalError("invalid_key") from None
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256", "ES256", "EdDSA"],
                audience=self.audience,
                issuer=self.issuer,
                options={"require": ["iss", "iat", "jti"]},
            )
        except jwt.InvalidTokenError as error:
            raise RefusalError("authentication_failed") from error
        events, subject = claims.get("events"), claims.get("sub_id")
        one = isinstance(events, dict) and len(events) == 1 and isinstance(subject, dict) and "format" in subject
        if not one or "sub" in claims or "exp" in claims:
            raise RefusalError("invalid_request")
        return claims


class Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/behave":
            self.server.behaviour = json.loads(body)
            self.answer(200, {})
        elif self.path == "/elsewhere":
            self.server.note(elsewhere=True)
            self.answer(202)
        else:
            with self.server.turn:
                self.pushed(body.decode())

    def pushed(self, token: str) -> None:
        behaviour = self.server.behaviour
        try:
            if self.headers["Authorization"] != self.server.authorization:
                self.server.note(outcome="stranger")
                return self.answer(401)
            if self.headers["Content-Type"] != "application/secevent+jwt":
                raise RefusalError("invalid_request")  # noqa: TRY301
            claims = self.server.verified(token)
            if behaviour.get("times", 0) > 0:
                behaviour["times"] -= 1
                self.server.note(outcome="put off", jti=claims["jti"])
                return self.answer(behaviour["status"], behaviour.get("body"), behaviour.get("headers", {}))
            if behaviour.get("refuse") and behaviour["refuse"] in json.dumps(claims["sub_id"]):
                raise RefusalError("invalid_request")  # noqa: TRY301
        except RefusalError as refusal:
            self.server.note(outcome="refused", error=str(refusal))
            return self.answer(400, {"err": str(refusal), "description": f"not for me: {refusal}"})
        self.server.note(outcome="accepted", at=time.time(), claims=claims, header=jwt.get_unverified_header(token))
        time.sleep(behaviour.get("wait_seconds", 0))
        while self.server.behaviour.get("hold"):
            time.sleep(0.02)
        return self.answer(202)

    def answer(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        raw = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing; the journal has everything relevant."""


def got(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


if __name__ == "__main__":
    port, journal, *rest = sys.argv[1:]
    Receiver(int(port), Path(journal), *rest).serve_forever()
