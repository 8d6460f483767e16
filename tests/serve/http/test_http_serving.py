"""`delegraph serve` and `delegraph demo --serve` as processes: the link, the tail, shutdown, and refusals."""

import asyncio
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from starlette.requests import ClientDisconnect
from starlette.types import Message

from lineage.core.findings.options import DEFAULT
from lineage.serve.cli.main import main
from lineage.serve.commands.finding_keeper import FindingKeeper
from lineage.serve.config.limits import Limits
from lineage.serve.http.api import live_tail as live
from lineage.serve.http.api.live_tail import id_of
from lineage.store import kept_findings
from tests.support.asgi import get_scope
from tests.support.http_worlds import KEYS, LEAKED, World, api_over, served
from tests.support.kafka_worlds import wait_until
from tests.support.places import ROOT
from tests.support.serving import WRITE, process

EVENT = {
    "type": "principal.registered",
    "event_id": "e",
    "source": "urn:test:a",
    "principal": "human:x",
    "occurred_at": "2026-11-02T10:00:00Z",
    "kind": "human",
}


def logged(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "stderr").read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_the_demo_is_served_by_a_link(tmp_path: Path):
    """
    The link signs in; the incident can be queried and revoked, and SIGINT ends the process cleanly.
    """
    with process(tmp_path, "demo", "--serve") as (started, link):
        with httpx.Client(base_url=link.partition("/sign-in")[0]) as browser:
            signed_in = browser.get(link)
            who = browser.get("/v1/who?action=mail-7").json()
            plan = browser.get("/v1/reach", params={"of": LEAKED}).json()
            body = {"target": plan["target"], "reason": "test", "plan_digest": plan["plan_digest"]}
            order = browser.post("/v1/revocations", json=body, headers=WRITE)
            forged = browser.post("/v1/revocations", json=body)
            again = httpx.get(link)
        started.send_signal(signal.SIGINT)
        assert 0 == started.wait(30)

    assert (303, 401, 403) == (signed_in.status_code, again.status_code, forged.status_code)
    assert "human:alice@example.com" == who["human"]
    assert (201, 3, "human:dana@example.com") == (
        order.status_code, len(order.json()["kills"]["tokens"]), order.json()["ordered_by"],
    )  # fmt: skip
    token = link.rpartition("=")[2]
    assert token not in (tmp_path / "stderr").read_text(encoding="utf-8")
    reads = [line for line in logged(tmp_path) if line["event"] == "GET /v1/who"]
    assert [("human:dana@example.com", ["mail-7"])] == [(line["caller"], line["action"]) for line in reads]


@pytest.mark.slow
def test_a_store_is_served_to_callers_of_the_issuer(tmp_path: Path):
    """
    With an issuer there is no link: a token is required, and SIGTERM ends the process cleanly.
    """
    runner = CliRunner()
    store = f"sqlite:///{tmp_path}/delegraph.db"
    incident = str(ROOT / "examples" / "incident.jsonl")
    assert 0 == runner.invoke(main, ["ingest", incident, "--store", store]).exit_code
    (tmp_path / "keys.json").write_text(json.dumps(KEYS.document()), encoding="utf-8")
    (tmp_path / "delegraph.toml").write_text(
        '[http]\nissuer = "https://idp.example"\naudience = "us"\njwks = "keys.json"\n', encoding="utf-8"
    )
    os.environ["DELEGRAPH_CONFIG"] = str(tmp_path / "delegraph.toml")
    try:
        with process(tmp_path, "serve", "--store", store) as (started, address):
            unknown = httpx.get(f"{address}/v1/who?action=mail-7")
            health = httpx.get(f"{address}/readyz").json()
            delivering = [
                httpx.get(f"{address}/.well-known/jwks.json").status_code,
                httpx.post(f"{address}/introspect", data={"token": "x"}).status_code,
                httpx.get(f"{address}/.well-known/ssf-configuration").status_code,
            ]
            documented = httpx.get(f"{address}/openapi.json").json()["paths"]
            started.send_signal(signal.SIGTERM)
            assert 0 == started.wait(30)
    finally:
        del os.environ["DELEGRAPH_CONFIG"]

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
    assert (401, "ready") == (unknown.status_code, health["status"])
    assert [200, 401, 501] == delivering
    assert {"/introspect", "/ssf/streams", "/v1/who"} <= documented.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("listen", "message"),
    [
        ("0.0.0.0:0", "loopback only"),
        ("[::]:0", "loopback only"),
        ("203.0.113.7:80", "loopback only"),
        ("8480", "no address"),
        ("127.0.0.1:http", "no address"),
        ("127.0.0.1:99999", "no port"),
    ],
)
def test_without_an_issuer_no_other_address_is_served(tmp_path: Path, listen: str, message: str):
    """
    Without authentication only this machine is served: otherwise exit code 2, with what to configure.
    """
    result = CliRunner().invoke(main, ["demo", "--serve", "--http", listen])

    assert (2, True) == (result.exit_code, message in result.output)


def test_a_port_in_use_is_refused():
    """
    The second process on a port ends with a message.
    """
    import socket

    with socket.create_server(("127.0.0.1", 0)) as occupied:
        listen = f"127.0.0.1:{occupied.getsockname()[1]}"
        result = CliRunner().invoke(main, ["demo", "--serve", "--http", listen])

    assert (2, True) == (result.exit_code, f"cannot listen on {listen}" in result.output)


def test_there_is_nothing_to_serve_without_a_store(tmp_path: Path):
    """
    A missing store is reported at the start, and not to every caller.
    """
    result = CliRunner().invoke(main, ["serve", "--store", f"sqlite:///{tmp_path}/none.db", "--http", "127.0.0.1:0"])

    assert (5, True) == (result.exit_code, "there is no store" in result.output)


# The live tail


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[World, str]]:
    """Return the incident behind a real server."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world, served(world.app) as url:
        yield world, url


class Listener:
    """Listens in a separate thread, and records the events."""

    def __init__(self, world: World, url: str, last: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {world.token()}"} | ({"Last-Event-ID": last} if last else {})
        self.heard: list[dict[str, str]] = []
        self._client = httpx.Client(timeout=60)
        self._response = self._client.send(
            self._client.build_request("GET", f"{url}/v1/live", headers=headers), stream=True
        )
        self.status = self._response.status_code
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        event: dict[str, str] = {}
        try:
            for line in self._response.iter_lines():
                name, _, value = line.partition(": ")
                if name:
                    event[name] = value
                elif event:
                    self.heard.append(event)
                    event = {}
        except httpx.HTTPError:
            return

    def names(self) -> list[str]:
        return [event["event"] for event in self.heard]

    def close(self) -> None:
        self._response.close()
        self._client.close()


@pytest.mark.slow
def test_every_listener_receives_new_facts(api: tuple[World, str]):
    """
    Each listener gets a greeting and each new fact once, and resumes after an interruption.
    """
    world, url = api
    listeners = [Listener(world, url) for _ in range(3)]
    for listener in listeners:
        wait_until(lambda listener=listener: listener.names() == ["hello"])
    world.post("/v1/events", "producer", json=[EVENT])
    for listener in listeners:
        wait_until(lambda listener=listener: listener.names() == ["hello", "fact"])
    listeners[0].close()
    world.post("/v1/events", "producer", json=[EVENT | {"event_id": "e2"}])
    back = Listener(world, url, listeners[0].heard[-1]["id"])
    wait_until(lambda: back.names() == ["hello", "fact"])
    for listener in (*listeners[1:], back):
        listener.close()

    received = json.loads(back.heard[-1]["data"])
    assert ("principal:human:x", "e2") == (received["of"], received["event"]["event_id"])


@pytest.mark.slow
def test_listeners_receive_findings(api: tuple[World, str]):
    """
    What a keeper writes to the index comes as separate events; a listener that was disconnected gets what was
    written since.
    """
    world, url = api
    listener = Listener(world, url)
    wait_until(lambda: listener.names() == ["hello"])
    began = listener.heard[-1]["id"]
    keeper = FindingKeeper(world.service.store, None, DEFAULT)
    keeper.sweep(world.service.clock())
    wait_until(lambda: "finding" in listener.names())
    count = kept_findings.latest_seq(world.service.store)
    wait_until(lambda: listener.names().count("finding") == count)
    back = Listener(world, url, began)
    wait_until(lambda: back.names().count("finding") == count)
    listener.close()
    back.close()

    received = [json.loads(event["data"]) for event in back.heard if event["event"] == "finding"]
    assert {"finding.opened"} == {one["type"] for one in received}
    assert "wielder-mismatch" in {one["finding"]["kind"] for one in received}


def test_omitted_events_are_reported_to_the_listener(api: tuple[World, str], monkeypatch: pytest.MonkeyPatch):
    """
    Omitted events are reported as omitted.
    """
    monkeypatch.setattr(live, "CAUGHT_UP", 10)
    world, url = api
    listener = Listener(world, url, id_of({("decisions", 0): 1}))
    wait_until(lambda: len(listener.heard) >= 2)
    listener.close()

    assert ["hello", "skipped"] == listener.names()[:2]
    assert ("decisions", 1) == tuple(json.loads(listener.heard[1]["data"])[name] for name in ("topic", "from"))


@pytest.mark.parametrize("last", ["x", "W10x", id_of({("decisions", 0): -1}), id_of({("decisions", 1 << 50): 1})])
def test_an_invalid_event_id_is_refused(api: tuple[World, str], last: str):
    """
    The problem for an invalid Last-Event-ID names the header.
    """
    world, _ = api
    response = world.get("/v1/live", headers={"Last-Event-ID": last})

    assert (400, "Last-Event-ID") == (response.status_code, response.json()["parameter"])


@pytest.mark.slow
def test_the_tail_has_a_limited_number_of_listeners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    One listener too many is refused with 503; a disconnected one makes room.
    """
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.2)  # a disconnect is noticed at the next write
    limits = Limits(listeners=1)
    with (
        api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, limits=limits) as world,
        served(world.app) as url,
    ):
        first = Listener(world, url)
        wait_until(lambda: first.names() == ["hello"])
        refused = world.get("/v1/live").status_code
        first.close()
        made: list[Listener] = []

        def there_is_room() -> bool:
            made.append(Listener(world, url))
            return made[-1].status == 200

        wait_until(there_is_room)
        for listener in made:
            listener.close()

    assert 503 == refused


def test_a_client_that_leaves_before_the_tail_begins_makes_room(tmp_path: Path):
    """
    A client that disconnects before the first event is no longer counted.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        scope = get_scope("/v1/live", world.token())

        async def leave() -> Message:
            return {"type": "http.disconnect"}

        async def unheard(_message: Message) -> None:
            raise OSError("gone")

        async def come_and_go() -> str:
            with suppress(ClientDisconnect):
                await world.app(scope, leave, unheard)
            transport = httpx.ASGITransport(world.app)
            async with httpx.AsyncClient(transport=transport, base_url="https://us.example") as client:
                answer = await client.get("/metrics", headers={"Authorization": f"Bearer {world.token()}"})
                return answer.text

        assert "delegraph_http_listeners 0.0" in asyncio.run(come_and_go())


@pytest.mark.slow
def test_an_unexpected_error_is_reported_and_does_not_end_the_tail(
    api: tuple[World, str], monkeypatch: pytest.MonkeyPatch
):
    """
    Listeners are told that events are unavailable for now, and then get all that was recorded meanwhile.
    """
    world, url = api
    listener = Listener(world, url)
    wait_until(lambda: listener.names() == ["hello"])
    with monkeypatch.context() as broken:
        broken.setattr(world.service.store, "facts_between", _broken)
        world.post("/v1/events", "producer", json=[EVENT])
        wait_until(lambda: listener.names() == ["hello", "away"])
    wait_until(lambda: listener.names() == ["hello", "away", "fact"])
    listener.close()

    assert "e" == json.loads(listener.heard[-1]["data"])["event"]["event_id"]
    assert "secret" not in listener.heard[1]["data"]


def _broken(*_numbers: int) -> None:
    raise ValueError("a secret of the house")
