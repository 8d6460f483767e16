"""Count the actions of a principal by the index, reading as few facts as possible.

The index has a row for each action that names the principal as its actor (``RefRole.ACTS``), and for each decision that
names it as the requester (``RefRole.ASKS``). Only actions that refer to such a decision, and do not name the principal
themselves, must be read, since the actor stated by an action takes precedence over that of its decision.
"""

from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.model.events import ActionPerformed, DecisionMade
from lineage.core.model.keys import split_key
from lineage.core.model.references import RefRole, about
from lineage.core.model.times import Instant
from lineage.core.model.trust import TrustTable
from lineage.store.database.dialects import in_array
from lineage.store.database.sorted_runs import found_by
from lineage.store.database.tables import Keys, fact, meta, ref, sighting
from lineage.store.reading import statements
from lineage.store.reading.reader import Reader

_FETCHED: Final = 10_000  # rows at a time
_MARK: Final = sa.select(meta.c.name).where(meta.c.name == "actors")  # migration 0009 sets it, and a rebuild removes it
_ACTION: Final = "action.performed"


@dataclass(frozen=True, slots=True)
class Visible:
    """The facts that count.

    Attributes:
        trust: Tells which sources may report actions; None if all may.
        known_at: Only facts recorded by then; None for all.
    """

    trust: TrustTable | None
    known_at: Instant | None

    def parameters(self, keys: Keys) -> dict[str, Any]:
        """The parameters that the conditions of ``_counts`` need."""
        sources = () if self.trust is None else self.trust.sources.items()
        may = [keys["source"][source] for source, grant in sources if not grant.types.isdisjoint((_ACTION, "*"))]
        return ({} if self.trust is None else {"sources": may}) | (
            {} if self.known_at is None else {"known_at": self.known_at}
        )


def _counts(*, by_source: bool, by_time: bool) -> Iterator[sa.ColumnElement[bool]]:
    """Build the conditions that the fact of a row of ``ref`` is authorised and known."""
    facts, again = fact.alias(), sighting.alias()
    if by_source:
        yield in_array(sa.select(facts.c.source).where(facts.c.n == ref.c.n).scalar_subquery(), "sources")
    if by_time:
        by = sa.bindparam("known_at", type_=sa.BigInteger)
        first = sa.select(facts.c.recorded_at).where(facts.c.n == ref.c.n).scalar_subquery()
        yield sa.or_(first <= by, sa.exists().where(again.c.fact == ref.c.n, again.c.recorded_at <= by))


def _of_role(role: int) -> sa.ColumnElement[bool]:
    return sa.and_(ref.c.until == 0, ref.c.role == sa.literal_column(str(role)))


@cache
def _statements(dialect: str, *, by_source: bool, by_time: bool) -> tuple[sa.Select[Any], sa.CompoundSelect[Any]]:
    """Build two statements: count actions with a party as actor; select the actions of its decisions without one."""
    counts = tuple(_counts(by_source=by_source, by_time=by_time))
    own = found_by(dialect, ref.c.key, "keys", [ref.c.about], _of_role(RefRole.ACTS), *counts)
    number = sa.select(sa.func.count()).select_from(own.distinct().subquery())
    asked = found_by(dialect, ref.c.key, "keys", [ref.c.about.label("key")], _of_role(RefRole.ASKS)).distinct()
    decided = found_by(dialect, ref.c.key, asked.subquery(), [ref.c.about], _of_role(RefRole.USES))
    return number, sa.except_(decided, own)


def is_complete(connection: Connection) -> bool:
    """Whether the index has every action: a store written by an older version lacks some until it is rebuilt."""
    return connection.execute(_MARK).first() is None


def named(connection: Connection, keys: Keys, party: Collection[int], visible: Visible) -> int:
    """Count the actions that name a member of a party as their actor."""
    number, _ = _of(connection, visible)
    parameters = {"keys": list(party), **visible.parameters(keys)}
    return int(connection.execute(number, parameters).scalar_one())


def decided(connection: Connection, keys: Keys, party: Collection[int], visible: Visible) -> Iterator[list[int]]:
    """Yield the hashes, in parts, of actions that refer to a decision of a party and do not name its members."""
    _, actions = _of(connection, visible)
    parameters = {"keys": list(party), **visible.parameters(keys)}
    rows = connection.execute(actions, parameters, execution_options={"yield_per": _FETCHED})
    yield from ([int(about) for about in part] for part in rows.scalars().partitions())


def _of(connection: Connection, visible: Visible) -> tuple[sa.Select[Any], sa.CompoundSelect[Any]]:
    by_source, by_time = visible.trust is not None, visible.known_at is not None
    return _statements(connection.dialect.name, by_source=by_source, by_time=by_time)


def count_acted(reader: Reader, target: str) -> int:
    """Count the actions of a principal and its aliases, as stated by the actions or else by their decisions.

    Cost:
        One index row for each action; actions that do not state their actor are read, some thousands at a time.
        In a store written by an older version every fact that mentions the principal is read, until it is rebuilt.
    """
    names = _names_of(reader, target)
    if not is_complete(reader.connection):
        return _count_by_reading(reader, names)
    party = reader.hashes(f"principal:{name}" for name in names)
    visible = Visible(reader.trust, reader.known_at)
    count = named(reader.connection, reader.keys, party, visible)
    for part in decided(reader.connection, reader.keys, party, visible):
        world = reader.world()
        for found in reader.facts(statements.FACTS_ABOUT, part):
            world.add(found)
        reader.load_decisions(world, world.actions)
        count += sum(not names.isdisjoint(world.acted(action)) for action in world.actions)
    return count


def _count_by_reading(reader: Reader, names: AbstractSet[str]) -> int:
    """Count the actions of a party by reading its facts, because the index of actors is incomplete."""
    facts = {found for name in names for found in reader.facts_mentioning(f"principal:{name}")}
    asked = {about(found.event) for found in facts if isinstance(found.event.body, DecisionMade)}
    facts.update(reader.facts_referring(asked, RefRole.USES))
    ids = sorted({about(found.event) for found in facts if isinstance(found.event.body, ActionPerformed)})
    count = 0
    for start in range(0, len(ids), _FETCHED):
        world = reader.world()
        for found in reader.facts_about(ids[start : start + _FETCHED]):
            world.add(found)
        reader.load_decisions(world, world.actions)
        count += sum(not names.isdisjoint(world.acted(action)) for action in world.actions)
    return count


def _names_of(reader: Reader, target: str) -> AbstractSet[str]:
    """Return the ids of a principal and of its aliases."""
    world = reader.world()
    reader.load_parties(world, [target])
    return world.principals.party(split_key(target)[1])
