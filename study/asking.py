"""Hyperparameters that somebody asks for, checked against a study's space."""

from collections.abc import Mapping, Sequence
from typing import Any

from models._hyperparameters import Choice, Hyperparameter
from storage.errors import ConfigError
from study._declarations import accept, declarations, unknown
from study._explaining import mistakes, one_per_line, shown
from study._ranges import check_value
from study._space import Space, holds
from study._yaml import parse_yaml


def asked(space: Space, words: Sequence[str]) -> dict[str, Any]:
    """What ``key=value`` words ask for, as enqueued trials take it.

    Raises:
        ConfigError: A name that no hyperparameter has, a value that the study does not search, or one that would not
            count in such a trial; all of them, one per line.
    """
    declared = declarations(space.families)
    searched = {parameter.name: parameter for parameter in space.searched}
    found: list[str] = []
    values: dict[str, Any] = {}
    for name, given in _given(words).items():
        with mistakes(found):
            if name not in declared:
                raise ConfigError(unknown(name, declared))
            value = _value(declared[name], given)
            if name in searched:
                values[name] = _searched(searched[name], value)
            else:
                _check_fixed(space, declared[name], value)
    for name in values:
        with mistakes(found):
            _check_counts(space, searched[name], values)
    if not found:
        with mistakes(found):
            _check_together(space, values)
    if found:
        raise ConfigError(one_per_line("the trial", found) if len(found) > 1 else found[0])
    return values


def _given(words: Sequence[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals and text.strip()):
            raise ConfigError(f"{word!r} is not name=value, for example lr=0.001")
        if name in given:
            raise ConfigError(f"{name} is given twice")
        given[name] = parse_yaml(text, word)
    if not given:
        raise ConfigError("give at least one hyperparameter, for example lr=0.001; the others are sampled")
    return given


def _value(declared: Hyperparameter, given: Any) -> Any:
    try:
        return check_value(declared, given, accept)
    except ValueError as error:
        raise ConfigError(f"{declared.name} is {shown(given)}; {error}") from None


def _searched(parameter: Hyperparameter, value: Any) -> Any:
    if not parameter.range.contains(value):
        raise ConfigError(f"{parameter.name} is {shown(value)}; the study searches {parameter.range}")
    return value


def _check_fixed(space: Space, declared: Hyperparameter, value: Any) -> None:
    """Accept of what is not searched only the value that it has anyway."""
    name = declared.name
    if name not in space.fixed:
        raise ConfigError(f"{name} never counts in this study; {conditions_in_words(declared.when)}")
    if not Choice((space.fixed[name],)).contains(value):
        raise ConfigError(
            f"{name} is {shown(value)}; the study fixes it at {shown(space.fixed[name])}: "
            "leave it out, or search it in a study of another name"
        )


def _check_counts(space: Space, parameter: Hyperparameter, values: Mapping[str, Any]) -> None:
    """Refuse a value that does not count, or that may not, given the others."""
    when = space.conditions(parameter)
    known = {**space.fixed, **values}
    for name, allowed in when.items():
        if name not in known:
            raise ConfigError(f"{parameter.name}: {conditions_in_words(when)}; give {name} too")
        if not holds({name: allowed}, known):
            raise ConfigError(f"{parameter.name}: {conditions_in_words(when)}; {name} is {shown(known[name])}")


def conditions_in_words(when: Mapping[str, Sequence[Any]]) -> str:
    """Where a hyperparameter counts."""
    parts = [f"{name} is {' or '.join(map(shown, values))}" for name, values in when.items()]
    return f"it counts where {' and '.join(parts)}"


def _check_together(space: Space, values: Mapping[str, Any]) -> None:
    """Refuse values that do not go together, where no other is left to be sampled."""
    try:
        space.resolved(values)
    except KeyError:
        return
    try:
        space.family(values)
        space.learning(values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"these values do not go together: {error}") from None
