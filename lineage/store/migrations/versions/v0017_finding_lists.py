"""Indexes that answer each filter of the list of findings, and its counts, without reading findings."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_CURRENT = sa.text("until IS NULL")
_JUDGED = sa.text("until IS NULL AND status <> 'new'")
_BEFORE = ("rank", "seen", "id", "status", "kind")


def upgrade() -> None:
    """Add the turn to the index by severity, an index by rule, and one of what is not new."""
    op.drop_index("finding_worst", "finding")
    _create("finding_worst", (*_BEFORE, "turn"))
    _create("finding_kind", ("kind", "rank", "seen", "id", "status", "turn"))
    _create("finding_judged", ("status", "rank", "seen", "id", "kind", "turn"), _JUDGED)


def downgrade() -> None:
    """Restore the index by severity."""
    op.drop_index("finding_judged", "finding")
    op.drop_index("finding_kind", "finding")
    op.drop_index("finding_worst", "finding")
    _create("finding_worst", _BEFORE)


def _create(name: str, columns: Sequence[str], where: sa.TextClause = _CURRENT) -> None:
    op.create_index(name, "finding", list(columns), sqlite_where=where, postgresql_where=where)
