"""Kinds of values in a study file. They are strict: YAML tells numbers from text, and `epochs: yes` is no number."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"\s*(?:\d+(?:\.\d+)?\s*[dhms]\s*)+")
_DEVICE = re.compile(r"auto|cpu|cuda:\d+")


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not _DURATION.fullmatch(value):
        raise ValueError("a duration is a number of seconds, or text such as 90s, 30m, 4h, 1h30m or 2d")
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([\d.]+)\s*([dhms])", value))


def _devices(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not names or not all(_DEVICE.fullmatch(name.strip()) for name in names):
        raise ValueError("devices are auto, cpu, or GPUs such as cuda:0,cuda:1")
    return value


def _energies(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] < value[1]:
        raise ValueError("give [low, high] in MeV with low < high")
    return value


def _weights(value: tuple[float, ...]) -> tuple[float, ...]:
    if min(value, default=-1) < 0 or sum(value) == 0:
        raise ValueError("give one number from 0 up for each class, not all 0")
    return value


def _plain(name: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise ValueError(
            "it names folders, so it has letters, digits and _ . + - only, and begins with a letter or digit; "
            f"for example {plain_name(name)}"
        )
    return name


def plain_name(text: str) -> str:
    """A study name made from any text."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.+") or "study"


Text = Annotated[str, Field(min_length=1)]
Flag = Annotated[bool, Strict()]
Number = Annotated[float, Strict()]
Positive = Annotated[float, Strict(), Field(gt=0)]
Fraction = Annotated[float, Strict(), Field(ge=0, lt=1)]
Whole = Annotated[int, Strict()]
Count = Annotated[int, Strict(), Field(ge=1)]
PerDevice = Literal["auto"] | Count
Times = Annotated[int, Strict(), Field(ge=0)]
Seed = Annotated[int, Strict(), Field(ge=0, lt=2**32)]
StudyName = Annotated[str, Field(max_length=200), AfterValidator(_plain)]
Duration = Annotated[Positive, BeforeValidator(_seconds)]
"""Seconds; written as a number or as 90s, 30m, 4h, 1h30m, 2d."""
Devices = Annotated[str | tuple[str, ...], AfterValidator(_devices)]
Energies = Annotated[tuple[Number, Number], AfterValidator(_energies)]
"""From low up to, not including, high; MeV."""
ClassWeights = Annotated[tuple[Number, ...], AfterValidator(_weights)]
