"""Alembic's entry: runs on the connection, and in the transaction, that ``labeling_app.database.store`` hands over."""

from alembic import context

from labeling_app.database.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
