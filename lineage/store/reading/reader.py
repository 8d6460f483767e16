"""Read facts: load the part of the world that a query needs, with a few statements regardless of depth.

One recursive statement finds ancestors; names, revocations and registrations are looked up for all
of them at once. More may be loaded than a query needs (hashes collide, unauthorised facts link elements), but never
less: the core compares the real ids and applies trust and ``known_at``.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from heapq import merge
from itertools import chain, islice, zip_longest
from typing import Any, Final, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.authority.world import MOST_SHARING, World
from lineage.core.model.events import (
    ActionPerformed,
    DecisionMade,
    DelegationGranted,
    Event,
    Fact,
    PrincipalRegistered,
    RevocationLifted,
    RevocationOrdered,
    TokenIssued,
    digest,
)
from lineage.core.model.grants import FactInParts, GrantParts, distinct_bodies
from lineage.core.model.keys import split_key
from lineage.core.model.references import RefRole, about, dependencies_of, listed, mentions, mentions_key
from lineage.core.model.times import Instant
from lineage.core.model.trust import TrustTable, authorised
from lineage.store.database.dialects import chunks, rows_found
from lineage.store.database.key_runs import IN_RUNS
from lineage.store.database.run_function import IN_RUNS_ON_SQLITE
from lineage.store.database.sorted_runs import about_is
from lineage.store.database.tables import Keys, fact, name, ref
from lineage.store.reading import statements

_HASHED: Final = 250_000  # hashes that a reader keeps: a plan needs those of its elements four times
_MANY: Final = 1_000  # elements from which on they are read before what they depend on
_LEAST: Final = -(1 << 63)  # the smallest hash
_MANY_SEARCHES: Final = 75  # of an index: they cost more than to plan a statement that spares them
ON_THE_WAY: Final = 10  # keys above or below an element, itself included: more or less
_KEYS_NEARBY: Final = 100  # near an action: more or less
_Statement = TypeVar("_Statement", bound=sa.Select[Any] | sa.CompoundSelect[Any])


def fact_of(row: Any, decode: Callable[[bytes], Event]) -> Fact:
    """Build a fact from a row of ``statements.FACT``; its recording time is that of its earliest record."""
    _, _, misrouted, value, _ = row
    return Fact(decode(value), _recorded_at(row), bool(misrouted))


def _recorded_at(row: Any) -> Instant:
    _, recorded_at, _, _, again = row
    return int(recorded_at if again is None or again > recorded_at else again)


DecodeParts = Callable[[Iterable[bytes]], Sequence[Event | GrantParts]]
"""Decodes stored values, and may leave grants in parts."""

Choose = Callable[[World, list[Fact]], tuple[list[Fact], frozenset[str]]]
"""Chooses from some grants those that are read, and returns the keys of what the others are about and depend on."""


class Nearby(NamedTuple):
    """What was done under and derived from some elements, and what some parties did and asked for.

    Attributes:
        facts: The facts about that; they are not in the world yet.
        hashes: The hashes of what they are about.
        is_whole: Whether that is everything.
    """

    facts: list[Fact]
    hashes: AbstractSet[int]
    is_whole: bool


class Named(NamedTuple):
    """The elements and the other things, such as principals, on which orders matter; as keys."""

    elements: AbstractSet[str]
    others: AbstractSet[str]


class Surroundings(NamedTuple):
    """The outcome of loading the basis of findings about some things.

    Attributes:
        is_whole: Whether everything was loaded.
        left_out: The keys of elements that were looked at but are not in the world, because no rule reads them, and of
            what these depend on. Further facts about them may be read by a rule.
        delegatees: The keys of principals whose earlier delegations a rule reads: further elements that name one of
            them may be read as well.
    """

    is_whole: bool
    left_out: frozenset[str]
    delegatees: frozenset[str]


class Reader:
    """Reads facts by the keys that they are about or mention, from one snapshot of the store."""

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        decode: Callable[[bytes], Event],
        decode_parts: DecodeParts,
        *,
        trust: TrustTable | None,
        known_at: Instant | None,
        narrowed: int,
    ) -> None:
        """Create a reader.

        Args:
            connection: A snapshot of the store.
            keys: The store's hash of keys.
            decode: Decodes a stored value.
            decode_parts: Decodes very many, and may leave grants in parts.
            trust: Which facts are authorised; None for all.
            known_at: Only facts recorded by then are known; None for all.
            narrowed: About how many runs of the index need not be searched for keys that they do not have. On SQLite,
                unless it is 0, the connection is prepared for that (``possible_runs``).
        """
        self.connection = connection
        self._narrowed = narrowed
        self.dialect = connection.dialect.name
        self.keys = keys
        self.decode = decode
        self.decode_parts = decode_parts
        self._hashed: dict[str, int] = {}  # the hashes of keys that this reader has needed
        self.trust = trust
        self.known_at = known_at

    def worded(self, statement: Mapping[str, _Statement], keys: int) -> _Statement:
        """Choose how a statement is worded that looks up about this many keys; every wording finds the same."""
        if self._narrowed and self.dialect == "sqlite":
            return statement[IN_RUNS_ON_SQLITE]
        saved = keys * (self._narrowed - 1)  # searches, for one look-up each
        return statement[IN_RUNS if self._narrowed and saved > _MANY_SEARCHES else self.dialect]

    def world(self) -> World:
        """Create an empty world that accepts only facts that are authorised and known."""
        return World(trust=self.trust, known_at=self.known_at)

    def is_named(self, key: str) -> bool:
        """Whether any fact that is authorised and known is about a key or mentions it."""
        rows = self._stream(statements.FACTS_MENTIONING, {"key": self.keys(key)})
        return any(self.knows_mention(found, key) for found in rows)

    def knows(self, found: Fact) -> bool:
        """Whether a fact is authorised and known."""
        return authorised(found, self.trust) and (self.known_at is None or found.recorded_at <= self.known_at)

    def knows_mention(self, found: Fact, key: str) -> bool:
        """Whether a fact is authorised and known, and is about a key or mentions it."""
        return self.knows(found) and mentions_key(found.event, key)

    def facts_about(self, keys: Collection[str]) -> list[Fact]:
        """Return the facts about some keys."""
        return self.facts(statements.FACTS_ABOUT, self.hashes(keys))

    def numbered_about(self, keys: Collection[str]) -> list[tuple[int, Fact]]:
        """Return the facts about some keys, each with its number."""
        return [
            (row[0], fact_of(row, self.decode))
            for part in chunks(self.hashes(keys))
            for row in rows_found(self.connection, self.worded(statements.FACTS_ABOUT, len(part)), {"keys": part})
        ]

    def facts_mentioning(self, key: str) -> list[Fact]:
        """Return the facts, authorised and known, that are about a key or mention it."""
        rows = self._stream(statements.FACTS_MENTIONING, {"key": self.keys(key)})
        return list(dict.fromkeys(found for found in rows if self.knows_mention(found, key)))

    def is_mentioned_more_than(self, key: str, most: int) -> bool:
        """Whether more than ``most`` facts are about a key or mention it, including unauthorised ones.

        The facts are not read, and one that mentions the key several times may count several times.
        """
        left = most
        hashed = self.keys(key)
        for condition in (ref.c.key == hashed, about_is(hashed)):
            rows = sa.select(sa.literal(1)).where(condition).limit(left + 1).subquery()
            left -= self.connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one()
            if left < 0:
                return True
        return False

    def numbers_mentioning(self, key: str, most: int) -> set[int] | None:
        """Return the numbers of the facts that are about a key or mention it; None if there are more than ``most``.

        They may include too many, since the facts are not read: ``mentioning`` does that.
        """
        found: set[int] = set()
        for statement in statements.numbers_mentioning(self.keys(key), most + 1):
            found.update(self.connection.execute(statement).scalars())
            if len(found) > most:
                return None
        return found

    def mentioning(self, key: str, numbers: Collection[int]) -> dict[int, Fact]:
        """Return those of some facts that are about a key or mention it and are authorised and known, by number."""
        rows = ((row.n, fact_of(row, self.decode)) for part in chunks(numbers) for row in self.rows_at(part))
        return {number: found for number, found in rows if self.knows_mention(found, key)}

    def known(self, numbers: Collection[int]) -> dict[int, Fact]:
        """Return those of some facts that are authorised and known, by number."""
        rows = (row for part in chunks(numbers) for row in self.rows_at(part))
        # The time is compared first, because decoding takes longer.
        in_time = (row for row in rows if self.known_at is None or _recorded_at(row) <= self.known_at)
        return {row.n: one for row in in_time if self.knows(one := fact_of(row, self.decode))}

    def rows_at(self, numbers: list[int]) -> list[Any]:
        """Return the rows of ``statements.FACT`` with some numbers, at most as many as a statement accepts."""
        return list(self.connection.execute(statements.FACTS_AT, {"keys": numbers}))

    def known_about(self, keys: Collection[str]) -> list[Fact]:
        """Return the facts, authorised and known, about some keys."""
        return [
            found
            for found in self.facts_about(keys)
            if (key := about(found.event)) in keys and self.knows_mention(found, key)
        ]

    def places_of(self, facts: Iterable[Fact]) -> dict[str, int]:
        """The number (``Position.number``) of the first record of each fact, by the digest of its event."""
        by_digest = {digest(one.event): about(one.event) for one in facts}
        found: dict[str, int] = {}
        for part in chunks(self.hashes(by_digest.values())):
            for row in self.connection.execute(self.worded(statements.FACTS_ABOUT, len(part)), {"keys": part}):
                name = digest(self.decode(row.value))
                if name in by_digest:
                    found[name] = min(int(row.n), found.get(name, int(row.n)))
        return found

    def facts_referring(self, keys: Collection[str], role: int) -> list[Fact]:
        """Return the facts that mention some keys in a role without a bound (not NAMES, DEPENDS or PRIOR)."""
        return self.facts(statements.FACTS_REFERRING, self.hashes(keys), role=role)

    def facts_above(self, keys: Iterable[str]) -> list[Fact]:
        """Return the facts that grant some elements, or anything that these depend on."""
        return self.facts_above_hashed(self.hashes(keys))

    def facts_above_hashed(self, hashes: AbstractSet[int]) -> list[Fact]:
        """Return the same for elements given by their hashes; a fact may be repeated."""
        granting, others = self.facts_of_and_above(hashes)
        return granting + others

    def facts_of_and_above(self, hashes: AbstractSet[int]) -> tuple[list[Fact], list[Fact]]:
        """Return the same apart: what grants them, and the others; of few elements all are others."""
        if len(hashes) < _MANY:
            return [], self.facts(statements.FACTS_ABOVE, hashes)
        # Nearly everything that many elements depend on is among them, so it is not looked for from each of them.
        granting = self.facts_granting(hashes)
        return granting, self.facts_beyond(granting, hashes)

    def facts_granting(self, hashes: Collection[int]) -> list[Fact]:
        """Return the facts that grant some elements, given by their hashes."""
        if len(self._hashed) > _HASHED:
            self._hashed.clear()
        found: list[Fact] = []
        decode, known = self.decode_parts, self._hashed
        for part in chunks(sorted(hashes)):  # as in the index
            rows = rows_found(self.connection, self.worded(statements.GRANTS_ABOUT, len(part)), {"keys": part})
            grants = decode(row[3] for row in rows)
            for (_, recorded_at, misrouted, _, again, hashed), grant in zip(rows, grants, strict=True):
                first = recorded_at if again is None else min(recorded_at, again)
                if isinstance(grant, GrantParts):
                    known[grant.key] = hashed
                    found.append(FactInParts.of(grant, first, misrouted=bool(misrouted)))
                else:
                    known[about(grant)] = hashed
                    found.append(Fact(grant, first, bool(misrouted)))
        return found

    def facts_beyond(self, facts: Iterable[Fact], hashes: AbstractSet[int]) -> list[Fact]:
        """Return the facts that grant what some facts depend on, at any depth, unless it is among some elements."""
        grants = (body for body in distinct_bodies(facts) if isinstance(body, TokenIssued | DelegationGranted))
        depends = {key for grant in grants for key, _ in dependencies_of(grant)}
        return self.facts(statements.FACTS_ABOVE, self.hashes(depends) - hashes)

    def load_grants(self, world: World, keys: Collection[str]) -> None:
        """Load some elements and their ancestors, without the orders and registrations that evaluating them needs."""
        for found in self.facts_above(keys):
            world.add(found)

    def load_grants_with_nearby(
        self, world: World, keys: Collection[str], elements: Collection[str], parties: Collection[str], most: int
    ) -> Nearby:
        """Load some elements like ``load_grants``, and find what is near elements and parties, in one statement.

        Args:
            world: The world to which the grants are added.
            keys: The elements.
            elements, parties: See ``load_surroundings``; few.
            most: The most facts of each kind.
        """
        asked = {name: list(self.hashes(of)) for name, of in (("elements", elements), ("parties", parties))}
        asked = {"keys": list(self.hashes(keys)), **asked}
        rows: list[tuple[int, int, int]] = []
        found_near: list[tuple[int, Fact]] = []
        with_nearby = self.worded(statements.WITH_NEARBY, _KEYS_NEARBY)
        for part, *row, hashed in rows_found(self.connection, with_nearby, {**asked, "most": most + 1}):
            if part == statements.ABOVE:
                world.add(fact_of(row, self.decode))
            elif part == statements.NEAR:
                found_near.append((hashed, fact_of(row, self.decode)))
            else:
                rows.append((part, row[0], hashed))
        near, is_whole = _first_of_each_role(rows, most)
        return Nearby([found for hashed, found in found_near if hashed in near], near, is_whole)

    def load_action_with_nearby(self, world: World, action: str, most: int) -> tuple[Nearby | None, Named]:
        """Load an action with its chain, and find what is near its authorities and its actors, in few statements.

        Returns:
            What is nearby, None if that has to be looked for after all, because an authority was never granted; and
            that on which orders matter, which are not loaded yet.
        """
        for found in self.facts_about([f"action:{action}"]):
            world.add(found)
        if action not in world.actions:
            return None, Named(set(), set())
        elements, principals = self.named_by_activity(world, [action])
        authorities = world.authorities_named(action)
        actors = [f"principal:{actor}" for actor in world.acted(action)]
        nearby = self.load_grants_with_nearby(world, elements, authorities, actors, most)
        is_granted = all(map(world.graph.granted, authorities))
        named = Named({*elements, *world.graph}, {*principals, *world.graph.names()})
        return nearby if is_granted else None, named

    def load_elements(self, world: World, keys: Collection[str]) -> None:
        """Load what is needed to evaluate some elements: ancestors, names, revocations and reinstatements."""
        facts = self.facts_above(keys)
        self.load_around(world, facts, keys)

    def load_places(self, world: World, keys: Iterable[str]) -> None:
        """Load the tokens that share a status list entry with some elements of a world, without their ancestors.

        If more than ``MOST_SHARING`` other tokens share an entry, one more than that is loaded, which shows that there
        are too many to name.

        Cost:
            Two statements, and one for each entry with that many; none if no token states an entry.
        """
        places = {
            "{}:{}".format(*listed(body.status_list))
            for key in keys
            for found in world.graph.facts.get(key)
            if isinstance(body := found.event.body, TokenIssued) and body.status_list is not None
        }
        crowded = self._crowded(places)
        for found in self.facts_referring(places - crowded, RefRole.MENTIONS):
            world.add(found)
        for place in sorted(crowded):
            sharing: set[str] = set()
            for found in self._stream(statements.FACTS_MENTIONING, {"key": self.keys(place)}):
                if self.knows_mention(found, place):
                    world.add(found)
                    sharing.add(about(found.event))
                    if len(sharing) > MOST_SHARING + 1:  # the element itself is one of them
                        break

    def _crowded(self, places: set[str]) -> set[str]:
        """Return the status list entries that are mentioned by too many facts to read them all."""
        if not places:
            return set()
        hashes = {self.keys(place): place for place in places}
        found: set[str] = set()
        for part in chunks(list(hashes)):
            rows = self.connection.execute(statements.CROWDED[self.dialect], {"keys": part, "most": MOST_SHARING})
            found |= {hashes[row.key] for row in rows}
        return found

    def load_actions(
        self,
        world: World,
        actions: Collection[str],
        *,
        loaded: AbstractSet[str] = frozenset(),
    ) -> None:
        """Load what is needed to evaluate some actions.

        Args:
            world: The world to which they are added.
            actions: The ids of the actions.
            loaded: Elements that the world contains with everything that their evaluation needs, and their names.
        """
        for found in self.facts_about([f"action:{action}" for action in actions]):
            world.add(found)
        elements, principals = self.named_by_activity(world, actions)
        self.load_around(world, self.facts_above(elements - loaded), elements, principals, loaded)

    def principals(self, *, after: str | None, most: int) -> list[str]:
        """Return the ids of principals that any fact names, sorted, after a given one; some may appear twice."""
        behind = name.c.key > f"principal:{after}" if after is not None else sa.true()
        query = statements.PRINCIPALS.where(behind).order_by(name.c.key).limit(most)
        return [split_key(key)[1] for key in self.connection.execute(query).scalars()]

    def cases(self, *, after: str | None, most: int) -> list[str]:
        """The ids of cases that any fact names, sorted backwards, after a given one; some may be of no known case."""
        behind = name.c.key < f"case:{after}" if after is not None else sa.true()
        query = statements.CASES.where(behind).order_by(name.c.key.desc()).limit(most)
        return [split_key(key)[1] for key in self.connection.execute(query).scalars()]

    def facts_of_holds(self) -> list[Fact]:
        """Return the facts about legal holds."""
        return self.facts_about(self.connection.execute(statements.HOLDS).scalars().all())

    def first_about(self, key: str, most: int) -> tuple[list[Fact], bool]:
        """The facts, authorised and known, among the first that are about a key; and whether these are all."""
        query = statements.FACTS_ABOUT[self.dialect].order_by(fact.c.n).limit(most + 1)
        found = self.facts_found(query, {"keys": [self.keys(key)]})
        return [one for one in found[:most] if self.knows_mention(one, key)], len(found) <= most

    def display_names(self, most: int) -> list[str]:
        """Return the display names of principals, sorted: keys that begin with ``projection.CALLED``."""
        query = statements.CALLED.order_by(name.c.key).limit(most)
        return list(self.connection.execute(query).scalars())

    def last_mentions(self, keys: Collection[str], roles: Collection[int], most: int) -> dict[str, Fact | None]:
        """Return for each key the last recorded fact that mentions it in some roles.

        It is None for a key that more than ``most`` index rows mention; keys that none mentions are omitted.
        """
        found: dict[str, Fact | None] = {}
        numbers: dict[int, list[str]] = {}
        for key in keys:
            rows = sa.select(ref.c.n).where(ref.c.key == self.keys(key), ref.c.until == 0, ref.c.role.in_(roles))
            numbers_found = self.connection.execute(rows.limit(most + 1)).scalars().all()
            if len(numbers_found) > most:
                found[key] = None
            elif numbers_found:
                numbers.setdefault(max(numbers_found), []).append(key)
        for row in self.rows_at(list(numbers)):
            fact = fact_of(row, self.decode)
            found.update((key, fact) for key in numbers[row.n] if self.knows_mention(fact, key))
        return found

    def load_about(self, world: World, keys: Collection[str]) -> None:
        """Load the facts about some keys: decisions, or the revocations and reinstatements of ``revocation:ID``."""
        for found in self.facts_about(keys):
            world.add(found)

    def named_by_activity(self, world: World, actions: Collection[str]) -> tuple[set[str], set[str]]:
        """Load the decisions of actions, and return the elements and principals that either names."""
        decisions = self.load_decisions(world, actions)
        facts = [stated for action in actions for stated in world.actions.get(action)]
        facts += [stated for key in decisions for stated in world.decisions.get(split_key(key)[1])]
        elements, principals = set(), set()
        for stated in facts:
            for role, kind, id_ in mentions(stated.event):
                if role == RefRole.USES and kind != "decision":
                    elements.add(f"{kind}:{id_}")
                elif kind == "principal":
                    principals.add(f"principal:{id_}")
        return elements, principals

    def load_decisions(self, world: World, actions: Iterable[str]) -> set[str]:
        """Load the decisions of actions, and return their keys."""
        decisions = {
            f"decision:{id_}"
            for action in actions
            for stated in world.actions.get(action)
            for role, kind, id_ in mentions(stated.event)
            if role == RefRole.USES and kind == "decision"
        }
        for found in self.facts_about(decisions):
            world.add(found)
        return decisions

    def load_surroundings(
        self,
        world: World,
        elements: Collection[str],
        names: Collection[str],
        *,
        most: int,
        naming: int = 0,
        choose: Choose | None = None,
        orders_on: Named | None = None,
        nearby: Nearby | None = None,
    ) -> Surroundings:
        """Load the basis of findings about elements and names: actions, decisions, and derived elements.

        Args:
            world: Already contains everything needed to evaluate the elements and names.
            elements: Load the actions under these, and their children.
            names: Load the actions and decisions of these, which elements name.
            most: The most facts of each kind.
            naming: For each name, how many elements that name it to include in ``elements``.
            choose: If the actions are not evaluated themselves: chooses those of the grants behind them that are read
                nevertheless. Orders on what they used are left out then, and registrations of whom that names.
            orders_on: If the world contains no orders and registrations yet: they are loaded for these, and without
                ``choose`` for all of it.
            nearby: What is near the elements and names, if that is known; there is no ``naming`` then.
        """
        loaded = world.graph.above(*(key for key in elements if key in world.graph))
        loaded.update(name for key in tuple(loaded) if (element := world.graph.element(key)) for name in element.names)
        hashes = self.hashes(elements)
        is_whole = True
        parties = self.hashes(names)
        for hashed in sorted(parties) if naming else ():
            found = self.elements_naming(hashed, naming + 1)
            is_whole = is_whole and len(found) <= naming
            self.load_hashed(world, found[:naming])
            hashes.update(found[:naming])
        delegatees, is_all = self._load_handed_before(world, loaded, most)
        nearby = self._nearby(hashes, parties, most) if nearby is None else nearby
        is_whole = is_whole and is_all and nearby.is_whole
        facts = nearby.facts
        decisions = {about(one.event) for one in facts if isinstance(one.event.body, DecisionMade)}
        if decisions:
            acts = self.hashes(about(one.event) for one in self.facts_referring(decisions, RefRole.USES))
            facts = [*facts, *self.facts(statements.FACTS_ABOUT, acts - nearby.hashes)]
        for one in facts:
            world.add(one)
        done = {one.event.body.action for one in facts if isinstance(one.event.body, ActionPerformed)}
        left_out = self._load_behind(world, done, loaded, names=names, choose=choose, orders_on=orders_on)
        return Surroundings(is_whole, left_out, delegatees)

    def _load_handed_before(self, world: World, loaded: AbstractSet[str], most: int) -> tuple[frozenset[str], bool]:
        """Load what names the delegatees of delegations because of something that was read.

        Such a delegation is judged by whether it is the first between its two parties.

        Returns:
            The keys of these delegatees and their aliases, and whether everything that names them was loaded.
        """
        stated = {
            str(element.first("delegatee"))
            for key in loaded
            if (element := world.graph.element(key)) is not None
            and element.first("instruction_source") not in (None, "user")
        }
        if not stated:
            return frozenset(), True
        self.load_parties(world, [f"principal:{id_}" for id_ in stated])  # the world may have no registrations yet
        delegatees = frozenset(f"principal:{member}" for id_ in stated for member in world.principals.party(id_))
        is_whole = True
        for hashed in sorted(self.hashes(delegatees)):
            found = self.elements_naming(hashed, most + 1)
            is_whole = is_whole and len(found) <= most
            self.load_hashed(world, found[:most])
        return delegatees, is_whole

    def _nearby(self, elements: AbstractSet[int], parties: AbstractSet[int], most: int) -> Nearby:
        """Find what is near some elements and parties, given by their hashes."""
        near: set[int] = set()
        is_whole = True
        nobody: list[int] = []
        for under, by in zip_longest(chunks(elements), chunks(parties), fillvalue=nobody):
            asked = {"elements": under, "parties": by, "most": most + 1}
            rows = rows_found(self.connection, self.worded(statements.NEARBY, len(under) + len(by)), asked)
            found_near, is_all = _first_of_each_role(rows, most)
            near |= found_near
            is_whole = is_whole and is_all
        return Nearby(self.facts(statements.FACTS_ABOUT, near), near, is_whole)

    def _load_behind(
        self,
        world: World,
        done: Collection[str],
        loaded: AbstractSet[str],
        *,
        names: Collection[str],
        choose: Choose | None,
        orders_on: Named | None,
    ) -> frozenset[str]:
        """Load what is behind some actions of a world, and return what was left out of that; see ``load_surroundings``.

        Also the bindings of all who act, and of some names.
        """
        elements, principals = self.named_by_activity(world, done)
        facts = self.facts_above(elements - loaded)
        bound = {*names, *(f"principal:{id_}" for action in world.actions for id_ in world.acted(action))}
        if choose is None or not _state_actors(world, done):
            for found in facts:
                world.add(found)
            if orders_on is None:
                self.load_orders_on(world, elements, principals, loaded=loaded, bound=bound)
            else:
                self.load_orders_on(world, elements | orders_on.elements, principals | orders_on.others, bound=bound)
            return frozenset()
        on = Named(frozenset(), frozenset()) if orders_on is None else orders_on
        parties = {name for name in on.others if name.startswith("principal:")}
        registered = {name for name in principals - loaded if name.startswith("principal:")}
        self._load_around(world, parties, on.elements | (on.others - parties), registered, bound)
        chosen, left_out = choose(world, [found for found in facts if self.knows(found)])
        for found in chosen:
            world.add(found)
        return left_out

    def load_name(self, world: World, key: str) -> None:
        """Load what is needed to evaluate a principal, session or client."""
        self.load_around(world, [], [], [key])

    def load_around(
        self,
        world: World,
        facts: Iterable[Fact],
        elements: Collection[str],
        principals: Collection[str] = (),
        loaded: AbstractSet[str] = frozenset(),
    ) -> None:
        """Add facts that grant elements, with the relevant parties, registrations, revocations and reinstatements."""
        for found in facts:
            world.add(found)
        self.load_orders_on(world, elements, principals, loaded=loaded)

    def load_orders_on(
        self,
        world: World,
        elements: Collection[str] = (),
        principals: Collection[str] = (),
        *,
        loaded: AbstractSet[str] = frozenset(),
        registered: Collection[str] = (),
        bound: Collection[str] = (),
        among: Iterable[str] | None = None,
    ) -> None:
        """Load into a world the orders on its elements and on everything that these name, with lifts and registrations.

        Args:
            world: The world with the elements.
            elements: Further elements.
            principals: Further principals that may be named.
            loaded: Elements and names whose orders and registrations the world contains already.
            registered: Principals of which only the registrations are loaded.
            bound: Principals whose bindings of agents and workloads are loaded as well.
            among: The elements of the world on which there may be orders; None for all.
        """
        names = {*principals, *world.graph.names()} - loaded
        parties = {name for name in names if name.startswith("principal:")}
        within = world.graph if among is None else among
        targets = (key for key in chain(elements, within) if key not in loaded)
        self._load_around(world, parties, chain(targets, names - parties), registered, bound)

    def _load_around(
        self,
        world: World,
        parties: Iterable[str],
        targets: Iterable[str],
        registered: Iterable[str],
        bound: Iterable[str],
    ) -> None:
        asked = tuple(map(self.hashes, (parties, targets, registered, bound)))
        nothing: list[int] = []
        for part in zip_longest(*map(chunks, asked), fillvalue=nothing):
            parameters = dict(zip(("parties", "targets", "registered", "bound"), part, strict=True))
            around = self.worded(statements.AROUND, sum(map(len, part)))
            for *row, binds in rows_found(self.connection, around, parameters):
                found = fact_of(row, self.decode)
                if binds or isinstance(found.event.body, PrincipalRegistered | RevocationLifted | RevocationOrdered):
                    world.add(found)

    def party(self, names: Collection[str]) -> set[int]:
        """Return the hashes of some principals and of all aliases of their parties."""
        hashes = self.hashes(names)
        for part in chunks(hashes.copy()):
            hashes.update(key for (key,) in rows_found(self.connection, statements.PARTY[self.dialect], {"keys": part}))
        return hashes

    def hashes(self, keys: Iterable[str]) -> set[int]:
        """Return the hashes of some keys."""
        hashed, found = self._hashed, set()
        if len(hashed) > _HASHED:
            hashed.clear()
        for key in keys:
            known = hashed.get(key)
            if known is None:
                known = hashed[key] = self.keys(key)
            found.add(known)
        return found

    def facts(self, query: Mapping[str, sa.Select[Any]], hashes: Collection[int], **parameters: Any) -> list[Fact]:
        """Return the facts that a statement, built once, finds for some hashes, its parameter ``keys``, in parts."""
        found: list[Fact] = []
        for part in chunks(hashes):
            keys = len(part) * (ON_THE_WAY if query is statements.FACTS_ABOVE else 1)
            rows = rows_found(self.connection, self.worded(query, keys), {"keys": part, **parameters})
            found += [fact_of(row, self.decode) for row in rows]
        return found

    def facts_found(self, query: sa.Select[Any], parameters: dict[str, Any]) -> list[Fact]:
        """Return the facts that a statement finds."""
        return [fact_of(row, self.decode) for row in self.connection.execute(query, parameters).all()]

    def _stream(self, query: sa.Select[Any] | sa.CompoundSelect[Any], parameters: dict[str, Any]) -> Iterator[Fact]:
        decode = self.decode
        with self.connection.execute(query, parameters) as rows:
            for row in rows:
                yield fact_of(row, decode)

    def load_parties(self, world: World, names: Collection[str]) -> None:
        """Load the registrations of principals and of all aliases of their parties."""
        principals = [key for key in names if key.startswith("principal:")]
        self._load_around(world, (), (), principals, ())

    def elements_naming(self, name: int, most: int, *, without: Collection[int] = (), span: int = 0) -> list[int]:
        """Return the elements that name a key and are alive in a span (see ``tables.span_of``), latest end first."""
        found: dict[int, None] = {}
        with ExitStack() as open_rows:
            streams = [open_rows.enter_context(rows) for rows in self._rows_naming(name, span)]
            for row in merge(*streams, key=tuple, reverse=True):
                if len(found) >= most:
                    break
                if row.about not in without:
                    found[row.about] = None
        return list(found)

    def _rows_naming(self, name: int, span: int) -> Iterator[sa.Result[Any]]:
        """Yield rows of the elements that name a key, latest end first, those of each run separately."""
        asked = {"key": name, "span": span}
        # Each of them is a statement.
        runs = self.worded(statements.RUNS, _KEYS_NEARBY)
        for id_ in self.connection.execute(runs, {"keys": [name]}).scalars().all():
            yield self.connection.execute(statements.LONGEST_NAMING_IN_RUN, {**asked, "run": id_})

    def first_hashes(self, statement: sa.Select[Any], asked: dict[str, Any], most: int) -> set[int]:
        """Return the ``most`` smallest hashes that a statement returns, possibly repeatedly."""
        found: set[int] = set()
        after = _LEAST
        while len(found) < most:
            rows = self.connection.execute(statement, {**asked, "after": after, "most": most}).scalars().all()
            found.update(rows)
            if len(rows) < most:
                break
            after = rows[-1]
        return set(sorted(found)[:most])

    def load_hashed(self, world: World, hashes: Collection[int]) -> set[str]:
        """Load elements by their hashes with everything needed to evaluate them, and return their keys."""
        facts = self.facts(statements.FACTS_ABOVE, hashes)
        unloaded = set(hashes)
        keys = {key for found in facts if self.keys(key := about(found.event)) in unloaded}
        self.load_around(world, facts, keys)
        return keys


def _first_of_each_role(rows: Iterable[tuple[int, int, int]], most: int) -> tuple[set[int], bool]:
    """Return the hashes of what is nearby by rows of ``statements.NEARBY``, and whether that is everything.

    Of each kind, ``most`` facts or children are included. It is unknown if there are more rows than that, and a fact or
    a child may have several.
    """
    by_role: defaultdict[int, dict[int, int]] = defaultdict(dict)
    rows_of: Counter[int] = Counter()
    for role, number, hashed in rows:
        rows_of[role] += 1
        by_role[role][hashed if role == RefRole.DEPENDS else number] = hashed
    kept = (islice(dict(sorted(found.items())).values(), most) for found in by_role.values())
    return set(chain.from_iterable(kept)), max(rows_of.values(), default=0) <= most


def _state_actors(world: World, actions: Collection[str]) -> bool:
    """Whether every fact about some actions, and about the decisions of a world, states who acted or requested."""
    facts = chain.from_iterable(
        (*(world.actions.get(action) for action in actions), *(world.decisions.get(id_) for id_ in world.decisions))
    )
    bodies = (fact.event.body for fact in facts)
    return all(isinstance(body, ActionPerformed | DecisionMade) and body.actor is not None for body in bodies)
