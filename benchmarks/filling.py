"""Fill the index of an empty store with random entries, because taking very many events takes hours.

On both databases the entries are in runs, as the product leaves them; the facts have no values.
"""

import sqlite3
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from lineage.store.database.dialects import writing
from lineage.store.database.sorted_runs import (
    BYTES_OF_CACHE,
    FAN,
    HOT,
    LEAST_FACTS,
    count_in_turn,
    newest_run,
)
from lineage.store.database.tables import fact
from lineage.store.store import Store
from lineage.store.writing.key_runs import clear_some
from lineage.store.writing.run_filters import RunFilters

_FIRST: Final = 1 << 36  # the number of the first fact made up: an offset that the log does not reach
# The mentions of eleven events of ``benchmarks.events``: role, end, and how many events have it. On PostgreSQL, nearly
# as there, everything that is mentioned is something that a fact of these eleven is about.
_MENTIONS: Final = ((1, 420_000, 4), (2, 420_000, 11), (2, 420_000, 9), (3, 0, 6), (10, 0, 6))
_BATCH: Final = 20_000  # facts whose rows of ``sorted_ref`` are written sorted by key
_FULL_PERCENT: Final = 70  # of a page of a B-tree after random inserts
_FILTERED_KEYS: Final = 1_000_000  # of each transaction that builds a filter


def fill(store: Store, facts: int) -> None:
    """Fill the index of an empty store with the entries of a number of facts; leave a store with facts as it is."""
    with store.connection() as connection:
        if connection.execute(sa.select(fact.c.n).limit(1)).first() is not None:
            return
    if store.file is None:
        _fill_postgresql(store.engine, facts)
    else:
        _fill_sqlite(str(store.file), facts)
    build_filters(store.engine)


def build_filters(engine: Engine) -> None:
    """Build the filters of all complete runs, for writers and readers, as consumers do."""
    filters, built = RunFilters(), 1
    while built:
        with writing(engine) as connection:
            built = filters.build_some(connection, _FILTERED_KEYS)
    built = 0 if engine.dialect.name == "sqlite" else 1
    while built:
        with writing(engine) as connection:
            built = clear_some(connection, _FILTERED_KEYS)


def _fill_sqlite(file: str, facts: int) -> None:
    with sqlite3.connect(file, isolation_level=None) as database:
        for pragma in ("cache_size = -262144", "synchronous = OFF", "wal_autocheckpoint = 16384"):
            database.execute(f"PRAGMA {pragma}")
        size, level, start, run = HOT, 1, 0, 2
        while size * FAN <= facts:
            size, level = size * FAN, level + 1
        while level:
            if facts - start < size:
                size, level = size // FAN, level - 1
                continue
            database.execute("INSERT INTO run VALUES (?, ?, ?, NULL, random())", (run, level, size))
            _fill_run_on_sqlite(database, run, _FIRST + start, _FIRST + start + size)
            start, run = start + size, run + 1


def _fill_run_on_sqlite(database: sqlite3.Connection, run: int, first: int, beyond: int) -> None:
    span = f"n >= {first} AND n < {beyond}"
    mentions = " UNION ALL ".join(
        f"SELECT random(), {until}, {role}, about, n FROM fact WHERE {span} AND n % 11 < {count}"  # noqa: S608
        for role, until, count in _MENTIONS
    )
    numbers = f"WITH RECURSIVE made (n) AS (VALUES ({first}) UNION ALL SELECT n + 1 FROM made WHERE n + 1 < {beyond})"  # noqa: S608
    database.execute("BEGIN")
    for table, rows in (
        ("fact", "SELECT n, random(), random(), 0, 0, 1, iif(n % 11 < 5, 420000, 0), 7, NULL, x'' FROM made"),
        ("sorted_about", f"SELECT {run}, about, until, n FROM fact WHERE {span} ORDER BY about"),  # noqa: S608
        ("sorted_ident", f"SELECT {run}, ident, n FROM fact WHERE {span} ORDER BY ident"),  # noqa: S608
        ("sorted_ref", f"SELECT {run}, * FROM ({mentions}) ORDER BY 1"),  # noqa: S608
        (
            "sorted_upward",
            f"SELECT run, about, key, role, n FROM sorted_ref WHERE run = {run} AND role = 1 ORDER BY about, key",  # noqa: S608
        ),
    ):
        database.execute(f"{numbers} INSERT INTO {table} {rows}")
    database.execute("COMMIT")


# PostgreSQL

_INDEXES: Final = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisprimary FROM pg_index
WHERE indrelid IN ('fact'::regclass, 'sorted_ref'::regclass) AND indexrelid <> 'fact_pkey'::regclass
"""
_FACTS: Final = """
INSERT INTO fact (n, ident, about, outcome, misrouted, recorded_at, until, source, sequence, value, run)
SELECT n, hashint8extended(n, 1), hashint8extended(n, 2), 0, 0, 1, CASE WHEN n %% 11 < 5 THEN 420000 ELSE 0 END, 7,
       NULL, '', %(run)s
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS made (n)
"""
_REFS: Final = f"""
INSERT INTO sorted_ref (run, key, until, role, about, n)
SELECT %(run)s, hashint8extended(n - n %% 11 + place, 2) AS key, until, role, hashint8extended(n, 2), n
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS made (n)
CROSS JOIN (VALUES {", ".join(str((place, *mention)) for place, mention in enumerate(_MENTIONS, 1))})
    AS mention (place, role, until, events)
WHERE n %% 11 < events
ORDER BY n / {_BATCH}, key
"""  # noqa: S608 (numbers)


def _fill_postgresql(engine: Engine, facts: int) -> None:
    """Fill whole runs.

    The indexes are built at the end, sorted, with pages as full as random inserts leave them.
    """
    with writing(engine) as connection:
        connection.exec_driver_sql("SELECT set_config('maintenance_work_mem', '1GB', true)")
        connection.exec_driver_sql("SELECT set_config('work_mem', '256MB', true)")
        indexes = connection.exec_driver_sql(_INDEXES).all()
        for name, _, is_primary in indexes:
            connection.exec_driver_sql(
                f"ALTER TABLE sorted_ref DROP CONSTRAINT {name}" if is_primary else f"DROP INDEX {name}"
            )
        size, start = _facts_of_run(connection), _FIRST
        while start < _FIRST + facts:
            run, beyond = newest_run(connection), min(start + size, _FIRST + facts)
            span = {"run": run, "first": start, "last": beyond - 1}
            connection.exec_driver_sql(_FACTS, span)
            connection.exec_driver_sql(_REFS, span)
            count_in_turn(connection, run, beyond - start)
            start = beyond
        for name, definition, is_primary in indexes:
            head, where, condition = definition.partition(" WHERE ")
            connection.exec_driver_sql(f"{head} WITH (fillfactor = {_FULL_PERCENT}){where}{condition}")
            if is_primary:
                connection.exec_driver_sql(
                    f"ALTER TABLE sorted_ref ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}"
                )
            connection.exec_driver_sql(f"ALTER INDEX {name} RESET (fillfactor)")
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM (ANALYZE) fact, sorted_ref")
        connection.exec_driver_sql("RESET statement_timeout")


def _facts_of_run(connection: Connection) -> int:
    """Return after how many facts a run is complete (``sorted_runs.count_in_turn``)."""
    cache = connection.execute(sa.select(sa.func.pg_size_bytes(sa.func.current_setting("shared_buffers")))).scalar_one()
    return max(LEAST_FACTS, -(-int(cache) // BYTES_OF_CACHE))
