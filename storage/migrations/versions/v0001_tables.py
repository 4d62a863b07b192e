"""The tables of Studyhall 0.1.0, which recorded no revision."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from storage.migrations.steps import create_index, create_table, create_trigger

revision = "0001"
down_revision = None

JSON_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
TIMESTAMP = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TRIGGERS = (
    """
    CREATE TRIGGER IF NOT EXISTS studyhall_study_deleted AFTER DELETE ON studies BEGIN
        DELETE FROM studyhall_test_openings WHERE study_id = OLD.study_id;
        DELETE FROM studyhall_changes WHERE study_id = OLD.study_id;
        DELETE FROM studyhall_attempts WHERE study_id = OLD.study_id;
        DELETE FROM studyhall_workers
            WHERE agent_id IN (SELECT agent_id FROM studyhall_agents WHERE study_id = OLD.study_id);
        DELETE FROM studyhall_agents WHERE study_id = OLD.study_id;
        DELETE FROM studyhall_studies WHERE study_id = OLD.study_id;
    END""",
    """
    CREATE TRIGGER IF NOT EXISTS studyhall_trial_deleted AFTER DELETE ON trials BEGIN
        DELETE FROM studyhall_test_openings WHERE trial_id = OLD.trial_id;
        DELETE FROM studyhall_attempts WHERE trial_id = OLD.trial_id;
    END""",
)
"""On SQLite alone: stock Optuna switches no foreign keys on, and SQLite gives a deleted study's id to the next one."""


def upgrade() -> None:
    """Create them."""
    _studies()
    _agents()
    _workers()
    _attempts()
    _changes()
    _test_openings()
    _operations()
    for statement in TRIGGERS:
        create_trigger(statement)


def _study(**options: Any) -> sa.Column[int]:
    return sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.study_id", ondelete="CASCADE"), **options)


def _trial(**options: Any) -> sa.Column[int]:
    return sa.Column("trial_id", sa.Integer, sa.ForeignKey("trials.trial_id", ondelete="CASCADE"), **options)


def _studies() -> None:
    create_table(
        "studyhall_studies",
        _study(primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_reason", JSON_TEXT),
        sa.Column("config", JSON_TEXT, nullable=False),
        sa.Column("facts", JSON_TEXT, nullable=False),
        sa.Column("trial_budget", sa.Integer),
        sa.Column("device_seconds_budget", sa.Float),
        sa.Column("started", sa.Integer, nullable=False),
        sa.Column("goal_reached", sa.Text),
        sa.Column("created_at", TIMESTAMP, nullable=False),
    )


def _agents() -> None:
    create_table(
        "studyhall_agents",
        sa.Column("agent_id", sa.String(32), primary_key=True),
        _study(nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("machine_id", sa.String(64), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("seen_at", TIMESTAMP, nullable=False),
        sa.Column("alive", sa.Boolean, nullable=False),
    )
    create_index("ix_studyhall_agents_study_id", "studyhall_agents", ["study_id"])


def _workers() -> None:
    agent = sa.ForeignKey("studyhall_agents.agent_id", ondelete="CASCADE")
    create_table(
        "studyhall_workers",
        sa.Column("agent_id", sa.String(32), agent, primary_key=True),
        sa.Column("slot", sa.Integer, primary_key=True),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("seen_at", TIMESTAMP, nullable=False),
    )


def _attempts() -> None:
    create_table(
        "studyhall_attempts",
        sa.Column("token", sa.String(32), primary_key=True),
        _study(nullable=False),
        _trial(nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("agent_id", sa.String(32), nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("failure", sa.String(32)),
        sa.Column("message", JSON_TEXT),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("expires_at", TIMESTAMP, nullable=False),
        sa.Column("ended_at", TIMESTAMP),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("checkpoint", sa.Text),
        sa.Column("weights", sa.Text),
        sa.UniqueConstraint("trial_id", "attempt", name="uq_studyhall_attempts_trial"),
    )
    create_index("ix_studyhall_attempts_open", "studyhall_attempts", ["study_id", "state"])


def _changes() -> None:
    create_table(
        "studyhall_changes",
        sa.Column("change_id", sa.Integer, primary_key=True),
        _study(nullable=False),
        sa.Column("changed_at", TIMESTAMP, nullable=False),
        sa.Column("changed_by", sa.String(255), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("old", JSON_TEXT, nullable=False),
        sa.Column("new", JSON_TEXT, nullable=False),
    )
    create_index("ix_studyhall_changes_study_id", "studyhall_changes", ["study_id"])


def _test_openings() -> None:
    create_table(
        "studyhall_test_openings",
        _trial(primary_key=True),
        _study(nullable=False),
        sa.Column("opened_at", TIMESTAMP, nullable=False),
        sa.Column("opened_by", sa.String(255), nullable=False),
        sa.Column("metrics", JSON_TEXT, nullable=False),
    )
    create_index("ix_studyhall_test_openings_study_id", "studyhall_test_openings", ["study_id"])


def _operations() -> None:
    create_table(
        "studyhall_operations",
        sa.Column("token", sa.String(32), primary_key=True),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("done_at", TIMESTAMP, nullable=False),
    )
    create_index("ix_studyhall_operations_done_at", "studyhall_operations", ["done_at"])
