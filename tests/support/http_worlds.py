"""The demo incident behind the HTTP API, in this process, and clients of every role."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.applications import Starlette

from ingest.codec import api as codec
from ingest.log.port import Log
from ingest.log.shared import SharedLog
from ingest.opening import open_log, pinned_file
from ingest.projector import project
from ingest.sources.file_import import ingest_files
from ingest.trust_file import Trust, TrustInForce
from lineage.core.model.times import Instant
from lineage.deliver.http.callers import Authentication
from lineage.serve.cache.question_cache import QuestionCache
from lineage.serve.cli.demo import ASKED, INGESTED, incident_path
from lineage.serve.config.http_settings import HttpSettings
from lineage.serve.config.limits import ConnectionLimits, Limits
from lineage.serve.documents.refusal_wording import OVER_HTTP
from lineage.serve.http.asgi.app import create_app
from lineage.serve.http.auth.bearer import Bearers
from lineage.serve.http.auth.jwks import IssuerKeys
from lineage.serve.http.core.app_context import LOOPBACK_HOSTS, AppContext, NonBlockingViews
from lineage.serve.http.core.workers import Pools
from lineage.serve.queries.service import Service
from lineage.serve.server.connections import Connections
from lineage.serve.server.listening import http_server
from lineage.store.store import open_store
from tests.support.asgi import Asking
from tests.support.kafka_worlds import wait_until

ISSUER = "https://idp.example"
AUDIENCE = "https://delegraph.example"
HOST = "us.example"  # the host of the requests of `Asking`
LEAKED = "token:https://idp.example#mailer-1"
SETTINGS = HttpSettings(issuer=ISSUER, audience=AUDIENCE, jwks="unused", algorithms=("ES256", "RS256"))
NAMES = {
    "producer": "service:gateway",
    "investigator": "human:ida@example.com",
    "responder": "human:dana@example.com",
    "receiver": "urn:gateway",
    "nobody": "human:nobody",
}


class Keys:
    """The keys of an issuer, one of each kind, and one that was never published."""

    def __init__(self) -> None:
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.rsa = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        self.other = ec.generate_private_key(ec.SECP256R1())

    def document(self) -> dict[str, Any]:
        es = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.ec.public_key()))
        rs = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa.public_key()))
        return {"keys": [es | {"kid": "ec", "use": "sig"}, rs | {"kid": "rsa", "use": "sig", "alg": "RS256"}]}


KEYS = Keys()


@dataclass
class Clock:
    """A clock that is set by the test."""

    now: Instant = ASKED

    def __call__(self) -> Instant:
        return self.now


@dataclass
class World:
    """An API over the incident."""

    service: Service
    clock: Clock
    site: AppContext
    app: Starlette
    fetched: list[int] = field(default_factory=list)
    connections: Connections = field(kw_only=True)

    def token(self, role: str = "investigator", **claims: Any) -> str:
        """Return a token of the issuer; ``claims`` override, and None leaves out."""
        now = self.clock.now // 1_000_000
        fields = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": NAMES.get(role, role),
            "roles": [role],
            "iat": now,
            "exp": now + 300,
            "sources": ["https://gateway.example", "urn:test:*"],
            **claims,
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        return jwt.encode(fields, KEYS.ec, algorithm="ES256", headers={"kid": "ec"})

    def as_(self, role: str | None, **claims: Any) -> Asking:
        """Return a client of a caller with a role; None for an unauthenticated one."""
        return self.bearing(self.token(role, **claims)) if role else Asking(self.app)

    def bearing(self, token: str) -> Asking:
        return Asking(self.app, {"Authorization": f"Bearer {token}"})

    def get(self, path: str, role: str = "investigator", **fields: Any) -> httpx.Response:
        return self.as_(role).get(path, **fields)

    def post(self, path: str, role: str = "responder", **fields: Any) -> httpx.Response:
        return self.as_(role).post(path, **fields)


@contextmanager
def api_over(
    url: str,
    folder: Path,
    *,
    limits: Limits | None = None,
    connection_limits: ConnectionLimits | None = None,
    trust: TrustInForce | None = None,
    opening: Callable[[Log], Log] = lambda log: log,
    four_eyes: int | None = None,
    empty: bool = False,
    log_inside: bool = False,
    log_url: str | None = None,
    behind_seconds: float = 0,
    public_tlog: bool = True,
) -> Iterator[World]:
    """Build the API over a store; the embedded log is in a separate file, in the store's, or a named one.

    Existing data is not created again. The count of records that are not projected may be ``behind_seconds`` old.
    """
    with ExitStack() as stack:
        log_url = log_url or (url if log_inside else f"sqlite:///{folder / 'log.db'}")
        clock = Clock(INGESTED)
        store = open_store(url, codec.read, create=True)
        stack.callback(store.close)
        file = pinned_file(log_url)
        log = SharedLog(lambda: opening(open_log(log_url, create=True, clock=clock, file=file)))
        stack.callback(log.close)
        if store.log is None and not empty:
            ingest_files([str(incident_path())], log, store, format="jsonl", clock=clock)
            project(log, store, None)
        clock.now = ASKED
        result = trust or Trust()
        worlds = QuestionCache(store, log, result, log_inside=log_inside, behind_seconds=behind_seconds)
        service = Service(store, log, result, clock, source="urn:delegraph:http", worlds=worlds, face=OVER_HTTP)
        limits = limits or Limits()
        pools = Pools(limits)
        stack.callback(pools.close)
        fetched: list[int] = []

        def fetch() -> Any:
            fetched.append(1)
            return KEYS.document()

        bearers = Bearers(SETTINGS, IssuerKeys(fetch), clock)
        site = AppContext(
            service=service,
            authentication=Authentication(bearers.authenticate, bearers.recognise),
            hosts=LOOPBACK_HOSTS | {HOST},
            limits=limits,
            pools=pools,
            four_eyes=four_eyes,
            public_tlog=public_tlog,
        )
        connections = Connections(connection_limits or ConnectionLimits())
        app = create_app(site, connections=connections)
        yield World(service, clock, site, app, fetched, connections=connections)


def problem_type(response: httpx.Response) -> str:
    """Return the last word of the type of a problem document, and check that it is one."""
    assert "application/problem+json" == response.headers["content-type"]
    document = response.json()
    assert document["status"] == response.status_code
    return str(document["type"]).removeprefix("urn:delegraph:problem:")


@contextmanager
def served(
    app: Starlette, connections: Connections | None = None, *, non_blocking: NonBlockingViews | None = None
) -> Iterator[str]:
    """Serve an app with a real server in a thread of this process; yields its URL.

    With ``non_blocking`` cached answers from a store on a server are given without a thread.
    """
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        beginning, ending = (non_blocking.open, non_blocking.close) if non_blocking else (lambda: None, lambda: None)
        server = http_server(
            app,
            connections or Connections(ConnectionLimits()),
            goodbye_seconds=1,
            beginning=beginning,
            ending=ending,
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
