"""Opening a store: the connection, its version, its secret. What goes wrong is one clear sentence."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine

from lineage.core.model.errors import AbsentError, IntegrityError, OverloadedError, RefusedError
from lineage.store.database import postgres, sqlite
from lineage.store.database.dialects import backend_of
from lineage.store.database.tables import meta

REVISION: Final = "0007"  # of the newest migration that this version brings
_MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"
# Tables that every version had. What has none of them is not ours.
_OURS: Final = {"alembic_version", "meta", "position", "fact", "ref"}


def connect(url: str, *, create: bool, password: str | None = None, schema: str | None = None) -> Engine:
    """An engine for a store.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user@host/database``.
        create: Whether a SQLite file that does not exist may be made.
        password: For PostgreSQL, instead of one in the URL.
        schema: For PostgreSQL: where the tables are; None: where the user's ``search_path`` says.

    Raises:
        RefusedError: The URL is not one that can be used, or the driver is missing.
        UnavailableError: There is no store there.
    """
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        shown = url if "@" not in url else "…@" + url.rpartition("@")[2]  # before it may stand a password
        raise RefusedError(
            f"{shown!r} is no store URL; write sqlite:///delegraph.db or postgresql://user@host/name"
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


@contextmanager
def faults(engine: Engine) -> Iterator[None]:
    """Say what a database error means."""
    where = engine.url.render_as_string(hide_password=True)
    try:
        yield
    except exc.IntegrityError as error:
        raise IntegrityError(
            f"the store {where} contradicts the log ({error.orig}); see 'delegraph fsck', 'delegraph rebuild' mends it"
        ) from error
    except exc.TimeoutError as error:
        raise OverloadedError(f"the store {where} has all its connections in use; try again") from error
    except exc.DBAPIError as error:
        raise backend_of(engine.dialect).fault_of(error.orig or error, where) from error
    except engine.dialect.loaded_dbapi.Error as error:  # of what SQLAlchemy does not see
        raise backend_of(engine.dialect).fault_of(error, where) from error


def revision_of(connection: Connection) -> str | None:
    """The version of a store; None if it is empty.

    Raises:
        UnavailableError: It is somebody else's database.
    """
    tables = set(sa.inspect(connection).get_table_names())
    if tables <= {"log_record", "log_meta"}:  # the embedded log may have come first
        return None
    if not tables >= _OURS:
        where = connection.engine.url.render_as_string(hide_password=True)
        raise AbsentError(f"{where} is a database, but not a delegraph store; name another with --store")
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def upgrade(engine: Engine) -> bool:
    """Bring a store to the version that this delegraph knows; true if there was anything to do.

    Raises:
        UnavailableError: It is newer than this delegraph, or somebody else's.
    """
    from alembic import command  # noqa: PLC0415 (takes a while to import, and is needed once in a store's life)
    from alembic.config import Config  # noqa: PLC0415

    backend = backend_of(engine.dialect)
    with faults(engine), backend.writing(engine).begin() as connection:
        backend.wait_for_turn(connection)  # of two who begin at once the second finds what the first has made
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


def check(engine: Engine) -> bytes:
    """The secret of a store that is of our version.

    Raises:
        UnavailableError: It is empty, older, newer, or somebody else's; the message says what to do.
    """
    with faults(engine), engine.connect() as connection:
        found = revision_of(connection)
        where = engine.url.render_as_string(hide_password=True)
        if found is None:
            raise AbsentError(f"the store {where} is empty; make its tables with 'delegraph init'")
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
