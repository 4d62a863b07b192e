"""What Alembic runs: the revisions that are asked for, on the connection and in the transaction of the caller."""

from alembic import context

from storage.migrations.revisions import VERSION_TABLE
from storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
