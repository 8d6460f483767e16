"""Principals: their kinds, aliases, owners, and the workloads they run as.

Clauses 2.4 to 2.6 and 4.3. Owners and bindings are not dependencies (clause 4.5): they never kill.
"""

from collections import defaultdict
from functools import lru_cache
from typing import Final

from lineage.core.authority.elements import FactIndex, Stated, in_order, last_stated
from lineage.core.model.events import Fact, PrincipalRegistered, WorkloadBound

_KINDS: Final = {"human": "human", "agent": "agent", "service": "service"}


@lru_cache(maxsize=16_384)
def declared_kind(id_: str) -> str | None:
    """Return the kind that an id's prefix declares, if any (clause 2.4)."""
    prefix, _, rest = id_.partition(":")
    if prefix == "spiffe":
        return "workload" if rest.startswith("//") else None
    return _KINDS.get(prefix) if rest or id_.endswith(":") else None


class Principals:
    """Registrations and bindings, by principal."""

    def __init__(self) -> None:
        """Start with nothing registered."""
        self.registrations = FactIndex()
        self.bindings = FactIndex()  # by agent and by workload
        self.owned: defaultdict[str, set[str]] = defaultdict(set)  # owner -> principals that it was stated to own
        self._parties: dict[str, set[str]] = {}  # all members of a party of two or more share one set

    def add(self, fact: Fact) -> None:
        """Add a registration or a binding."""
        body = fact.event.body
        if isinstance(body, PrincipalRegistered):
            self.registrations.add(body.principal, fact)
            if body.owner is not None:
                self.owned[body.owner].add(body.principal)
            for alias in body.aliases:
                self._join(body.principal, alias)
        elif isinstance(body, WorkloadBound):
            for id_ in {body.agent, body.workload}:
                self.bindings.add(id_, fact)

    def _join(self, one: str, other: str) -> None:
        small, large = sorted((self._parties.get(one, {one}), self._parties.get(other, {other})), key=len)
        if small is large or one == other:
            return
        large |= small
        for member in (*small, one, other):
            self._parties[member] = large

    @property
    def have_aliases(self) -> bool:
        """Whether any party has several ids."""
        return bool(self._parties)

    def party(self, id_: str) -> frozenset[str] | set[str]:
        """Return all ids of the same party: aliases, symmetric and transitive (clause 4.3), including the id itself."""
        return self._parties.get(id_) or frozenset((id_,))

    def one_of(self, id_: str) -> str:
        """Return the smallest id of a party, which stands for all of them."""
        members = self._parties.get(id_)
        return id_ if members is None else min(members)

    def same(self, one: str, other: str) -> bool:
        """Whether two ids are the same party."""
        return one == other or one in self._parties.get(other, ())

    def facts_of(self, id_: str) -> tuple[Fact, ...]:
        """The registrations of an id and its aliases, in order."""
        party = self._parties.get(id_)
        if party is None:
            return self.registrations.get(id_)
        return in_order(fact for member in party for fact in self.registrations.get(member))

    def kind(self, id_: str) -> str:
        """Return the kind (clause 2.4): by its prefix, else by an alias's (smallest id), else as registered."""
        if (kind := declared_kind(id_)) is not None:
            return kind
        for member in sorted(self._parties.get(id_, ())):
            if (kind := declared_kind(member)) is not None:
                return kind
        facts = self.facts_of(id_)
        first = facts[0].event.body if facts else None
        return first.kind if isinstance(first, PrincipalRegistered) else "unknown"

    def known_as(self, id_: str) -> str:
        """Return the id to show (clause 2.6): the smallest of the party whose prefix declares a kind, else the id."""
        party = self._parties.get(id_)
        if party is None:
            return id_
        return min((member for member in party if declared_kind(member) is not None), default=id_)

    def display_name(self, id_: str) -> str | None:
        """Return the display name: the last one stated for the principal or an alias (clause 3.5)."""
        facts = self.facts_of(id_)
        stated = last_stated(facts, "display_name") if facts else None
        return None if stated is None else str(stated.value)

    def owner(self, id_: str) -> Stated | None:
        """Return the owner: the last one stated for the principal or an alias (clause 3.5)."""
        return last_stated(self.facts_of(id_), "owner")
