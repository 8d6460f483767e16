"""The Merkle trees over the records of each partition, and the checkpoints that were signed over them."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables. A store that has projected records already has no trees until they are built."""
    op.create_table(
        "tree",
        sa.Column("lane", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("covered", sa.BigInteger, nullable=False),
        sa.Column("after", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "tile",
        sa.Column("lane", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("level", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    if op.get_context().dialect.name == "postgresql":  # digests do not get shorter
        op.execute("ALTER TABLE tile ALTER COLUMN data SET STORAGE EXTERNAL")
    op.create_table(
        "checkpoint",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("signed_at", sa.BigInteger, nullable=False),
        sa.Column("witnessed_at", sa.BigInteger),
    )
    op.create_index("checkpoint_origin", "checkpoint", ["origin", "size"])


def downgrade() -> None:
    """Drop the tables."""
    for table in ("checkpoint", "tile", "tree"):
        op.drop_table(table)
