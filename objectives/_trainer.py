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

from objectives._augment import augmentations
from objectives._best import Best
from objectives._captured import RepeatedStep
from objectives._class_weights import class_weights
from objectives._data import batch_bounds
from objectives._device import prepare, seed_device
from objectives._errors import Interrupted, NonFiniteLoss
from objectives._evaluation import Normalizer, evaluate, never
from objectives._events import Events
from objectives._feed import open_feed
from objectives._fit_settings import EpochResult, FitSettings
from objectives._learning import Learning
from objectives._optimizers import learning_rates, load_optimizer, make_optimizer
from objectives._pace import Pace
from objectives._seeds import Seeds
from objectives._step import Step
from objectives._task import Task
from objectives._tensor import image_shape
from storage.errors import DataError


class Trainer:
    """A network in training, at a batch boundary whenever no method of it runs.

    All randomness is a function of the seed, the epoch and the step, and the state holds the rest; so a trainer made
    with the same arguments that loads it goes on with the same bits, also from the middle of an epoch. A trainer with
    other `epochs` goes on too, but with the schedule of that number of epochs.

    It seeds PyTorch's global generator at every step, belongs to one thread, and on CUDA sets PyTorch's current device
    and process-wide switches. There the step is repeated as a CUDA graph where it can be: results are equal to those
    without one within rounding, and to those of another such training in all bits.

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
        self._rate: Tensor = self.optimizer.param_groups[0]["lr"]
        encoded = task.encode(training.targets)
        self._encoded = torch.from_numpy(encoded).to(self.device)
        weights = class_weights(settings.class_weights, task, encoded)
        self._weights = None if weights is None else weights.to(self.device)
        self._work: RepeatedStep | None = None
        self.epoch = self.step = 0
        self._loss_sum, self._summed = 0.0, 0
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
            learning_rate=float(self._learning_rates()[-1]),
            seconds=time.perf_counter() - start,
            events_per_second=events / (trained - start),
        )
        self.history.append(result)
        self.epoch, self.step = result.epoch, 0
        self._loss_sum, self._summed = 0.0, 0
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
        self.epoch, self.step = state["epoch"], state["step"]
        self._loss_sum, self._summed = state["loss_sum"], self.step
        self.model.load_state_dict(state["model"])
        load_optimizer(self.optimizer, state["optimizer"])
        if self._work is not None:
            self._work.release()  # it would change the optimizer's tensors of before
        self.best.load_state_dict(state["best"])
        self.history = [EpochResult(**result) for result in state["history"]]

    def _events(self, step: int) -> int:
        """How many events an epoch trains from this step on."""
        return sum(stop - start for start, stop in self._bounds[step:])

    def _train(self, should_stop: Callable[[], bool]) -> None:
        if self.step == len(self._bounds):
            return
        self.model.train()
        order = self._seeds.permutation(self.epoch, len(self.training))
        seeds = self._seeds.network(self.epoch, len(self._bounds))
        work, left = self._begin_epoch(order), order[self._bounds[self.step][0] : self._bounds[-1][1]]
        pace = Pace(self.device)
        with closing(work.step.feed.batches(left, self.learning.batch_size)) as stream:
            while self.step < len(self._bounds):
                if should_stop():
                    self._sum_losses(work.step.losses)
                    raise Interrupted(f"asked to stop before step {self.step + 1} of epoch {self.epoch + 1}")
                next(stream)
                seed_device(self.device, seeds[self.step])
                start, stop = self._bounds[self.step]
                work(stop - start)
                self.step += 1
                if pace.tick():
                    self._sum_losses(work.step.losses)
        self._sum_losses(work.step.losses)

    def _begin_epoch(self, order: NDArray[np.int64]) -> RepeatedStep:
        """Let the step know what the epoch is made of."""
        if self._work is None:
            self._work = RepeatedStep(self._make_step(), self.device, wanted=self.settings.cuda_graph)
        width, drawn = image_shape(self.training.source.shape, self.training.axes)[1], None
        if self.learning.augments:
            drawn = augmentations(len(order), width, self.learning, self._seeds.augmentation(self.epoch))
        self._work.step.begin(order, drawn, self._learning_rates(), self.step)
        start, stop = self._bounds[self.step]
        self._work.prepare(self.step, stop - start)
        return self._work

    def _make_step(self) -> Step:
        events, size = self.training, self.learning.batch_size
        return Step(
            self.model,
            self.optimizer,
            self._rate,
            self.task,
            self.learning,
            self.settings,
            self.normalize,
            open_feed(events.source, events.axes, events.resident, self.device, size),
            self._encoded,
            self._weights,
            len(self._bounds),
        )

    def _sum_losses(self, losses: Tensor) -> None:
        """Add the losses of the steps since the last time, in their order."""
        for loss in losses[self._summed : self.step].tolist():
            self._summed += 1
            if not math.isfinite(loss):
                raise self._non_finite(f"batch {self._summed} of {len(self._bounds)}", loss)
            self._loss_sum += loss

    def _learning_rates(self) -> NDArray[np.float64]:
        """Those of the current epoch's steps."""
        steps = len(self._bounds)
        first = self.epoch * steps
        return learning_rates(self.learning, self.settings.epochs * steps, np.arange(first, first + steps))

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
