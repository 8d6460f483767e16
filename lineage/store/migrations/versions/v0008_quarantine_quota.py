"""The quota that a record in quarantine counts against, and the share that it takes."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two columns and an index. Records already in quarantine are charged to their origin."""
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    op.add_column("quarantine", sa.Column("charged_to", sa.Text(collation=collation)))
    op.add_column("quarantine", sa.Column("kept", sa.BigInteger))
    op.execute(
        "UPDATE quarantine SET kept = coalesce(length(value), 0) + coalesce(length(headers), 0) + length(detail), "
        "charged_to = CASE WHEN id IN (SELECT quarantine FROM release) THEN NULL ELSE origin END"
    )
    op.create_index("quarantine_quota", "quarantine", ["charged_to", "kept"])


def downgrade() -> None:
    """Refuse: records beyond a quota have no value that an older version could read."""
    raise NotImplementedError("this version cannot be undone; delete the store and rebuild it from the log")
