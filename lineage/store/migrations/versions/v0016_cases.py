"""An index of the cases, for the list of them."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index, which contains only a small part of the names."""
    cases = sa.text("key >= 'case:' AND key < 'case;'")
    op.create_index("name_case", "name", ["key"], sqlite_where=cases, postgresql_where=cases)


def downgrade() -> None:
    """Remove the index."""
    op.drop_index("name_case", "name")
