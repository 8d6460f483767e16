"""What a thing must offer for a rule to find something: the declarations hold in every evaluation."""

import random

import pytest

from lineage.core.authority.world import World
from lineage.core.findings.evaluation import others, subject_of
from lineage.core.findings.keeping.neighbourhoods import ONLY_AROUND, ONLY_OF, can_find
from lineage.core.findings.options import Options
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.findings.scene.around import offered_around
from lineage.core.findings.scene.entering import action_entry, decision_entry, element_entry, enter_all
from lineage.core.findings.scene.links import ChainLink
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.events import Fact
from lineage.core.model.times import Instant, parse_instant
from tests.support import worlds
from tests.support.compare import facts_of as facts_of_records
from tests.support.finding_cases import CASES, A, B, granted, moment
from tests.support.findings_views import facts_of
from tests.support.honest_worlds import Honest
from tests.support.mutated_worlds import MUTATIONS


def undeclared(facts: list[Fact], options: Options, at: Instant = 0) -> set[tuple[str, str]]:
    """Return the rules that find something about a thing that does not offer what they declare to need."""
    known = list(dict.fromkeys(facts))
    at = at or max((fact.recorded_at for fact in known), default=0)
    scene = Scene(World(known), options, at, whole=True)
    enter_all(scene, known)
    entries = {key: element_entry(scene, key) for key in scene.world.graph.facts}
    entries |= {f"action:{id_}": action_entry(scene, f"action:{id_}") for id_ in scene.world.actions}
    entries |= {f"decision:{id_}": decision_entry(scene, f"decision:{id_}") for id_ in scene.world.decisions}
    entered = {key: entry for key, entry in entries.items() if entry is not None}
    return {
        (rule.kind, key)
        for key in [*entered, *others(scene)]
        for rule in RULES.values()
        if subject_of(scene, key) in rule.of
        and not can_find(
            rule.kind,
            entered[key].inputs if key in entered else None,
            offered_around(scene, subject_of(scene, key), key, entered.get(key)),
        )
        and next(iter(rule.check(scene, key)), None) is not None
    }


def undeclared_in(kind: str) -> set[tuple[str, str]]:
    """Return the same for the case of a rule."""
    case = CASES[kind]
    return undeclared(facts_of(case.fires, case.recorded), case.options, parse_instant(moment(case.at)))


@pytest.mark.parametrize("seed", range(60))
def test_worlds_full_of_collisions(seed: int):
    """
    No rule finds anything about a thing without what the rule is said to need.
    """
    assert undeclared(facts_of_records(worlds.world(random.Random(seed))), Options(history=1, burst=1)) == set()


@pytest.mark.parametrize("kind", sorted(CASES))
def test_the_case_of_each_rule(kind: str):
    """
    The declarations hold for the facts of each rule's case, and everything else stated in it.
    """
    assert undeclared_in(kind) == set()
    case = CASES[kind]
    events = [*case.fires, *(event for more, _ in case.more for event in more), *(case.resolved or ())]
    assert undeclared(facts_of(events, case.recorded), case.options) == set()


@pytest.mark.parametrize("seed", range(6))
def test_days_with_faults(seed: int):
    """
    The same for an honest day with faults.
    """
    rng = random.Random(seed)
    events = [dict(one) for one in Honest(seed).make()]
    for mutation in rng.sample(MUTATIONS, 12):
        mutation(events, rng)
    assert undeclared(facts_of(events, {}), Options()) == set()


@pytest.mark.parametrize("kind", sorted(ONLY_OF))
def test_a_wrong_declaration_is_detected(kind: str, monkeypatch: pytest.MonkeyPatch):
    """
    The comparison fails if a rule declares a need that it does not have.
    """
    monkeypatch.setitem(ONLY_OF, kind, "something that nothing offers")
    assert kind in {found for found, _ in undeclared_in(kind)}


@pytest.mark.parametrize("kind", sorted(ONLY_AROUND))
def test_a_wrong_declaration_of_surroundings_is_noticed(kind: str, monkeypatch: pytest.MonkeyPatch):
    """
    The same for what the surroundings of a thing offer.
    """
    monkeypatch.setitem(ONLY_AROUND, kind, "something that nothing offers")
    assert kind in {found for found, _ in undeclared_in(kind)}


@pytest.mark.parametrize(
    ("part", "missed"),
    [
        ("is_ordered", "cycle"),
        ("agrees", "chain-mismatch"),
        ("has_one_parent", "branch"),
        ("keeps_the_subject", "subject-change"),
    ],
)
def test_a_missing_condition_of_a_plain_link_is_detected(part: str, missed: str, monkeypatch: pytest.MonkeyPatch):
    """
    The comparison fails if a link counts as plain without one of its conditions.
    """
    monkeypatch.setattr(ChainLink, "is_plain", property(lambda link: all(link._replace(**{part: True}))))
    circle = [granted("d1", A, B, parents=["d2"]), granted("d2", B, A, parents=["d1"])]
    events = circle if missed == "cycle" else CASES[missed].fires
    assert missed in {found for found, _ in undeclared(facts_of(events, {}), Options())}


def test_the_table_names_existing_rules_only():
    """
    The table names existing rules only.
    """
    assert ONLY_OF.keys() | ONLY_AROUND.keys() <= RULES.keys()
