"""Cached answers from a store on a server: they need no thread, and none is older than its question."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ingest.codec import api as codec
from ingest.log.port import Entry, entry_of
from ingest.opening import open_log
from ingest.projector import project
from lineage.core.model.errors import UnavailableError, WouldBlockError
from lineage.core.model.events import Event, TokenIssued
from lineage.core.model.records import DECISIONS
from lineage.serve.cache.loader import Question
from lineage.serve.cache.question_cache import QuestionCache
from lineage.serve.http.core.store_checks import StoreChecks
from lineage.store.store import Version, open_store
from tests.support.http_worlds import ASKED, INGESTED, LEAKED, World, api_over, served
from tests.support.kafka_worlds import made_log, wait_until
from tests.support.kept_questions import counted

ROUNDS = 3
LONG = 3_600.0


@contextmanager
def asking(world: World) -> Iterator[httpx.Client]:
    """Serve a world, and yield a client of it."""
    with (
        served(world.app, non_blocking=world.site.non_blocking) as url,
        httpx.Client(base_url=url, headers=world.as_("investigator").headers) as client,
    ):
        yield client


def state(client: httpx.Client) -> str:
    return str(client.get("/v1/status", params={"of": LEAKED}).raise_for_status().json()["state"])


def is_answered_at_once(world: World, client: httpx.Client) -> bool:
    """Whether a status is answered without a statement of the engine, which a thread would run."""
    with counted(world.service.store) as statements:
        state(client)
    return not statements


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.postgres
def test_no_kept_answer_survives_an_order_through_another_process(postgres_url: str, kafka_url: str, tmp_path: Path):
    """
    As soon as an order or a lift is answered, a process that has kept the opposite answer gives the new one, on
    PostgreSQL with the log on Kafka; also while the end of the log is not asked again.
    """
    with (
        made_log(kafka_url),
        api_over(postgres_url, tmp_path, log_url=kafka_url, behind_seconds=LONG) as world,
        api_over(postgres_url, tmp_path, log_url=kafka_url) as other,
        asking(world) as client,
    ):
        states = [state(client)]
        for number in range(ROUNDS):
            wait_until(lambda: is_answered_at_once(world, client))
            target = {"kind": "token", "id": LEAKED.removeprefix("token:")}
            order = other.post(
                "/v1/revocations",
                json={"target": target, "reason": "credential_leak"},
                headers={"Idempotency-Key": f"round-{number}"},
            )
            states.append(state(client))
            wait_until(lambda: is_answered_at_once(world, client))
            lift = other.post(f"/v1/revocations/{order.json()['revocation']}/lift")
            states.append(state(client))

    assert (201, 200) == (order.status_code, lift.status_code)
    assert ["active", *["revoked", "active"] * ROUNDS] == states


@pytest.mark.slow
@pytest.mark.postgres
def test_a_server_that_is_gone_is_reported_and_asked_again(postgres_url: str, tmp_path: Path):
    """
    If the connection of the checks breaks, the question is answered on a thread, and a new connection is opened.
    """
    with api_over(postgres_url, tmp_path, behind_seconds=LONG) as world, asking(world) as client:
        wait_until(lambda: is_answered_at_once(world, client))
        with world.service.store.engine.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        states = [state(client) for _ in range(3)]
        wait_until(lambda: is_answered_at_once(world, client))

    assert ["active"] * 3 == states


class Server:
    """A server whose version changes, and which answers on command."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.version: Version = (b"", {})
        self.asked = 0
        self.is_closed = False

    def version_probe(self) -> "Server":
        return self

    def fileno(self) -> int:
        return self.reading

    def begin(self) -> None:
        if self.is_closed:
            raise UnavailableError("closed")
        self.asked += 1
        self.seen = self.version

    def receive(self) -> Version:
        os.read(self.reading, 1)
        return self.seen

    def answer(self) -> None:
        os.write(self.writing, b".")

    def close(self) -> None:
        self.is_closed = True


def test_requests_share_a_check_that_begins_after_they_came():
    """
    Requests that arrive while a check is in progress share the next one, so commits in between count.
    """
    server = Server()

    async def checked() -> list[object]:
        checks = StoreChecks(server)
        checks.open()
        assert checks.begin() is None  # there is no connection yet
        await asyncio.sleep(0.1)
        first = checks.begin()
        server.version = (b"", {("decisions", 0): 1})
        rest = [checks.begin() for _ in range(3)]
        for _ in range(2):
            server.answer()
            await asyncio.sleep(0.1)
        checks.close()
        return [await check for check in (first, *rest) if check is not None]

    assert ([(b"", {}), *[(b"", {("decisions", 0): 1})] * 3], 2) == (asyncio.run(checked()), server.asked)


def test_a_request_that_is_cancelled_does_not_end_the_check_of_the_others():
    """
    This holds whether its check is in progress or still to begin.
    """
    server = Server()

    async def checked() -> list[object]:
        checks = StoreChecks(server)
        checks.open()
        await asyncio.sleep(0.1)
        pairs = [(checks.begin(), checks.begin()) for _ in range(2)]
        versions: list[object] = []
        for cancelled, other in pairs:
            assert cancelled is not None
            assert other is not None
            cancelled.cancel()
        for _ in range(2):
            server.answer()
            await asyncio.sleep(0.1)
        for _, other in pairs:
            assert other is not None
            versions.append(await other)
        checks.close()
        return versions

    assert [(b"", {})] * 2 == asyncio.run(checked())


def test_a_check_that_takes_too_long_is_given_up():
    """Its requests get no version, and are answered on a thread."""
    server = Server()

    async def checked() -> object:
        checks = StoreChecks(server, seconds=0.05)
        checks.open()
        await asyncio.sleep(0.1)
        check = checks.begin()
        assert check is not None
        version = await check
        checks.close()
        return version

    assert (None, True) == (asyncio.run(checked()), server.is_closed)


def test_the_count_of_missing_records_is_as_old_as_it_may_be(tmp_path: Path):
    """
    The end of the log is read again when it is too old, and whenever something was projected.
    """
    now = [0.0]
    url = f"sqlite:///{tmp_path}/log.db"
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    log = open_log(url, create=True, clock=lambda: INGESTED)
    log.append([entry_of(Event("1", "urn:test", ASKED, TokenIssued(token="t1", subject="human:x")))])
    project(log, store, None)
    worlds = QuestionCache(store, log, None, log_inside=False, behind_seconds=10, monotonic=lambda: now[0])

    def behind() -> int:
        found = worlds.ask(Question("nothing", "token:t1", ASKED, lambda _: {}), None)
        assert found is not None
        return int(found.as_of["behind"])

    counts = [behind()]
    log.append([Entry(DECISIONS, b"another")])
    counts.append(behind())
    now[0] = 11
    counts.append(behind())
    project(log, store, None)
    log.append([Entry(DECISIONS, b"the last")])
    counts.append(behind())
    log.close()
    store.close()

    assert [0, 0, 1, 1] == counts


def test_while_the_end_of_the_log_is_read_again_nobody_else_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    When half of the time has passed, one caller has to read the end of the log; the others get cached answers.
    """
    now = [0.0]
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    log = open_log(f"sqlite:///{tmp_path}/log.db", create=True, clock=lambda: INGESTED)
    log.append([entry_of(Event("1", "urn:test", ASKED, TokenIssued(token="t1", subject="human:x")))])
    project(log, store, None)
    worlds = QuestionCache(store, log, None, log_inside=False, behind_seconds=10, monotonic=lambda: now[0])
    question = Question("nothing", "token:t1", ASKED, lambda _: {})
    begun, finished, ends = threading.Event(), threading.Event(), log.ends()

    def slow() -> dict[tuple[str, int], int]:
        begun.set()
        assert finished.wait(60)
        return {place: end + 1 for place, end in ends.items()}

    def behind() -> object:
        found = worlds.non_blocking().ask(question, None)
        return found.as_of["behind"]

    worlds.ask(question, None)
    monkeypatch.setattr(log, "ends", slow)
    counts = [behind()]
    now[0] = 6
    with pytest.raises(WouldBlockError):
        behind()
    reading = threading.Thread(target=worlds.ask, args=(question, None))
    reading.start()
    assert begun.wait(60)
    counts.append(behind())
    finished.set()
    reading.join()
    counts.append(behind())
    log.close()
    store.close()

    assert [0, 0, len(ends)] == counts
