"""What only PostgreSQL does: its pool, its limits, its one writer at a time, COPY, what its errors mean.

The driver is an extra: SQLAlchemy loads it when an engine is made, and nothing here imports it.
"""

import re
import select
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import URL, Connection, Engine

from lineage.core.model.errors import DelegraphError, IntegrityError, RefusedError, UnavailableError
from lineage.store.database.tables import metadata

# Given to libpq unless the URL says otherwise. A peer that is gone is noticed within a minute.
_CONNECTING: Final[dict[str, Any]] = {
    "application_name": "delegraph",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
# Settings of every session. ``options=-c NAME=VALUE`` in the URL comes after them, and wins.
_SESSION: Final = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    # Every statement of ours is a look-up by index, whatever the planner knows of tables that are being filled.
    # Compiling one takes longer than running it, and a plan that was kept is one for how large they were then.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "jit": "off",
    "plan_cache_mode": "force_custom_plan",
}
_POOL: Final = 5
_POOL_MORE: Final = 25  # for a moment, when all are in use: as many as the threads of a server can use at once
_POOL_SECONDS: Final = 10
# The limits are for questions. A batch may take long, and wait long for its turn. But who has the turn and says nothing
# is frozen or gone: it loses it, so that the others need not wait for longer than it takes to be sure.
_WRITER: Final = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)"
    for name, value in {
        "statement_timeout": "0",
        "lock_timeout": "60s",
        "idle_in_transaction_session_timeout": "20s",
    }.items()
)
# To read whole tables, and to keep one moment for long.
_NO_LIMITS: Final = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)"
    for name, value in {
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "enable_hashjoin": "on",
        "enable_mergejoin": "on",
        "enable_seqscan": "on",
    }.items()
)
# The lock that the writers of a database take in turn, an arbitrary number of ours.
_TURN: Final = f"SELECT pg_advisory_xact_lock({int.from_bytes(b'delegrap', 'big')})"
# Types as COPY names them. The order matters: the first two are integers, too.
_TYPES: Final[tuple[tuple[type[Any], str], ...]] = (
    (sa.BigInteger, "int8"),
    (sa.SmallInteger, "int2"),
    (sa.Integer, "int4"),
    (sa.LargeBinary, "bytea"),
    (sa.String, "text"),
)
TAKES_TURNS: Final = True  # whether others may write at the same time


def engine_of(url: URL, *, password: str | None = None, schema: str | None = None) -> Engine:
    """An engine for a store in a PostgreSQL database.

    Args:
        url: Its query may hold any parameter of libpq, such as ``sslmode``.
        password: Instead of one in the URL.
        schema: Where the tables are; None: in the first schema of the user's ``search_path``.

    Raises:
        RefusedError: The driver is not installed, or the URL names another.
    """
    if url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise RefusedError(f"delegraph does not use the driver {url.drivername!r}; write postgresql://USER@HOST/NAME")
    query: dict[str, str | tuple[str, ...]] = {}
    query.update(url.query)
    # What is secret is taken out of the URL, so that no message can show it.
    secret: dict[str, Any] = {name: query.pop(name) for name in ("password", "sslpassword") if name in query}
    if password is not None or url.password is not None:
        secret["password"] = password if password is not None else str(url.password)
    options = [f"-c {name}={_escaped(value)}" for name, value in _SESSION.items()]
    given = query.pop("options", ())
    options += [given] if isinstance(given, str) else list(given)
    if schema is not None:
        options.append(f"-c search_path={_escaped(quoted(schema))}")
    connecting: dict[str, Any] = {name: value for name, value in _CONNECTING.items() if name not in query}
    connecting.update(secret, options=" ".join(options))
    bare = URL.create(
        "postgresql", username=url.username, host=url.host, port=url.port, database=url.database, query=query
    )
    try:
        engine = sa.create_engine(
            bare,
            connect_args=connecting,
            pool_size=_POOL,
            max_overflow=_POOL_MORE,
            pool_timeout=_POOL_SECONDS,
            pool_use_lifo=True,
        )
    except ImportError as error:
        raise RefusedError("a store on PostgreSQL needs its driver: pip install 'delegraph[postgres]'") from error
    # For a projection beside this one: what it takes to get in is known here alone.
    engine.update_execution_options(delegraph_beside=partial(engine_of, url, password=password))
    event.listen(engine, "checkout", partial(_refuse_closed, engine))
    event.listen(engine, "begin", _on_begin)
    return engine


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _escaped(value: str) -> str:
    """A value as it stands in libpq's ``options``."""
    return re.sub(r"([ \\])", r"\\\1", value)


def _refuse_closed(engine: Engine, connection: Any, _record: Any, _fairy: Any) -> None:
    """Take no connection out of the pool that the server has closed.

    A connection at rest has nothing to be read unless the server has said goodbye: to look costs no round trip.
    """
    rest = select.poll()
    if not connection.closed:
        rest.register(connection.fileno(), select.POLLIN)
        if not rest.poll(0):
            return
    try:
        engine.dialect.do_ping(connection)
    except engine.dialect.loaded_dbapi.Error as error:
        raise exc.InvalidatePoolError from error


def _on_begin(connection: Connection) -> None:
    if connection.get_execution_options().get("delegraph_writes", False):
        connection.exec_driver_sql(_WRITER)


def reading(engine: Engine) -> Engine:
    """The engine for questions: a transaction sees one moment, and writes nothing."""
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def writing(engine: Engine) -> Engine:
    """The engine for writers: each statement sees what is committed by then, so that a turn sees all turns before."""
    return engine.execution_options(isolation_level="READ COMMITTED", delegraph_writes=True)


def glance(_engine: Engine) -> None:
    """Nothing: to ask a server is to wait for it."""


def wait_for_turn(connection: Connection) -> None:
    """Write alone from here to the end of the transaction: what is read now stays true."""
    connection.exec_driver_sql(_TURN)


def without_limits(connection: Connection) -> None:
    """Let the statements of this transaction, and the pauses between them, take as long as they take."""
    connection.exec_driver_sql(_NO_LIMITS)


def add(connection: Connection, table: sa.Table, columns: list[sa.Column[Any]], rows: list[tuple[Any, ...]]) -> None:
    """Add many rows, none of which stands already; of equal neighbours one. The hot path: binary COPY."""
    raw: Any = connection.connection.driver_connection
    names = ", ".join(column.name for column in columns)
    try:
        with (
            raw.cursor() as cursor,
            cursor.copy(f"COPY {quoted(table.name)} ({names}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types([_type_of(column) for column in columns])
            write = copy.write_row
            for row, _ in groupby(rows):
                write(row)
    except connection.dialect.loaded_dbapi.Error as error:
        if raw.closed:
            connection.invalidate(error)
        raise


def add_missing(
    connection: Connection, table: sa.Table, columns: list[sa.Column[Any]], rows: list[tuple[Any, ...]]
) -> int:
    """Add rows; those that stand already are left as they are. How many were added."""
    names = ", ".join(column.name for column in columns)
    arrays = ", ".join(f"CAST(%s AS {_type_of(column)}[])" for column in columns)
    insert = f"INSERT INTO {quoted(table.name)} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING"  # noqa: S608 (names of our tables)
    return connection.exec_driver_sql(insert, tuple(list(values) for values in zip(*rows, strict=True))).rowcount


def frugally(_connection: Connection) -> AbstractContextManager[None]:
    """Nothing to do: the pages are the server's."""
    return nullcontext()


def grant_reader(connection: Connection, role: str) -> None:
    """Let a role read our tables, and nothing else.

    Raises:
        RefusedError: There is no such role.
    """
    if connection.exec_driver_sql("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).first() is None:
        raise RefusedError(f"there is no role {role!r} in the database; make it with CREATE ROLE")
    schema = quoted(str(connection.exec_driver_sql("SELECT current_schema()").scalar_one()))
    tables = ", ".join(f"{schema}.{quoted(table)}" for table in ("alembic_version", *metadata.tables))
    connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {quoted(role)}")
    connection.exec_driver_sql(f"GRANT SELECT ON {tables} TO {quoted(role)}")


def _type_of(column: sa.Column[Any]) -> str:
    return next(name for type_, name in _TYPES if isinstance(column.type, type_))


LOCKED: Final = ("55P03", "40P01")  # a lock was not to be had
# What a state (https://www.postgresql.org/docs/current/errcodes-appendix.html), or a class of states, means.
_STATES: Final[dict[str, tuple[type[DelegraphError], str]]] = {
    "23": (IntegrityError, "the store {} contradicts the log ({}); see 'delegraph fsck', 'delegraph rebuild' mends it"),
    "25006": (UnavailableError, "the store {} cannot be written: the database is read-only"),
    "25P03": (UnavailableError, "the store {} was left waiting for too long within a transaction; try again"),
    "28": (RefusedError, "the store {} lets nobody in by this name and password ({}); see DELEGRAPH_STORE_PASSWORD"),
    "3D": (UnavailableError, "there is no store at {} ({}); make the database with createdb, then 'delegraph init'"),
    "3F": (RefusedError, "the store {} has no schema to be in ({}); make it with CREATE SCHEMA, or mend search_path"),
    "40": (UnavailableError, "the store {} is written by others at the same moment ({}); try again"),
    "42501": (UnavailableError, "this user may not do that with the store {} ({}); its owner may"),
    "42P01": (IntegrityError, "the store {} lacks a table ({}); project its log into a new one"),
    "53100": (UnavailableError, "the store {} cannot be written: the disk is full"),
    "53300": (UnavailableError, "the store {} has no connection left ({}); try again"),
    "53": (UnavailableError, "the store {} lacks what it needs ({}); try again"),
    "55P03": (UnavailableError, "the store {} is locked by another process; try again"),
    "57014": (
        UnavailableError,
        "the store {} gave up ({}); ask for less, or allow more with ?options=-c statement_timeout=60s in its URL",
    ),
    "57": (UnavailableError, "the store {} is going down or coming up ({}); try again"),
    "08": (UnavailableError, "the store {} does not answer: {}"),
    "XX001": (IntegrityError, "the store {} is damaged ({}); rebuild it from the log"),
    "XX002": (IntegrityError, "the store {} is damaged ({}); rebuild it from the log"),
    "TLS": (RefusedError, "the store {} cannot be spoken to as asked ({}); see sslmode and sslrootcert in its URL"),
    "URL": (RefusedError, "the URL of the store {} asks for what is not known: {}"),
}
# A connection that never came to be has no state: what was said of it, and what it stands for.
_SAID: Final = (
    ("too many clients|remaining connection slots|too many connections", "53300"),
    ("starting up|shutting down|in recovery mode|not yet accepting|not accepting connections", "57"),
    ("password authentication failed|no password supplied|no pg_hba.conf entry|role .* does not exist", "28"),
    ("authentication failed|not permitted to log in", "28"),
    ("database .* does not exist", "3D"),
    ("permission denied for database", "42501"),
    ("invalid connection option|unrecognized configuration parameter|invalid value for parameter", "URL"),
    ("SSL|certificate", "TLS"),
)


def fault_of(error: BaseException, where: str) -> DelegraphError:
    """What an error of the database means."""
    state = getattr(error, "sqlstate", None)
    said = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    said = " ".join(said.removeprefix("connection failed: ").split())
    if state is None:
        state = next((state for words, state in _SAID if re.search(words, said)), "08")
    fault, sentence = _STATES.get(state) or _STATES.get(state[:2]) or _STATES["08"]
    return fault(sentence.format(where, said))
