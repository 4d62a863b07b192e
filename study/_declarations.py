"""Every hyperparameter that a study may name: the family, how it learns, each family's own by its prefix."""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from models._family import Family, families
from models._hyperparameters import Choice, Hyperparameter, hyperparameters
from objectives._learning import Learning
from storage.errors import ConfigError
from study._explaining import key_named
from study._space import MODEL
from study.config import StudyConfig


def declarations(chosen: Mapping[str, Family[Any]]) -> dict[str, Hyperparameter]:
    """The declared hyperparameters by full name, in the order of sampling.

    Args:
        chosen: The families that may be chosen, by the name used in the study file.

    Raises:
        ConfigError: Two families have the same prefix.
    """
    specs = tuple(chosen)
    model = Hyperparameter(MODEL, specs[0], Choice(specs), "the network family", searched=len(specs) > 1)
    declared = {MODEL: model} | {item.name: item for item in hyperparameters(Learning)}
    prefixes: dict[str, str] = {}
    for spec, family in chosen.items():
        other = prefixes.setdefault(family.name, spec)
        if other != spec:
            raise ConfigError(f"space.model has {other} and {spec}, which are both named {family.name!r}; rename one")
        declared |= {item.name: item for item in _prefixed(spec, family)}
    return declared


def _prefixed(spec: str, family: Family[Any]) -> list[Hyperparameter]:
    return [
        replace(
            item,
            name=f"{family.name}.{item.name}",
            when={MODEL: (spec,), **{f"{family.name}.{name}": values for name, values in item.when.items()}},
        )
        for item in hyperparameters(family.hyperparameters)
    ]


def accept(declared: Hyperparameter, value: Any) -> None:
    """Refuse a value of the right kind that a hyperparameter cannot have.

    Raises:
        ValueError: As said; the message says what it must be.
    """
    if declared.name == MODEL or "." in declared.name:
        if not declared.limits.contains(value):
            raise ValueError(f"{value} is not accepted; it must be {declared.limits}")
    else:
        Learning(**{declared.name: value})


def unknown(name: str, declared: Mapping[str, Hyperparameter]) -> str:
    """What is wrong with a name that no hyperparameter has, and which it may have been."""
    prefix, dot, _ = name.partition(".")
    own = [known for known in declared if dot and known.startswith(f"{prefix}.")]
    if dot and not own and prefix in families():
        allowed = " | ".join(map(str, declared[MODEL].range.options))  # type: ignore[union-attr]
        return (
            f"space.{name} belongs to the family {prefix}, which space.model leaves out (it allows {allowed}); "
            f"add {prefix} there, or take the key out"
        )
    ends = [known for known in declared if known.rpartition(".")[2] == name.rpartition(".")[2]]
    elsewhere = key_named(StudyConfig, name)
    near = ends or elsewhere or get_close_matches(name, declared, n=1)
    space = "" if near and near is elsewhere else "space."
    hint = f"did you mean {space}{near[0]}? " if near else ""
    general = [known for known in declared if "." not in known]
    others = sorted({known.partition(".")[0] for known in declared if "." in known})
    listed = ", ".join(own or general) + ("" if own else f", and those of {', '.join(others)} as {others[0]}.NAME")
    return f"unknown key space.{name}; {hint}Accepted: {listed}"
