"""Opening a store: the connection, its version, its secret. What goes wrong is one clear sentence."""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import Connection, Engine

from lineage.core.errors import IntegrityError, RefusedError, UnavailableError
from lineage.core.sqlite_file import APPLICATION_ID, fault_of_file
from lineage.store.tables import meta

REVISION: Final = "0001"  # of the newest migration that this version brings
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
# A locked store is waited for this long before it is an error.
_BUSY_SECONDS: Final = 10


def connect(url: str, *, create: bool) -> Engine:
    """An engine for a store.

    Args:
        url: ``sqlite:///path`` (PostgreSQL comes with the extra ``postgres``).
        create: Whether a SQLite file that does not exist may be made.

    Raises:
        RefusedError: The URL is not one that can be used.
        UnavailableError: There is no store there.
    """
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError:
        raise RefusedError(f"{url!r} is no store URL; write for example sqlite:///delegraph.db") from None
    if parsed.get_backend_name() != "sqlite":
        raise RefusedError(
            f"a store on {parsed.get_backend_name()!r} is not supported yet; use sqlite:///path/to/file.db"
        )
    file = sqlite_path(url)
    if file is not None:
        _refuse_place(file, create=create)
    # The connection used last comes first: its cache of pages is the warm one.
    connect_args = {"timeout": _BUSY_SECONDS, "isolation_level": None}
    engine = sa.create_engine(parsed, connect_args=connect_args, pool_use_lifo=True)
    event.listen(engine, "connect", partial(_on_connect, url, create))
    event.listen(engine, "begin", _on_begin)
    return engine


def _refuse_place(file: Path, *, create: bool) -> None:
    try:
        if file.is_dir():
            raise UnavailableError(f"{file} is a folder, not a delegraph store; name a file with --store")
        if create and not file.parent.is_dir():
            raise UnavailableError(f"the folder {file.parent} does not exist; make it first")
        if not create and not file.exists():
            hint = "make one with 'delegraph init' or 'delegraph ingest'"
            raise UnavailableError(f"there is no store at {file}; {hint}")
    except OSError as error:
        raise UnavailableError(f"the store {file} cannot be opened: {error.strerror}") from error


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite URL; None for a database in memory."""
    database = sa.make_url(url).database
    return None if not database or database == ":memory:" else Path(database)


def _on_connect(url: str, create: bool, connection: Any, _record: Any) -> None:  # noqa: FBT001 (of a listener)
    cursor = connection.cursor()
    (pages,), (id_,) = (cursor.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "application_id"))
    if fault := fault_of_file(pages=pages, application_id=id_, create=create):
        raise UnavailableError(f"{url} {fault}")
    if pages == 0:
        cursor.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    # FULL: a committed fact survives the machine going down. WAL: questions do not wait for the intake.
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "temp_store = MEMORY",
        "cache_size = -131072",  # 128 MiB of pages
    ):
        try:
            cursor.execute(f"PRAGMA {pragma}")
        except sqlite3.OperationalError as error:
            if "readonly" not in str(error):  # a read-only store answers as well as any
                raise
    cursor.close()


def _on_begin(connection: Connection) -> None:
    # Writers take the lock when they begin: nothing they read can have changed when they write.
    writes = connection.get_execution_options().get("delegraph_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def faults(engine: Engine) -> Iterator[None]:
    """Say what a database error means: away, locked, read-only and full are one thing, damage is another."""
    where = engine.url.render_as_string(hide_password=True)
    try:
        yield
    except exc.IntegrityError as error:
        raise IntegrityError(
            f"the store {where} contradicts the log ({error.orig}); see 'delegraph fsck', 'delegraph rebuild' mends it"
        ) from error
    except exc.DBAPIError as error:
        said = str(error.orig)
        if "locked" in said or "busy" in said:
            raise UnavailableError(f"the store {where} is locked by another process; try again") from error
        if "readonly" in said:
            raise UnavailableError(f"the store {where} cannot be written: it is read-only") from error
        if "full" in said:
            raise UnavailableError(f"the store {where} cannot be written: the disk is full") from error
        if "unable to open" in said:
            raise UnavailableError(f"the store {where} cannot be opened: {said}") from error
        if "not a database" in said:
            raise UnavailableError(f"{where} is not a delegraph store; name another file with --store") from error
        if "malformed" in said or "corrupt" in said:
            raise IntegrityError(f"the store {where} is damaged ({said}); rebuild it from the log") from error
        raise UnavailableError(f"the store {where} does not answer: {said}") from error


def revision_of(connection: Connection) -> str | None:
    """The version of a store; None if it is empty.

    Raises:
        UnavailableError: It is somebody else's database.
    """
    tables = sa.inspect(connection).get_table_names()
    if not tables or set(tables) <= {"log_record", "log_meta"}:  # the embedded log may have come first
        return None
    if "alembic_version" not in tables or "meta" not in tables:
        where = connection.engine.url.render_as_string(hide_password=True)
        raise UnavailableError(f"{where} is a database, but not a delegraph store; name another with --store")
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def upgrade(engine: Engine) -> bool:
    """Bring a store to the version that this delegraph knows; true if there was anything to do.

    Raises:
        UnavailableError: It is newer than this delegraph, or somebody else's.
    """
    from alembic import command  # noqa: PLC0415 (takes a while to import, and is needed once in a store's life)
    from alembic.config import Config  # noqa: PLC0415

    with faults(engine), engine.execution_options(delegraph_writes=True).begin() as connection:
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
            raise UnavailableError(f"the store {where} is empty; make its tables with 'delegraph init'")
        _refuse_newer(engine, found)
        if found != REVISION:
            raise UnavailableError(
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
        raise UnavailableError(
            f"the store {where} has version {found}, which is newer than this delegraph ({REVISION}); upgrade delegraph"
        )
