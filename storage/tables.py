"""Our own tables, beside Optuna's in the same database; every name starts with ``studyhall_``."""

import enum

from sqlalchemy import (
    Boolean,
    Column,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGTEXT

from storage import _optuna
from storage.clock import TIMESTAMP

JSON_TEXT = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
"""Text of any length; MariaDB's own TEXT ends at 64 KiB."""


class StudyState(enum.StrEnum):
    """What the agents of a study may do."""

    RUNNING = "running"  # new trials may be claimed
    PAUSED = "paused"  # by somebody: running trials go on, none is claimed, agents wait
    HALTED = "halted"  # by an agent after repeated errors: as paused, but agents end
    STOPPED = "stopped"  # running trials are handed back at the next batch


class AttemptState(enum.StrEnum):
    """Where one attempt at a trial stands."""

    RUNNING = "running"  # leased to an agent
    INTERRUPTED = "interrupted"  # handed back; the trial waits for its next attempt
    LOST = "lost"  # the lease expired and somebody noticed
    PAUSED = "paused"  # stopped at a rung; the trial waits to be promoted or given up
    FINISHED = "finished"  # the trial has its end


def _enum(kind: type[enum.StrEnum]) -> Enum:
    return Enum(kind, native_enum=False, length=16, values_callable=lambda k: [m.value for m in k])


metadata = MetaData()
# Optuna's tables are only referred to here: they are created by Optuna.
_study = _optuna.STUDIES.c.study_id
_trial = _optuna.TRIALS.c.trial_id

STUDIES = Table(
    "studyhall_studies",
    metadata,
    Column("study_id", ForeignKey(_study, ondelete="CASCADE"), primary_key=True),
    Column("state", _enum(StudyState), nullable=False),
    Column("state_reason", JSON_TEXT),
    Column("config", JSON_TEXT, nullable=False),  # the resolved configuration, JSON
    Column("facts", JSON_TEXT, nullable=False),  # fingerprint, statistics and target summary of the data, JSON
    Column("trial_budget", Integer),  # trials that may be started; null: no limit
    Column("device_seconds_budget", Float),
    Column("wall_seconds_budget", Float),  # from the first claim
    Column("begun_at", TIMESTAMP),  # when the first trial was claimed
    Column("added_trials", Integer),  # part of trial_budget that `retry` and `enqueue` have added to the configured one
    Column("started", Integer, nullable=False, default=0),  # trials that our claims have started
    Column("goal_reached", Text),  # why no more trials are needed; null: they are
    Column("created_at", TIMESTAMP, nullable=False),
    Column("reap_after", TIMESTAMP),  # until then no lease is reaped: an agent has come back after an outage
    Column("refreshed_at", TIMESTAMP),  # when an agent last began to refresh the dashboard's note and plots
)

AGENTS = Table(
    "studyhall_agents",
    metadata,
    Column("agent_id", String(32), primary_key=True),
    Column("study_id", ForeignKey(_study, ondelete="CASCADE"), nullable=False, index=True),
    Column("host", String(255), nullable=False),
    Column("machine_id", String(64), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", TIMESTAMP, nullable=False),
    Column("seen_at", TIMESTAMP, nullable=False),
    Column("alive", Boolean, nullable=False),
)

WORKERS = Table(
    "studyhall_workers",
    metadata,
    Column("agent_id", ForeignKey("studyhall_agents.agent_id", ondelete="CASCADE"), primary_key=True),
    Column("slot", Integer, primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("device", String(64), nullable=False),
    Column("seen_at", TIMESTAMP, nullable=False),
    Column("memory_mb", Float),  # of the process
    Column("utilisation", Float),  # percent of one core since the last look
    Column("gpu_utilisation", Float),  # percent
    Column("gpu_used_mb", Float),
    Column("gpu_total_mb", Float),
    Column("gpu_power_w", Float),
    Column("quarantined", JSON_TEXT),  # why its device is out of service; null: it is not
)

ATTEMPTS = Table(
    "studyhall_attempts",
    metadata,
    Column("token", String(32), primary_key=True),  # the fence: every write of an attempt names it
    Column("study_id", ForeignKey(_study, ondelete="CASCADE"), nullable=False),
    Column("trial_id", ForeignKey(_trial, ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),  # from 1
    Column("agent_id", String(32), nullable=False),
    Column("slot", Integer, nullable=False),
    Column("state", _enum(AttemptState), nullable=False),
    Column("failure", String(32)),  # the class of the failure that ended it
    Column("message", JSON_TEXT),  # its traceback or reason
    Column("started_at", TIMESTAMP, nullable=False),
    Column("expires_at", TIMESTAMP, nullable=False),
    Column("ended_at", TIMESTAMP),
    Column("epoch", Integer, nullable=False, default=0),  # not used; SQLite before 3.35 cannot drop a column
    Column("checkpoint", Text),  # where the training's state lies; an attempt after it goes on from there
    Column("weights", Text),  # where the best weights lie
    UniqueConstraint("trial_id", "attempt", name="uq_studyhall_attempts_trial"),
    Index("ix_studyhall_attempts_open", "study_id", "state"),
)

EPOCHS = Table(
    "studyhall_epochs",
    metadata,
    Column("trial_id", ForeignKey(_trial, ondelete="CASCADE"), primary_key=True),
    Column("epoch", Integer, primary_key=True),  # from 1
    Column("study_id", ForeignKey(_study, ondelete="CASCADE"), nullable=False, index=True),
    Column("result", JSON_TEXT, nullable=False),  # losses, metrics, learning rate and time, JSON
)

CHANGES = Table(
    "studyhall_changes",
    metadata,
    Column("change_id", Integer, primary_key=True),
    Column("study_id", ForeignKey(_study, ondelete="CASCADE"), nullable=False, index=True),
    Column("changed_at", TIMESTAMP, nullable=False),
    Column("changed_by", String(255), nullable=False),
    Column("key", String(255), nullable=False),
    Column("old", JSON_TEXT, nullable=False),  # JSON
    Column("new", JSON_TEXT, nullable=False),  # JSON
)

TEST_OPENINGS = Table(
    "studyhall_test_openings",
    metadata,
    Column("trial_id", ForeignKey(_trial, ondelete="CASCADE"), primary_key=True),
    Column("study_id", ForeignKey(_study, ondelete="CASCADE"), nullable=False, index=True),
    Column("opened_at", TIMESTAMP, nullable=False),
    Column("opened_by", String(255), nullable=False),
    Column("metrics", JSON_TEXT, nullable=False),  # JSON
)

OPERATIONS = Table(
    "studyhall_operations",
    metadata,
    Column("token", String(32), primary_key=True),  # made by the caller before its first try
    Column("result", Text, nullable=False),  # JSON
    Column("done_at", TIMESTAMP, nullable=False, index=True),
)

for _table in metadata.tables.values():
    # A database's default may be a character set without Greek letters, or an engine without transactions.
    _table.dialect_kwargs.update(mysql_engine="InnoDB", mysql_charset="utf8mb4")
