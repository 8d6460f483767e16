"""Filters for actions: by the human at the root, the agents on the chain, the tool, the time and more. Pure.

Principals are compared as parties: an alias matches what another name of the same party matches.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from lineage.core.authority.chain import Chain
from lineage.core.authority.elements import first_stated
from lineage.core.authority.world import World
from lineage.core.model.events import ActionPerformed
from lineage.core.model.keys import key_of, split_key
from lineage.core.model.references import about, mentions
from lineage.core.model.times import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFilter:
    """The conditions that an action must meet, all of them; None means any value.

    Attributes:
        human: The root of its chain.
        agent: A party anywhere on its chain.
        actor: Its actor, as stated by the action, else by its decision.
        token: Its token, as stated by the action or its decision.
        authority: A token or delegation that the action or its decision names, ``KIND:ID``.
        delegation: A delegation that it names, or that is on its chain.
        session, client: A session or client that it, its decision or a token of its chain names.
        tool, operation, resource, outcome: Its tool, operation, resource and outcome.
        start, end: The earliest and the latest time of its occurrence, both included.
        text: Words; each must occur in a field that the other filters examine, or in a display name.
        of: A key, ``KIND:ID``, that one of its facts mentions.
    """

    human: str | None = None
    agent: str | None = None
    actor: str | None = None
    token: str | None = None
    authority: str | None = None
    delegation: str | None = None
    session: str | None = None
    client: str | None = None
    tool: str | None = None
    operation: str | None = None
    resource: str | None = None
    outcome: str | None = None
    start: Instant | None = None
    end: Instant | None = None
    text: str | None = None
    of: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the text, case-folded."""
        return tuple((self.text or "").casefold().split())

    def given(self) -> dict[str, str | Instant]:
        """The conditions by the names of the attributes."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def takes(self, world: World, action: str, chain: Chain) -> bool:
        """Whether an action matches.

        Args:
            world: The facts about it, its decision, the elements above it, and the parties.
            action: The action.
            chain: Its chain.
        """
        return (
            self._takes_time(world, action)
            and self._takes_values(world, action)
            and self._takes_parties(world, action, chain)
            and self._takes_elements(world, action, chain)
            and (self.of is None or key_of(*split_key(self.of)) in _mentioned(world, action))
            and self._takes_text(world, action, chain)
        )

    def _takes_time(self, world: World, action: str) -> bool:
        occurred_at = world.actions.get(action)[0].event.occurred_at
        return (self.start is None or self.start <= occurred_at) and (self.end is None or occurred_at <= self.end)

    def _takes_values(self, world: World, action: str) -> bool:
        facts = world.actions.get(action)
        for name in ("tool", "operation", "outcome"):
            values, stated = getattr(self, name), first_stated(facts, name)
            if values is not None and (stated is None or stated.value != values):
                return False
        resource = first_stated(facts, "resource")
        return self.resource is None or (resource is not None and resource.value.id == self.resource)

    def _takes_parties(self, world: World, action: str, chain: Chain) -> bool:
        same = world.principals.same
        actor = world.action_field(action, "actor")
        return (
            (self.human is None or (chain.root is not None and same(chain.root, self.human)))
            and (self.agent is None or any(same(hop.principal, self.agent) for hop in chain.hops))
            and (self.actor is None or (actor is not None and same(actor.value, self.actor)))
        )

    def _takes_elements(self, world: World, action: str, chain: Chain) -> bool:
        named = world.authorities_named(action)
        return (
            (self.token is None or f"token:{self.token}" in named)
            and (self.authority is None or self.authority in named)
            and (self.delegation is None or f"delegation:{self.delegation}" in (*named, *chain.delegations))
            and (self.session is None or self.session in _sessions(world, action, chain))
            and (self.client is None or f"client:{self.client}" in _named_by_tokens(world, chain))
        )

    def _takes_text(self, world: World, action: str, chain: Chain) -> bool:
        if not self.words:
            return True
        texts = [text.casefold() for text in _texts(world, action, chain)]
        return all(any(word in text for text in texts) for word in self.words)


def _mentioned(world: World, action: str) -> set[str]:
    facts = world.actions.get(action)
    return {f"{kind}:{id_}" for fact in facts for _, kind, id_ in mentions(fact.event)} | {
        about(fact.event) for fact in facts
    }


def _named_by_tokens(world: World, chain: Chain) -> set[str]:
    """Return the keys of everything that the tokens of a chain name."""
    elements = (world.graph.element(key) for key in chain.tokens)
    return {name for element in elements if element is not None for name in element.names}


def _sessions(world: World, action: str, chain: Chain) -> Iterator[str]:
    if (session := world.action_field(action, "session")) is not None:
        yield session.value
    for name in _named_by_tokens(world, chain):
        kind, id_ = split_key(name)
        if kind == "session":
            yield id_


def _texts(world: World, action: str, chain: Chain) -> Iterator[str]:
    """Yield the texts in which words are searched."""
    yield action
    for fact in world.actions.get(action):
        body = fact.event.body
        if isinstance(body, ActionPerformed):
            yield from (text for text in (body.operation, body.tool, body.outcome) if text is not None)
            if body.resource is not None:
                yield from (text for text in (body.resource.id, body.resource.type) if text is not None)
    for key in (*world.authorities_named(action), *chain.tokens, *chain.delegations, *_named_by_tokens(world, chain)):
        kind, id_ = split_key(key)
        if kind != "principal":
            yield id_
    actor, session = world.action_field(action, "actor"), world.action_field(action, "session")
    if session is not None:
        yield session.value
    for principal in {*(hop.principal for hop in chain.hops), *([actor.value] if actor else ())}:
        yield from world.principals.party(principal)
        if (name := world.principals.display_name(principal)) is not None:
            yield name
