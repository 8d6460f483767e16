"""A second source reports an action late, with the time of its report: after the token has ended."""

import pytest

from lineage.core.findings.evaluation import evaluate
from lineage.core.findings.options import DEFAULT
from lineage.core.findings.rules.catalogue import severity_of
from lineage.core.model.times import parse_instant
from tests.support.finding_cases import D1, PDP, T1, Event, done, moment
from tests.support.findings_views import facts_of

IN_TIME = done("a1", at=59, token="t1")
REPORTED = done("a1", at=75, event_id="report a1", source=PDP, token="t1")
LATER = parse_instant(moment(600))


def severities(recorded: float, *uses: Event) -> list[str]:
    """What is found of late use, where everything was recorded at some minute."""
    facts = facts_of([D1, T1, *uses], dict.fromkeys(("do a1", "report a1"), recorded))
    found = evaluate(facts, DEFAULT, LATER).findings.values()
    return [severity_of(one.kind, one.severity, DEFAULT).word for one in found if one.kind == "used-after-expiry"]


def test_an_action_that_the_log_knew_before_the_end_is_not_late():
    """
    The use was recorded before the token ended, so it did happen before: what comes later is a report of it.
    """
    assert [] == severities(59, IN_TIME, REPORTED)


@pytest.mark.parametrize("order", [(IN_TIME, REPORTED), (REPORTED, IN_TIME)])
def test_an_action_that_somebody_dates_before_the_end_is_no_alarm(order: tuple[Event, ...]):
    """
    Everything came later, as with an import: two sources state two times, of which one is in time. Whether that one
    is true cannot be told, so that it is said, and is informational.
    """
    assert ["informational"] == severities(90, *order)


@pytest.mark.parametrize(
    "fields",
    [{"token": None}, {"outcome": "denied"}, {"token": "t2"}],
    ids=["names no token", "was denied", "names another token"],
)
def test_a_part_of_an_action_before_the_end_excuses_nothing(fields: dict[str, str | None]):
    """
    What was stated earlier is no use of this token: the use is that which was reported later.
    """
    assert ["high"] == severities(59, {**IN_TIME, **fields}, REPORTED)
