"""Open a store: its connection, its schema version, its secret. Nothing here runs for a question or an order."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine

from lineage.core.model.errors import AbsentError, IntegrityError, RefusedError
from lineage.store.database import postgres, sqlite
from lineage.store.database.dialects import backend_of, faults
from lineage.store.database.tables import meta

REVISION: Final = "0028"  # of the newest migration in this version
# The migration on PostgreSQL that does its long part online, and the versions from which it does.
_PREPARED: Final = "0025"
_PREPARED_FROM: Final = {"0022", "0024"}
_MIGRATING: Final = int.from_bytes(b"migrate", "big")  # the advisory lock of the process that migrates
# While the last step waits for a lock, others wait behind it: so it waits briefly, and is tried again.
_WAIT_MILLISECONDS: Final = 200
_PAUSE_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 120
_MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"
# Tables that every version has had. A database without them is not ours.
_OURS: Final = {"alembic_version", "meta", "position", "fact", "sighting"}


def connect(url: str, *, create: bool, password: str | None = None, schema: str | None = None) -> Engine:
    """Create the engine for a store.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user@host/database``.
        create: Whether to create a missing SQLite file.
        password: For PostgreSQL, overrides the password in the URL.
        schema: For PostgreSQL, the schema of the tables; None for the first in the user's ``search_path``.

    Raises:
        RefusedError: The URL is invalid, or the driver is not installed.
        UnavailableError: There is no store at the URL.
    """
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        shown = url if "@" not in url else "…@" + url.rpartition("@")[2]  # the part before may contain a password
        raise RefusedError(
            f"{shown!r} is not a store URL; write sqlite:///delegraph.db or postgresql://user@host/name"
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            return sqlite.engine_of(parsed, create=create)
        case "postgresql":
            return postgres.engine_of(parsed, password=password, schema=schema)
        case other:
            raise RefusedError(
                f"a store on {other!r} is not supported; use sqlite:///path or postgresql://user@host/name"
            )


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite URL; None for a database in memory or elsewhere."""
    parsed = sa.make_url(url)
    return sqlite.file_of(parsed) if parsed.get_backend_name() == "sqlite" else None


def revision_of(connection: Connection) -> str | None:
    """The schema version of a store; None if it is empty.

    Raises:
        AbsentError: The database belongs to another application.
    """
    tables = set(sa.inspect(connection).get_table_names())
    if tables <= {"log_record", "log_meta"}:  # the embedded log may have been created first
        return None
    if not tables >= _OURS:
        where = connection.engine.url.render_as_string(hide_password=True)
        raise AbsentError(f"{where} is a database, but not a delegraph store; name another with --store")
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def upgrade(engine: Engine) -> bool:
    """Migrate a store to the current schema version, and initialise an empty one.

    Returns:
        Whether there was anything to do.

    Raises:
        AbsentError: The store is newer than this delegraph, or belongs to another application.
    """
    with _prepared(engine), faults(engine):
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return _upgrade(engine)
            except exc.DBAPIError as error:
                # A query or a writer has what the migration needs.
                is_held = getattr(error.orig, "sqlstate", None) in postgres.LOCKED
                if not is_held or time.monotonic() > give_up:
                    raise
            time.sleep(_PAUSE_SECONDS)


def _upgrade(engine: Engine) -> bool:
    """Migrate in one transaction; see ``upgrade``."""
    from alembic import command  # noqa: PLC0415 (slow to import, and needed once in the life of a store)
    from alembic.config import Config  # noqa: PLC0415

    backend = backend_of(engine.dialect)
    with backend.writing(engine).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_WAIT_MILLISECONDS}ms'")
            if revision_of(connection) in _PREPARED_FROM:  # before the turn, for which a writer that has them may wait
                connection.exec_driver_sql("LOCK TABLE fact, ref IN ACCESS EXCLUSIVE MODE")
        backend.wait_for_turn(connection)  # if two processes start at once, the second finds the migrated store
        found = revision_of(connection)
        if found == REVISION:
            return False
        _refuse_newer(engine, found)
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if found is None:
            connection.execute(
                meta.insert(), [{"name": name, "value": secrets.token_bytes(16)} for name in ("id", "secret")]
            )
        return True


@contextmanager
def _prepared(engine: Engine) -> Iterator[None]:
    """Do the long part of a migration on PostgreSQL while others use the store, and then what is in the block.

    One process at a time does: the others wait.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    with faults(engine), engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        # Asking repeatedly: an index is built once all transactions have ended, also one that waits for a lock.
        while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_MIGRATING})").scalar():
            time.sleep(_PAUSE_SECONDS)
        try:
            if revision_of(connection) in _PREPARED_FROM:
                from alembic.script import ScriptDirectory  # noqa: PLC0415 (slow to import)

                connection.exec_driver_sql("SET statement_timeout = 0")
                ScriptDirectory(str(_MIGRATIONS)).get_revision(_PREPARED).module.prepare(connection)
            yield
        finally:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_MIGRATING})")
            for limit in ("statement_timeout", "lock_timeout"):
                connection.exec_driver_sql(f"RESET {limit}")


def check(engine: Engine) -> bytes:
    """Check that a store has the current schema version, and return its secret.

    Raises:
        AbsentError: It is empty, older, newer, or belongs to another application; the message says what to do.
        IntegrityError: It has lost its secret.
    """
    with faults(engine), engine.connect() as connection:
        found = revision_of(connection)
        where = engine.url.render_as_string(hide_password=True)
        if found is None:
            raise AbsentError(f"the store {where} is empty; create its tables with 'delegraph init'")
        _refuse_newer(engine, found)
        if found != REVISION:
            raise AbsentError(
                f"the store {where} has version {found}, this delegraph needs {REVISION}; run 'delegraph init'"
            )
        secret = connection.execute(sa.select(meta.c.value).where(meta.c.name == "secret")).scalar()
        if secret is None:
            raise IntegrityError(
                f"the store {where} has lost its secret; project its log into a new one: "
                f"delegraph consume --drain --store sqlite:///new.db --log {where}"
            )
        return bytes(secret)


def _refuse_newer(engine: Engine, found: str | None) -> None:
    if found is not None and found > REVISION:
        where = engine.url.render_as_string(hide_password=True)
        raise AbsentError(
            f"the store {where} has version {found}, which is newer than this delegraph ({REVISION}); upgrade delegraph"
        )
