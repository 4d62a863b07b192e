"""Our trainer on the tutorial's network, alone and in several processes that share one copy of the events."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.multiprocessing
from gpu_tutorial import CLASSES, LR, MOMENTUM, SHAPE, SimpleCNN

from objectives._events import Events
from objectives._fit import FitSettings, Trainer, never
from objectives._learning import Learning
from objectives._resident import Resident
from objectives._source import MemorySource
from objectives._statistics import normalizer
from objectives.multiclass import TASK

ENDLESS = 100_000
"""Epochs, so that no schedule ends."""
VALIDATED = 64
"""Events for validation, which is not what is measured here."""
EVENTS = 4096
"""Of a packed trial's epoch."""
STARTED_S = 240.0
"""For a process to import torch and to train its first epoch."""


@dataclass(frozen=True)
class RandomEvents:
    """Events on a device, where training gathers them, and their labels (N,)."""

    resident: Resident
    labels: Any

    def part(self) -> Events:
        """For the trainer; on the host they take no memory, and nothing reads them there."""
        channels, height, width = SHAPE
        nothing = np.broadcast_to(np.float32(0), (len(self.labels), height, width, channels))
        return Events(MemorySource(nothing), self.labels, resident=self.resident)


def random_images(count: int) -> Any:
    """(N, H, W, C) float32; the first 1,024 are drawn, the others repeat them."""
    channels, height, width = SHAPE
    drawn = np.random.default_rng(0).standard_normal((min(count, 1024), height, width, channels), dtype=np.float32)
    return np.resize(drawn, (count, height, width, channels))


def random_events(count: int, device: torch.device) -> RandomEvents:
    """So many random events on the device."""
    return RandomEvents(Resident.upload(MemorySource(random_images(count)), "NHWC", device), labels_of(count))


def labels_of(count: int) -> Any:
    """(N,): the classes in turn."""
    return np.arange(count) % CLASSES


def made_trainer(events: RandomEvents, batch: int, device: torch.device, seed: int = 1) -> Trainer:
    """A trainer of the tutorial's network with the defaults of a trial, and the tutorial's optimizer."""
    few = random_events(VALIDATED, device)
    task = TASK.create(TASK.options(), TASK.summarise(TASK.options(), events.labels, events.labels, None))
    settings = FitSettings(epochs=ENDLESS, seed=seed, metric="accuracy", direction="maximize", device=str(device))
    torch.manual_seed(seed)
    learning = Learning(batch_size=batch, optimizer="sgd", lr=LR, momentum=MOMENTUM)
    normalize = normalizer("standard", {"mean": 0.0, "std": 1.0})
    return Trainer(SimpleCNN(), task, learning, settings, events.part(), few.part(), normalize)


def rate_of(trainer: Trainer, seconds: float) -> float:
    """Training events per second over so long, after a first epoch that makes buffers and graphs."""
    trainer.run_epoch(never)
    events, spent, began = 0, 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        rate = trainer.run_epoch(never).events_per_second
        events += len(trainer.training)
        spent += len(trainer.training) / rate
    return events / spent


class Packed:
    """Trials that train at once, each in its own process, on events that this process holds.

    Use as a context manager: leaving it ends them.
    """

    def __init__(self, count: int, batch: int, device: torch.device) -> None:
        context = torch.multiprocessing.get_context("spawn")
        self._events = random_events(EVENTS if device.type == "cuda" else 2 * batch, device)
        self._pipes, self._processes = [], []
        for number in range(count):
            ours, theirs = context.Pipe()
            told = {"batch": batch, "device": str(device), "seed": number + 1}
            process = context.Process(target=_train, args=(theirs, self._events, told), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> "Packed":
        for pipe in self._pipes:
            if not pipe.poll(STARTED_S):
                raise TimeoutError(f"a trial has not begun within {STARTED_S:g} s")
            pipe.recv()
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def rate(self, seconds: float) -> float:
        """Training events per second of all of them together, over the same stretch of time."""
        at = time.monotonic() + 0.2
        for pipe in self._pipes:
            pipe.send((at, seconds))
        return float(sum(pipe.recv() for pipe in self._pipes))


def _train(pipe: Any, events: RandomEvents, told: Mapping[str, Any]) -> None:
    torch.set_num_threads(1)
    device = torch.device(told["device"])
    trainer = made_trainer(events, told["batch"], device, told["seed"])
    trainer.run_epoch(never)
    pipe.send("begun")
    at, seconds = pipe.recv()
    time.sleep(max(0.0, at - time.monotonic()))
    events_trained, began = 0, time.monotonic()
    while time.monotonic() < at + seconds:
        trainer.run_epoch(never)
        events_trained += len(trainer.training)
    pipe.send(events_trained / (time.monotonic() - began))
    pipe.recv()  # until it is killed: the events' handles belong to this process too
