"""Reading facts: the part of the world that a question needs, by a handful of statements whatever the depth.

Up goes one recursive statement, down goes another; names, orders and registrations are looked up for all that was found
at once. What is loaded may be more than a question needs (hashes collide, untrusted facts link) and never less: the
core compares the real ids and applies trust and ``known_at``.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.elements import split_key
from lineage.core.events import (
    ActionPerformed,
    DecisionMade,
    Event,
    Fact,
    PrincipalRegistered,
    RevocationLifted,
    RevocationOrdered,
)
from lineage.core.mentions import Role, about, mentions
from lineage.core.times import Instant
from lineage.core.trust import TrustTable, authorised
from lineage.core.world import World
from lineage.store.sql import among, chunks, given
from lineage.store.tables import Keys, fact, in_role_upward, ref, sighting, span_of

_EARLIEST_SIGHTING = sa.select(sa.func.min(sighting.c.recorded_at)).where(sighting.c.fact == fact.c.n).scalar_subquery()
FACT = (fact.c.n, fact.c.recorded_at, fact.c.misrouted, fact.c.value, _EARLIEST_SIGHTING.label("again"))


def _role(role: int) -> sa.ColumnElement[bool]:
    return ref.c.role == sa.literal_column(str(role))


def _above() -> sa.CTE:
    """The keys of a set of elements and of all that they depend on."""
    found = given("keys").cte("above", recursive=True)
    return found.union(
        sa.select(ref.c.key).join(found, ref.c.about == found.c.key).where(*in_role_upward(Role.DEPENDS))
    )


def _below() -> sa.CTE:
    """The keys of a set of elements and of all that depends on them, without what has ended."""
    found = given("keys").cte("below", recursive=True)
    return found.union(
        sa.select(ref.c.about)
        .join(found, ref.c.key == found.c.key)
        .where(_role(Role.DEPENDS), ref.c.until > sa.bindparam("span"))
    )


def _party() -> sa.CTE:
    """The keys of all that are said to be the same party as some principals."""
    linked = sa.and_(*in_role_upward(Role.ALIAS))
    start = sa.select(ref.c.about.label("key")).where(
        sa.or_(
            sa.and_(among(ref.c.key, "keys"), ref.c.until == 0, _role(Role.ALIAS)),
            sa.and_(among(ref.c.about, "keys"), linked),
        )
    )
    found = start.cte("party", recursive=True)
    return found.union(
        sa.select(sa.case((ref.c.key == found.c.key, ref.c.about), else_=ref.c.key))
        .select_from(found)
        .join(
            ref,
            sa.or_(
                sa.and_(ref.c.key == found.c.key, ref.c.until == 0, _role(Role.ALIAS)),
                sa.and_(ref.c.about == found.c.key, linked),
            ),
        )
    )


# Built once: building a recursive statement anew costs more than running it.
_up, _down, _alias = _above(), _below(), _party()
_FACTS_ABOVE = sa.select(*FACT).where(fact.c.about.in_(sa.select(_up.c.key)), fact.c.until > 0)
_KEYS_BELOW = sa.select(_down.c.key)
_PARTY = sa.select(_alias.c.key)
_FACTS_ABOUT = sa.select(*FACT).where(among(fact.c.about, "keys"))
_FACTS_REFERRING = sa.select(*FACT).where(
    fact.c.n.in_(
        sa.select(ref.c.n).where(among(ref.c.key, "keys"), ref.c.until == 0, ref.c.role == sa.bindparam("role"))
    )
)
# The first row comes at once, however many there are; a fact that mentions a thing twice comes twice.
_FACTS_MENTIONING = sa.union_all(
    sa.select(*FACT).where(fact.c.about == sa.bindparam("key")),
    sa.select(*FACT).join(ref, ref.c.n == fact.c.n).where(ref.c.key == sa.bindparam("key")),
)
_NAMING = (
    sa.select(ref.c.about)
    .distinct()
    .where(among(ref.c.key, "keys"), ref.c.until > sa.bindparam("span"), ref.c.role == sa.bindparam("role"))
)


def fact_of(row: Any, decode: Callable[[bytes], Event]) -> Fact:
    """A row of FACT as a fact, recorded when the first of its records was."""
    _, recorded_at, misrouted, value, again = row
    return Fact(decode(value), recorded_at if again is None or again > recorded_at else again, bool(misrouted))


class Reader:
    """Facts by what they are about or mention, over one connection: one reader sees one moment of the store."""

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        decode: Callable[[bytes], Event],
        *,
        trust: TrustTable | None,
        known_at: Instant | None,
    ) -> None:
        """Take the hash of the store, how a value is read, and what the core is to apply."""
        self._connection = connection
        self._keys = keys
        self._decode = decode
        self.trust = trust
        self.known_at = known_at

    def world(self) -> World:
        """An empty world that takes in what is authorised and known."""
        return World(trust=self.trust, known_at=self.known_at)

    def is_named(self, key: str) -> bool:
        """Whether any fact that is authorised and known is about a thing or mentions it."""
        rows = self._stream(_FACTS_MENTIONING, {"key": self._keys(key)})
        return any(self._says(found, key) for found in rows)

    def _says(self, found: Fact, key: str) -> bool:
        if not authorised(found, self.trust) or (self.known_at is not None and found.recorded_at > self.known_at):
            return False
        return about(found.event) == key or any(f"{kind}:{id_}" == key for _, kind, id_ in mentions(found.event))

    def facts_about(self, keys: Collection[str]) -> list[Fact]:
        """The facts about some things."""
        return self._facts(_FACTS_ABOUT, self._hashes(keys))

    def facts_mentioning(self, key: str) -> list[Fact]:
        """The facts, authorised and known, that are about a thing or mention it in any way."""
        rows = self._stream(_FACTS_MENTIONING, {"key": self._keys(key)})
        return list(dict.fromkeys(found for found in rows if self._says(found, key)))

    def facts_referring(self, keys: Collection[str], role: int) -> list[Fact]:
        """The facts that mention some things in a role that carries no bound (not NAMES, DEPENDS, PRIOR)."""
        return self._facts(_FACTS_REFERRING, self._hashes(keys), role=role)

    def facts_above(self, keys: Collection[str]) -> list[Fact]:
        """The facts that grant some elements and everything that they depend on."""
        return self._facts(_FACTS_ABOVE, self._hashes(keys))

    def load_elements(self, world: World, keys: Collection[str]) -> None:
        """Bring everything into a world that judging some elements needs: what is above, names, orders, lifts."""
        facts = self.facts_above(keys)
        self._load_around(world, facts, keys)

    def load_actions(self, world: World, actions: Collection[str]) -> None:
        """Bring everything into a world that judging some actions needs."""
        for found in self.facts_about([f"action:{action}" for action in actions]):
            world.add(found)
        self._load_activity(world, actions)

    def load_about(self, world: World, keys: Collection[str]) -> None:
        """Bring the facts about some things into a world: decisions, or the orders and lifts of ``revocation:ID``."""
        for found in self.facts_about(keys):
            world.add(found)

    def _load_activity(self, world: World, actions: Collection[str]) -> None:
        """The decisions that actions name, and all that either names as authority or as actor."""
        decisions = {
            f"decision:{id_}"
            for action in actions
            for said in world.actions.get(action)
            for role, kind, id_ in mentions(said.event)
            if role == Role.USES and kind == "decision"
        }
        for found in self.facts_about(decisions):
            world.add(found)
        facts = [said for action in actions for said in world.actions.get(action)]
        facts += [said for key in decisions for said in world.decisions.get(split_key(key)[1])]
        elements, principals = set(), set()
        for said in facts:
            for role, kind, id_ in mentions(said.event):
                if role == Role.USES and kind != "decision":
                    elements.add(f"{kind}:{id_}")
                elif kind == "principal":
                    principals.add(f"principal:{id_}")
        self._load_around(world, self.facts_above(elements), elements, principals)

    def load_name(self, world: World, key: str) -> None:
        """Bring everything into a world that judging a principal, session or client needs."""
        self._load_around(world, [], [], [key])

    def load_below(self, world: World, target: str, at: Instant) -> None:
        """Bring everything into a world that the reach of an order on a target at an instant needs."""
        span = span_of(at)
        ids = self._party({target}) if target.startswith("principal:") else {self._keys(target)}
        starts = ids
        if not target.startswith(("token:", "delegation:")):
            starts = {
                found
                for role in (Role.NAMES, Role.PRIOR)
                for part in chunks(ids)
                for (found,) in self._connection.execute(_NAMING, {"keys": part, "span": span, "role": role})
            }
        below: set[int] = set(starts)
        for part in chunks(starts):
            below.update(key for (key,) in self._connection.execute(_KEYS_BELOW, {"keys": part, "span": span}))
        facts = self._facts(_FACTS_ABOVE, below)
        nearby = self._facts(_FACTS_REFERRING, ids, role=Role.BOUND)
        nearby += self._facts(_FACTS_REFERRING, ids, role=Role.OWNER)
        for found in nearby:
            world.add(found)
        principals = {
            f"principal:{id_}" for found in nearby for _, kind, id_ in mentions(found.event) if kind == "principal"
        }
        principals |= {about(found.event) for found in nearby}
        self._load_around(world, facts, [target], principals)
        # What was done under it. The facts about what else these actions name decide what their authority is.
        used = self._facts(_FACTS_REFERRING, below, role=Role.USES)
        decisions = {about(found.event) for found in used if isinstance(found.event.body, DecisionMade)}
        used += self.facts_referring(decisions, Role.USES)
        actions = {found.event.body.action for found in used if isinstance(found.event.body, ActionPerformed)}
        self.load_actions(world, actions)

    def _load_around(
        self,
        world: World,
        facts: Iterable[Fact],
        elements: Collection[str],
        principals: Collection[str] = (),
    ) -> None:
        """Add facts that grant elements, and with them the parties, registrations, orders and lifts that matter."""
        for found in facts:
            world.add(found)
        names = {*principals, *world.graph.names()}
        targets = {*elements, *world.graph}
        party = self._party({name for name in names if name.startswith("principal:")})
        registered = [
            found for found in self._facts(_FACTS_ABOUT, party) if isinstance(found.event.body, PrincipalRegistered)
        ]
        for found in registered:
            world.add(found)
        hashes = party | self._hashes(targets | names)
        ordered = self._facts(_FACTS_REFERRING, hashes, role=Role.TARGET)
        revocations = {about(found.event) for found in ordered}
        for found in ordered:
            world.add(found)
        for found in self.facts_about(revocations):
            if isinstance(found.event.body, RevocationLifted | RevocationOrdered):
                world.add(found)

    def _party(self, names: Collection[str]) -> set[int]:
        """The hashes of some principals and of all that are said to be the same party."""
        hashes = self._hashes(names)
        for part in chunks(hashes.copy()):
            hashes.update(key for (key,) in self._connection.execute(_PARTY, {"keys": part}))
        return hashes

    def _hashes(self, keys: Iterable[str]) -> set[int]:
        return {self._keys(key) for key in keys}

    def _facts(self, query: sa.Select[Any], hashes: Collection[int], **parameters: Any) -> list[Fact]:
        found: list[Fact] = []
        for part in chunks(hashes):
            found += self._rows(query, {"keys": part, **parameters})
        return found

    def _rows(self, query: sa.Select[Any], parameters: dict[str, Any]) -> list[Fact]:
        return list(self._stream(query, parameters))

    def _stream(self, query: sa.Select[Any] | sa.CompoundSelect[Any], parameters: dict[str, Any]) -> Iterator[Fact]:
        decode = self._decode
        for row in self._connection.execute(query, parameters):
            yield fact_of(row, decode)
