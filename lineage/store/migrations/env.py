"""Alembic's entry: run the migrations on the connection that ``lineage.store.database.engine`` hands over."""

from alembic import context

from lineage.store.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,  # the caller's transaction holds tables and version together
)
context.run_migrations()
