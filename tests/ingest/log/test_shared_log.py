"""One log for the threads of a server: while it is unavailable nobody waits for it, and it is reopened by itself."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ingest.log import shared as shared_log
from ingest.log.shared import SharedLog
from lineage.core.model.errors import UnavailableError
from lineage.core.model.records import DECISIONS
from tests.support.kafka_worlds import wait_until


class Broker:
    """A log that can be unavailable, and slow to open."""

    def __init__(self) -> None:
        self.away = False
        self.opened, self.closed, self.appended = 0, 0, 0
        self.may_open = threading.Event()
        self.may_open.set()

    def open(self) -> Any:
        assert self.may_open.wait(60)
        self.opened += 1
        return self

    def ends(self) -> dict[tuple[str, int], int]:
        if self.away:
            raise UnavailableError("the broker does not answer")
        return {(DECISIONS, 0): 7}

    def append(self, entries: list[Any]) -> list[Any]:
        self.appended += 1
        return []

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr(shared_log, "AWAY_SECONDS", 0.05)
    made = Broker()
    yield made
    made.may_open.set()


def refusal(log: SharedLog) -> str:
    with pytest.raises(UnavailableError) as fault:
        log.ends()
    return str(fault.value)


def test_a_log_that_comes_back_is_reopened_automatically(broker: Broker):
    """
    After that no request is refused, and every opened log is closed.
    """
    log = SharedLog(broker.open)
    before = log.ends()
    broker.away = True
    reasons = {refusal(log) for _ in range(10)}
    broker.away = False

    def is_back() -> bool:
        try:
            return log.ends() == before
        except UnavailableError:
            return False

    wait_until(is_back)
    log.close()
    assert {"the broker does not answer"} == reasons
    assert broker.opened == broker.closed > 1


def test_nobody_waits_while_the_log_is_reopened(broker: Broker):
    """
    Reopening may take long; meanwhile every caller gets the last error at once.
    """
    log = SharedLog(broker.open)
    log.ends()
    broker.may_open.clear()
    broker.away = True
    reasons = [refusal(log) for _ in range(1_000)]
    log.close()

    assert ["the broker does not answer"] * 1_000 == reasons
    assert 1 == broker.opened


def test_nothing_is_written_to_an_unavailable_log(broker: Broker):
    """
    A write to an unavailable broker would wait for it, with all later callers; so it is checked first.
    """
    log = SharedLog(broker.open)
    broker.away = True
    with pytest.raises(UnavailableError):
        log.append([])
    log.close()

    assert 0 == broker.appended


def test_a_closed_log_is_not_reopened(broker: Broker):
    """
    A log that was being opened at that time is closed as well.
    """
    log = SharedLog(broker.open)
    log.ends()
    broker.may_open.clear()
    broker.away = True
    refusal(log)
    log.close()
    broker.away = False
    broker.may_open.set()

    for thread in threading.enumerate():
        if thread.name == "delegraph-log":
            thread.join(60)
    assert broker.opened == broker.closed
