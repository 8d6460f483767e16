"""Requests to `delegraph collect`: authentication, accepted bodies, and when they are answered."""

import gzip
import http.client
import json
import select
import socket
import zlib
from contextlib import closing, suppress
from pathlib import Path

import pytest

from lineage.serve.config.limits import ConnectionLimits
from lineage.serve.processes.collect_http import Receiver
from tests.support.collecting import Collector, World, decision, ids, line, until
from tests.support.configured_sources import Configured
from tests.support.places import DATA

TOKEN, OTHER = "a-token-of-the-source-opa", "a-token-of-the-source-k8s"
POD = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "auditID": "a-1",
    "stage": "ResponseComplete",
    "verb": "delete",
    "requestURI": "/api/v1/namespaces/x/pods/p",
    "user": {"username": "alice", "groups": []},
    "responseStatus": {"code": 200},
    "stageTimestamp": "2026-03-01T10:00:00.000000Z",
    "requestReceivedTimestamp": "2026-03-01T10:00:00.000000Z",
}


class Asked:
    """A receiver on loopback with two sources that accept requests, and one that accepts spans."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        self.refused: list[int] = []
        (folder / "tokens").write_text(f"an-older-token-of-opa\n{TOKEN}\n", encoding="utf-8")
        self.tokens = folder / "tokens"
        foreign = {
            "opa-eu": self.world.intake(token_file=self.tokens),
            "prod": self.world.intake("prod", "kubernetes", token=OTHER),
            "closed": self.world.intake("closed", "opa"),
        }
        traces = {"agents": self.world.intake("agents", "otlp", token="a-token-of-the-agents")}
        self.receiver = Receiver("127.0.0.1:0", foreign, traces, limits=ConnectionLimits(), refused=self.refused.append)

    def post(self, body: bytes, token: str | None = TOKEN, path: str = "/v1/foreign/opa-eu", **headers: str):
        with closing(http.client.HTTPConnection("127.0.0.1", self.receiver.port, timeout=20)) as connection:
            values = {name.replace("_", "-"): value for name, value in headers.items()}
            if token is not None:
                values["Authorization"] = f"Bearer {token}"
            connection.request(values.pop("method", "POST"), path, body, values)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()


@pytest.fixture
def asked(tmp_path):
    """Start a receiver."""
    one = Asked(tmp_path)
    with one.receiver:
        yield one


BODIES = {
    "an array": (json.dumps([decision(1), decision(2)]).encode(), {}),
    "lines": (line(1) + line(2), {"Content_Type": "application/x-ndjson"}),
    "gzip": (gzip.compress(json.dumps([decision(1), decision(2)]).encode()), {"Content_Encoding": "gzip"}),
    "several members": (gzip.compress(line(1)) + gzip.compress(line(2)), {"Content_Encoding": "gzip"}),
    "deflate": (zlib.compress(line(1) + line(2)), {"Content_Encoding": "deflate"}),
    "gzip that no header tells of": (gzip.compress(line(1) + line(2)), {}),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_is_answered_once_the_log_has_its_records(asked, body):
    """
    The form does not matter; a repeated body gives the same ids.
    """
    text, headers = body
    for _ in range(2):
        status, _, answer = asked.post(text, **headers)
        assert 200 == status, answer
    assert {"records": 2, "events": 2, "skipped": {}, "quarantined": {}} == json.loads(answer)
    assert ids({1, 2}) == set(asked.world.decisions)


STRANGERS = {
    "no token": (None, "/v1/foreign/opa-eu", 401),
    "a wrong one": ("a-token-of-nobody-at-all", "/v1/foreign/opa-eu", 401),
    "another source's": (OTHER, "/v1/foreign/opa-eu", 403),
    "of a source without a token": ("", "/v1/foreign/closed", 401),
    "a source that there is not": (None, "/v1/foreign/nobody", 401),
    "one that there is not, with a token": (TOKEN, "/v1/foreign/nobody", 403),
    "spans with the token of another source": (TOKEN, "/v1/traces", 403),
    "spans without one": (None, "/v1/traces", 401),
}


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_nobody_writes_for_a_source_without_its_token(asked, stranger, caplog):
    """
    The answer says what to send; neither the answer nor the log contains a token.
    """
    token, path, expected = stranger
    status, headers, answer = asked.post(line(1), token, path)

    assert expected == status
    assert (expected == 401) == (headers["WWW-Authenticate"] == "Bearer")
    assert b"send the token" in answer
    assert [] == asked.world.log
    assert [expected] == asked.refused
    for value in (answer.decode(), caplog.text):
        assert not token or token not in value


def test_a_changed_token_file_takes_effect_within_seconds(asked):
    """
    The old token is accepted only while both are in the file.
    """
    assert 200 == asked.post(line(1), "an-older-token-of-opa")[0]
    asked.tokens.write_text("the-token-after-the-change\n", encoding="utf-8")

    until(lambda: asked.post(line(1), "the-token-after-the-change")[0] == 200, 5, 0.2)

    assert 401 == asked.post(line(1))[0]


NOT_TAKEN = {
    "no JSON": (b"nonsense", {}, 400, "cannot be read"),
    "a gzip that breaks off": (gzip.compress(line(1) * 50)[:-20], {"Content_Encoding": "gzip"}, 400, "is truncated"),
    "no gzip": (line(1), {"Content_Encoding": "gzip"}, 400, "although Content-Encoding says so"),
    "an encoding that is not read": (line(1), {"Content_Encoding": "br"}, 415, "send gzip, deflate or none"),
    "too large": (b" " * (16 * 1024 * 1024 + 1), {}, 413, "send it in parts"),
    "too large unpacked": (gzip.compress(bytes(65 * 1024 * 1024)), {"Content_Encoding": "gzip"}, 413, "in parts"),
    "another system's": (json.dumps(POD).encode(), {}, 400, "holds records of kubernetes, and the source 'opa-eu'"),
    "nobody's": (b'{"a": 1}', {}, 400, "of a format that is known here, and the source 'opa-eu' has the format opa"),
    "another method": (line(1), {"method": "PUT"}, 405, "with POST"),
    "protobuf that is none": (b"\xff\xff", {"Content_Type": "application/x-protobuf"}, 400, "as application/json"),
}


@pytest.mark.slow
@pytest.mark.parametrize("body", NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_a_refused_body_is_not_ingested_at_all(asked, body):
    """
    The answer says what to do.
    """
    text, headers, expected, remedy = body
    status, _, answer = asked.post(text, **headers)

    detail = json.loads(answer)["detail"]
    assert (expected, True) == (status, remedy in detail), answer
    assert "the source 'opa-eu'" in detail or expected == 405
    assert ([], {}) == (asked.world.log, asked.world.aside)


@pytest.mark.parametrize("is_told", [True, False])
def test_a_body_of_two_gigabytes_is_refused_before_it_is_read(asked, is_told):
    """
    It is refused by its head, or as soon as it is too large; the memory of one body suffices.
    """
    size = "Content-Length: 2147483648" if is_told else "Transfer-Encoding: chunked"
    head = f"POST /v1/foreign/opa-eu HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{size}\r\n\r\n"
    sent, chunk = 0, b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", asked.receiver.port), timeout=20) as connection:
        connection.sendall(head.encode())
        with suppress(OSError):
            while not is_told and sent < 2 << 30 and not select.select([connection], [], [], 0)[0]:
                connection.sendall(chunk)
                sent += 0x100000
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert sent < 64 << 20
    assert ([], {}, [413]) == (asked.world.log, asked.world.aside, asked.refused)


def test_a_bad_record_among_good_ones_is_in_quarantine_once(asked):
    """
    A repetition by the sender changes nothing.
    """
    for _ in range(3):
        status, _, answer = asked.post(line(1) + b"nonsense\n" + line(2))
        assert 200 == status
        assert {"json": 1} == json.loads(answer)["quarantined"]
    assert 1 == len(asked.world.aside)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", [0, 1])
def test_a_record_that_is_not_in_the_log_is_not_confirmed(asked, step, after):
    """
    The sender is asked to repeat it; then it is stored once, or recognised as a duplicate.
    """
    asked.world.failing, asked.world.fails_after = step, after
    status, headers, answer = asked.post(line(1))
    assert (503, "2") == (status, headers["Retry-After"]), answer

    assert 200 == asked.post(line(1))[0]
    assert ids({1}) == set(asked.world.decisions)


def test_an_event_list_of_kubernetes(asked):
    """
    As its webhook posts it, with a query.
    """
    body = json.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [POD]}).encode()
    status, _, answer = asked.post(body, OTHER, "/v1/foreign/prod?timeout=30s")

    assert (200, 1) == (status, json.loads(answer)["records"])
    assert 200 == asked.post(body.replace(json.dumps([POD]).encode(), b"[]"), OTHER, "/v1/foreign/prod")[0]


def test_real_bodies_of_opa_and_kubernetes_are_ingested_completely(asked):
    """
    The bodies were recorded from the real programs.
    """
    if not DATA.is_dir():
        pytest.skip(f"there are no logs at {DATA}; name their folder in DELEGRAPH_TEST_DATA")
    for file, token, path in (
        ("opa/http-bodies.jsonl", TOKEN, "/v1/foreign/opa-eu"),
        ("kubernetes/webhook-bodies.jsonl", OTHER, "/v1/foreign/prod"),
    ):
        for value in (DATA / file).read_text(encoding="utf-8").splitlines():
            body = json.loads(value)["body"]
            status, _, answer = asked.post(json.dumps(body).encode(), token, path)
            assert 200 == status, answer
            assert {} == json.loads(answer)["quarantined"]


# Spans


def spans_of(exporter_endpoint: str, token: str) -> None:
    """Export a person, an agent and a tool call with OpenTelemetry's own exporter."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    exporter = OTLPSpanExporter(exporter_endpoint, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("agents")
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner", "enduser.id": "alice"}
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.tool.call.id": "call-1"}
    with tracer.start_as_current_span("invoke_agent planner", attributes=agent):  # noqa: SIM117
        with tracer.start_as_current_span("execute_tool search", attributes=tool):
            pass
    provider.shutdown()


def test_spans_of_a_real_exporter(asked):
    """
    The exporter sends them itself, in protobuf.
    """
    spans_of(f"http://127.0.0.1:{asked.receiver.port}/v1/traces", "a-token-of-the-agents")

    assert 2 == asked.world.counts["record", ""]
    assert {} == asked.world.aside


def test_answers_to_exporters_are_in_their_own_form(asked):
    """
    JSON is answered with JSON and protobuf with protobuf, also in refusals.
    """
    token = "a-token-of-the-agents"
    protobuf = {"Content_Type": "application/x-protobuf"}

    assert (200, b"{}") == asked.post(b'{"resourceSpans": []}', token, "/v1/traces")[::2]
    assert (200, b"") == asked.post(b"", token, "/v1/traces", **protobuf)[::2]
    status, headers, answer = asked.post(b"\xff\xff", token, "/v1/traces", **protobuf)
    assert (400, "application/x-protobuf", b"\x12") == (status, headers["Content-Type"], answer[:1])
    assert b"message" in asked.post(b"nonsense", token, "/v1/traces")[2]


# The process


def test_the_process_accepts_requests_and_projects_their_records(tmp_path):
    """
    It reports a source without a token at its start.
    """
    desk = Configured(tmp_path)
    desk.settings(
        '[[source]]\nname = "opa-eu"\nformat = "opa"\nhttp = "127.0.0.1:18481"\ntoken_file = "token"\n'
        '[[source]]\nname = "closed"\nformat = "opa"\nhttp = "127.0.0.1:18481"\n'
    )
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    desk.run("init")
    with Collector(desk) as collector:
        until(lambda: "collecting:" in collector.output)
        with closing(http.client.HTTPConnection("127.0.0.1", 18481, timeout=20)) as connection:
            connection.request("POST", "/v1/foreign/opa-eu", line(1), {"Authorization": f"Bearer {TOKEN}"})
            assert 200 == connection.getresponse().status
        until(lambda: desk.one("search", "opa-eu#d-1")["items"], 5)
        assert 0 == collector.stop()

    assert "the source 'closed' takes requests and has no token" in collector.output
    assert TOKEN not in collector.output


SETTINGS = {
    "both": ('http = true\ntoken = "0123456789abcdef"\ntoken_file = "t"', "are both given"),
    "without an input": ('token = "0123456789abcdef"', "has no effect without 'http' or 'otlp'"),
    "short": ('http = true\ntoken = "secret"', "short enough to be guessed"),
    "no file": ('http = true\ntoken_file = "nowhere"', "cannot be read"),
    "no address": ('http = "8481"', "write true, or host:port"),
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_an_invalid_token_is_refused_at_the_start(tmp_path, setting):
    """
    The message names the source and contains no token.
    """
    result, remedy = setting
    desk = Configured(tmp_path)
    desk.settings(f'[[source]]\nname = "opa-eu"\nformat = "opa"\n{result}\n')
    output = desk.run("collect", exit=2).output.replace("\n", " ")

    assert remedy in output
    assert "the source 'opa-eu'" in output
    assert "0123456789abcdef" not in output
