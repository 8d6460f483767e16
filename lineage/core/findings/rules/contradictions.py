"""Contradictions between the facts about one element, action, decision or principal."""

from collections.abc import Iterator
from typing import Final

from lineage.core.authority.elements import Stated, disagreements
from lineage.core.authority.principals import declared_kind
from lineage.core.authority.world import World
from lineage.core.model.events import Fact, PrincipalRegistered
from lineage.core.model.finding import Finding
from lineage.core.model.keys import split_key
from lineage.core.model.sentences import keyed, listed, principal, sentence, thing

# Fields whose first stated value counts, so that a second value is suspicious. Not included are fields that combine
# (dependencies, aliases), change (a principal's name or owner) or count by the latest value (expiry). Names, audiences
# and status list entries combine as well but are included: two values mean that two parties used the same id.
_COMPARED: Final[dict[str, tuple[str, ...]]] = {
    "token": (
        "subject", "actor", "prior_actors", "client", "session", "delegation", "token_type", "scopes", "audience",
        "not_before", "workload", "key_thumbprint", "exchange", "status_list",
        "single_use", "no_scopes", "task",
    ),
    "delegation": (
        "delegator", "delegatee", "scopes", "audience", "purpose", "task", "max_depth", "not_before",
        "instruction_source", "approved_by", "single_use", "no_scopes",
    ),
    "principal": ("kind", "max_delegation_depth"),
    "decision": (
        "permitted", "operation", "resource", "token", "actor", "on_behalf_of", "workload", "session", "delegation",
        "policy", "reasons", "context", "approved_by", "prior_actors", "required_scopes", "params_digest",
    ),
    "action": (
        "operation", "outcome", "tool", "resource", "token", "actor", "prior_actors", "workload", "session",
        "delegation", "decision", "on_behalf_of", "key_thumbprint", "parent_action", "params_digest",
        "instruction_source", "required_scopes", "task",
    ),
}  # fmt: skip
_PARTIES: Final = frozenset(
    {"subject", "actor", "prior_actors", "workload", "delegator", "delegatee", "approved_by", "on_behalf_of"}
)
_UNITED: Final = frozenset({"audience", "status_list"})
# The kinds of the things that fields name.
_NAMED: Final = {
    **dict.fromkeys(_PARTIES, "principal"),
    **{field: field for field in ("client", "session", "delegation", "token", "decision", "tool")},
    "parent_action": "action",
    "key_thumbprint": "key",
}


def principal_findings(world: World, id_: str) -> list[Finding]:
    """Find what is inconsistent in the facts about a principal: ``kind-contradiction``, ``disagreement``."""
    facts = world.principals.registrations.get(id_)
    if not facts:
        return []
    declared = declared_kind(id_)
    contradicting = [
        fact
        for fact in facts
        if isinstance(fact.event.body, PrincipalRegistered) and declared not in (None, fact.event.body.kind)
    ]
    found = list(contradictions(world, f"principal:{id_}", facts))
    if contradicting:
        kinds = sorted({fact.event.body.kind for fact in contradicting})  # type: ignore[union-attr]
        why = sentence(
            "{} is of the kind {} by its prefix and was registered as {}", principal(id_), declared, ", ".join(kinds)
        )
        found.append(Finding("kind-contradiction", f"principal:{id_}", why, tuple(contradicting)))
    return found


def decision_findings(world: World, decision: str) -> list[Finding]:
    """Find what is inconsistent in the facts about one decision: ``disagreement``."""
    return list(contradictions(world, f"decision:{decision}", world.decisions.get(decision)))


def contradictions(world: World, of: str, facts: tuple[Fact, ...]) -> Iterator[Finding]:
    """Find the fields about which facts of one thing disagree: ``disagreement``."""
    for field, stated_ones in disagreements(facts, _COMPARED[split_key(of)[0]]) if len(facts) > 1 else ():
        values = _of_different_parties(world, stated_ones) if field in _PARTIES else stated_ones
        if len(values) == 1:
            continue
        stated_values = listed(shown(field, value.value) for value in values)
        holds = "all of them count" if field in _UNITED else "the first stated holds"
        why = sentence("{} has several values for {}: {}; {}", keyed(of), field, stated_values, holds)
        yield Finding("disagreement", of, why, tuple(value.fact for value in values), about=field)


def _of_different_parties(world: World, values: list[Stated]) -> list[Stated]:
    """Return one value for each different party: an alias is not another party."""
    first: dict[object, Stated] = {}
    for one in values:
        ids = one.value if isinstance(one.value, tuple) else (one.value,)
        first.setdefault(tuple(world.principals.one_of(id_) for id_ in ids), one)
    return list(first.values())


def shown(field: str, value: object) -> str:
    """Return a value of a field, tagged if it names something."""
    if isinstance(value, tuple):
        return sentence("({})", listed(_named(field, one) for one in value))
    return _named(field, value)


def _named(field: str, value: object) -> str:
    return thing(_NAMED[field], str(value)) if field in _NAMED else str(value)
