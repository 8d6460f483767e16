"""Store the packed columns of facts in time uncompressed on PostgreSQL: compressing them costs more than writing.

They are mostly hashes, which do not get shorter. They take some 50 bytes more for each fact.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_COLUMNS = ("at", "n", "about", "operation", "tool", "resource", "outcome")


def upgrade() -> None:
    """Store them without compression; what is stored already stays as it is."""
    _store("EXTERNAL")


def downgrade() -> None:
    """Compress what is written from now on."""
    _store("EXTENDED")


def _store(how: str) -> None:
    if op.get_context().dialect.name == "postgresql":
        for column in _COLUMNS:
            op.execute(f'ALTER TABLE act ALTER COLUMN "{column}" SET STORAGE {how}')
