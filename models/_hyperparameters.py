"""Hyperparameters declared once, as fields of a frozen dataclass: range, default and one line of help each.

The range is what is searched by default. A study may narrow it, or widen it up to the limits.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, MISSING, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, cast

from models._ranges import Choice, Integer, Range, Real, Suggester

__all__ = [
    "Choice",
    "Hyperparameter",
    "Integer",
    "Range",
    "Real",
    "Suggester",
    "check",
    "choice",
    "hyperparameters",
    "integer",
    "real",
    "suggest",
]

_KEY = "hyperparameter"
T = TypeVar("T")
When = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Hyperparameter:
    """One declared hyperparameter.

    `range` is what is searched by default, `limits` (by default the same) what may be given at all. `searched` says
    whether it is searched by default; otherwise it is fixed at its default unless a study says more. It is active only
    if every sibling named in `when` is active and has one of the values given there.
    """

    name: str
    default: Any
    range: Range
    help: str
    _: KW_ONLY
    searched: bool = True
    when: When = field(default_factory=dict)
    limits: Range = field(default=cast(Range, None))

    def __post_init__(self) -> None:
        if self.limits is None:
            object.__setattr__(self, "limits", self.range)
        for accepted in (self.range, self.limits):
            if not accepted.contains(self.default):
                raise ValueError(f"the default {self.default!r} of {self.name!r} is not {accepted}")
        if not self.help.strip() or "\n" in self.help:
            raise ValueError(f"the help of {self.name!r} is {self.help!r}; it must be one line of text")
        if not all(self.when.values()):
            raise ValueError(f"`when` of {self.name!r} names a sibling without values: {dict(self.when)}")

    def active(self, chosen: Mapping[str, Any]) -> bool:
        """Whether it counts, given the values of the ACTIVE hyperparameters declared before it."""
        return all(name in chosen and Choice(values).contains(chosen[name]) for name, values in self.when.items())


def integer(
    default: int,
    low: int,
    high: int,
    *,
    step: int = 1,
    log: bool = False,
    help: str,
    searched: bool = True,
    when: When | None = None,
    limits: Range | None = None,
) -> Any:
    """Declare an integer hyperparameter: `depth: int = integer(3, 2, 5, help="…")`."""
    return _declared(default, Integer(low, high, step, log), help, searched, when, limits)


def real(
    default: float,
    low: float,
    high: float,
    *,
    step: float | None = None,
    log: bool = False,
    help: str,
    searched: bool = True,
    when: When | None = None,
    limits: Range | None = None,
) -> Any:
    """Declare a real hyperparameter: `dropout: float = real(0.0, 0.0, 0.5, help="…")`."""
    return _declared(default, Real(low, high, step, log), help, searched, when, limits)


def choice(
    default: Any,
    options: tuple[Any, ...],
    *,
    help: str,
    searched: bool = True,
    when: When | None = None,
    limits: Range | None = None,
) -> Any:
    """Declare a hyperparameter that is one of the options: `kernel: int = choice(3, (3, 5, 7), help="…")`."""
    return _declared(default, Choice(options), help, searched, when, limits)


def hyperparameters(cls: type) -> tuple[Hyperparameter, ...]:
    """Return what a dataclass declares, in order.

    Raises:
        TypeError: not a dataclass, or a field is not declared with `integer`, `real` or `choice`.
        ValueError: a default outside its range, or a `when` that names no earlier sibling or no option of it.
    """
    if not is_dataclass(cls):
        raise TypeError(f"{cls!r} is not a dataclass; declare hyperparameters as fields of a frozen dataclass")
    declared: dict[str, Hyperparameter] = {}
    for item in fields(cls):
        if _KEY not in item.metadata or item.default is MISSING:
            raise TypeError(f"{cls.__name__}.{item.name} is not declared with integer(…), real(…) or choice(…)")
        facts = item.metadata[_KEY]
        parameter = Hyperparameter(name=item.name, default=item.default, **facts)
        _check_when(parameter, declared)
        declared[item.name] = parameter
    return tuple(declared.values())


def suggest(cls: type[T], suggester: Suggester, prefix: str = "") -> T:
    """Make an instance from suggestions.

    Searched and active hyperparameters are asked for in order of declaration, as `prefix + name`; the others take
    their defaults.
    """
    values: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    for parameter in hyperparameters(cls):
        active = parameter.active(chosen)
        asked = active and parameter.searched
        values[parameter.name] = (
            parameter.range.suggest(suggester, prefix + parameter.name) if asked else parameter.default
        )
        if active:
            chosen[parameter.name] = values[parameter.name]
    return cls(**values)


def check(instance: object) -> None:
    """Refuse values outside their limits; families call it in `__post_init__`.

    Raises:
        ValueError: naming the hyperparameter, the value and what is accepted.
    """
    for parameter in hyperparameters(type(instance)):
        value = getattr(instance, parameter.name)
        if not parameter.limits.contains(value):
            raise ValueError(f"{parameter.name} is {value!r}; it must be {parameter.limits}")


def _declared(default: Any, range_: Range, help_: str, searched: bool, when: When | None, limits: Range | None) -> Any:
    facts = {"range": range_, "help": help_, "searched": searched, "when": dict(when or {}), "limits": limits or range_}
    return field(default=default, metadata={_KEY: facts})


def _check_when(parameter: Hyperparameter, earlier: Mapping[str, Hyperparameter]) -> None:
    for name, values in parameter.when.items():
        if name not in earlier:
            known = ", ".join(earlier) or "there are none"
            raise ValueError(f"`when` of {parameter.name!r} names {name!r}; accepted are earlier siblings: {known}")
        options = earlier[name].range
        if isinstance(options, Choice) and not all(options.contains(value) for value in values):
            raise ValueError(
                f"`when` of {parameter.name!r} gives {name!r} the values {values}; accepted: {options.options}"
            )
