"""One trial: the network that its parameters describe, trained on the study's events."""

import hashlib
import io
import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import psutil
import torch
from safetensors.torch import save
from torch import nn

from objectives._data import load_source
from objectives._events import Events
from objectives._fit import fit
from objectives._fit_settings import EpochResult, FitSettings
from objectives._float16 import with_float16
from objectives._latency import latency_ms
from objectives._learning import Learning
from objectives._seeds import build_model
from objectives._statistics import normalizer
from objectives._trainer import Trainer
from study._admission import Need, need_of
from study._constraints import MEASURED, check_constraints, constraints_of
from study._diagnosing import Known, known_of
from study._environment import environment
from study._ingestion import ingested
from study.plan import Facts, Plan, check_fingerprint, make_task, open_data

WEIGHTS_DIGEST = "weights_digest"
"""The attribute by which a trial's weights are known when they are not kept."""


@dataclass(frozen=True)
class TrialData:
    """The events that a trial may see; the test part is not among them.

    Attributes:
        known: What is known of the validation events beside their targets.
    """

    training: Events
    validation: Events
    known: Known


def load_trial_data(plan: Plan, facts: Facts) -> TrialData:
    """Load the training and validation events, into memory where they fit.

    Raises:
        DataError: The file is not the one the study was created with, or cannot be read.
    """
    dataset = ingested(plan, open_data(plan))
    check_fingerprint(plan, facts, dataset)
    halves = plan.config.data.float16_channels

    def events(indices: Any) -> Events:
        source = load_source(dataset, indices, cache=plan.config.data.cache)
        source = with_float16(source, dataset.axes, halves)
        return Events(source, dataset.targets[indices], dataset.axes, float16_channels=halves)

    known = known_of(dataset, "validation")
    return TrialData(events(dataset.split.training), events(dataset.split.validation), known)


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of a trial: everything random in it derives from this."""
    return int(np.random.SeedSequence([study_seed, number]).generate_state(1, np.uint64)[0])


def build_network(plan: Plan, facts: Facts, sampled: Mapping[str, Any], seed: int = 0) -> nn.Module:
    """The trial's network with its initial weights.

    Raises:
        ValueError: The family refuses the hyperparameters.
    """
    family, hyperparameters = plan.space.family(sampled)
    outputs = make_task(plan, facts).outputs
    return build_model(family.build, hyperparameters, facts.shape, outputs, seed)


def fit_settings(plan: Plan, seed: int, device: str) -> FitSettings:
    """How the study's trials are trained."""
    training = plan.config.training
    return FitSettings(
        epochs=training.epochs,
        seed=seed,
        metric=plan.metric,
        direction=plan.direction,
        early_stop=training.early_stop,
        clip_norm=training.clip_norm,
        class_weights=training.class_weights,
        device=device,
        deterministic=training.deterministic,
        precision=training.precision,
        cuda_graph=training.cuda_graph,
    )


class TrialRun:
    """One attempt at a trial, from its first epoch to its weights.

    Attributes:
        costs: What its network costs, by name; empty before it is made.
    """

    def __init__(self, plan: Plan, facts: Facts, number: int, sampled: Mapping[str, Any], device: str) -> None:
        self._plan, self._facts, self._sampled = plan, facts, sampled
        self._device = device
        self.seed = trial_seed(plan.config.study.seed, number)
        self.costs: dict[str, float] = {}
        self._need: Need | None = None
        self._trainer: Trainer | None = None

    def epochs(
        self,
        data: TrialData,
        *,
        should_stop: Callable[[], bool],
        resume: Mapping[str, Any] | None = None,
        admit: bool = False,
    ) -> Generator[EpochResult, None, None]:
        """Train; one result per epoch.

        Args:
            data: The events.
            should_stop: Asked at every batch.
            resume: The state of an earlier attempt, to go on with the same bits from where it was written.
            admit: Whether to measure what the network costs and to refuse one that costs too much, before its first
                epoch; a trial that goes on has been admitted.

        Raises:
            Infeasible: The network breaks one of the study's constraints, or its training does not fit into memory.
            NonFiniteLoss: The loss is no number any more.
            Interrupted: `should_stop` said so; a checkpoint may be made then.
        """
        learning = self._plan.space.learning(self._sampled)
        if self._device.startswith("cuda"):  # else `memory_mb` would be that of the process's largest trial so far
            torch.cuda.reset_peak_memory_stats(self._device)
        if admit and resume is None:
            self._check_memory(learning)
        network = build_network(self._plan, self._facts, self._sampled, self.seed)
        self.costs = {"parameters": sum(parameter.numel() for parameter in network.parameters())}
        if admit:
            check_constraints(self._plan.config.constraints, self.costs)
        self._trainer = Trainer(
            network,
            make_task(self._plan, self._facts),
            learning,
            fit_settings(self._plan, self.seed, self._device),
            data.training,
            data.validation,
            normalizer(learning.normalize, self._facts.statistics),
        )
        if resume is not None:
            self._trainer.load_state_dict(dict(resume))
            self.costs |= resume.get("costs", {})
        if admit and self._plan.measures_latency and MEASURED not in self.costs:
            precision = self._plan.config.training.precision
            self.costs[MEASURED] = latency_ms(self._trainer.model, self._facts.shape, precision)
            check_constraints(self._plan.config.constraints, self.costs)
        yield from fit(self._trainer, should_stop=should_stop)

    def _check_memory(self, learning: Learning) -> None:
        build = partial(build_network, self._plan, self._facts, self._sampled)
        precision = self._plan.config.training.precision
        self._need = need_of(build, self._facts.shape, learning, self._device, precision)
        if self._need is not None:
            self._need.check()

    @property
    def made(self) -> bool:
        """Whether there is a trainer."""
        return self._trainer is not None

    @property
    def begun(self) -> bool:
        """Whether a step has been trained."""
        return self._trainer is not None and self._trainer.epoch + self._trainer.step > 0

    @property
    def trainer(self) -> Trainer:
        """The trainer, once training has begun."""
        if self._trainer is None:
            raise RuntimeError("the trial has not begun")
        return self._trainer

    @property
    def value(self) -> float:
        """The study's metric at the best epoch, on the validation events."""
        return self.trainer.best.value

    @property
    def values(self) -> tuple[float, ...]:
        """The study's objectives at the best epoch; NaN where one is undefined."""
        found = self.attributes()
        return tuple(math.nan if found[each.name] is None else found[each.name] for each in self._plan.objectives)

    @property
    def constraints(self) -> dict[str, float]:
        """Optuna's, by name: those that the costs known so far decide."""
        known = constraints_of(self._plan.config.constraints, self.costs)
        return known if self._need is None or self._need.excess <= 0 else known | {"memory": self._need.excess}

    def checkpoint(self) -> bytes:
        """All that the training's further course depends on, as tensors and numbers."""
        buffer = io.BytesIO()
        torch.save(self.trainer.state_dict() | {"costs": self.costs}, buffer)
        return buffer.getvalue()

    def state_of(self, checkpoint: bytes) -> dict[str, Any]:
        """What `checkpoint` has written, to resume from.

        Raises:
            Exception: Whatever torch says of bytes that are no checkpoint.
            ValueError: It is of another trial.
        """
        state: dict[str, Any] = torch.load(io.BytesIO(checkpoint), map_location=self._device, weights_only=True)
        if state.get("seed") != self.seed:
            raise ValueError("it is of another trial")
        return state

    def weights(self) -> bytes:
        """The best epoch's weights, in safetensors format."""
        return save({name: tensor.contiguous() for name, tensor in self.trainer.best.weights.items()})

    def attributes(self) -> dict[str, Any]:
        """What the trial carries in the database: numbers that become axes; as text seed, digest and environment."""
        trainer = self.trainer
        best = trainer.history[trainer.best.epoch - 1]
        return {
            **{name: _number(value) for name, value in best.metrics.items()},
            "loss": _number(best.validation_loss),
            "training_loss": _number(best.training_loss),
            "best_epoch": trainer.best.epoch,
            "epochs": trainer.epoch,
            **self.costs,
            "seconds": round(sum(result.seconds for result in trainer.history), 3),
            "events_per_second": round(float(np.median([r.events_per_second for r in trainer.history])), 1),
            "memory_mb": self._memory_mb(),
            "seed": str(self.seed),
            WEIGHTS_DIGEST: hashlib.sha256(self.weights()).hexdigest(),
            **environment(self._device),
        }

    def _memory_mb(self) -> float:
        """Of the device where it is a GPU, at its highest; else of this process now, events that it shares included."""
        if self._device.startswith("cuda"):
            return round(torch.cuda.max_memory_allocated(self._device) / 2**20, 1)
        return round(psutil.Process().memory_info().rss / 2**20, 1)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
