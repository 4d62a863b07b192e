"""All parameters of a trial, proposed by Optuna's own code and held back until they are complete."""

import copy
from collections.abc import Callable, Container, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from storage._optuna import forget_cached_trials, reading_from
from study.space import Space

View = Callable[[Sequence[FrozenTrial]], list[FrozenTrial]]
"""What a sampler is shown of a study's trials."""

Parameters = dict[str, tuple[float, BaseDistribution]]
"""Internal value and distribution by name, as Optuna's storage takes them."""


class _HoldsParameters:
    """A storage that keeps a trial's new parameters to itself and passes everything else on.

    It reads the other trials once: a sampler that takes running trials into account asks for all of them at each of a
    trial's parameters, and in a study of many workers most of its time went there.
    """

    def __init__(self, storage: BaseStorage, known: FrozenTrial | None, view: View) -> None:
        self._storage, self._known, self._view = storage, known, view
        self._trials: dict[int, list[FrozenTrial]] = {}
        self.parameters: Parameters = {}

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if study_id not in self._trials:
            self._trials[study_id] = self._view(self._storage.get_all_trials(study_id, deepcopy=False))
        trials = [trial for trial in self._trials[study_id] if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if self._known is not None and self._known._trial_id == trial_id:
            return self._known
        return self._storage.get_trial(trial_id)

    def set_trial_param(self, trial_id: int, name: str, value: float, distribution: BaseDistribution) -> None:
        known = self.parameters.get(name)
        if known is not None:
            check_distribution_compatibility(known[1], distribution)
        self.parameters[name] = (value, distribution)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


Sampled = tuple[dict[str, Any], Parameters]
"""All sampled values by name, and those that are new and must be written."""


def sample(
    study: optuna.Study, space: Space, trial_id: int, *, known: FrozenTrial | None = None, view: View = list
) -> Sampled:
    """Propose what the trial does not have yet, exactly as ``Trial.suggest_*`` would.

    Args:
        study: With the sampler to use.
        space: What is searched.
        trial_id: A running trial; enqueued values and those that it has already win.
        known: The trial, where nobody can have given it a value yet: it is not read then.
        view: Of the other trials.
    """
    forget_cached_trials(study)
    held = _HoldsParameters(study._storage, known, view)
    with reading_from(study, held):
        return space.sample(optuna.Trial(study, trial_id)), held.parameters
