"""Alembic's entry point: runs the migrations on the connection passed by ``lineage.store.database.engine``."""

from alembic import context

from lineage.store.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,  # the caller's transaction holds tables and version together
)
context.run_migrations()
