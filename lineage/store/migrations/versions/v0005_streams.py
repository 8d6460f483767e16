"""The Shared Signals streams, their notices and their dead letters."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add three tables; on PostgreSQL the text in them is ordered by its bytes."""

    def text(length: int | None = None) -> sa.String:
        collation = "C" if op.get_bind().dialect.name == "postgresql" else None
        return sa.Text(collation=collation) if length is None else sa.String(length, collation=collation)

    big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "stream",
        sa.Column("id", text(64), primary_key=True),
        sa.Column("receiver", text(), nullable=False),
        sa.Column("said", text(), nullable=False),
        sa.Column("secret", sa.LargeBinary),
        sa.Column("status", text(16), nullable=False),
        sa.Column("reason", text()),
        sa.Column("fault", text()),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("horizon", sa.BigInteger, nullable=False),
        sa.Column("settled", text(), nullable=False),
        sa.Column("covers", text(), nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
    )
    op.create_index("stream_receiver", "stream", ["receiver"], unique=True)
    op.create_table(
        "notice",
        sa.Column("id", big, primary_key=True),
        sa.Column("stream", text(64), nullable=False),
        sa.Column("event", text(), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
    )
    op.create_index("notice_stream", "notice", ["stream", "id"])
    op.create_table(
        "dead_letter",
        sa.Column("id", big, primary_key=True),
        sa.Column("receiver", text(), nullable=False),
        sa.Column("stream", text(64), nullable=False),
        sa.Column("jti", text(64), nullable=False),
        sa.Column("seq", sa.BigInteger),
        sa.Column("error", text(), nullable=False),
        sa.Column("description", text(), nullable=False),
        sa.Column("refused_at", sa.BigInteger, nullable=False),
    )
    op.create_index("dead_letter_once", "dead_letter", ["stream", "jti"], unique=True)
    op.create_index("dead_letter_receiver", "dead_letter", ["receiver", "id"])


def downgrade() -> None:
    """Refuse: published states cannot be withdrawn."""
    raise NotImplementedError("this version cannot be undone; delete the store and rebuild it from the log")
