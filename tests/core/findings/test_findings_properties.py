"""Properties of findings in every world: order makes no difference, honest worlds are quiet, hiding does not help."""

import random
from dataclasses import replace

import pytest

from benchmarks.events import HOUR, START, a_day
from lineage.core.authority.world import World
from lineage.core.findings.evaluation import evaluate
from lineage.core.findings.options import Options, RuleOptions
from lineage.core.findings.rules.catalogue import severity_of
from lineage.core.model.events import Fact
from lineage.core.model.finding import Severity
from lineage.core.model.times import parse_instant
from tests.support import worlds
from tests.support.compare import facts_of as facts_of_records
from tests.support.finding_cases import CASES, Case, Event, moment
from tests.support.findings_views import facts_of, intake_of, options_of
from tests.support.hiding import EVERYTHING, OF_EVENTS, OF_FACTS
from tests.support.honest_practices import PRACTICES, Practice
from tests.support.honest_worlds import Honest
from tests.support.mutated_worlds import MUTATIONS, Mutation

LATER = parse_instant("2026-11-03T08:00:00Z")
# The most important rules: somebody will try to hide from them.
FIRST = (
    "used-after-revocation", "action-after-deny", "decision-mismatch", "action-outside-scope", "scope-exceeds-parent",
    "delegation-depth-exceeded", "used-after-expiry", "granted-after-expiry", "granted-after-revocation",
    "unattributed-action", "credential-replay", "refresh-token-reuse", "credential-shared", "subject-change",
    "subject-mismatch", "wielder-mismatch", "delegation-mismatch", "outlives-parent", "self-approval",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_the_order_of_facts_makes_no_difference(seed: int):
    """
    In worlds full of collisions, including cycles, every permutation with duplicates gives the same findings.
    """
    rng = random.Random(seed)
    facts = list(World(facts_of_records(worlds.world(rng))).facts())
    expected = evaluate(facts, Options(), LATER)
    again = [*facts, *rng.sample(facts, len(facts) // 3)]
    rng.shuffle(again)

    assert expected == evaluate(again, Options(), LATER)


@pytest.mark.parametrize("seed", range(60))
def test_an_honest_world_is_quiet(seed: int):
    """
    If everybody behaves correctly, nothing above informational is found, at any time.
    """
    facts = facts_of(Honest(seed).make(), {})
    for minutes in (0, 30, 120, 24 * 60):
        found = evaluate(facts, Options(), parse_instant(moment(minutes)), intake=intake_of(facts))

        loud = [
            (one.kind, one.of, one.why)
            for one in found.findings.values()
            if severity_of(one.kind, one.severity, Options()) > Severity.INFORMATIONAL
        ]
        assert [] == loud


@pytest.mark.parametrize("practice", PRACTICES, ids=lambda practice: practice.__name__)
def test_an_honest_practice_is_quiet(practice: Practice):
    """
    Behaviour that looks slightly like misuse but is not, in a world with everything else: nothing above informational.
    """
    for seed in range(8):
        world = Honest(seed)
        events = world.make()
        practice(world, 400)
        facts = facts_of([*events, *world.events], {})
        for minutes in (405, 430, 24 * 60):
            found = evaluate(facts, Options(), parse_instant(moment(minutes)), intake=intake_of(facts))

            loud = [
                (one.kind, one.of, one.why)
                for one in found.findings.values()
                if severity_of(one.kind, one.severity, Options()) > Severity.INFORMATIONAL
            ]
            assert [] == loud


def test_the_day_of_the_benchmarks_is_honest():
    """
    The only finding of the benchmarks' day is true: one client uses the tokens of all agents.
    """
    facts = [Fact(event, event.occurred_at, False) for event in a_day(3_000)]
    found = evaluate(facts, Options(), START + 24 * HOUR)

    loud = {(one.kind, severity_of(one.kind, one.severity, Options())) for one in found.findings.values()}
    assert {("client-shared", Severity.LOW)} == loud


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "kind"),
    [
        (how, kind)
        for how in (*OF_EVENTS, *OF_FACTS, "all of it")
        for kind in FIRST
        if how != "looking alike" or kind in ("scope-exceeds-parent", "action-outside-scope")
    ],
)
def test_hiding_does_not_help(how: str, kind: str):
    """
    An adversary who splits facts, sends them late, repeated or reordered, or under another name of a party, source or
    workload is found: in the plain world, and in one where honest parties do the same.
    """
    case = CASES[kind]
    worlds_of_it = [case.fires, *(events for events, severity in case.more if severity != "informational")]
    for seed in range(6):
        for number, world in enumerate(worlds_of_it):
            rng = random.Random(seed)
            recorded = case.recorded if number == 0 else {}
            plain = evaluated(case, kind, facts_of(world, recorded))
            hidden = evaluated(case, kind, hidden_facts(world, recorded, how, rng))

            assert plain <= hidden, (seed, number, world)


def evaluated(case: Case, kind: str, facts: list[Fact]) -> set[str]:
    """Return what a rule reports; a party is the same under any name."""
    found = evaluate(facts, options_of(case, kind), parse_instant(moment(case.at)), intake=intake_of(facts))
    return {one.of for one in found.findings.values() if one.kind == kind and not one.of.startswith("source:")}


def hidden_facts(events: list[Event], recorded: dict[str, float], how: str, rng: random.Random) -> list[Fact]:
    for name in EVERYTHING if how == "all of it" else (how,):
        events = OF_EVENTS[name](events, rng) if name in OF_EVENTS else events
    facts = facts_of(events, recorded)
    for name in OF_FACTS if how == "all of it" else (how,):
        facts = OF_FACTS[name](facts, rng) if name in OF_FACTS else facts
    return facts


def test_a_severity_in_the_settings_counts():
    """
    The severity that an operator sets takes precedence over that of the rule.
    """
    options = Options(rules={"cycle": RuleOptions(severity=Severity.LOW)})

    assert Severity.LOW is severity_of("cycle", None, options)
    assert Severity.HIGH is severity_of("cycle", None, replace(options, rules={}))


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_one_fault_in_an_honest_world_is_found(mutation: Mutation):
    """
    Each of fifty honest worlds with one change gives the finding about the changed thing; in half of them somebody
    hides it.
    """
    tried = 0
    for seed in range(50):
        rng = random.Random(seed)
        events = [dict(one) for one in Honest(seed).make()]
        wrong = mutation(events, rng)
        if wrong is None:
            continue
        tried += 1
        how = rng.choice([*OF_FACTS, "renamed", "split", "by another source", "doubled"]) if seed % 2 else "reordered"
        facts = hidden_facts(events, {}, how, rng)
        found = evaluate(facts, Options(), parse_instant(moment(24 * 60)), intake=intake_of(facts))

        assert wrong in {(one.kind, one.of) for one in found.findings.values()}, (seed, how, wrong)
    assert tried > 10


def test_each_of_the_most_important_rules_is_among_the_mutations():
    """
    For each of them there is an attempt to hide from it, in a world with everything else.
    """
    done = {mutation(events, random.Random(seed)) for seed in range(12) for mutation in MUTATIONS
            for events in [[dict(one) for one in Honest(seed).make()]]}  # fmt: skip

    assert set(FIRST) == {wrong[0] for wrong in done if wrong is not None}
