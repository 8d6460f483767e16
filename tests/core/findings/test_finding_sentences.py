"""The sentences of findings: each says in plain words who did what."""

import re

import pytest

from lineage.core.authority.world import World
from lineage.core.findings.evaluation import evaluate
from lineage.core.findings.options import Options
from lineage.core.findings.scene.acts import act_of
from lineage.core.model.finding import Finding
from lineage.core.model.times import parse_instant
from tests.support.finding_cases import CASES, D1, A, B, Event, bound, done, moment
from tests.support.findings_views import facts_of, intake_of

# Numbers before a noun of the other number, a word left of a name, two marks together, names of fields.
BROKEN = re.compile(
    r"\b1 (facts|orders|actions|times|levels)\b|\bown (ordered|lifted) by\b|,,| , |done with (on_behalf_of|delegation)"
)


def found_in(
    events: list[Event], recorded: dict[str, float], options: Options, at: float
) -> tuple[World, list[Finding]]:
    """Return the world of some events, and what is found in it."""
    facts = facts_of(events, recorded)
    report = evaluate(facts, options, parse_instant(moment(at)), intake=intake_of(facts))
    return World(facts), list(report.findings.values())


@pytest.mark.parametrize("kind", sorted(CASES))
def test_a_sentence_is_whole_and_names_who_acted(kind: str):
    """
    What a rule says in each of its worlds; of an action that states its actor, also that actor.
    """
    case = CASES[kind]
    for number, events in enumerate((case.fires, *(events for events, _ in case.more))):
        world, found = found_in(events, case.recorded if number == 0 else {}, case.options, case.at)
        for one in found:
            assert not BROKEN.search(one.why), one.why
            act = act_of(world, one.of.removeprefix("action:")) if one.of.startswith("action:") else None
            if act is not None and act.actor is not None and one.kind not in ("disagreement", "subject-mismatch"):
                assert act.actor in one.why or one.about in ("delegation", "key_thumbprint", "workload"), one.why


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (
            [bound(A, "spiffe://x/a"), bound(B, "spiffe://x/b")],
            "token:t9 was used by 2 workloads: that of agent:a, that of agent:b",
        ),
        ([], "token:t9 was used by 2 workloads: spiffe://x/a, spiffe://x/b"),
    ],
)
def test_a_shared_token_names_workloads_as_workloads(events: list[Event], said: str):
    """
    A workload that is bound to an agent counts as the agent, which is not a workload.
    """
    uses = [done(f"a{name}", token="t9", workload=f"spiffe://x/{name}") for name in "ab"]
    _, found = found_in([*events, D1, *uses], {}, Options(), 60)

    assert [said] == [one.why for one in found if one.kind == "credential-shared"]
