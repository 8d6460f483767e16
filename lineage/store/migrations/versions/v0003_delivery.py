"""The outbox, and how far it has been delivered to each receiver."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables; on PostgreSQL the text in them is ordered by its bytes."""

    def text(length: int | None = None) -> sa.String:
        collation = "C" if op.get_bind().dialect.name == "postgresql" else None
        return sa.Text(collation=collation) if length is None else sa.String(length, collation=collation)

    big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "spread",
        sa.Column("seq", big, primary_key=True, autoincrement=False),
        sa.Column("key", text(), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", text(16), nullable=False),
        sa.Column("revocation", text()),
        sa.Column("effective_at", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "delivered",
        sa.Column("receiver", text(64), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("place", sa.LargeBinary),
    )


def downgrade() -> None:
    """Refuse: published states cannot be withdrawn."""
    raise NotImplementedError("this version cannot be undone; delete the store and rebuild it from the log")
