"""Foreign logs: the memory of each source's adapter, and the outcomes of its records."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables; on PostgreSQL text is ordered by its bytes."""
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    op.create_table(
        "source_memory",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("source", sa.Text(collation=collation), nullable=False),
        sa.Column("topic", sa.String(64, collation=collation), nullable=False),
        sa.Column("key", sa.Text(collation=collation), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_index("source_memory_once", "source_memory", ["source", "topic", "key"], unique=True)
    op.create_table(
        "source_count",
        sa.Column("source", sa.Text(collation=collation), primary_key=True),
        sa.Column("format", sa.String(64, collation=collation), primary_key=True),
        sa.Column("outcome", sa.String(32, collation=collation), primary_key=True),
        sa.Column("reason", sa.String(64, collation=collation), primary_key=True),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("came_at", sa.BigInteger, nullable=False),
        sa.Column("latest", sa.BigInteger),
    )


def downgrade() -> None:
    """Refuse: an adapter's memory cannot be restored from the log."""
    raise NotImplementedError("this version cannot be undone; delete the store and rebuild it from the log")
