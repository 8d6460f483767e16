"""Read facts: load the part of the world that a query needs, with a few statements regardless of depth.

One recursive statement finds ancestors, another descendants; names, revocations and registrations are looked up for all
of them at once. More may be loaded than a query needs (hashes collide, unauthorised facts link elements), but never
less: the core compares the real ids and applies trust and ``known_at``.
"""

import math
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from heapq import merge
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.authority.verdict import State
from lineage.core.authority.world import MOST_SHARING, World
from lineage.core.model.errors import TooManyError
from lineage.core.model.events import (
    ActionPerformed,
    DecisionMade,
    Event,
    Fact,
    PrincipalRegistered,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
    TokenIssued,
    digest,
)
from lineage.core.model.keys import is_element, split_key
from lineage.core.model.records import ORDERS, Position
from lineage.core.model.references import Role, about, listed, mentions, mentions_key
from lineage.core.model.times import Instant
from lineage.core.model.trust import TrustTable, authorised
from lineage.store.acts_in_time import STATED, Acts, Candidate, Looked, Place, value_hash
from lineage.store.database.sorted_runs import about_is, run
from lineage.store.database.sql import chunks
from lineage.store.database.tables import Keys, fact, name, ref, span_of
from lineage.store.reading import statements
from lineage.store.reading.acted import Visible, decided, is_complete, named
from lineage.store.reading.action_candidates import Candidates
from lineage.store.reading.latest_elements import latest_elements

PART: Final = 5_000  # elements evaluated at a time if there may be any number
_FETCHED: Final = 10_000  # rows fetched at a time if there may be any number
_HASHED: Final = 250_000  # hashes that a reader keeps: a plan needs those of its elements four times
_LEAST: Final = -(1 << 63)  # the smallest hash


def fact_of(row: Any, decode: Callable[[bytes], Event]) -> Fact:
    """Build a fact from a row of ``statements.FACT``; its recording time is that of its earliest record."""
    _, _, misrouted, value, _ = row
    return Fact(decode(value), _recorded_at(row), bool(misrouted))


def _recorded_at(row: Any) -> Instant:
    _, recorded_at, _, _, again = row
    return int(recorded_at if again is None or again > recorded_at else again)


class Reader:
    """Reads facts by the keys that they are about or mention, from one snapshot of the store."""

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        decode: Callable[[bytes], Event],
        *,
        trust: TrustTable | None,
        known_at: Instant | None,
    ) -> None:
        """Create a reader.

        Args:
            connection: A snapshot of the store.
            keys: The store's hash of keys.
            decode: Decodes a stored value.
            trust: Which facts are authorised; None for all.
            known_at: Only facts recorded by then are known; None for all.
        """
        self._connection = connection
        self._dialect = connection.dialect.name
        self._keys = keys
        self._decode = decode
        self._hashed: dict[str, int] = {}  # the hashes of keys that this reader has needed
        self.trust = trust
        self.known_at = known_at

    def world(self) -> World:
        """Create an empty world that accepts only facts that are authorised and known."""
        return World(trust=self.trust, known_at=self.known_at)

    def is_named(self, key: str) -> bool:
        """Whether any fact that is authorised and known is about a key or mentions it."""
        rows = self._stream(statements.FACTS_MENTIONING, {"key": self._keys(key)})
        return any(self._mentions(found, key) for found in rows)

    def knows(self, found: Fact) -> bool:
        """Whether a fact is authorised and known."""
        return authorised(found, self.trust) and (self.known_at is None or found.recorded_at <= self.known_at)

    def _mentions(self, found: Fact, key: str) -> bool:
        return self.knows(found) and mentions_key(found.event, key)

    def facts_about(self, keys: Collection[str]) -> list[Fact]:
        """Return the facts about some keys."""
        return self._facts(statements.FACTS_ABOUT, self._hashes(keys))

    def facts_mentioning(self, key: str) -> list[Fact]:
        """Return the facts, authorised and known, that are about a key or mention it."""
        rows = self._stream(statements.FACTS_MENTIONING, {"key": self._keys(key)})
        return list(dict.fromkeys(found for found in rows if self._mentions(found, key)))

    def is_mentioned_more_than(self, key: str, most: int) -> bool:
        """Whether more than ``most`` facts are about a key or mention it, including unauthorised ones.

        The facts are not read, and one that mentions the key several times may count several times.
        """
        left = most
        hashed = self._keys(key)
        for condition in (ref.c.key == hashed, about_is(hashed)):
            rows = sa.select(sa.literal(1)).where(condition).limit(left + 1).subquery()
            left -= self._connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one()
            if left < 0:
                return True
        return False

    def numbers_mentioning(self, key: str, most: int) -> set[int] | None:
        """Return the numbers of the facts that are about a key or mention it; None if there are more than ``most``.

        They may include too many, since the facts are not read: ``mentioning`` does that.
        """
        found: set[int] = set()
        for statement in statements.numbers_mentioning(self._keys(key), most + 1):
            found.update(self._connection.execute(statement).scalars())
            if len(found) > most:
                return None
        return found

    def mentioning(self, key: str, numbers: Collection[int]) -> dict[int, Fact]:
        """Return those of some facts that are about a key or mention it and are authorised and known, by number."""
        rows = ((row.n, fact_of(row, self._decode)) for part in chunks(numbers) for row in self._rows_at(part))
        return {number: found for number, found in rows if self._mentions(found, key)}

    def known(self, numbers: Collection[int]) -> list[Fact]:
        """Return those of some facts that are authorised and known."""
        rows = (row for part in chunks(numbers) for row in self._rows_at(part))
        # The time is compared first, because decoding takes longer.
        in_time = (row for row in rows if self.known_at is None or _recorded_at(row) <= self.known_at)
        return [one for row in in_time if self.knows(one := fact_of(row, self._decode))]

    def _rows_at(self, numbers: list[int]) -> list[Any]:
        return list(self._connection.execute(statements.FACTS_AT, {"keys": numbers}))

    def known_about(self, keys: Collection[str]) -> list[Fact]:
        """Return the facts, authorised and known, about some keys."""
        return [
            found
            for found in self.facts_about(keys)
            if (key := about(found.event)) in keys and self._mentions(found, key)
        ]

    def places_of(self, facts: Iterable[Fact]) -> dict[str, int]:
        """The number (``Position.number``) of the first record of each fact, by the digest of its event."""
        by_digest = {digest(one.event): about(one.event) for one in facts}
        found: dict[str, int] = {}
        for part in chunks(self._hashes(by_digest.values())):
            for row in self._connection.execute(statements.FACTS_ABOUT, {"keys": part}):
                name = digest(self._decode(row.value))
                if name in by_digest:
                    found[name] = min(int(row.n), found.get(name, int(row.n)))
        return found

    def facts_referring(self, keys: Collection[str], role: int) -> list[Fact]:
        """Return the facts that mention some keys in a role without a bound (not NAMES, DEPENDS or PRIOR)."""
        return self._facts(statements.FACTS_REFERRING[self._dialect], self._hashes(keys), role=role)

    def facts_above(self, keys: Iterable[str]) -> list[Fact]:
        """Return the facts that grant some elements, or anything that these depend on."""
        return self._facts(statements.FACTS_ABOVE[self._dialect], self._hashes(keys))

    def load_elements(self, world: World, keys: Collection[str]) -> None:
        """Load what is needed to evaluate some elements: ancestors, names, revocations and reinstatements."""
        facts = self.facts_above(keys)
        self._load_around(world, facts, keys)

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
        for found in self.facts_referring(places - crowded, Role.MENTIONS):
            world.add(found)
        for place in sorted(crowded):
            sharing: set[str] = set()
            for found in self._stream(statements.FACTS_MENTIONING, {"key": self._keys(place)}):
                if self._mentions(found, place):
                    world.add(found)
                    sharing.add(about(found.event))
                    if len(sharing) > MOST_SHARING + 1:  # the element itself is one of them
                        break

    def _crowded(self, places: set[str]) -> set[str]:
        """Return the status list entries that are mentioned by too many facts to read them all."""
        if not places:
            return set()
        hashes = {self._keys(place): place for place in places}
        found: set[str] = set()
        for part in chunks(list(hashes)):
            rows = self._connection.execute(statements.CROWDED[self._dialect], {"keys": part, "most": MOST_SHARING})
            found |= {hashes[row.key] for row in rows}
        return found

    def load_actions(self, world: World, actions: Collection[str], *, loaded: AbstractSet[str] = frozenset()) -> None:
        """Load what is needed to evaluate some actions.

        Args:
            world: The world to which they are added.
            actions: The ids of the actions.
            loaded: Elements that the world contains with everything that their evaluation needs, and their names.
        """
        for found in self.facts_about([f"action:{action}" for action in actions]):
            world.add(found)
        self._load_activity(world, actions, loaded)

    def load_chains(self, world: World, actions: Collection[int], known: set[str]) -> dict[str, Place]:
        """Load the evidence for some actions: the facts about them, their decisions and elements, and the parties.

        Orders are not loaded: no chain depends on one.

        Args:
            world: The world to which it is added; only this method adds to it.
            actions: Their hashes.
            known: The names whose parties are in the world already; the names that are loaded are added.

        Returns:
            The actions with an authorised and known fact, each with its position in a list.
        """
        places: dict[str, Place] = {}
        for part in chunks(actions):
            for row in self._connection.execute(statements.FACTS_ABOUT, {"keys": part}):
                found = fact_of(row, self._decode)
                body = found.event.body
                if isinstance(body, ActionPerformed) and self._mentions(found, f"action:{body.action}"):
                    world.add(found)
                    place = Place(found.event.occurred_at, row.n)
                    places[body.action] = min(place, places.get(body.action, place))
        elements, names = self._named_by_activity(world, places)
        for found in self.facts_above(element for element in elements if element not in world.graph):
            world.add(found)
        names = {name for name in (*names, *world.graph.names()) if name not in known}
        self.load_parties(world, names)
        known |= names
        return places

    def in_order(self, looked: Looked) -> Iterator[Candidate]:
        """Yield facts in chronological order. They are candidates: some may not count, or not at that position."""
        return Acts(self._connection, self._keys, self._decode).in_order(looked)

    def count_by_hour(self, start: Instant, end: Instant) -> dict[Instant, int]:
        """Count the facts about actions in each hour that has any, between two instants, the second excluded."""
        return Acts(self._connection, self._keys, self._decode).count_by_hour(start, end)

    def load_held(self, world: World, elements: Collection[int]) -> dict[str, Place]:
        """Load what is needed to evaluate some elements, by their hashes.

        Returns:
            The elements that an authorised and known fact grants, each with its position in a list.
        """
        places: dict[str, Place] = {}
        for part in chunks(elements):
            for row in self._connection.execute(statements.FACTS_ABOUT, {"keys": part}):
                found = fact_of(row, self._decode)
                key = about(found.event)
                if is_element(key) and self._mentions(found, key):
                    place = Place(found.event.occurred_at, row.n)
                    places[key] = min(place, places.get(key, place))
        self.load_hashed(world, elements)
        return places

    def principals(self, *, after: str | None, most: int) -> list[str]:
        """Return the ids of principals that any fact names, sorted, after a given one; some may appear twice."""
        behind = name.c.key > f"principal:{after}" if after is not None else sa.true()
        query = statements.PRINCIPALS.where(behind).order_by(name.c.key).limit(most)
        return [split_key(key)[1] for key in self._connection.execute(query).scalars()]

    def cases(self, *, after: str | None, most: int) -> list[str]:
        """The ids of cases that any fact names, sorted backwards, after a given one; some may be of no known case."""
        behind = name.c.key < f"case:{after}" if after is not None else sa.true()
        query = statements.CASES.where(behind).order_by(name.c.key.desc()).limit(most)
        return [split_key(key)[1] for key in self._connection.execute(query).scalars()]

    def facts_of_holds(self) -> list[Fact]:
        """Return the facts about legal holds."""
        return self.facts_about(self._connection.execute(statements.HOLDS).scalars().all())

    def first_about(self, key: str, most: int) -> tuple[list[Fact], bool]:
        """The facts, authorised and known, among the first that are about a key; and whether these are all."""
        query = statements.FACTS_ABOUT.order_by(fact.c.n).limit(most + 1)
        found = self._rows(query, {"keys": [self._keys(key)]})
        return [one for one in found[:most] if self._mentions(one, key)], len(found) <= most

    def latest_orders_mentioning(self, key: str, most: int) -> list[Fact]:
        """The facts, authorised and known, among the last on the topic of orders that mention a key; latest first."""
        numbers = sa.select(ref.c.n).where(
            ref.c.key == self._keys(key), ref.c.until == 0, statements.has_role(Role.MENTIONS)
        )
        latest = numbers.where(ref.c.n >= Position(ORDERS, 0, 0).number).order_by(ref.c.n.desc()).limit(most)
        found = [int(n) for n in self._connection.execute(latest).scalars()]
        rows = sorted(self._rows_at(found), key=lambda row: -row.n)
        return [one for row in rows if self._mentions(one := fact_of(row, self._decode), key)]

    def display_names(self, most: int) -> list[str]:
        """Return the display names of principals, sorted: keys that begin with ``projection.CALLED``."""
        query = statements.CALLED.order_by(name.c.key).limit(most)
        return list(self._connection.execute(query).scalars())

    def last_mentions(self, keys: Collection[str], roles: Collection[int], most: int) -> dict[str, Fact | None]:
        """Return for each key the last recorded fact that mentions it in some roles.

        It is None for a key that more than ``most`` index rows mention; keys that none mentions are omitted.
        """
        found: dict[str, Fact | None] = {}
        numbers: dict[int, list[str]] = {}
        for key in keys:
            rows = sa.select(ref.c.n).where(ref.c.key == self._keys(key), ref.c.until == 0, ref.c.role.in_(roles))
            said = self._connection.execute(rows.limit(most + 1)).scalars().all()
            if len(said) > most:
                found[key] = None
            elif said:
                numbers.setdefault(max(said), []).append(key)
        for row in self._rows_at(list(numbers)):
            fact = fact_of(row, self._decode)
            found.update((key, fact) for key in numbers[row.n] if self._mentions(fact, key))
        return found

    def hash_of(self, kind: str, id_: str) -> int:
        """Return the hash of a key, or of a value that an action states."""
        return value_hash(self._keys[kind], id_) if kind in STATED else self._keys[kind][id_]

    def hashes_of_party(self, id_: str) -> set[int]:
        """Return the hashes of a principal and of all aliases of its party."""
        return self._party({f"principal:{id_}"})

    def candidates(self, most: int) -> Candidates:
        """Create a collector of candidate actions, from at most ``most`` rows of the index."""
        return Candidates(self._connection, most)

    def load_about(self, world: World, keys: Collection[str]) -> None:
        """Load the facts about some keys: decisions, or the revocations and reinstatements of ``revocation:ID``."""
        for found in self.facts_about(keys):
            world.add(found)

    def _load_activity(self, world: World, actions: Collection[str], loaded: AbstractSet[str]) -> None:
        """Load the decisions of actions, and everything that either names as authority or actor."""
        elements, principals = self._named_by_activity(world, actions)
        self._load_around(world, self.facts_above(elements - loaded), elements, principals, loaded)

    def _named_by_activity(self, world: World, actions: Collection[str]) -> tuple[set[str], set[str]]:
        """Load the decisions of actions, and return the elements and principals that either names."""
        decisions = self._load_decisions(world, actions)
        facts = [stated for action in actions for stated in world.actions.get(action)]
        facts += [stated for key in decisions for stated in world.decisions.get(split_key(key)[1])]
        elements, principals = set(), set()
        for stated in facts:
            for role, kind, id_ in mentions(stated.event):
                if role == Role.USES and kind != "decision":
                    elements.add(f"{kind}:{id_}")
                elif kind == "principal":
                    principals.add(f"principal:{id_}")
        return elements, principals

    def _load_decisions(self, world: World, actions: Iterable[str]) -> set[str]:
        """Load the decisions of actions, and return their keys."""
        decisions = {
            f"decision:{id_}"
            for action in actions
            for stated in world.actions.get(action)
            for role, kind, id_ in mentions(stated.event)
            if role == Role.USES and kind == "decision"
        }
        for found in self.facts_about(decisions):
            world.add(found)
        return decisions

    def load_surroundings(
        self, world: World, elements: Collection[str], names: Collection[str], *, most: int, naming: int = 0
    ) -> bool:
        """Load the basis of findings about elements and names: actions, decisions, and derived elements.

        Args:
            world: Already contains everything needed to evaluate the elements and names.
            elements: Load the actions under these, and their children.
            names: Load the actions and decisions of these, which elements name.
            most: The most facts of each kind.
            naming: For each name, how many elements that name it to include in ``elements``.

        Returns:
            Whether everything was loaded.
        """
        loaded = world.graph.above(*(key for key in elements if key in world.graph))
        loaded.update(name for key in tuple(loaded) if (element := world.graph.element(key)) for name in element.names)
        hashes = self._hashes(elements)
        is_whole = True
        parties = self._hashes(names)
        for hashed in sorted(parties) if naming else ():
            found = self._naming(hashed, naming + 1)
            is_whole = is_whole and len(found) <= naming
            self.load_hashed(world, found[:naming])
            hashes.update(found[:naming])
        facts: list[Fact] = []
        for role, keys in ((Role.USES, hashes), (Role.ACTS, parties), (Role.ASKS, parties)):
            for part in chunks(keys):
                some = self._rows(
                    statements.SOME_REFERRING[self._dialect], {"keys": part, "role": role, "most": most + 1}
                )
                is_whole = is_whole and len(some) <= most
                facts += some[:most]
        children: set[int] = set()
        for part in chunks(hashes):
            rows = self._connection.execute(statements.SOME_CHILDREN[self._dialect], {"keys": part, "most": most + 1})
            children.update(rows.scalars())
        is_whole = is_whole and len(children) <= most
        for found_fact in self._facts(statements.FACTS_ABOUT, sorted(children)[:most]):
            world.add(found_fact)
        decisions = {about(one.event) for one in facts if isinstance(one.event.body, DecisionMade)}
        facts += self.facts_referring(decisions, Role.USES)
        for one in self.facts_about(decisions):
            world.add(one)
        done = {one.event.body.action for one in facts if isinstance(one.event.body, ActionPerformed)}
        self.load_actions(world, done, loaded=loaded)
        acting_ones = {f"principal:{id_}" for action in world.actions for id_ in world.acted(action)}
        for one in self.facts_referring({*names, *acting_ones}, Role.BOUND):
            world.add(one)
        return is_whole

    def load_name(self, world: World, key: str) -> None:
        """Load what is needed to evaluate a principal, session or client."""
        self._load_around(world, [], [], [key])

    def load_below(self, world: World, target: str, at: Instant, *, most: float = math.inf) -> None:
        """Load what is needed for the reach of a revocation of a target at an instant.

        Raises:
            TooManyError: More than ``most`` elements depend on it; nothing was loaded.
        """
        span = span_of(at)
        ids = self._party({target}) if target.startswith("principal:") else {self._keys(target)}
        starts = ids
        if not target.startswith(("token:", "delegation:")):
            starts = set()
            for role in (Role.NAMES, Role.PRIOR):
                for part in chunks(ids):
                    self._gather(starts, statements.NAMING, {"keys": part, "span": span, "role": role}, most)
        below: set[int] = set(starts)
        for part in chunks(starts):
            self._gather(below, statements.KEYS_BELOW, {"keys": part, "span": span}, most)
        facts = self._facts(statements.FACTS_ABOVE[self._dialect], below)
        nearby = self._facts(statements.FACTS_REFERRING[self._dialect], ids, role=Role.BOUND)
        nearby += self._facts(statements.FACTS_REFERRING[self._dialect], ids, role=Role.OWNER)
        for found in nearby:
            world.add(found)
        principals = {
            f"principal:{id_}" for found in nearby for _, kind, id_ in mentions(found.event) if kind == "principal"
        }
        principals |= {about(found.event) for found in nearby}
        # The target also as a party: even if no element names it, its aliases and revocations of these count.
        self._load_around(world, facts, [target], {target, *principals})
        # The actions under it; their authority may also depend on other elements that they name.
        used = self._facts(statements.FACTS_REFERRING[self._dialect], below, role=Role.USES)
        decisions = {about(found.event) for found in used if isinstance(found.event.body, DecisionMade)}
        used += self.facts_referring(decisions, Role.USES)
        actions = {found.event.body.action for found in used if isinstance(found.event.body, ActionPerformed)}
        self.load_actions(world, actions)

    def count_acted(self, target: str) -> int:
        """Count the actions of a principal and its aliases, as stated by the actions or else by their decisions.

        Cost:
            One index row for each action; actions that do not state their actor are read, some thousands at a time.
            In a store written by an older version every fact that mentions the principal is read, until it is rebuilt.
        """
        names = self._names_of(target)
        if not is_complete(self._connection):
            return self._count_by_reading(names)
        party = self._hashes(f"principal:{name}" for name in names)
        visible = Visible(self.trust, self.known_at)
        count = named(self._connection, self._keys, party, visible)
        for part in decided(self._connection, self._keys, party, visible):
            world = self.world()
            for found in self._facts(statements.FACTS_ABOUT, part):
                world.add(found)
            self._load_decisions(world, world.actions)
            count += sum(not names.isdisjoint(world.acted(action)) for action in world.actions)
        return count

    def _count_by_reading(self, names: AbstractSet[str]) -> int:
        """Count the actions of a party by reading its facts, because the index of actors is incomplete."""
        facts = {found for name in names for found in self.facts_mentioning(f"principal:{name}")}
        asked = {about(found.event) for found in facts if isinstance(found.event.body, DecisionMade)}
        facts.update(self.facts_referring(asked, Role.USES))
        ids = sorted({about(found.event) for found in facts if isinstance(found.event.body, ActionPerformed)})
        count = 0
        for start in range(0, len(ids), _FETCHED):
            world = self.world()
            for found in self.facts_about(ids[start : start + _FETCHED]):
                world.add(found)
            self._load_decisions(world, world.actions)
            count += sum(not names.isdisjoint(world.acted(action)) for action in world.actions)
        return count

    def _names_of(self, target: str) -> AbstractSet[str]:
        """Return the ids of a principal and of its aliases."""
        world = self.world()
        self.load_parties(world, [target])
        return world.principals.party(split_key(target)[1])

    def _gather(
        self, found: set[int], query: dict[str, sa.Select[Any]], parameters: dict[str, Any], most: float
    ) -> None:
        """Collect the hashes that a query finds; raise TooManyError if there are more than ``most``."""
        streamed = {"yield_per": _FETCHED}
        with self._connection.execute(query[self._dialect], parameters, execution_options=streamed) as rows:
            for part in rows.scalars().partitions():
                found.update(part)
                if len(found) > most:
                    raise TooManyError(f"more than {most:,} elements depend on it")

    def _load_around(
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
    ) -> None:
        """Load into a world the orders on its elements and on everything that these name, with lifts and registrations.

        Args:
            world: The world with the elements.
            elements: Further elements.
            principals: Further principals that may be named.
            loaded: Elements and names whose orders and registrations the world contains already.
        """
        names = {*principals, *world.graph.names()} - loaded
        targets = {*elements, *world.graph} - loaded
        party = self._party({name for name in names if name.startswith("principal:")})
        registered = [
            found
            for found in self._facts(statements.FACTS_ABOUT, party)
            if isinstance(found.event.body, PrincipalRegistered)
        ]
        for found in registered:
            world.add(found)
        hashes = party | self._hashes(targets | names)
        ordered = self._facts(statements.FACTS_REFERRING[self._dialect], hashes, role=Role.TARGET)
        revocations = {about(found.event) for found in ordered}
        for found in ordered:
            world.add(found)
        for found in self.facts_about(revocations):
            if isinstance(found.event.body, RevocationLifted | RevocationOrdered):
                world.add(found)

    def _party(self, names: Collection[str]) -> set[int]:
        """Return the hashes of some principals and of all aliases of their parties."""
        hashes = self._hashes(names)
        for part in chunks(hashes.copy()):
            hashes.update(key for (key,) in self._connection.execute(statements.PARTY[self._dialect], {"keys": part}))
        return hashes

    def _hashes(self, keys: Iterable[str]) -> set[int]:
        hashed, found = self._hashed, set()
        if len(hashed) > _HASHED:
            hashed.clear()
        for key in keys:
            known = hashed.get(key)
            if known is None:
                known = hashed[key] = self._keys(key)
            found.add(known)
        return found

    def _facts(self, query: sa.Select[Any], hashes: Collection[int], **parameters: Any) -> list[Fact]:
        found: list[Fact] = []
        for part in chunks(hashes):
            found += self._rows(query, {"keys": part, **parameters})
        return found

    def _rows(self, query: sa.Select[Any], parameters: dict[str, Any]) -> list[Fact]:
        return [fact_of(row, self._decode) for row in self._connection.execute(query, parameters).all()]

    def _stream(self, query: sa.Select[Any] | sa.CompoundSelect[Any], parameters: dict[str, Any]) -> Iterator[Fact]:
        decode = self._decode
        with self._connection.execute(query, parameters) as rows:
            for row in rows:
                yield fact_of(row, decode)

    # The graph page

    def load_nearby(self, world: World, key: str, most: int) -> tuple[set[str], set[str], bool]:
        """Load an element, or the elements that name a key, with all ancestors and up to ``most`` descendants.

        If there are too many descendants, the selection is deterministic and spread over their parents.

        Returns:
            The keys of the starting elements; of all elements loaded at and below them; whether more elements name the
            key.
        """
        more = False
        if key.startswith(("token:", "delegation:")):
            starts = {self._keys(key)}
        else:
            party = self._party({key}) if key.startswith("principal:") else {self._keys(key)}
            naming: dict[int, None] = {}
            for hashed in sorted(party):
                naming.update(dict.fromkeys(self._naming(hashed, most + 1)))
                if more := len(naming) > most:
                    break
            starts = set(islice(naming, most))
        near, frontier = set(starts), starts
        while frontier and len(near) < most:
            children = self._first(statements.CHILDREN[self._dialect], {"keys": list(frontier)}, most)
            frontier = set(sorted(children - near)[: most - len(near)])
            near |= frontier
        loaded = self.load_hashed(world, near)
        return {one for one in loaded if self._keys(one) in starts}, loaded, more

    def load_latest(self, world: World, most: int, *, at: Instant) -> tuple[set[str], int | None]:
        """Load the elements that were recorded last in the whole store, those alive at an instant first.

        Returns:
            The keys of the loaded elements; how many more there are, or None if that was not counted to the end.
        """

        def has_come(row: Any) -> bool:
            if self.known_at is not None and row.recorded_at > self.known_at:
                return False
            return self._decode(row.value).occurred_at <= at

        latest = latest_elements(self._connection, most, at=at, has_come=has_come)
        return self.load_hashed(world, latest.hashes), latest.left_out

    def children_of(self, keys: Collection[str]) -> dict[str, int]:
        """Return the number of direct children of each element; elements without children are omitted."""
        hashed = {self._keys(key): key for key in keys}
        found: dict[str, int] = {}
        for part in chunks(hashed):
            rows = self._connection.execute(statements.COUNT_CHILDREN[self._dialect], {"keys": part})
            found.update((hashed[key], count) for key, count in rows)
        return found

    # Revocations

    def load_orders(self, world: World) -> None:
        """Load every revocation and reinstatement."""
        for found in self._rows(statements.ORDERED, {}):
            world.add(found)

    def first_orders(self, most: int) -> list[Fact] | None:
        """Return every order and lift; None if there are more than the limit."""
        found = self._rows(statements.ORDERED.limit(most + 1), {})
        return None if len(found) > most else found

    def load_acknowledgements(self, world: World, revocations: Collection[str]) -> None:
        """Load into a world the acknowledgements of receivers under some ids."""
        for found in self.facts_about([f"revocation:{id_}" for id_ in revocations]):
            if isinstance(found.event.body, RevocationAcknowledged):
                world.add(found)

    def load_receivers(self, world: World) -> None:
        """Load every registration of a receiver.

        Cost:
            An index scan of the receivers' names, and a lookup of the facts about them.
        """
        receivers = self._connection.execute(statements.RECEIVERS).scalars().all()
        for found in self.facts_about(receivers):
            world.add(found)

    def load_parties(self, world: World, names: Collection[str]) -> None:
        """Load the registrations of principals and of all aliases of their parties."""
        party = self._party([key for key in names if key.startswith("principal:")])
        for found in self._facts(statements.FACTS_ABOUT, party):
            if isinstance(found.event.body, PrincipalRegistered):
                world.add(found)

    def parts_below(
        self,
        targets: Collection[tuple[str, Instant]],
        nearby: Collection[Fact],
        *,
        size: int = PART,
        most: float = math.inf,
    ) -> Iterator[tuple[World, set[str]]]:
        """Load everything at and below some targets, in parts.

        Each element is in exactly one part.

        Args:
            targets: Keys, each with an instant: subtrees that had ended by then may be omitted.
            nearby: Facts to add to every part: revocations, reinstatements, registrations.
            size: The number of elements for each part.
            most: The most elements in total.

        Yields:
            A world with the elements of a part, their ancestors and ``nearby``; and the keys of these elements.

        Raises:
            TooManyError: There are more than ``most``; nothing was loaded.

        Cost:
            Memory for one part and eight bytes for each element; several times that if very many name the target.
        """
        below = self._keys_below(targets, most)
        own = {self._keys(key): key for key, _ in targets if key.startswith(("token:", "delegation:"))}
        for start in range(0, len(below), size):
            part = set(below[start : start + size])
            world = self.world()
            keys = {key for hashed, key in own.items() if hashed in part}
            for found in nearby:
                world.add(found)
            for found in self._facts(statements.FACTS_ABOVE[self._dialect], part):
                world.add(found)
                key = about(found.event)
                if self._keys(key) in part:
                    keys.add(key)
            yield world, keys

    def _keys_below(self, targets: Collection[tuple[str, Instant]], most: float) -> "array[int]":
        """Return the hashes of all elements at and below some targets, without repeats."""
        below = array("q")
        sources = 0
        for key, after in targets:
            span = span_of(after)
            starts = {self._keys(key)}
            if not key.startswith(("token:", "delegation:")):
                party = self._party({key}) if key.startswith("principal:") else starts
                starts = set()
                for part in chunks(party):
                    rows = self._connection.execute(
                        statements.NAMING[self._dialect], {"keys": part, "span": span, "role": Role.NAMES}
                    )
                    starts.update(rows.scalars())
            for part in chunks(starts):
                sources += 1
                rows = self._connection.execute(
                    statements.KEYS_BELOW[self._dialect],
                    {"keys": part, "span": span},
                    execution_options={"yield_per": _FETCHED},
                )
                for some in rows.scalars().partitions():
                    below.extend(some)
                    if len(below) > most and (sources < 2 or len(set(below)) > most):  # noqa: PLR2004 (as below)
                        rows.close()
                        raise TooManyError(f"more than {most:,} elements depend on it")
        return below if sources < 2 else array("q", dict.fromkeys(below))  # noqa: PLR2004 (one has no repeats)

    def load_successes(self, world: World, keys: Collection[str], since: Instant) -> None:
        """Load what is needed to evaluate the actions that succeeded under elements at or after an instant."""
        used = self.facts_referring(keys, Role.USES)
        decisions = {about(found.event) for found in used if isinstance(found.event.body, DecisionMade)}
        used += self.facts_referring(decisions, Role.USES)
        late = {
            about(found.event)
            for found in used
            if isinstance(found.event.body, ActionPerformed) and found.event.occurred_at >= since
        }
        # The outcome may be stated by another fact about the action than the one that names the element.
        bodies = [found.event.body for found in self.facts_about(late)]
        self.load_actions(
            world,
            {body.action for body in bodies if isinstance(body, ActionPerformed) and body.outcome == "succeeded"},
        )

    def deliveries(self, keys: Collection[str], at: Instant) -> dict[tuple[str, str], Instant]:
        """Return when receivers accepted elements as ended, as of an instant.

        States published before an element was last published as active again do not count.

        Returns:
            For (receiver, key), when that receiver first accepted the element as ended.
        """
        found: dict[str, dict[str, Instant]] = {}
        by = at if self.known_at is None else min(at, self.known_at)
        ordered = sorted(keys)
        for start in range(0, len(ordered), PART):
            part = {"keys": ordered[start : start + PART], "by": by}
            for key, state, receiver, accepted_at in self._connection.execute(statements.DELIVERED, part):
                if state == State.ACTIVE:
                    found.pop(key, None)
                elif receiver is not None:
                    receivers = found.setdefault(key, {})
                    receivers[receiver] = min(accepted_at, receivers.get(receiver, accepted_at))
        return {(receiver, key): first for key, by_receiver in found.items() for receiver, first in by_receiver.items()}

    def count_others(self, names: Collection[str], kills: Collection[str], at: Instant, most: int) -> dict[str, int]:
        """Count the living elements that name each key, excluding ``kills``; keys without any are omitted.

        At most ``most`` index rows are examined for each key, so the count of a key with more is too low.
        """
        killed = list(self._hashes(kills))
        hashed = {self._keys(key): key for key in names}
        found: dict[str, int] = {}
        for part in chunks(hashed):
            asked = {"keys": part, "killed": killed, "span": span_of(at), "most": most}
            found.update(
                (hashed[key], count) for key, count in self._connection.execute(statements.COUNT_OTHERS, asked) if count
            )
        return found

    def first_others(self, names: Collection[str], kills: Collection[str], at: Instant, most: int) -> list[int]:
        """Return the hashes of the first ``most`` elements that ``count_others`` counts, sorted."""
        killed = list(self._hashes(kills))
        found: set[int] = set()
        for part in chunks(self._hashes(names)):
            found |= self._first(
                statements.FIRST_OTHERS[self._dialect], {"keys": part, "killed": killed, "span": span_of(at)}, most
            )
        return sorted(found)[:most]

    def some_others(self, name: str, kills: Collection[str], at: Instant, most: int) -> list[int]:
        """Return the hashes of up to ``most`` elements that ``count_others`` counts for a key, latest end first.

        Only as many index rows are read as necessary.
        """
        return self._naming(self._keys(name), most, without=self._hashes(kills), span=span_of(at))

    def _naming(self, name: int, most: int, *, without: Collection[int] = (), span: int = 0) -> list[int]:
        """Return the elements that name a key and are alive in a Span, latest end first, without repeats."""
        found: dict[int, None] = {}
        with ExitStack() as open_rows:
            streams = [open_rows.enter_context(rows) for rows in self._longest_naming(name, span)]
            for row in merge(*streams, key=tuple, reverse=True):
                if len(found) >= most:
                    break
                if row.about not in without:
                    found[row.about] = None
        return list(found)

    def _longest_naming(self, name: int, span: int) -> Iterator[sa.Result[Any]]:
        """Yield rows of the elements that name a key, latest end first; on SQLite those of each run separately."""
        asked = {"key": name, "span": span}
        if self._dialect != "sqlite":
            yield self._connection.execute(statements.LONGEST_NAMING, asked)
            return
        for id_ in self._connection.execute(sa.select(run.c.id)).scalars().all():
            yield self._connection.execute(statements.LONGEST_NAMING_IN_RUN, {**asked, "run": id_})

    def _first(self, statement: sa.Select[Any], asked: dict[str, Any], most: int) -> set[int]:
        """Return the ``most`` smallest hashes that a statement returns, possibly repeatedly."""
        found: set[int] = set()
        after = _LEAST
        while len(found) < most:
            rows = self._connection.execute(statement, {**asked, "after": after, "most": most}).scalars().all()
            found.update(rows)
            if len(rows) < most:
                break
            after = rows[-1]
        return set(sorted(found)[:most])

    def load_hashed(self, world: World, hashes: Collection[int]) -> set[str]:
        """Load elements by their hashes with everything needed to evaluate them, and return their keys."""
        facts = self._facts(statements.FACTS_ABOVE[self._dialect], hashes)
        unloaded = set(hashes)
        keys = {key for found in facts if self._keys(key := about(found.event)) in unloaded}
        self._load_around(world, facts, keys)
        return keys
