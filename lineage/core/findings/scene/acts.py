"""Actions and decisions as rules see them: all facts about one, combined once."""

from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from lineage.core.authority.elements import Element, first_stated
from lineage.core.authority.world import World
from lineage.core.model.events import ActionPerformed, Fact, Resource
from lineage.core.model.keys import shared_text
from lineage.core.model.times import NEVER, Instant

SAID_BY: Final = {
    "document": "a document",
    "tool_result": "the result of a tool",
    "child_result": "the result of a child agent",
}
"""Sources of instructions other than the agent's user, in words."""
UNTRUSTED: Final = frozenset(SAID_BY)
"""These sources."""

ANY_TOOL: Final = "tools.call"
"""MCP's operation of any tool, normalised."""

_NOTHING: Final[frozenset[str]] = frozenset()
_PUNCTUATION: Final = str.maketrans({":": ".", "/": ".", "_": ".", "-": ".", " ": "."})


@lru_cache(maxsize=4_096)
def plain_operation(word: str) -> str:
    """Normalise an operation: without case and punctuation, in which the spellings of two sources may differ."""
    return word.casefold().translate(_PUNCTUATION)


class Decided(NamedTuple):
    """A decision.

    Attributes:
        key: ``decision:ID``.
        facts: The facts about it, in order. Not empty.
    """

    key: str
    facts: tuple[Fact, ...]
    occurred_at: Instant
    operation: str
    resource: Resource | None
    token: str | None
    actor: str | None
    on_behalf_of: str | None
    params_digest: str | None
    required_scopes: frozenset[str]

    def last_words(self, moment: Instant = NEVER) -> list[Fact]:
        """Return the last fact of each source up to an instant; for a source that stated it only later, its first."""
        last: dict[str, Fact] = {}
        for fact in self.facts:
            if fact.event.source not in last or fact.event.occurred_at <= moment:
                last[fact.event.source] = fact
        return list(last.values())

    def denials(self, moment: Instant = NEVER) -> list[Fact]:
        """Return the last facts of each source up to an instant that deny it, which no other source's permit undoes."""
        return [fact for fact in self.last_words(moment) if not permits(fact)]

    def permitted_at(self, moment: Instant) -> Instant:
        """Return when its own source last permitted it up to an instant, else when it was made."""
        times = [fact.event.occurred_at for fact in self.facts if permits(fact) and fact.event.source == self.source]
        return max((at for at in times if at <= moment), default=self.occurred_at)

    @property
    def permits(self) -> bool:
        """Whether no source's last statement is a denial."""
        return not self.denials()

    @property
    def source(self) -> str:
        """The source of the decision."""
        return self.facts[0].event.source


class Act(NamedTuple):
    """An action.

    Attributes:
        key: ``action:ID``.
        facts: The facts about it, in order. Not empty.
        occurred_at: When it was done, by the first of its facts.
        parent_action: The action that caused it.
        params_digest: The digest of its parameters.
        succeeded: Whether any fact says that it succeeded: a reported attempt does not undo a success.
        named: The elements that it or its decision names, in order of precedence as its authority.
        authority: The first of these that was granted, else the first, or None.
        element: The authority, if it was granted.
        decided: Its decision, if known.
        required_scopes: Every scope that any of its facts says it needed, else those of its decision.
    """

    key: str
    facts: tuple[Fact, ...]
    occurred_at: Instant
    parent_action: str | None
    params_digest: str | None
    succeeded: bool
    operation: str
    tool: str | None
    resource: Resource | None
    token: str | None
    delegation: str | None
    decision: str | None
    actor: str | None
    workload: str | None
    key_thumbprint: str | None
    on_behalf_of: str | None
    instruction_source: str | None
    task: str | None
    named: tuple[str, ...]
    authority: str | None
    element: Element | None
    decided: Decided | None
    required_scopes: frozenset[str]

    @property
    def source(self) -> str:
        """The first source that reported it."""
        return self.facts[0].event.source


def permits(fact: Fact) -> bool:
    """Whether a fact about a decision says that it permits."""
    return bool(fact.event.body.permitted)  # type: ignore[union-attr]


def decided_of(world: World, id_: str) -> Decided | None:
    """Build a decision; None if no fact mentions it."""
    facts = world.decisions.get(id_)
    if not facts:
        return None
    return Decided(
        key=f"decision:{id_}",
        facts=facts,
        occurred_at=facts[0].event.occurred_at,
        operation=_first(facts, "operation"),
        resource=_first(facts, "resource"),
        token=_first(facts, "token"),
        actor=_first(facts, "actor"),
        on_behalf_of=_first(facts, "on_behalf_of"),
        params_digest=_first(facts, "params_digest"),
        required_scopes=_all(facts, "required_scopes"),
    )


def act_of(world: World, id_: str) -> Act | None:
    """Build an action; None if no fact mentions it."""
    facts = world.actions.get(id_)
    if not facts:
        return None
    body = facts[0].event.body
    if len(facts) == 1 and isinstance(body, ActionPerformed):  # nearly every action
        return _act_of_one(world, id_, facts, body)
    decision = _first(facts, "decision")
    decided = decided_of(world, decision) if decision is not None else None
    token, delegation = _key("token", _first(facts, "token")), _key("delegation", _first(facts, "delegation"))
    named, authority = _named(world, id_, token, delegation, decided)
    required = _all(facts, "required_scopes")
    return Act(
        key=f"action:{id_}",
        facts=facts,
        succeeded=any(fact.event.body.outcome == "succeeded" for fact in facts),  # type: ignore[union-attr]
        occurred_at=facts[0].event.occurred_at,
        operation=_first(facts, "operation"),
        tool=_first(facts, "tool"),
        resource=_first(facts, "resource"),
        token=token,
        delegation=delegation,
        decision=decision,
        actor=_first(facts, "actor"),
        workload=_first(facts, "workload"),
        key_thumbprint=_first(facts, "key_thumbprint"),
        on_behalf_of=_first(facts, "on_behalf_of"),
        instruction_source=_first(facts, "instruction_source"),
        params_digest=_first(facts, "params_digest"),
        task=_first(facts, "task"),
        parent_action=_first(facts, "parent_action"),
        named=named,
        authority=authority,
        element=None if authority is None else world.graph.element(authority),
        decided=decided,
        required_scopes=required or (decided.required_scopes if decided else _NOTHING),
    )


def _act_of_one(world: World, id_: str, facts: tuple[Fact, ...], body: ActionPerformed) -> Act:
    """Build an action that a single fact is about."""
    decided = None if body.decision is None else decided_of(world, body.decision)
    token, delegation = _key("token", body.token), _key("delegation", body.delegation)
    named, authority = _named(world, id_, token, delegation, decided)
    return Act(
        f"action:{id_}",
        facts,
        facts[0].event.occurred_at,
        body.parent_action,
        body.params_digest,
        body.outcome == "succeeded",
        body.operation,
        body.tool,
        body.resource,
        token,
        delegation,
        body.decision,
        body.actor,
        body.workload,
        body.key_thumbprint,
        body.on_behalf_of,
        body.instruction_source,
        body.task,
        named,
        authority,
        None if authority is None else world.graph.element(authority),
        decided,
        frozenset(body.required_scopes) or (decided.required_scopes if decided else _NOTHING),
    )


def _named(
    world: World, id_: str, token: str | None, delegation: str | None, decided: Decided | None
) -> tuple[tuple[str, ...], str | None]:
    """Return the elements that an action or its decision names, and its authority among them."""
    if decided is not None:
        named = tuple(world.authorities_named(id_))
    elif token is not None and delegation is None:  # nearly always
        return (token,), token
    else:
        named = tuple([key for key in (token, delegation) if key is not None])
    granted = world.graph.facts
    return named, next((key for key in named if key in granted), named[0] if named else None)


def statement_of(facts: tuple[Fact, ...]) -> tuple[Any, ...] | None:
    """Return what the only fact about an action states, but for its id, its time and what ``alike`` replaces.

    None unless exactly one fact is about it.
    """
    if len(facts) != 1:
        return None
    event = facts[0].event
    return event.source, *_STATED(event.body)


_STATED: Final = attrgetter(
    *(name for name in ActionPerformed._fields if name not in ("action", "parent_action", "params_digest"))
)


def alike(act: Act, id_: str, facts: tuple[Fact, ...]) -> Act:
    """Return the action of some facts that state, apart from its id, the same as those of another action."""
    body = facts[0].event.body
    assert isinstance(body, ActionPerformed)  # noqa: S101 (a fact about an action)
    return Act(f"action:{id_}", facts, facts[0].event.occurred_at, body.parent_action, body.params_digest, *act[5:])


def _first(facts: tuple[Fact, ...], field: str):  # type: ignore[no-untyped-def]
    if len(facts) == 1:  # nearly every action
        value = getattr(facts[0].event.body, field)
        return None if value == () else value
    found = first_stated(facts, field)
    return found.value if found else None


def _all(facts: tuple[Fact, ...], field: str) -> frozenset[str]:
    if len(facts) == 1:
        return frozenset(getattr(facts[0].event.body, field))
    return frozenset(value for fact in facts for value in getattr(fact.event.body, field))


def _key(kind: str, id_: str | None) -> str | None:
    return None if id_ is None else shared_text(f"{kind}:{id_}")
