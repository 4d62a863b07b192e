"""Ranges of hyperparameters, and what chooses from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Suggester(Protocol):
    """Chooses values; `optuna.Trial` is one. The same name is always asked for with the same kind of range."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return an integer from low to high, both included."""
        ...

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a number from low to high, both included."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""
        ...


@dataclass(frozen=True)
class Integer:
    """The integers low, low + step, …, high; on a logarithmic scale when `log` (then low >= 1 and step 1)."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            if not _is_integer(getattr(self, name)):
                raise ValueError(f"{name} of an integer range is {getattr(self, name)!r}; it must be an integer")
        _check_range(self.low, self.high, self.step, self.log)
        if self.log and self.step != 1:
            raise ValueError(f"step is {self.step}; a logarithmic integer range has step 1")

    def suggest(self, suggester: Suggester, name: str) -> int:
        """Ask for a value under this name."""
        return suggester.suggest_int(name, self.low, self.high, step=self.step, log=self.log)

    def contains(self, value: object) -> bool:
        """Whether the value is an integer (no bool, no float) of this range."""
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def __str__(self) -> str:
        steps = f" in steps of {self.step}" if self.step > 1 else ""
        return f"an integer from {self.low} to {self.high}{steps}"


@dataclass(frozen=True)
class Real:
    """The numbers from low to high: low, low + step, …, high if a step is given; on a logarithmic scale when `log`."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if not (_is_number(value) or (name == "step" and value is None)):
                raise ValueError(f"{name} of a real range is {value!r}; it must be a finite number")
        _check_range(self.low, self.high, self.step, self.log)
        if self.log and self.step is not None:
            raise ValueError(f"step is {self.step}; a logarithmic real range has none")

    def suggest(self, suggester: Suggester, name: str) -> float:
        """Ask for a value under this name."""
        return suggester.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def contains(self, value: object) -> bool:
        """Whether the value is a finite number (no bool) of this range; steps are met to one part in 10^8."""
        if not isinstance(value, int | float) or not _is_number(value):
            return False
        if self.step is None:
            return self.low <= value <= self.high
        # Sums of steps miss the ends by rounding (0.1 + 0.2 > 0.3), so the ends are counted in steps too.
        inside = self.low - self.step / 2 < value < self.high + self.step / 2
        return inside and _is_multiple(value - self.low, self.step)

    def __str__(self) -> str:
        steps = f" in steps of {self.step}" if self.step is not None else ""
        return f"a number from {self.low} to {self.high}{steps}"


@dataclass(frozen=True)
class Choice:
    """One of the options: distinct strings, numbers, booleans or None."""

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        if not self.options:
            raise ValueError("a choice has no options; give at least one")
        for index, option in enumerate(self.options):
            if not (option is None or isinstance(option, str | bool) or _is_number(option)):
                raise ValueError(f"{option!r} cannot be chosen; options are strings, finite numbers, booleans or None")
            if any(_same(option, earlier) for earlier in self.options[:index]):
                raise ValueError(f"{option!r} is an option twice")

    def suggest(self, suggester: Suggester, name: str) -> Any:
        """Ask for one of the options under this name."""
        return suggester.suggest_categorical(name, self.options)

    def contains(self, value: object) -> bool:
        """Whether the value is an option; True is not 1, and 3.0 is not 3."""
        return any(_same(value, option) for option in self.options)

    def __str__(self) -> str:
        return "one of " + ", ".join(repr(option) for option in self.options)


Range = Integer | Real | Choice


def _check_range(low: float, high: float, step: float | None, log: bool) -> None:
    if low > high:
        raise ValueError(f"the range is {low} to {high}; low must not be above high")
    if step is not None and step <= 0:
        raise ValueError(f"step is {step}; it must be positive")
    if step is not None and not _is_multiple(high - low, step):
        raise ValueError(f"step is {step}; {low} to {high} must be a whole number of steps")
    if log and low <= 0:
        raise ValueError(f"low is {low}; a logarithmic range starts above 0")


def _is_multiple(value: float, step: float) -> bool:
    steps = value / step
    return math.isclose(steps, round(steps), rel_tol=1e-8, abs_tol=1e-8)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _same(left: object, right: object) -> bool:
    return type(left) is type(right) and left == right
