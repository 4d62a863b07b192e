"""The search space: which hyperparameters are searched, where, under which conditions, and which are fixed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from models._family import Family
from models._hyperparameters import Choice, Hyperparameter, Suggester, hyperparameters
from objectives._learning import Learning
from storage.errors import ConfigError
from study._ranges import parse_value

MODEL = "model"


@dataclass(frozen=True)
class Space:
    """All hyperparameters of a study, conditions before what they decide.

    Attributes:
        families: Those that may be chosen, by the name used in the study file.
        parameters: Fixed and searched ones, in the order of sampling.
        fixed: The values of those that are not searched.
    """

    families: Mapping[str, Family[Any]]
    parameters: tuple[Hyperparameter, ...]
    fixed: Mapping[str, Any]

    def sample(self, suggester: Suggester) -> dict[str, Any]:
        """Ask for every searched parameter that is active given those before it; the values by name."""
        values = self._walk(lambda parameter: parameter.range.suggest(suggester, parameter.name))
        return {name: value for name, value in values.items() if name not in self.fixed}

    def defaults(self, model: str) -> dict[str, Any]:
        """As `sample`, with the given family and every other parameter at its default."""
        values = self._walk(lambda parameter: model if parameter.name == MODEL else parameter.default)
        return {name: value for name, value in values.items() if name not in self.fixed}

    def resolved(self, sampled: Mapping[str, Any]) -> dict[str, Any]:
        """Every value that counts for a trial: its sampled ones and the fixed ones that are active."""
        return self._walk(lambda parameter: sampled[parameter.name])

    def family(self, sampled: Mapping[str, Any]) -> tuple[Family[Any], Any]:
        """The chosen family and its hyperparameters.

        Raises:
            ValueError: The family refuses the values.
        """
        values = self.resolved(sampled)
        family = self.families[values[MODEL]]
        return family, _instance(family.hyperparameters, values, f"{family.name}.")

    def learning(self, sampled: Mapping[str, Any]) -> Learning:
        """The chosen learning hyperparameters."""
        return _instance(Learning, self.resolved(sampled), "")

    @property
    def searched(self) -> tuple[Hyperparameter, ...]:
        """Those that are not fixed."""
        return tuple(parameter for parameter in self.parameters if parameter.name not in self.fixed)

    def _walk(self, choose: Callable[[Hyperparameter], Any]) -> dict[str, Any]:
        known: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.active(known):
                fixed = parameter.name in self.fixed
                known[parameter.name] = self.fixed[parameter.name] if fixed else choose(parameter)
        return known


def _instance(cls: type[Any], values: Mapping[str, Any], prefix: str) -> Any:
    names = [declared.name for declared in hyperparameters(cls)]
    return cls(**{name: values[prefix + name] for name in names if prefix + name in values})


def build_space(given: Mapping[str, Any], families: Mapping[str, Family[Any]]) -> Space:
    """The space of a study file.

    Args:
        given: The file's `space` section: constants and distributions by name.
        families: Those that the file's `model` may choose from, by the name used there.

    Raises:
        ConfigError: An unknown name, a value that its hyperparameter cannot take, or a `when` that can never hold.
    """
    declared = _declared(families)
    _refuse_unknown([name for name in given if name != MODEL], declared)
    parameters: dict[str, Hyperparameter] = {}
    fixed: dict[str, Any] = {}
    for name, default in declared.items():
        value = parse_value(default, given[name]) if name in given and name != MODEL else default
        parameters[name] = value if isinstance(value, Hyperparameter) else default
        if not isinstance(value, Hyperparameter):
            fixed[name] = value
        elif not value.searched:
            fixed[name] = value.default
    _check_conditions([parameters[name] for name in given if name != MODEL], parameters, fixed)
    return Space(families, _in_order(parameters), fixed)


def chosen_models(given: Mapping[str, Any], default: Sequence[str]) -> list[str]:
    """The family names that a study file's `space.model` allows.

    Raises:
        ConfigError: `model` is neither a name nor a choice of names.
    """
    model = given.get(MODEL, {"choice": list(default)})
    if isinstance(model, str):
        return [model]
    names = model.get("choice") if isinstance(model, dict) and set(model) == {"choice"} else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"space.model is {model!r}; give one family, or {{choice: [cnn, resnet]}}")
    return names


def _declared(families: Mapping[str, Family[Any]]) -> dict[str, Hyperparameter]:
    """Every declared hyperparameter by its full name: the model, how it learns, each family's own."""
    names = tuple(families)
    model = Hyperparameter(MODEL, names[0], Choice(names), "the network family", searched=len(names) > 1)
    declared = {MODEL: model} | {item.name: item for item in hyperparameters(Learning)}
    for spec, family in families.items():
        for item in hyperparameters(family.hyperparameters):
            conditions = {f"{family.name}.{name}": values for name, values in item.when.items()}
            declared[f"{family.name}.{item.name}"] = Hyperparameter(
                f"{family.name}.{item.name}",
                item.default,
                item.range,
                item.help,
                searched=item.searched,
                when={MODEL: (spec,), **conditions},
            )
    return declared


def _refuse_unknown(names: Sequence[str], declared: Mapping[str, Hyperparameter]) -> None:
    for name in names:
        if name not in declared:
            close = get_close_matches(name, declared, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            prefix = name.partition(".")[0] + "." if "." in name else ""
            near = [known for known in declared if known.startswith(prefix)] or list(declared)
            raise ConfigError(f"unknown key 'space.{name}'; {hint}Accepted: model, {', '.join(near)}")


def _check_conditions(
    given: Sequence[Hyperparameter], parameters: Mapping[str, Hyperparameter], fixed: Mapping[str, Any]
) -> None:
    for parameter in given:
        for name, values in parameter.when.items():
            if name not in parameters:
                raise ConfigError(f"space.{parameter.name}: `when` names {name!r}, which is no hyperparameter here")
            other = parameters[name]
            if name not in fixed and not any(other.range.contains(value) for value in values):
                raise ConfigError(f"space.{parameter.name}: `when` wants {name} in {list(values)}, which it never is")


def _in_order(parameters: Mapping[str, Hyperparameter]) -> tuple[Hyperparameter, ...]:
    placed: dict[str, Hyperparameter] = {}
    waiting = dict(parameters)
    while waiting:
        ready = [n for n, p in waiting.items() if not any(c in waiting for c in p.when)]
        if not ready:
            raise ConfigError(f"space: the conditions (`when`) of {', '.join(waiting)} depend on each other in a circle")
        placed |= {name: waiting.pop(name) for name in ready}
    return tuple(placed.values())
