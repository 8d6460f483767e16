"""Findings around one thing do not depend on whether all aggregates were entered or only those that the rules read."""

import random
from collections import Counter

import pytest

from lineage.core.authority.world import World
from lineage.core.findings.evaluation import look
from lineage.core.findings.nearby import near
from lineage.core.findings.options import Options
from lineage.core.findings.scene.derived import Upward
from lineage.core.findings.scene.entering import enter_all, enter_for_narrow_rules
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.scopes import ScopeIndex
from lineage.core.model.events import Fact
from lineage.core.model.finding import Finding, merged
from lineage.core.model.times import Instant, parse_instant
from tests.support import worlds
from tests.support.compare import facts_of as facts_of_records
from tests.support.desk import granted, token
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


@pytest.mark.parametrize("seed", range(30))
def test_scopes_reported_above_do_not_depend_on_the_order_of_questions(seed: int):
    """
    Also where delegations are in cycles, and where humans hold some of them.
    """
    rng = random.Random(seed)
    holders = ["human:x", "agent:a", "agent:b"]
    events = []
    for number in range(12):
        parents = [f"d{rng.randrange(12)}" for _ in range(rng.randrange(3))]
        stated = {"parents": parents} if parents else {}
        scopes = [f"s{rng.randrange(6)}:*" for _ in range(rng.randrange(3))]
        events.append(granted(f"d{number}", rng.choice(holders), rng.choice(holders), scopes=scopes, **stated))
        events.append(token(f"t{number}", subject="agent:a", delegation=f"d{number}", scopes=["s1:*"]))
    world = World(facts_of(events, {}))
    tokens = [element for number in range(12) if (element := world.graph.element(f"token:t{number}")) is not None]
    expected = {one.key: walked_above(world, one.key) for one in tokens}
    for _ in range(3):
        rng.shuffle(tokens)
        scene = Scene(world, Options(), world.latest, whole=False)
        assert expected == {one.key: scene.scopes_reported_above(one) for one in tokens}


def walked_above(world: World, key: str) -> frozenset[str]:
    """Return the scopes of all delegations above a token that an agent holds."""
    above = [world.graph.element(one) for one in world.graph.above(key) if one.startswith("delegation:")]
    held = [one for one in above if one is not None and str(one.first("delegatee")).startswith("agent:")]
    return frozenset(scope for one in held for scope in one.first("scopes") or ())


def test_a_long_chain_is_not_walked_for_each_of_its_tokens(monkeypatch: pytest.MonkeyPatch):
    """
    A token of each delegation has a broad scope that is reported for the first of the delegations.
    """
    hops = 200
    events = [granted("d0", "human:x", "agent:a0", scopes=["*"])]
    events += [
        granted(f"d{hop}", f"agent:a{hop - 1}", f"agent:a{hop}", parents=[f"d{hop - 1}"], scopes=["*"])
        for hop in range(1, hops)
    ]
    events += [token(f"t{hop}", subject=f"agent:a{hop}", delegation=f"d{hop}", scopes=["*"]) for hop in range(hops)]
    world = World(facts_of(events, {}))
    asked = 0
    sources = ScopeIndex.sources

    def counted(index: ScopeIndex, key: str) -> list[str]:
        nonlocal asked
        asked += 1
        return sources(index, key)

    monkeypatch.setattr(ScopeIndex, "sources", counted)
    found = near(world, [f"token:t{hop}" for hop in range(hops)], world.latest, Options())
    assert "broad-scope" not in {one.kind for one in found}
    assert asked < 20 * hops, asked


def test_a_value_along_a_chain_asks_once_for_what_each_element_depends_on():
    """
    Only the element asked about is asked twice: before its ancestors are walked, and then.
    """
    asked: Counter[str] = Counter()

    def above(node: str) -> list[str]:
        asked[node] += 1
        return [str(int(node) - 1)] if node != "0" else []

    depth = Upward[int](above, lambda _, values: 1 + max(values.values(), default=0))
    assert 100 == depth.of("99")
    assert Counter({str(number): 1 for number in range(100)}) + Counter({"99": 1}) == asked
