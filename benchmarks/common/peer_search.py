"""Studyhall's default sampler for a plain Optuna study: a fresh one for each trial, as our agents make it."""

from collections.abc import Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState
from peer_space import study_tree

from models.cnn import FAMILY
from study.config import StudyConfig
from study.search import make_sampler
from study.space import build_space


class OurSampler(BaseSampler):
    """Passes each trial to the sampler that Studyhall makes for its number."""

    def __init__(self, *, seed: int, trials: int, epochs: int) -> None:
        tree = study_tree("events.h5", seed=seed, trials=trials, epochs=epochs, search=None)
        self._config = StudyConfig.model_validate(tree)
        self._space = build_space(tree["space"], {FAMILY.name: FAMILY})
        self._made: BaseSampler | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """See Optuna."""
        return self._current.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See Optuna."""
        return self._current.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See Optuna."""
        return self._current.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """See Optuna."""
        self._made = make_sampler(self._config, trial.number, self._space)
        self._made.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """See Optuna."""
        self._current.after_trial(study, trial, state, values)

    @property
    def _current(self) -> BaseSampler:
        if self._made is None:
            raise RuntimeError("no trial has begun")
        return self._made
