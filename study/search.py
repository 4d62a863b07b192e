"""Samplers and pruners: ours by default, every one of Optuna's by name with its options."""

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner, PatientPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from pydantic import ValidationError

from storage.errors import ConfigError
from study._explaining import shown
from study._grid import grid, listed_values
from study._optuna_options import classes, find, make
from study._space import Space
from study.config import NamedSection, StudyConfig

SAMPLER, PRUNER = "search.sampler", "search.pruner"
METRIC = "metric"
"""Option of every pruner: with several objectives it must name the one whose curve prunes, which is the first."""
RANDOM_SHARE = 0.25
"""Share of trials that stay random after TPE's start, so that no part of the space is given up."""
MOST_STARTUP_TRIALS = 40
PAUSE = False
"""Whether halving pauses by default."""
SPARE = 1 / 3
"""Share of trials that halving spares at its first rung by default: docs/search.md measures what it costs and saves."""
OWN: dict[str, tuple[Callable[[Any], bool], str]] = {
    "pause": (lambda given: isinstance(given, bool), "true or false"),
    "spare": (
        lambda given: isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 1,
        "a number from 0 to 1",
    ),
}
"""Options of asha that Optuna's pruner does not have."""
SEQUENCES = ("qmc", "grid", "brute_force")
"""Samplers that count through one sequence, which must be the same for all trials."""

SINGLE, MULTI = ("cma_es",), "tpe, nsgaii, nsgaiii, gp or random"
"""Samplers for one objective only, and what to take with several."""


def make_sampler(config: StudyConfig, number: int, space: Space) -> BaseSampler:
    """The study's sampler for one trial.

    Its random numbers derive from the study's seed and the trial's number, so proposals depend on the results seen
    and not on which agent asks.

    Raises:
        ConfigError: No sampler of that name, or an option that it does not take; or the space does not suit it.
    """
    chosen, seed = config.search.sampler, _seed(config, f"{number}")
    if chosen.name == "tpe":
        return _tpe(config, seed)
    if chosen.name == "partial_fixed":
        raise ConfigError(f"{SAMPLER} partial_fixed is not needed: a constant under space fixes a parameter")
    cls = find(SAMPLER, chosen.name, classes(optuna.samplers, BaseSampler))
    if config.study.metrics and chosen.name in SINGLE:
        several = ", ".join(config.study.metrics)
        raise ConfigError(f"{SAMPLER} {chosen.name} is for one objective, but study.metrics is {several}; give {MULTI}")
    known = inspect.signature(cls).parameters
    ours: dict[str, Any] = {"seed": config.study.seed if chosen.name in SEQUENCES else seed} if "seed" in known else {}
    # Conditional parameters are sampled on their own by design, and seeds are synchronous: nothing to warn of.
    ours |= {name: False for name in ("warn_independent_sampling", "warn_asynchronous_seeding") if name in known}
    if chosen.name == "grid":
        ours["search_space"] = grid(space, config.budget.trials)
    if chosen.name == "brute_force":
        listed_values(chosen.name, space)
    sampler: BaseSampler = make(SAMPLER, chosen.name, cls, chosen.options, ours)
    return sampler


def random_sampler(config: StudyConfig, number: int, draw: int) -> BaseSampler:
    """One that takes no notice of results; another for each draw, from 1, for the same trial."""
    return RandomSampler(seed=_seed(config, f"{number}/{draw}"))


def _seed(config: StudyConfig, of: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{config.study.seed}/{of}".encode()).digest()[:4])


def make_pruner(config: StudyConfig) -> BasePruner:
    """The study's pruner.

    Raises:
        ConfigError: No pruner of that name, or an option that it does not take.
    """
    chosen = config.search.pruner
    options = {name: value for name, value in chosen.options.items() if name != METRIC}
    return _pruner(NamedSection.model_validate({"name": chosen.name, **options}), config.training.epochs)


def _pruner(chosen: NamedSection, epochs: int) -> BasePruner:
    known = classes(optuna.pruners, BasePruner) | {"asha": SuccessiveHalvingPruner, "none": NopPruner}
    cls, options = find(PRUNER, chosen.name, known), chosen.options
    beside = tuple(OWN) if chosen.name == "asha" else ()
    for option, (fits, words) in OWN.items() if beside else ():
        given = options.pop(option, None)
        if given is not None and not fits(given):
            raise ConfigError(f"{PRUNER} asha: {option} is {shown(given)}; it must be {words}")
    if cls is PatientPruner:
        return _patient(options, epochs)
    defaults: dict[str, Any] = {}
    if chosen.name == "asha":
        defaults = {"min_resource": 1, "reduction_factor": 3}
    if chosen.name == "hyperband":
        defaults = {"max_resource": epochs}
    pruner: BasePruner = make(PRUNER, chosen.name, cls, defaults | options, {}, beside=beside)
    return pruner


def pauses(config: StudyConfig) -> bool:
    """Whether halving pauses trials that it would stop, which may then be promoted."""
    return config.search.pruner.name == "asha" and bool(config.search.pruner.options.get("pause", PAUSE))


def spare_of(config: StudyConfig) -> float:
    """The share of trials that pass the first rung of halving whatever they have reported there."""
    return float(config.search.pruner.options.get("spare", SPARE))


def _patient(options: dict[str, Any], epochs: int) -> BasePruner:
    """``{name: patient, wrapped: median, patience: 3}``: the wrapped one only after epochs without a better value."""
    wrapped = options.pop("wrapped", None)
    try:
        inner = NamedSection.model_validate({"name": wrapped} if isinstance(wrapped, str) else wrapped)
    except ValidationError:
        raise ConfigError(
            f"{PRUNER} patient: wrapped is {shown(wrapped)}; give another pruner, for example "
            "{name: patient, wrapped: {name: median}, patience: 3}"
        ) from None
    pruner: BasePruner = make(PRUNER, "patient", PatientPruner, options, {"wrapped_pruner": _pruner(inner, epochs)})
    return pruner


def _tpe(config: StudyConfig, seed: int) -> BaseSampler:
    options = {"multivariate": False, "constant_liar": True, "n_startup_trials": _startup(config)}
    options |= config.search.sampler.options
    share: Any = options.pop("random_share", RANDOM_SHARE)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ConfigError(f"{SAMPLER} tpe: random_share is {shown(share)}; it must be a number from 0 to 1")
    sampler: BaseSampler = make(SAMPLER, "tpe", TPESampler, options, {"seed": seed}, beside=("random_share",))
    # The seed is fresh for each trial: its fraction of 2**32 is a fair coin.
    return RandomSampler(seed=seed) if seed < share * 2**32 else sampler


def _startup(config: StudyConfig) -> int:
    trials = config.budget.trials or 200
    return min(MOST_STARTUP_TRIALS, max(5, trials // 5))
