"""Equal actions contribute as a group exactly what each of them would contribute alone."""

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from lineage.core.authority.world import World
from lineage.core.findings.options import Options
from lineage.core.findings.scene.entering import (
    ActionEntry,
    action_entries,
    action_entry,
    enter_action,
    enter_alike,
)
from lineage.core.findings.scene.ledger import Ledger
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.tally import Tally
from lineage.core.model.events import Fact
from tests.support import worlds
from tests.support.alike_actions import with_alike_actions
from tests.support.compare import facts_of as facts_of_records
from tests.support.findings_views import facts_of
from tests.support.honest_worlds import Honest
from tests.support.mutated_worlds import MUTATIONS


def facts_with_alike_actions(rng: random.Random, *, colliding: bool) -> list[Fact]:
    if colliding:
        facts = facts_of_records(worlds.world(rng))
    else:
        events = [dict(one) for one in Honest(rng.randrange(99)).make()]
        for mutation in rng.sample(MUTATIONS, 3):
            mutation(events, rng)
        facts = facts_of(events, {})
    facts = with_alike_actions(facts, rng)
    rng.shuffle(facts)
    return facts


def contents(tally: Tally) -> dict[str, Any]:
    """Return everything in a tally, independent of the order in which it was entered."""
    found = deepcopy({name: value for name, value in vars(tally).items() if name != "used"})
    found["used"] = {key: deepcopy(tally.used.get(key)) for key in tally.used}
    for used in found["used"].values():
        used.times = sorted(used.times)
    found["denied"] = {party: sorted(one.key for one in denied) for party, denied in found["denied"].items()}
    return found


@pytest.mark.parametrize("seed", range(30))
def test_alike_actions_contribute_what_each_contributes(seed: int):
    """
    Each contribution of a group equals the one determined for the action alone. Entering the group gives the same
    aggregates and the same shared members as entering its actions one after the other, also after each was withdrawn
    and entered again several times.
    """
    rng = random.Random(f"contributions {seed}")
    facts = facts_with_alike_actions(rng, colliding=seed % 2 == 1)
    scene = Scene(World(facts), Options(history=1), max(fact.recorded_at for fact in facts), whole=True)
    keys = [f"action:{id_}" for id_ in scene.world.actions]
    alone = {key: action_entry(scene, key) for key in keys}
    scene.alike = {}
    scene.forget_recent()
    others, groups = action_entries(scene, keys)
    assert {**others, **{one.key: one for group in groups for one in group}} == alone

    one_by_one, together = Tally(), Tally()
    ledger, other = (Ledger(tally, scene.world.graph, 1) for tally in (one_by_one, together))
    for key in rng.sample(keys, len(keys)):
        ledger.action(key, alone[key])
    for key, entry in others.items():
        other.action(key, entry)
    for group in rng.sample(groups, len(groups)):
        other.alike(rng.sample(group, len(group)))
        other.alike(group)  # nothing is entered twice
    assert contents(together) == contents(one_by_one)
    assert other.actions == ledger.actions
    assert other.stirred == ledger.stirred
    assert sharing(other) == sharing(ledger)
    for key in keys * 3:  # so often that most of what is listed is outdated
        other.action(key, None)
        other.action(key, alone[key])
    other.settle()
    other.trim(0)
    assert sharing(other) == sharing(ledger)
    assert contents(together) == contents(one_by_one)
    assert seed % 2 or any(len(group) > 1 for group in groups)


def sharing(ledger: Ledger) -> dict[Any, set[str]]:
    """Return the actions that share something, by what they share."""
    shared: dict[Any, Iterator[ActionEntry]] = {}
    for one in ledger.actions.values():
        shared["party", one.party] = ledger.successes_by(str(one.party))
        shared["source", one.source] = ledger.successes_from(one.source)
        shared["cause", one.key] = ledger.caused_by(one.key.removeprefix("action:"))
        if one.alike is not None:
            shared["request", one.alike] = ledger.successes_alike(one.alike)
    days = {(spoken, day): set(keys) for spoken, days in ledger.undecided.items() for day, keys in days.items()}
    return {**{what: {one.key for one in entries} for what, entries in shared.items()}, **days}


def test_the_sample_of_a_time_is_the_first_in_the_order_of_facts():
    """
    Of equal actions at one time, the sample is the first in the order of facts, however they arrive.
    """
    rng = random.Random(1)
    facts = facts_with_alike_actions(rng, colliding=False)
    scene = Scene(World(facts), Options(), max(fact.recorded_at for fact in facts), whole=True)
    entries = [action_entry(scene, f"action:{id_}") for id_ in scene.world.actions]
    one = next(entry for entry in entries if entry is not None and entry.succeeded and entry.party is not None)
    alike = [
        one._replace(
            key=f"action:{number}", fact=one.fact._replace(event=one.fact.event._replace(event_id=str(number)))
        )
        for number in rng.sample(range(9), 9)
    ]
    together, single = Tally(), Tally()
    enter_alike(together, alike)
    for entry in alike:
        enter_action(single, entry)
    assert contents(together) == contents(single)
    assert together.acting[str(one.party)].fact.event.event_id == "0"
