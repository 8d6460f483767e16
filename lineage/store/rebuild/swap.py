"""Replace the projection of a store by one made in a second store: the basis of ``rebuild``.

Queries are answered throughout. At the time of the exchange the new projection is never behind the old one: writers
wait while the last records are projected, so that no revocation in force disappears even for a moment. A crash at any
time leaves the store unchanged, and the next attempt removes the remains of the second store.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine

from lineage.core.model.errors import IntegrityError, RefusedError, UnavailableError
from lineage.core.model.records import Outcomes, Position
from lineage.store.database import postgres
from lineage.store.database.dialects import faults
from lineage.store.database.key_runs import key_runs
from lineage.store.database.postgres import quoted
from lineage.store.database.sorted_runs import on_sqlite, run_filter, run_on_postgresql, sorted_ref
from lineage.store.rebuild.diff import like
from lineage.store.rebuild.temporary_twin import temporary_twin
from lineage.store.store import Store, new_edition

Positions = dict[tuple[str, int], int]

_NOTHING: Final = Outcomes(0, 0, 0, 0, 0)

# The projected tables, which are replaced; others, such as plans, are kept, and so are quarantined lines that are not
# in the log. Writers begin with the position, so locking that table blocks them.
_PLAIN: Final = ("position", "fact", "act", "sighting", "name", "tree", "tile")
_TABLES: Final = (*_PLAIN, *(table.name for table in (run_on_postgresql, run_filter, key_runs, sorted_ref)))
_VIEW: Final = "ref"
# The index on SQLite. It is deleted first, so that a deleted fact has no entries left to delete.
_IN_RUNS: Final = tuple(on_sqlite.tables)
# Checkpoints are kept, but none may be signed of a tree that is being replaced.
_WRITTEN: Final = (*_TABLES, "quarantine", "release", "checkpoint")
_ASIDE: Final = "n, origin, place, recorded_at, reason, detail, sha256, size, value, headers, charged_to, kept"
# All actions are indexed now: see ``reading.acted`` and ``acts_in_time``.
_INDEXED: Final = "DELETE FROM meta WHERE name IN ('actors', 'acts')"
# The comment that marks a schema as one that a rebuild may drop.
_MARK: Final = "delegraph: a projection that is being rebuilt"
_REBUILD: Final = int.from_bytes(b"rebuild", "big")  # the advisory lock of a rebuild
# While the exchange waits for running queries, new queries wait for the exchange: so it waits briefly, and retries.
_WAIT_MILLISECONDS: Final = 200
_PAUSE_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 120


@contextmanager
def temporary_store(store: Store) -> Iterator[Store]:
    """Create a temporary empty store next to another, with its secret, to project the same log into.

    Raises:
        RefusedError: The store is in memory, or belongs to another owner.
        UnavailableError: Another process is rebuilding the store.
    """
    engine = store.engine
    if engine.dialect.name == "postgresql":
        with _temporary_schema(store) as rebuilt:
            yield rebuilt
        return
    if store.file is None:
        raise RefusedError("a store in memory cannot be rebuilt")
    with temporary_twin(store) as rebuilt:
        yield rebuilt


def exchange(store: Store, rebuilt: Store, catch_up: Callable[[Positions], object]) -> None:
    """Replace the projection of a store by a rebuilt one, in one transaction.

    Args:
        store: The store.
        rebuilt: The store created by ``temporary_store``; this closes it.
        catch_up: Projects the log into the rebuilt store up to the given positions. Nothing is written to ``store``
            while it runs.

    Raises:
        IntegrityError: The log no longer has all records that the store has read.
        UnavailableError: The store was in use for too long.
    """
    if store.engine.dialect.name == "postgresql":
        with faults(store.engine), postgres.writing(store.engine).begin() as connection:
            _exchange_schemas(connection, store, rebuilt, catch_up)
    else:
        with store.connection() as connection:
            _exchange_files(connection, store, rebuilt, catch_up)


def _catch_up(store: Store, rebuilt: Store, catch_up: Callable[[Positions], object]) -> None:
    positions = store.positions()
    catch_up(positions)
    reached = rebuilt.positions()
    rebuilt.close()
    short = [
        (topic, partition)
        for (topic, partition), following in positions.items()
        if (end := reached.get((topic, partition), 0)) < following
        # A rebuild repairs a position that is too high, but not the loss of a record from the log.
        and store.outcomes(Position(topic, partition, end).number, Position(topic, partition, following).number)
        != _NOTHING
    ]
    if short:
        where = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(short))
        raise IntegrityError(f"the store {store.url} has read more of {where} than the log holds; nothing was replaced")


# SQLite: a file next to the store's


def _exchange_files(
    connection: Connection, store: Store, rebuilt: Store, catch_up: Callable[[Positions], object]
) -> None:
    raw: Any = connection.connection.driver_connection
    connection.rollback()  # ATTACH is not allowed within a transaction
    raw.execute("ATTACH DATABASE ? AS rebuilt", (str(rebuilt.file),))
    raw.execute("PRAGMA main.secure_delete = ON")  # what retention deleted must not stay in free pages
    try:
        raw.execute("BEGIN")
        # This write blocks the writers of this file. BEGIN IMMEDIATE would also block those of the attached one.
        raw.execute("INSERT OR REPLACE INTO main.meta VALUES ('edition', randomblob(8))")
        _catch_up(store, rebuilt, catch_up)
        for table in (*_IN_RUNS, *_PLAIN):
            raw.execute(f"DELETE FROM main.{table}")  # noqa: S608 (names of our tables)
        for table in (*_IN_RUNS, *_PLAIN):
            raw.execute(f"INSERT INTO main.{table} SELECT * FROM rebuilt.{table}")  # noqa: S608
        _exchange_quarantine(raw.execute, "main", "rebuilt")
        raw.execute(_INDEXED)
        raw.execute("COMMIT")
    finally:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raw.execute("DETACH DATABASE rebuilt")


def _exchange_quarantine(execute: Callable[[str], object], stored: str, rebuilt: str) -> None:
    """Replace the quarantined records of the log; quarantined lines that are not in the log stay."""
    execute(
        f'DELETE FROM {stored}."release" WHERE quarantine IN '  # noqa: S608 (names of our tables)
        f"(SELECT id FROM {stored}.quarantine WHERE n IS NOT NULL)"
    )
    execute(f"DELETE FROM {stored}.quarantine WHERE n IS NOT NULL")  # noqa: S608
    execute(f"INSERT INTO {stored}.quarantine ({_ASIDE}) SELECT {_ASIDE} FROM {rebuilt}.quarantine")  # noqa: S608


# PostgreSQL: a schema next to the store's


@contextmanager
def _temporary_schema(store: Store) -> Iterator[Store]:
    engine = store.engine
    with faults(engine), engine.execution_options(isolation_level="AUTOCOMMIT").connect() as keeper:
        keeper.exec_driver_sql("SELECT set_config('statement_timeout', '0', false)")
        _refuse_stranger(keeper, store)
        if not keeper.exec_driver_sql(f"SELECT pg_try_advisory_lock({_REBUILD})").scalar():
            raise UnavailableError(f"the store {store.url} is being rebuilt by another process; try again later")
        schema = f"{_schema_of(keeper)}_rebuilt"
        try:
            _clear(keeper, schema)
            keeper.exec_driver_sql(f"CREATE SCHEMA {quoted(schema)}")
            keeper.exec_driver_sql(f"COMMENT ON SCHEMA {quoted(schema)} IS '{_MARK}'")
            rebuilt = like(store, _engine_in(engine, schema))
            try:
                yield rebuilt
            finally:
                rebuilt.close()
                _clear(keeper, schema)
        finally:
            keeper.exec_driver_sql(f"SELECT pg_advisory_unlock({_REBUILD})")
            keeper.exec_driver_sql("RESET statement_timeout")


def _engine_in(engine: Engine, schema: str) -> Engine:
    opened = engine.get_execution_options()["delegraph_second_engine"](schema=schema)
    assert isinstance(opened, Engine)  # noqa: S101 (set by ``postgres.engine_of``)
    return opened


def _schema_of(connection: Connection) -> str:
    return str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())


def _refuse_stranger(connection: Connection, store: Store) -> None:
    """Raise RefusedError unless we own the tables, which only their owner can replace."""
    owner = connection.exec_driver_sql(
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'fact'::regclass "
        "AND NOT pg_has_role(relowner, 'MEMBER')"
    ).scalar()
    if owner is not None:
        raise RefusedError(f"the store {store.url} can only be rebuilt by the owner of its tables, {owner!r}")


def _clear(connection: Connection, schema: str) -> None:
    """Drop the schema of a rebuild, including one left by a rebuild that did not finish."""
    row = connection.exec_driver_sql(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", (schema,)
    ).first()
    if row is None:
        return
    if row[0] != _MARK:
        raise RefusedError(f"the schema {schema!r} is in the way of a rebuild and was not created by one; rename it")
    connection.exec_driver_sql(f"DROP SCHEMA {quoted(schema)} CASCADE")


def _exchange_schemas(
    connection: Connection, store: Store, rebuilt: Store, catch_up: Callable[[Positions], object]
) -> None:
    schema = _schema_of(connection)
    other = f"{schema}_rebuilt"
    held = ", ".join(f"{quoted(schema)}.{quoted(table)}" for table in _WRITTEN)
    connection.exec_driver_sql(f"LOCK TABLE {held} IN SHARE ROW EXCLUSIVE MODE")  # readers are not blocked
    _catch_up(store, rebuilt, catch_up)
    for table in _TABLES:
        connection.exec_driver_sql(f"ANALYZE {quoted(other)}.{quoted(table)}")
    _hold_readers(connection, store, [f"{quoted(schema)}.{quoted(table)}" for table in (*_TABLES, _VIEW)])
    for relation in (*_TABLES, _VIEW, "name_id_seq"):
        for statement in _rights(connection, schema, other, relation):
            connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"DROP VIEW {quoted(schema)}.{_VIEW}")
    connection.exec_driver_sql(f"ALTER VIEW {quoted(other)}.{_VIEW} SET SCHEMA {quoted(schema)}")
    for table in _TABLES:
        connection.exec_driver_sql(f"DROP TABLE {quoted(schema)}.{quoted(table)}")
        connection.exec_driver_sql(f"ALTER TABLE {quoted(other)}.{quoted(table)} SET SCHEMA {quoted(schema)}")
    _exchange_quarantine(connection.exec_driver_sql, quoted(schema), quoted(other))
    connection.exec_driver_sql(_INDEXED)
    new_edition(connection)
    _clear(connection, other)


def _hold_readers(connection: Connection, store: Store, tables: list[str]) -> None:
    """Lock the tables once no query reads them.

    A query that has read one table may need the next. Locking that one while waiting for the first would be a deadlock,
    so all locks are released after a short wait, and the attempt is repeated.
    """
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while True:
        attempt = connection.begin_nested()
        try:
            connection.exec_driver_sql(f"SELECT set_config('lock_timeout', '{_WAIT_MILLISECONDS}ms', true)")
            connection.exec_driver_sql(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        except exc.DBAPIError as error:
            attempt.rollback()
            if getattr(error.orig, "sqlstate", None) not in postgres.LOCKED:
                raise
            if time.monotonic() > give_up:
                raise UnavailableError(
                    f"the store {store.url} was being read for too long and could not be replaced; try again"
                ) from error
            time.sleep(_PAUSE_SECONDS)
        else:
            attempt.commit()
            return


def _rights(connection: Connection, schema: str, other: str, relation: str) -> list[str]:
    """The statements that give a new relation the owner and the privileges of the old one."""
    return list(
        connection.exec_driver_sql(
            """
            WITH pair AS (
                SELECT old.relowner, old.relacl, new.relowner AS maker, format('%%I.%%I', %(other)s::text, new.relname)
                       AS name, CASE old.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
                FROM pg_class old, pg_class new
                WHERE old.oid = to_regclass(format('%%I.%%I', %(schema)s::text, %(relation)s::text))
                  AND new.oid = to_regclass(format('%%I.%%I', %(other)s::text, %(relation)s::text))
            )
            SELECT format('ALTER TABLE %%s OWNER TO %%I', name, pg_get_userbyid(relowner))
            FROM pair WHERE kind = 'TABLE' AND relowner <> maker
            UNION ALL
            SELECT format('GRANT %%s ON %%s %%s TO %%s%%s', privilege_type, kind, name,
                          CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
                          CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM pair, aclexplode(relacl) WHERE grantee <> relowner
            """,
            {"schema": schema, "other": other, "relation": relation},
        ).scalars()
    )
