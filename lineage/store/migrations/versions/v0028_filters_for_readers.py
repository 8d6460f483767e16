"""Note on SQLite which filters of complete runs have everything that is mentioned, so that readers can use them.

See ``writing.run_filters``. On PostgreSQL nothing changes. Those of an existing store are built again by its writers,
who use them until then; an earlier version can use the new ones.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    if op.get_context().dialect.name == "sqlite":
        op.add_column("run_filter", sa.Column("whole", sa.SmallInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop it."""
    if op.get_context().dialect.name == "sqlite":
        op.drop_column("run_filter", "whole")
