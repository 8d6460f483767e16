"""A mark for a store that only indexes facts about actions, tokens and delegations by time."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Mark a store that has facts, unless it is marked: their values cannot be read here."""
    mark = sa.text(
        "INSERT INTO meta (name, value) SELECT 'acts', :mark WHERE EXISTS (SELECT 1 FROM fact) "
        "AND NOT EXISTS (SELECT 1 FROM meta WHERE name = 'acts')"
    )
    op.get_bind().execute(mark, {"mark": b"\x01"})


def downgrade() -> None:
    """Remove the rows that an older version does not know; the mark stays."""
    op.execute("DELETE FROM act WHERE sort = 3")
