"""Make room for the filters of complete runs on SQLite, from which writers learn which runs may have a key.

See ``writing.run_filters``. On PostgreSQL nothing changes. The filters of an existing store are built by its writers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Mark the complete runs, except those into which others are being merged, and create the tables."""
    if op.get_context().dialect.name != "sqlite":
        return
    op.add_column("run", sa.Column("mark", sa.BigInteger))
    op.execute(
        "UPDATE run SET mark = random() WHERE level > 0 AND id NOT IN (SELECT target FROM run WHERE target IS NOT NULL)"
    )
    op.create_table(
        "run_filter",
        sa.Column("mark", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("of", sa.BigInteger, nullable=False),
        sa.Column("words", sa.Integer, nullable=False),
    )
    op.create_table(
        "run_filter_part",
        sa.Column("mark", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("words", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Drop the filters."""
    if op.get_context().dialect.name != "sqlite":
        return
    op.drop_table("run_filter_part")
    op.drop_table("run_filter")
    op.drop_column("run", "mark")
