"""Keep the entries for the way up in a table of their own on SQLite, in their own order.

As an index of ``sorted_ref`` they were in another order than its rows, so that each step of a merge changed pages all
over them. On PostgreSQL nothing changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0020"
branch_labels = None
depends_on = None

_COPIED = "INSERT OR IGNORE INTO sorted_upward SELECT run, about, key, role, n FROM sorted_ref WHERE role IN (1, 5)"
# CROSS JOIN: the runs first, so that each is searched.
_BY_CHILD = """
CREATE VIEW by_child AS SELECT about, key, role, n FROM run CROSS JOIN sorted_upward ON sorted_upward.run = run.id
"""
_REF_DELETED = """
CREATE TRIGGER ref_deleted INSTEAD OF DELETE ON ref BEGIN
    DELETE FROM sorted_ref
        WHERE run IN (SELECT id FROM run) AND key = OLD.key AND until = OLD.until AND role = OLD.role
        AND about = OLD.about AND n = OLD.n;
    {more}
END
"""
_ALSO_UPWARD = """
    DELETE FROM sorted_upward
        WHERE run IN (SELECT id FROM run) AND about = OLD.about AND key = OLD.key AND role = OLD.role AND n = OLD.n;
"""


def upgrade() -> None:
    """Copy the entries in order, run by run, and drop the index."""
    if op.get_context().dialect.name != "sqlite":
        return
    op.create_table(
        "sorted_upward",
        sa.Column("run", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("about", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("role", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    for statement in (
        # A bound that was raised added a row to `sorted_ref`, but nothing above.
        f"{_COPIED} ORDER BY run, about, key, role, n",
        "DROP INDEX sorted_ref_upward",
        _BY_CHILD,
        "DROP TRIGGER ref_deleted",
        _REF_DELETED.format(more=_ALSO_UPWARD),
    ):
        op.execute(statement)


def downgrade() -> None:
    """Put the index of ``sorted_ref`` back."""
    if op.get_context().dialect.name != "sqlite":
        return
    for statement in (
        "DROP TRIGGER ref_deleted",
        _REF_DELETED.format(more=""),
        "DROP VIEW by_child",
        "DROP TABLE sorted_upward",
        "CREATE INDEX sorted_ref_upward ON sorted_ref (run, about, key, role) WHERE role IN (1, 5)",
    ):
        op.execute(statement)
