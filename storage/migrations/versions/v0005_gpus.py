"""What each worker's GPU does, and why its device is out of service."""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from storage.migrations.steps import add_column

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns."""
    for name in ("gpu_utilisation", "gpu_used_mb", "gpu_total_mb", "gpu_power_w"):
        add_column("studyhall_workers", sa.Column(name, sa.Float))
    text = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    add_column("studyhall_workers", sa.Column("quarantined", text))
