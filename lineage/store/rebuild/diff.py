"""Compare projections: the basis of ``fsck``.

Two projections of one log are equal if they have the same facts, indexes, sightings and quarantined records, regardless
of the order of batches and of the database. Stores with the same secret can be compared row by row: every query sorts
its rows, and text is ordered by its bytes on both databases.
"""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from lineage.store.database.dialects import faults, without_limits
from lineage.store.database.engine import check, connect, upgrade
from lineage.store.database.sorted_runs import by_child
from lineage.store.database.sqlite import never_sync
from lineage.store.database.tables import UPWARD, fact, meta, name, position, quarantine, ref, release, sighting
from lineage.store.store import Store

_SEEN_FIRST: Final = sa.select(sa.func.min(sighting.c.recorded_at)).where(sighting.c.fact == fact.c.n).scalar_subquery()
_Rows = sa.Select[Any] | sa.CompoundSelect[Any]


def _way_up(dialect: str) -> _Rows:
    """Select what is found on the way up: on SQLite it is a table besides ``ref``, on PostgreSQL an index of it."""
    way = by_child if dialect == "sqlite" else ref
    stated = (way.c.about, way.c.key, way.c.role)
    by = (fact.c.ident, fact.c.about)
    return (
        sa.select(*stated, *by)
        .outerjoin(fact, fact.c.n == way.c.n)
        .where(way.c.role.in_(UPWARD))
        .distinct()
        .order_by(*stated, *(column.nulls_first() for column in by))
    )


# Only what the log determines. For a record that occurs twice, the order of batches decides which position is the
# fact's and which the sighting's, so positions are compared separately from contents.
_COMPARED: Final[dict[str, _Rows | dict[str, _Rows]]] = {
    "fact": sa.select(
        fact.c.ident,
        fact.c.about,
        fact.c.misrouted,
        fact.c.until,
        fact.c.source,
        fact.c.sequence,
        fact.c.value,
        sa.case((fact.c.recorded_at > _SEEN_FIRST, _SEEN_FIRST), else_=fact.c.recorded_at).label("recorded_at"),
    ).order_by(fact.c.ident, fact.c.about, fact.c.misrouted, fact.c.value),
    "place": sa.union_all(
        sa.select(fact.c.n.label("n")),
        sa.select(sighting.c.n.label("n")),
    ).order_by("n"),
    "ref": sa.select(ref.c.key, ref.c.role, ref.c.about, fact.c.ident, fact.c.about, sa.func.max(ref.c.until))
    .outerjoin(fact, fact.c.n == ref.c.n)
    .group_by(ref.c.key, ref.c.role, ref.c.about, fact.c.ident, fact.c.about)
    .order_by(ref.c.key, ref.c.role, ref.c.about, fact.c.ident.nulls_first(), fact.c.about.nulls_first()),
    "dependencies and aliases": {dialect: _way_up(dialect) for dialect in ("sqlite", "postgresql")},
    "name": sa.select(name.c.key).distinct().order_by(name.c.key),
    "quarantine": sa.select(
        quarantine.c.origin,
        quarantine.c.place,
        quarantine.c.sha256,
        quarantine.c.recorded_at,
        quarantine.c.reason,
        quarantine.c.size,
        quarantine.c.value,
        quarantine.c.headers,
        quarantine.c.kept,
    )
    .where(quarantine.c.n.is_not(None))
    .where(quarantine.c.id.not_in(sa.select(release.c.quarantine)))
    .order_by(quarantine.c.origin, quarantine.c.place, quarantine.c.sha256),
    "position": sa.select(position.c.topic, position.c.partition, position.c.next_offset).order_by(
        position.c.topic, position.c.partition
    ),
}
_BY_DIGEST: Final = 6  # columns of "quarantine" up to the size
_PAGE: Final = 2_000  # rows in memory at a time


def twin(store: Store, file: Path) -> Store:
    """Create an empty store in a SQLite file with the secret of ``store``, to project the same log into.

    It does not survive a power failure, which nobody needs.
    """
    engine = connect(f"sqlite:///{file}", create=True)
    never_sync(engine)
    return like(store, engine)


def like(store: Store, engine: Engine) -> Store:
    """Create an empty store, in the database of ``engine``, with the secret of ``store``."""
    upgrade(engine)
    with store.connection() as source:
        rows = [row._asdict() for row in source.execute(sa.select(meta))]
    with faults(engine), engine.begin() as target:
        target.execute(meta.delete())
        target.execute(meta.insert(), rows)
    return Store(engine, check(engine), store.decode, store.quota)


def differences(one: Store, other: Store) -> Iterator[str]:
    """Find where two projections differ: a sentence about the first difference in each table."""
    for table, query in _COMPARED.items():
        with one.connection() as first, other.connection() as second:
            without_limits(first)
            without_limits(second)
            with _pages(first, query) as rows, _pages(second, query) as twin_rows:
                for row, twin_row in zip_longest(rows, twin_rows):
                    if (
                        row is None
                        or twin_row is None
                        or _compared(table, row, twin_row) != _compared(table, twin_row, row)
                    ):
                        yield f"{table}: stored {_shown(row)}, projected again {_shown(twin_row)}"
                        break


def _pages(connection: Connection, query: _Rows | dict[str, _Rows]) -> sa.CursorResult[Any]:
    """Execute a query, which may differ between the databases, and fetch its rows page by page."""
    own = query[connection.dialect.name] if isinstance(query, dict) else query
    return connection.execute(own.execution_options(yield_per=_PAGE))


def _compared(table: str, row: Any, twin_row: Any) -> tuple[Any, ...]:
    """Return the columns of a row that are compared with those of its twin.

    Which records are beyond a quota depends on the settings, and on the records released since. A record of which one
    store has only the digest and the position is compared by these.
    """
    columns = tuple(row)
    return columns[:_BY_DIGEST] if table == "quarantine" and None in (row.kept, twin_row.kept) else columns


def _shown(row: Any) -> str:
    if row is None:
        return "nothing"
    return "(" + ", ".join(value.hex()[:24] if isinstance(value, bytes) else str(value) for value in row) + ")"
