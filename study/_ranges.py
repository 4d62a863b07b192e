"""Values of the study file's `space`: a constant, or ``{float|int|choice: …, log, step, when}``."""

from collections.abc import Mapping
from typing import Any

from models._hyperparameters import Choice, Hyperparameter, Integer, Range, Real
from storage.errors import ConfigError

KINDS = ("float", "int", "choice")


def parse_value(declared: Hyperparameter, given: Any) -> Any:
    """A constant, or the declared hyperparameter with the given range and conditions.

    Raises:
        ConfigError: The value does not fit what is declared.
    """
    if not isinstance(given, Mapping):
        return _constant(declared, given)
    kind = _kind(declared.name, given)
    try:
        range_ = _range(kind, given)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"space.{declared.name} is {dict(given)!r}: {error}") from None
    _check_fits(declared, range_)
    when = {**declared.when, **_when(declared.name, given.get("when", {}))}
    default = declared.default if range_.contains(declared.default) else _first(range_)
    return Hyperparameter(declared.name, default, range_, declared.help, searched=True, when=when)


def _constant(declared: Hyperparameter, given: Any) -> Any:
    if isinstance(declared.range, Real) and isinstance(given, int) and not isinstance(given, bool):
        given = float(given)
    if isinstance(declared.range, Choice):
        fits = declared.range.contains(given) or (_numeric(declared.range) and _is_kind(given, declared.default))
    else:
        fits = type(given) is type(declared.default)
    if not fits:
        raise ConfigError(f"space.{declared.name} is {given!r}; accepted: {accepted(declared)}, or {_FORMS}")
    return given


_FORMS = "a distribution such as {float: [low, high], log: true}, {int: [low, high]} or {choice: [a, b]}"


def accepted(declared: Hyperparameter) -> str:
    """What a hyperparameter's value may be, for messages."""
    if isinstance(declared.range, Choice):
        return " | ".join(str(option) for option in declared.range.options)
    kind = "an integer" if isinstance(declared.range, Integer) else "a number"
    return f"{kind} (by default {declared.range.low} to {declared.range.high})"


def _kind(name: str, given: Mapping[str, Any]) -> str:
    kinds = [key for key in given if key in KINDS]
    unknown = [key for key in given if key not in (*KINDS, "log", "step", "when")]
    if len(kinds) != 1 or unknown:
        raise ConfigError(f"space.{name} is {dict(given)!r}; give {_FORMS}; `log`, `step` and `when` may be added")
    return kinds[0]


def _range(kind: str, given: Mapping[str, Any]) -> Range:
    bounds = given[kind]
    if not isinstance(bounds, list):
        raise ValueError(f"{kind} needs a list")
    extra = {key: given[key] for key in ("log", "step") if key in given}
    if kind == "choice":
        if extra:
            raise ValueError("a choice has neither log nor step")
        return Choice(tuple(bounds))
    if len(bounds) != 2:
        raise ValueError(f"{kind} needs two numbers, low and high")
    if kind == "int":
        return Integer(*bounds, **extra)
    return Real(*(float(bound) for bound in bounds), **extra)


def _check_fits(declared: Hyperparameter, range_: Range) -> None:
    values = range_.options if isinstance(range_, Choice) else (range_.low, range_.high)
    known = declared.range
    if isinstance(known, Choice) and not (_numeric(known) and not isinstance(range_, Choice)):
        wrong = [v for v in values if not known.contains(v) and not (_numeric(known) and _is_kind(v, declared.default))]
    elif isinstance(known, Real):
        wrong = [v for v in values if isinstance(v, bool) or not isinstance(v, int | float)]
    else:
        wrong = [v for v in values if not _is_kind(v, declared.default)]
    if wrong:
        given = ", ".join(repr(value) for value in wrong)
        raise ConfigError(f"space.{declared.name} includes {given}; accepted: {accepted(declared)}")


def _numeric(known: Choice) -> bool:
    return all(isinstance(option, int | float) and not isinstance(option, bool) for option in known.options)


def _is_kind(value: Any, like: Any) -> bool:
    return type(value) is type(like)


def _first(range_: Range) -> Any:
    return range_.options[0] if isinstance(range_, Choice) else range_.low


def _when(name: str, given: Any) -> dict[str, tuple[Any, ...]]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"space.{name}: `when` is {given!r}; give a mapping such as {{optimizer: [sgd]}}")
    return {str(key): tuple(values) if isinstance(values, list) else (values,) for key, values in given.items()}
