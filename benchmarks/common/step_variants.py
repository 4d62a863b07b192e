"""Trainers whose step differs from the default in one thing, made by the product's own `Trainer`.

A variant changes what the trainer was told, or one thing of the finished trainer; the step is the same code for all.
"""

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.optim import SGD, Adam, AdamW

from models import cnn, densenet, mlp, resnet
from objectives._device import prepare
from objectives._events import Events
from objectives._fit import FitSettings, Trainer, never
from objectives._learning import Learning
from objectives._resident import Resident
from objectives._seeds import build_model
from objectives._source import MemorySource
from objectives._statistics import normalizer
from objectives.multiclass import TASK

SHAPE = (38, 16, 40)
BATCH = 64
ENDLESS = 100_000
"""Epochs, so that no schedule ends."""
CLASSES = 3

NETWORKS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "cnn": (cnn.FAMILY, {}),
    "resnet": (resnet.FAMILY, {}),
    "densenet": (densenet.FAMILY, {}),
    "mlp": (mlp.FAMILY, {}),
    "resnet 4×2×24": (resnet.FAMILY, {"stages": 4, "blocks": 2, "width": 24}),
}
"""Each family at its defaults, and a larger ResNet: 4 stages of 2 blocks, 24 channels at first."""


def random_events(count: int, axes: str = "NHWC", seed: int = 0) -> Events:
    """Events in memory, as a worker holds them."""
    generator = np.random.default_rng(seed)
    shape = (*SHAPE[1:], SHAPE[0]) if axes == "NHWC" else SHAPE
    events = generator.standard_normal((count, *shape), dtype=np.float32)
    return Events(MemorySource(events), np.arange(count) % CLASSES, axes)


@dataclass
class Variant:
    """One thing that is done otherwise.

    Attributes:
        name: What, for the table.
        against: The variant that it is compared with.
        learning, settings: What the trainer is told.
        axes: The order of the stored events' axes.
        change: Done to the trainer once.
        during: Holds while it trains.
    """

    name: str
    against: str = "default"
    learning: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    axes: str = "NHWC"
    change: Callable[[Trainer], None] = lambda trainer: None
    during: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext


def make_trainer(network: str, variant: Variant, training: Events, validation: Events, device: str) -> Trainer:
    """A trainer of the network as the variant wants it."""
    family, hyperparameters = NETWORKS[network]
    labels = training.targets
    task = TASK.create(TASK.options(), TASK.summarise(TASK.options(), labels, labels, None))
    settings = {"epochs": ENDLESS, "seed": 1, "metric": "accuracy", "direction": "maximize", "device": device}
    trainer = Trainer(
        build_model(family.build, family.hyperparameters(**hyperparameters), SHAPE, CLASSES, 1),
        task,
        Learning(**{"batch_size": BATCH, **variant.learning}),
        FitSettings(**{**settings, **variant.settings}),
        training,
        validation,
        normalizer("standard", {"mean": 0.0, "std": 1.0}),
    )
    variant.change(trainer)
    return trainer


def train_epoch(trainer: Trainer) -> int:
    """The training part of an epoch, without validation; how many events it had."""
    trainer._train(never)
    trainer.epoch, trainer.step, trainer._summed, trainer._loss_sum = trainer.epoch + 1, 0, 0, 0.0
    return len(trainer.training)


def contiguous(trainer: Trainer) -> None:
    """Weights and inputs in PyTorch's own layout, NCHW."""
    inner = trainer.normalize
    trainer.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    trainer.normalize = lambda images: inner(images.contiguous())


def optimizer(kind: str, trainer: Trainer) -> None:
    """The same optimizer in another implementation, "foreach" or "loop", at the same rate in all steps."""
    learning, old = trainer.learning, trainer.optimizer
    groups = [{"params": g["params"], "weight_decay": g["weight_decay"]} for g in old.param_groups]
    how: dict[str, Any] = {"lr": learning.lr, "foreach": kind == "foreach", "fused": False}
    if isinstance(old, SGD):
        trainer.optimizer = SGD(groups, momentum=learning.momentum, nesterov=learning.nesterov, **how)
    else:
        trainer.optimizer = (AdamW if isinstance(old, AdamW) else Adam)(groups, **how)


def compiled(trainer: Trainer) -> None:
    """The network through torch.compile, with its defaults."""
    trainer.model = torch.compile(trainer.model)  # type: ignore[assignment]  # it is a Module


def _optimizers() -> list[Variant]:
    variants = []
    for name in ("adamw", "adam", "sgd"):
        fused = "default" if name == "adamw" else f"{name} fused"
        told = {"optimizer": name}
        variants += [] if name == "adamw" else [Variant(fused, "default", told)]
        variants += [
            Variant(f"{name} {kind}", fused, told, change=partial(optimizer, kind)) for kind in ("foreach", "loop")
        ]
    return variants


def cpu_variants() -> list[Variant]:
    """Those of a CPU: the default is channels_last, fused AdamW, float32."""
    return [
        Variant("default"),
        Variant("contiguous, stored NHWC", change=contiguous),
        Variant("contiguous, stored NCHW", axes="NCHW", change=contiguous),
        Variant("channels_last, stored NCHW", axes="NCHW"),
        *_optimizers(),
        Variant("bf16 autocast", settings={"precision": "bf16"}),
    ]


@contextlib.contextmanager
def _tf32() -> Any:
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def resident(trainer: Trainer) -> None:
    """The training events on the device."""
    events = trainer.training
    there = Resident.upload(events.source, events.axes, trainer.device)
    trainer.training = replace(events, resident=there)


def cuda_variants() -> list[Variant]:
    """Those of a GPU: the default is channels_last, fused AdamW, bf16 autocast, deterministic."""
    return [
        Variant("default"),
        Variant("float32", settings={"precision": "fp32"}),
        Variant("TF32", settings={"precision": "fp32"}, during=_tf32),
        Variant("contiguous, stored NHWC", change=contiguous),
        Variant("contiguous, stored NCHW", axes="NCHW", change=contiguous),
        *_optimizers(),
        Variant("not deterministic", settings={"deterministic": False}),
        Variant("no CUDA graph", settings={"cuda_graph": False}),
        Variant("events on the GPU", change=resident),
    ]


@contextlib.contextmanager
def as_wanted(trainer: Trainer, variant: Variant) -> Any:
    """The process-wide switches of this trainer: the one made last has set its own."""
    settings = trainer.settings
    prepare(settings.device, settings.precision, deterministic=settings.deterministic)
    with variant.during():
        yield
