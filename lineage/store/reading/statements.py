"""The SQL statements by which facts are found: built once, since building a recursive one costs more than running it.

Where the databases need different statements, a constant maps the name of the dialect to its statement. Some have
further ones, which search only the runs of the index that may have a key: on PostgreSQL with the name ``IN_RUNS``,
which takes longer to plan, so it is worth it for many keys in many runs; on SQLite ``IN_RUNS_ON_SQLITE``, for which the
connection needs a function (``possible_runs``).
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from lineage.core.model.records import ORDERS, Position
from lineage.core.model.references import RefRole
from lineage.store.database.dialects import in_array, lateral_for_each, nothing_of, texts_of, values_of
from lineage.store.database.key_runs import IN_RUNS, runs_of
from lineage.store.database.run_function import IN_RUNS_ON_SQLITE, runs_of_keys_on_sqlite
from lineage.store.database.sorted_runs import (
    about_is,
    facts_about,
    found_by,
    run,
    sorted_ref,
    upward,
)
from lineage.store.database.tables import accepted, fact, name, ref, sighting, spread

_EARLIEST_SIGHTING = sa.select(sa.func.min(sighting.c.recorded_at)).where(sighting.c.fact == fact.c.n).scalar_subquery()
FACT = (fact.c.n, fact.c.recorded_at, fact.c.misrouted, fact.c.value, _EARLIEST_SIGHTING.label("again"))


def has_role(role: int) -> sa.ColumnElement[bool]:
    """Build the condition that a row of ``ref`` has a role."""
    return ref.c.role == sa.literal_column(str(role))


def _above(dialect: str) -> sa.CTE:
    """Select the keys of some elements and of everything that they depend on."""
    found = values_of("keys").cte("above", recursive=True)
    way, depends = upward(dialect, RefRole.DEPENDS)
    return found.union(found_by(dialect, way.c.about, found, [way.c.key], *depends))


def _below(dialect: str) -> sa.CTE:
    """Select the keys of some elements and of everything that depends on them, except subtrees that have ended."""
    found = values_of("keys").cte("below", recursive=True)
    return found.union(found_by(dialect, ref.c.key, found, [ref.c.about], has_role(RefRole.DEPENDS), _ALIVE))


_ALIVE: Final = ref.c.until > sa.bindparam("span")
_BEHIND: Final = ref.c.about > sa.bindparam("after")
_USED_OR_ORDERED: Final[tuple[sa.ColumnElement[Any], ...]] = tuple(
    sa.literal_column(str(role)) for role in (RefRole.USES, RefRole.TARGET)
)
_LINKS: Final = sa.and_(ref.c.until == 0, has_role(RefRole.ALIAS))


def _party_on_sqlite(dialect: str, keys: str) -> sa.CTE:
    """Select the keys of some principals, and of all that aliases declare to be the same party."""
    found = values_of(keys).cte(f"party_of_{keys}", recursive=True)
    way, linked = upward(dialect, RefRole.ALIAS)
    # Two recursive terms: for a join over both conditions, the planner would use no index.
    return found.union(
        found_by(dialect, ref.c.key, found, [ref.c.about], _LINKS),
        found_by(dialect, way.c.about, found, [way.c.key], *linked),
    )


def _party_on_postgresql(keys: str) -> sa.CTE:
    """Select the same without the given ones, with one subquery for each direction, so that an index is used."""
    way, linked = upward("postgresql", RefRole.ALIAS)

    def linked_with(keys: sa.FromClause) -> sa.Select[Any]:
        to = sa.select(ref.c.about.label("key")).where(ref.c.key == keys.c.key, _LINKS)
        by = sa.select(way.c.key).where(way.c.about == keys.c.key, *linked)
        return lateral_for_each(keys, to.correlate(keys).union_all(by.correlate(keys)))

    found = linked_with(values_of(keys).subquery()).cte(f"party_of_{keys}", recursive=True)
    return found.union(linked_with(found))


def _whole_party(dialect: str, keys: str) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """Select the keys of some principals, and those of all that aliases declare to be the same party."""
    is_sqlite = dialect in ("sqlite", IN_RUNS_ON_SQLITE)
    found = _party_on_sqlite(dialect, keys) if is_sqlite else _party_on_postgresql(keys)
    return values_of(keys), sa.select(found.c.key)


def _mentioning(
    dialect: str, columns: list[sa.ColumnElement[Any]], *where: sa.ColumnElement[bool], keys: str = "keys"
) -> sa.Select[Any]:
    """Select columns of the rows of ``ref`` that mention one of the keys, the parameter of that name."""
    return found_by(dialect, ref.c.key, keys, columns, *where)


def _first(elements: sa.Select[Any]) -> sa.Select[Any]:
    """Select the first elements, with repeats: DISTINCT in SQL would take three times as long as the sort."""
    return elements.order_by("about").limit(sa.bindparam("most"))


def _count_by_key(elements: sa.Select[Any]) -> sa.Select[Any]:
    found = elements.subquery()
    return sa.select(found.c.key, sa.func.count(found.c.about.distinct())).group_by(found.c.key)


_Built = TypeVar("_Built", bound=sa.Select[Any] | sa.CompoundSelect[Any])


def _on_both(statement: Callable[[str], _Built]) -> dict[str, _Built]:
    """Build a statement for each dialect, once, since building a recursive one costs more than running it."""
    return {dialect: statement(dialect) for dialect in ("sqlite", "postgresql", IN_RUNS, IN_RUNS_ON_SQLITE)}


FACTS_ABOVE = _on_both(lambda dialect: facts_about(dialect, sa.select(_above(dialect).c.key), FACT, fact.c.until > 0))
KEYS_BELOW = _on_both(lambda dialect: sa.select(_below(dialect).c.key))
PARTY = {
    "sqlite": sa.select(_party_on_sqlite("sqlite", "keys").c.key),
    "postgresql": sa.select(_party_on_postgresql("keys").c.key),
}
FACTS_ABOUT = _on_both(lambda dialect: facts_about(dialect, values_of("keys"), FACT))
GRANTS_ABOUT = _on_both(
    lambda dialect: facts_about(dialect, values_of("keys"), (*FACT, fact.c.about), fact.c.until > 0)
)
FACTS_AT = sa.select(*FACT).where(in_array(fact.c.n, "keys"))
FACTS_REFERRING = _on_both(
    lambda dialect: sa.select(*FACT).where(
        fact.c.n.in_(_mentioning(dialect, [ref.c.n], ref.c.until == 0, ref.c.role == sa.bindparam("role")))
    )
)
# Of very many elements, few have any, so both are found by one search for each of them.
USES_AND_ORDERS = _on_both(
    lambda dialect: sa.select(*FACT).where(
        fact.c.n.in_(_mentioning(dialect, [ref.c.n], ref.c.until == 0, ref.c.role.in_(_USED_OR_ORDERED)))
    )
)


def _around(dialect: str) -> sa.CompoundSelect[Any]:
    """Select facts about some parties, about the orders on these and on targets, and bindings of some principals.

    Of further parties, the facts about these alone. The last column says whether a row was found as a binding.
    """
    party = sa.union(*_whole_party(dialect, "parties")).cte("party")
    hit = sa.union(sa.select(party.c.key), values_of("targets")).cte("hit")
    ordered = found_by(dialect, ref.c.key, hit, [ref.c.about.label("key")], ref.c.until == 0, has_role(RefRole.TARGET))
    subjects = sa.union(sa.select(party.c.key), *_whole_party(dialect, "registered"), ordered).subquery()
    bound = _mentioning(dialect, [ref.c.n], ref.c.until == 0, has_role(RefRole.BOUND), keys="bound")
    return sa.union_all(
        facts_about(dialect, sa.select(subjects.c.key), (*FACT, sa.literal_column("0").label("binds"))),
        sa.select(*FACT, sa.literal_column("1").label("binds")).where(fact.c.n.in_(bound)),
    )


AROUND = _on_both(_around)
# Streamed, so the first row is fast however many there are; a fact that mentions the key twice is returned twice.
FACTS_MENTIONING = sa.union_all(
    sa.select(*FACT).where(about_is(sa.bindparam("key", type_=sa.BigInteger))),
    sa.select(*FACT).select_from(ref).join(fact, fact.c.n == ref.c.n).where(ref.c.key == sa.bindparam("key")),
).execution_options(stream_results=True)


def _crowded(dialect: str) -> sa.Select[Any]:
    mentioned = _mentioning(dialect, [ref.c.key.label("key")], ref.c.until == 0, has_role(RefRole.MENTIONS)).subquery()
    return sa.select(mentioned.c.key).group_by(mentioned.c.key).having(sa.func.count() > sa.bindparam("most"))


CROWDED = _on_both(_crowded)
NAMING = _on_both(
    lambda dialect: _mentioning(dialect, [ref.c.about], _ALIVE, ref.c.role == sa.bindparam("role")).distinct()
)


def _others(dialect: str, columns: list[sa.ColumnElement[Any]], *where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Select the living elements that name some keys, without those killed. A name can have very many rows."""
    return _mentioning(
        dialect, columns, _ALIVE, has_role(RefRole.NAMES), ref.c.about.not_in(values_of("killed")), *where
    )


def _count_others() -> sa.Select[Any]:
    """Count the elements for each key among the first rows: a name can have very many rows."""
    name = values_of("keys").subquery()
    rows = _alive_others(ref.c.about).where(ref.c.key == name.c.key).limit(sa.bindparam("most")).correlate(name)
    counted = sa.select(sa.func.count(rows.subquery().c.about.distinct())).scalar_subquery()
    return sa.select(name.c.key, counted)


def _alive_others(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return sa.select(*columns).where(_ALIVE, has_role(RefRole.NAMES), ref.c.about.not_in(values_of("killed")))


COUNT_OTHERS = _count_others()
FIRST_OTHERS = _on_both(lambda dialect: _first(_others(dialect, [ref.c.about], _BEHIND)))


def _longest_naming(rows: sa.TableClause, *where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Select in index order, so that rows can be streamed without sorting.

    ``role + 0`` keeps SQLite from choosing another plan.
    """
    alive = (
        rows.c.key == sa.bindparam("key"),
        rows.c.until > sa.bindparam("span"),
        rows.c.role + 0 == RefRole.NAMES,
    )
    order = (rows.c.until, rows.c.role, rows.c.about, rows.c.n)
    query = sa.select(*order).where(*where, *alive).order_by(*(column.desc() for column in order))
    return query.execution_options(stream_results=True)


# The runs of the index, or those that may have some keys.
RUNS = {
    "sqlite": sa.select(run.c.id),
    "postgresql": sa.select(run.c.id),
    IN_RUNS: runs_of("keys"),
    IN_RUNS_ON_SQLITE: runs_of_keys_on_sqlite("keys"),
}
LONGEST_NAMING_IN_RUN = _longest_naming(sorted_ref, sorted_ref.c.run == sa.bindparam("run"))
# `until > 0` holds for all children, but excludes rows without a bound: an element can have very many actions.
_CHILD: Final = sa.and_(ref.c.until > 0, has_role(RefRole.DEPENDS))
CHILDREN = _on_both(lambda dialect: _first(_mentioning(dialect, [ref.c.about], _CHILD, _BEHIND)))


def _nearby(dialect: str) -> sa.CompoundSelect[Any]:
    """Select the uses and the children of some elements, and what some parties did and asked for.

    At most `most` rows of each kind, the first in index order: an element may have been used a million times.
    """

    def some(role: int, keys: str, bound: sa.ColumnElement[bool]) -> sa.Select[Any]:
        columns = [sa.literal_column(str(role)).label("role"), ref.c.n, ref.c.about]
        rows = found_by(dialect, ref.c.key, keys, columns, bound, has_role(role)).limit(sa.bindparam("most"))
        return sa.select(*rows.subquery().c)

    return sa.union_all(
        some(RefRole.USES, "elements", ref.c.until == 0),
        some(RefRole.DEPENDS, "elements", ref.c.until > 0),
        some(RefRole.ACTS, "parties", ref.c.until == 0),
        some(RefRole.ASKS, "parties", ref.c.until == 0),
    )


def _with_nearby(dialect: str) -> sa.CompoundSelect[Any]:
    """Select the facts that grant some elements, with everything above, what is nearby, and the facts about that.

    The first column is the role of what is nearby, or one of these two for a fact; the last one is the subject.
    """
    rows = _nearby(dialect).cte("near").prefix_with("MATERIALIZED")
    nothing = [sa.null().label(column.name) for column in FACT[1:]]

    def facts(part: int, keys: sa.Select[int], *where: sa.ColumnElement[bool]) -> sa.Select[Any]:
        columns = [sa.literal_column(str(part)).label("part"), *FACT, fact.c.about]
        return facts_about(dialect, keys, columns, *where)

    return sa.union_all(
        facts(ABOVE, sa.select(_above(dialect).c.key), fact.c.until > 0),
        facts(NEAR, sa.select(rows.c.about.label("key"))),
        sa.select(rows.c.role, rows.c.n, *nothing, rows.c.about),
    )


ABOVE: Final = 0  # a fact that grants an element or what is above it
NEAR: Final = -1  # a fact about something nearby
NEARBY = _on_both(_nearby)
WITH_NEARBY = _on_both(_with_nearby)
COUNT_CHILDREN = _on_both(lambda dialect: _count_by_key(_mentioning(dialect, [ref.c.key, ref.c.about], _CHILD)))
# Revocations are on a separate topic, whose numbers are the highest.
ORDERED = sa.select(*FACT).where(fact.c.n >= Position(ORDERS, 0, 0).number)
RECEIVERS = sa.select(name.c.key).distinct().where(sa.text("key >= 'receiver:' AND key < 'receiver;'"))
PRINCIPALS = sa.select(name.c.key).distinct().where(sa.text("key >= 'principal:' AND key < 'principal;'"))
CASES = sa.select(name.c.key).distinct().where(sa.text("key >= 'case:' AND key < 'case;'"))
HOLDS = sa.select(name.c.key).distinct().where(sa.text("key >= 'hold:' AND key < 'hold;'"))
CALLED = sa.select(name.c.key).distinct().where(sa.text("key >= 'called:' AND key < 'called;'"))
ANY_SPREAD = sa.select(spread.c.seq).limit(1)
DELIVERED = (
    sa.select(spread.c.key, spread.c.state, accepted.c.receiver, accepted.c.at)
    .outerjoin(accepted, (accepted.c.seq == spread.c.seq) & (accepted.c.at <= sa.bindparam("by")))
    .where(spread.c.key.in_(texts_of("keys")), spread.c.recorded_at <= sa.bindparam("by"))
    .order_by(spread.c.seq)
)


def numbers_mentioning(key: int, most: int) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """Build two statements for the numbers of facts that mention a key, given by its hash, and of those about it."""
    mentioned = sa.select(ref.c.n).where(ref.c.key == key).distinct().limit(most)
    about_it = sa.select(fact.c.n).where(about_is(key)).limit(most)
    return mentioned, about_it


def with_keys(dialect: sa.Dialect) -> Iterator[tuple[sa.Select[Any] | sa.CompoundSelect[Any], dict[str, Any]]]:
    """Yield the statements that look up keys, each with parameters for which it finds nothing."""
    for constant in list(globals().values()):
        statement = constant.get(dialect.name) if isinstance(constant, dict) else constant
        if isinstance(statement, sa.Select | sa.CompoundSelect):
            binds: dict[str, sa.BindParameter[Any]] = statement.compile(dialect=dialect).binds
            nothing = {name: nothing_of(bind.type) for name, bind in binds.items() if bind.required}
            if not nothing.keys().isdisjoint(("key", "keys", "elements", "targets")):
                yield statement, nothing
