"""Which agents and workers are alive, and where."""

import getpass
import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from sqlalchemy import delete, insert, select, update

from storage.clock import utc_now
from storage.database import Database, retried
from storage.errors import DatabaseError, StudyMissing
from storage.tables import AGENTS, STUDIES, WORKERS

VANISHED_S = 60.0
"""After so long a silence an agent does not come back where its host has a younger one."""


@dataclass(frozen=True)
class WorkerRow:
    """One worker slot of a live agent.

    Attributes:
        idle_s: Seconds since the agent last wrote, by the database's clock.
        memory_mb: Resident memory of its process, with what it shares; None when unknown.
        utilisation: Percent of one core that it used lately; None when unknown.
        gpu_utilisation: Percent of the last time in which its GPU computed, for whomever; None when unknown.
        gpu_used_mb, gpu_total_mb: Memory of its GPU in MiB; None when unknown.
        gpu_power_w: Watts that its GPU takes; None when unknown.
        quarantined: Why its device is out of service, so that no process serves the slot; None while one does.
    """

    agent_id: str
    slot: int
    host: str
    pid: int
    device: str
    idle_s: float
    memory_mb: float | None = None
    utilisation: float | None = None
    gpu_utilisation: float | None = None
    gpu_used_mb: float | None = None
    gpu_total_mb: float | None = None
    gpu_power_w: float | None = None
    quarantined: str | None = None


@dataclass(frozen=True)
class WorkerSeen:
    """What an agent writes of one of its workers; fields as in `WorkerRow`."""

    slot: int
    pid: int
    device: str
    memory_mb: float | None = None
    utilisation: float | None = None
    gpu_utilisation: float | None = None
    gpu_used_mb: float | None = None
    gpu_total_mb: float | None = None
    gpu_power_w: float | None = None
    quarantined: str | None = None


@retried
def register_agent(database: Database, study_id: int, *, alive_s: float) -> str:
    """Write that this process is an agent of the study; its id.

    Args:
        alive_s: Seconds of silence after which another agent counts as gone.

    Raises:
        DatabaseError: SQLite is in use by a live agent of another machine.
        StudyMissing: The study has been deleted.
    """
    agent_id, machine = uuid.uuid4().hex, machine_id()
    with database.write() as connection:
        locked = select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id).with_for_update()
        if connection.scalar(locked) is None:
            raise StudyMissing(f"the study with id {study_id} in {database.name} has been deleted")
        if database.url.get_backend_name() == "sqlite":
            others = select(AGENTS.c.host).where(
                AGENTS.c.alive, AGENTS.c.machine_id != machine, AGENTS.c.seen_at > utc_now(-alive_s)
            )
            host = connection.scalar(others)
            if host is not None:
                raise DatabaseError(
                    f"{database.name} is in use by {host}, and SQLite serves one host; "
                    "use a PostgreSQL or MariaDB URL for several"
                )
        connection.execute(
            insert(AGENTS).values(
                agent_id=agent_id,
                study_id=study_id,
                host=socket.gethostname(),
                machine_id=machine,
                pid=os.getpid(),
                started_at=utc_now(),
                seen_at=utc_now(),
                alive=True,
            )
        )
    return agent_id


@retried
def see_agent(database: Database, agent_id: str, workers: Sequence[WorkerSeen]) -> None:
    """Write that the agent and its workers are alive now; nothing if its study was deleted."""
    with database.write(durable=False) as connection:
        seen = update(AGENTS).where(AGENTS.c.agent_id == agent_id).values(seen_at=utc_now())
        if not connection.execute(seen).rowcount:
            return
        connection.execute(delete(WORKERS).where(WORKERS.c.agent_id == agent_id))
        for worker in workers:
            row = asdict(worker) | {"agent_id": agent_id, "seen_at": utc_now()}
            connection.execute(insert(WORKERS).values(row))


@retried
def leave(database: Database, agent_id: str) -> None:
    """Write that the agent has ended in good order."""
    with database.write() as connection:
        connection.execute(delete(WORKERS).where(WORKERS.c.agent_id == agent_id))
        connection.execute(update(AGENTS).where(AGENTS.c.agent_id == agent_id).values(alive=False, seen_at=utc_now()))


@retried
def list_workers(database: Database, study_id: int) -> list[WorkerRow]:
    """The workers of the study's agents that have not left; those of a vanished one until its host has another."""
    later = AGENTS.alias()
    replaced = (
        select(later.c.agent_id)
        .where(later.c.study_id == study_id, later.c.machine_id == AGENTS.c.machine_id)
        .where(later.c.started_at > AGENTS.c.seen_at, AGENTS.c.seen_at < utc_now(-VANISHED_S))
    )
    columns = (AGENTS.c.agent_id, AGENTS.c.host, WORKERS.c.seen_at, *(WORKERS.c[name] for name in _SEEN))
    with database.read() as connection:
        rows = connection.execute(
            select(*columns, utc_now().label("now"))
            .join(WORKERS, WORKERS.c.agent_id == AGENTS.c.agent_id)
            .where(AGENTS.c.study_id == study_id, AGENTS.c.alive, ~replaced.exists())
            .order_by(AGENTS.c.started_at, WORKERS.c.slot)
        ).all()
    return [
        WorkerRow(
            agent_id=row.agent_id,
            host=row.host,
            idle_s=(row.now - row.seen_at).total_seconds(),
            **{name: getattr(row, name) for name in _SEEN},
        )
        for row in rows
    ]


_SEEN = tuple(field.name for field in fields(WorkerSeen))


def machine_id() -> str:
    """What tells this machine from others: containers on one kernel are one machine, copies of one image are not."""
    for path in (Path("/proc/sys/kernel/random/boot_id"), Path("/etc/machine-id")):
        if path.is_file():
            text = path.read_text().strip()
            if text:
                return text[:64]
    return f"{uuid.getnode():x}"


def user_and_host() -> str:
    """Who does this, as ``user@host``, for the records of changes and openings."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())  # a container's user without a name
    return f"{user}@{socket.gethostname()}"
