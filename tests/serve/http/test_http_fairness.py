"""Nobody can keep a responder from revoking: writes have separate threads, and callers share those of questions."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from lineage.core.model.errors import (
    DelegraphError,
    FencedError,
    OverloadedError,
    SlowAnswerError,
    UnavailableError,
    UnprojectedError,
)
from lineage.deliver.http.callers import CallerLimitError
from lineage.serve.client_problems import fault_of
from lineage.serve.config.limits import Limits
from lineage.serve.http.api import order_endpoints
from lineage.serve.http.core.error_responses import response_of
from lineage.serve.http.core.workers import Workers
from tests.support.http_worlds import LEAKED, World, api_over, problem_type
from tests.support.kafka_worlds import wait_until

ORDER = {"target": {"kind": "token", "id": LEAKED.removeprefix("token:")}, "reason": "test"}
REACH = f"/v1/reach?of={LEAKED.replace('#', '%23')}"
FLOOD = 40


@contextmanager
def flooded(folder: Path, **limits: Any) -> Iterator[tuple[World, threading.Event]]:
    """Return the incident with a blast radius that blocks until it is released."""
    go_on = threading.Event()
    with api_over(f"sqlite:///{folder}/store.db", folder, limits=Limits(**limits)) as world:
        reach = world.service.reach

        def slow(*args: Any, **fields: Any) -> Any:
            go_on.wait(60)
            return reach(*args, **fields)

        world.service.reach = slow  # type: ignore[method-assign]
        try:
            yield world, go_on
        finally:
            go_on.set()


async def sent(world: World, role: str, method: str, path: str, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(world.app)
    headers = {"Authorization": f"Bearer {world.token(role)}"}
    async with httpx.AsyncClient(transport=transport, base_url="https://us.example", timeout=60) as client:
        return await client.request(method, path, headers=headers, **more)


def test_a_flood_of_questions_does_not_delay_orders_or_other_callers(tmp_path: Path):
    """
    While one caller's slow questions use all threads that one caller may use, an order, a lift, a batch of events and
    another caller's question are answered; further questions of the one caller are refused with 429.
    """

    async def conversation(world: World, go_on: threading.Event) -> tuple[list[int], list[httpx.Response]]:
        flood = [asyncio.create_task(sent(world, "investigator", "GET", REACH)) for _ in range(FLOOD)]
        too_many = FLOOD - world.site.limits.questions_by_caller
        while sum(task.done() for task in flood) < too_many:  # noqa: ASYNC110 (a few milliseconds)
            await asyncio.sleep(0.01)
        early = [task.result() for task in flood if task.done()]
        order = await sent(world, "responder", "POST", "/v1/revocations", json=ORDER)
        lift = await sent(world, "responder", "POST", f"/v1/revocations/{order.json()['revocation']}/lift")
        events = await sent(world, "producer", "POST", "/v1/events", json=[])
        other = await sent(world, "responder", "GET", "/v1/revocations")
        go_on.set()
        answered = await asyncio.gather(*flood)
        return [one.status_code for one in (order, lift, events, other, *answered)], early

    with flooded(tmp_path, questions_by_caller=32) as (world, go_on):
        statuses, early = asyncio.run(conversation(world, go_on))

    assert [201, 200, 200, 200] == statuses[:4]
    assert {200: 32, 429: FLOOD - 32} == Counter(statuses[4:])
    assert [("too-many-requests", "1")] * (FLOOD - 32) == [
        (problem_type(one), one.headers["retry-after"]) for one in early
    ]


@pytest.mark.parametrize("path", ["/v1/revocations", "/v1/revocations/rev-1/lift"])
def test_an_order_that_found_no_thread_is_never_given(tmp_path: Path, path: str):
    """
    An order or a lift that found no free thread in time is refused, and not given later.
    """
    go_on = threading.Event()
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, limits=Limits(seconds=0.3)) as world:
        asking = world.as_("responder")
        first = asking.post("/v1/revocations", json=ORDER | {"note": "there"}, headers={"Idempotency-Key": "1"}).json()
        before = asking.get("/v1/revocations").json()
        path = path.replace("rev-1", first["revocation"])
        pool = world.site.pools.orders
        held = [threading.Thread(target=asyncio.run, args=(pool.run(str(n), go_on.wait, 60),)) for n in range(2)]
        for thread in held:
            thread.start()
        wait_until(lambda: 0 == pool._idle)
        refused = asking.post(path, json=ORDER if path.endswith("revocations") else {})
        go_on.set()
        for thread in held:
            thread.join()
        asyncio.run(pool.run("later", lambda: None))
        after = asking.get("/v1/revocations").json()

    assert (503, "overloaded") == (refused.status_code, problem_type(refused))
    assert "nothing was begun" in refused.json()["detail"]
    assert before["items"] == after["items"]


def test_an_order_that_has_begun_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    An order that may still succeed is not answered with an error, however long it takes.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, limits=Limits(seconds=0.2)) as world:
        give = order_endpoints.give_order

        def slow(*args: Any, **fields: Any) -> Any:
            time.sleep(0.8)
            return give(*args, **fields)

        monkeypatch.setattr(order_endpoints, "give_order", slow)
        given = world.post("/v1/revocations", json=ORDER)

    assert 201 == given.status_code


def test_an_order_that_waits_too_long_for_another_is_never_given(tmp_path: Path):
    """
    An order that has a thread and waits for another one is refused after a timeout, and then not given.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, limits=Limits(seconds=0.2)) as world:
        with world.site.one_order:
            refused = world.post("/v1/revocations", json=ORDER)
        after = world.get("/v1/revocations").json()

    assert (503, "overloaded", 0) == (refused.status_code, problem_type(refused), after["total"])


def test_an_order_that_is_in_the_log_is_not_reported_as_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    If the log has it and the store cannot be written, the problem says so, and not to send it again.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        with monkeypatch.context() as locked:
            locked.setattr(world.service.store, "write", _locked)
            answer = world.post("/v1/revocations", json=ORDER)
        world.post("/v1/events", "producer", json=[])
        orders = world.get("/v1/revocations").json()

    assert (503, "unprojected", 1) == (answer.status_code, problem_type(answer), orders["total"])
    assert "do not send it again" in answer.json()["detail"]
    assert not fault_of(answer).retriable


def _locked(_batch: Any) -> Any:
    raise UnavailableError("the store is locked by another process; try again")


@pytest.mark.parametrize(
    ("fault", "status", "word"),
    [
        (UnavailableError("x"), 503, "unavailable"),
        (OverloadedError("x"), 503, "overloaded"),
        (CallerLimitError("x"), 429, "too-many-requests"),
        (SlowAnswerError("x"), 503, "slow"),
        (UnprojectedError("x"), 503, "unprojected"),
        (FencedError("x"), 503, "fenced"),
    ],
)
def test_each_reason_for_503_has_its_own_title(fault: DelegraphError, status: int, word: str):
    """
    Each reason has its own type and title; a busy server is not called unavailable.
    """
    response = response_of(fault)
    document = httpx.Response(response.status_code, content=bytes(response.body)).json()

    assert (status, word) == (response.status_code, document["type"].rpartition(":")[2])
    assert "away" not in document["title"]
    assert response.headers["retry-after"].isdigit()


# The threads


class Doing:
    """Work that runs until it is released, and a record of what was begun."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun: list[tuple[str, int]] = []
        self.most: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self._lock = threading.Lock()

    def do(self, caller: str, number: int) -> None:
        with self._lock:
            self.begun.append((caller, number))
            self._now[caller] += 1
            self.most[caller] = max(self.most[caller], self._now[caller])
        self.go_on.wait(60)
        with self._lock:
            self._now[caller] -= 1


@pytest.mark.slow
@given(
    asked=st.lists(st.sampled_from("aaab"), max_size=16),
    threads=st.integers(1, 4),
    waiting=st.integers(0, 6),
    by_caller=st.none() | st.integers(1, 4),
    is_write=st.booleans(),
    is_in_time=st.booleans(),
)
def test_a_refused_request_is_never_begun_and_others_once(
    asked: list[str], threads: int, waiting: int, by_caller: int | None, is_write: bool, is_in_time: bool
):
    """
    For any requests: what was answered with "nothing was begun" is not begun later, everything else is begun once, no
    caller exceeds their limit, and if there are more than two threads, two are left to others.
    """
    doing = Doing()
    limits = Limits(waiting=waiting, seconds=5.0 if is_in_time else 0.02)

    async def ask_all(workers: Workers) -> list[BaseException | None]:
        tasks = [asyncio.create_task(workers.run(who, doing.do, who, n)) for n, who in enumerate(asked)]
        await asyncio.sleep(0.005 if is_in_time else 0.05)
        doing.go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    with closing(Workers("test", threads, limits, by_caller=by_caller, is_write=is_write)) as workers:
        outcomes = asyncio.run(ask_all(workers))

    refused = {n for n, outcome in enumerate(outcomes) if isinstance(outcome, OverloadedError)}
    begun = [n for _, n in doing.begun]
    assert sorted(begun) == sorted(set(range(len(asked))) - refused)
    assert {type(outcome) for outcome in outcomes} <= {type(None), OverloadedError, CallerLimitError, SlowAnswerError}
    assert not (is_write and SlowAnswerError in map(type, outcomes))
    assert all(most <= min(threads - 2 if threads > 2 else threads, by_caller or 99) for most in doing.most.values())
    assert len(refused) == workers.turned_away.total()
    assert 0 == workers.waiting


def test_callers_take_turns():
    """
    A waiting caller with few requests does not queue behind all requests of one with many.
    """
    done: list[str] = []
    go_on = threading.Event()

    async def ask_all(workers: Workers) -> None:
        first = asyncio.create_task(workers.run("many", go_on.wait, 60))
        callers = ["many"] * 20 + ["few"] * 2
        others = [asyncio.create_task(workers.run(caller, done.append, caller)) for caller in callers]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *others)

    with closing(Workers("test", 1, Limits())) as workers:
        asyncio.run(ask_all(workers))

    assert [1, 3] == [place for place, who in enumerate(done) if who == "few"]


def test_a_request_that_is_cancelled_while_waiting_is_not_begun():
    """
    A request that is cancelled before its turn is not begun, and no longer counted.
    """
    doing = Doing()

    async def leave(workers: Workers) -> None:
        first = asyncio.create_task(workers.run("a", doing.do, "a", 1))
        second = asyncio.create_task(workers.run("a", doing.do, "a", 2))
        await asyncio.sleep(0.05)
        second.cancel()
        with suppress(asyncio.CancelledError):
            await second
        doing.go_on.set()
        await first

    with closing(Workers("test", 1, Limits())) as workers:
        asyncio.run(leave(workers))

    assert ([("a", 1)], 0) == (doing.begun, workers.waiting)


def test_waiting_and_refused_requests_are_counted(tmp_path: Path):
    """
    The metrics of each pool have the number of waiting requests, and of those that found no thread, by reason.
    """

    async def ask(world: World) -> None:
        await asyncio.gather(*(sent(world, "investigator", "GET", REACH) for _ in range(5)))

    with flooded(tmp_path, questions_by_caller=2, seconds=0.2) as (world, _):
        asyncio.run(ask(world))
        text = world.get("/metrics").text
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in {"delegraph_http_waiting", "delegraph_http_turned_away_total"}
    }

    pools = ("questions", "orders", "events", "acknowledgements", "own")
    expected = {("delegraph_http_waiting", pool): 0.0 for pool in pools} | {
        ("delegraph_http_turned_away_total", pool, reason): 0.0
        for pool in pools
        for reason in ("caller", "full", "late")
    }
    assert expected | {("delegraph_http_turned_away_total", "questions", "caller"): 3.0} == found
