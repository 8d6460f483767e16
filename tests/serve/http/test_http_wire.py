"""Framing, timeouts and connection limits of every server that we start.

The table of requests covers request smuggling as a class: everything that proxies and servers are known to read
differently. Each request is sent to the HTTP API and to the port of metrics and health, followed by a second request,
which must not be answered.
"""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from lineage.serve.config.limits import ConnectionLimits
from lineage.serve.processes.health_server import Health, Serving
from lineage.serve.server.connections import Connections, peer_of
from lineage.serve.server.request_framing import StrictConnection
from tests.support.http_worlds import api_over, served
from tests.support.kafka_worlds import wait_until

Port = int
KINDS = ("api", "health")


@contextmanager
def server(kind: str, folder: Path, limits: ConnectionLimits | None = None) -> Iterator[Port]:
    """Return a server: that of `serve`, or that of `consume` and `deliver`."""
    with ExitStack() as stack:
        if kind == "health":
            yield stack.enter_context(Serving("127.0.0.1:0", lambda: b"", Health(), {}, limits=limits)).port
        else:
            world = stack.enter_context(api_over(f"sqlite:///{folder}/store.db", folder, connection_limits=limits))
            url = stack.enter_context(served(world.app, world.connections))
            yield urlsplit(url).port or 0


@pytest.fixture(scope="module", params=KINDS)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with server(request.param, tmp_path_factory.mktemp("wire")) as found:
        yield found


def connect(port: Port) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def until_closed(wire: socket.socket) -> bytes:
    """Return all bytes until the server closes."""
    answer = b""
    with suppress(ConnectionResetError):
        while part := wire.recv(65_536):
            answer += part
    return answer


def answer_to(port: Port, raw: bytes) -> bytes:
    with connect(port) as wire:
        wire.sendall(raw)
        return until_closed(wire)


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
POST = b"POST /healthz HTTP/1.1\r\nHost: localhost\r\n"

# Description of the first request -> its head and body. `LAST` follows each.
SMUGGLED = {
    "CL.TE": POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    "TE.CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "CL.0": POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths that differ": POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "two lengths that are equal": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": POST + b"Content-Length: 0, 0\r\n\r\n",
    "a length with a sign": POST + b"Content-Length: +0\r\n\r\n",
    "a length below zero": POST + b"Content-Length: -1\r\n\r\n",
    "a hexadecimal length": POST + b"Content-Length: 0x0\r\n\r\n",
    "a length with an underscore": POST + b"Content-Length: 1_0\r\n\r\n0123456789",
    "a length in other digits": POST + b"Content-Length: \xb2\r\n\r\n",
    "an empty length": POST + b"Content-Length:\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a list of codings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "another coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "a coding in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a coding behind a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a coding behind a NUL": POST + b"Transfer-Encoding: \x00chunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a blank before the name": POST + b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding in HTTP/1.0": POST.replace(b"/1.1", b"/1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding in a folded line": POST + b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded value": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a folded value with a tab": POST + b"Content-Length:\r\n\t0\r\n\r\n",
    "bare LF behind the request line": b"POST /healthz HTTP/1.1\nHost: localhost\r\n\r\n",
    "bare LF behind a header": b"POST /healthz HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "bare LF at the end of the head": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\n\n",
    "bare LF everywhere": b"POST /healthz HTTP/1.1\nHost: localhost\n\n",
    "bare CR in a header": POST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare CR at the end of a header": POST + b"X: y\r\r\n\r\n",
    "an empty line before": b"\r\nPOST /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no host": b"POST /healthz HTTP/1.1\r\n\r\n",
    "no host in HTTP/1.0": b"GET /healthz HTTP/1.0\r\n\r\n",
    "two hosts": POST + b"Host: localhost\r\n\r\n",
    "a user in the host": b"GET /healthz HTTP/1.1\r\nHost: evil@127.0.0.1\r\n\r\n",
    "a path in the host": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1/evil\r\n\r\n",
    "a blank in the host": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1 evil\r\n\r\n",
    "two names in the host": b"GET /healthz HTTP/1.1\r\nHost: localhost,evil\r\n\r\n",
    "a fragment in the host": b"GET /healthz HTTP/1.1\r\nHost: localhost#evil\r\n\r\n",
    "no port in the host": b"GET /healthz HTTP/1.1\r\nHost: localhost:x\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2.0": b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "two blanks in the request line": b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a tab in the request line": b"GET\t/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a NUL in a header": POST + b"X: a\0b\r\n\r\n",
    "no colon": POST + b"X\r\n\r\n",
    "no name": POST + b": y\r\n\r\n",
}
# Requests with a valid head and an invalid body: they may be answered, but not what follows them.
INVALID_BODIES = {
    "a chunked body": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "a trailer section": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
    "bare LF behind the last chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\n",
    "bare LF in the trailer": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\n",
    "bare LF behind a size": POST + b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
    "bare LF in an extension": POST + b"Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
    "bare CR in an extension": POST + b"Transfer-Encoding: chunked\r\n\r\n1;a\rb\r\na\r\n0\r\n\r\n",
    "a size with a sign": POST + b"Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
    "a size with a prefix": POST + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "a size with an underscore": POST + b"Transfer-Encoding: chunked\r\n\r\n0_1\r\na\r\n0\r\n\r\n",
    "a huge size": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n",
    "no line end behind a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\naX\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("raw", SMUGGLED.values(), ids=SMUGGLED)
def test_an_ambiguous_request_is_refused_and_closes(port: Port, raw: bytes):
    """
    There is one answer, 400, and the connection is closed: what follows is not read as a request.
    """
    assert [400] == statuses(answer_to(port, raw + LAST))


@pytest.mark.parametrize("raw", INVALID_BODIES.values(), ids=INVALID_BODIES)
def test_what_follows_an_invalid_chunked_body_is_not_read_as_a_request(port: Port, raw: bytes):
    """
    Parsers disagree about where such a body ends: there is one answer, and the connection is closed.
    """
    [status] = statuses(answer_to(port, raw + LAST))

    assert status in {400, 405}


@pytest.mark.parametrize(
    "raw",
    [
        HEALTHZ + LAST,
        b"GET /healthz HTTP/1.1\r\nhOST:localhost\r\n\r\n" + LAST,
        b"GET /healthz HTTP/1.1\r\nHost: \t localhost:80 \r\n\r\n" + LAST,
        b"GET /healthz HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 0\r\n\r\n" + LAST,
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\nx" + LAST,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: \xe4\r\nX:\r\n\r\n" + LAST,
    ],
)
def test_an_unambiguous_request_is_answered(port: Port, raw: bytes):
    """
    The rules do not refuse what clients usually send.
    """
    assert [200, 200] == statuses(answer_to(port, raw))


@given(
    st.lists(
        st.sampled_from(
            [
                *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"0", b"5", b"a"),
                *(b"GET / HTTP/1.1", b"Host: a", b"Content-Length: ", b"Transfer-Encoding: ", b"chunked", b"X: y"),
            ]
        ),
        max_size=24,
    )
)
def test_a_head_that_is_read_has_one_reading(parts: list[bytes]):
    """
    An accepted head has complete lines that end in CR LF, one Host, and at most one length.
    """
    raw = b"".join(parts) + b"\r\n\r\n"
    connection = StrictConnection(h11.SERVER)
    connection.receive_data(raw)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return
    if event is h11.NEED_DATA:
        return

    head = raw.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
    assert {b"\r", b"\n"}.isdisjoint(bytes([byte]) for byte in head.replace(b"\r\n", b""))
    assert all(name for name in names)
    assert [name.strip() for name in names] == names
    assert 1 == names.count(b"host")
    assert 1 >= names.count(b"content-length") + names.count(b"transfer-encoding")


# Time


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sent", [b"", b"G", HEALTHZ[:-2], HEALTHZ + b"GET /healthz HTTP/1.1\r\n"])
def test_an_incomplete_head_times_out(tmp_path: Path, kind: str, sent: bytes):
    """
    An incomplete head, of the first or a later request of a connection, is answered with 408; a connection without
    any bytes gets no answer. Both are closed.
    """
    with server(kind, tmp_path, ConnectionLimits(head_seconds=0.4)) as port:
        began = time.monotonic()
        answer = answer_to(port, sent)

        assert time.monotonic() - began < 5
    assert [200] * sent.startswith(HEALTHZ) + [408] * bool(sent) == statuses(answer)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_head_times_out(tmp_path: Path, kind: str):
    """
    The timeout counts from the first byte, so that sending single bytes does not extend it.
    """
    with server(kind, tmp_path, ConnectionLimits(head_seconds=0.5)) as port, connect(port) as wire:
        began, answer = time.monotonic(), b""
        wire.settimeout(0.05)
        while not answer and time.monotonic() - began < 10:
            with suppress(BrokenPipeError):
                wire.sendall(b"G")
            with suppress(TimeoutError):
                answer = wire.recv(1_000)

    assert [408] == statuses(answer)
    assert time.monotonic() - began < 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_body_times_out(tmp_path: Path, kind: str):
    """
    A request that is answered before its body has arrived does not keep the connection open.
    """
    with server(kind, tmp_path, ConnectionLimits(body_seconds=0.5, idle_seconds=60)) as port, connect(port) as wire:
        wire.sendall(POST + b"Content-Length: 1000\r\n\r\n")
        began = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - began < 10:
                wire.sendall(b"x")
                time.sleep(0.05)

    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_between_two_requests_is_closed_after_a_while(tmp_path: Path, kind: str):
    """
    Idle time has its own limit.
    """
    with server(kind, tmp_path, ConnectionLimits(idle_seconds=0.3)) as port:
        began = time.monotonic()
        answer = answer_to(port, HEALTHZ)

    assert [200] == statuses(answer)
    assert time.monotonic() - began < 5


def test_an_answer_that_nobody_reads_is_abandoned(tmp_path: Path):
    """
    A client that requests a large answer and does not read it is disconnected.
    """
    limits = ConnectionLimits(unread_seconds=0.3, idle_seconds=60)
    with ExitStack() as stack:
        world = stack.enter_context(api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, connection_limits=limits))
        url = urlsplit(stack.enter_context(served(world.app, world.connections)))
        wire = stack.enter_context(socket.socket())
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        wire.connect((url.hostname, url.port))
        wire.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        wait_until(lambda: 1 == world.connections.closed["unread"], 60)

        assert 0 == world.connections.open


# Number


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limits", [ConnectionLimits(connections=16), ConnectionLimits(connections_by_peer=16)])
def test_incomplete_heads_do_not_lock_others_out(tmp_path: Path, kind: str, limits: ConnectionLimits):
    """
    With ten times as many incomplete heads as allowed connections, everybody else is still answered.
    """
    with server(kind, tmp_path, limits) as port, ExitStack() as stack:
        answered = []
        for number in range(160):
            wire = stack.enter_context(connect(port))
            wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ")
            if number % 16 == 0:
                answered += statuses(answer_to(port, LAST))
        last = stack.enter_context(connect(port))  # the latest ones can be closed
        last.sendall(LAST)

        assert [200] * 10 == answered
        assert [200] == statuses(until_closed(last))


def test_no_connection_is_closed_while_it_is_being_answered(tmp_path: Path):
    """
    If every connection is busy, the next one gets 503, and none of the others is closed.
    """
    held, asked = threading.Event(), threading.Semaphore(0)

    def slow(_query: dict[str, list[str]]) -> tuple[int, dict[str, object]]:
        asked.release()
        held.wait(20)
        return 200, {}

    limits = ConnectionLimits(connections=4)
    with Serving("127.0.0.1:0", lambda: b"", Health(), {"/slow": slow}, limits=limits) as serving, ExitStack() as stack:
        wires = [stack.enter_context(connect(serving.port)) for _ in range(4)]
        for wire in wires:
            wire.sendall(LAST.replace(b"/healthz", b"/slow"))
        for _ in wires:
            assert asked.acquire(timeout=10)
        refused = answer_to(serving.port, b"")
        held.set()
        answers = [statuses(until_closed(wire)) for wire in wires]

    assert ([503], True) == (statuses(refused), b"Retry-After".lower() in refused.lower())
    assert [[200]] * 4 == answers


class Standing:
    """An open connection, as the registry sees it."""

    def __init__(self, peer: str, *, waiting: bool = True) -> None:
        self.peer, self.waiting, self.reason = peer, waiting, ""

    def overdue(self, now: float) -> str | None:
        return None

    def is_waiting(self) -> bool:
        return self.waiting

    def close_for(self, reason: str) -> None:
        self.reason = reason


class Loop:
    """The part of an event loop that the registry uses."""

    def call_later(self, *_: object) -> None:
        return None


@given(
    st.lists(st.tuples(st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1"]), st.booleans()), max_size=60),
    st.integers(1, 8),
    st.integers(1, 8),
)
def test_the_limits_hold_for_every_sequence_of_connections(coming: list[tuple[str, bool]], in_all: int, by_peer: int):
    """
    The limits per peer and in total are never exceeded; no busy connection is closed; idle ones make room for new ones.
    """
    import ipaddress

    proxy = "192.0.2.1"
    limits = ConnectionLimits(connections=in_all, connections_by_peer=by_peer)
    connections = Connections(limits, proxies=[ipaddress.ip_network(proxy)])
    came: list[Standing] = []
    refused = 0
    for peer, waiting in coming:
        connection = Standing(peer, waiting=waiting)
        before = [other for other in came if not other.reason]
        if connections.admit(connection, Loop()):  # type: ignore[arg-type]
            came.append(connection)
        else:
            refused += 1
            mine = [other for other in before if other.peer == peer]
            assert not any(other.is_waiting() for other in (before if len(mine) < by_peer or peer == proxy else mine))
        there = [other for other in came if not other.reason]
        assert len(there) <= in_all
        assert all(
            sum(other.peer == each for other in there) <= by_peer for each in {peer for peer, _ in coming} - {proxy}
        )
    assert all(other.is_waiting() for other in came if other.reason)
    assert (refused, len([other for other in came if not other.reason])) == (connections.refused, connections.open)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.7", "203.0.113.8", False),
        ("203.0.113.7", "::ffff:203.0.113.7", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_a_peer_is_an_ipv4_address_or_an_ipv6_network(one: str, other: str, same: bool):
    """
    One party with a /64 network can connect from any of its addresses.
    """
    assert same == (peer_of(one) == peer_of(other))


# Metrics


@pytest.mark.parametrize("kind", KINDS)
def test_the_effects_of_the_limits_are_counted(tmp_path: Path, kind: str):
    """
    The metrics have the open connections, their limit, and the closed ones by reason.
    """
    with server(kind, tmp_path, ConnectionLimits(head_seconds=0.3, connections=32)) as port:
        answer_to(port, b"GET")
        text = answer_to(port, LAST.replace(b"/healthz", b"/metrics")).partition(b"\r\n\r\n")[2].decode()

    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "connections" in sample.name
    }
    assert {
        ("delegraph_http_connections",): 1.0,
        ("delegraph_http_connections_limit",): 32.0,
        ("delegraph_http_connections_refused_total",): 0.0,
        ("delegraph_http_connections_closed_total", "head"): 1.0,
        **{
            ("delegraph_http_connections_closed_total", reason): 0.0
            for reason in ("body", "unread", "by_peer", "in_all")
        },
    } == found
