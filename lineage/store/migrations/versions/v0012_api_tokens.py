"""Tokens of the HTTP API, for scripts."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of tokens and of their revocations."""
    text = sa.Text(collation="C" if op.get_bind().dialect.name == "postgresql" else None)
    op.create_table(
        "api_token",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("name", text, nullable=False),
        sa.Column("roles", text, nullable=False),
        sa.Column("sources", text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "api_token_end",
        sa.Column("token", sa.String(32), primary_key=True),
        sa.Column("revoked_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Delete the tokens: scripts that use them are no longer authenticated."""
    op.drop_table("api_token_end")
    op.drop_table("api_token")
