"""Export the best trials of a study."""

import json
import logging
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml

from storage.database import Database
from storage.errors import StudyMissing
from storage.history import TrialRow, read_trials
from storage.openings import list_openings
from study import bundle
from study._environment import NAMES
from study._plugin_files import portable
from study.bundle import Metrics, check_folder, write_folder
from study.card import model_card
from study.confirmation.report import Confirmation, read_confirmation
from study.curves import read_history
from study.importance import study_importances
from study.leaders import front_of, leaders
from study.openings import checked_validation, open_test
from study.plan import Plan, build_plan
from study.stored import StoredStudy, load_stored
from study.weights import trial_weights

logger = logging.getLogger(__name__)

PACKAGES = ("torch", "optuna", "numpy", "h5py", "safetensors", "scikit-learn")


@dataclass(frozen=True)
class Exported:
    """One exported trial.

    Attributes:
        confirmation: Of its study, if that has been confirmed to the end and the trial was retrained in it.
    """

    number: int
    folder: Path
    metrics: Metrics
    confirmation: Confirmation | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        confirmation = None if self.confirmation is None else self.confirmation.to_json()
        told = {"trial": self.number, "folder": str(self.folder), "metrics": self.metrics}
        return told | {"confirmation": confirmation}


def export_trials(
    database: Database,
    name: str,
    to: Path,
    *,
    top: int = 1,
    pareto: bool = False,
    trial: int | None = None,
    test: bool = True,
    test_all: bool = False,
    replace: bool = False,
) -> list[Exported]:
    """Export the best trial into `to`; several into folders of their own in it, named by rank and trial.

    The best is the winner of the study's confirmation where there is one, else the search's own.

    The test events are opened for the first one (for all with `test_all`): its metrics on them are computed once
    and recorded in the database; a later export shows the record. Without `test` they are opened for none.

    Args:
        database: Where the study is.
        name: The study's.
        to: The folder.
        top: So many of the best; with several objectives those of the front come first.
        pareto: The whole front, each in a folder of its own, also where it is a single trial.
        trial: This one instead.
        test: Whether to open the test events.
        test_all: For all.
        replace: Whether a folder that exists is replaced.

    Raises:
        StudyMissing: No such study, or no such complete trial.
        DataError: The data cannot be read.
        FileExistsError: The folder exists and is not to be replaced.
    """
    stored = load_stored(database, name)
    plan = build_plan(stored.config, stored.folder)
    confirmation, rows = read_confirmation(database, stored), read_trials(database, stored.study_id)
    front = front_of(rows, *plan.directions)
    wanted = (front, len(front)) if pareto else (rows, top)
    chosen = _chosen(*wanted, plan, name, trial, confirmation)
    if len(plan.objectives) > 1 and trial is None and len(chosen) < len(front):
        logger.warning("%d of the front's %d trials; --pareto exports all of them", len(chosen), len(front))
    alone = len(chosen) == 1 and not pareto
    folders = [to] if alone else [to / f"{i + 1}-trial-{row.number}" for i, row in enumerate(chosen)]
    for folder in folders:  # before the test events are opened for good
        check_folder(folder, replace=replace)
    done = []
    for rank, (row, folder) in enumerate(zip(chosen, folders, strict=True)):
        opened = test and (rank == 0 or test_all)
        found = confirmation if confirmation and confirmation.winner and confirmation.leader(row.number) else None
        done.append(_export(database, stored, plan, row, folder, found, test=opened, replace=replace))
    return done


def _chosen(
    rows: Sequence[TrialRow], count: int, plan: Plan, name: str, trial: int | None, confirmation: Confirmation | None
) -> list[TrialRow]:
    best = leaders(rows, *plan.directions)
    if trial is None:
        if not best:
            raise StudyMissing(f"study {name!r} has no complete trial to export")
        winner = confirmation.winner if confirmation else None
        return sorted(best, key=lambda row: winner is None or row.number != winner.number)[:count]
    for row in best:
        if row.number == trial:
            return [row]
    states = {row.number: row.state.name for row in rows}
    found = f"trial {trial} is {states[trial]}" if trial in states else f"there is no trial {trial}"
    complete = ", ".join(str(row.number) for row in best[:10]) or "none"
    raise StudyMissing(f"study {name!r}: {found}; complete trials, best first: {complete}")


def _export(
    database: Database,
    stored: StoredStudy,
    plan: Plan,
    row: TrialRow,
    to: Path,
    confirmation: Confirmation | None,
    *,
    test: bool,
    replace: bool,
) -> Exported:
    with trial_weights(stored, plan, row) as weights:
        parts = {"validation": checked_validation(stored, plan, row, weights), "test": None}
        seen = any(opening.number == row.number for opening in list_openings(database, stored.study_id))
        if seen or (test and stored.facts.events["test"] > 0):
            parts["test"] = open_test(database, stored, plan, row, weights)
        metrics: Metrics = {part: None if found is None else found.metrics for part, found in parts.items()}
        diagnostics = {part: None if found is None else found.diagnostics for part, found in parts.items()}
        config, plugins = portable(plan, row.parameters)
        files: dict[str, str | Path] = {
            bundle.CONFIG: _yaml(_config_tree(plan, row, config)),
            bundle.METRICS: bundle.metrics_text(
                metrics, diagnostics, _history(database, row), None if confirmation is None else confirmation.to_json()
            ),
            bundle.DATA: json.dumps(stored.facts.to_json(), indent=2) + "\n",
            bundle.ENVIRONMENT: json.dumps(_environment(row), indent=2) + "\n",
            bundle.CARD: model_card(
                plan, stored.facts, row, metrics, diagnostics, list_openings(database, stored.study_id), confirmation
            ),
            bundle.IMPORTANCE: _importance(database, stored),
            bundle.WEIGHTS: weights,
            **plugins,
        }
        write_folder(to, files, replace=replace)
    return Exported(row.number, to, metrics, confirmation)


def _history(database: Database, row: TrialRow) -> list[dict[str, Any]]:
    """The trial's epochs; what is not finite is None."""
    return [_finite(epoch) for epoch in read_history(database, row.trial_id)]


def _importance(database: Database, stored: StoredStudy) -> str:
    """Which hyperparameters mattered in the study so far."""
    groups = study_importances(database, read_trials(database, stored.study_id), stored.objectives)
    return json.dumps([group.to_json() for group in groups], indent=2) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _config_tree(plan: Plan, row: TrialRow, portable_config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": bundle.FORMAT,
        "study": plan.config.name,
        "trial": row.number,
        "seed": row.attributes.get("seed"),
        "best_epoch": row.attributes.get("best_epoch"),
        "hyperparameters": plan.space.resolved(row.parameters),
        **portable_config,
    }


def _yaml(tree: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True)


def _environment(row: TrialRow) -> dict[str, Any]:
    """What the bits depend on: of this process, and under "training" of the one that has trained the trial."""
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": row.attributes.get("device"),
        "worker": row.attributes.get("worker"),
        "training": {name: row.attributes.get(name) for name in NAMES},
    }
