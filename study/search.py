"""Samplers and pruners: ours by default, every one of Optuna's by name with its options."""

import hashlib
import inspect
import re
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import optuna
from optuna.pruners import BasePruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from storage.errors import ConfigError
from study.config import NamedSection, StudyConfig

RANDOM_SHARE = 0.25
"""Share of trials that stay random after TPE's start, so that no part of the space is given up."""
MOST_STARTUP_TRIALS = 40


def make_sampler(config: StudyConfig, number: int) -> BaseSampler:
    """The study's sampler for one trial.

    Its random numbers derive from the study's seed and the trial's number, so proposals depend on the results seen
    and not on which agent asks.

    Raises:
        ConfigError: No sampler of that name, or an option that it does not take.
    """
    chosen = config.search.sampler
    seed = int.from_bytes(hashlib.sha256(f"{config.study.seed}/{number}".encode()).digest()[:4])
    if chosen.name == "tpe":
        return _tpe(config, seed)
    cls = _find(chosen, "sampler", optuna.samplers, BaseSampler)
    # Sequences such as QMC's must be one and the same for all trials.
    whole = chosen.name in ("qmc", "grid", "brute_force")
    options = {"seed": config.study.seed if whole else seed} | chosen.options
    if "seed" not in inspect.signature(cls).parameters:
        options.pop("seed")
    return _make(chosen, "sampler", cls, options)


def make_pruner(config: StudyConfig) -> BasePruner:
    """The study's pruner.

    Raises:
        ConfigError: No pruner of that name, or an option that it does not take.
    """
    chosen = config.search.pruner
    if chosen.name == "none":
        return _make(chosen, "pruner", optuna.pruners.NopPruner, chosen.options)
    if chosen.name == "asha":
        options = {"min_resource": 1, "reduction_factor": 3} | chosen.options
        return _make(chosen, "pruner", SuccessiveHalvingPruner, options)
    return _make(chosen, "pruner", _find(chosen, "pruner", optuna.pruners, BasePruner), chosen.options)


def _tpe(config: StudyConfig, seed: int) -> BaseSampler:
    options: dict[str, Any] = {"multivariate": False, "constant_liar": True, "n_startup_trials": _startup(config)}
    options |= config.search.sampler.options
    share = options.pop("random_share", RANDOM_SHARE)
    sampler = _make(config.search.sampler, "sampler", TPESampler, {"seed": seed} | options)
    # The seed is fresh for each trial: its fraction of 2**32 is a fair coin.
    return RandomSampler(seed=seed) if seed < share * 2**32 else sampler


def _startup(config: StudyConfig) -> int:
    trials = config.budget.trials or 200
    return min(MOST_STARTUP_TRIALS, max(5, trials // 5))


def _find(chosen: NamedSection, kind: str, module: Any, base: type) -> Callable[..., Any]:
    known = {
        _snake(name.removesuffix(kind.capitalize())): cls
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and issubclass(cls, base) and cls is not base
    }
    if chosen.name not in known:
        names = sorted({*known, "asha", "none"} if kind == "pruner" else known)
        close = get_close_matches(chosen.name, names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"search.{kind} is {chosen.name!r}; {hint}Accepted: {', '.join(names)}")
    return known[chosen.name]


def _make(chosen: NamedSection, kind: str, cls: Callable[..., Any], options: dict[str, Any]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return cls(**options)
    except (TypeError, ValueError, ImportError) as error:
        accepted = ", ".join(inspect.signature(cls).parameters)
        raise ConfigError(f"search.{kind} {chosen.name!r}: {error}; its options: {accepted}") from None


def _snake(name: str) -> str:
    if name.isupper() or name in ("NSGAII", "NSGAIII"):
        return name.lower()
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
