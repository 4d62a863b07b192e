"""Studies know when their first trial was claimed, how long they may take, and how many trials were added to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from storage.migrations.steps import add_column

revision = "0004"
down_revision = "0003"

FIRST_CLAIM = """
    UPDATE studyhall_studies SET begun_at = (
        SELECT MIN(started_at) FROM studyhall_attempts WHERE studyhall_attempts.study_id = studyhall_studies.study_id
    ) WHERE begun_at IS NULL"""


def upgrade() -> None:
    """Add the columns, and fill in the first claim of studies that have run."""
    timestamp = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    add_column("studyhall_studies", sa.Column("wall_seconds_budget", sa.Float))
    add_column("studyhall_studies", sa.Column("begun_at", timestamp))
    add_column("studyhall_studies", sa.Column("added_trials", sa.Integer))
    op.execute(FIRST_CLAIM)
