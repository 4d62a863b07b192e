"""The processes of a private database server."""

import time
from pathlib import Path

import psutil

from storage.errors import DatabaseError

DEATH_S = 30.0
"""How long the children of a killed server may take to notice."""
POLL_S = 0.1


def running_pid(data: Path) -> int | None:
    """The process id of the server that works on these data on this host, or None.

    The id in ``postmaster.pid`` is not enough: after a kill it may be another program's.
    """
    pid = _recorded_pid(data)
    return pid if pid is not None and _works_in(psutil_process(pid), data) else None


def clear_stale_lock(data: Path) -> None:
    """Make way for a start after the server was killed.

    PostgreSQL removes a stale ``postmaster.pid`` itself, except where its process id lives on as another program's.

    Raises:
        DatabaseError: Children of the killed server still work on the data.
    """
    pid = _recorded_pid(data)
    if pid is None:
        return
    deadline = time.monotonic() + DEATH_S
    while children := [child.pid for child in psutil.process_iter() if _works_in(child, data)]:
        if time.monotonic() > deadline:
            raise DatabaseError(
                f"the server of {data} was killed, but its processes {children} go on; end them with kill, then "
                "start it again"
            )
        time.sleep(POLL_S)
    if psutil.pid_exists(pid):
        (data / "postmaster.pid").unlink(missing_ok=True)


def psutil_process(pid: int) -> psutil.Process | None:
    """The process, or None where there is none."""
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _recorded_pid(data: Path) -> int | None:
    try:
        first = (data / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0]
    except FileNotFoundError:
        return None
    return abs(int(first)) if first.strip().lstrip("-").isdigit() else None  # negative in single-user mode


def _works_in(process: psutil.Process | None, data: Path) -> bool:
    """Whether the process is PostgreSQL's for these data, in which all of its processes stay."""
    if process is None:
        return False
    try:
        return process.name().startswith("postgres") and Path(process.cwd()) == data
    except psutil.AccessDenied:  # ours too, where it was started with another group
        return str(data) in process.cmdline()
    except (psutil.Error, OSError):
        return False
