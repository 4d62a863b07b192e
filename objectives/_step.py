"""One step of a training, as a function of tensors that keep their place."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from objectives._augment import augment
from objectives._device import autocast
from objectives._evaluation import Normalizer
from objectives._feed import Feed
from objectives._fit_settings import FitSettings
from objectives._learning import Learning
from objectives._task import Task


class Step:
    """Moves the weights by the next batch at each call, in the order that `begin` gave.

    Everything that differs between two calls with the same number of events lies on the device, a counter of the steps
    included: nothing is sent there, nothing is waited for, and a CUDA graph may hold the call.

    Attributes:
        feed: gives the batches.
        batch_size: of all batches but an epoch's last, which may be smaller.
        losses: float64 (steps,), each batch's sum of its events' losses.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        rate: Tensor,
        task: Task,
        learning: Learning,
        settings: FitSettings,
        normalize: Normalizer,
        feed: Feed,
        encoded: Tensor,
        weights: Tensor | None,
        steps: int,
    ) -> None:
        """Make room for an epoch.

        Args:
            model: in training mode whenever a step is done, on the device.
            optimizer: of its parameters.
            rate: float32, without axes, on the device: the optimizer's learning rate.
            task: what it is trained for.
            learning: how.
            settings: the precision and the norm of the gradients.
            normalize: what the inputs pass first.
            feed: whose current batch is trained.
            encoded: (N,) or (N, 1), the events' targets on the device, as the task encodes them.
            weights: float32 (classes,) on the device, or None.
            steps: in an epoch.
        """
        self._model, self._optimizer, self._rate = model, optimizer, rate
        self._task, self._learning = task, learning
        self._settings, self._normalize, self.feed = settings, normalize, feed
        self._encoded, self._weights = encoded, weights
        self.batch_size = learning.batch_size
        events, device = len(encoded), encoded.device
        self._device = device
        self._within = torch.arange(learning.batch_size, device=device)
        self._counter = torch.zeros(1, dtype=torch.int64, device=device)
        self._steps = torch.arange(steps, device=device)
        self._order = torch.zeros(events, dtype=torch.int64, device=device)
        self._drawn = torch.zeros((events, 3), dtype=torch.int32, device=device)
        self._rates = torch.zeros(steps, device=device)
        self.losses = torch.zeros(steps, dtype=torch.float64, device=device)

    def begin(self, order: NDArray[np.int64], drawn: Tensor | None, rates: NDArray[np.float64], step: int) -> None:
        """Take what an epoch is made of.

        Args:
            order: (N,) positions of the events.
            drawn: (N, 3) of `augmentations` for them, in this order; None where nothing is changed.
            rates: (steps,) learning rates.
            step: the first that will be done, from 0.
        """
        self._order.copy_(torch.from_numpy(order))
        if drawn is not None:
            self._drawn.copy_(drawn)
        self._rates.copy_(torch.from_numpy(rates))
        self.go_to(step)

    def go_to(self, step: int) -> None:
        """Let this step be the next."""
        self._counter.fill_(step)

    def __call__(self, events: int) -> None:
        """Train the next batch, which has so many events: fewer than the batch size in an epoch's last one only."""
        index = self._within[:events] + self._counter * len(self._within)
        positions = self._order.index_select(0, index)
        inputs = self._normalize(self.feed.current(positions))
        if self._learning.augments:
            inputs = augment(inputs, self._drawn.index_select(0, index))
        encoded = self._encoded.index_select(0, positions)
        weights = None if self._weights is None else self._weights.index_select(0, encoded)
        with autocast(self._device, self._settings.precision):
            outputs = self._model(inputs)
        losses = self._task.loss(outputs.float(), encoded, weights, self._learning.label_smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.mean())
        if self._settings.clip_norm is not None:
            clip_grad_norm_(self._model.parameters(), self._settings.clip_norm)
        self._rate.copy_(self._rates.index_select(0, self._counter)[0])
        self._optimizer.step()
        self._note(losses.detach().double().sum())

    def _note(self, loss: Tensor) -> None:
        # No scattered write: where CUDA is to be deterministic, that is sorted first.
        torch.where(self._steps == self._counter, loss, self.losses, out=self.losses)
        self._counter += 1

    def tensors(self) -> dict[str, Tensor]:
        """Return, by name, all that a call changes: weights, running statistics, the optimizer's state, our own."""
        trained = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        states = [self._optimizer.state.get(parameter, {}) for parameter in trained]
        return {
            "losses": self.losses,
            "counter": self._counter,
            "rate": self._rate,
            **{f"model.{name}": tensor for name, tensor in self._model.named_parameters()},
            **{f"model.{name}": tensor for name, tensor in self._model.named_buffers()},
            **{
                f"state.{index}.{name}": value
                for index, state in enumerate(states)
                for name, value in state.items()
                if isinstance(value, Tensor)
            },
        }

    def forget_gradients(self) -> None:
        """Let go of their memory."""
        self._optimizer.zero_grad(set_to_none=True)
