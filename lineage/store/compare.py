"""Comparing and replacing projections: what ``fsck`` and ``rebuild`` stand on.

Two projections of one log are equal if they hold the same facts, indexes, sightings and quarantine, whatever the order
in which batches came. A store made with the secret of another can be compared with it row by row.
"""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from lineage.core.errors import RefusedError
from lineage.store.engine import check, connect, faults, upgrade
from lineage.store.store import Store
from lineage.store.tables import fact, meta, name, position, quarantine, ref, release, sighting

# What the log alone determines. Of a record that came twice it depends on the order which place is the fact's and which
# the sighting's, so places are compared apart from contents.
_COMPARED: Final[dict[str, sa.Select[Any] | sa.CompoundSelect[Any]]] = {
    "fact": sa.select(
        fact.c.ident,
        fact.c.about,
        fact.c.misrouted,
        fact.c.until,
        fact.c.source,
        fact.c.sequence,
        fact.c.value,
        sa.func.min(
            sa.func.coalesce(
                sa.select(sa.func.min(sighting.c.recorded_at)).where(sighting.c.fact == fact.c.n).scalar_subquery(),
                fact.c.recorded_at,
            ),
            fact.c.recorded_at,
        ).label("recorded_at"),
    ).order_by(fact.c.ident, fact.c.about, fact.c.misrouted, fact.c.value),
    "place": sa.union_all(
        sa.select(fact.c.n.label("n")),
        sa.select(sighting.c.n.label("n")),
    ).order_by("n"),
    "ref": sa.select(ref.c.key, ref.c.role, ref.c.about, fact.c.ident, fact.c.about, sa.func.max(ref.c.until))
    .outerjoin(fact, fact.c.n == ref.c.n)
    .group_by(ref.c.key, ref.c.role, ref.c.about, fact.c.ident, fact.c.about)
    .order_by(ref.c.key, ref.c.role, ref.c.about, fact.c.ident, fact.c.about),
    "name": sa.select(name.c.key).distinct().order_by(name.c.key),
    "quarantine": sa.select(
        quarantine.c.origin,
        quarantine.c.place,
        quarantine.c.sha256,
        quarantine.c.recorded_at,
        quarantine.c.reason,
        quarantine.c.size,
        quarantine.c.value,
    )
    .where(quarantine.c.n.is_not(None))
    .where(quarantine.c.id.not_in(sa.select(release.c.quarantine)))
    .order_by(quarantine.c.origin, quarantine.c.place, quarantine.c.sha256),
    "position": sa.select(position.c.topic, position.c.partition, position.c.next_offset).order_by(
        position.c.topic, position.c.partition
    ),
}
# What is projected, and so is made anew; names and plans are kept, as are lines that the log never took.
_PROJECTED: Final = ("fact", "ref", "sighting", "position", "name")


def twin(store: Store, file: Path) -> Store:
    """An empty store in a file, with the secret of another, to project the same log into."""
    engine = connect(f"sqlite:///{file}", create=True)
    upgrade(engine)
    with store.connection() as source, faults(engine), engine.begin() as target:
        target.execute(meta.delete())
        target.execute(meta.insert(), [row._asdict() for row in source.execute(sa.select(meta))])
    return Store(engine, check(engine), store.decode)


def differences(one: Store, other: Store) -> Iterator[str]:
    """Where two projections differ: the first difference of each table, as a sentence."""
    for table, query in _COMPARED.items():
        with one.connection() as first, other.connection() as second:
            for row, twin_row in zip_longest(first.execute(query), second.execute(query)):
                if row is None or twin_row is None or tuple(row) != tuple(twin_row):
                    yield f"{table}: stored {_shown(row)}, projected anew {_shown(twin_row)}"
                    break


def replace(store: Store, anew: Path) -> None:
    """Put a projection made beside a store in its place, in one transaction.

    Raises:
        RefusedError: The store is not in a SQLite file.
    """
    if store.file is None:
        raise RefusedError("only a store in a SQLite file can be rebuilt by this version")
    with store.connection() as connection:
        # ATTACH must stand outside of a transaction.
        raw = connection.connection.driver_connection
        assert raw is not None  # noqa: S101 (it is connected)
        connection.rollback()
        raw.execute("ATTACH DATABASE ? AS anew", (str(anew),))
        try:
            raw.execute("BEGIN IMMEDIATE")
            for table in _PROJECTED:
                raw.execute(f"DELETE FROM main.{table}")  # noqa: S608 (names of our tables)
                raw.execute(f"INSERT INTO main.{table} SELECT * FROM anew.{table}")  # noqa: S608
            raw.execute(
                'DELETE FROM main."release" WHERE quarantine IN (SELECT id FROM main.quarantine WHERE n IS NOT NULL)'
            )
            raw.execute("DELETE FROM main.quarantine WHERE n IS NOT NULL")
            raw.execute(
                "INSERT INTO main.quarantine (n, origin, place, recorded_at, reason, detail, sha256, size, value) "
                "SELECT n, origin, place, recorded_at, reason, detail, sha256, size, value FROM anew.quarantine"
            )
            raw.execute("COMMIT")
        finally:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raw.execute("DETACH DATABASE anew")


def _shown(row: Any) -> str:
    if row is None:
        return "nothing"
    return "(" + ", ".join(value.hex()[:24] if isinstance(value, bytes) else str(value) for value in row) + ")"
