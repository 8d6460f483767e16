"""Requirements of HTTP for every path: methods, unique headers, encodings, clients that disconnect.

Most tests use a real server, since a client in the same process would normalise requests first.
"""

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage.serve.config.limits import Limits
from lineage.serve.http.core.responses import encoded
from tests.support.conversations import one_server
from tests.support.http_worlds import HOST, World, api_over, problem_type, served
from tests.support.kafka_worlds import wait_until

WHO = "/v1/who?action=mail-7"
ORDER = {"target": {"kind": "token", "id": "https://idp.example#mailer-1"}, "reason": "test"}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    """Return the incident behind a real server; tests do not add to it."""
    folder: Path = tmp_path_factory.mktemp("manners")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world, served(world.app) as url:
        yield world, url


def asked(
    here: tuple[World, str], method: str, path: str, *more: tuple[str, str], role: str = "investigator"
) -> httpx.Response:
    world, url = here
    headers = [("Authorization", f"Bearer {world.token()}"), *more]
    return httpx.Client().send(httpx.Request(method, url + path, headers=headers))


def answer_to(here: tuple[World, str], text: str, role: str = "producer") -> bytes:
    """Return all that a server answers to bytes; TOKEN in them is replaced by a token."""
    world, url = here
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as wire:
        wire.sendall(text.replace("TOKEN", world.token(role)).replace("\n", "\r\n").encode("latin-1"))
        answer = b""
        while part := wire.recv(65_536):
            answer += part
    return answer


# Methods


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/who", "GET, HEAD"),
        ("OPTIONS", "/v1/status", "GET, HEAD"),
        ("GET", "/v1/events", "POST"),
        ("HEAD", "/v1/events", "POST"),
        ("PUT", "/v1/revocations", "GET, HEAD, POST"),
        ("PATCH", "/v1/revocations/rev-1/receipt", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("HEAD", "/v1/live", "GET"),
        ("PURGE", "/metrics", "GET, HEAD"),
    ],
)
def test_an_unsupported_method_is_refused_with_the_supported_ones(
    here: tuple[World, str], method: str, path: str, allow: str
):
    """
    405 names every method of the path, not only those of the first matching route.
    """
    answer = asked(here, method, path)

    assert (405, allow) == (answer.status_code, answer.headers["allow"])


@pytest.mark.parametrize("path", [WHO, "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/v1/none"])
def test_head_is_get_without_the_body(here: tuple[World, str], path: str):
    """
    HEAD answers with the headers of GET.
    """
    got, looked = asked(here, "GET", path), asked(here, "HEAD", path)

    assert (got.status_code, got.headers["content-type"], b"") == (
        looked.status_code, looked.headers["content-type"], looked.content,
    )  # fmt: skip
    assert path == "/metrics" or got.headers["content-length"] == looked.headers["content-length"]


def test_every_readable_path_supports_head(here: tuple[World, str]):
    """
    The only exception is the tail, which never ends.
    """
    published = here[0].get("/openapi.json").json()["paths"]
    paths = [path for path, methods in published.items() if "get" in methods]
    refused = {path for path in paths if asked(here, "HEAD", path.replace("{id}", "x")).status_code == 405}

    assert {"/v1/live"} == refused


# Headers


def test_a_unique_header_may_not_occur_twice(here: tuple[World, str]):
    """
    With two tokens, a proxy may have checked one and we would use the other: both are refused.
    """
    for twice in (("Authorization", "Bearer x"), ("authorization", f"Bearer {here[0].token()}")):
        answer = asked(here, "GET", WHO, twice)

        assert (400, "parameter", "Authorization") == (
            answer.status_code, problem_type(answer), answer.json()["parameter"],
        )  # fmt: skip


def test_if_none_match_may_have_several_lines(here: tuple[World, str]):
    """
    ``If-None-Match`` is a list, which may be split over several headers.
    """
    path = f"{WHO}&at=2026-11-02T10:00:00Z"
    tag = asked(here, "GET", path).headers["etag"]

    assert 304 == asked(here, "GET", path, ("If-None-Match", '"other"'), ("If-None-Match", tag)).status_code


@pytest.mark.slow
def test_a_body_that_does_not_arrive_is_refused_as_published_and_the_connection_closed(tmp_path: Path):
    """
    Every operation with a body answers after a timeout, as the OpenAPI document says, and closes: bytes that arrive
    later are not read as a request.
    """
    with one_server(tmp_path / "hasty", limits=Limits(body_seconds=0.2)) as (world, url):
        paths = httpx.get(f"{url}/openapi.json").json()["paths"]
        taking = [
            (method.upper(), path, "408" in value["responses"])
            for path, methods in paths.items()
            for method, value in methods.items()
            if "requestBody" in value
        ]
        answers = []
        for method, path, _ in taking:
            form = "x-www-form-urlencoded" if path == "/introspect" else "json"
            head = f"{method} {path.replace('{id}', 'x')} HTTP/1.1\nHost: {HOST}\nAuthorization: Bearer TOKEN\n"
            head += f"Content-Type: application/{form}\nContent-Length: 9\n\n"
            role = {"/v1/events": "producer", "/introspect": "receiver"}.get(path, "responder")
            role = "receiver" if "/ssf/" in path or "acknowl" in path else role
            answers.append(answer_to((world, url), head, role))

    assert 10 < len(taking)
    assert [True] * len(taking) == [declared for _, _, declared in taking]
    assert [b"HTTP/1.1 408"] * len(taking) == [answer[:12] for answer in answers]
    assert all(b"problem:too-slow" in answer and b"connection: close" in answer.lower() for answer in answers)


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_a_compressed_body_is_refused_as_such(here: tuple[World, str], encoding: str):
    """
    The problem says that compression is not supported, not that the body is invalid JSON.
    """
    world, _ = here
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    answer = world.post("/v1/events", "producer", content=b"\x1f\x8b", headers=headers)

    assert (415, "media-type", "identity") == (
        answer.status_code, problem_type(answer), answer.headers["accept-encoding"],
    )  # fmt: skip


# Parameters


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/v1/who?action=mail-%ff", "action"),
        ("/v1/status?at=now&of=token:%ed%a0%80", "of"),
        ("/v1/search?q=%c3", "q"),
        ("/v1/search?q=a&%fe=b", "\ufffd"),
        ("/v1/revocations/%ff", "path"),
        ("/who?action=%ff", "action"),
    ],
)
def test_invalid_utf_8_is_not_mistaken_for_another_id(here: tuple[World, str], path: str, parameter: str):
    """
    Invalid bytes would become U+FFFD, which may occur in the id of something else.
    """
    answer = asked(here, "GET", path)

    assert (400, "parameter", parameter) == (
        answer.status_code, problem_type(answer), answer.json()["parameter"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "path", ["/v1/events", "/v1/revocations", "/v1/revocations/none/lift", "/v1/revocations/none/acknowledgements"]
)
def test_a_write_with_a_query_parameter_is_refused(here: tuple[World, str], path: str):
    """
    Writes have no query parameters: ``dry_run=true`` must not give an order.
    """
    world, _ = here
    role = {"events": "producer", "acknowledgements": "receiver"}.get(path.rpartition("/")[2], "responder")
    answer = world.post(f"{path}?dry_run=true", role, json=[] if role == "producer" else ORDER)

    assert (400, "dry_run", 0) == (
        answer.status_code, answer.json()["parameter"], world.get("/v1/revocations").json()["total"],
    )  # fmt: skip


# The wire


def test_a_client_that_disconnects_causes_no_error(here: tuple[World, str], caplog: pytest.LogCaptureFixture):
    """
    A client that disconnects in the middle of a body is not answered, and no error is logged.
    """
    world, url = here
    caplog.set_level(logging.INFO)
    head = f"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {world.token('producer')}\r\n"
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as wire:
        wire.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n[".encode())
    answered = answer_to(here, "GET /healthz HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n")

    assert b"200 OK" in answered
    wait_until(lambda: 200 == asked(here, "GET", WHO).status_code)
    assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_body_may_be_chunked_or_follow_a_continue(here: tuple[World, str]):
    """
    Clients send bodies in chunks, and after ``100 Continue``.
    """
    head = "POST /v1/events HTTP/1.1\nHost: 127.0.0.1\nAuthorization: Bearer TOKEN\nContent-Type: application/json\n"
    chunked = answer_to(here, f"{head}Transfer-Encoding: chunked\nConnection: close\n\n1\n[\n1\n]\n0\n\n")
    asking = answer_to(here, f"{head}Content-Length: 2\nExpect: 100-continue\nConnection: close\n\n[]")

    assert (b"HTTP/1.1 200 OK", True) == (chunked.partition(b"\r\n")[0], b'"read":0' in chunked)
    assert (b"HTTP/1.1 100 Continue", True) == (asking.partition(b"\r\n")[0].rstrip(), b'"read":0' in asking)


@pytest.mark.parametrize(
    "request_",
    [
        "GET /v1/who?action=\u00e4 HTTP/1.1\nHost: 127.0.0.1\n\n",
        "GET /v1/who?action=a HTTP/1.1\n\n",
        "GET /v1/who?action=a HTTP/1.1\nHost: 127.0.0.1\nHost: localhost\n\n",
        "POST /v1/events HTTP/1.1\nHost: 127.0.0.1\nContent-Length: -1\n\n",
        "POST /v1/events HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 1\nContent-Length: 2\n\n",
        "GET / HTTP/1.1\nHost: 127.0.0.1\nX: a\0b\n\n",
        "\x16\x03\x01\n\n",
    ],
    ids=["not ASCII", "no host", "two hosts", "a length below zero", "two lengths", "a NUL", "TLS"],
)
def test_a_malformed_request_gets_a_problem_document(here: tuple[World, str], request_: str):
    """
    Errors outside our code have the same format.
    """
    head, _, body = answer_to(here, request_).partition(b"\r\n\r\n")

    assert (True, True, "urn:delegraph:problem:malformed") == (
        head.startswith(b"HTTP/1.1 400 "), b"application/problem+json" in head, json.loads(body)["type"],
    )  # fmt: skip


# Bytes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(st.characters(codec=None)),
    lambda some: st.lists(some) | st.dictionaries(st.text(), some),
    max_leaves=20,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), JSON))
def test_a_document_is_the_bytes_that_the_command_line_writes(document: dict[str, object]):
    """
    They are equal byte for byte; half of a surrogate pair, which UTF-8 cannot encode, becomes a question mark.
    """
    line = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    assert line.encode(errors="replace") == encoded(document)


def test_a_document_may_be_nested_as_deep_as_a_chain_of_causes():
    """
    A thousand levels work like ten.
    """
    nested: dict[str, object] = {}
    for _ in range(900):
        nested = {"in": nested}
    assert nested == json.loads(encoded(nested))
