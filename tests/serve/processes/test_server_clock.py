"""The clock of a delivery process is that of the database server, whatever that of its machine says."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineage.core.model.errors import UnavailableError
from lineage.core.model.times import SECOND, format_instant
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now
from lineage.serve.processes import delivery_process, server_clock
from lineage.serve.processes.server_clock import ServerClock
from lineage.store.delivery.outbox import rows
from lineage.store.server_info import Database
from tests.support.feed_desk import Desk, lift, order, token
from tests.support.stores import in_a_file

HOUR = 3_600 * SECOND


def ahead() -> int:
    return now() + 2 * HOUR


def reading(monkeypatch: pytest.MonkeyPatch, server_time: Callable[[], int], **clocks: Any) -> ServerClock:
    """Return the clock of a server that tells this time."""
    store: Any = None
    monkeypatch.setattr(server_clock, "database_of", lambda _: Database("PostgreSQL", "18", server_time()))
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
