"""Read a study file: defaults < file < ``STUDYHALL_SECTION__KEY`` environment < ``--set section.key=value``."""

import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from storage.errors import ConfigError
from study.config import StudyConfig

ENVIRONMENT_PREFIX = "STUDYHALL_"


def load_config(
    path: Path, sets: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> tuple[StudyConfig, Path]:
    """The validated configuration of a study file, and the folder that its relative paths refer to.

    Args:
        path: The YAML file.
        sets: ``section.key=value`` from the command line; the value is YAML.
        environment: Defaults to the process's.

    Raises:
        ConfigError: The file is missing, is no YAML mapping, or has a key or value that is not accepted.
    """
    tree = _read(path)
    for name, value in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            key = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            _assign(tree, key, value, given_as=name)
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {text!r}: give section.key=value, for example --set budget.trials=20")
        _assign(tree, key.strip(), value, given_as=f"--set {text}")
    return validated(tree, default_name=path.stem, source=str(path)), path.parent.absolute()


def validated(tree: Mapping[str, Any], *, default_name: str, source: str) -> StudyConfig:
    """The configuration of a mapping; errors name the key, what was given, what is accepted.

    Raises:
        ConfigError: As said.
    """
    try:
        config = StudyConfig.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors()]
        raise ConfigError(f"{source}: " + "\n".join(lines)) from None
    if config.study.name is not None:
        return config
    named = config.study.model_copy(update={"name": default_name})
    return validated(
        {**tree, "study": named.model_dump()}, default_name=default_name, source=f"{source} (its name is the study's)"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = ", ".join(sorted(p.name for p in path.parent.glob("*.y*ml"))) if path.parent.is_dir() else ""
        found = f"; study files there: {near}" if near else "; `studyhall init --data FILE.h5` writes one"
        raise ConfigError(f"there is no study file {path}{found}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"study file {path} cannot be read: {error}") from None
    tree = _yaml(text, f"study file {path}")
    if not isinstance(tree, dict):
        raise ConfigError(f"study file {path} holds {type(tree).__name__}; it must be a mapping with at least data.path")
    return tree


def _yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{source}{where} is not valid YAML: {problem}") from None


class _StrictLoader(yaml.SafeLoader):
    """YAML with two repairs: 1e-5 is a number, and a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As the parent's, refusing duplicates."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _assign(tree: dict[str, Any], key: str, value: str, *, given_as: str) -> None:
    section, dot, rest = key.partition(".")
    # Names under `space` contain dots themselves (cnn.depth).
    steps = [section, rest] if section == "space" and dot else key.split(".")
    at: Any = tree
    for step in steps[:-1]:
        if at.get(step) is None:
            at[step] = {}
        if isinstance(at[step], str) and step in ("objective", "sampler", "pruner"):
            at[step] = {"name": at[step]}
        at = at[step]
        if not isinstance(at, dict):
            raise ConfigError(f"{given_as}: {key!r} goes below {step!r}, which is {at!r}, not a section")
    at[steps[-1]] = _yaml(value, given_as)


def _explain(detail: ErrorDetails) -> str:
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location)
    if detail["type"] == "extra_forbidden":
        accepted = _accepted_keys(location[:-1])
        close = get_close_matches(location[-1], accepted, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"unknown key {key!r}{hint} Accepted here: {', '.join(accepted)}"
    if detail["type"] == "missing":
        return f"{key!r} is missing; it is required"
    reason = detail["msg"].removeprefix("Value error, ")
    return f"{key!r} is {detail['input']!r}: {reason[0].lower()}{reason[1:]}"


def _accepted_keys(location: Sequence[str]) -> list[str]:
    model: Any = StudyConfig
    for step in location:
        field = model.model_fields.get(step) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is None:
            return []
        model = next((t for t in _types(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel)), None)
    return list(model.model_fields) if model is not None else []


def _types(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__args__", None) or (annotation,)
