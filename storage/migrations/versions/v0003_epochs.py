"""Every epoch's losses and metrics, what workers use of their machine, and when a study's plots were refreshed."""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from storage.migrations.steps import add_column, create_index, create_table, create_trigger

revision = "0003"
down_revision = "0002"

TRIGGER = """
    CREATE TRIGGER IF NOT EXISTS studyhall_epochs_deleted AFTER DELETE ON trials BEGIN
        DELETE FROM studyhall_epochs WHERE trial_id = OLD.trial_id;
    END"""
"""On SQLite alone: stock Optuna switches no foreign keys on."""


def upgrade() -> None:
    """Create the table and add the columns."""
    timestamp = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    json_text = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    study, trial = (sa.ForeignKey(name, ondelete="CASCADE") for name in ("studies.study_id", "trials.trial_id"))
    create_table(
        "studyhall_epochs",
        sa.Column("trial_id", sa.Integer, trial, primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, study, nullable=False),
        sa.Column("result", json_text, nullable=False),
    )
    create_index("ix_studyhall_epochs_study_id", "studyhall_epochs", ["study_id"])
    create_trigger(TRIGGER)
    add_column("studyhall_studies", sa.Column("refreshed_at", timestamp))
    for name in ("memory_mb", "utilisation"):
        add_column("studyhall_workers", sa.Column(name, sa.Float))
