"""The first tables. A migration is frozen: it defines its tables itself and never imports the current ones."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_Big = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "meta",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "position",
        sa.Column("topic", sa.String(32), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "fact",
        sa.Column("n", _Big, primary_key=True, autoincrement=False),
        sa.Column("ident", sa.BigInteger, nullable=False),
        sa.Column("about", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.SmallInteger, nullable=False),
        sa.Column("misrouted", sa.SmallInteger, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.Integer, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_index("fact_ident", "fact", ["ident"])
    op.create_index("fact_about", "fact", ["about"])
    op.create_table(
        "ref",
        sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("until", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("role", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("about", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    upward = sa.text("role IN (1, 5)")
    op.create_index("ref_upward", "ref", ["about", "key", "role"], sqlite_where=upward, postgresql_where=upward)
    op.create_table(
        "sighting",
        sa.Column("n", _Big, primary_key=True, autoincrement=False),
        sa.Column("fact", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
    )
    op.create_index("sighting_fact", "sighting", ["fact"])
    op.create_table(
        "quarantine",
        sa.Column("id", _Big, primary_key=True),
        sa.Column("n", sa.BigInteger),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("value", sa.LargeBinary),
    )
    op.create_index("quarantine_once", "quarantine", ["origin", "place", "sha256"], unique=True)
    op.create_index("quarantine_n", "quarantine", ["n"])
    op.create_table(
        "release",
        sa.Column("quarantine", _Big, primary_key=True, autoincrement=False),
        sa.Column("released_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "name",
        sa.Column("id", _Big, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
    )
    op.create_table(
        "plan",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Refuse: there is no earlier version."""
    raise NotImplementedError("the first version cannot be undone; delete the store and rebuild it from the log")
