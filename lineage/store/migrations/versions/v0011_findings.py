"""The index of findings: each version of each, in the order in which they were written."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and its indexes."""
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    text = sa.Text(collation=collation)
    op.create_table(
        "finding",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(24, collation=collation), nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger),
        sa.Column("until_at", sa.BigInteger),
        sa.Column("change", sa.String(16, collation=collation), nullable=False),
        sa.Column("kind", sa.String(64, collation=collation), nullable=False),
        sa.Column("of", text, nullable=False),
        sa.Column("about", text),
        sa.Column("of_key", sa.BigInteger, nullable=False),
        sa.Column("about_key", sa.BigInteger),
        sa.Column("rank", sa.SmallInteger, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(16, collation=collation), nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("written_at", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.BigInteger, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    current = sa.text("until IS NULL")
    op.create_index("finding_current", "finding", ["id"], unique=True, sqlite_where=current, postgresql_where=current)
    op.create_index("finding_versions", "finding", ["id", "seq"])
    op.create_index(
        "finding_worst",
        "finding",
        ["rank", "seen", "id", "status", "kind"],
        sqlite_where=current,
        postgresql_where=current,
    )
    op.create_index("finding_of", "finding", ["of_key"], sqlite_where=current, postgresql_where=current)
    op.create_index("finding_about", "finding", ["about_key"], sqlite_where=current, postgresql_where=current)
    op.create_index("finding_over", "finding", ["until_at"])


def downgrade() -> None:
    """Drop the table, whose content can be derived from the facts."""
    op.drop_table("finding")
