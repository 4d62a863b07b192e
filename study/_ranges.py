"""Values of the study file's `space`: a constant, or ``{float|int|choice: …, log, step, when}``."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from models._hyperparameters import Choice, Hyperparameter, Integer, Range, Real
from storage.errors import ConfigError
from study._explaining import shown

KINDS = ("float", "int", "choice")
EXTRAS = ("log", "step", "when")
ENUMERATED = 1000
"""Values of an integer range that are all looked at; of a longer one its ends and first step."""

When = Mapping[str, tuple[Any, ...]]
Accepts = Callable[[Hyperparameter, Any], None]
"""Raises ValueError for a value that the hyperparameter cannot have; the message says what it must be."""


@dataclass(frozen=True)
class Given:
    """What a study file says of one hyperparameter: a range to search, under conditions, or a constant."""

    constant: Any = None
    range: Range | None = None
    when: When = field(default_factory=dict)


def parse_value(declared: Hyperparameter, given: Any, accepts: Accepts) -> Given:
    """What the file says, checked against what is declared.

    Raises:
        ConfigError: The value does not fit what is declared.
    """
    try:
        if not isinstance(given, Mapping):
            forms = f"; or {_FORMS[_form(declared.range)]}"
            return Given(check_value(declared, given, accepts, instead=forms))
        kind = _kind(given, declared.range)
        range_ = _range(kind, given, declared)
        for value in _probes(range_):
            check_value(declared, value, accepts)
        return Given(range=range_, when=_when(given.get("when", {})))
    except ValueError as error:
        raise ConfigError(f"space.{declared.name} is {shown(given)}; {error}") from None


def accepted(declared: Hyperparameter) -> str:
    """What a hyperparameter's value may be, for messages."""
    usual = declared.range
    if isinstance(usual, Choice):
        options = " | ".join(_text(option) for option in usual.options)
        return f"{options}, by default" if _numeric(usual) else options
    kind = "an integer" if isinstance(usual, Integer) else "a number"
    return f"{kind}, by default from {usual.low:g} to {usual.high:g}"


def adopted(usual: Range, value: Any) -> Any:
    """A value as the declaration has it: 1 as 1.0 where numbers are real, 18 as "18" where options are text."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if isinstance(usual, Choice):
        return str(value) if usual.contains(str(value)) else value
    return float(value) if isinstance(usual, Real) else value


def check_value(declared: Hyperparameter, given: Any, accepts: Accepts, *, instead: str = "") -> Any:
    """A value as the declaration has it.

    Args:
        declared: What it is a value of.
        given: The value.
        accepts: What refuses values of the right kind.
        instead: What else may be given, for the message.

    Raises:
        ValueError: It is of another kind than declared, or not accepted.
    """
    value = adopted(declared.range, given)
    if not _right_kind(declared.range, value):
        close = get_close_matches(str(value), _words(declared.range), n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(f"{hint}Accepted: {accepted(declared)}{instead}")
    accepts(declared, value)
    return value


_FORMS = {
    "choice": "a distribution such as {choice: [a, b]}",
    "int": "a distribution such as {int: [low, high]}, {int: [low, high], log: true} or {choice: [a, b]}",
    "float": "a distribution such as {float: [low, high]}, {float: [low, high], log: true} or {choice: [a, b]}",
}


def _form(usual: Range) -> str:
    return "float" if isinstance(usual, Real) else "int" if isinstance(usual, Integer) else "choice"


def _right_kind(usual: Range, value: Any) -> bool:
    if isinstance(usual, Choice) and not _numeric(usual):
        return usual.contains(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(usual, Integer) or (isinstance(usual, Choice) and all(isinstance(o, int) for o in usual.options)):
        return whole
    return whole or isinstance(value, float)


def _numeric(usual: Choice) -> bool:
    return all(isinstance(option, int | float) and not isinstance(option, bool) for option in usual.options)


def _words(usual: Range) -> list[str]:
    return [_text(option) for option in usual.options] if isinstance(usual, Choice) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


def _kind(given: Mapping[str, Any], usual: Range) -> str:
    kinds = [key for key in given if key in KINDS]
    unknown = [str(key) for key in given if key not in (*KINDS, *EXTRAS)]
    if len(kinds) != 1 or unknown:
        raise ValueError(f"give {_FORMS[_form(usual)]}; step and when may be added")
    return kinds[0]


def _range(kind: str, given: Mapping[str, Any], declared: Hyperparameter) -> Range:
    bounds, extra = given[kind], {key: given[key] for key in ("log", "step") if key in given}
    if not isinstance(bounds, list):
        raise ValueError(f"{kind} needs a list, such as {'[a, b]' if kind == 'choice' else '[low, high]'}")
    if kind == "choice":
        if extra:
            raise ValueError("a choice has neither log nor step")
        return Choice(tuple(adopted(declared.range, option) for option in bounds))
    if len(bounds) != 2 or not all(_right_kind(Real(0, 1), bound) for bound in bounds):
        raise ValueError(f"{kind} needs two numbers, low and high")
    if not isinstance(extra.get("log", False), bool):
        raise ValueError("log is true or false")
    if kind == "int" and isinstance(declared.range, Real):
        raise ValueError(f"{declared.name} is a number; use float in place of int")
    if kind == "int":
        return Integer(*bounds, **extra)
    if not isinstance(declared.range, Real):
        raise ValueError(f"{declared.name} is not any number; use {_form(declared.range)} in place of float")
    return Real(float(bounds[0]), float(bounds[1]), **extra)


def _probes(range_: Range) -> Iterator[Any]:
    """Values of a range that stand for all."""
    if isinstance(range_, Choice):
        yield from range_.options
    elif isinstance(range_, Integer) and (range_.high - range_.low) // range_.step < ENUMERATED:
        yield from range(range_.low, range_.high + 1, range_.step)
    else:
        yield from (range_.low, *([range_.low + range_.step] if range_.step else []), range_.high)


def _when(given: Any) -> dict[str, tuple[Any, ...]]:
    conditions = given if isinstance(given, Mapping) else {}
    found = {str(key): tuple(values) if isinstance(values, list) else (values,) for key, values in conditions.items()}
    if not all(found.values()) or conditions is not given:
        raise ValueError("when needs a mapping such as {optimizer: [sgd]}")
    return found
