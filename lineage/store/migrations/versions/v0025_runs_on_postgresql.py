"""Let every index of random keys on PostgreSQL begin with a run, so that a batch changes only the newest part of it.

See ``database.sorted_runs``. On SQLite nothing changes. No row is copied: everything that is stored already is the
first run. ``prepare`` does what takes long, while others read and write; the migration itself takes milliseconds then,
and the same in one transaction if nobody has prepared it.
"""

import secrets
import time

import sqlalchemy as sa
from alembic import op
from sqlalchemy.engine import Connection

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# The name of each index, and what it is of; `ref` is still the table here.
_INDEXES = {
    "fact_run_ident": "INDEX {how} {name} ON fact (run, ident)",
    "fact_run_about": "INDEX {how} {name} ON fact (run, about)",
    "sorted_ref_pkey": "UNIQUE INDEX {how} {name} ON ref (run, key, until, role, about, n)",
    "sorted_ref_upward": "INDEX {how} {name} ON ref (run, about, key, role) WHERE role IN (1, 5)",
}
_COLUMN = "ALTER TABLE {} ADD COLUMN IF NOT EXISTS run smallint NOT NULL DEFAULT 1"
_WAIT_MILLISECONDS, _PAUSE_SECONDS = 200, 0.2
_FEW_BYTES = 1 << 26
_BYTES_PER_FACT = 410
# Where nothing has to be kept, the column has a place in which it takes no space.
_EMPTY = (
    "DROP TABLE ref",
    """
    CREATE TABLE ref (
        key bigint, until integer, role smallint, run smallint NOT NULL DEFAULT 1, about bigint, n bigint,
        PRIMARY KEY (key, until, role, about, n)
    )
    """,
    "CREATE INDEX ref_upward ON ref (about)",
)
_VIEW = """
CREATE VIEW ref AS
SELECT key, until, role, about, n FROM sorted_ref WHERE run = ANY (ARRAY(SELECT id FROM run ORDER BY id))
"""
_READERS = """
SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
FROM pg_class, aclexplode(relacl)
WHERE oid = 'ref'::regclass AND grantee <> relowner AND privilege_type = 'SELECT'
"""
_HAS_STATISTICS = """
SELECT count(*) = 2 FROM pg_stats
WHERE schemaname = current_schema() AND tablename IN ('fact', 'sorted_ref') AND attname = 'run'
"""
# By sorting once: no index finds equal rows of other runs, and sessions of ours join only by an index.
_ONCE = """
DELETE FROM sorted_ref WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM (
        SELECT ctid, row_number() OVER (PARTITION BY key, until, role, about, n ORDER BY run) AS place FROM sorted_ref
    ) AS numbered WHERE place > 1
))
"""


def prepare(connection: Connection) -> None:
    """Add the columns and build the indexes of an existing store, while others use it. May be repeated at any time.

    Args:
        connection: In autocommit mode, with no limit on the duration of statements. Nobody else migrates the store.
    """
    _briefly(connection, _COLUMN.format("fact"))
    _briefly(connection, _COLUMN.format("ref"))
    connection.exec_driver_sql("SET lock_timeout = 0")  # an index waits for the end of all older transactions
    invalid = connection.exec_driver_sql(
        "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
        "WHERE indrelid IN ('fact'::regclass, 'ref'::regclass) AND NOT indisvalid"
    )
    for name in {*invalid.scalars()} & _INDEXES.keys():  # left by a process that was killed
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {name}")
    for name, index in _INDEXES.items():
        connection.exec_driver_sql("CREATE " + index.format(how="CONCURRENTLY IF NOT EXISTS", name=name))
    connection.exec_driver_sql("ANALYZE fact, ref")  # without statistics of the run, questions take ten times as long


def _briefly(connection: Connection, statement: str) -> None:
    """Run a statement that needs a table for itself for a moment, without letting others wait while it waits."""
    connection.exec_driver_sql(f"SET lock_timeout = '{_WAIT_MILLISECONDS}ms'")
    try:
        while True:
            try:
                connection.exec_driver_sql(statement)
            except sa.exc.DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != "55P03":  # lock not available
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                return
    finally:
        connection.exec_driver_sql("RESET lock_timeout")


def upgrade() -> None:
    """Make everything that is stored the first run, and let ``ref`` be a view over the runs."""
    if op.get_context().dialect.name != "postgresql":
        return
    connection = op.get_bind()
    readers = connection.exec_driver_sql(_READERS).scalars().all()
    if not connection.exec_driver_sql("SELECT EXISTS (SELECT FROM ref)").scalar():
        for statement in _EMPTY:
            op.execute(statement)
    op.execute(_COLUMN.format("fact"))
    op.execute(_COLUMN.format("ref"))
    for name, index in _INDEXES.items():
        op.execute("CREATE " + index.format(how="IF NOT EXISTS", name=name))
    for statement in (
        "ALTER TABLE fact ALTER COLUMN run DROP DEFAULT",
        "DROP INDEX fact_ident",
        "DROP INDEX fact_about",
        "DROP INDEX ref_upward",
        "ALTER TABLE ref RENAME TO sorted_ref",
        "ALTER TABLE sorted_ref ALTER COLUMN run DROP DEFAULT",
        "ALTER TABLE sorted_ref DROP CONSTRAINT ref_pkey",
        "ALTER TABLE sorted_ref ADD PRIMARY KEY USING INDEX sorted_ref_pkey",
    ):
        op.execute(statement)
    op.create_table(
        "run",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("level", sa.SmallInteger, nullable=False),
        sa.Column("facts", sa.BigInteger, nullable=False),
        sa.Column("mark", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "run_filter",
        sa.Column("mark", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("words", sa.LargeBinary, nullable=False),
    )
    op.execute("ALTER TABLE run_filter ALTER COLUMN words SET STORAGE EXTERNAL")  # random bits cannot be compressed
    mark = int.from_bytes(secrets.token_bytes(8), "big", signed=True)
    op.execute(f"INSERT INTO run VALUES (1, 0, {_facts(connection)}, {mark})")  # noqa: S608 (numbers)
    op.execute(_VIEW)
    if not connection.exec_driver_sql(_HAS_STATISTICS).scalar():
        op.execute("ANALYZE fact, sorted_ref")
    for role in readers:
        op.execute(f"GRANT SELECT ON ref, run, sorted_ref TO {role}")


def _facts(connection: Connection) -> int:
    """Return about how many facts there are: counting many would take long."""
    size = connection.exec_driver_sql("SELECT pg_relation_size('fact')").scalar_one()
    if size > _FEW_BYTES:
        return int(size // _BYTES_PER_FACT)
    return int(connection.exec_driver_sql("SELECT count(*) FROM fact").scalar_one())


def downgrade() -> None:
    """Put the indexes without runs back."""
    if op.get_context().dialect.name != "postgresql":
        return
    for statement in (
        "DROP VIEW ref",
        "DROP TABLE run_filter",
        "DROP TABLE run",
        # A bound that was raised again may be in several runs.
        _ONCE,
        "ALTER TABLE sorted_ref RENAME TO ref",
        "ALTER TABLE ref DROP COLUMN run",
        "ALTER TABLE fact DROP COLUMN run",
        "ALTER TABLE ref ADD CONSTRAINT ref_pkey PRIMARY KEY (key, until, role, about, n)",
        "CREATE INDEX ref_upward ON ref (about, key, role) WHERE role IN (1, 5)",
        "CREATE INDEX fact_ident ON fact (ident)",
        "CREATE INDEX fact_about ON fact (about)",
    ):
        op.execute(statement)
