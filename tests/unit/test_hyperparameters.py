import math
import re
from dataclasses import dataclass, field
from typing import Any

import optuna
import pytest

from models._hyperparameters import (
    Choice,
    Hyperparameter,
    Integer,
    Real,
    check,
    choice,
    hyperparameters,
    integer,
    real,
    suggest,
)


@dataclass(frozen=True)
class Net:
    pool: str = choice("max", ("max", "none"), help="pooling")
    window: int = integer(2, 2, 6, step=2, help="window", when={"pool": ("max",)})
    shift: int = integer(1, 0, 1, help="shift", when={"window": (4, 6)})
    width: int = integer(16, 8, 64, log=True, help="width", limits=Integer(1, 512))
    dropout: float = real(0.1, 0.0, 0.5, help="dropout")
    slope: float = real(0.01, 0.001, 0.1, log=True, help="slope", searched=False)

    def __post_init__(self) -> None:
        check(self)


class Recorder:
    """Takes the highest value or last option, unless told otherwise, and remembers what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: dict[str, tuple[Any, ...]] = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.asked[name] = (low, high, step, log)
        return self.answers.get(name, high)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.asked[name] = (low, high, step, log)
        return self.answers.get(name, high)

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.asked[name] = tuple(choices)
        return self.answers.get(name, choices[-1])


def test_declared_hyperparameters_come_in_order_with_all_they_say() -> None:
    declared = hyperparameters(Net)

    assert [parameter.name for parameter in declared] == ["pool", "window", "shift", "width", "dropout", "slope"]
    assert declared[0] == Hyperparameter("pool", "max", Choice(("max", "none")), "pooling")
    assert declared[1] == Hyperparameter("window", 2, Integer(2, 6, 2), "window", when={"pool": ("max",)})
    assert declared[3].range == Integer(8, 64, log=True)
    assert declared[3].limits == Integer(1, 512)
    assert declared[5] == Hyperparameter("slope", 0.01, Real(0.001, 0.1, log=True), "slope", searched=False)


def test_the_default_of_a_field_is_the_declared_one() -> None:
    assert Net() == Net(pool="max", window=2, shift=1, width=16, dropout=0.1, slope=0.01)


def test_searched_hyperparameters_are_asked_for_in_order_under_the_prefix() -> None:
    suggester = Recorder(**{"net.pool": "max", "net.window": 4})

    net = suggest(Net, suggester, "net.")

    assert net == Net(pool="max", window=4, shift=1, width=64, dropout=0.5)
    assert list(suggester.asked.items()) == [
        ("net.pool", ("max", "none")),
        ("net.window", (2, 6, 2, False)),
        ("net.shift", (0, 1, 1, False)),
        ("net.width", (8, 64, 1, True)),
        ("net.dropout", (0.0, 0.5, None, False)),
    ]


def test_inactive_hyperparameters_and_those_that_hang_on_them_take_their_defaults() -> None:
    suggester = Recorder(pool="none")

    net = suggest(Net, suggester)

    assert (net.window, net.shift) == (2, 1)
    assert {"window", "shift"}.isdisjoint(suggester.asked)


def test_a_sibling_at_another_value_makes_it_inactive() -> None:
    suggester = Recorder(pool="max", window=2)

    suggest(Net, suggester)

    assert "shift" not in suggester.asked


def test_what_hangs_on_an_inactive_sibling_is_inactive_whatever_its_default() -> None:
    parameter = Hyperparameter("child", 1, Integer(0, 1), "child", when={"parent": (3,)})

    assert parameter.active({"parent": 3})
    assert not parameter.active({"parent": 4})
    assert not parameter.active({})


def test_an_optuna_trial_suggests() -> None:
    net = suggest(Net, optuna.trial.FixedTrial({"pool": "none", "width": 9, "dropout": 0.25}))

    assert net == Net(pool="none", width=9, dropout=0.25)


@pytest.mark.parametrize(
    ("values", "inside", "outside"),
    [
        (Integer(2, 8, 2), [2, 4, 8], [1, 3, 9, 2.0, True, "2", None]),
        (Integer(1, 9, log=True), [1, 7, 9], [0, 10]),
        (Real(0.0, 0.3, 0.1), [0, 0.1, 0.3, 0.1 + 0.2], [0.05, -0.1, 0.4, True, math.nan, "0.1"]),
        (Real(0.1, 1.0, log=True), [0.1, 0.5, 1], [0.0, 1.01, math.inf]),
        (Choice((1, True, "a", None)), [1, True, "a", None], [1.0, False, "b", 0]),
    ],
    ids=str,
)
def test_a_range_knows_what_it_contains(values: Any, inside: list[Any], outside: list[Any]) -> None:
    assert [value for value in inside if not values.contains(value)] == []
    assert [value for value in outside if values.contains(value)] == []


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (Integer, (3, 2), "the range is 3 to 2; low must not be above high"),
        (Integer, (1, 2.0), "high of an integer range is 2.0; it must be an integer"),
        (Integer, (True, 2), "low of an integer range is True"),
        (Integer, (1, 9, 0), "step is 0; it must be positive"),
        (Integer, (1, 8, 2), "step is 2; 1 to 8 must be a whole number of steps"),
        (Integer, (0, 9, 1, True), "low is 0; a logarithmic range starts above 0"),
        (Integer, (1, 9, 2, True), "step is 2; a logarithmic integer range has step 1"),
        (Real, (0.0, math.inf), "high of a real range is inf; it must be a finite number"),
        (Real, (0.0, 1.0, None, True), "low is 0.0; a logarithmic range starts above 0"),
        (Real, (0.1, 1.1, 0.5, True), "step is 0.5; a logarithmic real range has none"),
        (Choice, ((),), "a choice has no options; give at least one"),
        (Choice, (("a", "a"),), "'a' is an option twice"),
        (Choice, (([1],),), "[1] cannot be chosen; options are strings, finite numbers, booleans or None"),
    ],
)
def test_an_impossible_range_is_refused(kind: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(*arguments)


def test_a_value_beyond_its_limits_is_refused_and_a_widened_one_is_not() -> None:
    assert Net(width=512).width == 512
    with pytest.raises(ValueError, match=r"^width is 513; it must be an integer from 1 to 512$"):
        Net(width=513)
    with pytest.raises(ValueError, match=r"^pool is 'min'; it must be one of 'max', 'none'$"):
        Net(pool="min")
    with pytest.raises(ValueError, match=r"^dropout is 0.6; it must be a number from 0.0 to 0.5$"):
        Net(dropout=0.6)
    with pytest.raises(ValueError, match=r"^window is 3; it must be an integer from 2 to 6 in steps of 2$"):
        Net(window=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"default": 9}, "the default 9 of 'depth' is not an integer from 1 to 3"),
        ({"limits": Integer(2, 3)}, "the default 1 of 'depth' is not an integer from 2 to 3"),
        ({"help": ""}, "the help of 'depth' is ''; it must be one line of text"),
        ({"help": "two\nlines"}, "it must be one line of text"),
        ({"when": {"pool": ()}}, "`when` of 'depth' names a sibling without values"),
    ],
)
def test_a_contradictory_hyperparameter_is_refused(changes: dict[str, Any], message: str) -> None:
    facts = {"name": "depth", "default": 1, "range": Integer(1, 3), "help": "depth"} | changes

    with pytest.raises(ValueError, match=re.escape(message)):
        Hyperparameter(**facts)


def test_when_names_earlier_siblings_only() -> None:
    @dataclass(frozen=True)
    class Late:
        window: int = integer(2, 1, 3, help="window", when={"pool": ("max",)})
        pool: str = choice("max", ("max", "none"), help="pooling")

    with pytest.raises(ValueError, match="`when` of 'window' names 'pool'; accepted are earlier siblings: there are"):
        hyperparameters(Late)


def test_when_names_options_of_the_sibling_only() -> None:
    @dataclass(frozen=True)
    class Wrong:
        pool: str = choice("max", ("max", "none"), help="pooling")
        window: int = integer(2, 1, 3, help="window", when={"pool": ("min",)})

    with pytest.raises(ValueError, match=re.escape("gives 'pool' the values ('min',); accepted: ('max', 'none')")):
        hyperparameters(Wrong)


def test_a_field_that_is_not_declared_is_named() -> None:
    @dataclass(frozen=True)
    class Bare:
        depth: int = 3

    @dataclass(frozen=True)
    class Factory:
        sizes: list[int] = field(default_factory=list)

    for cls, name in ((Bare, "Bare.depth"), (Factory, "Factory.sizes")):
        with pytest.raises(TypeError, match=f"{name} is not declared with integer"):
            hyperparameters(cls)


def test_a_plain_class_declares_nothing() -> None:
    with pytest.raises(TypeError, match="is not a dataclass; declare hyperparameters as fields of a frozen dataclass"):
        hyperparameters(int)
