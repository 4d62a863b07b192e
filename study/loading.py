"""Read a study file: defaults < file < ``STUDYHALL_SECTION__KEY`` environment < ``--set section.key=value``."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storage.errors import ConfigError
from study._explaining import explanations, one_per_line
from study._values import plain_name
from study._yaml import parse_yaml
from study.config import NamedSection, SearchSection, StudyConfig

ENVIRONMENT_PREFIX = "STUDYHALL_"


def load_config(
    path: Path, sets: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> tuple[StudyConfig, Path]:
    """The validated configuration of a study file, and the folder that its relative paths refer to.

    Args:
        path: The YAML file.
        sets: ``section.key=value`` from the command line; the value is YAML.
        environment: Defaults to the process's. Empty variables are left alone.

    Raises:
        ConfigError: The file is missing, is no YAML mapping, or has a key or value that is not accepted.
    """
    tree = _read(path)
    given_by: dict[str, str] = {}
    for key, value, given_as in [*_from_environment(os.environ if environment is None else environment), *_given(sets)]:
        _assign(tree, key, value, given_as)
        given_by[key] = given_as
    config = validated(tree, default_name=path.stem, source=f"study file {path}", given_by=given_by)
    return config, path.parent.absolute()


def changed_space(space: Mapping[str, Any], sets: Sequence[str]) -> dict[str, Any]:
    """A `space` section with ``space.NAME=value`` words applied; null takes a key out.

    Raises:
        ConfigError: A word is not of that form, or names another section.
    """
    tree = {"space": copy.deepcopy(dict(space))}
    for key, value, given_as in _given(sets):
        if not key.startswith("space."):
            raise ConfigError(
                f"{given_as}: only keys of space are migrated, for example --set 'space.lr={{float: [1e-4, 1e-1], log: "
                "true}'"
            )
        _assign(tree, key, value, given_as)
    return {name: value for name, value in tree["space"].items() if value is not None}


def validated(
    tree: Mapping[str, Any], *, default_name: str, source: str, given_by: Mapping[str, str] | None = None
) -> StudyConfig:
    """The configuration of a mapping; errors name the key, what was given, what is accepted, one per line.

    Args:
        tree: What the file says.
        default_name: The study's name, if the tree gives none.
        source: What an error's message begins with.
        given_by: Where a key was given, if not in the file.

    Raises:
        ConfigError: As said.
    """
    try:
        config = StudyConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(one_per_line(source, explanations(error, StudyConfig, given_by or {}))) from None
    if config.study.name is not None:
        return config
    if plain_name(default_name) != default_name:
        raise ConfigError(
            f"{source}: {default_name!r} cannot be the study's name, which it is unless the file gives one; "
            f"add study: {{name: {plain_name(default_name)}}}"
        )
    return config.model_copy(update={"study": config.study.model_copy(update={"name": default_name})})


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = ", ".join(sorted(p.name for p in path.parent.glob("*.y*ml"))) if path.parent.is_dir() else ""
        found = f"; study files there: {near}" if near else "; `studyhall init --data FILE.h5` writes one"
        raise ConfigError(f"there is no study file {path}{found}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"study file {path} is not text (UTF-8); is it the data file?") from None
    except OSError as error:
        raise ConfigError(f"study file {path} cannot be read: {error.strerror}") from None
    tree = parse_yaml(text, f"study file {path}")
    if not isinstance(tree, dict):
        found = "nothing" if tree is None else f"{type(tree).__name__} {str(tree)[:40]!r}"
        raise ConfigError(
            f"study file {path} holds {found}; it must be a mapping, the smallest being data: {{path: FILE.h5}}"
        )
    return tree


Given = tuple[str, str, str]
"""Key, value, and where it was given."""


def _from_environment(environment: Mapping[str, str]) -> list[Given]:
    names = [name for name, value in environment.items() if name.startswith(ENVIRONMENT_PREFIX) and value.strip()]
    keys = {name: name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".") for name in names if "__" in name}
    # Sections before their keys, so that both may be given.
    return [(key, environment[name], name) for name, key in sorted(keys.items(), key=lambda item: item[1])]


def _given(sets: Sequence[str]) -> list[Given]:
    found = []
    for text in sets:
        key, _, value = text.partition("=")
        if not value.strip() or not all(step.strip() for step in key.split(".")):
            raise ConfigError(
                f"--set {text!r} is not section.key=value, for example --set budget.trials=20; null stands for none"
            )
        found.append((key.strip(), value, f"--set {text}"))
    return found


def _assign(tree: dict[str, Any], key: str, value: str, given_as: str) -> None:
    section, dot, rest = key.partition(".")
    # Names under `space` contain dots themselves (cnn.depth).
    steps = [section, rest] if section == "space" and dot else key.split(".")
    at: Any = tree
    for step in steps[:-1]:
        at[step] = _opened(at, step)
        at = at[step]
        if not isinstance(at, dict):
            raise ConfigError(f"{given_as}: {key} goes below {step}, which is {at!r}, not a section")
    at[steps[-1]] = parse_yaml(value, given_as)


_DEFAULT_NAMES: dict[str, NamedSection] = {
    "objective": StudyConfig.model_fields["objective"].default,
    "sampler": SearchSection().sampler,
    "pruner": SearchSection().pruner,
}


def _opened(tree: Mapping[str, Any], step: str) -> Any:
    """What stands at a key, as something that takes keys: `sampler: tpe` becomes `{name: tpe}`."""
    there = tree.get(step)
    if step in _DEFAULT_NAMES:
        there = _DEFAULT_NAMES[step].name if there is None else there
        return {"name": there} if isinstance(there, str) else there
    return {} if there is None else there
