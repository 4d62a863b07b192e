"""Pools of a lab's workers, and the holders beside them."""

import threading
from collections.abc import Callable

import psutil
from lab import Lab, until

from storage.agents import list_workers
from storage.database import Database
from storage.history import TrialRow
from study._crew import Crew
from study._pool import Pool

REFUSED = """
import study._holder

def refuse(*state):
    raise RuntimeError("invalid resource handle")

study._holder.Probe.sound = property(refuse)
"""
"""In a user's file: no worker can open what a holder lends."""


def pool_of(lab: Lab, *devices: str) -> Pool:
    """A pool with a worker on each of the devices, not started."""
    record = lab.record()
    job = {"config": record.config, "facts": record.facts, "folder": record.facts["folder"]}
    return Pool(devices, job, threads=1)


def ready(pool: Pool, but: tuple[int, ...] = ()) -> bool:
    """Start a pool, if it is not; wait until all of its workers are there and none is one of those given."""
    if not pool.workers:
        pool.start(lambda: False)
    crew = Crew(pool, ledger=None)  # type: ignore[arg-type]  greeting writes nothing
    return until(lambda: crew.listen(0.1, []) or all(w.warm and w.pid not in but for w in pool.workers))


def users(lab: Lab, patch: str) -> None:
    """Have the process that holders and workers are forked from run something, which a user's file can."""
    file = lab.folder / "odd_family.py"
    file.write_text(file.read_text() + patch)


def holder_of(pool: Pool) -> psutil.Process:
    """The one holder of a pool's workers."""
    (pid,) = {worker.holder.process.pid for worker in pool.workers if worker.holder is not None}
    return psutil.Process(pid)


def workers_of(lab: Lab) -> list[psutil.Process]:
    """The workers of a study's agents."""
    database = Database(lab.url)
    try:
        return [psutil.Process(row.pid) for row in list_workers(database, lab.record().study_id)]
    finally:
        database.close()


def meanwhile(work: Callable[[], object]) -> threading.Thread:
    """Do something in a thread."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def outcome(trials: list[TrialRow]) -> list[object]:
    """What must be equal where trials have the same bits."""
    return [(trial.value, trial.values, trial.attributes["weights_digest"]) for trial in trials]
