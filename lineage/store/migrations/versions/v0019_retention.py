"""An index of the holds, and what retention deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index, which contains only a small part of the names, and the tables."""
    holds = sa.text("key >= 'hold:' AND key < 'hold;'")
    op.create_index("name_hold", "name", ["key"], sqlite_where=holds, postgresql_where=holds)
    op.create_table(
        "deletion",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("lane", sa.BigInteger, nullable=False),
        sa.Column("first_tile", sa.BigInteger, nullable=False),
        sa.Column("last_tile", sa.BigInteger, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("recorded_before", sa.BigInteger, nullable=False),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
        sa.Column("deleted_by", sa.Text, nullable=False),
        sa.Column("list_sha256", sa.String(64), nullable=False),
        sa.Column("certificate", sa.Text, nullable=False),
    )
    op.create_table(
        "deleted_tile",
        sa.Column("deletion", sa.Text, primary_key=True),
        sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("records", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "deleted_key",
        sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "deleted_sequence",
        sa.Column("source", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("last", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables and the index."""
    for table in ("deleted_sequence", "deleted_key", "deleted_tile", "deletion"):
        op.drop_table(table)
    op.drop_index("name_hold", "name")
