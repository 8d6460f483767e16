"""A mark for a store whose older facts are not in the index of who acted."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Mark a store that has facts: only reading them all would tell which of them an older version indexed."""
    mark = sa.text("INSERT INTO meta (name, value) SELECT 'actors', :mark WHERE EXISTS (SELECT 1 FROM fact)")
    op.get_bind().execute(mark, {"mark": b"\x01"})


def downgrade() -> None:
    """Remove the mark, which an older version ignores."""
    op.execute("DELETE FROM meta WHERE name = 'actors'")
