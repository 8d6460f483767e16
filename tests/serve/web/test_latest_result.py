"""The latest result of a computation: how old it is, how often it is repeated, and what happens if it fails."""

from typing import Any

import pytest

from lineage.serve.web.latest_result import FRESH, PAUSE, SHARE, Latest


class Computation:
    """A computation that takes some seconds, in a background that runs it immediately.

    Attributes:
        seconds: The seconds that it takes.
        fault: What it raises; None for nothing.
        times: How often it was begun.
        now: The reading of its monotonic clock.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.fault: Exception | None = None
        self.times = 0
        self.now = 100.0
        self.latest = Latest("the answer", self.run, monotonic=lambda: self.now)

    def run(self, at: int) -> str:
        self.times += 1
        self.now += self.seconds
        if self.fault is not None:
            raise self.fault
        return f"as of {at}"

    def asked(self, basis: int) -> Any:
        known = self.latest.at(basis, basis, is_quick=False)
        self.latest.renew(lambda run: run())
        return known


@pytest.mark.parametrize(("seconds", "pause"), [(0.01, PAUSE), (30.0, SHARE * 30.0)])
@pytest.mark.parametrize("fault", [None, ValueError("no such table")], ids=["done", "failed"])
def test_a_computation_pauses_after_its_end(seconds: float, pause: float, fault: Exception | None):
    """
    However often it is asked for and whatever is recorded: for some seconds, and several times what it took.
    """
    one = Computation(seconds)
    one.fault = fault
    one.asked(1)
    ended = one.now
    begun = []
    for after in (0.0, pause - 0.1, pause + 0.1):
        one.now = ended + after
        one.asked(2)
        begun.append(one.times)

    assert [1, 1, 2] == begun


def test_a_result_says_as_of_when_it_is_known():
    """
    It is not fresh if something was recorded since, or if it is old.
    """
    one = Computation(1.0)
    one.asked(1)
    found = [one.latest.at(basis, now, is_quick=False) for basis, now in ((1, 1), (1, FRESH), (2, 1), (1, 1 + FRESH))]

    assert [True, True, False, False] == [known.is_fresh for known in found]
    assert {(1, "as of 1")} == {(known.result.at, known.result.value) for known in found}


def test_a_failure_is_logged_and_known_until_it_succeeds(caplog: pytest.LogCaptureFixture):
    """
    The last result stays meanwhile.
    """
    one = Computation(0.0)
    seen = []
    for basis, fault in enumerate((None, ValueError("no such table"), None, None)):
        one.fault = fault
        one.now += PAUSE
        one.asked(basis)
        known = one.asked(basis)
        seen.append((known.result.value, known.has_failed))

    assert [("as of 0", False), ("as of 0", True), ("as of 2", False), ("as of 3", False)] == seen
    assert [("the answer could not be computed", "no such table")] == [
        (line.getMessage(), str(line.exc_info[1])) for line in caplog.records
    ]


def test_a_computation_begins_after_the_page_that_asks():
    """
    It competes with no page for the processor, and what became current meanwhile is not computed again.
    """
    one, waiting = Computation(1.0), []
    asked = [one.latest.at(1, now, is_quick=False).is_fresh for now in (1, 2)]
    before = one.times
    one.latest.renew(waiting.append)
    one.latest.at(1, 3, is_quick=False)  # asked while it is running
    waiting.pop()()
    one.now += PAUSE + SHARE
    one.latest.renew(waiting.append)
    one.latest.at(1, 4, is_quick=False)
    one.latest.renew(waiting.append)

    assert ([False, False], 0) == (asked, before)
    assert ([], 1) == (waiting, one.times)
