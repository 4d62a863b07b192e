"""Hyperparameters that somebody asks for are checked against the study's space."""

from pathlib import Path
from typing import Any

import pytest

from storage.errors import ConfigError
from study.asking import asked
from study.loading import validated
from study.plan import build_plan
from study.space import Space

SPACE: dict[str, Any] = {
    "model": {"choice": ["cnn", "mlp"]},
    "optimizer": {"choice": ["sgd", "adam"]},
    "lr": {"float": [1e-4, 1e-2], "log": True},
    "batch_size": 32,
    "cnn.depth": {"int": [2, 4]},
}


def space(**changed: Any) -> Space:
    tree = {"data": {"path": "events.h5"}, "space": SPACE | changed}
    return build_plan(validated(tree, default_name="q", source="test"), Path()).space


def test_values_are_read_as_in_a_study_file() -> None:
    values = asked(space(), ["lr=1e-3", "model=cnn", "cnn.depth=3", "optimizer=sgd", "momentum=0.9"])

    assert values == {"lr": 0.001, "model": "cnn", "cnn.depth": 3, "optimizer": "sgd", "momentum": 0.9}


def test_a_fixed_hyperparameter_may_be_given_with_its_value_and_is_not_sampled() -> None:
    assert asked(space(), ["batch_size=32", "lr=0.001"]) == {"lr": 0.001}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give at least one hyperparameter"),
        (["lr"], r"'lr' is not name=value, for example lr=0.001"),
        (["=3"], r"'=3' is not name=value"),
        (["lr=0.001", "lr=0.002"], "lr is given twice"),
        (["lrr=0.001"], r"unknown key space.lrr; did you mean space.lr\?"),
        (["lr=[1"], "not valid YAML"),
        (["lr=fast"], r'lr is "fast"; Accepted: a number'),
        (["lr=true"], r"lr is true; Accepted: a number"),
        (["lr=0.5"], r"lr is 0.5; the study searches a number from 0.0001 to 0.01"),
        (["model=cnn", "cnn.depth=2.5"], r"cnn.depth is 2.5; Accepted: an integer"),
        (["model=cnn", "cnn.depth=9"], r"cnn.depth is 9; .*(searches an integer from 2 to 4|must be)"),
        (["model=resnet"], r'model is "resnet"; Accepted: cnn | mlp'),
        (["batch_size=64"], r"batch_size is 64; the study fixes it at 32: leave it out"),
        (
            ["optimizer=adam", "momentum=0.9"],
            r'momentum: it counts where optimizer is "sgd" or "rmsprop"; optimizer is "adam"',
        ),
        (["momentum=0.9"], r"momentum: it counts where optimizer is .*; give optimizer too"),
        (["model=mlp", "cnn.depth=3"], r'cnn.depth: it counts where model is "cnn"; model is "mlp"'),
    ],
)
def test_what_the_study_does_not_search_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        asked(space(), words)


def test_a_hyperparameter_that_can_never_count_is_refused_with_its_condition() -> None:
    with pytest.raises(ConfigError, match=r"momentum never counts in this study; it counts where optimizer is .sgd."):
        asked(space(optimizer="adam"), ["momentum=0.9"])


def test_all_mistakes_are_told() -> None:
    with pytest.raises(ConfigError, match=r"(?s)the trial has 2 mistakes:\n.*lr is 7.*\n.*unknown key space.x"):
        asked(space(), ["lr=7", "x=1"])
