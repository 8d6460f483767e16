"""Store each name that has a capital letter in lower case too on PostgreSQL, so that a search converts none.

A search scans all names and ignores the case of letters; converting them took more than half of it. On SQLite nothing
changes: its LIKE ignores the case of ASCII letters.
"""

from alembic import op

revision = "0024"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, for which PostgreSQL writes the table of names again; names without capitals leave it empty."""
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            'ALTER TABLE name ADD COLUMN folded text COLLATE "C" GENERATED ALWAYS AS (NULLIF(lower(key), key)) STORED'
        )


def downgrade() -> None:
    """Remove the column."""
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE name DROP COLUMN folded")
