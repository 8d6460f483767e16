"""When a retention run is due and when it is overdue."""

import pytest

from lineage.core.retention.schedule import RetentionRun, due_at, is_due, is_overdue

HOUR = 3_600_000_000
RUN = RetentionRun(started_at=100 * HOUR, by="human:dpo", before=0)
WELL = RetentionRun(started_at=100 * HOUR, by="human:dpo", before=0, ended_at=101 * HOUR, succeeded_at=101 * HOUR)
FAILED = RetentionRun(started_at=100 * HOUR, by="human:dpo", before=0, ended_at=101 * HOUR, fault="gone")


@pytest.mark.parametrize(
    ("last", "every", "expected"),
    [(None, 24, 0), (WELL, 24, 124), (WELL, 1, 101), (RUN, 24, 101), (FAILED, 24, 101), (FAILED, 1, 101)],
)
def test_a_failed_or_interrupted_run_is_due_within_an_hour(last: RetentionRun | None, every: int, expected: int):
    assert expected * HOUR == due_at(last, every)


@pytest.mark.parametrize(
    ("last", "now", "expected"),
    [(None, 0, True), (WELL, 149, False), (WELL, 150, True), (RUN, 100, True), (FAILED, 101, True)],
)
def test_it_is_overdue_after_twice_the_interval_without_success(last: RetentionRun | None, now: int, expected: bool):
    assert expected == is_overdue(last, 24, now * HOUR)


@pytest.mark.parametrize(("now", "expected"), [(123, False), (124, True), (100, False), (99, False), (98, True)])
def test_a_run_in_the_future_does_not_put_off_the_next(now: int, expected: bool):
    """
    A clock that was far ahead when it ran would otherwise stop retention until then, without a word.
    """
    assert expected == is_due(WELL, 24, now * HOUR)
    assert (now < 99) == is_overdue(WELL, 24, now * HOUR)


def test_one_failure_is_not_overdue():
    failed = RetentionRun(
        started_at=124 * HOUR, by="x", before=0, ended_at=125 * HOUR, fault="gone", succeeded_at=101 * HOUR
    )
    assert not is_overdue(failed, 24, 130 * HOUR)
