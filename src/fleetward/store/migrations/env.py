"""Alembic's entry: migrates over the connection that `store.migrate` hands in."""

from alembic import context

from fleetward.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
