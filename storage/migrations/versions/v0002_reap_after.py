"""Studies know until when no lease is reaped."""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from storage.migrations.steps import add_column

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    timestamp = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    add_column("studyhall_studies", sa.Column("reap_after", timestamp))
