"""Findings around one thing do not depend on whether all aggregates were entered or only those that the rules read."""

import random

import pytest

from lineage.core.authority.world import World
from lineage.core.findings.evaluation import look
from lineage.core.findings.nearby import near
from lineage.core.findings.options import Options
from lineage.core.findings.scene.entering import enter_all, enter_for_narrow_rules
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.events import Fact
from lineage.core.model.finding import Finding, merged
from lineage.core.model.times import Instant, parse_instant
from tests.support import worlds
from tests.support.compare import facts_of as facts_of_records
from tests.support.finding_cases import CASES, done, issued, moment
from tests.support.findings_views import facts_of
from tests.support.honest_worlds import Honest
from tests.support.mutated_worlds import MUTATIONS

ENTERED = frozenset(
    {
        "used", "decision_uses", "denials", "permits", "denied", "policies", "shares", "operations", "successes",
        "pairs", "grants", "scopes", "spelled_alike", "inputs", "acting", "decisions", "instructions", "needs_known",
        "tasks", "sources",
    }
)  # fmt: skip


def subjects(world: World) -> list[str]:
    """Return everything that an answer about one thing may examine."""
    principals = {name for name in world.graph.names() if name.startswith("principal:")}
    principals |= {f"principal:{id_}" for id_ in (*world.principals.registrations, *world.principals.bindings)}
    return [
        *world.graph,
        *(f"decision:{id_}" for id_ in world.decisions),
        *(f"action:{id_}" for id_ in world.actions),
        *(f"revocation:{id_}" for id_ in world.orders.by_id),
        *sorted(principals),
    ]


def with_everything(world: World, keys: list[str], at: Instant, options: Options) -> dict[str, Finding]:
    """Return the findings of the same rules after every aggregate was entered."""
    scene = Scene(world, options, at, whole=False)
    enter_all(scene, world.facts())
    return merged(look(scene, keys, narrow=True))


def differences(facts: list[Fact], options: Options, at: Instant = 0) -> tuple[dict[str, Finding], dict[str, Finding]]:
    """Compare the findings near everything, and near each thing alone, with those based on all aggregates."""
    world = World(facts)
    at = at or world.latest
    keys = subjects(world)
    found = merged(near(world, keys, at, options))
    alone = {f"{one} of {key}": each for key in keys for one, each in merged(near(world, [key], at, options)).items()}
    scene = Scene(world, options, at, whole=False)
    enter_all(scene, world.facts())
    expected = merged(look(scene, keys, narrow=True))
    each_expected = {
        f"{one} of {key}": each for key in keys for one, each in merged(look(scene, [key], narrow=True)).items()
    }
    return {**found, **alone}, {**expected, **each_expected}


@pytest.mark.parametrize("kind", sorted(CASES))
def test_the_case_of_each_rule(kind: str):
    """
    Findings are the same in the world of each rule, with everything else that its case states.
    """
    case = CASES[kind]
    events = [*case.fires, *(event for more, _ in case.more for event in more), *(case.resolved or ())]
    for some, at in ((case.fires, parse_instant(moment(case.at))), (events, 0)):
        found, expected = differences(facts_of(some, case.recorded), case.options, at)
        assert found == expected


@pytest.mark.parametrize("seed", range(40))
def test_worlds_full_of_collisions(seed: int):
    """
    In these worlds few ids stand for many things.
    """
    records = worlds.world(random.Random(seed))
    found, expected = differences(facts_of_records(records), Options(history=1, burst=1))
    assert found == expected


@pytest.mark.parametrize("seed", range(4))
def test_days_with_faults(seed: int):
    """
    An honest day has some faults.
    """
    rng = random.Random(seed)
    events = [dict(one) for one in Honest(seed).make()]
    for mutation in rng.sample(MUTATIONS, 12):
        mutation(events, rng)
    found, expected = differences(facts_of(events, {}), Options())
    assert found == expected


@pytest.mark.parametrize("kind", sorted(CASES))
def test_no_rule_reads_an_aggregate_that_is_not_entered(kind: str):
    """
    Each rule finds the same without the other aggregates.
    """
    case = CASES[kind]
    world = World(facts_of(case.fires, case.recorded))
    at = parse_instant(moment(case.at))
    scene = Scene(world, case.options, at, whole=False)
    keys = subjects(world)
    enter_for_narrow_rules(scene, set(keys))
    for name in vars(scene.tally).keys() - ENTERED:
        delattr(scene.tally, name)
    assert merged(look(scene, keys, narrow=True)) == with_everything(world, keys, at, case.options)


def test_an_operation_that_is_a_scope_of_another_token():
    """
    If a source spells its operations like scopes, the scopes of all tokens count.
    """
    events = [
        issued("t1", scopes=["crm.read"]),
        issued("t2", scopes=["crm.delete"]),
        done("a1", "crm.read", token="t1"),
        done("a2", "crm.delete", at=4, token="t1"),
    ]
    found, expected = differences(facts_of(events, {}), Options())
    assert {one.of for one in found.values() if one.kind == "action-outside-scope"} == {"action:a2"}
    assert found == expected
