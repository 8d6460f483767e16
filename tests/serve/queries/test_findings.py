"""The rules of the catalogue, each in worlds of its own: what it finds, and what it leaves alone."""

import random
from dataclasses import replace
from typing import Any

import pytest

from lineage.core.findings.evaluation import Report, evaluate
from lineage.core.findings.options import Options, RuleOptions
from lineage.core.findings.rules.catalogue import RULES, severity_of
from lineage.core.model.times import parse_instant
from tests.support.finding_cases import CASES, Case, moment
from tests.support.findings_views import facts_of, intake_of, options_of
from tests.support.late_facts import against

# Told of facts that count for nothing, which a world does not hold: tried where facts come from a store.
ELSEWHERE = {"unauthorised", "raw-credential-sent"}
Shown = tuple[str, str | None, str]


def report(case: Case, kind: str, events: list[dict[str, Any]]) -> Report:
    facts = facts_of(events, case.recorded)
    at = parse_instant(moment(case.at))
    return evaluate(facts, options_of(case, kind), at, intake=intake_of(facts))


def shown(case: Case, kind: str, found: Report) -> set[Shown]:
    """The findings of a rule: of what, about what, how bad."""
    options = options_of(case, kind)
    return {
        (one.of, one.about, severity_of(kind, one.severity, options).word)
        for one in found.findings.values()
        if one.kind == kind
    }


def cases() -> Any:
    return pytest.mark.parametrize(("kind", "case"), CASES.items(), ids=CASES)


def test_every_rule_has_a_case():
    """
    A rule without a world in which it finds something is a rule that nobody has tried.
    """
    assert set(CASES) | ELSEWHERE == set(RULES)


@cases()
def test_a_rule_finds_what_is_wrong(kind: str, case: Case):
    """
    Of the right thing, about the right thing, as bad as it is, with the facts that show it.
    """
    found = report(case, kind, case.fires)

    expected = {(case.of, case.about, case.severity), *case.also}
    assert expected == {one for one in shown(case, kind, found) if one in expected or one[0] == case.of}
    [one] = [one for one in found.findings.values() if (one.kind, one.of, one.about) == (kind, case.of, case.about)]
    assert set(case.cites) <= {fact.event.event_id for fact in one.facts}
    assert one.why
    assert "None" not in one.why


@pytest.mark.parametrize(
    ("kind", "number"),
    [(kind, number) for kind, case in CASES.items() for number in range(len(case.more))],
)
def test_a_rule_finds_it_in_other_guises(kind: str, number: int):
    """
    Split over several facts, under another name, by another way, the same is found, and as bad as it is.
    """
    case = CASES[kind]
    events, severity = case.more[number]

    assert severity in {one[2] for one in shown(case, kind, report(case, kind, events))}


@pytest.mark.parametrize(
    ("kind", "number"),
    [(kind, number) for kind, case in CASES.items() for number in range(len(case.quiet))],
)
def test_a_rule_leaves_honest_worlds_alone(kind: str, number: int):
    """
    What looks much the same and is as it should be gives no finding.
    """
    case = CASES[kind]

    assert set() == shown(case, kind, report(case, kind, case.quiet[number]))


@pytest.mark.parametrize("kind", [kind for kind, case in CASES.items() if case.resolved])
def test_a_late_fact_takes_a_finding_back(kind: str):
    """
    Once everything is known there is nothing wrong; as known before, there was.
    """
    case = CASES[kind]
    events = [*case.fires, *case.resolved]
    known_then = facts_of(case.fires, case.recorded)

    now = report(case, kind, events)
    then = evaluate(known_then, options_of(case, kind), parse_instant(moment(case.at)), intake=intake_of(known_then))

    assert case.of not in {one[0] for one in shown(case, kind, now)}
    assert case.of in {one[0] for one in shown(case, kind, then)}


@cases()
def test_a_rule_says_what_takes_its_findings_back_or_why_nothing_does(kind: str, case: Case):
    """
    The table is complete: a late fact that resolves it, or the reason why there is none.
    """
    assert bool(case.resolved) != bool(case.stands), kind


@pytest.mark.parametrize("kind", [kind for kind, case in CASES.items() if case.stands])
def test_no_late_fact_takes_back_what_stands(kind: str):
    """
    Contradicted, lifted, stated earlier, later or by another source, one at a time and all together: it is found.
    """
    case = CASES[kind]
    late = list(against(case.fires))
    for added in (*([one] for one in late), late):
        found = report(case, kind, [*case.fires, *added])

        assert case.of in {one[0] for one in shown(case, kind, found)}, added


@pytest.mark.parametrize("kind", [kind for kind, case in CASES.items() if case.missing is not None])
def test_what_cannot_be_evaluated_says_why(kind: str):
    """
    Where nobody sends what a rule needs it neither accuses nor passes: it says what is missing.
    """
    case = CASES[kind]
    assert case.missing is not None
    found = report(case, kind, case.missing)

    assert set() == shown(case, kind, found)
    assert found.not_evaluated[kind]
    assert kind not in report(case, kind, case.fires).not_evaluated


def test_a_rule_about_nothing_has_not_passed():
    """
    Of a store without facts no rule says that all is well: each says that there was nothing to look at.
    """
    found = evaluate([], Options(), parse_instant(moment(0)))

    assert {} == found.findings
    assert set(RULES) == set(found.not_evaluated)


@pytest.mark.parametrize("kind", [kind for kind, case in CASES.items() if case.quiet])
def test_a_rule_that_finds_nothing_wrong_has_passed(kind: str):
    """
    In a world that has what the rule looks at, and nothing wrong with it, the rule was evaluated.
    """
    case = CASES[kind]

    assert any(kind not in report(case, kind, events).not_evaluated for events in case.quiet)


@pytest.mark.parametrize("kind", [kind for kind, rule in RULES.items() if rule.looks_at and kind in CASES])
def test_a_rule_found_something_only_where_there_was_something_to_look_at(kind: str):
    """
    Whatever a rule finds, it looked at what it declares: no world gives a finding and lacks the input.
    """
    case = CASES[kind]
    without = replace(RULES[kind], check=lambda _scene, _key: ())
    for events in (case.fires, *(events for events, _ in case.more)):
        with pytest.MonkeyPatch.context() as patched:
            patched.setitem(RULES, kind, without)

            assert kind not in report(case, kind, events).not_evaluated


@cases()
def test_order_and_repetition_change_nothing(kind: str, case: Case):
    """
    Any permutation of the facts, with duplicates, gives the same findings to the letter.
    """
    facts = facts_of(case.fires, case.recorded)
    at, options = parse_instant(moment(case.at)), options_of(case, kind)
    expected = evaluate(facts, options, at, intake=intake_of(facts))
    for seed in range(3):
        rng = random.Random(seed)
        again = [*facts, *rng.sample(facts, len(facts) // 2)]
        rng.shuffle(again)

        assert expected == evaluate(again, options, at, intake=intake_of(facts))


@cases()
def test_a_rule_that_is_switched_off_finds_nothing_and_says_so(kind: str, case: Case):
    """
    The settings decide which rules are evaluated, and a rule that is not is listed.
    """
    options = replace(case.options, rules={kind: RuleOptions(enabled=False)})
    facts = facts_of(case.fires, case.recorded)
    found = evaluate(facts, options, parse_instant(moment(case.at)), intake=intake_of(facts))

    assert set() == shown(case, kind, found)
    assert "it is switched off in the settings" == found.not_evaluated[kind]


@cases()
def test_what_is_rejected_before_it_happened_is_not_told(kind: str, case: Case):
    """
    At a moment before anything was said there is nothing to find, whatever is known by now.
    """
    facts = [fact for fact in facts_of(case.fires, case.recorded) if kind not in _OF_THE_SETTINGS]
    at = parse_instant("2020-01-01T00:00:00Z")
    found = evaluate(facts, options_of(case, kind), at)

    elements = {one for one in found.findings.values() if one.of.startswith(("token:", "delegation:", "action:"))}
    assert set() == elements


_OF_THE_SETTINGS = {"exception-expired"}
_KNOWN_BEFORE = {*_OF_THE_SETTINGS, "source-silent"}  # without its last fact a source has been silent for longer


@cases()
def test_a_rule_that_is_broken_is_noticed(kind: str, case: Case, monkeypatch: pytest.MonkeyPatch):
    """
    With a check that finds nothing the test of the rule fails: no other rule finds the same, and no test is empty.
    """
    monkeypatch.setitem(RULES, kind, replace(RULES[kind], check=lambda _scene, _key: ()))

    with pytest.raises(AssertionError):
        test_a_rule_finds_what_is_wrong(kind, case)


@cases()
def test_before_its_evidence_was_known_nothing_is_found(kind: str, case: Case):
    """
    As known before the first fact that it cites was recorded there is no such finding.
    """
    facts = facts_of(case.fires, case.recorded)
    [one] = [
        found
        for found in report(case, kind, case.fires).findings.values()
        if (found.kind, found.of, found.about) == (kind, case.of, case.about)
    ]
    first = min((fact.recorded_at for fact in one.facts), default=0)
    known = [fact for fact in facts if fact.recorded_at < first]
    before = evaluate(known, options_of(case, kind), parse_instant(moment(case.at)), intake=intake_of(known))

    assert (kind in _OF_THE_SETTINGS) == (one.facts == ())
    assert one.id not in before.findings or kind in _KNOWN_BEFORE


@pytest.mark.parametrize("kind", ["unapproved-delegation", "action-outside-audience"])
def test_what_the_settings_do_not_say_is_not_evaluated(kind: str):
    """
    A rule that needs a table of the settings neither accuses nor passes without it, and names the table.
    """
    case = replace(CASES[kind], options=Options())
    found = report(case, kind, case.fires)

    assert set() == shown(case, kind, found)
    assert "sett" in found.not_evaluated[kind]


@pytest.mark.parametrize(
    ("world", "said"),
    [(2, "agent:a was never bound to a workload, and it holds delegation:d1"),
     (3, "agent:a was never bound to a workload, and delegation:c1 names it")],
)  # fmt: skip
def test_an_agent_is_said_to_hold_only_what_it_holds(world: int, said: str):
    """
    A delegation that an agent gave names it, and is not its own.
    """
    case = CASES["agent-unbound"]
    found = report(case, "agent-unbound", case.more[world][0])

    assert [said] == [one.why for one in found.findings.values() if one.kind == "agent-unbound"]
