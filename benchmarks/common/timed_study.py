"""Studies in a scratch folder, run by the real service with networks that note the time."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import timed_family
import yaml

from storage.database import Database
from storage.history import TrialRow, read_trials
from study._forkserver import ENVIRONMENT
from study.loading import load_config
from study.plan import build_plan
from study.stored import create_or_update, load_stored

HERE = Path(__file__).parent
FAMILIES = {"choice": [f"timed_family.py:{name}" for name in ("CNN", "DENSENET", "MLP", "RESNET")]}


class Scratch:
    """A folder with a study file `study.yaml`, the timed families and a database.

    Attributes:
        notes: What the networks note.
        steps: What a timed agent notes.
    """

    def __init__(self, folder: Path, tree: dict[str, Any]) -> None:
        folder.mkdir(parents=True)
        shutil.copy(timed_family.__file__, folder)
        (folder / "study.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
        self.folder, self.url = folder, f"sqlite:///{folder}/study.db"
        self.notes, self.steps = folder / "notes.jsonl", folder / "agent.jsonl"

    def launch(self) -> float:
        """Run the study with `studyhall launch` and one worker; when that was started."""
        command = ["launch", "study.yaml", "--workers", "1", "--devices", "cpu", "--storage", self.url]
        return self._run("-m", "study", *command)

    def side(self, name: str, job: dict[str, Any]) -> tuple[float, list[float]]:
        """Run the same trials without the service; when that was started, and the trials' values."""
        (self.folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        began = self._run(str(HERE / "trial_sides.py"), name, str(self.folder))
        return began, json.loads((self.folder / "values.json").read_text(encoding="utf-8"))

    def _run(self, *arguments: str) -> float:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-P", *arguments],
            cwd=self.folder,
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
        return began

    def start_agent(self) -> "subprocess.Popen[bytes]":
        """Create the study and start its timed agent."""
        config, folder = load_config(self.folder / "study.yaml", environment={})
        create_or_update(self.url, build_plan(config, folder))
        with (self.folder / "agent.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-P", str(HERE / "timed_agent.py"), self.url, config.name, str(self.steps)],
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    def job(self) -> dict[str, Any]:
        """The study and its trials, for another side."""
        database = Database(self.url)
        try:
            stored = load_stored(database, "study")
            config, facts = stored.config.to_json(), stored.facts.to_json()
        finally:
            database.close()
        return {"config": config, "facts": facts, "trials": [dict(trial.parameters) for trial in self.trials()]}

    def trials(self) -> list[TrialRow]:
        """The study's trials."""
        database = Database(self.url)
        try:
            return read_trials(database, load_stored(database, "study").study_id)
        finally:
            database.close()
