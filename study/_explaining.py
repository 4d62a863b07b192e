"""Words for what pydantic found wrong: the key, what was given, what is accepted, the nearest key."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from models._hyperparameters import hyperparameters
from objectives._learning import Learning
from storage.errors import ConfigError

LONGEST = 120
"""Characters of a given value that are shown."""


def explanations(error: ValidationError, root: type[BaseModel], given_by: Mapping[str, str]) -> list[str]:
    """One line per key that is wrong.

    Args:
        error: What pydantic raised.
        root: The model that was validated.
        given_by: Where a key was given, if not in the file.
    """
    found: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(_key(root, detail["loc"]), []).append(detail)
    return [_line(root, key, details) + _source(key, given_by) for key, details in found.items()]


def option_explanations(error: ValidationError, section: str) -> list[str]:
    """One line per option of a plug-in that is wrong; the section's name precedes its own."""
    found: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        # What follows the option's name is a place in a list, or a member of a union.
        found.setdefault(".".join([section, *map(str, detail["loc"][:1])]), []).append(detail)
    return [
        f"{key} is {shown(details[0]['input'])}; " + ", or ".join(dict.fromkeys(_words(detail) for detail in details))
        for key, details in found.items()
    ]


def one_per_line(source: str, mistakes: Sequence[str]) -> str:
    """A message of one line for one mistake, with a line for each of several."""
    if len(mistakes) == 1:
        return f"{source}: {mistakes[0]}"
    return "\n  ".join([f"{source} has {len(mistakes)} mistakes:", *mistakes])


@contextmanager
def mistakes(found: list[str]) -> Iterator[None]:
    """Collect a block's mistake, so that others can be looked for."""
    try:
        yield
    except ConfigError as error:
        found.append(str(error))


def shown(value: Any) -> str:
    """A value as it might stand in the file, cut when it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _line(root: type[BaseModel], key: str, details: Sequence[ErrorDetails]) -> str:
    first = details[0]
    if first["type"] == "extra_forbidden":
        return _unknown(root, key)
    if first["type"] == "missing":
        return f"{key} is missing" + (
            "; name the HDF5 file: data: {path: events.h5}" if key in ("data", "data.path") else ""
        )
    # One value of a union gives one error for each of its types.
    reasons = list(dict.fromkeys(_reason(root, key, detail) for detail in details))
    return f"{key} is {shown(first['input'])}; " + ", or ".join(reasons)


def _reason(root: type[BaseModel], key: str, detail: ErrorDetails) -> str:
    if detail["type"] in ("model_type", "model_attributes_type", "dict_type"):
        section = _section(root, key.split("."))
        return "it must be a section" + (f" with keys of {', '.join(section.model_fields)}" if section else "")
    return _words(detail)


_OWN_WORDS = {
    "tuple_type": "it must be a list",
    "list_type": "it must be a list",
    "string_type": "it must be text in quotes",
    "invalid_key": "a key must be text",
    "too_short": "it must not be empty",
}


def _words(detail: ErrorDetails) -> str:
    text = detail["msg"].removeprefix("Value error, ")
    text = text.replace("Input should be", "it must be").replace("String should", "it must")
    return _OWN_WORDS.get(detail["type"], text)


def _unknown(root: type[BaseModel], key: str) -> str:
    section, _, name = key.rpartition(".")
    model = _section(root, section.split(".") if section else [])
    accepted = list(model.model_fields) if model else []
    elsewhere = key_named(root, name)
    near = get_close_matches(name, accepted, n=1)
    known = elsewhere or [f"{section}.{near[0]}" if section else near[0] for _ in near]
    hint = f"did you mean {known[0]}? " if known else ""
    where = f"in {section}" if section else "here"
    return f"unknown key {key}; {hint}Accepted {where}: {', '.join(accepted)}"


def key_named(root: type[BaseModel], name: str) -> list[str]:
    """Full names of the keys that end with a name."""
    return [key for key in _all_keys(root) if key.rpartition(".")[2] == name]


def _all_keys(root: type[BaseModel]) -> list[str]:
    """Every key of the file by its full name, the sections' and the learning hyperparameters'."""
    keys = [f"space.{item.name}" for item in hyperparameters(Learning)]
    waiting = [("", root)]
    while waiting:
        prefix, model = waiting.pop(0)
        keys += [prefix + name for name in model.model_fields]
        below = ((f"{prefix}{name}.", _model(field.annotation)) for name, field in model.model_fields.items())
        waiting += [(start, found) for start, found in below if found is not None]
    return keys


def _key(root: type[BaseModel], location: Sequence[int | str]) -> str:
    """The dotted key; what pydantic adds for the members of a union is left out."""
    steps: list[str] = []
    model: type[BaseModel] | None = root
    for index, step in enumerate(location):
        steps.append(str(step))
        field = model.model_fields.get(str(step)) if model else None
        if field is None:
            continue
        model = _model(field.annotation)
        if model is None:
            return ".".join([*steps, *_below_leaf(field.annotation, location[index + 1 :])])
    return ".".join(steps)


def _below_leaf(annotation: Any, rest: Sequence[int | str]) -> list[str]:
    """Steps inside a leaf's value: places in a list, and names only if it is a mapping."""
    mapping = any(getattr(kind, "__origin__", None) is dict for kind in _members(annotation))
    return [str(step) for step in rest if isinstance(step, int) or (mapping and step != "[key]")]


def _section(root: type[BaseModel], steps: Sequence[str]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = root
    for step in steps:
        field = model.model_fields.get(step) if model else None
        model = _model(field.annotation) if field else None
    return model


def _model(annotation: Any) -> type[BaseModel] | None:
    return next((kind for kind in _members(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _members(annotation: Any) -> tuple[Any, ...]:
    if getattr(annotation, "__origin__", None) is dict:
        return (annotation,)
    return get_args(annotation) or (annotation,)


def _source(key: str, given_by: Mapping[str, str]) -> str:
    found = [name for given, name in given_by.items() if key == given or key.startswith(f"{given}.")]
    return f" (given by {found[-1]})" if found else ""
