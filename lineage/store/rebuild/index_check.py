"""Compare the index of facts with the facts: the entries of ``ref`` are compared by ``rebuild.diff``.

On SQLite its other entries are tables of their own, on PostgreSQL indexes. Complete runs have filters.
"""

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.model.records import position_of
from lineage.store.database.sorted_runs import by_about, by_ident, fact_in_run, run_on_postgresql
from lineage.store.database.tables import fact
from lineage.store.store import Store
from lineage.store.writing.key_runs import denied_by_rows
from lineage.store.writing.run_filters import denied_keys

_ENTRIES: Final = {
    "about": (by_about, (by_about.c.key == fact.c.about) & (by_about.c.until == fact.c.until)),
    "identity": (by_ident, by_ident.c.key == fact.c.ident),
}


def entry_differences(store: Store) -> Iterator[str]:
    """Find facts without their entries, and entries that do not fit their facts: a sentence about each kind."""
    if store.engine.dialect.name != "sqlite":
        with store.connection() as connection:
            listed = sa.select(run_on_postgresql.c.id)
            strays = sa.select(sa.func.count()).where(fact_in_run.c.run.not_in(listed))
            if count := connection.execute(strays).scalar_one():
                yield f"index: {count:,} facts are in a run that does not exist"
            yield from _denied(connection)
            for run, denied in denied_by_rows(connection):
                yield f"index: questions do not search run {run} for {denied:,} of its keys"
        return
    with store.connection() as connection:
        for name, (entries, fits) in _ENTRIES.items():
            same = (entries.c.n == fact.c.n) & fits
            unindexed = sa.select(fact.c.n).where(~sa.exists().select_from(entries).where(same))
            stray = sa.select(entries.c.n).where(~sa.exists().select_from(fact).where(same))
            for query, fault in ((unindexed, "is not in it"), (stray, "is in it with another key, or does not exist")):
                rows = query.subquery()
                found, first = connection.execute(sa.select(sa.func.count(), sa.func.min(rows.c.n))).one()
                if found:
                    topic, partition, offset = position_of(first)
                    more = "" if found == 1 else f" ({found:,} such facts)"
                    yield f"index by {name}: the fact at {topic}/{partition}/{offset} {fault}{more}"
        yield from _denied(connection)


def _denied(connection: Connection) -> Iterator[str]:
    for run, denied in denied_keys(connection):
        yield f"index: the filter of run {run} denies {denied:,} of its keys"
