"""What is true of findings in every world: order makes no difference, honesty is quiet, hiding does not help."""

import random
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.events import HOUR, START, a_day
from lineage.core.authority.world import World
from lineage.core.findings.catalogue import severity_of
from lineage.core.findings.evaluation import evaluate
from lineage.core.findings.options import Options, RuleOptions
from lineage.core.model.events import Fact
from lineage.core.model.severities import Severity
from lineage.core.model.times import parse_instant
from tests.support import worlds
from tests.support.compare import facts_of as facts_of_records
from tests.support.finding_cases import AL, CASES, A, B, C, Event, moment, registered
from tests.support.findings_views import facts_of, intake_of, options_of
from tests.support.honest_practices import PRACTICES, Practice
from tests.support.honest_worlds import Honest
from tests.support.mutated_worlds import MUTATIONS, Mutation

LATER = parse_instant("2026-11-03T08:00:00Z")
# The rules that are worth most: someone will try to hide from them.
FIRST = (
    "used-after-revocation", "action-after-deny", "decision-mismatch", "action-outside-scope", "scope-exceeds-parent",
    "delegation-depth-exceeded", "used-after-expiry", "granted-after-expiry", "granted-after-revocation",
    "unattributed-action", "credential-replay", "refresh-token-reuse", "credential-shared", "subject-change",
    "subject-mismatch", "wielder-mismatch", "delegation-mismatch", "outlives-parent", "self-approval",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_the_order_of_facts_makes_no_difference(seed: int):
    """
    In worlds where everything collides, cycles included, every permutation with duplicates gives the same findings.
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
    Where everybody does what they should nothing above informational is found, at any moment.
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
    What looks a little like misuse and is not, in a world with everything else: nothing above informational.
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


def test_the_day_that_is_measured_with_is_honest():
    """
    The only thing to say of the benchmarks' day is true: one client wields the tokens of all agents.
    """
    facts = [Fact(event, event.occurred_at, False) for event in a_day(3_000)]
    found = evaluate(facts, Options(), START + 24 * HOUR)

    loud = {(one.kind, severity_of(one.kind, one.severity, Options())) for one in found.findings.values()}
    assert {("client-shared", Severity.LOW)} == loud


@pytest.mark.parametrize("kind", FIRST)
@pytest.mark.parametrize("how", ["split", "delayed", "reordered", "renamed", "all of it"])
def test_hiding_does_not_help(kind: str, how: str):
    """
    An adversary who splits facts, sends them late, in another order, or under other names of a party, is found.
    """
    case = CASES[kind]
    for seed in range(6):
        rng = random.Random(seed)
        events = [dict(one) for one in case.fires]
        if how in ("renamed", "all of it"):
            events = renamed(events, rng)
        if how in ("split", "all of it"):
            events = [part for one in events for part in split(one, rng)]
        facts = facts_of(events, case.recorded)
        if how in ("delayed", "all of it"):
            facts = [delayed(fact, rng) for fact in facts]
        if how in ("reordered", "all of it"):
            rng.shuffle(facts)
        found = evaluate(facts, options_of(case, kind), parse_instant(moment(case.at)), intake=intake_of(facts))

        assert case.of in {one.of for one in found.findings.values() if one.kind == kind}, (seed, events)


def split(stated: Event, rng: random.Random) -> list[Event]:
    """An event as two: each states what it must, and a part of the rest."""
    must = {
        "action.performed": {"action", "operation", "outcome"},
        "decision.made": {"decision", "permitted", "operation"},
        "delegation.granted": {"delegation", "delegator", "delegatee"},
        "token.issued": {"token", "subject"},
    }.get(stated["type"])
    if must is None:
        return [stated]
    envelope = {"type", "event_id", "source", "occurred_at"}
    rest = sorted(stated.keys() - must - envelope)
    second = set(rng.sample(rest, len(rest) // 2))
    common = {name: value for name, value in stated.items() if name in must | envelope}
    one = common | {name: stated[name] for name in rest if name not in second}
    other = common | {name: stated[name] for name in second} | {"event_id": f"{stated['event_id']} too"}
    return [one, other]


def delayed(fact: Fact, rng: random.Random) -> Fact:
    """A fact that came late; orders come at once, since anyone who gives them hides nothing."""
    if fact.event.is_order or rng.random() < 0.3:
        return fact
    return replace_recorded(fact, rng.randrange(1, 10) * 3_600_000_000)


def replace_recorded(fact: Fact, by: int) -> Fact:
    return fact._replace(recorded_at=fact.recorded_at + by)


def renamed(events: list[Event], rng: random.Random) -> list[Event]:
    """Parties under other names, here and there; their aliases are registered."""
    fields = ("delegator", "delegatee", "actor", "subject", "approved_by", "on_behalf_of")

    def other(value: Any) -> Any:
        return f"alias|{value}" if value in (A, B, C, AL) and rng.random() < 0.5 else value

    changed = [{name: other(value) if name in fields else value for name, value in one.items()} for one in events]
    return [*changed, *(registered(id_, event_id=f"alias {id_}", aliases=[f"alias|{id_}"]) for id_ in (A, B, C, AL))]


def test_a_severity_in_the_settings_counts():
    """
    What an operator sets of a rule stands before what the rule says.
    """
    options = Options(rules={"cycle": RuleOptions(severity=Severity.LOW)})

    assert Severity.LOW is severity_of("cycle", None, options)
    assert Severity.HIGH is severity_of("cycle", None, replace(options, rules={}))


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_one_thing_that_is_wrong_in_an_honest_world_is_found(mutation: Mutation):
    """
    Of fifty honest worlds in which one thing was changed, every one gives the finding, of the thing that was changed.
    """
    tried = 0
    for seed in range(50):
        rng = random.Random(seed)
        events = [dict(one) for one in Honest(seed).make()]
        wrong = mutation(events, rng)
        if wrong is None:
            continue
        tried += 1
        facts = facts_of(events, {})
        found = evaluate(facts, Options(), parse_instant(moment(24 * 60)), intake=intake_of(facts))

        assert wrong in {(one.kind, one.of) for one in found.findings.values()}, (seed, wrong)
    assert tried > 10
