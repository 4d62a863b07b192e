"""The systems that are compared, and one run of one of them."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peer_optuna
import peer_studyhall
from peer_data import load_prepared
from peer_record import Record, read_log
from peer_training import test_accuracy

COMMON = Path(__file__).parent
ROOT = COMMON.parents[1]
TAIL = 3000  # characters
THEIR_SEARCH = {
    "sampler": {"name": "tpe", "multivariate": True, "constant_liar": True, "n_startup_trials": 10, "random_share": 0},
    "pruner": "median",
}
"""Optuna's default sampler and pruner, as a study file names them."""
SYSTEMS = {
    "optuna": "plain Optuna: 2 processes, SQLite, TPE, median pruner; DataLoader",
    "ray": "Ray Tune: OptunaSearch, ASHA, actors reused; DataLoader",
    "studyhall": "Studyhall as it comes: 2 workers",
    "our-search": "plain Optuna as above with our sampler and halving; DataLoader",
    "their-search": "Studyhall with Optuna's default sampler and median pruner",
}


@dataclass(frozen=True)
class Job:
    """What each system is to do.

    Attributes:
        data: the folder of the prepared events.
        run: an empty folder for this run.
    """

    data: Path
    run: Path
    seed: int
    trials: int
    epochs: int
    loader_workers: int


@dataclass(frozen=True)
class Run:
    """What became of it.

    Attributes:
        cpu_s: of the whole tree of processes.
        waited_cpu_s, seen_cpu_s: the two accounts of it, see `peer_supervisor`.
        test: accuracy of the best complete trial on the test events.
    """

    system: str
    seed: int
    wall_s: float
    waited_cpu_s: float
    seen_cpu_s: float
    test: float
    record: Record

    @property
    def cpu_s(self) -> float:
        """The larger account."""
        return max(self.waited_cpu_s, self.seen_cpu_s)


def run_system(system: str, job: Job) -> Run:
    """Run one system to its end.

    Raises:
        RuntimeError: it failed; with the end of its output.
    """
    if job.run.exists():
        shutil.rmtree(job.run)
    job.run.mkdir(parents=True)
    if system in ("studyhall", "their-search"):
        search = THEIR_SEARCH if system == "their-search" else None
        budget = {"seed": job.seed, "trials": job.trials, "epochs": job.epochs}
        peer_studyhall.write_study(job.run, job.data, search, **budget)
        watcher = peer_studyhall.Watcher(job.run)
        watcher.start()
        facts = supervised(system, job.run, peer_studyhall.launch_command(job.run))
        record = watcher.stop(facts["start"])
        test = peer_studyhall.test_accuracy(job.run)
    else:
        facts = supervised(system, job.run, script(system, job))
        record = read_log(job.run / "log.jsonl", facts["start"])
        test = reference_test(system, job, record.best_trial())
    return Run(system, job.seed, facts["wall_s"], facts["waited_cpu_s"], facts["seen_cpu_s"], test, record)


def script(system: str, job: Job) -> list[str]:
    """The command of a system that trains with the reference loop."""
    name = "peer_ray.py" if system == "ray" else "peer_optuna.py"
    command = [sys.executable, str(COMMON / name), "--data", str(job.data), "--run", str(job.run)]
    for key in ("seed", "trials", "epochs", "loader_workers"):
        command += [f"--{key.replace('_', '-')}", str(getattr(job, key))]
    return [*command, "--search", "ours"] if system == "our-search" else command


def supervised(system: str, run: Path, command: list[str]) -> dict[str, Any]:
    """Run the command under the supervisor; what that found."""
    output = run / "output.txt"
    with output.open("wb") as file:
        whole = [sys.executable, str(COMMON / "peer_supervisor.py"), str(run / "usage.json"), *command]
        done = subprocess.run(whole, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment())
    if done.returncode != 0:
        raise RuntimeError(f"{system} failed:\n{output.read_text(encoding='utf-8', errors='replace')[-TAIL:]}")
    return dict(json.loads((run / "usage.json").read_text(encoding="utf-8")))


def environment() -> dict[str, str]:
    """One thread per process, and the scripts' own modules; for Ray no writing to the home folder, no statistics."""
    path = os.pathsep.join(filter(None, [str(COMMON), str(ROOT), os.environ.get("PYTHONPATH")]))
    ours = {
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    }
    return os.environ | ours


def reference_test(system: str, job: Job, number: int) -> float:
    """The best trial's accuracy on the test events, from the weights that it wrote."""
    if system == "ray":
        sampled = json.loads((job.run / "parameters.json").read_text(encoding="utf-8"))[str(number)]
    else:
        sampled = peer_optuna.parameters(job.run, number)
    return test_accuracy(load_prepared(job.data), sampled, job.run / f"trial-{number}.pt")


def missing(systems: list[str]) -> str | None:
    """What must be installed first, or None."""
    if "ray" in systems and importlib.util.find_spec("ray") is None:
        return "Ray is not installed: pip install -c constraints.txt -e '.[peers]', or --systems without ray"
    return None
