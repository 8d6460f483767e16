"""Worlds of Shared Signals: a store, a transmitter over HTTP, and receivers in separate processes."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from lineage.deliver.http.callers import Caller, Role, UnauthenticatedError
from lineage.deliver.http.signing_keys import load_keys
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.deliver.ssf.routes import jwks_route, routes
from lineage.deliver.ssf.settings import SsfSettings
from lineage.deliver.ssf.transmitter import Transmitter
from lineage.serve.config.wiring import now
from lineage.store.delivery import outbox
from tests.support.feed_desk import Desk, order, token
from tests.support.kafka_worlds import started, wait_until
from tests.support.places import ROOT

Json = dict[str, Any]
POLL = "urn:ietf:rfc:8936"
PUSH = "urn:ietf:rfc:8935"
SESSION_REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
ELEMENT_STATE = "urn:delegraph:secevent:event-type:element-state"
VERIFICATION = "https://schemas.openid.net/secevent/ssf/event-type/verification"
UPDATED = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated"
HEADER = "Bearer of-the-receiver-and-secret"

RSA = rsa.generate_private_key(65_537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def by_name(connection: HTTPConnection) -> Caller:
    """Authenticate ``Bearer NAME`` as the receiver of that name, ``Bearer NAME:ROLE`` as one with another role."""
    scheme, _, result = connection.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not result:
        raise UnauthenticatedError("no credentials")
    name, _, role = result.partition("/")
    return Caller(name=name, roles=frozenset({Role(role or "receiver")}))


class World:
    """A store, its transmitter, and its HTTP endpoint."""

    def __init__(self, desk: Desk, folder: Path, *keys: Any) -> None:
        self.desk = desk
        self.store = desk.store
        self.folder = folder
        self.key_file = folder / "keys.pem"
        self.key_file.write_text("".join(pem(key) for key in keys or (RSA,)))
        self.key_file.chmod(0o600)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.issuer = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.settings = SsfSettings(issuer=self.issuer, loopback=True)
        self.transmitter = self.restarted()
        self.spread = OutboxWriter(self.store, None)

    def restarted(self) -> Transmitter:
        """Return a transmitter as another process would have it."""
        return Transmitter(self.store, None, self.settings, load_keys([self.key_file]), now)

    def rotate(self, *keys: Any) -> None:
        """Sign with other keys, and publish them."""
        self.key_file.write_text("".join(pem(key) for key in keys))
        found, served = load_keys([self.key_file]), self.transmitter.keys
        served.published, served.private = found.published, found.private

    def tell(self, *events: Json) -> None:
        """Project events, and spread what they do."""
        self.desk.add(*events)
        self.spread.round(now)

    def end(self, *tokens: str) -> None:
        """Issue tokens, and revoke them."""
        self.tell(*(token(id_) for id_ in tokens), *(order(f"r-{id_}", f"token:{id_}") for id_ in tokens))

    def rows(self) -> list[tuple[str, int]]:
        """Return what there is to deliver: key and version, in order."""
        found = outbox.rows(self.store, after=0, limit=1_000_000)
        return [(change.key, change.version.number) for _, change, _ in found]

    def client(self, name: str) -> "Client":
        return Client(self.issuer, name)

    def delivering(self) -> "subprocess.Popen[bytes]":
        """Run ``delegraph deliver`` in a separate process."""
        return started(
            *("deliver", "--json", "--store", self.desk.url, "--log", f"sqlite:///{self.folder}/no-log.db"),
            ssf_issuer=self.issuer,
            ssf_loopback="yes",
            signing_key_file=str(self.key_file),
        )


@contextmanager
def serving(world: World, *, poll_seconds: float = 0.5) -> Iterator[World]:
    """Serve a world's transmitter."""
    found = routes(world.transmitter, by_name, poll_seconds=poll_seconds)
    app = Starlette(routes=[*found, jwks_route(world.transmitter.keys)])
    with running(app, world.listening):
        yield world


@contextmanager
def running(app: Starlette, listening: socket.socket) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


class Client:
    """The requests of a receiver to a transmitter, according to the transmitter's configuration document."""

    def __init__(self, issuer: str, name: str) -> None:
        self.configuration: Json = httpx.get(f"{issuer}/.well-known/ssf-configuration").raise_for_status().json()
        self.http = httpx.Client(headers={"Authorization": f"Bearer {name}"}, timeout=60)
        self.stream: Json = {}

    def ask(self, method: str, endpoint: str, body: Json | None = None, **query: str) -> httpx.Response:
        return self.http.request(method, self.configuration[f"{endpoint}_endpoint"], json=body, params=query)

    def create(self, **body: Any) -> Json:
        self.stream = self.ask("POST", "configuration", body).raise_for_status().json()
        return self.stream

    def push_to(self, url: str, **more: Any) -> Json:
        return self.create(delivery={"method": PUSH, "endpoint_url": url, "authorization_header": HEADER}, **more)

    @property
    def id(self) -> str:
        return self.stream["stream_id"]

    def status(self, status: str, **more: Any) -> Json:
        fields = {"stream_id": self.id, "status": status, **more}
        return self.ask("POST", "status", fields).raise_for_status().json()

    def verify(self, state: str) -> None:
        assert self.ask("POST", "verification", {"stream_id": self.id, "state": state}).status_code == 204

    def poll(self, **body: Any) -> tuple[list[Json], bool]:
        """Return the claims, in order, and whether there are more."""
        url = self.stream["delivery"]["endpoint_url"]
        answer = self.http.post(url, json={"returnImmediately": True, **body}).raise_for_status().json()
        return [claims_in(each) for each in answer["sets"].values()], answer["moreAvailable"]

    def close(self) -> None:
        self.http.close()


def claims_in(token_: str) -> Json:
    import jwt

    return jwt.decode(token_, options={"verify_signature": False})


class Receiver:
    """A receiver in a separate process, which may stop and start again."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        # Bound but not listening: no other program gets the port while the receiver is down; connections are refused.
        self.held = socket.socket()
        self.held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.held.bind(("127.0.0.1", 0))
        self.port = self.held.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/events"
        self.journal = world.folder / f"{name}.jsonl"
        self.journal.touch()
        self.run: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        configuration = f"{self.world.issuer}/.well-known/ssf-configuration"
        words = [str(self.port), str(self.journal), configuration, self.name, HEADER]
        self.run = subprocess.Popen([sys.executable, "-m", "tests.support.ssf_receiver", *words], cwd=ROOT)
        wait_until(self.behave)

    def kill(self) -> None:
        if self.run is not None:
            self.run.kill()
            self.run.wait()

    def behave(self, **how: Any) -> bool:
        try:
            return httpx.post(f"http://127.0.0.1:{self.port}/behave", json=how, timeout=30).status_code == 200
        except httpx.HTTPError:
            return False

    def lines(self) -> list[Json]:
        whole = self.journal.read_bytes().rpartition(b"\n")[0]  # the last line may be incomplete
        return [json.loads(line) for line in whole.splitlines()]

    def claims(self) -> list[Json]:
        """Return the claims of accepted events, in order, with repetitions."""
        return [line["claims"] for line in self.lines() if line.get("outcome") == "accepted"]


@contextmanager
def receiving(world: World, name: str) -> Iterator[Receiver]:
    receiver = Receiver(world, name)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.kill()
        receiver.held.close()


def key_in(claims: Json) -> str:
    """Return ``KIND:ID`` of the subject of an event."""
    subject = claims["sub_id"]
    if subject["format"] == "jwt_id":
        return f"token:{subject['iss']}#{subject['jti']}"
    return subject["id"] if subject["id"].startswith("delegation:") else f"token:{subject['id']}"


def versions_in(claims: list[Json]) -> list[tuple[str, int]]:
    """Return key and version of each event about an element, without repetitions, which must equal the first."""
    first: dict[str, Json] = {}
    for each in claims:
        assert first.setdefault(each["jti"], each) == each
    events = [(key_in(each), event) for each in first.values() for event in each["events"].values()]
    return [(key, event["version"]) for key, event in events if "version" in event]
