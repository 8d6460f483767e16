"""The rows of the outbox that each receiver has accepted."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table, and an index of the outbox by element; on PostgreSQL text is ordered by its bytes."""
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    op.create_table(
        "accepted",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("receiver", sa.Text(collation=collation), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("spread_key", "spread", ["key"])


def downgrade() -> None:
    """Refuse: published states cannot be withdrawn."""
    raise NotImplementedError("this version cannot be undone; delete the store and rebuild it from the log")
