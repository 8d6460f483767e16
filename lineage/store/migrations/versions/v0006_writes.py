"""What is written over HTTP: the one order of a key, and what whoever sent a record may say."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table and a column; on PostgreSQL text is ordered by its bytes."""
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    op.create_table(
        "claim",
        sa.Column("revocation", sa.Text(collation=collation), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.add_column("quarantine", sa.Column("sources", sa.Text(collation=collation)))


def downgrade() -> None:
    """A key that was used cannot be given back."""
    raise NotImplementedError("this version cannot be undone; delete the store and rebuild it from the log")
