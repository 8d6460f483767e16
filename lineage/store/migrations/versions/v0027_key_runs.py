"""Make room on PostgreSQL for what tells readers in which complete runs a key may be.

See ``database.key_runs``. On SQLite nothing changes. The rows of an existing store are written by its consumers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_READERS = """
SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
FROM pg_class, aclexplode(relacl)
WHERE oid = 'run'::regclass AND grantee <> relowner AND privilege_type = 'SELECT'
"""


def upgrade() -> None:
    """Add the table, which those may read who may read the runs, and how far it is written for each run."""
    if op.get_context().dialect.name != "postgresql":
        return
    op.add_column("run", sa.Column("shift", sa.SmallInteger))
    op.add_column("run", sa.Column("cleared", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "key_runs",
        sa.Column("octet", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("block", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("slots", sa.LargeBinary, nullable=False),
    )
    # Every row is written again for each run: with room for that in its page, no index changes, and no page is added.
    op.execute("ALTER TABLE key_runs SET (fillfactor = 50)")
    for role in op.get_bind().exec_driver_sql(_READERS).scalars().all():
        op.execute(f"GRANT SELECT ON key_runs TO {role}")


def downgrade() -> None:
    """Drop it."""
    if op.get_context().dialect.name != "postgresql":
        return
    op.drop_table("key_runs")
    op.drop_column("run", "cleared")
    op.drop_column("run", "shift")
