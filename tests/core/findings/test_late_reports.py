"""A second source reports an action late, with the time of its report, after the token has ended."""

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
    """Return the severities of late-use findings, with everything recorded at a given minute."""
    facts = facts_of([D1, T1, *uses], dict.fromkeys(("do a1", "report a1"), recorded))
    found = evaluate(facts, DEFAULT, LATER).findings.values()
    return [severity_of(one.kind, one.severity, DEFAULT).word for one in found if one.kind == "used-after-expiry"]


def test_an_action_that_the_log_knew_before_the_end_is_not_late():
    """
    The use was recorded before the token ended, so it happened before the end; later records are reports of it.
    """
    assert [] == severities(59, IN_TIME, REPORTED)


@pytest.mark.parametrize("order", [(IN_TIME, REPORTED), (REPORTED, IN_TIME)])
def test_an_action_dated_before_the_end_is_informational(order: tuple[Event, ...]):
    """
    Everything was recorded later, as in an import: two sources state two times, one of which is before the end. Which
    one is true cannot be known, so the finding is informational.
    """
    assert ["informational"] == severities(90, *order)


@pytest.mark.parametrize(
    "fields",
    [{"token": None}, {"outcome": "denied"}, {"token": "t2"}],
    ids=["names no token", "was denied", "names another token"],
)
def test_a_partial_statement_before_the_end_does_not_make_a_use_timely(fields: dict[str, str | None]):
    """
    The earlier statement does not mention this token; its use was only reported later.
    """
    assert ["high"] == severities(59, {**IN_TIME, **fields}, REPORTED)
