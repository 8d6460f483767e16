"""What a consumer exposes to operators: metrics, health over real HTTP, log lines and traces."""

import http.client
import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from ingest.codec import api as codec
from lineage.core.findings.options import DEFAULT
from lineage.core.model.errors import RefusedError, UnavailableError
from lineage.core.model.records import Outcomes
from lineage.serve.commands.finding_keeper import FindingKeeper
from lineage.serve.config.limits import ConnectionLimits
from lineage.serve.processes.collect_metrics import CollectMetrics
from lineage.serve.processes.consumer_metrics import ConsumerMetrics
from lineage.serve.processes.delivery_metrics import DeliveryMetrics
from lineage.serve.processes.finding_metrics import FindingMetrics
from lineage.serve.processes.health_server import Health, Serving
from lineage.serve.processes.logs import FLOOD_SECONDS, FORMATS, LogSettings, clean_text, logging_to
from lineage.serve.processes.tracing import LINKS, no_tracer, tracer, tracer_to
from lineage.serve.server.connection_metrics import ConnectionCollector
from lineage.serve.server.connections import Connections
from lineage.serve.server.h11_protocol import HEAD_BYTES
from lineage.serve.server.listening import address_of
from lineage.store.store import open_store
from tests.support.delivery_documents import delivered
from tests.support.places import ROOT

TOKEN = "eyJhbGciOiJub25lIn0.eyJqdGkiOiIxIn0.c2ln"
SECOND = 1_000_000  # of an instant


class Clock:
    """A clock that advances only when the test says so."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def micros(self) -> int:
        return int(self.now * SECOND)


def samples(metrics: ConsumerMetrics) -> dict[str, float]:
    """Return every sample of the exposition, by its name and labels as Prometheus writes them."""
    found = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def measured(clock: Clock | None = None) -> tuple[ConsumerMetrics, Health]:
    clock = clock or Clock()
    health = Health(clock)
    return ConsumerMetrics(clock.micros, health), health


# Metrics


@given(st.lists(st.builds(Outcomes, *[st.integers(0, 50)] * 5), max_size=20))
def test_every_record_is_counted_under_one_outcome(batches: list[Outcomes]):
    """
    Over any batches the outcomes add up to the number of records, and each outcome to its own total.
    """
    metrics, _ = measured()

    for outcomes in batches:
        metrics.committed(outcomes, sum(outcomes), 0.2, 0.1)

    found = samples(metrics)
    by_outcome = {name: found[f"delegraph_events_total{{outcome={name}}}"] for name in Outcomes._fields}
    expected = {name: sum(getattr(batch, name) for batch in batches) for name in Outcomes._fields}
    assert expected == by_outcome
    assert sum(by_outcome.values()) == found["delegraph_records_total"]
    assert len(batches) == found["delegraph_batch_seconds_count"] == found["delegraph_transaction_seconds_count"]


def test_every_outcome_is_there_before_it_happens():
    """
    A counter begins at 0, so that Prometheus sees the first conflict as an increase.
    """
    metrics, _ = measured()

    found = samples(metrics)
    assert [0.0] * 5 == [found[f"delegraph_events_total{{outcome={name}}}"] for name in Outcomes._fields]


def test_unknown_values_have_no_sample():
    """
    Before the first commit there is neither an age of the position nor a time of the commit.
    """
    metrics, _ = measured()

    assert not {"delegraph_position_age_seconds", "delegraph_last_commit_timestamp_seconds"} & samples(metrics).keys()


def test_the_age_of_the_position_grows_without_batches():
    """
    The age is computed when the metrics are read, and is never negative.
    """
    clock = Clock(1_000.0)
    metrics, _ = measured(clock)
    metrics.committed(Outcomes(1, 0, 0, 0, 0), 1, 0.1, 0.1)
    metrics.position(990 * SECOND)

    ages = []
    for clock.now in (1_000.0, 1_060.0, 900.0):
        ages.append(samples(metrics)["delegraph_position_age_seconds"])

    assert [10.0, 70.0, 0.0] == ages
    assert samples(metrics)["delegraph_last_commit_timestamp_seconds"] == 1_000.0


def test_lag_is_shown_for_assigned_partitions_only():
    """
    A partition that a rebalance assigned to another consumer is no longer shown, even if its lag is reported late.
    """
    metrics, _ = measured()
    metrics.assigned([("decisions", 0), ("decisions", 1)])
    metrics.lag({("decisions", 0): 5, ("decisions", 1): 7})

    metrics.assigned([("decisions", 1), ("orders", 0)])
    metrics.lag({("decisions", 0): 6, ("decisions", 1): 8, ("orders", 0): 0})

    found = {name: value for name, value in samples(metrics).items() if "lag" in name}
    assert {
        "delegraph_lag_records{partition=1,topic=decisions}": 8.0,
        "delegraph_lag_records{partition=0,topic=orders}": 0.0,
    } == found
    assert (2.0, 2.0) == (samples(metrics)["delegraph_partitions"], samples(metrics)["delegraph_rebalances_total"])


def test_faults_graph_and_quarantine_are_shown():
    """
    Faults are counted by kind, with the time that they cost; sizes are the last reported ones.
    """
    metrics, _ = measured()
    metrics.fault("UnavailableError", 0.5)
    metrics.fault("UnavailableError", 1.0)
    metrics.graph(10, 20)
    metrics.graph(11, 22)
    metrics.quarantine(3, 2)

    found = samples(metrics)
    assert (2.0, 1.5) == (
        found["delegraph_faults_total{kind=UnavailableError}"],
        found["delegraph_fault_wait_seconds_total{kind=UnavailableError}"],
    )
    assert (11.0, 22.0, 3.0, 2.0) == (
        found["delegraph_graph_elements"],
        found["delegraph_graph_edges"],
        found["delegraph_quarantine_waiting"],
        found["delegraph_quarantine_beyond_quota"],
    )


def test_two_consumers_in_a_process_have_separate_metrics():
    """
    Each has its own registry.
    """
    one, _ = measured()
    other, _ = measured()
    one.committed(Outcomes(4, 0, 0, 0, 0), 4, 0.1, 0.1)

    assert samples(other)["delegraph_records_total"] == 0.0


def test_every_metric_is_explained(tmp_path: Path):
    """
    docs/monitoring.md lists every metric of delegraph and no other.
    """
    metrics, health = measured()
    delivery = DeliveryMetrics(health, lambda: 0, delivered, lambda: 0.0)
    named = set(re.findall(r"`(delegraph_\w+)", (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")))

    connections = CollectorRegistry()
    connections.register(ConnectionCollector(Connections(ConnectionLimits())))

    collecting = CollectMetrics(["idp"], health, lambda: 0)
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    finding = FindingMetrics(health, store, FindingKeeper(store, None, DEFAULT), list)
    registries = (metrics.registry, delivery.registry, connections, collecting.registry, finding.registry)

    assert set().union(*map(names_of, registries)) == named
    store.close()


def names_of(registry: CollectorRegistry) -> set[str]:
    """Return the names of our series in queries, without the suffixes that histograms and the client library add."""
    families = [family for family in registry.collect() if family.name.startswith("delegraph_")]
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    return names | {"delegraph_position_age_seconds", "delegraph_last_commit_timestamp_seconds"}


# Health


def test_a_loop_that_stops_turning_is_not_alive():
    """
    A start may take long; a loop that has run and then stops for too long is considered dead.
    """
    clock = Clock()
    health = Health(clock, stalled_seconds=60)
    clock.now += 1_000
    at_start = health.stalled()
    health.turned()
    clock.now += 60
    in_time = health.stalled()
    clock.now += 1

    assert (None, None, "the loop has not turned for 61 s") == (at_start, in_time, health.stalled())


def test_a_consumer_is_ready_once_it_knows_its_lag():
    """
    It is ready once it knows its lag; not while it waits after a fault, and not right after a rebalance.
    """
    metrics, health = measured()
    seen = [health.reasons()]
    health.turned()
    metrics.lag({})
    seen.append(health.reasons())
    metrics.assigned([("decisions", 0), ("decisions", 1)])
    metrics.lag({("decisions", 0): 3})
    seen.append(health.reasons())
    metrics.lag({("decisions", 0): 3, ("decisions", 1): 0})
    seen.append(health.reasons())
    metrics.fault("UnavailableError", 1.0)
    seen.append(health.reasons())
    metrics.committed(Outcomes(1, 0, 0, 0, 0), 1, 0.1, 0.1)
    seen.append(health.reasons())
    metrics.assigned([("decisions", 0)])
    seen.append(health.reasons())

    unknown = "it is not known yet how far behind the projection is"
    assert [
        ["the loop has not begun"],
        [unknown],
        [unknown],
        [],
        ["waiting after a fault: UnavailableError"],
        [],
        [unknown],
    ] == seen


# HTTP


@contextmanager
def served(
    health: Health | None = None, routes: dict[str, Any] | None = None, address: str = "127.0.0.1:0"
) -> Iterator[Serving]:
    metrics, _ = measured()
    with Serving(address, metrics.exposition, health or Health(), routes) as serving:
        yield serving


def ask(serving: Serving, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def say(serving: Serving, raw: bytes) -> bytes:
    """Send some bytes and return everything that comes back."""
    with socket.create_connection(("127.0.0.1", serving.port), timeout=30) as connection:
        connection.sendall(raw)
        return connection.makefile("rb").read()


def status_of(raw: bytes) -> int:
    return int(raw.split(b" ", 2)[1])


def test_metrics_are_served_as_prometheus_reads_them():
    """
    /metrics answers with the text format and its content type.
    """
    with served() as serving:
        status, headers, body = ask(serving, "/metrics")

    assert (200, "text/plain; version=0.0.4; charset=utf-8") == (status, headers["content-type"])
    assert "delegraph_records" in {family.name for family in text_string_to_metric_families(body.decode())}


def test_health_and_readiness_say_why_not():
    """
    A loop that hangs gives 503 and a problem document (RFC 9457) with the reason; a healthy one gives 200.
    """
    clock = Clock()
    health = Health(clock, stalled_seconds=60)
    with served(health) as serving:
        before = [ask(serving, path) for path in ("/healthz", "/readyz")]
        health.answered()
        health.lag_known(True)
        well = [ask(serving, path) for path in ("/healthz", "/readyz")]
        clock.now += 61
        after = [ask(serving, path) for path in ("/healthz", "/readyz")]

    assert [200, 503] == [status for status, _, _ in before]
    assert ["the loop has not begun"] == json.loads(before[1][2])["reasons"]
    assert [(200, {"status": "ok"}), (200, {"status": "ready"})] == [(s, json.loads(b)) for s, _, b in well]
    assert {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "the loop has not turned for 61 s",
    } == json.loads(after[0][2])
    assert ["application/problem+json"] * 2 == [headers["content-type"] for _, headers, _ in after]


def test_no_answer_identifies_the_server_software():
    """
    No answer has a Server header or a version, not even the answer to something that is not HTTP.
    """
    with served() as serving:
        none = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answers = [say(serving, raw) for raw in (none, b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n")]

    assert [404, 400, 400] == [status_of(raw) for raw in answers]
    assert all(b"server:" not in raw.lower() and b"python" not in raw.lower() for raw in answers)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"])
def test_only_reading_is_allowed(method: str):
    """
    Any method except GET and HEAD is refused with 405, whatever the path.
    """
    with served() as serving:
        status, headers, body = ask(serving, "/metrics", method)

    assert (405, "GET, HEAD") == (status, headers["allow"])
    assert json.loads(body)["status"] == 405


def test_head_is_get_without_the_body():
    """
    HEAD answers with the headers of GET and no body.
    """
    with served() as serving:
        (_, of_get, _), (status, of_head, body) = ask(serving, "/healthz"), ask(serving, "/healthz", "HEAD")

    assert (200, of_get, b"") == (status, of_head, body)


@pytest.mark.slow
def test_a_large_body_does_not_lose_the_answer():
    """
    A client that sends a megabyte where no body is expected still gets its answer.
    """
    with served() as serving:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
        answer = say(serving, head + b"x" * 1_000_000)

    assert 405 == status_of(answer)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /" + b"a" * 2 * HEAD_BYTES + b" HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 2 * HEAD_BYTES + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * 150 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"a" * 2 * HEAD_BYTES,
    ],
    ids=["line", "header", "headers", "endless"],
)
def test_a_huge_head_is_refused(raw: bytes):
    """
    A request line, a header or a number of headers beyond the limit gets 431 as soon as the limit is exceeded.
    """
    with served() as serving:
        assert 431 == status_of(say(serving, raw))


@given(st.binary(max_size=300))
def test_any_bytes_are_answered_or_dropped(raw: bytes):
    """
    Whatever arrives as a request, the answer is a status line or nothing, and the server continues.
    """
    with _shared() as serving:
        answer = say(serving, raw + b"\r\n\r\n")

        assert re.match(rb"HTTP/1\.1 [2345]\d\d ", answer) or not answer
        assert 200 == ask(serving, "/healthz")[0]


_open: list[Serving] = []


@contextmanager
def _shared() -> Iterator[Serving]:
    """Share one server among all examples of a property."""
    if not _open:
        _open.append(Serving("127.0.0.1:0", lambda: b"", Health(), {}))
        _open[0].start()
    yield _open[0]


@pytest.fixture(scope="module", autouse=True)
def _closed_at_the_end() -> Iterator[None]:
    yield
    while _open:
        _open.pop().stop()


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except (OSError, IndexError):
            pass
        if time.monotonic() > end:
            pytest.fail("it never came to be")
        time.sleep(0.02)


def test_routes_are_answered_on_loopback():
    """
    A mounted route is called with the query, and the response has its status and document.
    """
    asked = []

    def status(query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        asked.append(query)
        return 200, {"state": "active", "id": "agent:\u202e"}

    with served(routes={"/status": status}) as serving:
        answer = ask(serving, "/status?of=token:a%20b&of=token:c&at=")

    assert (200, {"state": "active", "id": "agent:\u202e"}) == (answer[0], json.loads(answer[2]))
    assert [{"of": ["token:a b", "token:c"], "at": [""]}] == asked


@pytest.mark.parametrize(
    ("fault", "status", "detail"),
    [
        (RefusedError("of= is missing"), 400, "of= is missing"),
        (UnavailableError("the store is away"), 503, "the store is away"),
        (ZeroDivisionError("secret detail"), 500, "see the log"),
    ],
)
def test_a_route_that_fails_is_a_problem(fault: Exception, status: int, detail: str):
    """
    One of our own errors is reported; any other exception is logged and not reported.
    """

    def route(_query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        raise fault

    with logging_to(io.StringIO(), LogSettings("json", "info")), served(routes={"/x": route}) as serving:
        answer = ask(serving, "/x")

    assert (status, detail) == (answer[0], json.loads(answer[2])["detail"])


@pytest.mark.parametrize("query", ["of=%ff", "&".join(f"a{n}=1" for n in range(65))], ids=["no UTF-8", "many"])
def test_an_invalid_query_is_refused(query: str):
    """
    A query that is not UTF-8, or has more fields than any question, gets 400.
    """
    with served(routes={"/x": lambda _query: (200, {})}) as serving:
        assert 400 == ask(serving, f"/x?{query}")[0]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9464", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:9464", 421),
        ("", 421),
        ("[", 400),
    ],
)
def test_a_web_page_cannot_read_routes_through_a_browser(host: str, status: int):
    """
    A route answers only under a name of this machine, so a page whose host name resolves to it gets nothing.
    """
    with served(routes={"/x": lambda _query: (200, {})}) as serving:
        assert status == ask(serving, "/x", Host=host)[0]


def test_routes_are_served_on_loopback_only(capsys: pytest.CaptureFixture[str]):
    """
    On an address other than loopback only metrics and health are served, with a warning.
    """
    lines = io.StringIO()
    with (
        logging_to(lines, LogSettings("json", "info")),
        served(routes={"/x": lambda _query: (200, {})}, address="0.0.0.0:0") as serving,
    ):
        statuses = [ask(serving, path)[0] for path in ("/metrics", "/healthz", "/x")]

    assert [200, 200, 404] == statuses
    assert ["warning"] == [json.loads(line)["level"] for line in lines.getvalue().splitlines()]


@pytest.mark.parametrize(
    "address",
    ["", "9464", ":9464", "localhost", "localhost:", "localhost:x", "localhost:65536", "::1:9464", "[::1:1", "a:-1"],
)
def test_a_bad_address_is_one_clear_error(address: str):
    """
    An address that is not host:port is refused by name before anything is bound.
    """
    with pytest.raises(RefusedError, match="is no address to listen on"):
        address_of(address)


@pytest.mark.parametrize("address", ["no-such-host.invalid:0", "..:1", f"{'a' * 70}:1", "192.0.2.1:0"])
def test_an_address_that_is_not_ours_is_one_clear_error(address: str):
    """
    A host that cannot be found, or is not an address of this machine, is refused with the setting to change.
    """
    with pytest.raises(RefusedError, match=r"cannot listen on .*DELEGRAPH_LISTEN"):
        Serving(address, lambda: b"", Health())


def test_a_port_in_use_is_one_clear_error():
    """
    A port in use is refused, and its owner keeps it.
    """
    with served() as serving:
        with pytest.raises(RefusedError, match=f"cannot listen on 127.0.0.1:{serving.port}: Address already in use"):
            Serving(f"127.0.0.1:{serving.port}", lambda: b"", Health())

        assert 200 == ask(serving, "/healthz")[0]


def test_a_port_is_free_again_at_once():
    """
    After stop the same port can be bound; connections in between are refused.
    """
    with served() as serving:
        ask(serving, "/healthz")

    with pytest.raises(ConnectionRefusedError):
        ask(serving, "/healthz")
    with served(address=f"127.0.0.1:{serving.port}") as again:
        assert 200 == ask(again, "/healthz")[0]


# Logs


def lines_of(format_: str, speak: Callable[[], None], level: str = "info", clock: Clock | None = None) -> str:
    stream = io.StringIO()
    with logging_to(stream, LogSettings(format_, level), monotonic=clock or Clock()):
        speak()
    return stream.getvalue()


def test_a_line_has_time_level_logger_and_message():
    """
    A JSON line has these four, then the extra fields, then the exception with its traceback.
    """

    def speak() -> None:
        try:
            int("no good")
        except ValueError:
            logging.getLogger("ingest.kafka.consumer").exception("gave up after %d", 3, extra={"partition": 7})

    document = json.loads(lines_of("json", speak))

    assert ["timestamp", "level", "logger", "event", "partition", "exception"] == list(document)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", document.pop("timestamp"))
    assert document.pop("exception").endswith("'no good'")
    assert {"level": "error", "logger": "ingest.kafka.consumer", "event": "gave up after 3", "partition": 7} == document


HOSTILE = st.text(
    st.one_of(st.characters(), st.sampled_from("\n\r\x1b\0\x7f\u2028\u2029\u202e\ud800\x85\x0b\x0c")), max_size=60
)


@pytest.mark.parametrize("format_", FORMATS)
@given(text=HOSTILE)
def test_no_text_breaks_a_line(format_: str, text: str):
    """
    Whatever a message, an argument, an extra or an exception contains, it is one line without terminal controls.
    """

    def speak() -> None:
        logger = logging.getLogger("ingest.x")
        logger.info("%s", text, extra={"field": text, "nested": {"a": [text]}})
        logger.info("after")

    lines = lines_of(format_, speak).split("\n")

    assert 3 == len(lines)  # the last one is empty
    assert all(line.isprintable() for line in lines)
    if format_ == "json":
        document = json.loads(lines[0])
        assert [document["field"]] * 2 == [document["event"], document["nested"]["a"][0]]


@given(text=HOSTILE)
def test_no_exception_forges_a_line_of_text(text: str):
    """
    In text every line of a traceback is marked as one.
    """

    def speak() -> None:
        logging.getLogger("ingest.x").error("said", exc_info=ValueError(text))

    first, *rest, last = lines_of("text", speak).split("\n")

    assert first.endswith("error    ingest.x: said")
    assert rest
    assert last == ""
    assert all(line.startswith("  | ") and line.isprintable() for line in rest)


@pytest.mark.parametrize("format_", FORMATS)
def test_no_credential_is_logged(format_: str):
    """
    No raw token, password in a URL, or value named as a secret is in the line, wherever it was.
    """

    def speak() -> None:
        logger = logging.getLogger("ingest.x")
        logger.info("got %s", TOKEN, extra={"deep": {"list": [TOKEN]}, "token": "https://idp.example#1"})
        logger.info("connect postgresql://delegraph:hunter2@db:5432/x", extra={"client_secret": "hunter2"})
        logger.info("escaped %r", TOKEN.replace(".", "\\u002e"), extra={"value": {"password": "hunter2"}})
        logger.error("failed", exc_info=ValueError(f"bad token {TOKEN}"))
        logger.info("%s %s %s", "x" * 100_000, TOKEN, "y" * 100_000)

    lines = lines_of(format_, speak)

    assert not [secret for secret in ("hunter2", *TOKEN.split(".")[:2]) if secret in lines]
    assert "https://idp.example#1" in lines  # an id is not a credential
    assert "sha256:" in lines


def test_a_long_text_is_cut_and_says_so():
    """
    The beginning and the end are kept, with the original number of characters.
    """
    cut = clean_text("a" * 10_000 + "b" * 10_000)

    assert len(cut) < 9_000
    assert re.fullmatch(r"a+ \.\.\. \(20,000 characters\) \.\.\. b+", cut)


def test_a_message_that_cannot_be_formatted_is_one_line():
    """
    A logging call with wrong arguments is one line that says so, not a traceback among JSON lines.
    """
    document = json.loads(lines_of("json", lambda: logging.getLogger("ingest.x").info("%d %d", 1)))  # noqa: PLE1206 (the mistake)

    assert "a log message could not be written" in document["event"]


def test_numbers_that_json_lacks_are_strings():
    """
    NaN and infinity are written as strings, so the line is valid JSON.
    """
    extra = {"a": float("nan"), "b": float("inf"), "c": 1.5}
    line = lines_of("json", lambda: logging.getLogger("ingest.x").info("n", extra=extra))

    document = json.loads(line, parse_constant=pytest.fail)
    assert ("nan", "inf", 1.5) == (document["a"], document["b"], document["c"])


def test_libraries_log_from_warning_on():
    """
    Our loggers write at the configured level, others from WARNING on; at DEBUG Kafka's client writes too.
    """

    def speak() -> None:
        for name in ("ingest.x", "lineage.x", "kafka.x", "alembic.x"):
            for level in ("debug", "info", "warning"):
                getattr(logging.getLogger(name), level)("heard")

    def messages_at(level: str) -> list[tuple[str, str]]:
        documents = map(json.loads, lines_of("json", speak, level).splitlines())
        return [(document["logger"], document["level"]) for document in documents]

    others = [("kafka.x", "warning"), ("alembic.x", "warning")]
    assert [
        (f"{ours}.x", level) for ours in ("ingest", "lineage") for level in ("info", "warning")
    ] + others == messages_at("info")
    assert ("kafka.x", "info") in messages_at("debug")
    assert ("kafka.x", "debug") not in messages_at("debug")
    assert [("ingest.x", "warning"), ("lineage.x", "warning"), *others] == messages_at("warning")


def test_repeated_lines_of_a_library_are_limited():
    """
    A statement of Kafka's client is logged once in a few seconds with the number of suppressed lines; ours always are.
    """
    clock = Clock()

    def speak() -> None:
        for n in range(1_000):
            logging.getLogger("kafka.client").warning("broker %d is away", n)
            logging.getLogger("ingest.x").warning("ours")
            if n == 500:
                clock.now += FLOOD_SECONDS
        logging.getLogger("kafka.client").error("another statement")

    documents = [json.loads(line) for line in lines_of("json", speak, clock=clock).splitlines()]

    assert 1_000 == sum(document["logger"] == "ingest.x" for document in documents)
    kafka = [(d["event"], d.get("suppressed")) for d in documents if d["logger"] == "kafka.client"]
    assert [("broker 0 is away", None), ("broker 501 is away", 500), ("another statement", None)] == kafka


def test_a_warning_and_a_thread_that_dies_are_lines():
    """
    Warnings and uncaught exceptions, which would go to standard error, are log lines.
    """

    def speak() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()

    warned, died = (json.loads(line) for line in lines_of("json", speak).splitlines())

    assert ("py.warnings", "warning") == (warned["logger"], warned["level"])
    assert "critical" == died["level"]
    assert died["exception"].endswith("ZeroDivisionError: division by zero")


def test_logging_is_as_it_was_afterwards():
    """
    A program that runs a command in its own process keeps its logging configuration.
    """
    root, ours = logging.getLogger(), logging.getLogger("ingest")
    before = (root.handlers[:], root.level, ours.level, threading.excepthook)

    lines_of("json", lambda: None, "debug")

    assert before == (root.handlers[:], root.level, ours.level, threading.excepthook)


@pytest.mark.parametrize(
    ("environ", "terminal", "expected"),
    [
        ({}, True, LogSettings("text", "info")),
        ({}, False, LogSettings("json", "info")),
        ({"DELEGRAPH_LOG_FORMAT": "TEXT", "DELEGRAPH_LOG_LEVEL": "Debug"}, False, LogSettings("text", "debug")),
        ({"DELEGRAPH_LOG_FORMAT": "json", "DELEGRAPH_LOG_LEVEL": ""}, True, LogSettings("json", "info")),
    ],
)
def test_how_to_log_is_a_setting(environ: dict[str, str], terminal: bool, expected: LogSettings):
    """
    The default is text on a terminal and JSON elsewhere.
    """
    assert expected == LogSettings.of(environ, terminal=terminal)


@pytest.mark.parametrize("environ", [{"DELEGRAPH_LOG_FORMAT": "xml"}, {"DELEGRAPH_LOG_LEVEL": "loud"}])
def test_an_invalid_logging_setting_is_refused(environ: dict[str, str]):
    """
    An unknown format or level is refused by name, with the valid ones.
    """
    with pytest.raises(RefusedError, match=f"{next(iter(environ))} is '(xml|loud)'; it can be"):
        LogSettings.of(environ, terminal=True)


# Traces


def exported(work: Callable[[Any], None]) -> list[Any]:
    """Return the spans that some work leaves at an exporter."""
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    with tracer_to(exporter) as traced:
        work(traced)
    return list(exporter.get_finished_spans())


def test_the_steps_of_a_batch_are_spans():
    """
    Each step of a batch is a child of its span, with its counts as attributes.
    """

    def work(traced: Any) -> None:
        with traced("batch") as batch:
            with traced("poll"):
                pass
            with traced("transaction") as step:
                step.note(accepted=3)
            batch.note(records=4)

    poll, transaction, batch = exported(work)

    assert ["poll", "transaction", "batch"] == [span.name for span in (poll, transaction, batch)]
    assert {batch.context.span_id} == {poll.parent.span_id, transaction.parent.span_id}
    assert ({"delegraph.accepted": 3}, {"delegraph.records": 4}) == (
        dict(transaction.attributes),
        dict(batch.attributes),
    )
    assert "delegraph" == batch.resource.attributes["service.name"]


def test_a_batch_is_linked_to_a_few_of_the_traces_it_comes_from():
    """
    The first valid traceparents become links, each once; invalid ones are skipped.
    """
    good = [f"00-{n:032x}-{n:016x}-01" for n in range(1, 40)]
    bad = ["", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", good[0].replace("00-", "ff-"), good[0] + "-x", "\n" + good[0]]

    def work(traced: Any) -> None:
        with traced("batch") as span:
            span.link([*bad, good[0], good[0], *good])

    (span,) = exported(work)

    assert list(range(1, LINKS + 1)) == [link.context.trace_id for link in span.links]


def test_a_fault_marks_its_span():
    """
    The span of a failed step has an error status, and the exception propagates.
    """

    def work(traced: Any) -> None:
        with pytest.raises(UnavailableError), traced("transaction"):
            raise UnavailableError("the store is away")

    (span,) = exported(work)

    assert "ERROR" == span.status.status_code.name


@pytest.mark.parametrize(
    "environ",
    [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}],
)
def test_without_an_endpoint_nothing_is_traced(environ: dict[str, str]):
    """
    The tracer does nothing, and does not even read what would be linked.
    """

    def never() -> Iterator[str]:
        pytest.fail("it was looked at")
        yield ""

    with tracer(environ) as traced, traced("batch") as span, traced("poll"):
        span.link(never())
        span.note(records=1)

    assert no_tracer is traced


def test_an_unavailable_endpoint_delays_nothing(monkeypatch: pytest.MonkeyPatch):
    """
    If nobody accepts the spans, work continues, and shutdown takes a few seconds at most.
    """
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # accepts by its backlog, and never answers
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2")  # the thread that tries continues a little longer
        began = time.monotonic()
        with tracer({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}) as traced, traced("batch"):
            pass
        took = time.monotonic() - began

    assert traced is not no_tracer
    assert took < 5


# All of it in a consumer


@pytest.mark.slow
def test_a_consumer_reports_its_state(tmp_path: Path):
    """
    A real consumer reports its address, becomes ready, counts what it projects, ends within two seconds of SIGTERM, and
    writes only JSON lines to standard error.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("DELEGRAPH_")}
    env |= {"DELEGRAPH_STORE": f"sqlite:///{tmp_path}/store.db", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", "from lineage.serve.cli.main import main; main()"]
    subprocess.run([*words, "emit", ROOT / "examples" / "incident.jsonl"], check=True, env=env, capture_output=True)

    for records in (44, 0, 0):  # a machine that is busy may take longer for anything: then it is asked again
        took = seconds_to_leave(words, env, tmp_path / "errors", records)
        if took < 2:
            break
    assert took < 2


def seconds_to_leave(words: list[str], env: dict[str, str], errors: Path, records: int) -> float:
    with errors.open("wb") as stream:
        consumer = subprocess.Popen(
            [*words, "consume", "--listen", "127.0.0.1:0"], env=env, stdout=subprocess.DEVNULL, stderr=stream
        )
    try:
        where = re.compile(r"http://127\.0\.0\.1:(\d+)\"")
        until(lambda: where.search(errors.read_text()) is not None)
        port = int(where.findall(errors.read_text())[0])
        until(lambda: get(port, "/readyz")[0] == 200)
        until(lambda: f"delegraph_records_total {records}.0".encode() in get(port, "/metrics")[1])
        status = json.loads(get(port, "/healthz")[1])
        began = time.monotonic()
        consumer.send_signal(signal.SIGTERM)
        code = consumer.wait(timeout=20)
        took = time.monotonic() - began
    finally:
        consumer.kill()
        consumer.wait()

    assert (0, {"status": "ok"}) == (code, status)
    assert all("event" in json.loads(line) for line in errors.read_text().splitlines())
    return took


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "message"), [("consume", "does not exist; create it first"), ("deliver", "no store at")]
)
def test_a_missing_folder_or_store_is_reported_at_once(command: str, message: str, tmp_path: Path):
    """
    A missing folder or store is reported at once: waiting would hide a mistyped path.
    """
    words = [sys.executable, "-c", "from lineage.serve.cli.main import main; main()", command]
    run = subprocess.run(
        [*words, "--store", f"sqlite:///{tmp_path}/none/none.db"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert run.returncode == 5
    assert message in run.stderr
    assert "trying again" not in run.stderr
