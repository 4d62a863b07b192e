"""A study's configuration as a study file."""

from pathlib import Path
from typing import Any

import yaml

from study.stored import StoredStudy


def config_yaml(stored: StoredStudy) -> str:
    """The study file that `studyhall launch` takes to continue the study, with every resolved value."""
    tree = _without_nothing(stored.config.to_json())
    tree["study"]["name"] = stored.config.name
    lines = [f"The configuration of study {_one_line(stored.name)}, with every default."]
    if _relative(stored):
        lines.append(f"Relative paths refer to {_one_line(str(stored.folder))}: save the file there.")
    comment = "".join(f"# {line}\n" for line in lines)
    return comment + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100)


def _without_nothing(tree: dict[str, Any]) -> dict[str, Any]:
    """Without keys of sections that are not set, as a person would write it; a budget's null means no limit."""
    kept = {"budget": {"trials"}, "workers": {"stall"}}
    return {
        section: {key: value for key, value in keys.items() if value is not None or key in kept.get(section, ())}
        if isinstance(keys, dict) and section != "space"
        else keys
        for section, keys in tree.items()
    }


def _relative(stored: StoredStudy) -> bool:
    data = stored.config.data
    paths = [data.path, data.pixels, data.split.file, stored.config.checkpoint.dir, stored.config.artifacts.dir]
    plugins = [stored.config.objective.name, *_texts(stored.config.space)]
    given = [path for path in paths if path] + [text.rpartition(":")[0] for text in plugins if ".py:" in text]
    return any("://" not in path and not Path(path).expanduser().is_absolute() for path in given)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [text for part in parts for text in _texts(part)]


def _one_line(text: str) -> str:
    return " ".join(text.split())
