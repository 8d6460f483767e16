"""Projecting a log anew beside a store, and putting that in its place: what ``rebuild`` stands on.

Questions are answered all the while. At the moment of the exchange what was made anew is nowhere behind what it
replaces: writers wait while the rest is projected, so that no order that was in force is away for a moment.
A crash at any time leaves the store as it was, and what was beside it is cleared away by the next attempt.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine

from lineage.core.model.errors import IntegrityError, RefusedError, UnavailableError
from lineage.core.model.records import Outcomes, Position
from lineage.store.database import postgres
from lineage.store.database.engine import faults
from lineage.store.database.postgres import quoted
from lineage.store.rebuild.diff import like, twin
from lineage.store.store import Store, new_edition

Positions = dict[tuple[str, int], int]

_NOTHING: Final = Outcomes(0, 0, 0, 0, 0)

# What is projected, and so is made anew; names and plans are kept, as are lines that the log never took. Writers begin
# with the position: to hold that is to hold them.
_PROJECTED: Final = ("position", "fact", "ref", "sighting", "name")
_WRITTEN: Final = (*_PROJECTED, "quarantine", "release")
_ASIDE: Final = "n, origin, place, recorded_at, reason, detail, sha256, size, value, headers"
# By this a schema is known as one that may be cleared away.
_MARK: Final = "delegraph: a projection that is being made anew"
_REBUILD: Final = int.from_bytes(b"rebuild", "big")  # of the lock of whoever makes one
# While the exchange waits for running questions, new ones wait for it: not for long, and it tries again.
_WAIT_MILLISECONDS: Final = 200
_PAUSE_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 120


@contextmanager
def beside(store: Store) -> Iterator[Store]:
    """An empty store beside another, with its secret, to project the same log into; it goes away afterwards.

    Raises:
        RefusedError: There is no place for one.
        UnavailableError: Somebody else is about to do the same.
    """
    engine = store.engine
    if engine.dialect.name == "postgresql":
        with _schema_beside(store) as anew:
            yield anew
        return
    if store.file is None:
        raise RefusedError("a store in memory cannot be rebuilt")
    with tempfile.TemporaryDirectory(prefix=".delegraph-", dir=store.file.parent) as folder:
        anew = twin(store, Path(folder) / "anew.db")
        try:
            yield anew
        finally:
            anew.close()


def exchange(store: Store, anew: Store, catch_up: Callable[[Positions], object]) -> None:
    """Put a projection made beside a store in its place, in one transaction.

    Args:
        store: The store.
        anew: What was made by ``beside``; it is closed by this.
        catch_up: Projects what was read into the store meanwhile into the other, given the positions. Nothing is
            written to the store while it runs.

    Raises:
        IntegrityError: It could not catch up.
        UnavailableError: The store was in use for too long.
    """
    if store.engine.dialect.name == "postgresql":
        with faults(store.engine), postgres.writing(store.engine).begin() as connection:
            _exchange_schemas(connection, store, anew, catch_up)
    else:
        with store.connection() as connection:
            _exchange_files(connection, store, anew, catch_up)


def _catch_up(store: Store, anew: Store, catch_up: Callable[[Positions], object]) -> None:
    positions = store.positions()
    catch_up(positions)
    reached = anew.positions()
    anew.close()
    short = [
        (topic, partition)
        for (topic, partition), following in positions.items()
        if (end := reached.get((topic, partition), 0)) < following
        # A position that is too high is what a rebuild mends; a record that the log has lost is not.
        and store.outcomes(Position(topic, partition, end).number, Position(topic, partition, following).number)
        != _NOTHING
    ]
    if short:
        where = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(short))
        raise IntegrityError(f"the store {store.url} has read more of {where} than the log holds; nothing was replaced")


# SQLite: a file beside the store's


def _exchange_files(connection: Connection, store: Store, anew: Store, catch_up: Callable[[Positions], object]) -> None:
    raw: Any = connection.connection.driver_connection
    connection.rollback()  # ATTACH must stand outside of a transaction
    raw.execute("ATTACH DATABASE ? AS anew", (str(anew.file),))
    try:
        raw.execute("BEGIN")
        # To write is to hold off the writers of this file. BEGIN IMMEDIATE would hold off those of the other, too.
        raw.execute("INSERT OR REPLACE INTO main.meta VALUES ('edition', randomblob(8))")
        _catch_up(store, anew, catch_up)
        for table in _PROJECTED:
            raw.execute(f"DELETE FROM main.{table}")  # noqa: S608 (names of our tables)
            raw.execute(f"INSERT INTO main.{table} SELECT * FROM anew.{table}")  # noqa: S608
        _exchange_quarantine(raw.execute, "main", "anew")
        raw.execute("COMMIT")
    finally:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        raw.execute("DETACH DATABASE anew")


def _exchange_quarantine(execute: Callable[[str], object], stored: str, anew: str) -> None:
    """What waits of the log is that of the new projection; lines that the log never took stay."""
    execute(
        f'DELETE FROM {stored}."release" WHERE quarantine IN '  # noqa: S608 (names of our tables)
        f"(SELECT id FROM {stored}.quarantine WHERE n IS NOT NULL)"
    )
    execute(f"DELETE FROM {stored}.quarantine WHERE n IS NOT NULL")  # noqa: S608
    execute(f"INSERT INTO {stored}.quarantine ({_ASIDE}) SELECT {_ASIDE} FROM {anew}.quarantine")  # noqa: S608


# PostgreSQL: a schema beside the store's


@contextmanager
def _schema_beside(store: Store) -> Iterator[Store]:
    engine = store.engine
    with faults(engine), engine.execution_options(isolation_level="AUTOCOMMIT").connect() as keeper:
        keeper.exec_driver_sql("SELECT set_config('statement_timeout', '0', false)")
        _refuse_stranger(keeper, store)
        if not keeper.exec_driver_sql(f"SELECT pg_try_advisory_lock({_REBUILD})").scalar():
            raise UnavailableError(f"the store {store.url} is being rebuilt by somebody else; try again later")
        schema = f"{_schema_of(keeper)}_anew"
        try:
            _clear(keeper, schema)
            keeper.exec_driver_sql(f"CREATE SCHEMA {quoted(schema)}")
            keeper.exec_driver_sql(f"COMMENT ON SCHEMA {quoted(schema)} IS '{_MARK}'")
            anew = like(store, _engine_in(engine, schema))
            try:
                yield anew
            finally:
                anew.close()
                _clear(keeper, schema)
        finally:
            keeper.exec_driver_sql(f"SELECT pg_advisory_unlock({_REBUILD})")
            keeper.exec_driver_sql("RESET statement_timeout")


def _engine_in(engine: Engine, schema: str) -> Engine:
    opened = engine.get_execution_options()["delegraph_beside"](schema=schema)
    assert isinstance(opened, Engine)  # noqa: S101 (said by ``postgres.engine_of``)
    return opened


def _schema_of(connection: Connection) -> str:
    return str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())


def _refuse_stranger(connection: Connection, store: Store) -> None:
    """Only the owner of tables may put others in their place."""
    owner = connection.exec_driver_sql(
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'fact'::regclass "
        "AND NOT pg_has_role(relowner, 'MEMBER')"
    ).scalar()
    if owner is not None:
        raise RefusedError(f"the store {store.url} can only be rebuilt by the owner of its tables, {owner!r}")


def _clear(connection: Connection, schema: str) -> None:
    """Clear away what was made beside a store, be it by somebody who did not come to the end."""
    row = connection.exec_driver_sql(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", (schema,)
    ).first()
    if row is None:
        return
    if row[0] != _MARK:
        raise RefusedError(f"the schema {schema!r} is in the way of a rebuild, and is none of ours; rename it")
    connection.exec_driver_sql(f"DROP SCHEMA {quoted(schema)} CASCADE")


def _exchange_schemas(
    connection: Connection, store: Store, anew: Store, catch_up: Callable[[Positions], object]
) -> None:
    schema = _schema_of(connection)
    other = f"{schema}_anew"
    held = ", ".join(f"{quoted(schema)}.{quoted(table)}" for table in _WRITTEN)
    connection.exec_driver_sql(f"LOCK TABLE {held} IN SHARE ROW EXCLUSIVE MODE")  # readers go on
    _catch_up(store, anew, catch_up)
    for table in _PROJECTED:
        connection.exec_driver_sql(f"ANALYZE {quoted(other)}.{quoted(table)}")
    _hold_readers(connection, store, [f"{quoted(schema)}.{quoted(table)}" for table in _PROJECTED])
    for relation in (*_PROJECTED, "name_id_seq"):
        for statement in _rights(connection, schema, other, relation):
            connection.exec_driver_sql(statement)
    for table in _PROJECTED:
        connection.exec_driver_sql(f"DROP TABLE {quoted(schema)}.{quoted(table)}")
        connection.exec_driver_sql(f"ALTER TABLE {quoted(other)}.{quoted(table)} SET SCHEMA {quoted(schema)}")
    _exchange_quarantine(connection.exec_driver_sql, quoted(schema), quoted(other))
    new_edition(connection)
    _clear(connection, other)


def _hold_readers(connection: Connection, store: Store, tables: list[str]) -> None:
    """Wait until nobody reads.

    A question that has read one of the tables may want the next: who holds that and waits for the first would never get
    it. So all is given back after a moment, and tried again.
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
                    f"the store {store.url} is being read for so long that it cannot be replaced; try again"
                ) from error
            time.sleep(_PAUSE_SECONDS)
        else:
            attempt.commit()
            return


def _rights(connection: Connection, schema: str, other: str, relation: str) -> list[str]:
    """The statements that give a new relation the owner of the old one, and everybody's rights to it."""
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
