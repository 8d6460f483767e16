"""An index of the display names of principals, for the suggestions of a search."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index, which contains only a small part of the names."""
    called = sa.text("key >= 'called:' AND key < 'called;'")
    op.create_index("name_called", "name", ["key"], sqlite_where=called, postgresql_where=called)


def downgrade() -> None:
    """Remove the index."""
    op.drop_index("name_called", "name")
