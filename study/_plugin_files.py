"""A user's own families and tasks, carried along with an export."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.plan import Plan
from study.space import MODEL, chosen_models


def portable(plan: Plan, sampled: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Path]]:
    """The configuration and sampled values such that they hold inside an export's folder.

    Returns:
        ``{"sampled": …, "config": …}``, with absolute data paths and plug-in files by name alone; and those files,
        by the name they get.
    """
    config = copy.deepcopy(plan.config.to_json())
    config["data"]["path"] = str(plan.data_path)
    if config["data"]["split"]["file"]:
        config["data"]["split"]["file"] = str(plan.folder / config["data"]["split"]["file"])
    specs = [*plan.space.families, plan.config.objective.name]
    renamed = {spec: _local(spec) for spec in specs if ".py:" in spec}
    files = {_local(spec).partition(":")[0]: plan.folder / spec.rpartition(":")[0] for spec in renamed}
    names = [renamed.get(spec, spec) for spec in chosen_models(config["space"], list(plan.space.families))]
    config["space"][MODEL] = names[0] if len(names) == 1 else {"choice": names}
    for entry in config["space"].values():
        when = entry.get("when", {}) if isinstance(entry, dict) else {}
        if MODEL in when:
            given = when[MODEL] if isinstance(when[MODEL], list) else [when[MODEL]]
            when[MODEL] = [renamed.get(spec, spec) for spec in given]
    config["objective"]["name"] = renamed.get(plan.config.objective.name, plan.config.objective.name)
    values = {name: renamed.get(value, value) if name == MODEL else value for name, value in sampled.items()}
    return {"sampled": values, "config": config}, files


def _local(spec: str) -> str:
    file, _, name = spec.rpartition(":")
    return f"{Path(file).name}:{name}"
