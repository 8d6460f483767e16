"""The HTTP API under load: queries compared with a bare endpoint of the same size, introspection, pages, the live tail.

``python -m benchmarks.http`` measures with 20,000 events, ``--events 1000000`` with a million. Server, bare server and
clients are one process each on loopback; ratios are within the run. Callers use a bearer token that is verified.
``--on-servers`` measures only the queries, with the store on PostgreSQL and the log on Kafka.
"""

import argparse
import asyncio
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jwt
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import BaseRoute

from benchmarks import events
from benchmarks.__main__ import show
from benchmarks.measures import Figure
from compose.native.kafka import Kafka
from compose.native.postgres import Postgres
from ingest.codec import api as codec
from ingest.kafka.log import KafkaLog
from ingest.log.port import entry_of
from ingest.log.shared import SharedLog
from ingest.opening import open_log
from ingest.projector import project
from ingest.trust_file import Trust
from lineage.core.model.events import ActionPerformed, DelegationGranted, Derivation, Event, TokenIssued
from lineage.core.model.times import format_instant
from lineage.deliver.token_status import introspection
from lineage.serve.cache.question_cache import QuestionCache
from lineage.serve.config.http_settings import HttpSettings
from lineage.serve.config.wiring import BEHIND_SECONDS, MOST, now
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.processes.http_process import bound, serve
from lineage.serve.queries.service import Service
from lineage.store.authority_replica import AuthorityReplica
from lineage.store.store import open_store

QUICK = 20_000
SECONDS = 3.0  # duration of each measurement
ASKED = 1_000  # different actions and tokens in the requests
ASKED_ON_SERVERS = 200  # so that all are cached in time on a machine with other load
GOAL = 0.5
GOAL_UNASKED = 0.3  # of what the bare endpoint answers, for things that nobody has asked about
INTROSPECTED = 2_000  # requests per second
PAGE_MS = 300
PAGE_SECONDS = 1.0  # duration of the measurement of each page,
PAGE_LEAST = 20  # with at least this many requests
REVOKED = (10_000, 100_000)  # elements ended by one revocation
ISSUER, AUDIENCE = "https://idp.example", "benchmark"
PAGES_OF_ELEMENTS = ("/status", "/chain", "/reach", "/graph", "/timeline", "/actions", "/uses", "/dossier")
PAGES_OF_NAMES = ("/status", "/reach", "/graph", "/timeline", "/actions", "/dossier")
TOUCHES = 20
PARTITIONS = 4  # of each topic, if the log is on Kafka
_PART = 10_000
_AT_ONCE = 50


# Each of these runs in its own process.


def served(url: str, keys: str, log_url: str = "") -> None:
    """Serve the API of a store; by default its log is in the same file."""
    settings = HttpSettings(listen="127.0.0.1:0", issuer=ISSUER, audience=AUDIENCE, jwks=keys)
    store = open_store(url, codec.read)
    log = SharedLog(lambda: open_log(log_url or url, create=False, clock=now))
    worlds = QuestionCache(store, log, None, log_inside=not log_url, behind_seconds=BEHIND_SECONDS)
    service = Service(store, log, Trust(), now, source="urn:benchmark", worlds=worlds, most=MOST)

    def parts(site: AppContext) -> list[BaseRoute]:
        return [introspection.route(AuthorityReplica(store, None), now, site.authentication)]

    serve(service, settings, say=lambda line: print(line, flush=True), parts=parts)


def bare(file: str) -> None:
    """Serve a FastAPI app whose only endpoint returns the content of a file."""
    app, body = FastAPI(openapi_url=None), Path(file).read_bytes()

    @app.get("/")
    async def same() -> Response:
        return Response(body, media_type="application/json")

    with bound("127.0.0.1:0", loopback_only=True) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def process(name: str, *words: str) -> Iterator[int]:
    """Run one of the functions above in a process; yields its port."""
    command = [sys.executable, "-m", "benchmarks.http", "--process", name, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as started:
        try:
            assert started.stdout is not None
            yield int(started.stdout.readline().rpartition(":")[2])
        finally:
            started.kill()


# The clients: a minimal HTTP implementation, so that the server dominates the measurement.


class Connection:
    """A keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self._reader, self._writer, self._head = reader, writer, head

    async def get(self, path: str) -> bytes:
        """Send a GET request and return the body of the response."""
        return await self._answer(b"GET " + path.encode() + b" HTTP/1.1\r\n" + self._head)

    async def introspect(self, token: str) -> bytes:
        """Introspect a token (RFC 7662) and return the body of the response."""
        body = f"token={token}".encode()
        head = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n".encode()
        return await self._answer(b"POST /introspect HTTP/1.1\r\n" + head + self._head + body)

    async def _answer(self, request: bytes) -> bytes:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return await self._reader.readexactly(int(length))


@asynccontextmanager
async def connected(port: int, token: str) -> AsyncIterator[Connection]:
    """Open a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer, f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    finally:
        writer.close()


async def asked_in_turn(
    port: int, token: str, asked: list[str], *, introspect: bool = False, seconds: float = SECONDS, least: int = 0
) -> list[float]:
    """Measure the latency of requests of one client, one after the other.

    Args:
        port: The port of the server.
        token: The bearer token.
        asked: The paths or tokens to request, at most once each.
        introspect: Whether ``asked`` are tokens to introspect.
        seconds: Stop after this time,
        least: but not before this many requests.

    Returns:
        The latencies in milliseconds.
    """
    took: list[float] = []
    until = time.perf_counter() + seconds
    async with connected(port, token) as connection:
        for one in asked:
            began = time.perf_counter()
            await (connection.introspect(one) if introspect else connection.get(one))
            took.append((time.perf_counter() - began) * 1_000)
            if len(took) >= least and time.perf_counter() > until:
                break
    return took


async def load(port: int, token: str, paths: list[str], clients: int) -> tuple[float, float]:
    """Measure requests per second, and the 99th percentile of the latency in milliseconds."""
    took: list[float] = []
    until = time.perf_counter() + SECONDS

    async def ask(number: int) -> None:
        rng = random.Random(number)
        async with connected(port, token) as connection:
            while time.perf_counter() < until:
                began = time.perf_counter()
                await connection.get(rng.choice(paths))
                took.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(ask(number) for number in range(clients)))
    return len(took) / (time.perf_counter() - began), statistics.quantiles(took, n=100)[98] * 1_000


async def listening(port: int, token: str, listeners: int, send: Any) -> tuple[int, float]:
    """Measure how many listeners of the live tail receive one event, and the seconds until the last one does."""
    received: list[float] = []
    ready = asyncio.Semaphore(0)

    async def listen() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        await reader.readuntil(b"event: hello")
        ready.release()
        await reader.readuntil(b"event: fact")
        received.append(time.perf_counter())
        writer.close()

    tasks = []
    for _ in range(listeners):
        tasks.append(asyncio.create_task(listen()))
        if len(tasks) % _AT_ONCE == 0:  # wait for each batch, so as not to overflow the accept queue
            for _ in range(_AT_ONCE):
                await asyncio.wait_for(ready.acquire(), 60)
    began = time.perf_counter()
    await asyncio.to_thread(send)
    await asyncio.wait(tasks, timeout=60)
    return len(received), max(received) - began


class Things(NamedTuple):
    """A sample of the contents of a store."""

    actions: list[str]
    tokens: list[str]
    principals: list[str]
    sessions: int


# Measurements


def measure(count: int, listeners: int) -> Iterator[Figure]:
    """Run all measurements, on a store with ``count`` events."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="delegraph-http-")))
        url = f"sqlite:///{folder}/store.db"
        things = filled(url, count)
        keys, token = signed_in(folder)
        port = stack.enter_context(process("served", url, str(keys)))
        time.sleep(4 + count / 50_000)  # let the caches warm up
        yield from queries(port, token, things, folder)
        yield from introspected(port, token, things.tokens)
        yield from pages(port, token, things)
        yield from tail(url, port, token, listeners)
        root = f"sqlite:///{folder}/root.db"
        fill(root, events.a_busy_root(count))
        port = stack.enter_context(process("served", root, str(keys)))
        yield from pages_of_a_busy_root(port, token)
        for elements in REVOKED:
            revoked = f"sqlite:///{folder}/revoked-{elements}.db"
            fill(revoked, events.a_revocation(elements, now()))
            port = stack.enter_context(process("served", revoked, str(keys)))
            time.sleep(4 + elements / 10_000)  # let the caches warm up
            yield from pages_of_a_revocation(port, token, elements)
            yield from pages_that_were_touched(revoked, port, token, elements)


def measure_on_servers(count: int) -> Iterator[Figure]:
    """Measure the queries with ``count`` events in PostgreSQL, and the log on Kafka."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="delegraph-http-")))
        broker = stack.enter_context(Kafka(folder / "kafka"))
        url = stack.enter_context(Postgres(folder / "postgres")).url()
        log_url = f"kafka://{broker.servers}/bench"
        topics = KafkaLog(log_url)
        topics.create(partitions=PARTITIONS, replication=1)
        topics.close()
        every = filled(url, count, log_url)
        things = every._replace(actions=every.actions[:ASKED_ON_SERVERS], tokens=every.tokens[:ASKED_ON_SERVERS])
        keys, token = signed_in(folder)
        port = stack.enter_context(process("served", url, str(keys), log_url))
        time.sleep(4 + count / 50_000)  # let the caches warm up
        yield from queries(port, token, things, folder)


def signed_in(folder: Path, seconds: int = 3_600) -> tuple[Path, str]:
    """Create a signing key: the file with its public half, and a bearer token that it signed, valid for some time."""
    key = ec.generate_private_key(ec.SECP256R1())
    keys = folder / "keys.json"
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    keys.write_text(json.dumps({"keys": [public | {"kid": "1"}]}), encoding="utf-8")
    return keys, token_of(key, seconds)


def queries(port: int, token: str, things: Things, folder: Path) -> Iterator[Figure]:
    """Measure the queries that enforcement points repeat, first about things that nobody has asked about."""
    paths = {
        "who": [f"/v1/who?action={quote(action, safe='')}" for action in things.actions],
        "status": [f"/v1/status?of={quote(f'token:{token}', safe='')}" for token in things.tokens],
    }
    for name, asked in paths.items():
        yield from against_bare(name, port, token, asked, folder)


def against_bare(name: str, port: int, token: str, asked: list[str], folder: Path) -> Iterator[Figure]:
    """Measure one kind of query with 1 and 32 clients, compared with the bare endpoint."""
    body = folder / "body.json"

    async def one() -> bytes:
        async with connected(port, token) as connection:
            return await connection.get(asked[0])

    body.write_bytes(asyncio.run(one()))
    with process("bare", str(body)) as bare_port:
        took = asyncio.run(asked_in_turn(port, token, asked[1:], seconds=60))  # warms the caches
        bare_rate, _ = asyncio.run(load(bare_port, token, ["/"], 1))
        rate = 1_000 / statistics.mean(took)
        ratio = rate / bare_rate
        yield Figure(
            name=f"{name}, each asked for the first time",
            value=rate,
            unit="req/s",
            ratio=ratio,
            against=f"bare FastAPI: {bare_rate:,.0f}/s",
            goal=f">= {GOAL_UNASKED}",
            met=ratio >= GOAL_UNASKED,
        )
        for clients in (1, 32):
            bare_rate, bare_p99 = asyncio.run(load(bare_port, token, ["/"], clients))
            rate, p99 = asyncio.run(load(port, token, asked, clients))
            what = f"{name}, {clients} client{'s' if clients > 1 else ''}"
            ratio = rate / bare_rate
            against = f"bare FastAPI: {bare_rate:,.0f}/s, p99 {bare_p99:.1f} ms"
            yield Figure(
                name=what, value=rate, unit="req/s", ratio=ratio, against=against, goal=f">= {GOAL}", met=ratio >= GOAL
            )
            yield Figure(name=f"{what}, p99", value=p99, unit="ms")


def introspected(port: int, token: str, tokens: list[str]) -> Iterator[Figure]:
    """Measure introspection by one client; the first request, for which the store is loaded, is not counted."""
    secret = "0" * 32  # introspection does not verify signatures
    asked = [jwt.encode(dict(zip(("iss", "jti"), one.split("#"), strict=True)), secret) for one in tokens]
    asyncio.run(asked_in_turn(port, token, asked[:1], introspect=True))
    took = asyncio.run(asked_in_turn(port, token, asked * 100, introspect=True))
    rate = 1_000 / statistics.mean(took)
    yield Figure(
        name="introspection, 1 client", value=rate, unit="req/s", goal=f">= {INTROSPECTED:,}", met=rate >= INTROSPECTED
    )


def pages(port: int, token: str, things: Things) -> Iterator[Figure]:
    """Measure each page of each kind of thing, for one client."""
    numbers = random.Random(2).sample(range(1, things.sessions + 1), min(ASKED, things.sessions))

    def named(prefix: str) -> list[str]:
        return [f"principal:{one}" for one in things.principals if one.startswith(prefix)][:ASKED]

    of = {
        "token": [f"token:{one}" for one in things.tokens],
        "delegation": [f"delegation:https://idp.example#grant-{number}" for number in numbers],
        "session": [f"session:https://idp.example#session-{number}" for number in numbers],
        "human": named("human:"),
        "planner": named("agent:planner-"),
        "worker": named("agent:worker-"),
        "shared client": ["client:https://idp.example#agents"] * ASKED,
    }
    middle = quote(format_instant(events.START + events.HOUR // 2), safe="")
    past, known = f"&at={middle}", f"&known_at={quote(format_instant(now()), safe='')}"

    def addresses_of(path: str, kind: str, more: str = "") -> list[str]:
        return [f"{path}?of={quote(one, safe='')}{more}" for one in of[kind]]

    who = [f"/who?action={quote(action, safe='')}" for action in things.actions]
    yield from page("/who", port, token, who)
    yield from page("/who, at a past time, as known at a past time", port, token, [one + past + known for one in who])
    yield from page("/ (start)", port, token, ["/"] * ASKED)
    for kind in of:
        for path in PAGES_OF_ELEMENTS if kind in ("token", "delegation") else PAGES_OF_NAMES:
            yield from page(f"{path} of a {kind}", port, token, addresses_of(path, kind))
        for path in ("/reach", "/status", "/timeline"):
            if (kind, path) != ("shared client", "/reach"):  # too many living tokens for a page
                name = f"{path} of a {kind}, when most elements were alive"
                more = known if path == "/timeline" else past + known
                yield from page(name, port, token, addresses_of(path, kind, more))
    # Not /findings: without an index it is refused for so many events, and `benchmarks.findings` measures it with one.
    for path in ("/search?q=user{}", "/search?q=no-such-{}", "/conflicts", "/quarantine", "/health"):
        yield from page(path.format("N"), port, token, [path.format(number) for number in range(ASKED)])
    yield from page("/revocations", port, token, ["/revocations"] * ASKED)


def pages_of_a_busy_root(port: int, token: str) -> Iterator[Figure]:
    """Measure the pages of a token and of an agent that all events in a store mention."""
    for kind, of, paths in (
        ("token", "token:busy", PAGES_OF_ELEMENTS),
        ("agent", "principal:agent:busy", PAGES_OF_NAMES),
    ):
        for path in paths:
            if path != "/reach":  # it lists every action
                asked = [f"{path}?of={quote(of, safe='')}"] * ASKED
                yield from page(f"{path} of a {kind} that did everything", port, token, asked)


def pages_of_a_revocation(port: int, token: str, elements: int) -> Iterator[Figure]:
    """Measure the pages of a revocation that ends ``elements`` elements."""
    for path in ("/revocations", "/revocations/revoked", "/revocations/revoked/receipt", "/"):
        yield from page(f"{path}, of {elements:,} elements", port, token, [path] * ASKED)


def pages_that_were_touched(url: str, port: int, token: str, elements: int) -> Iterator[Figure]:
    """Measure the page of a revocation, each time after adding a late child of an ended token and an action with it."""
    took: list[float] = []
    for number in range(TOUCHES):
        child = f"late-{number}"
        issued = TokenIssued(token=child, subject="agent:late", derived_from=(Derivation("root/1", "subject"),))
        used = ActionPerformed(action=f"late-{number}", operation="op", outcome="succeeded", token=child)
        put(url, [events.numbered(body, (1 << 47) + 2 * number + of, now()) for of, body in enumerate((issued, used))])
        took += asyncio.run(asked_in_turn(port, token, ["/revocations/revoked"]))
    name = f"/revocations/revoked, of {elements:,} elements, after two events that touch it"
    p95 = _of_95(took)
    yield Figure(name=name, value=p95, unit="ms", goal=f"<= {PAGE_MS} ms", met=p95 <= PAGE_MS)


def page(name: str, port: int, token: str, asked: list[str]) -> Iterator[Figure]:
    """Return the 95th percentile of a page. The first request is separate, since it fills the caches."""
    (first,) = asyncio.run(asked_in_turn(port, token, asked[:1]))
    took = asyncio.run(asked_in_turn(port, token, asked[1:], seconds=PAGE_SECONDS, least=PAGE_LEAST))
    p95 = _of_95(took)
    against = f"the first: {first:,.0f} ms"
    goal = f"<= {PAGE_MS} ms"
    yield Figure(name=name, value=p95, unit="ms", against=against, goal=goal, met=max(p95, first) <= PAGE_MS)


def _of_95(took: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(took, n=20, method="inclusive")[18] if len(took) > 1 else took[0]


def tail(url: str, port: int, token: str, listeners: int) -> Iterator[Figure]:
    """Measure the latency of the live tail with ``listeners`` listeners."""

    def send() -> None:
        put(url, [events.numbered(TokenIssued(token="told", subject="human:told"), 1 << 43, events.START)])

    received, seconds = asyncio.run(listening(port, token, listeners, send))
    yield Figure(
        name=f"of {listeners:,} listeners that received it",
        value=received,
        unit="",
        goal="all",
        met=received == listeners,
    )
    yield Figure(name="until the last of them received it", value=seconds, unit="s")


def filled(url: str, count: int, log_url: str = "") -> Things:
    """Create a store with ``count`` events, and return a sample of its contents."""
    actions: list[str] = []
    tokens: list[str] = []
    principals: dict[str, None] = {}
    sessions: dict[str, None] = {}

    def events_of_the_log() -> Iterator[Event]:
        for event in events.a_day(count):
            yield event
            match event.body:
                case ActionPerformed():
                    actions.append(event.body.action)
                case TokenIssued():
                    tokens.append(event.body.token)
                    principals.setdefault(event.body.actor or event.body.subject)
                    sessions.setdefault(event.body.session or "")
                case DelegationGranted():
                    principals.setdefault(event.body.delegatee)

    fill(url, events_of_the_log(), log_url)
    rng = random.Random(1)
    some = rng.sample(actions, min(ASKED, len(actions))), rng.sample(tokens, min(ASKED, len(tokens)))
    return Things(*some, rng.sample([*principals], len(principals)), len(sessions))


def put(url: str, events: list[Event]) -> None:
    """Add events to a store."""
    store, log = open_store(url, codec.read), open_log(url, create=False, clock=now)
    log.append([entry_of(event) for event in events])
    project(log, store, None)
    log.close()
    store.close()


def fill(url: str, events: Iterator[Event], log_url: str = "") -> None:
    """Create a store with some events; by default their log is in the same file."""
    store, log = open_store(url, codec.read, create=True), open_log(log_url or url, create=True, clock=now)
    while part := [entry_of(event) for event in islice(events, _PART)]:
        log.append(part)
    project(log, store, None)
    log.close()
    store.close()


def token_of(key: ec.EllipticCurvePrivateKey, seconds: int = 3_600) -> str:
    """Create a bearer token that is valid for some time."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    at = now() // 1_000_000
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "human:benchmark", "roles": ["investigator", "receiver"]}
    return jwt.encode(claims | {"iat": at, "exp": at + seconds}, pem, algorithm="ES256", headers={"kid": "1"})


def main() -> None:
    """Run the measurements, and print each figure as it is ready."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("--events", type=int, default=QUICK, help=f"events in the store; default {QUICK:,}")
    parser.add_argument("--listeners", type=int, default=1_000, help="listeners of the live tail")
    parser.add_argument("--on-servers", action="store_true", help="only queries, on PostgreSQL and Kafka")
    parser.add_argument("--process", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.process:
        {"served": served, "bare": bare}[options.process[0]](*options.process[1:])
        return
    print(f"{platform.machine()}, Python {platform.python_version()}, {options.events:,} events; one process serves")
    print(f"{'what':<44}{'value':>14} {'unit':<9}{'ratio':>7}  {'against, goal'}")
    figures = measure_on_servers(options.events) if options.on_servers else measure(options.events, options.listeners)
    for figure in figures:
        show(figure)


if __name__ == "__main__":
    main()
