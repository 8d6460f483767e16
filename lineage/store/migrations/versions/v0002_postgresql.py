"""Headers in quarantine, notes of concurrent writers, an index of receivers; byte order of text on PostgreSQL."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TEXT = (
    ("meta", "name", sa.String(64)),
    ("position", "topic", sa.String(32)),
    ("quarantine", "origin", sa.Text()),
    ("quarantine", "sha256", sa.String(64)),
    ("name", "key", sa.Text()),
)


def upgrade() -> None:
    """Add a column, a table and an index; on PostgreSQL change the collation of text."""
    op.add_column("quarantine", sa.Column("headers", sa.LargeBinary, nullable=True))
    op.create_table(
        "turn",
        sa.Column("n", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("idents", sa.LargeBinary, nullable=False),
        sa.Column("granted", sa.LargeBinary, nullable=False),
        sa.Column("bounds", sa.LargeBinary, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        for table, column, type_ in _TEXT:
            collated = type_.__class__(type_.length, collation="C")
            op.alter_column(table, column, type_=collated, existing_type=type_, existing_nullable=False)
        for column in ("idents", "granted", "bounds"):  # hashes cannot be compressed
            op.execute(f"ALTER TABLE turn ALTER COLUMN {column} SET STORAGE EXTERNAL")
    of_receivers = sa.text("key >= 'receiver:' AND key < 'receiver;'")
    op.create_index("name_receiver", "name", ["key"], sqlite_where=of_receivers, postgresql_where=of_receivers)


def downgrade() -> None:
    """Refuse: an older store is projected from the log."""
    raise NotImplementedError("this version cannot be undone; delete the store and rebuild it from the log")
