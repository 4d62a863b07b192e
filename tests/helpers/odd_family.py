"""A user's own family whose networks learn, or misbehave as a hyperparameter says."""

import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass

import torch
from torch import nn

from models._family import Family, Shape
from models._hyperparameters import choice, real

MOODS = (
    *("calm", "error", "nan", "memory", "cuda memory", "exit", "quit", "segfault", "kill", "loop", "freeze"),
    *("eof", "cuda", "unprintable"),
)


@dataclass(frozen=True)
class OddHyperparameters:
    mood: str = choice("calm", MOODS, help="what goes wrong in training")
    pause: float = real(0.0, 0.0, 10.0, searched=False, help="seconds that each batch takes longer")


class Odd(nn.Module):
    def __init__(self, hp: OddHyperparameters, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.hp = hp
        self.layer = nn.Linear(shape[0], outputs)

    def forward(self, events: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(events.mean((2, 3)))
        if not self.training:
            return logits
        time.sleep(self.hp.pause)
        return misbehave(self.hp.mood, logits)


def misbehave(mood: str, logits: torch.Tensor) -> torch.Tensor:
    match mood:
        case "error":
            raise ValueError("the user's own mistake\nand its second line")
        case "unprintable":
            raise ValueError("half \ud800 a pair, and \0")
        case "eof":
            raise EOFError("the user's own file ended")
        case "cuda":
            raise RuntimeError("CUDA error: device-side assert triggered")
        case "memory":
            raise MemoryError
        case "cuda memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 1.00 GiB free.")
        case "nan":
            return logits * float("nan")
        case "exit":
            os._exit(0)
        case "quit":
            sys.exit("enough")
        case "segfault":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "loop":
            while True:
                pass
    return logits


def build(hp: OddHyperparameters, shape: Shape, outputs: int) -> nn.Module:
    return Odd(hp, shape, outputs)


FAMILY = Family("odd", OddHyperparameters, build)
