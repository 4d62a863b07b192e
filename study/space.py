"""The search space of a study file: every declared hyperparameter, narrowed, widened or fixed as the file says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from models._family import Family
from models._hyperparameters import Choice, Hyperparameter, Range, Real
from storage.errors import ConfigError
from study._declarations import accept, declarations, unknown
from study._explaining import mistakes, one_per_line, shown
from study._ranges import Given, When, check_value, parse_value
from study._space import MODEL, Space

__all__ = ["MODEL", "Space", "build_space", "chosen_models"]


def chosen_models(given: Mapping[str, Any], default: Sequence[str]) -> list[str]:
    """The family names that a study file's `space.model` allows.

    Raises:
        ConfigError: `model` is neither a name nor a choice of different names.
    """
    model = given.get(MODEL, {"choice": list(default)})
    if isinstance(model, str):
        return [model]
    names = model.get("choice") if isinstance(model, Mapping) and set(model) == {"choice"} else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"space.model is {shown(model)}; give one family, or {{choice: [cnn, resnet]}}")
    if len(set(names)) < len(names):
        raise ConfigError(f"space.model is {shown(model)}; give each family once")
    return names


def build_space(given: Mapping[str, Any], chosen: Mapping[str, Family[Any]]) -> Space:
    """The space of a study file.

    Args:
        given: The file's `space` section: constants and distributions by name.
        chosen: The families that the file's `model` allows, by the name used there.

    Raises:
        ConfigError: An unknown name, a value that its hyperparameter cannot have, or a `when` that cannot hold; all
            of them, one per line.
    """
    declared = declarations(chosen)
    found: list[str] = []
    parsed: dict[str, Given] = {}
    for name in sorted(set(given) - {MODEL}):
        with mistakes(found):
            if name not in declared:
                raise ConfigError(unknown(name, declared))
            parsed[name] = parse_value(declared[name], given[name], accept)
    parameters = {name: _ranged(item, parsed.get(name)) for name, item in declared.items()}
    fixed = {name: _constant(item, parsed.get(name)) for name, item in declared.items() if _is_fixed(item, parsed)}
    narrowed: dict[str, When] = {}
    for name, item in parsed.items():
        if item.when:
            with mistakes(found):
                when = _adopted(name, item.when, declared)
                narrowed[name] = _possible(parameters[name], when, parameters, fixed)
    with mistakes(found):
        elsewhere = {name: declared[name].default for name in narrowed}
        ordered = _in_order(parameters, narrowed)
        space = Space(chosen, ordered, fixed, narrowed, elsewhere, declared=ordered)
    if found:
        raise ConfigError(found[0] if len(found) == 1 else one_per_line("the search space", found))
    space = _without_unused(space, given)
    _check_defaults(space)
    return space


def _is_fixed(declared: Hyperparameter, parsed: Mapping[str, Given]) -> bool:
    given = parsed.get(declared.name)
    return given.range is None if given else not declared.searched


def _constant(declared: Hyperparameter, given: Given | None) -> Any:
    return declared.default if given is None else given.constant


def _ranged(declared: Hyperparameter, given: Given | None) -> Hyperparameter:
    """The hyperparameter with the study's range."""
    if given is None or given.range is None:
        return declared
    default = declared.default if given.range.contains(declared.default) else _first(given.range)
    return Hyperparameter(declared.name, default, given.range, declared.help, searched=True, when=declared.when)


def _first(range_: Range) -> Any:
    return range_.options[0] if isinstance(range_, Choice) else range_.low


def _adopted(parameter: str, when: When, declared: Mapping[str, Hyperparameter]) -> When:
    """The study's conditions on a parameter, with values as they are declared."""
    adopted: dict[str, tuple[Any, ...]] = {}
    for name, values in when.items():
        where = f"space.{parameter}: when names {name}"
        if name not in declared:
            raise ConfigError(f"{where}; {unknown(name, declared)}")
        try:
            adopted[name] = tuple(check_value(declared[name], value, accept) for value in values)
        except ValueError as error:
            raise ConfigError(f"{where} {shown(list(values))}; {error}") from None
    return adopted


def _possible(
    parameter: Hyperparameter, when: When, parameters: Mapping[str, Hyperparameter], fixed: Mapping[str, Any]
) -> When:
    """The study's conditions, none of which excludes the declared ones or what is searched."""
    for name, values in when.items():
        where, other, counts = f"space.{parameter.name}: when names {name}", parameters[name], parameter.when.get(name)
        if isinstance(other.range, Real) and name not in fixed:
            raise ConfigError(f"{where}, any number in a range; give {name} a choice, or an int range")
        possible = [value for value in values if name in fixed or other.range.contains(value)]
        if not any(counts is None or Choice(counts).contains(value) for value in possible):
            hint = f"; {parameter.name} counts where {name} is one of {shown(list(counts))}" if counts else ""
            raise ConfigError(f"{where} {shown(list(values))}, which never holds{hint}")
    return when


def _in_order(parameters: Mapping[str, Hyperparameter], narrowed: Mapping[str, When]) -> tuple[Hyperparameter, ...]:
    """Parameters in the order of declaration, but after those that their conditions name."""
    placed: dict[str, Hyperparameter] = {}

    def place(name: str, below: tuple[str, ...]) -> None:
        if name in below:
            circle = " → ".join([*below[below.index(name) :], name])
            raise ConfigError(f"space: the conditions (when) go in a circle: {circle}")
        if name not in placed:
            for other in {**parameters[name].when, **narrowed.get(name, {})}:
                place(other, (*below, name))
            placed[name] = parameters[name]

    for name in parameters:
        place(name, ())
    return tuple(placed.values())


def _without_unused(space: Space, given: Iterable[str]) -> Space:
    """The space less the parameters that can never count, and with those constant that can never be searched."""
    able: dict[str, Hyperparameter] = {}
    fixed = dict(space.fixed)

    def can_hold(when: When) -> bool:
        return all(name in able and any(may_be(able[name], value) for value in when[name]) for name in when)

    def may_be(parameter: Hyperparameter, value: Any) -> bool:
        name = parameter.name
        if name in fixed:
            return Choice((fixed[name],)).contains(value)
        return parameter.range.contains(value) or (name in space.elsewhere and space.elsewhere[name] == value)

    unused = set(given) - {MODEL}
    for parameter in space.parameters:
        if can_hold(parameter.when):
            able[parameter.name] = parameter
            if not can_hold(space.narrowed.get(parameter.name, {})):
                fixed[parameter.name] = space.elsewhere[parameter.name]
            else:
                unused.discard(parameter.name)
    constants = {name: value for name, value in fixed.items() if name in able}
    return replace(space, parameters=tuple(able.values()), fixed=constants, unused=tuple(sorted(unused)))


def _check_defaults(space: Space) -> None:
    """Refuse constants that do not go together."""
    for model in space.families:
        try:
            space.family(space.defaults(model))
            space.learning(space.defaults(model))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"space, with {model} and what is searched at its default: {error}") from None
