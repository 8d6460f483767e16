"""The PostgreSQL backend: pool, time limits, the writers' lock, COPY, the meaning of its errors.

The driver is an extra: SQLAlchemy loads it when an engine is created, and nothing here imports it.
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

# Parameters for libpq unless the URL sets them. A dead peer is noticed within a minute.
_CONNECTING: Final[dict[str, Any]] = {
    "application_name": "delegraph",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
# Settings of every session. ``options=-c NAME=VALUE`` in the URL takes precedence.
_SESSION: Final = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    # All our statements are index lookups, whatever the planner's statistics say of tables that are being filled.
    # JIT compilation takes longer than execution, and a cached plan is for the table sizes at the time of planning.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "jit": "off",
    "plan_cache_mode": "force_custom_plan",
}
KEPT_CONNECTIONS: Final = 5
_POOL_MORE: Final = 25  # temporary overflow: as many connections as the threads of a server can use at once
_POOL_SECONDS: Final = 10
# The session limits are for queries. A batch may take long, and wait long for its turn. But a writer that has the turn
# and is idle is frozen or dead: the server ends its transaction, so that the others need not wait much longer.
_WRITER: Final = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)"
    for name, value in {
        "statement_timeout": "0",
        "lock_timeout": "60s",
        "idle_in_transaction_session_timeout": "20s",
    }.items()
)
# For reading whole tables, and for holding a snapshot for long.
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
# For a statement that scans a whole table: its LIMIT makes the planner expect an early end, which one process would do.
_IN_PARALLEL: Final = (
    "SELECT set_config('parallel_setup_cost', '0', true), set_config('parallel_tuple_cost', '0', true)"
)
_HAS_STATISTICS: Final = (
    "SELECT EXISTS (SELECT FROM pg_stats WHERE schemaname = current_schema() AND tablename = 'sorted_ref')"
)
# The advisory lock that the writers of a database take in turn; its number is arbitrary.
_TURN: Final = f"SELECT pg_advisory_xact_lock({int.from_bytes(b'delegrap', 'big')})"
# PostgreSQL's names of types. The order matters: BigInteger and SmallInteger are subclasses of Integer.
_TYPES: Final[tuple[tuple[type[Any], str], ...]] = (
    (sa.BigInteger, "int8"),
    (sa.SmallInteger, "int2"),
    (sa.Integer, "int4"),
    (sa.LargeBinary, "bytea"),
    (sa.String, "text"),
)
TAKES_TURNS: Final = True  # several transactions may write concurrently


def engine_of(url: URL, *, password: str | None = None, schema: str | None = None) -> Engine:
    """Create the engine for a store in a PostgreSQL database.

    Args:
        url: Its query may contain any parameter of libpq, such as ``sslmode``.
        password: Overrides the password in the URL.
        schema: The schema of the tables; None for the first in the user's ``search_path``.

    Raises:
        RefusedError: The driver is not installed, or the URL names another driver.
    """
    if url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise RefusedError(f"delegraph does not use the driver {url.drivername!r}; write postgresql://USER@HOST/NAME")
    query: dict[str, str | tuple[str, ...]] = {}
    query.update(url.query)
    # Secrets are removed from the URL, so that no message can show them.
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
            pool_size=KEPT_CONNECTIONS,
            max_overflow=_POOL_MORE,
            pool_timeout=_POOL_SECONDS,
            pool_use_lifo=True,
        )
    except ImportError as error:
        raise RefusedError("a store on PostgreSQL needs its driver: pip install 'delegraph[postgres]'") from error
    # Opens a second projection in another schema; only this function has the credentials.
    engine.update_execution_options(delegraph_second_engine=partial(engine_of, url, password=password))
    event.listen(engine, "checkout", partial(_refuse_closed, engine))
    event.listen(engine, "begin", _on_begin)
    return engine


def quoted(name: str) -> str:
    """Quote a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _escaped(value: str) -> str:
    """Escape a value for libpq's ``options``."""
    return re.sub(r"([ \\])", r"\\\1", value)


def _refuse_closed(engine: Engine, connection: Any, _record: Any, _fairy: Any) -> None:
    """Do not check out a connection that the server has closed.

    An idle connection is only readable if the server has closed it, so this check costs no round trip.
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
    """The engine for queries: every transaction is read-only and reads from one snapshot."""
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def writing(engine: Engine) -> Engine:
    """The engine for writers: every statement sees all commits before it, so a writer sees all earlier turns."""
    return engine.execution_options(isolation_level="READ COMMITTED", delegraph_writes=True)


def maintaining(engine: Engine) -> Engine:
    """The engine for short steps of maintenance by a writer."""
    return writing(engine)


def change_probe(_engine: Engine) -> None:
    """Return None, because there is no check without a round trip to the server."""


class RemoteProbe:
    """Runs one query on a separate connection in two steps, so that nobody has to block. Not thread-safe."""

    def __init__(self, engine: Engine, query: sa.Select[Any]) -> None:
        """Open a connection, which blocks, and prepare the query."""
        pooled: Any = engine.pool.recreate().connect()  # those of the engine's own pool are kept for questions
        self._connection: Any = pooled.driver_connection
        pooled.detach()
        self._connection.autocommit = True
        # The query is so simple that planning it again each time would take longer than running it.
        self._connection.execute("SET plan_cache_mode = force_generic_plan")
        words = str(query.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True}))
        self._raw = self._connection.pgconn
        self._raw.prepare(b"probe", words.encode())
        self._raw.nonblocking = 1
        self._descriptor = int(self._raw.socket)  # a broken connection no longer tells
        self._fault = engine.dialect.loaded_dbapi.Error

    def fileno(self) -> int:
        """The file descriptor that becomes readable when ``receive`` has something to do."""
        return self._descriptor

    def begin(self) -> None:
        """Send the query; a few bytes, which do not block.

        Raises:
            UnavailableError: The connection is broken.
        """
        try:
            self._raw.send_query_prepared(b"probe", ())
            self._raw.flush()
        except self._fault as error:
            raise UnavailableError(f"the connection to the store is broken: {error}") from error

    def receive(self) -> list[tuple[bytes | None, ...]] | None:
        """Return the rows as text; None if they are still to come.

        Raises:
            UnavailableError: The connection is broken, or the query failed.
        """
        try:
            self._raw.consume_input()
            if self._raw.is_busy():
                return None
            result, last = self._raw.get_result(), self._raw.get_result()
        except self._fault as error:
            raise UnavailableError(f"the connection to the store is broken: {error}") from error
        if result is None or last is not None or result.error_message:
            raise UnavailableError("the store does not answer")
        columns = range(result.nfields)
        return [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def remote_probe(engine: Engine, query: sa.Select[Any]) -> RemoteProbe:
    """Open a probe with a query."""
    return RemoteProbe(engine, query)


def wait_for_turn(connection: Connection) -> None:
    """Become the only writer until the end of the transaction, so that what is read now stays true."""
    connection.exec_driver_sql(_TURN)


def hold(connection: Connection, table: sa.Table) -> None:
    """Become the only writer of a table until the end of the transaction; readers are not blocked."""
    connection.exec_driver_sql(f"LOCK TABLE {quoted(table.name)} IN SHARE ROW EXCLUSIVE MODE")


def without_limits(connection: Connection) -> None:
    """Remove the time limits on the statements of this transaction and on the pauses between them."""
    connection.exec_driver_sql(_NO_LIMITS)


def scan_in_parallel(connection: Connection) -> None:
    """Let the server scan large tables with several processes until the end of the transaction."""
    connection.exec_driver_sql(_IN_PARALLEL)


def collect_first_statistics(connection: Connection) -> None:
    """Collect the statistics of the index, if there are none yet.

    The server does so by itself, but up to a minute later. Until then its planner may search the whole index of the
    way up for each key, since that index begins with the run as well.
    """
    if not connection.exec_driver_sql(_HAS_STATISTICS).scalar_one():
        connection.exec_driver_sql("ANALYZE fact, sorted_ref")


def add(connection: Connection, table: sa.Table, columns: list[sa.Column[Any]], rows: list[tuple[Any, ...]]) -> None:
    """Insert many rows, none of which exists yet; equal adjacent rows are inserted once. Hot path: binary COPY."""
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
    """Insert the rows that do not exist yet, and return how many there were."""
    names = ", ".join(column.name for column in columns)
    arrays = ", ".join(f"CAST(%s AS {_type_of(column)}[])" for column in columns)
    insert = f"INSERT INTO {quoted(table.name)} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING"  # noqa: S608 (names of our tables)
    return connection.exec_driver_sql(insert, tuple(list(values) for values in zip(*rows, strict=True))).rowcount


def low_memory(_connection: Connection) -> AbstractContextManager[None]:
    """Do nothing: the server manages its own page cache."""
    return nullcontext()


def grant_reader(connection: Connection, role: str) -> None:
    """Allow a role to read our tables, and nothing else.

    Raises:
        RefusedError: The role does not exist.
    """
    if connection.exec_driver_sql("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).first() is None:
        raise RefusedError(f"there is no role {role!r} in the database; create it with CREATE ROLE")
    schema = quoted(str(connection.exec_driver_sql("SELECT current_schema()").scalar_one()))
    tables = ", ".join(
        f"{schema}.{quoted(table)}" for table in ("alembic_version", "run", "key_runs", "sorted_ref", *metadata.tables)
    )
    connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {quoted(role)}")
    connection.exec_driver_sql(f"GRANT SELECT ON {tables} TO {quoted(role)}")


def _type_of(column: sa.Column[Any]) -> str:
    return next(name for type_, name in _TYPES if isinstance(column.type, type_))


LOCKED: Final = ("55P03", "40P01")  # lock not available, deadlock detected
# Meaning of an SQLSTATE, or of a class of them (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_STATES: Final[dict[str, tuple[type[DelegraphError], str]]] = {
    "23": (
        IntegrityError,
        "the store {} contradicts the log ({}); check with 'delegraph fsck', repair with 'delegraph rebuild'",
    ),
    "25006": (UnavailableError, "the store {} cannot be written: the database is read-only"),
    "25P03": (UnavailableError, "the store {} ended a transaction that was idle for too long; try again"),
    "28": (RefusedError, "the store {} refuses this user and password ({}); check DELEGRAPH_STORE_PASSWORD"),
    "3D": (UnavailableError, "there is no store at {} ({}); create the database with createdb, then 'delegraph init'"),
    "3F": (RefusedError, "the store {} has no schema ({}); create it with CREATE SCHEMA, or correct search_path"),
    "40": (UnavailableError, "the store {} is being written by others at the same time ({}); try again"),
    "42501": (UnavailableError, "this user lacks a privilege on the store {} ({}); its owner can grant it"),
    "42P01": (IntegrityError, "the store {} lacks a table ({}); project its log into a new one"),
    "53100": (UnavailableError, "the store {} cannot be written: the disk is full"),
    "53300": (UnavailableError, "the store {} has no connection left ({}); try again"),
    "53": (UnavailableError, "the store {} has run out of resources ({}); try again"),
    "55P03": (UnavailableError, "the store {} is locked by another process; try again"),
    "57014": (
        UnavailableError,
        "the store {} gave up ({}); ask for less, or allow more with ?options=-c statement_timeout=60s in its URL",
    ),
    "57": (UnavailableError, "the store {} is shutting down or starting up ({}); try again"),
    "08": (UnavailableError, "the store {} does not answer: {}"),
    "XX001": (IntegrityError, "the store {} is damaged ({}); rebuild it from the log"),
    "XX002": (IntegrityError, "the store {} is damaged ({}); rebuild it from the log"),
    "TLS": (RefusedError, "no TLS connection to the store {} ({}); check sslmode and sslrootcert in its URL"),
    "URL": (RefusedError, "the URL of the store {} has an unknown or invalid option: {}"),
}
# A failed connection has no SQLSTATE: patterns of its message, and the state to use instead.
_MESSAGES: Final = (
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
    """Translate an error of the database into one of ours."""
    state = getattr(error, "sqlstate", None)
    message = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    message = " ".join(message.removeprefix("connection failed: ").split())
    if state is None:
        state = next((state for words, state in _MESSAGES if re.search(words, message)), "08")
    fault, sentence = _STATES.get(state) or _STATES.get(state[:2]) or _STATES["08"]
    return fault(sentence.format(where, message))
