"""What becomes of trials' stored parameters when the space of their study changes."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from models._hyperparameters import Choice, Hyperparameter
from storage.errors import ConfigError
from storage.spaces import Parameters
from study._distributions import distribution_of, only
from study._explaining import shown
from study._space import Space, holds


@dataclass
class Rewriting:
    """Stores old trials' parameters as the new space has them, each trial's configuration unchanged.

    Values inside the new range get its distribution, so that Optuna accepts them beside new ones and samplers learn
    from them; values outside keep theirs. What was fixed and is so no longer becomes a parameter of the trial.

    Attributes:
        outside: Trials that have a value outside of the new range, by parameter; as of the last call.
    """

    old: Space
    new: Space
    outside: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._searched = {parameter.name: parameter for parameter in self.new.searched}
        self._distributions = {name: distribution_of(item.range) for name, item in self._searched.items()}
        self._declared = {item.name: item for item in (*self.old.declared, *self.new.declared)}

    def __call__(self, trials: Sequence[FrozenTrial], ours: Collection[int]) -> dict[int, Parameters]:
        """As `storage.spaces.Rewrite`.

        Raises:
            ConfigError: A trial could not be rebuilt in the new space, or waits with values that it has not.
        """
        self.outside.clear()
        rewritten: dict[int, Parameters] = {}
        for trial in trials:
            if trial.state is TrialState.WAITING:
                self._check_waiting(trial)
            missing = self._missing(trial) if trial._trial_id in ours else {}
            parameters = self._converted(trial.number, {**trial.params, **missing}, trial)
            if parameters:
                rewritten[trial._trial_id] = parameters
        return rewritten

    def _missing(self, trial: FrozenTrial) -> Mapping[str, Any]:
        """What follows from the old space for this trial, and not from the new one."""
        try:
            before = self.old.resolved(trial.params)
        except KeyError:
            return {}  # nothing was sampled yet
        implied = dict(self.new.fixed)
        for name, when in self.new.narrowed.items():
            if name not in implied and not holds(when, before):
                implied[name] = self.new.elsewhere[name]
        lacking = {name: value for name, value in before.items() if name not in trial.params}
        missing = {name: value for name, value in lacking.items() if not _equal(implied, name, value)}
        self._check_rebuilt(trial, {**trial.params, **missing}, before)
        return missing

    def _check_rebuilt(self, trial: FrozenTrial, values: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        try:
            after = self.new.resolved(values)
        except KeyError as lacking:
            after = {"what it lacks": lacking}
        if after != before:
            differing = sorted({name for name in {*before, *after} if before.get(name) != after.get(name)})
            raise ConfigError(
                f"trial {trial.number} could not be rebuilt in this space ({', '.join(differing[:5])} would differ); "
                "leave what it was made of in the space, or start a study of another name"
            )

    def _converted(self, number: int, values: Mapping[str, Any], trial: FrozenTrial) -> Parameters:
        found: dict[str, Any] = {}
        for name, value in values.items():
            parameter = self._searched.get(name)
            inside = parameter is not None and parameter.range.contains(value)
            if parameter is not None and not inside:
                self.outside[name] += 1
            if inside:
                kind = self._distributions[name]
            elif name in trial.params:
                continue
            else:
                kind = only(value, self._declared[name].range)
            if trial.distributions.get(name) != kind:
                found[name] = (kind.to_internal_repr(value), kind)
        return found

    def _check_waiting(self, trial: FrozenTrial) -> None:
        asked = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        for name, value in asked.items():
            if name in self._declared and not self._possible(self._declared[name], value):
                raise ConfigError(
                    f"trial {trial.number} waits to be run with {name} = {shown(value)}, which is not in this space; "
                    "let it run before, or leave the value in the space"
                )

    def _possible(self, declared: Hyperparameter, value: Any) -> bool:
        searched = self._searched.get(declared.name)
        return searched.range.contains(value) if searched else _equal(self.new.fixed, declared.name, value)


def _equal(values: Mapping[str, Any], name: str, value: Any) -> bool:
    return name in values and Choice((values[name],)).contains(value)
