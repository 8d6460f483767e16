"""Two processes that serve one store: one key gives one order, with concurrent requests and crashes."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from ingest.log.port import Entry, Log
from lineage.core.model.errors import UnavailableError
from lineage.core.model.records import Position
from lineage.core.model.times import SECOND, format_instant
from lineage.serve.cli.main import main
from lineage.serve.commands import revoke
from lineage.store.plans import claim_revocation
from lineage.store.store import Store
from tests.support.http_worlds import ASKED, LEAKED, World, api_over, problem_type
from tests.support.places import ROOT
from tests.support.serving import WRITE, process
from tests.support.stores import KINDS, fresh_places

ID = LEAKED.removeprefix("token:")
ORDER = {"target": {"kind": "token", "id": ID}, "reason": "credential_leak"}
KEY = {"Idempotency-Key": "retry-1"}
KEYS = 8


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the URL of an empty store on either database."""
    for fresh in fresh_places(request):
        with fresh() as url:
            yield url


class Watched:
    """A log that calls a function before each append."""

    def __init__(self, log: Log, before: Callable[[list[Entry]], object]) -> None:
        self._log = log
        self._before = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_log"], name)

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        entries = list(entries)
        self._before(entries)
        return self._log.append(entries)


class AppendsAndDies(Watched):
    """A log that appends, and then fails instead of answering."""

    def __init__(self, log: Log) -> None:
        super().__init__(log, lambda _entries: None)

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        super().append(entries)
        raise UnavailableError("the broker does not answer")


def orders_in(world: World) -> list[tuple[str, int]]:
    """Return the ids of all revocations, with their number of orders."""
    found = [item["revocation"] for item in world.get("/v1/revocations").json()["items"]]
    return [(id_, len(world.get(f"/v1/revocations/{id_}").json()["orders"])) for id_ in found]


def test_one_key_at_two_processes_at_the_same_time_is_one_order(place: str, tmp_path: Path):
    """
    Both have found no earlier order and are about to order: there is one order, and one answer is a repetition.
    """
    both = threading.Barrier(2, timeout=60)

    def opening(log: Log) -> Log:
        return Watched(log, lambda _entries: both.wait())

    with ExitStack() as stack:
        stack.enter_context(api_over(place, tmp_path))  # makes the incident
        worlds = [stack.enter_context(api_over(place, tmp_path, opening=opening)) for _ in range(2)]
        pool = stack.enter_context(ThreadPoolExecutor(2))
        found = list(pool.map(lambda world: world.post("/v1/revocations", json=ORDER, headers=KEY), worlds))
        orders = orders_in(worlds[0])

    first, again = sorted((one.json() for one in found), key=lambda order: order["repeated"])
    assert [(first["revocation"], 1)] == orders
    assert ([201, 201], [False, True]) == ([one.status_code for one in found], [first["repeated"], again["repeated"]])
    assert (first["revocation"], first["kills"]) == (again["revocation"], again["kills"])


def test_of_two_orders_with_one_key_at_the_same_time_one_is_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """
    Of two different orders with one key, both about to be given, one is given and the other is refused.
    """
    claiming = threading.Barrier(2, timeout=60)

    def claim_together(store: Store, revocation: str, value: bytes) -> bytes:
        claiming.wait()
        return claim_revocation(store, revocation, value)

    monkeypatch.setattr(revoke, "claim_revocation", claim_together)
    with ExitStack() as stack:
        worlds = [stack.enter_context(api_over(place, tmp_path)) for _ in range(2)]
        bodies = [ORDER, ORDER | {"reason": "test"}]
        pool = stack.enter_context(ThreadPoolExecutor(2))
        found = list(
            pool.map(
                lambda one: one[0].post("/v1/revocations", json=one[1], headers=KEY), zip(worlds, bodies, strict=True)
            )
        )
        orders = orders_in(worlds[0])

    assert [201, 422] == sorted(one.status_code for one in found)
    assert [1] == [number for _, number in orders]


def test_a_process_that_dies_before_ordering_does_not_block_its_key(place: str, tmp_path: Path):
    """
    The key was claimed and nothing ordered: another order with it is refused, and the same one is given, as of then.
    """

    def dies(_entries: list[Entry]) -> None:
        raise UnavailableError("the broker does not answer")

    with api_over(place, tmp_path):
        pass  # the incident is there
    with api_over(place, tmp_path, opening=lambda log: Watched(log, dies)) as world:
        died = world.post("/v1/revocations", json=ORDER, headers=KEY)
        assert [] == orders_in(world)
    with api_over(place, tmp_path) as world:
        world.clock.now = ASKED + 60 * SECOND
        other = world.post("/v1/revocations", json=ORDER | {"reason": "test"}, headers=KEY)
        replanned = world.post("/v1/revocations", json=ORDER | {"plan_digest": "0" * 64}, headers=KEY)
        order = world.post("/v1/revocations", json=ORDER, headers=KEY)
        orders = orders_in(world)
        [document] = world.get(f"/v1/revocations/{order.json()['revocation']}").json()["orders"]

    assert (503, [422, 422], 201) == (died.status_code, [other.status_code, replanned.status_code], order.status_code)
    assert problem_type(other) == problem_type(replanned) == "idempotency-key-reused"
    assert [(order.json()["revocation"], 1)] == orders
    assert (format_instant(ASKED), 3) == (document["ordered_at"], len(order.json()["kills"]["tokens"]))


def test_an_order_that_reaches_the_log_late_is_the_same_one(place: str, tmp_path: Path):
    """
    An order that was sent again because the broker did not answer may be in the log twice: it is still one order.
    """
    lost: list[Entry] = []

    def loses(entries: list[Entry]) -> None:
        lost.extend(entries)
        raise UnavailableError("the broker does not answer")

    with api_over(place, tmp_path):
        pass  # the incident is there
    with api_over(place, tmp_path, opening=lambda log: Watched(log, loses)) as world:
        assert 503 == world.post("/v1/revocations", json=ORDER, headers=KEY).status_code
    with api_over(place, tmp_path) as world:
        order = world.post("/v1/revocations", json=ORDER, headers=KEY).json()
        world.service.require_log().append(lost)
        again = world.post("/v1/revocations", json=ORDER, headers=KEY).json()
        orders = orders_in(world)

    assert [(order["revocation"], 1)] == orders
    assert (True, order["revocation"]) == (again["repeated"], again["revocation"])


def test_a_process_that_dies_after_the_append_has_ordered(place: str, tmp_path: Path):
    """
    Only the log has the order: when it is sent again, it is found and is a repetition.
    """
    with api_over(place, tmp_path):
        pass  # the incident is there
    with api_over(place, tmp_path, opening=AppendsAndDies) as world:
        died = world.post("/v1/revocations", json=ORDER, headers=KEY)
    with api_over(place, tmp_path) as world:
        order = world.post("/v1/revocations", json=ORDER, headers=KEY).json()
        orders = orders_in(world)

    assert (503, True, 3) == (died.status_code, order["repeated"], len(order["kills"]["tokens"]))
    assert [(order["revocation"], 1)] == orders


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_servers_on_one_store_give_each_key_one_order(request: pytest.FixtureRequest, tmp_path: Path, kind: str):
    """
    Each key is sent to two real processes at the same time: both answer 201, for one order, one of them as repeated.
    """
    store = f"sqlite:///{tmp_path}/store.db" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    log = f"sqlite:///{tmp_path}/log.db"
    text = ("--store", store, "--log", log)
    assert 0 == CliRunner().invoke(main, ["ingest", str(ROOT / "examples" / "incident.jsonl"), *text]).exit_code
    with ExitStack() as stack:
        clients = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            _, link = stack.enter_context(process(tmp_path / name, "serve", *text))
            client = stack.enter_context(httpx.Client(base_url=link.partition("/sign-in")[0], timeout=60))
            assert 303 == client.get(link).status_code
            clients.append(client)

        def ordered(client: httpx.Client, key: int) -> dict[str, Any]:
            body = {"target": {"kind": "token", "id": ID}, "reason": "test", "note": f"the key {key}"}
            response = client.post("/v1/revocations", json=body, headers=WRITE | {"Idempotency-Key": f"k{key}"})
            assert 201 == response.status_code, response.text
            return dict(response.json())

        pool = stack.enter_context(ThreadPoolExecutor(2))
        pairs = [list(pool.map(lambda client, key=key: ordered(client, key), clients)) for key in range(KEYS)]
        stand = {
            order["revocation"]: len(clients[0].get(f"/v1/revocations/{order['revocation']}").json()["orders"])
            for order, _ in pairs
        }

    assert [[False, True]] * KEYS == [sorted(order["repeated"] for order in pair) for pair in pairs]
    assert {pair[1]["revocation"]: 1 for pair in pairs} == stand
