"""The rules of the catalogue, each in its own worlds: what it finds, and what it does not report."""

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
    """Return the findings of a rule: thing, subject and severity."""
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
    A rule without a world in which it finds something is untested.
    """
    assert set(CASES) | ELSEWHERE == set(RULES)


@cases()
def test_a_rule_finds_what_is_wrong(kind: str, case: Case):
    """
    The finding has the right thing, subject and severity, and the facts that show it.
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
def test_a_rule_finds_the_same_problem_in_other_forms(kind: str, number: int):
    """
    Split over several facts, under another name or in another way, the same is found with the same severity.
    """
    case = CASES[kind]
    events, severity = case.more[number]

    assert severity in {one[2] for one in shown(case, kind, report(case, kind, events))}


@pytest.mark.parametrize(
    ("kind", "number"),
    [(kind, number) for kind, case in CASES.items() for number in range(len(case.quiet))],
)
def test_a_rule_finds_nothing_in_honest_worlds(kind: str, number: int):
    """
    Behaviour that looks similar but is correct gives no finding.
    """
    case = CASES[kind]

    assert set() == shown(case, kind, report(case, kind, case.quiet[number]))


@pytest.mark.parametrize("kind", [kind for kind, case in CASES.items() if case.resolved])
def test_a_late_fact_resolves_a_finding(kind: str):
    """
    With everything known the finding is gone; as known before the fact, it exists.
    """
    case = CASES[kind]
    events = [*case.fires, *case.resolved]
    known_then = facts_of(case.fires, case.recorded)

    now = report(case, kind, events)
    then = evaluate(known_then, options_of(case, kind), parse_instant(moment(case.at)), intake=intake_of(known_then))

    assert case.of not in {one[0] for one in shown(case, kind, now)}
    assert case.of in {one[0] for one in shown(case, kind, then)}


@cases()
def test_each_rule_has_a_resolving_fact_or_a_reason_for_none(kind: str, case: Case):
    """
    The table is complete: for each rule it has a late fact that resolves the finding, or the reason why there is none.
    """
    assert bool(case.resolved) != bool(case.stands), kind


@pytest.mark.parametrize("kind", [kind for kind, case in CASES.items() if case.stands])
def test_no_late_fact_resolves_a_lasting_finding(kind: str):
    """
    The facts contradict it, lift it, or state it earlier, later or by another source, one at a time and all together:
    it is still found.
    """
    case = CASES[kind]
    late = list(against(case.fires))
    for added in (*([one] for one in late), late):
        found = report(case, kind, [*case.fires, *added])

        assert case.of in {one[0] for one in shown(case, kind, found)}, added


@pytest.mark.parametrize("kind", [kind for kind, case in CASES.items() if case.missing is not None])
def test_a_rule_without_its_input_says_why(kind: str):
    """
    If nobody sends what a rule needs, it neither accuses nor passes, and names what is missing.
    """
    case = CASES[kind]
    assert case.missing is not None
    found = report(case, kind, case.missing)

    assert set() == shown(case, kind, found)
    assert found.not_evaluated[kind]
    assert kind not in report(case, kind, case.fires).not_evaluated


def test_a_rule_about_nothing_has_not_passed():
    """
    For a store without facts no rule passes: each says that there was nothing to examine.
    """
    found = evaluate([], Options(), parse_instant(moment(0)))

    assert {} == found.findings
    assert set(RULES) == set(found.not_evaluated)


@pytest.mark.parametrize("kind", [kind for kind, case in CASES.items() if case.quiet])
def test_a_rule_that_finds_nothing_wrong_has_passed(kind: str):
    """
    In a world with the input of a rule and nothing wrong with it, the rule was evaluated.
    """
    case = CASES[kind]

    assert any(kind not in report(case, kind, events).not_evaluated for events in case.quiet)


@pytest.mark.parametrize("kind", [kind for kind, rule in RULES.items() if rule.looks_at and kind in CASES])
def test_a_finding_implies_the_input_of_its_rule(kind: str):
    """
    No world gives a finding of a rule while it lacks the input that the rule declares.
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
    Any permutation of the facts, with duplicates, gives exactly the same findings.
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
    The settings decide which rules are evaluated, and the others are listed.
    """
    options = replace(case.options, rules={kind: RuleOptions(enabled=False)})
    facts = facts_of(case.fires, case.recorded)
    found = evaluate(facts, options, parse_instant(moment(case.at)), intake=intake_of(facts))

    assert set() == shown(case, kind, found)
    assert "it is switched off in the settings" == found.not_evaluated[kind]


@cases()
def test_nothing_is_found_before_anything_happened(kind: str, case: Case):
    """
    At a moment before the first fact there is nothing to find, whatever is known by now.
    """
    facts = [fact for fact in facts_of(case.fires, case.recorded) if kind not in _OF_THE_SETTINGS]
    at = parse_instant("2020-01-01T00:00:00Z")
    found = evaluate(facts, options_of(case, kind), at)

    elements = {one for one in found.findings.values() if one.of.startswith(("token:", "delegation:", "action:"))}
    assert set() == elements


_OF_THE_SETTINGS = {"exception-expired"}
_KNOWN_BEFORE = {*_OF_THE_SETTINGS, "source-silent"}  # without its last fact a source has been silent for longer


@cases()
def test_a_broken_rule_is_detected(kind: str, case: Case, monkeypatch: pytest.MonkeyPatch):
    """
    With a check that finds nothing, the test of the rule fails: no other rule finds the same, and no test is vacuous.
    """
    monkeypatch.setitem(RULES, kind, replace(RULES[kind], check=lambda _scene, _key: ()))

    with pytest.raises(AssertionError):
        test_a_rule_finds_what_is_wrong(kind, case)


@cases()
def test_before_its_evidence_was_known_nothing_is_found(kind: str, case: Case):
    """
    As known before the first cited fact was recorded, there is no such finding.
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
def test_a_rule_without_its_settings_is_not_evaluated(kind: str):
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
def test_an_agent_does_not_hold_what_it_delegated(world: int, said: str):
    """
    A delegation that an agent gave names the agent, but the agent does not hold it.
    """
    case = CASES["agent-unbound"]
    found = report(case, "agent-unbound", case.more[world][0])

    assert [said] == [one.why for one in found.findings.values() if one.kind == "agent-unbound"]
