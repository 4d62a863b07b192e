"""One network in training: everything that changes from step to step, and the step itself."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from objectives._augment import augment
from objectives._best import Best
from objectives._class_weights import class_weights
from objectives._data import batch_bounds, batches, to_tensor
from objectives._device import autocast, prepare, seed_device
from objectives._errors import Interrupted, NonFiniteLoss
from objectives._evaluation import Normalizer, evaluate, never
from objectives._events import Events
from objectives._fit_settings import EpochResult, FitSettings
from objectives._learning import Learning
from objectives._optimizers import make_optimizer, make_schedule
from objectives._seeds import Seeds
from objectives._task import Task
from storage.errors import DataError


class Trainer:
    """A network in training, at a batch boundary whenever no method of it runs.

    All randomness is a function of the seed, the epoch and the step, and the state holds the rest; so a trainer made
    with the same arguments that loads it goes on with the same bits, also from the middle of an epoch. A trainer with
    other `epochs` goes on too, but with the schedule of that number of epochs.

    It seeds PyTorch's global generator at every step, belongs to one thread, and on CUDA sets PyTorch's process-wide
    switches.

    Attributes:
        model: the network, on the settings' device in channels_last.
        epoch: finished epochs.
        step: steps done in the epoch that comes next.
        history: the result of each finished epoch.
        best: the best epoch so far and its weights.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        learning: Learning,
        settings: FitSettings,
        training: Events,
        validation: Events,
        normalize: Normalizer,
    ) -> None:
        """Prepare the first step.

        Args:
            model: freshly built; it becomes the trainer's own.
            task: what it is trained for.
            learning: how.
            settings: how long, where and towards what.
            training: at least two events. An event that would be alone in the last batch of an epoch is left out of
                that epoch, since batch normalisation cannot train on it.
            validation: at least one event.
            normalize: what the network's inputs pass first.

        Raises:
            DataError: too few events, or a target the task has no place for.
            ValueError: the task has no such metric, the machine no such device, or the weights suit no class.
        """
        _check(task, settings, training, validation)
        self.task, self.learning, self.settings, self.normalize = task, learning, settings, normalize
        self.training, self.validation = training, validation
        self.device = prepare(settings.device, settings.precision, deterministic=settings.deterministic)
        # torch's annotation lacks the overload with a memory format alone
        self.model: nn.Module = model.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._seeds = Seeds(settings.seed)
        self._bounds = batch_bounds(len(training), learning.batch_size, drop_singleton=True)
        self.optimizer = make_optimizer(self.model, learning)
        self.schedule = make_schedule(self.optimizer, learning, settings.epochs * len(self._bounds))
        encoded = task.encode(training.targets)
        self._encoded = torch.from_numpy(encoded).to(self.device)
        weights = class_weights(settings.class_weights, task, encoded)
        self._weights = None if weights is None else weights.to(self.device)
        self.epoch = self.step = 0
        self._loss_sum = 0.0
        self.history: list[EpochResult] = []
        self.best = Best(settings.direction)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or too many since the best one."""
        patience = self.settings.early_stop
        return self.epoch >= self.settings.epochs or (patience is not None and self.epoch - self.best.epoch >= patience)

    def run_epoch(self, should_stop: Callable[[], bool]) -> EpochResult:
        """Train what is left of the current epoch, validate, and return the result.

        Args:
            should_stop: asked before every batch, of validation too.

        Raises:
            Interrupted: `should_stop` said so; the state may be saved, and this method called again to go on.
            NonFiniteLoss: the loss of a batch, or of the validation, is NaN or infinite.
        """
        start, events = time.perf_counter(), self._events(self.step)
        self._train(should_stop)
        trained = time.perf_counter()
        metrics, predictions = self._validate(should_stop)
        result = EpochResult(
            epoch=self.epoch + 1,
            training_loss=self._loss_sum / self._events(0),
            validation_loss=metrics.pop("loss"),
            metrics=metrics,
            learning_rate=self._last_learning_rate(),
            seconds=time.perf_counter() - start,
            events_per_second=events / (trained - start),
        )
        self.history.append(result)
        self.epoch, self.step, self._loss_sum = result.epoch, 0, 0.0
        self.best.offer(result.epoch, metrics[self.settings.metric], self.model, predictions)
        return result

    def best_predictions(self) -> NDArray[np.float64]:
        """Return the predictions (N, K) for the validation events after the best epoch.

        Where another process trained that epoch they are made again, and the model has its weights from then on: call
        this after training.
        """
        if self.best.predictions is None:
            self.model.load_state_dict(self.best.weights)
            _, self.best.predictions = self._evaluate(never)
        return self.best.predictions

    def state_dict(self) -> dict[str, Any]:
        """Return tensors, numbers and strings only, for `torch.save`; save them before the next step changes them."""
        return {
            "seed": self.settings.seed,
            "steps_per_epoch": len(self._bounds),
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": self._loss_sum,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": self.best.state_dict(),
            "history": [result.to_json() for result in self.history],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the state was saved.

        Raises:
            ValueError: it belongs to another seed, or to other training events or another batch size.
        """
        for name, own in (("seed", self.settings.seed), ("steps_per_epoch", len(self._bounds))):
            if state[name] != own:
                raise ValueError(f"the saved {name} is {state[name]}, that of this training {own}; they must be equal")
        self.epoch, self.step, self._loss_sum = state["epoch"], state["step"], state["loss_sum"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.best.load_state_dict(state["best"])
        self.history = [EpochResult(**result) for result in state["history"]]

    def _events(self, step: int) -> int:
        """How many events an epoch trains from this step on."""
        return sum(stop - start for start, stop in self._bounds[step:])

    def _train(self, should_stop: Callable[[], bool]) -> None:
        self.model.train()
        order = self._seeds.permutation(self.epoch, len(self.training))
        first = self._bounds[self.step][0] if self.step < len(self._bounds) else len(order)
        left = order[first : self._bounds[-1][1]]
        with closing(batches(self.training.source, left, self.learning.batch_size)) as stream:
            while self.step < len(self._bounds):
                if should_stop():
                    raise Interrupted(f"asked to stop before step {self.step + 1} of epoch {self.epoch + 1}")
                start, stop = self._bounds[self.step]
                self._loss_sum += self._step(next(stream), torch.from_numpy(order[start:stop]))
                self.step += 1

    def _step(self, batch: NDArray[Any], positions: Tensor) -> float:
        """Move the weights once and return the sum of the events' losses."""
        seed_device(self.device, self._seeds.network(self.epoch, self.step))
        inputs = self.normalize(to_tensor(batch, self.training.axes, self.device))
        if self.learning.augments:
            inputs = augment(inputs, self.learning, self._seeds.augmentation(self.epoch, self.step))
        encoded = self._encoded[positions.to(self.device)]
        weights = None if self._weights is None else self._weights[encoded]
        with autocast(self.device, self.settings.precision):
            outputs = self.model(inputs)
        losses = self.task.loss(outputs.float(), encoded, weights, self.learning.label_smoothing)
        total = losses.detach().double().sum().item()
        if not math.isfinite(total):
            raise self._non_finite(f"batch {self.step + 1} of {len(self._bounds)}", total)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.mean())
        if self.settings.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        return total

    def _validate(self, should_stop: Callable[[], bool]) -> tuple[dict[str, float], NDArray[np.float64]]:
        metrics, predictions = self._evaluate(should_stop)
        if not math.isfinite(metrics["loss"]):
            raise self._non_finite("the validation", metrics["loss"])
        return {name: float(value) for name, value in metrics.items()}, predictions

    def _evaluate(self, should_stop: Callable[[], bool]) -> tuple[dict[str, float], NDArray[np.float64]]:
        return evaluate(
            self.model,
            self.task,
            self.validation,
            self.normalize,
            self.device,
            precision=self.settings.precision,
            should_stop=should_stop,
        )

    def _non_finite(self, where: str, loss: float) -> NonFiniteLoss:
        return NonFiniteLoss(
            f"the loss of {where} in epoch {self.epoch + 1} is {loss}; lower lr, set clip_norm, or normalize the events"
        )

    def _last_learning_rate(self) -> float:
        # A function of the step, so it is known even if the step was another process's.
        factor: float = self.schedule.lr_lambdas[0](self.schedule.last_epoch - 1)
        return float(self.schedule.base_lrs[0]) * factor


def _check(task: Task, settings: FitSettings, training: Events, validation: Events) -> None:
    if settings.metric not in task.metrics:
        raise ValueError(f"the metric is {settings.metric!r}; accepted are {', '.join(task.metrics)}")
    if settings.direction != task.metrics[settings.metric]:
        better = task.metrics[settings.metric]
        raise ValueError(f"the direction of {settings.metric} is {settings.direction!r}; it must be {better!r}")
    for name, events, least in (("training", training, 2), ("validation", validation, 1)):
        if len(events) < least:
            raise DataError(
                f"there are {len(events)} {name} events; at least {least} are needed: use more events or another split"
            )
