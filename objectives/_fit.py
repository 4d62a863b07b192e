"""Training a network, epoch by epoch; nothing here knows of pruning or databases."""

from collections.abc import Callable, Generator

from objectives._errors import Interrupted, NonFiniteLoss
from objectives._evaluation import evaluate, never
from objectives._events import Events
from objectives._fit_settings import EpochResult, FitSettings
from objectives._trainer import Trainer

__all__ = ["EpochResult", "Events", "FitSettings", "Interrupted", "NonFiniteLoss", "Trainer", "evaluate", "fit"]


def fit(trainer: Trainer, *, should_stop: Callable[[], bool] = never) -> Generator[EpochResult]:
    """Train until the last epoch or the early stop, and give each epoch's result when it is there.

    Between two results no thread runs and the trainer's state may be saved; closing the iterator ends the training
    there. A trainer that is finished gives nothing.

    Args:
        trainer: fresh, or with a state loaded, even from the middle of an epoch.
        should_stop: asked before every batch.

    Raises:
        Interrupted: `should_stop` said so; the trainer stands at a batch boundary and may be saved or go on.
        NonFiniteLoss: a loss became NaN or infinite.
    """
    while not trainer.finished:
        yield trainer.run_epoch(should_stop)
