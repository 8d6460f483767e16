"""Determine the things to examine again because of new facts. Pure.

This covers what the surroundings of a thing can show. Aggregates are left to a full evaluation.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from lineage.core.authority.elements import granted_key
from lineage.core.model.events import (
    ActionPerformed,
    DecisionMade,
    Fact,
    FindingJudged,
    PrincipalRegistered,
    ReceiverRegistered,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
    WorkloadBound,
)
from lineage.core.model.keys import key_of


@dataclass(slots=True)
class Touched:
    """The things that some facts are about.

    Attributes:
        actions, decisions: Ids.
        granted: Elements that the facts grant: ``KIND:ID``.
        used: Elements that the actions and decisions name.
        principals: Ids.
        targets: The targets of orders, as keys.
        revocations, receivers: Ids.
        tools: The tools of the actions.
        judged: Ids of findings.
    """

    actions: set[str] = field(default_factory=set)
    decisions: set[str] = field(default_factory=set)
    granted: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    principals: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)
    revocations: set[str] = field(default_factory=set)
    receivers: set[str] = field(default_factory=set)
    tools: set[str] = field(default_factory=set)
    judged: set[str] = field(default_factory=set)


def touched_by(facts: Iterable[Fact]) -> Touched:
    """Find the things that some facts are about."""
    found = Touched()
    for fact in facts:
        body = fact.event.body
        if (key := granted_key(body)) is not None:
            found.granted.add(key)
        match body:
            case ActionPerformed():
                found.actions.add(body.action)
                if body.tool is not None:
                    found.tools.add(body.tool)
                _use(found, body)
            case DecisionMade():
                found.decisions.add(body.decision)
                _use(found, body)
            case PrincipalRegistered():
                found.principals.add(body.principal)
            case WorkloadBound():
                found.principals |= {body.agent, body.workload}
            case RevocationOrdered():
                found.revocations.add(body.revocation)
                found.targets.add(key_of(body.target.kind, body.target.id))
            case RevocationLifted() | RevocationAcknowledged():
                found.revocations.add(body.revocation)
            case ReceiverRegistered():
                found.receivers.add(body.receiver)
            case FindingJudged():
                found.judged.add(body.finding)
            case _:
                pass
    return found


def _use(found: Touched, body: ActionPerformed | DecisionMade) -> None:
    if body.token is not None:
        found.used.add(f"token:{body.token}")
    if body.delegation is not None:
        found.used.add(f"delegation:{body.delegation}")
