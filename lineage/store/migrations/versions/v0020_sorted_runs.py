"""Keep the index of facts on SQLite in sorted runs, so that a batch does not touch all of it.

One B-tree of random keys costs more the larger the store is. See ``database.sorted_runs``. On PostgreSQL nothing
changes.

The entries are copied in the transaction of the migration, so a process that is killed leaves the old index, and the
next one begins again. The space of the old index is used again by what is written later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_VIEWS = {
    "ref": ("sorted_ref", ("key", "until", "role", "about", "n")),
    "by_about": ("sorted_about", ("key", "until", "n")),
    "by_ident": ("sorted_ident", ("key", "n")),
}
# With a fact go the entries by which it is found.
_FACT_DELETED = """
CREATE TRIGGER fact_deleted AFTER DELETE ON fact WHEN EXISTS (SELECT 1 FROM run) BEGIN
    DELETE FROM sorted_about
        WHERE run IN (SELECT id FROM run) AND key = OLD.about AND until = OLD.until AND n = OLD.n;
    DELETE FROM sorted_ident WHERE run IN (SELECT id FROM run) AND key = OLD.ident AND n = OLD.n;
END
"""
_REF_DELETED = """
CREATE TRIGGER ref_deleted INSTEAD OF DELETE ON ref BEGIN
    DELETE FROM sorted_ref
        WHERE run IN (SELECT id FROM run) AND key = OLD.key AND until = OLD.until AND role = OLD.role
        AND about = OLD.about AND n = OLD.n;
END
"""
_HOT, _FAN = 200_000, 6  # facts of a complete run, and runs of one level that are merged
_TYPES = {"until": sa.Integer, "role": sa.SmallInteger}


def upgrade() -> None:
    """Copy the entries in order, and replace the old index."""
    if op.get_context().dialect.name != "sqlite":
        return
    op.create_table(
        "run",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("level", sa.SmallInteger, nullable=False),
        sa.Column("facts", sa.BigInteger, nullable=False),
        sa.Column("target", sa.Integer),
    )
    op.execute("INSERT INTO run (id, level, facts) VALUES (1, 0, 0)")
    if facts := op.get_bind().execute(sa.text("SELECT count(*) FROM fact")).scalar_one():
        level = 1  # as if its runs had been merged already
        while facts >= _HOT * _FAN**level:
            level += 1
        op.execute(f"INSERT INTO run (id, level, facts) VALUES (2, {level}, {facts})")  # noqa: S608 (numbers)
    for table, columns in _VIEWS.values():
        op.create_table(
            table,
            sa.Column("run", sa.SmallInteger, primary_key=True, autoincrement=False),
            *(
                sa.Column(name, _TYPES.get(name, sa.BigInteger), primary_key=True, autoincrement=False)
                for name in columns
            ),
            sqlite_with_rowid=False,
        )
    for statement in (
        "INSERT INTO sorted_ref SELECT 2, key, until, role, about, n FROM ref ORDER BY key, until, role, about, n",
        "INSERT INTO sorted_about SELECT 2, about, until, n FROM fact ORDER BY about, until, n",
        "INSERT INTO sorted_ident SELECT 2, ident, n FROM fact ORDER BY ident, n",
        "CREATE INDEX sorted_ref_upward ON sorted_ref (run, about, key, role) WHERE role IN (1, 5)",
        "DROP TABLE ref",
        "DROP INDEX fact_about",
        "DROP INDEX fact_ident",
        _FACT_DELETED,
    ):
        op.execute(statement)
    for view, (table, columns) in _VIEWS.items():
        # CROSS JOIN: the runs first, so that each is searched.
        op.execute(
            f"CREATE VIEW {view} AS SELECT {', '.join(f'{table}.{name} AS {name}' for name in columns)} "  # noqa: S608
            f"FROM run CROSS JOIN {table} ON {table}.run = run.id"
        )
    op.execute(_REF_DELETED)


def downgrade() -> None:
    """Put the entries back into one B-tree each."""
    if op.get_context().dialect.name != "sqlite":
        return
    op.execute("CREATE TABLE old_ref AS SELECT DISTINCT key, until, role, about, n FROM ref")
    op.execute("DROP TRIGGER fact_deleted")
    for view in _VIEWS:
        op.execute(f"DROP VIEW {view}")
    op.create_table(
        "ref",
        *(
            sa.Column(name, _TYPES.get(name, sa.BigInteger), primary_key=True, autoincrement=False)
            for name in _VIEWS["ref"][1]
        ),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO ref SELECT * FROM old_ref ORDER BY key, until, role, about, n")
    for table in ("old_ref", "run", *(table for table, _ in _VIEWS.values())):
        op.drop_table(table)
    upward = sa.text("role IN (1, 5)")
    op.create_index("ref_upward", "ref", ["about", "key", "role"], sqlite_where=upward)
    op.create_index("fact_ident", "fact", ["ident"])
    op.create_index("fact_about", "fact", ["about"])
