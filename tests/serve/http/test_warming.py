"""Preparations before the first request: they end by themselves, and when serving ends."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest.codec import api as codec
from ingest.projector import read_records
from ingest.trust_file import Trust
from lineage.core.model.errors import UnavailableError
from lineage.core.model.events import Event, TokenIssued
from lineage.core.model.records import DECISIONS, Batch, Position, Record
from lineage.serve.cli.demo import ASKED
from lineage.serve.config.http_settings import HttpSettings
from lineage.serve.processes.http_process import serve
from lineage.serve.processes.http_warmup import loaded_frozen, prepare, warmed
from lineage.serve.queries.findings.findings import findings as findings_of
from lineage.serve.queries.preparation import steps_of
from lineage.serve.queries.service import Service
from lineage.serve.web import start_page
from lineage.serve.web.page_endpoint import TEMPLATES, templates
from lineage.store.database.postgres import KEPT_CONNECTIONS
from lineage.store.store import open_store
from tests.support.http_clients import client_of
from tests.support.http_worlds import api_over
from tests.support.kafka_worlds import wait_until


def warming() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "delegraph-warming"]


def test_warming_stops_when_serving_ends():
    """However much is left to do, nothing continues after the end."""
    rounds: list[int] = []

    def steps() -> Iterator[int]:
        for number in count():
            rounds.append(number)
            yield number

    with warmed(steps()):
        wait_until(lambda: len(rounds) > 2)
    done = len(rounds)

    assert ([], done) == (warming(), len(rounds))


def test_prepared_objects_are_excluded_from_garbage_collection():
    """They are frozen once warming is complete."""
    before = gc.get_freeze_count()
    try:
        with warmed(loaded_frozen()):
            wait_until(lambda: not warming())
        assert before < gc.get_freeze_count()
    finally:
        gc.unfreeze()


def test_a_server_rarely_collects_everything(tmp_path: Path):
    """Full collections, which scan all caches, are rarer while it serves; afterwards the process is as before."""
    before, meanwhile = gc.get_threshold(), []

    def say(_: str) -> None:
        meanwhile.append(gc.get_threshold())
        raise UnavailableError("stop here")

    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world, pytest.raises(UnavailableError):
        serve(world.service, HttpSettings(listen="127.0.0.1:0"), say=say)

    assert [(*before[:2], 5 * before[2])] == meanwhile
    assert before == gc.get_threshold()


def test_the_parts_of_every_page_are_loaded_before_anybody_can_request_one(tmp_path: Path):
    """Compiling them takes a quarter of a second, for which the first page would wait."""
    TEMPLATES.cache.clear()  # type: ignore[union-attr]
    loaded = set[str]()

    def say(_: str) -> None:
        loaded.update(name for _, name in TEMPLATES.cache)  # type: ignore[union-attr]
        raise UnavailableError("stop here")

    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world, pytest.raises(UnavailableError):
        serve(world.service, HttpSettings(listen="127.0.0.1:0"), say=say)

    assert {"base.html", "page.html", "parts.html"} <= loaded


def test_decoders_and_statements_are_prepared_before_anybody_can_request_a_page(tmp_path: Path):
    """They take another quarter of a second; and requests are already answered when the address is announced."""
    decoded: list[bytes] = []

    def read(value: bytes) -> Event:
        decoded.append(value)
        return codec.read(value)

    announced: list[tuple[int, bool]] = []

    def say(_: str) -> None:
        announced.append((len(decoded), asyncio.get_running_loop().is_running()))
        raise UnavailableError("stop here")

    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        store = open_store(world.service.store.url, read)
        service = Service(store, world.service.log, Trust(), world.service.clock, source="urn:test")
        with pytest.raises(UnavailableError):
            serve(service, HttpSettings(listen="127.0.0.1:0"), say=say)
        store.close()

    assert [(1, True)] == announced


def test_an_unavailable_database_does_not_prevent_serving():
    """What cannot be prepared is skipped: requests get the reason."""

    def steps() -> Iterator[int]:
        yield 1
        raise UnavailableError("away")

    prepare(steps())
    with warmed(steps()):
        wait_until(lambda: not warming())

    assert [] == warming()


def test_the_overview_of_the_first_start_page_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It takes longer than the rest of the page, and is shown again while nothing is recorded."""
    made: list[object] = []

    def attention(*args: Any, **kwargs: Any) -> Any:
        made.append(args)
        return overview(*args, **kwargs)

    overview = start_page.attention
    monkeypatch.setattr(start_page, "attention", attention)
    monkeypatch.setattr("lineage.serve.processes.http_warmup._BREATH_SECONDS", 0)

    def say(_: str) -> None:
        wait_until(lambda: made)
        raise UnavailableError("stop here")

    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        with pytest.raises(UnavailableError):
            serve(world.service, HttpSettings(listen="127.0.0.1:0"), say=say)
        made.clear()
        overviews = start_page.Overviews(world.site)
        list(overviews.steps())
        prepared = len(made)
        page = overviews.now(world.clock())

    assert [1, 1] == [prepared, len(made)]
    assert page["overview"]["as_of"] == world.service.as_of()


def test_after_it_the_first_page_has_its_templates(tmp_path: Path):
    """Every template is loaded."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        steps = [*templates(), *steps_of(world.service)]

    assert {"who.html", None} == {one for one in steps if one in ("who.html", None)}


def test_warming_does_not_depend_on_the_size_of_the_store(tmp_path: Path):
    """Only a few facts are decoded, to prepare the decoders."""
    decoded: list[bytes] = []

    def read(value: bytes) -> Event:
        decoded.append(value)
        return codec.read(value)

    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        store = open_store(world.service.store.url, read)
        list(steps_of(Service(store, world.service.log, Trust(), world.service.clock, source="urn:test")))
        store.close()

    assert 0 < len(decoded) < 5


@pytest.mark.postgres
def test_every_connection_to_a_server_has_run_the_statements_of_questions(postgres_url: str):
    """As many connections are open as stay open, and the first question opens none."""
    store = open_store(postgres_url, codec.read, create=True)
    opened: list[object] = []
    sa.event.listen(store.engine, "connect", lambda connection, _: opened.append(connection))
    list(store.warm())
    warm, kept = len(opened), store.engine.pool.checkedin()
    with ExitStack() as stack:
        for _ in range(KEPT_CONNECTIONS):
            stack.enter_context(store.connection())
    store.close()

    assert KEPT_CONNECTIONS == kept
    assert warm == len(opened)


def test_the_client_gets_all_findings_right_after_the_start(tmp_path: Path):
    """A loop over the findings is complete, including gaps in sequences, however early it runs."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        batch, last = Batch(advance={(DECISIONS, 1): (0, 100_000)}), Position(DECISIONS, 1, 100_000 - 1)
        issued = Event("late", "urn:test", ASKED, TokenIssued(token="t", subject="human:x"))
        read_records([Record(last.number, ASKED, codec.encode(issued))], None, batch)
        world.service.store.write(batch)
        found = list(client_of(world).findings())
        expected = findings_of(world.service, at=ASKED)["items"]

    assert "sequence-hole" in {one["kind"] for one in expected}
    assert expected == found
