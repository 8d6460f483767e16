"""The parts of the transmitter: where it pushes, how it interprets responses, which requests it accepts, settings."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from starlette.applications import Starlette

from ingest.trust_file import Trust
from lineage.core.model.errors import RefusedError
from lineage.deliver.http.callers import Authentication
from lineage.deliver.http.signing_keys import load_keys
from lineage.deliver.ssf.push_request import Accepted, Answer, Failed, Post, RefusedPush
from lineage.deliver.ssf.routes import jwks_route, routes
from lineage.deliver.ssf.secret_sealing import SecretBox
from lineage.deliver.ssf.security_event_tokens import subject_of
from lineage.deliver.ssf.stream_pusher import PushBackoff
from lineage.deliver.ssf.stream_requests import endpoint_of, refusal_of, stream_request_of
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now
from lineage.serve.http.api.enforcement_routes import endpoints
from lineage.serve.http.asgi.app import create_app
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.queries.service import Service
from tests.support.asgi import Asking
from tests.support.feed_desk import Desk
from tests.support.ssf_worlds import PUSH, RSA, World, by_name, pem, serving
from tests.support.stores import in_a_file

AT = 1_000_000_000_000_000
SECRET = "Bearer not-to-be-told"


class Answering(ThreadingHTTPServer):
    """A server that gives every request the same response, and records the requests."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.body, self.headers = status, body, headers
        self.asked: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/events"


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_POST(self) -> None:
        self.server.asked.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def answering(status: int, body: bytes = b"", **headers: str) -> Iterator[Answering]:
    server = Answering(status, body, {name.replace("_", "-"): value for name, value in headers.items()})
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sent(url: str, *, loopback: bool = True) -> Answer:
    post = Post(ca_file=None, loopback=loopback)
    try:
        return post.send(url, SECRET, "token", at=AT)
    finally:
        post.close()


def refusal(error: str) -> bytes:
    return json.dumps({"err": error, "description": "so"}).encode()


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (202, b"", {}, Accepted()),
        (400, refusal("invalid_request"), {}, RefusedPush("invalid_request", "so")),
        (400, refusal("invalid_audience"), {}, RefusedPush("invalid_audience", "so")),
        (400, refusal("invalid_key"), {}, Failed("the receiver answers 400 invalid_key")),
        (400, refusal("access_denied"), {}, Failed("the receiver answers 400 access_denied")),
        (400, b"<html>", {}, Failed("the receiver answers 400")),
        (400, b" " * 20_000 + refusal("invalid_request"), {}, Failed("the receiver answers 400")),
        (200, b"", {}, Failed("the receiver answers 200")),
        (401, b"", {}, Failed("the receiver answers 401")),
        (403, b"", {}, Failed("the receiver answers 403")),
        (307, b"", {"Location": "/elsewhere"}, Failed("the receiver answers 307")),
        (429, b"", {"Retry_After": "7"}, Failed("the receiver answers 429", 7.0)),
        (503, b"", {"Retry_After": "Sun, 09 Sep 2001 01:47:00 GMT"}, Failed("the receiver answers 503", 20.0)),
        (503, b"", {"Retry_After": "soon"}, Failed("the receiver answers 503")),
    ],
)
def test_the_meaning_of_a_response(status: int, body: bytes, headers: dict[str, str], expected: Answer):
    """
    Only 202 is accepted; 400 with an error about the event is refused permanently; any other response is retried, and
    no redirect is followed.
    """
    with answering(status, body, **headers) as server:
        assert expected == sent(server.url)
        assert [("/events", b"token")] == server.asked


def test_nothing_is_pushed_to_a_name_that_resolves_to_this_machine():
    """
    The address at the time of the push is checked, not the name.
    """
    with answering(202) as server:
        assert "an address to which pushes are not allowed" in str(sent(server.url, loopback=False))
        assert [] == server.asked
    for url in (
        "https://169.254.169.254/latest",
        "https://[::ffff:169.254.1.1]/",
        "https://0.0.0.0/",
        "http://10.0.0.1/",
    ):
        assert "an address to which pushes are not allowed" in str(sent(url))


def test_the_certificate_must_match_the_name_in_the_url(tmp_path: Path):
    """
    Whichever address the name resolves to, and although the connection is to the address.
    """
    refused = Failed("the receiver does not answer (ConnectError)")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, expected in [("localhost", Accepted()), ("other.example", refused)]:
        with answering(202) as server:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            post = Post(ca_file=tmp_path / "ca.pem", loopback=True)
            url = server.url.replace("http://127.0.0.1", "https://localhost")
            assert expected == post.send(url, SECRET, "token", at=AT)
            post.close()


@pytest.mark.parametrize(
    ("url", "loopback", "expected"),
    [
        ("https://gateway.example/events?of=1", False, True),
        ("https://10.1.2.3:8443/events", False, True),
        ("http://gateway.example/events", True, False),
        ("http://127.0.0.1:8080/events", True, True),
        ("http://127.0.0.1:8080/events", False, False),
        ("https://localhost/events", False, False),
        ("https://[::ffff:127.0.0.1]/events", False, False),
        ("https://169.254.169.254/latest", True, False),
        ("https://[fe80::1]/events", True, False),
        ("https://[::ffff:169.254.169.254]/latest", True, False),
        ("https://0.0.0.0/events", True, False),
        ("https://user:pass@gateway.example/", True, False),
        ("https://gateway.example/#part", True, False),
        ("https://gateway.example/\r\nX: y", True, False),
        ("https://gateway.example:port/", True, False),
        ("https:///events", True, False),
        ("file:///etc/passwd", True, False),
        ("https://gateway.example/" + "x" * 3_000, True, False),
    ],
)
def test_the_allowed_urls_of_receivers(url: str, loopback: bool, expected: bool):
    """
    Over TLS, except on this machine if a setting allows that; without a password in the URL.
    """
    try:
        endpoint_of(url, loopback=loopback)
    except RefusedError:
        assert not expected
    else:
        assert expected


@pytest.mark.parametrize("header", ["", "Bearer a\r\nHost: b", "Bearer ä", 7, "x" * 5_000])
def test_an_invalid_header_is_not_repeated(header: object):
    """
    The message says what is wrong with it without repeating it.
    """
    delivery = {"method": PUSH, "endpoint_url": "https://gateway.example/", "authorization_header": header}
    with pytest.raises(RefusedError) as refused:
        stream_request_of({"delivery": delivery}, loopback=False)

    assert not header or str(header) not in str(refused.value)


def test_a_header_is_kept_with_its_url_and_not_sent_to_another():
    """
    A delivery that is set again without it keeps it; another URL loses it.
    """
    delivery = {"method": PUSH, "endpoint_url": "https://gateway.example/"}
    before = stream_request_of({"delivery": {**delivery, "authorization_header": SECRET}}, loopback=False).settings
    elsewhere = {**delivery, "endpoint_url": "https://elsewhere.example/"}
    kept = [stream_request_of({"delivery": each}, before=before, loopback=False) for each in (delivery, elsewhere)]

    assert [(True, None), (False, None)] == [(each.keeps_authorization, each.authorization) for each in kept]


def test_subjects_cannot_be_mistaken_for_one_another():
    """
    A token whose id looks like that of a delegation has its kind as a prefix.
    """
    keys = ["delegation:x", "token:delegation:x", "token:token:x", "token:x", "token:vault#x", "token:https://i#x"]

    assert len(keys) == len({json.dumps(subject_of(key)) for key in keys})


def test_the_wait_doubles_with_jitter_and_respects_the_receiver():
    """
    Between half and all of a value that doubles up to a limit; as long as the receiver requests, up to another limit.
    """
    pace = PushBackoff(first_seconds=1, longest_seconds=8, longest_asked_seconds=100)
    waits = [pace.wait_seconds(tries, 0) for tries in range(6)]

    assert all(whole / 2 <= wait <= whole for wait, whole in zip(waits, [1, 2, 4, 8, 8, 8], strict=True))
    assert [50, 100] == [pace.wait_seconds(0, asked) for asked in (50, 10_000)]
    assert pace.wait_seconds(10_000, 0) <= 8


def test_a_secret_sealed_with_a_removed_key_stays_sealed(tmp_path: Path):
    """
    A box opens what any of its keys sealed; an opened secret is not shown by its repr.
    """
    file = tmp_path / "keys.pem"
    file.write_text(pem(RSA))
    seals = SecretBox(load_keys([file]))
    opened = seals.unseal(seals.seal(SECRET))

    assert opened is not None
    assert (SECRET, False) == opened
    assert SECRET not in repr(opened)
    assert seals.unseal(b"something else") is None


def test_without_a_transmitter_every_route_says_so():
    """
    501 with the missing settings; there are no keys.
    """
    app = Starlette(routes=[*routes(None, by_name), jwks_route(None)])
    asking = Asking(app, {"Authorization": "Bearer gateway"})
    for path in ("/.well-known/ssf-configuration", "/ssf/streams"):
        answer = asking.get(path)
        assert (501, "urn:delegraph:problem:not-configured") == (answer.status_code, answer.json()["type"])

    assert {"keys": []} == asking.get("/.well-known/jwks.json").json()


def test_any_reason_of_a_refused_event_can_be_stored():
    """
    An unpaired surrogate or NUL in a receiver's description is escaped.
    """
    assert ("a\\x00", "b\\ud800") == refusal_of({"err": "a\0", "description": "b\ud800"})


def test_an_invalid_request_is_refused_in_one_sentence(tmp_path: Path):
    """
    Whatever the body: 400 with a problem document that names the fault, and the configuration stays public.
    """
    with in_a_file() as url:
        desk = Desk(url)
        with serving(World(desk, tmp_path)) as world:
            gateway = world.client("gateway")
            gateway.create()
            poll = gateway.stream["delivery"]["endpoint_url"]
            streams = gateway.configuration["configuration_endpoint"]
            status = gateway.configuration["status_endpoint"]
            id_ = {"stream_id": gateway.id}
            for address, body in [
                (streams, b"{"),
                (streams, b"[]"),
                (streams, b"[" * 100_000),
                (streams, b" " * 300_000),
                (streams, {"delivery": "push"}),
                (streams, {"delivery": {"method": "carrier-pigeon"}}),
                (streams, {"delivery": {"method": PUSH}}),
                (streams, {"events_requested": "all"}),
                (streams, {"description": 7}),
                (streams, {**id_, "description": "\ud800"}),
                (status, {**id_, "status": "paused", "reason": "\ud800"}),
                (status, {"status": "enabled"}),
                (status, {**id_, "status": "asleep"}),
                (poll, {"maxEvents": -1}),
                (poll, {"maxEvents": True}),
                (poll, {"returnImmediately": "yes"}),
                (poll, {"ack": "all"}),
                (poll, {"ack": ["x"] * 1_001}),
                (poll, {"setErrs": {"x": "bad"}}),
            ]:
                answer = gateway.http.post(address, content=body if isinstance(body, bytes) else json.dumps(body))
                assert (400, "application/problem+json") == (answer.status_code, answer.headers["content-type"]), body
            configuration = gateway.configuration

            assert ("1_0", "ALL", world.issuer) == tuple(
                configuration[name] for name in ("spec_version", "default_subjects", "issuer")
            )
            assert 404 == httpx.get(f"{world.issuer}/.well-known/ssf-configuration/other").status_code
            gateway.close()
        desk.store.close()


def test_the_api_mounts_the_transmitter(tmp_path: Path):
    """
    Next to the queries, with the configured keys and in the description of the API.
    """
    with in_a_file() as url:
        desk = Desk(url)
        world = World(desk, tmp_path)
        world.listening.close()
        given = {"DELEGRAPH_SSF_ISSUER": "https://us.example", "DELEGRAPH_SIGNING_KEY_FILE": str(world.key_file)}
        service = Service(desk.store, None, Trust(), now, source="urn:test")
        site = AppContext(service=service, authentication=Authentication(by_name), hosts=frozenset({"us.example"}))
        app = create_app(site, parts=endpoints(Settings.of(env=given), site))
        asking = Asking(app, {"Authorization": "Bearer gateway"})
        configuration = asking.get("/.well-known/ssf-configuration").json()
        made = asking.post("/ssf/streams", json={})

        assert "https://us.example/ssf/streams" == configuration["configuration_endpoint"]
        assert (201, "gateway") == (made.status_code, made.json()["aud"])
        assert 400 == asking.get("/ssf/status").status_code
        assert world.transmitter.keys.jwks() == asking.get("/.well-known/jwks.json").json()
        assert {"/ssf/streams", "/ssf/poll/{stream_id}"} <= asking.get("/openapi.json").json()["paths"].keys()
        desk.store.close()


@pytest.mark.parametrize(
    "given",
    [
        {"DELEGRAPH_SSF_ISSUER": "https://api.example"},
        {"DELEGRAPH_SSF_LOOPBACK": "yes", "DELEGRAPH_SIGNING_KEY_FILE": "k.pem"},
        {"DELEGRAPH_SSF_ISSUER": "http://api.example", "DELEGRAPH_SIGNING_KEY_FILE": "k.pem"},
        {"DELEGRAPH_SSF_ISSUER": "https://api.example?x", "DELEGRAPH_SIGNING_KEY_FILE": "k.pem"},
        {
            "DELEGRAPH_SSF_ISSUER": "https://api.example",
            "DELEGRAPH_SIGNING_KEY_FILE": "k.pem",
            "DELEGRAPH_SSF_LOOPBACK": "perhaps",
        },
    ],
)
def test_invalid_settings_are_refused(given: dict[str, str]):
    """
    An issuer without keys, a setting without an issuer, an issuer that is not an https URL.
    """
    with pytest.raises(RefusedError, match=r"ssf_|signing_key_file"):
        Settings.of(env=given)


def test_the_transmitter_is_configured_by_settings():
    """
    They are shown, and a trailing slash of the issuer is removed.
    """
    given = {"DELEGRAPH_SSF_ISSUER": "https://api.example/base/", "DELEGRAPH_SIGNING_KEY_FILE": "k.pem"}
    settings = Settings.of(env=given)

    assert settings.ssf is not None
    assert "https://api.example/base" == settings.ssf.issuer
    assert {"ssf_issuer": "https://api.example/base", "signing_key_file": "k.pem"}.items() <= settings.shown().items()


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "100.64.0.1", "192.0.0.1", "0.1.2.3"),
        *("255.255.255.255", "224.0.0.1", "0.0.0.0", "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]"),
        *("[2002:a9fe:a9fe::1]", "[2001:0:1::1]", "[::ffff:100.100.100.200]", "[::169.254.169.254]", "[::]"),
        *("168.63.129.16", "192.88.99.1", "[fd20:ce::254]", "[fd00:42::42]", "[::ffff:0:169.254.169.254]"),
    ],
)
def test_a_forbidden_address_is_neither_accepted_nor_pushed_to(host: str):
    """
    The metadata addresses of clouds, special blocks, IPv6 that embeds another address; at registration and at the push.
    """
    url = f"https://{host}/events"
    with pytest.raises(RefusedError):
        endpoint_of(url, loopback=True)
    post = Post(ca_file=None, loopback=True, timeout_seconds=1)
    answer = post.send(url, None, "token", at=0)
    post.close()

    assert "pushes are not allowed" in answer.why
