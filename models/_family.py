"""A network family: its hyperparameters and how a network is built from them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn

from models._hyperparameters import hyperparameters
from models._plugins import load_plugin, plugins

HP = TypeVar("HP")
Shape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass(frozen=True)
class Family(Generic[HP]):
    """A network family.

    `build(hyperparameters, (C, H, W), outputs)` returns a module that maps (B, C, H, W) float32 to (B, outputs) logits,
    without a final activation. It accepts every shape from 1×1×1 up and draws weights from torch's global generator
    only, so the caller's seed decides them. The name is the prefix of its hyperparameters in a study.
    """

    name: str
    hyperparameters: type[HP]
    build: Callable[[HP, Shape, int], nn.Module]

    def __post_init__(self) -> None:
        if not (self.name.isidentifier() and self.name == self.name.lower()):
            raise ValueError(f"the family's name is {self.name!r}; it must be lower-case letters, digits and _")
        hyperparameters(self.hyperparameters)


def families() -> dict[str, Family[Any]]:
    """Return the families that come with Studyhall, by name."""
    return plugins("models", "FAMILY")


def load_family(spec: str, *, folder: Path = Path(".")) -> Family[Any]:
    """Load a family by name, or a user's as `my_file.py:Name` or `package.module:Name`.

    Args:
        spec: which one.
        folder: what a file's path is relative to.

    Raises:
        ValueError: there is none, it is not a `Family`, or it takes the name of another.
    """
    family = load_plugin(spec, "models", "FAMILY", folder=folder)
    if not isinstance(family, Family):
        raise ValueError(f"{spec!r} is of type {type(family).__name__}; it must be a models._family.Family")
    known = families()
    if family is not known.get(family.name, family):
        raise ValueError(f"{spec!r} is named {family.name!r}, as is one of ours ({', '.join(known)}); rename it")
    return family
