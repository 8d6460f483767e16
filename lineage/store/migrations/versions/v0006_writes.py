"""Writes over HTTP: idempotency claims, approvals of plans, and the permitted sources of quarantined records."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables and a column; on PostgreSQL text is ordered by its bytes."""
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    op.create_table(
        "claim",
        sa.Column("revocation", sa.Text(collation=collation), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "approval",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("plan", sa.String(64, collation=collation), nullable=False),
        sa.Column("approved_by", sa.Text(collation=collation), nullable=False),
        sa.Column("approved_at", sa.BigInteger, nullable=False),
    )
    op.create_index("approval_plan", "approval", ["plan", "approved_at"])
    op.add_column("quarantine", sa.Column("sources", sa.Text(collation=collation)))


def downgrade() -> None:
    """Refuse: an idempotency key that was used must stay used."""
    raise NotImplementedError("this version cannot be undone; delete the store and rebuild it from the log")
