"""An exported configuration: a folder of plain files that rebuild the network, without the database or pickles."""

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from storage.errors import ConfigError, StudyhallError
from study._training import build_network
from study.loading import validated
from study.plan import Facts, Plan, build_plan

FORMAT = 1
CONFIG, WEIGHTS, METRICS, DATA, ENVIRONMENT, IMPORTANCE, CARD = (
    "config.yaml",
    "model.safetensors",
    "metrics.json",
    "data.json",
    "environment.json",
    "importance.json",
    "README.md",
)

Metrics = dict[str, dict[str, float | None] | None]
"""Metrics by part of the data; None for a test part that was not opened."""


@dataclass(frozen=True)
class Bundle:
    """A loaded export.

    Attributes:
        number: The trial's number in its study.
        sampled: Its sampled hyperparameters.
        metrics: Those recorded when it was exported.
        diagnostics: By part, as `study._diagnosing.part_diagnostics` gives them; None of a test part that was not
            opened. Empty in an export made before there were any.
        history: A mapping per epoch, as `EpochResult.to_json` gives it; empty where none was recorded.
        best_epoch: The one whose weights these are, or None where that is not known.
        importance: Which hyperparameters mattered in the study when it was exported, as `Importance.to_json`; empty in
            an export made before this was told.
    """

    folder: Path
    plan: Plan
    facts: Facts
    number: int
    sampled: Mapping[str, Any]
    metrics: Metrics
    diagnostics: Mapping[str, dict[str, Any] | None]
    history: Sequence[Mapping[str, Any]]
    best_epoch: int | None
    importance: Sequence[Mapping[str, Any]] = ()

    def network(self) -> nn.Module:
        """The network with its weights, on the CPU.

        Raises:
            ConfigError: The weights do not belong to the configuration.
        """
        model = build_network(self.plan, self.facts, self.sampled)
        path = self.folder / WEIGHTS
        try:
            model.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ConfigError(
                f"{path} cannot be loaded: {str(error).splitlines()[0]}; export the trial again"
            ) from None
        return model


def load_bundle(folder: Path) -> Bundle:
    """Read an export.

    Raises:
        ConfigError: The folder is no export, or a file of it is missing or damaged.
    """
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder} is no export: it has no {CONFIG}; `studyhall export NAME --to DIR` makes one")
    try:
        tree = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        if tree.get("format") != FORMAT:
            raise ConfigError(f"{folder / CONFIG} has format {tree.get('format')!r}; this version reads {FORMAT}")
        config = validated(tree["config"], default_name="study", source=str(folder / CONFIG))
        facts = Facts.from_json(json.loads((folder / DATA).read_text(encoding="utf-8")))
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        diagnostics, history = metrics.pop("diagnostics", {}), metrics.pop("history", [])
        metrics.pop("confirmation", None)
        plan = build_plan(config, folder.absolute())
        return Bundle(
            folder,
            plan,
            facts,
            tree["trial"],
            tree["sampled"],
            metrics,
            diagnostics,
            history,
            tree.get("best_epoch"),
            _importance(folder),
        )
    except StudyhallError:
        raise
    except (OSError, KeyError, AttributeError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{folder} is a damaged export ({type(error).__name__}: {error}); export the trial again"
        ) from None


def _importance(folder: Path) -> list[dict[str, Any]]:
    path = folder / IMPORTANCE
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def metrics_text(
    metrics: Metrics,
    diagnostics: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    confirmation: Mapping[str, Any] | None = None,
) -> str:
    """The contents of metrics.json: the metrics of each part, then "diagnostics" and "history", a line each.

    Args:
        confirmation: What retraining with other seeds has found; then "confirmation" comes last.
    """
    tree: dict[str, Any] = {**metrics, "diagnostics": diagnostics, "history": history}
    if confirmation is not None:
        tree["confirmation"] = confirmation
    lines = [f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in tree.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write_folder(to: Path, files: Mapping[str, str | Path], *, replace: bool) -> None:
    """Write a folder beside its place and rename it, so that nobody sees a part of it.

    Args:
        to: The folder.
        files: Text, or a file to copy, by relative name.
        replace: Whether an existing export may be replaced.

    Raises:
        FileExistsError: The folder exists and may not be replaced, or is no export.
    """
    check_folder(to, replace=replace)
    beside = to.absolute().with_name(f".{to.name}-{uuid.uuid4().hex[:8]}")
    try:
        for name, content in files.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, path)
            else:
                path.write_text(content, encoding="utf-8")
        if to.exists():
            shutil.rmtree(to)
        os.replace(beside, to)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check_folder(to: Path, *, replace: bool) -> None:
    """Make sure that an export can be written, its parent folder created.

    Raises:
        FileExistsError: The folder exists and may not be replaced, or is no export.
        ConfigError: It cannot be created there.
    """
    if to.exists() and not (replace and _replaceable(to)):
        raise FileExistsError(f"{to} exists; give another folder, or --force to replace an export")
    try:
        to.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.absolute().parent):
            return
    except OSError as error:
        raise ConfigError(f"{to} cannot be created: {error.strerror}; give another folder") from None


def _replaceable(folder: Path) -> bool:
    return folder.is_dir() and ((folder / CONFIG).is_file() or not any(folder.iterdir()))
