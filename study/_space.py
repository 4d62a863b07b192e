"""A study's search space: what a trial samples, and what follows from it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models._family import Family
from models._hyperparameters import Choice, Hyperparameter, Suggester, hyperparameters
from objectives._learning import Learning
from study._ranges import When

MODEL = "model"


@dataclass(frozen=True)
class Space:
    """All hyperparameters of a study that can count, conditions before what they decide.

    Attributes:
        families: Those that may be chosen, by the name used in the study file.
        parameters: Fixed and searched ones, in the order of sampling. Each counts where its `when` holds.
        fixed: The values of those that are not searched.
        narrowed: The study's own conditions: where a parameter counts but these do not hold, it has the value in
            `elsewhere` and is not searched.
        elsewhere: As said.
        unused: Names in the study file that can never count, as the momentum of a fixed optimizer without one.
        declared: `parameters`, and those that can never count in a new trial but may have in one of an earlier space.
    """

    families: Mapping[str, Family[Any]]
    parameters: tuple[Hyperparameter, ...]
    fixed: Mapping[str, Any]
    narrowed: Mapping[str, When]
    elsewhere: Mapping[str, Any]
    unused: tuple[str, ...] = ()
    declared: tuple[Hyperparameter, ...] = ()

    def sample(self, suggester: Suggester) -> dict[str, Any]:
        """Ask for every searched parameter that is active given those before it; the values by name."""
        return self._searched_values(lambda parameter: parameter.range.suggest(suggester, parameter.name))

    def defaults(self, model: str) -> dict[str, Any]:
        """As `sample`, with the given family and every other parameter at its default."""
        return self._searched_values(lambda parameter: model if parameter.name == MODEL else parameter.default)

    def resolved(self, sampled: Mapping[str, Any]) -> dict[str, Any]:
        """Every value that counts for a trial: its sampled ones and the fixed ones that are active.

        A value of the trial's own comes first: what is fixed now may have been searched when it was sampled.

        Raises:
            KeyError: The trial lacks a value.
        """
        return self._walk(self.declared, lambda parameter: sampled[parameter.name], sampled)

    def family(self, sampled: Mapping[str, Any]) -> tuple[Family[Any], Any]:
        """The chosen family and its hyperparameters.

        Raises:
            ValueError: The family refuses the values.
        """
        values = self.resolved(sampled)
        family = self.families[values[MODEL]]
        return family, _instance(family.hyperparameters, values, f"{family.name}.")

    def learning(self, sampled: Mapping[str, Any]) -> Learning:
        """The chosen learning hyperparameters.

        Raises:
            ValueError: They do not go together.
        """
        learning: Learning = _instance(Learning, self.resolved(sampled), "")
        return learning

    @property
    def searched(self) -> tuple[Hyperparameter, ...]:
        """Those that are not fixed."""
        return tuple(parameter for parameter in self.parameters if parameter.name not in self.fixed)

    def conditions(self, parameter: Hyperparameter) -> When:
        """Where a parameter is searched: its declared conditions and the study's."""
        return {**parameter.when, **self.narrowed.get(parameter.name, {})}

    def _searched_values(self, choose: Callable[[Hyperparameter], Any]) -> dict[str, Any]:
        chosen: dict[str, Any] = {}

        def choose_and_keep(parameter: Hyperparameter) -> Any:
            chosen[parameter.name] = choose(parameter)
            return chosen[parameter.name]

        self._walk(self.parameters, choose_and_keep, {})
        return chosen

    def _walk(
        self,
        parameters: Iterable[Hyperparameter],
        choose: Callable[[Hyperparameter], Any],
        given: Mapping[str, Any],
    ) -> dict[str, Any]:
        known: dict[str, Any] = {}
        for parameter in parameters:
            name = parameter.name
            if not parameter.active(known):
                continue
            if name in given:
                known[name] = given[name]
            elif name in self.fixed:
                known[name] = self.fixed[name]
            elif name in self.narrowed and not holds(self.narrowed[name], known):
                known[name] = self.elsewhere[name]
            else:
                known[name] = choose(parameter)
        return known


def holds(when: When, known: Mapping[str, Any]) -> bool:
    """Whether conditions hold, given the values of the active parameters."""
    return all(name in known and Choice(values).contains(known[name]) for name, values in when.items())


def _instance(cls: type[Any], values: Mapping[str, Any], prefix: str) -> Any:
    names = [declared.name for declared in hyperparameters(cls)]
    return cls(**{name: values[prefix + name] for name in names if prefix + name in values})
