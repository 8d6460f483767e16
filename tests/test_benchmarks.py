"""The comparison with the last release: other load alone does not fail it, a slowdown does."""

import json
import random

import pytest

from benchmarks import released
from benchmarks.costs import TURNS, Bench, Work

LOOP = 0.050


class Machine:
    """A machine on which a turn takes its time or, because of other load, up to three times as long."""

    def __init__(self, seed: int, *, undisturbed: float = 0.7, share: float = 0.9) -> None:
        """Draw the disturbances from a seed; ``undisturbed`` is how often there is none."""
        self.share = share
        self.seconds = 0.0
        self.chance = random.Random(seed)
        self.undisturbed = undisturbed

    def turn(self, seconds: float) -> float:
        """Return what a turn of a number of seconds takes."""
        if self.chance.random() < self.undisturbed:
            return seconds * self.chance.uniform(1, 1.05)
        return seconds * self.chance.uniform(1.05, 3)

    def bench(self, **costs: float) -> Bench:
        """Measure works that cost a number of bare loops."""
        works = [Work(name, lambda cost=cost: self.turn(cost * LOOP)) for name, cost in costs.items()]
        return Bench(works, lambda: self.turn(LOOP), clocks=self.clocks)

    def clocks(self) -> tuple[float, float]:
        """Return both clocks: the process has had its share of a core."""
        self.seconds += 1
        return self.seconds, self.seconds * self.share


def of_release(**ratios: float) -> dict[str, object]:
    """Build the document of a release that was measured here."""
    return released.document_of(ratios)


@pytest.mark.parametrize("slower", [1.0, 1.4])
def test_only_a_slowdown_fails_on_a_busy_machine(slower: float):
    """
    Whatever the other load, unchanged costs pass; one that costs 40 % more fails, and is named.
    """
    codes = set()
    document = of_release(steady=2, changed=3)
    for seed in range(200):
        lines, code = released.compare(Machine(seed).bench(steady=2.0, changed=3.0 * slower), document)
        codes.add(code)
        if slower > 1:
            assert lines[-1].endswith(": changed")

    assert {0 if slower == 1 else 1} == codes


def test_only_an_apparent_slowdown_is_measured_again():
    """Further turns measure only the cost in doubt."""
    measured = {"steady": 0, "changed": 0}

    def turn(name: str, ratio: float) -> float:
        measured[name] += 1
        return ratio * LOOP

    bench = Bench(
        [Work("steady", lambda: turn("steady", 2)), Work("changed", lambda: turn("changed", 3))], lambda: LOOP
    )
    released.measured(bench, {"steady": 2.0, "changed": 1.0})

    assert {"steady": TURNS, "changed": TURNS * (1 + released.TRIES)} == measured


def test_the_table_marks_what_has_moved_by_more_than_a_tenth():
    """New and missing figures are marked as well."""
    machine = Machine(0, undisturbed=1)

    lines, code = released.compare(
        machine.bench(steady=2.0, cheaper=2.0, dearer=2.4, added=1.0),
        of_release(steady=2, cheaper=3, dearer=2, removed=1),
    )

    marks = {line.split()[0]: line.split()[-1] for line in lines[1:]}
    assert marks["steady"] == "2.00"
    assert marks["cheaper"].startswith("-3")
    assert marks["dearer"].startswith("+")
    assert marks["added"] == "new"
    assert "gone" in lines[-1]
    assert code == 0


def test_a_machine_that_is_too_busy_to_decide_does_not_fail():
    """With part of a core the processor's caches are cold; apparent slowdowns are named."""
    lines, code = released.compare(
        Machine(0, share=0.5).bench(steady=2.0, changed=2.0), of_release(steady=2, changed=1)
    )

    assert lines[-1].startswith("not checked: ")
    assert lines[-1].endswith(": changed")
    assert code == 0


def test_figures_from_elsewhere_are_shown_without_failing():
    """Another version of Python has other ratios."""
    document = of_release(changed=1) | {"python": "3.99"}

    lines, code = released.compare(Machine(0).bench(changed=2.0), document)

    assert lines[-1].startswith("not checked: ")
    assert code == 0


def test_the_recorded_release_has_every_field_of_a_document():
    """The committed file is what ``--record`` writes."""
    document = released.load()

    assert document.keys() == of_release().keys()
    assert all(ratio > 0 for ratio in document["ratios"].values())
    assert json.loads(json.dumps(document)) == document
