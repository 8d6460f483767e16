"""The clock of a delivery process is that of the database server, whatever that of its machine says."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.kafka.settings import KafkaSettings
from ingest.trust_file import Trust
from lineage.core.authority.verdict import State
from lineage.core.model.errors import UnavailableError
from lineage.core.model.times import SECOND, format_instant
from lineage.deliver.http.signing_keys import load_keys
from lineage.deliver.ssf.settings import SsfSettings
from lineage.serve.commands.retention import horizon_of
from lineage.serve.config.delivery_wiring import delivery_over
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now
from lineage.serve.processes import delivery_process
from lineage.serve.processes.delivery_process import OutboxDelivery
from lineage.serve.queries.service import Service
from lineage.store.delivery.outbox import rows
from lineage.store.server_clock import ServerClock
from lineage.store.server_info import Database
from tests.support.feed_desk import Desk, lift, order, token
from tests.support.ssf_worlds import ED, pem
from tests.support.stores import KINDS, in_a_file

HOUR = 3_600 * SECOND


def ahead() -> int:
    return now() + 2 * HOUR


def reading(monkeypatch: pytest.MonkeyPatch, server_time: Callable[[], int], **clocks: Any) -> ServerClock:
    """Return the clock of a server that tells this time."""
    store: Any = None
    monkeypatch.setattr("lineage.store.server_clock.database_of", lambda _: Database("PostgreSQL", "18", server_time()))
    return ServerClock(store, **clocks)


@pytest.mark.postgres
@pytest.mark.parametrize(("kind", "expected"), [("postgres", 1), ("sqlite", 2)])
def test_a_scheduled_lift_waits_for_the_clock_of_the_server(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    expected: int,
):
    """
    The clock of this machine is two hours ahead, and the lift comes in an hour. Only on PostgreSQL that is noticed.
    """
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else f"sqlite:///{tmp_path}/store.db"
    desk = Desk(url)
    desk.add(token("t"), order("r", "token:t", mode="suspend"))
    desk.add({**lift("r", now()), "effective_at": format_instant(now() + HOUR)})
    settings = Settings.of(env={"DELEGRAPH_STORE": url, "DELEGRAPH_LOG": f"sqlite:///{tmp_path}/log.db"})
    delivery_process.deliver(settings, once=True)
    monkeypatch.setattr(delivery_process, "now", ahead)
    with caplog.at_level(logging.WARNING):
        delivery_process.deliver(settings, once=True)

    assert expected == len(rows(desk.store, after=0, limit=9))
    assert (kind == "postgres") == ("7200 s ahead of that of the database server" in caplog.text)
    desk.store.close()


def test_the_time_of_the_server_is_counted_between_two_answers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """
    The server is asked every ten seconds, and not missed while it is unavailable; a difference is reported once.
    """
    moment, server, asked = [0.0], [100 * SECOND], []

    def server_time() -> int:
        asked.append(moment[0])
        if not server:
            raise UnavailableError("gone")
        return server[0]

    clock = reading(monkeypatch, server_time, local=lambda: 90 * SECOND, monotonic=lambda: moment[0])
    found = []
    with caplog.at_level(logging.WARNING):
        for seconds in (0.0, 9.5, 10.0, 25.0):
            moment[0] = seconds
            server[:] = [] if seconds == 25 else [int((100 + seconds) * SECOND)]
            found.append(clock() / SECOND)

    assert [100, 109.5, 110, 125] == found
    assert [0.0, 10.0, 25.0] == asked
    assert -20.0 == clock.ahead_seconds
    assert 1 == caplog.text.count("10 s behind that of the database server")


def test_without_an_answer_there_is_no_time(monkeypatch: pytest.MonkeyPatch):
    """
    Nothing may be published by a clock that nobody has compared.
    """

    def server_time() -> int:
        raise UnavailableError("gone")

    with pytest.raises(UnavailableError, match="gone"):
        reading(monkeypatch, server_time, local=ahead)()


def test_without_a_server_the_clock_of_the_machine_counts():
    with in_a_file() as url:
        desk = Desk(url)
        clock = ServerClock(desk.store, lambda: 5)
        assert (5, 0.0) == (clock(), clock.ahead_seconds)
        desk.store.close()


def test_a_lift_is_not_published_and_undone_in_turns(monkeypatch: pytest.MonkeyPatch):
    """
    The clock of the server was hours ahead and is set right, which two processes notice at the same time.
    """
    server = [now() + 2 * HOUR]
    monkeypatch.setattr("lineage.store.server_clock.database_of", lambda _: Database("PostgreSQL", "18", server[0]))
    with in_a_file() as url:
        desk = Desk(url)
        desk.add(token("t"), order("r", "token:t", mode="suspend"))
        processes = [
            OutboxDelivery(desk.store, None, "sqlite:///no-log.db", KafkaSettings(), ServerClock(desk.store, now))
            for _ in range(2)
        ]
        processes[0].turn()
        desk.add({**lift("r", now()), "effective_at": format_instant(now() + HOUR)})
        processes[0].turn()
        server[0] -= 2 * HOUR
        for _ in range(5):
            for process in processes:
                process.turn()
        states = [row.change.version.outcome.state for row in rows(desk.store, after=0, limit=99)]
        desk.store.close()

    assert [State.SUSPENDED, State.ACTIVE, State.SUSPENDED] == states


@pytest.mark.parametrize("kind", KINDS)
def test_servers_and_retention_go_by_the_same_clock(request: pytest.FixtureRequest, tmp_path: Path, kind: str):
    """
    Streams of Shared Signals, and what retention may delete. Without a database server, the machine's clock counts.
    """
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else f"sqlite:///{tmp_path}/store.db"
    desk = Desk(url)
    service = Service(desk.store, None, Trust(), ahead, source="urn:test")
    key_file = tmp_path / "keys.pem"
    key_file.write_text(pem(ED))
    key_file.chmod(0o600)
    settings = SsfSettings(issuer="https://issuer.example")
    _, transmitter = delivery_over(service, settings, load_keys([key_file]))
    assert transmitter is not None
    found = [transmitter.clock() - now(), horizon_of(service, 1, None) + 24 * HOUR - now()]
    desk.store.close()

    assert [kind == "sqlite"] * 2 == [difference > HOUR for difference in found]
