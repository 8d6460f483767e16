"""The worlds of ``tests/cases/``, each with the answers that follow from the rules: read them to learn the rules."""

import json
from typing import Any

import pytest

from ingest.codec import api as codec
from lineage.core.authority.chain import chain_of, chain_of_action
from lineage.core.authority.rule import gaps, verdict_of, verdict_of_name
from lineage.core.authority.world import World
from lineage.core.model.events import Fact, Target
from lineage.core.model.keys import ELEMENT_KINDS, split_key
from lineage.core.model.times import parse_instant
from lineage.core.revocation.reach import Proposal, reach_of
from tests.support.places import CASES

WORLDS = json.loads((CASES / "rule.json").read_text(encoding="utf-8"))


def facts_of(case: dict[str, Any]) -> list[Fact]:
    """Return the facts of a case, each recorded when it occurred."""
    events = [codec.decode_line(json.dumps(fact).encode()) for fact in case["facts"]]
    return [Fact(event, event.occurred_at) for event in events]


def answer(world: World, question: dict[str, Any]) -> dict[str, Any]:
    """Return the core's answer to a question, with every part that a case may expect."""
    at = parse_instant(question.get("at", "2026-11-01T23:00:00Z"))
    if question["ask"] == "status":
        kind, id_ = split_key(question["of"])
        named = kind not in ELEMENT_KINDS
        verdict = verdict_of_name(world, kind, id_, at) if named else verdict_of(world, question["of"], at)
        return {
            "state": str(verdict.state),
            "because": verdict.because.order.body.revocation if verdict.because else None,
            "path": list(verdict.because.path) if verdict.because else None,
            "gaps": [f"{gap.kind}:{gap.id}" for gap in gaps(world, [question["of"]])] if not named else [],
        }
    if question["ask"] == "reach":
        found = reach_of(world, Proposal(target=Target(*split_key(question["of"])), at=at))
        return {"tokens": list(found.tokens), "delegations": list(found.delegations)}
    asked = question["ask"] == "who"
    chain = chain_of_action(world, question["action"]) if asked else chain_of(world, question["of"])
    kinds = [(hop.principal, world.principals.kind(hop.principal)) for hop in chain.hops]
    return {
        "chain": [principal for principal, _ in kinds],
        "human": kinds[0][0] if kinds and kinds[0][1] == "human" else None,
        "agents": [principal for principal, kind in kinds if kind == "agent"],
        "tokens": [split_key(key)[1] for key in chain.tokens],
        "delegations": [split_key(key)[1] for key in chain.delegations],
        "element": world.authority(question["action"]) if asked else None,
        "mismatch": bool(chain.mismatch),
    }


@pytest.mark.parametrize("case", WORLDS, ids=[case["case"] for case in WORLDS])
@pytest.mark.parametrize("order", ["as listed", "reversed"])
def test_the_rule_gives_the_answers_of_the_case(case: dict[str, Any], order: str):
    """Every question of a case gets its answer, in either order of the facts."""
    facts = facts_of(case)
    world = World(facts if order == "as listed" else facts[::-1])

    for question in case["questions"]:
        expected = {key: value for key, value in question.items() if key not in {"ask", "of", "action", "at"}}
        result = answer(world, question)
        assert expected == {key: result[key] for key in expected}, question


@pytest.mark.parametrize("case", WORLDS, ids=[case["case"] for case in WORLDS])
def test_a_case_is_a_mismatch_only_if_it_says_so(case: dict[str, Any]):
    """The name of a case tells whether one of its chains is inconsistent."""
    world = World(facts_of(case))
    chains = [answer(world, question) for question in case["questions"] if question["ask"] in ("chain", "who")]

    assert ("chain-mismatch" in case["case"]) == any(value["mismatch"] for value in chains)
