"""Where randomness comes from: one seed, and streams that are independent by name.

Every random number of a training is a function of (seed, stream, epoch, step) and of nothing that happened before, so a
checkpoint holds no generator's state and a resumed training draws what an uninterrupted one would have drawn. All are
drawn when an epoch begins, none between its steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models._family import Shape

HP = TypeVar("HP")

# Part of every result: a new stream gets a new number.
_WEIGHTS, _PERMUTATION, _NETWORK, _AUGMENTATION = range(4)


@dataclass(frozen=True)
class Seeds:
    """The streams of one seed, an integer from 0 up."""

    seed: int

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise ValueError(f"the seed is {self.seed!r}; it must be an integer from 0 up")

    def weights(self) -> int:
        """Return what torch's global generator is seeded with before a network is built."""
        return self._number(_WEIGHTS)

    def permutation(self, epoch: int, events: int) -> NDArray[np.int64]:
        """Return the order of the training events in an epoch."""
        return np.random.default_rng(self._sequence(_PERMUTATION, epoch)).permutation(events)

    def network(self, epoch: int, steps: int) -> list[int]:
        """Return what torch's generator of the device is seeded with before each step of an epoch.

        Dropout draws from it.
        """
        return [int(number) for number in self._sequence(_NETWORK, epoch).generate_state(steps, np.uint64)]

    def augmentation(self, epoch: int) -> torch.Generator:
        """Return the generator, on the CPU, of an epoch's augmentation."""
        return torch.Generator().manual_seed(self._number(_AUGMENTATION, epoch))

    def _sequence(self, *key: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=key)

    def _number(self, *key: int) -> int:
        return int(self._sequence(*key).generate_state(1, np.uint64)[0])


def build_model(
    build: Callable[[HP, Shape, int], nn.Module], hp: HP, shape: Shape, outputs: int, seed: int
) -> nn.Module:
    """Return the network with the initial weights that belong to the seed.

    Args:
        build: a family's `build`; it draws weights from torch's global generator, whose state is restored afterwards.
        hp: the family's hyperparameters.
        shape: (C, H, W) of an event.
        outputs: number of logits.
        seed: the trial's seed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Seeds(seed).weights())
        return build(hp, shape, outputs)
