"""The actions, tokens and delegations by time, and a mark for a store whose older ones are not among them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_COLUMNS = ("at", "n", "about", "operation", "tool", "resource", "outcome")


def upgrade() -> None:
    """Add the table, and mark a store that has facts: their values cannot be read here."""
    op.create_table(
        "act",
        sa.Column("part", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("lane", sa.BigInteger, nullable=False),
        sa.Column("sort", sa.SmallInteger, nullable=False),
        sa.Column("size", sa.SmallInteger, nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.LargeBinary, nullable=False) for name in _COLUMNS),
    )
    op.create_index("act_lane", "act", ["lane", "sort", "size"])
    principals = sa.text("key >= 'principal:' AND key < 'principal;'")
    op.create_index("name_principal", "name", ["key"], sqlite_where=principals, postgresql_where=principals)
    if op.get_bind().dialect.name == "postgresql":
        for column in _COLUMNS:  # hashes cannot be compressed
            op.execute(f"ALTER TABLE act ALTER COLUMN {column} SET STORAGE EXTERNAL")
    mark = sa.text("INSERT INTO meta (name, value) SELECT 'acts', :mark WHERE EXISTS (SELECT 1 FROM fact)")
    op.get_bind().execute(mark, {"mark": b"\x01"})


def downgrade() -> None:
    """Remove the table and the mark, which an older version does not know."""
    op.drop_index("name_principal", "name")
    op.drop_table("act")
    op.execute("DELETE FROM meta WHERE name = 'acts'")
