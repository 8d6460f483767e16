"""What a thing offers if a rule finds anything about it: stated beside the rules, and true of every evaluation."""

import random

import pytest

from lineage.core.authority.world import World
from lineage.core.findings.catalogue import RULES
from lineage.core.findings.entering import action_entry, decision_entry, element_entry, enter_all
from lineage.core.findings.neighbourhoods import ONLY_OF, can_find
from lineage.core.findings.options import Options
from lineage.core.findings.scene import Scene
from lineage.core.model.events import Fact
from tests.support import worlds
from tests.support.compare import facts_of as facts_of_records
from tests.support.finding_cases import CASES
from tests.support.findings_views import facts_of
from tests.support.honest_worlds import Honest
from tests.support.mutated_worlds import MUTATIONS


def undeclared(facts: list[Fact], options: Options) -> set[tuple[str, str]]:
    """The rules that find something about a thing that does not offer what they are said to need."""
    known = list(dict.fromkeys(facts))
    at = max((fact.recorded_at for fact in known), default=0)
    scene = Scene(World(known), options, at, whole=True)
    enter_all(scene, known)
    entries = {key: element_entry(scene, key) for key in scene.world.graph.facts}
    entries |= {f"action:{id_}": action_entry(scene, f"action:{id_}") for id_ in scene.world.actions}
    entries |= {f"decision:{id_}": decision_entry(scene, f"decision:{id_}") for id_ in scene.world.decisions}
    return {
        (rule.kind, key)
        for key, entry in entries.items()
        if entry is not None
        for rule in RULES.values()
        if key.partition(":")[0] in rule.of
        and not can_find(rule.kind, entry.inputs)
        and next(iter(rule.check(scene, key)), None) is not None
    }


@pytest.mark.parametrize("seed", range(60))
def test_where_everything_collides(seed: int):
    """
    No rule finds anything about a thing without what the rule is said to need.
    """
    assert undeclared(facts_of_records(worlds.world(random.Random(seed))), Options(history=1, burst=1)) == set()


@pytest.mark.parametrize("kind", sorted(CASES))
def test_the_case_of_each_rule(kind: str):
    """
    The same for the facts of which each rule finds something, and all that is stated in its case.
    """
    case = CASES[kind]
    assert undeclared(facts_of(case.fires, case.recorded), case.options) == set()
    events = [*case.fires, *(event for more, _ in case.more for event in more), *(case.resolved or ())]
    assert undeclared(facts_of(events, case.recorded), case.options) == set()


@pytest.mark.parametrize("seed", range(6))
def test_days_on_which_something_is_wrong(seed: int):
    """
    The same for an honest day with faults.
    """
    rng = random.Random(seed)
    events = [dict(one) for one in Honest(seed).make()]
    for mutation in rng.sample(MUTATIONS, 12):
        mutation(events, rng)
    assert undeclared(facts_of(events, {}), Options()) == set()


def test_a_wrong_declaration_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """
    The comparison fails where a rule is said to need something that it does not need.
    """
    case = CASES["long-lived-credential"]
    monkeypatch.setitem(ONLY_OF, "long-lived-credential", "something that nothing offers")
    assert undeclared(facts_of(case.fires, case.recorded), case.options)


def test_only_rules_are_named():
    """
    The table names rules that there are.
    """
    assert ONLY_OF.keys() <= RULES.keys()
