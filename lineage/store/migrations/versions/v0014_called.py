"""An index of what principals are called, for the near misses of a search."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index, which has few of the names."""
    called = sa.text("key >= 'called:' AND key < 'called;'")
    op.create_index("name_called", "name", ["key"], sqlite_where=called, postgresql_where=called)


def downgrade() -> None:
    """Remove the index."""
    op.drop_index("name_called", "name")
