"""The core and the model answer the same queries in one form, so that their answers can be compared."""

import json
from typing import Any

from ingest.codec import api as codec
from lineage.core.authority.chain import action_gaps, chain_of, chain_of_action
from lineage.core.authority.rule import Verdict, gaps, verdict_of, verdict_of_name, verdicts_of
from lineage.core.authority.world import World
from lineage.core.model.events import Fact, Target
from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS, key_of, split_key
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.core.revocation.closure import Closure
from lineage.core.revocation.reach import Proposal, reach_of

Answer = dict[str, Any]


def facts_of(records: list[dict[str, Any]]) -> list[Fact]:
    """Read the records of a random world as ingestion does."""
    facts = []
    for record in records:
        event = codec.decode_line(json.dumps(record["event"]).encode())
        facts.append(Fact(event, record["recorded_at"], misrouted=event.is_order and record["via"] == "decisions"))
    return facts


def table_of(trust: dict[str, Any] | None) -> TrustTable | None:
    """Build the trust table of a random world."""
    if trust is None:
        return None
    return TrustTable({source: SourceGrant(frozenset(g["types"]), tuple(g["ids"])) for source, g in trust.items()})


def verdict_answer(verdict: Verdict) -> Answer:
    """Convert a verdict to the model's form."""
    because = verdict.because
    return {
        "state": str(verdict.state),
        "because": None
        if because is None
        else {
            "revocation": because.order.body.revocation,
            "mode": because.order.body.mode,
            "target": {"kind": because.order.target.kind, "id": because.order.target.id},
            "effective_at": because.order.effective_at,
            "ordered_by": because.order.body.ordered_by,
            "reason": because.order.body.reason,
            "path": list(because.path),
        },
    }


def status(world: World, kind: str, id_: str, at: int) -> Answer:
    """Return the core's status, in the model's form."""
    key = key_of(kind, id_)
    verdict = verdict_of(world, key, at) if kind in ELEMENT_KINDS else verdict_of_name(world, kind, id_, at)
    missing = gaps(world, [key]) if kind in ELEMENT_KINDS else []
    if kind in ELEMENT_KINDS:
        assert verdicts_of(world, [key], at)[key] == verdict
    return {**verdict_answer(verdict), "gaps": [(gap.kind, gap.id) for gap in missing]}


def _shared(world: World, chain: Any) -> Answer:
    kinds = [(hop.principal, world.principals.kind(hop.principal)) for hop in chain.hops]
    root = kinds[0][0] if kinds else None
    human = root if kinds and kinds[0][1] == "human" else None
    owner = world.principals.owner(root) if root and not human else None
    return {
        "chain": [
            {
                "principal": hop.principal,
                "known_as": world.principals.known_as(hop.principal),
                "display_name": world.principals.display_name(hop.principal),
                "kind": kind,
                "evidence": hop.evidence,
                "source": hop.source,
            }
            for hop, (_, kind) in zip(chain.hops, kinds, strict=True)
        ],
        "root": root,
        "human": human,
        "accountable": human or (owner.value if owner else None),
        "agents": [id_ for id_, kind in kinds if kind == "agent"],
        "tokens": [split_key(key)[1] for key in chain.tokens],
        "delegations": [split_key(key)[1] for key in chain.delegations],
    }


def chain(world: World, kind: str, id_: str, at: int) -> Answer:
    """Return the core's chain, in the model's form."""
    return {**_shared(world, chain_of(world, key_of(kind, id_))), **status(world, kind, id_, at)}


def who(world: World, action: str, at: int) -> Answer | None:
    """Return the core's answer about an action, in the model's form; an unknown decision is left to other tests."""
    facts = world.actions.get(action)
    if not facts:
        return None
    found = chain_of_action(world, action)
    authority = world.authority(action)
    occurred_at, recorded_at = facts[0].event.occurred_at, min(fact.recorded_at for fact in facts)
    unknown: Answer = {"state": "unknown", "because": None}

    def state(of: World, when: int) -> Answer:
        return verdict_answer(verdict_of(of, authority, when)) if authority else unknown

    now = state(world, at)
    return {
        **_shared(world, found),
        **now,
        "gaps": [(gap.kind, gap.id) for gap in action_gaps(world, action, found) if gap.kind != "decision"],
        "authority": {
            "element": authority,
            "then_as_known_then": state(world.as_known_at(recorded_at), occurred_at),
            "then_as_known_now": state(world, occurred_at),
            "now": now,
        },
    }


def reach(world: World, kind: str, id_: str, at: int, **how: Any) -> Answer:
    """Return the core's reach, in the model's form."""
    acted = how.pop("acted", None)
    found = reach_of(world, Proposal(target=Target(kind, id_), at=at, **how), acted=acted)
    return {
        "tokens": list(found.tokens),
        "delegations": list(found.delegations),
        "agents": list(found.agents),
        "humans": list(found.humans),
        "already_dead": {"tokens": found.already_dead[0], "delegations": found.already_dead[1]},
        "actions_count": found.actions,
        "own_actions": found.own_actions,
        "last_expiry": found.last_expiry,
    }


__all__ = ["ELEMENT_KINDS", "NAME_KINDS", "chain", "facts_of", "reach", "status", "table_of", "who"]


def closure_in(found: Closure) -> Answer:
    """Convert a closure to the model's form."""
    return {
        "verdict": str(found.verdict),
        "ordered_at": found.ordered_at,
        "in_force_at": found.in_force_at,
        "elements": found.elements,
        "receivers": [{name: getattr(tally, name) for name in tally.__slots__} for tally in found.receivers],
        "open": {(*one.key.split(":", 1), one.receiver) for one in found.open},
        "reopened_by": set(found.reopened_by),
        "used": {f.of.removeprefix("action:") for f in found.findings if f.kind == "used-after-revocation"},
        "tainted": {f.of.removeprefix("action:") for f in found.findings if f.kind == "tainted-use"},
    }
