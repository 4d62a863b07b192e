"""Small studies, the command line's real processes, and a look at what they leave behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import odd_family
import optuna
import psutil
import yaml

from storage.claims import Refusal
from storage.database import Database
from storage.history import TrialRow, read_trials
from storage.studies import StudyRecord, load_study
from storage.trials import open_storage
from study import _scribe
from study._signals import PREEMPTION, handled
from study.agent import Agent
from study.loading import load_config
from study.plan import build_plan
from study.stored import create_or_update

PATIENCE_S = 90.0
"""For things that take seconds on an idle machine."""
QUICK = {
    "budget": {"trials": 4},
    "data": {"path": "events.h5", "split": {"validation": 0.25, "test": 0.1}},
    "training": {"epochs": 2},
    "lease": {"seconds": 60, "renew": 1},
}
CNN = {"model": "cnn", "cnn.width": 8, "cnn.depth": 1, "cnn.stride": 2, "optimizer": "sgd", "batch_size": 32}
ODD = {"model": "odd_family.py:FAMILY", "odd.mood": "calm", "optimizer": "sgd", "batch_size": 32, "normalize": "none"}


def write_events(path: Path, count: int = 200, seed: int = 0) -> None:
    """Three classes of 2×8×8 events that differ in their mean."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    with h5py.File(path, "w") as file:
        noise = generator.normal(size=(count, 8, 8, 2))
        file["event_data"] = (noise + labels[:, None, None, None]).astype(np.float32)
        file["labels"] = labels


class Lab:
    """A folder with a data file, study files and a database."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self.url = url or f"sqlite:///{folder}/study.db"
        self.mark = uuid.uuid4().hex
        folder.mkdir(parents=True, exist_ok=True)
        write_events(folder / "events.h5")
        shutil.copy(odd_family.__file__, folder)

    def study(self, name: str = "q", **sections: Any) -> Path:
        """Write a study file; sections replace those of `QUICK`, mappings are merged."""
        tree: dict[str, Any] = {"space": CNN, **QUICK}
        if not self.url.startswith("sqlite"):  # else they would lie where the tests are run
            tree["checkpoint"] = {"dir": str(self.folder / "files")}
        for key, value in sections.items():
            merge = isinstance(value, Mapping) and key != "space" and key in tree
            tree[key] = {**tree[key], **value} if merge else value
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(tree), encoding="utf-8")
        return path

    def create(self, name: str = "q", *, queue: list[dict[str, Any]] | None = None, **sections: Any) -> None:
        """Create a study, with trials waiting whose hyperparameters are given."""
        config, folder = load_config(self.study(name, **sections), environment={})
        create_or_update(self.url, build_plan(config, folder))
        storage = open_storage(self.url)
        study = optuna.load_study(study_name=name, storage=storage)
        for parameters in queue or []:
            study.enqueue_trial(parameters)
        storage.close()

    def work(self, name: str = "q", workers: int = 2, devices: str = "cpu") -> Refusal | None:
        """Run an agent in this process, which takes the signals; why it ended."""
        agent = Agent(self.url, name, workers=workers, devices=devices, use_busy=True)
        with handled(PREEMPTION, agent.end):
            return agent.run()

    def start(self, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, as a terminal does."""
        own = {"STUDYHALL_STORAGE": self.url, "LAB_MARK": self.mark, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [Path(sys.executable).with_name("studyhall"), *arguments],
            cwd=cwd or self.folder,
            env={**os.environ, **own, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def start_shell(self, line: str, **environment: str) -> subprocess.Popen[str]:
        """Start a line of a document, as a shell in the lab's folder runs it."""
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"STUDYHALL_STORAGE": self.url, "LAB_MARK": self.mark, "OMP_NUM_THREADS": "1", "PATH": programs}
        return subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.folder,
            env={**os.environ, **own, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, cwd: Path | None = None, **environment: str) -> tuple[int, str]:
        """Run a command to its end: exit status and output."""
        return finished(self.start(*arguments, cwd=cwd, **environment))

    def trials(self, name: str = "q") -> list[TrialRow]:
        """The study's trials."""
        database = Database(self.url)
        try:
            return read_trials(database, load_study(database, name).study_id)
        finally:
            database.close()

    def record(self, name: str = "q") -> StudyRecord:
        """The study's own record."""
        database = Database(self.url)
        try:
            return load_study(database, name)
        finally:
            database.close()

    def log(self, name: str = "q") -> str:
        """What all agents of all launches have logged."""
        places = [self.folder / "study-files" / name, *self.folder.glob(f"files/{name}-*")]
        logs = sorted(path for place in places for path in (place / "logs").glob("*.log"))
        return "".join(path.read_text(encoding="utf-8") for path in logs)

    def processes(self, *words: str) -> list[psutil.Process]:
        """Those started from here that still run and whose command line has all the words."""
        return [process for process in psutil.process_iter() if self._is_ours(process, words)]

    def _is_ours(self, process: psutil.Process, words: tuple[str, ...]) -> bool:
        try:
            command = " ".join(process.cmdline())
            ours = process.environ().get("LAB_MARK") == self.mark
            return ours and process.status() != psutil.STATUS_ZOMBIE and all(word in command for word in words)
        except psutil.Error:
            return False

    def forkserver(self) -> psutil.Process:
        """The process that an agent's workers are forks of."""
        found = self.processes("multiprocessing.forkserver")
        children = {process.pid for process in found}
        return next(process for process in found if process.ppid() not in children)

    def workers(self) -> list[psutil.Process]:
        """The workers of all agents, without the scribes beside them."""
        found = self.processes("multiprocessing.forkserver")
        servers = {process.pid for process in found}
        return [process for process in found if process.ppid() in servers and process.nice() < _scribe.NICE]

    def leaves_no_process(self, seconds: float = 10.0) -> bool:
        """Whether all processes are gone within some seconds."""
        return until(lambda: not self.processes(), seconds)

    def is_sound(self) -> bool:
        """Whether SQLite finds no damage in its file."""
        database = Database(self.url)
        try:
            with database.read() as connection:
                return connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        finally:
            database.close()

    def clean_up(self) -> None:
        """Kill whatever is left."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended meanwhile
                process.send_signal(signal.SIGKILL)


def finished(process: subprocess.Popen[str], seconds: float = 6 * PATIENCE_S) -> tuple[int, str]:
    """A command's exit status and output, once it has ended; killed if it does not."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, output


def until(holds: Callable[[], bool], seconds: float = PATIENCE_S) -> bool:
    """Wait until something holds; whether it did in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False


def started(trials: list[TrialRow]) -> int:
    """How many trials our claims have started."""
    return sum(trial.ours for trial in trials)
