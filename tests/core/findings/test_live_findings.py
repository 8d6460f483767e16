"""Live findings equal an evaluation of all facts, after every batch and at every time."""

import random
from typing import Any

import pytest

from lineage.core.authority.world import World
from lineage.core.findings.evaluation import REPEAT, evaluate
from lineage.core.findings.judging import status_of
from lineage.core.findings.keeping.live import LiveFindings
from lineage.core.findings.keeping.neighbourhoods import NEIGHBOURHOODS
from lineage.core.findings.options import Options, RuleOptions
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.model.events import Fact
from lineage.core.model.times import DAY, HOUR, MINUTE, parse_instant
from lineage.core.model.trust import authorised
from tests.support import worlds
from tests.support.alike_actions import with_alike_actions
from tests.support.compare import facts_of as facts_of_records
from tests.support.finding_cases import CASES, moment
from tests.support.findings_views import facts_of, intake_of
from tests.support.honest_worlds import Honest
from tests.support.memory_shelf import MemoryShelf
from tests.support.mutated_worlds import MUTATIONS

STEPS = (0, 0, 0, 1, MINUTE, 7 * MINUTE, HOUR, DAY, 8 * DAY, 31 * DAY, 95 * DAY)
DERIVED = (0, 6, 1_000_000)  # results that are kept between batches: none, some, all
INSIDE = (0, 3, None)  # things that stay in memory: none, some, all
EVERY_RULE = {kind: RuleOptions(enabled=True) for kind, rule in RULES.items() if rule.optional}


def earliest(facts: list[Fact]) -> list[Fact]:
    """Return each content once, with its earliest recording."""
    known: dict[Any, Fact] = {}
    for fact in facts:
        first = known.get((fact.event, fact.misrouted))
        if first is None or fact.recorded_at < first.recorded_at:
            known[fact.event, fact.misrouted] = fact
    return list(known.values())


def kept_inside(most: int | None) -> dict[str, Any]:
    """Return the settings with which all but some things are moved out of memory after every batch."""
    return {} if most is None else {"shelf": MemoryShelf(), "inside": most}


def check(live: LiveFindings, known: list[Fact], options: Options) -> None:
    """Compare the live findings with an evaluation of everything."""
    facts = [fact for fact in earliest(known) if authorised(fact, None)]
    world = World(facts)
    report = evaluate(facts, options, live.at, world=world, intake=intake_of(earliest(known)))
    assert report.not_evaluated == live.not_evaluated
    assert report.findings == live.findings
    expected = {id_: status_of(one, world.judgements, options, live.at) for id_, one in report.findings.items()}
    assert expected == live.status


def follow(
    facts: list[Fact], options: Options, rng: random.Random, at: int, sizes: tuple[int, ...] = (1, 1, 2, 5, 12)
) -> None:
    """Add facts in batches of any size, with time passing, and compare after each."""
    live = LiveFindings(options, derived=DERIVED[len(facts) % len(DERIVED)], **kept_inside(rng.choice(INSIDE)))
    known: list[Fact] = []
    waiting = list(facts)
    while waiting:
        size = rng.choice(sizes)
        batch, waiting = waiting[:size], waiting[size:]
        known += batch
        at = max(at, *(fact.recorded_at for fact in batch))
        live.advance(batch, at, intake_of(earliest(known)))
        check(live, known, options)
        at += rng.choice(STEPS)
        if rng.random() < 0.4:
            live.advance((), at)
            check(live, known, options)
    for _ in range(4):
        at += rng.choice(STEPS)
        live.advance((), at)
        check(live, known, options)


# Beyond the first: worlds in which a cycle, or an element that names several agents, is near the limit of a reach.
@pytest.mark.parametrize("seed", [*range(40), 204, 237, 245, 248, 255, 263, 414])
def test_worlds_full_of_collisions(seed: int):
    """
    In worlds of cycles, conflicts, aliases and duplicates, in any order, the findings after each batch equal an
    evaluation.
    """
    rng = random.Random(seed)
    facts = facts_of_records(worlds.world(rng))
    facts += [fact._replace(recorded_at=fact.recorded_at + rng.randint(-5, 5)) for fact in rng.sample(facts, 3)]
    rng.shuffle(facts)
    options = Options(rules=EVERY_RULE, history=rng.choice([0, 1, 3]), reach_agents=2, reach_elements=3, burst=1)
    follow(facts, options, rng, min(fact.recorded_at for fact in facts))


@pytest.mark.parametrize("seed", range(16))
def test_equal_actions(seed: int):
    """
    This also holds where many actions of a batch are equal: at the same time, before and after the end of their token,
    with different causes, and some of them reported by several facts.
    """
    rng = random.Random(f"alike {seed}")
    if seed % 2:
        facts = facts_of_records(worlds.world(rng))
        at = min(fact.recorded_at for fact in facts)
    else:
        events = [dict(one) for one in Honest(seed).make()]
        for mutation in rng.sample(MUTATIONS, 3):
            mutation(events, rng)
        facts, at = facts_of(events, {})[: 60 if seed % 4 else 30], parse_instant(moment(-120))
    facts = with_alike_actions(facts, rng)
    rng.shuffle(facts)
    options = Options(rules=EVERY_RULE, history=rng.choice([0, 1, 3]), decision_least=2)
    follow(facts, options, rng, at, sizes=(1, 40, 150))


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(CASES))
@pytest.mark.parametrize("seed", range(2))
def test_the_case_of_each_rule(kind: str, seed: int):
    """
    The facts for which a rule finds something, and those that resolve it, arrive in any order.
    """
    rng = random.Random(f"{kind} {seed}")
    case = CASES[kind]
    events = [*case.fires, *(case.resolved or ()), *(event for more, _ in case.more[:3] for event in more)]
    facts = facts_of(events, case.recorded)
    if seed:
        rng.shuffle(facts)
    follow(facts, case.options, rng, min((fact.recorded_at for fact in facts), default=parse_instant(moment(0))))


@pytest.mark.parametrize("kind", sorted(CASES))
def test_the_other_worlds_of_each_rule(kind: str):
    """
    Each further world in which a rule finds something is added fact by fact in time order, and then long after.
    """
    for number, (events, _) in enumerate(CASES[kind].more):
        facts = sorted(facts_of(events, {}), key=lambda fact: fact.recorded_at)
        rng = random.Random(f"{kind} {number}")
        follow(facts, CASES[kind].options, rng, facts[0].recorded_at, sizes=(1,))
        live = LiveFindings(CASES[kind].options)
        for at in sorted({fact.recorded_at for fact in facts}):
            live.advance([fact for fact in facts if fact.recorded_at == at], at, intake_of(facts))
        for at in (CASES[kind].at, 30 * 24 * 60, 100 * 24 * 60):
            live.advance((), max(live.at, parse_instant(moment(at))))

            check(live, facts, CASES[kind].options)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_days_with_faults(seed: int):
    """
    Honest days have some faults, and their facts arrive late, twice and in any order.
    """
    rng = random.Random(seed)
    events = [dict(one) for one in Honest(seed).make()]
    for mutation in rng.sample(MUTATIONS, 5):
        mutation(events, rng)
    events += [one for kind in rng.sample(sorted(CASES), 4) for one in CASES[kind].fires]
    facts = facts_of(events, {})
    facts += rng.sample(facts, len(facts) // 5)
    if rng.random() < 0.7:
        rng.shuffle(facts)
    follow(facts, Options(rules=EVERY_RULE), rng, parse_instant(moment(-120)))


def test_each_rule_declares_its_surroundings():
    """
    The table of neighbourhoods names exactly the existing rules.
    """
    assert RULES.keys() - {REPEAT} == NEIGHBOURHOODS.keys()
