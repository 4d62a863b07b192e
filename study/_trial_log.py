"""The log of one attempt: what its worker says of each epoch, and whatever is logged meanwhile."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

MOST_LINES = 5_000
"""A trial that logs more keeps its first and its last ones."""

_FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(message)s")


class TrialLog(logging.Handler):
    """Keeps lines in memory."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        if len(self.lines) >= MOST_LINES:
            del self.lines[MOST_LINES // 2]
        self.lines.append(_FORMAT.format(record))


def show_warnings() -> None:
    """Let this process tell warnings on standard error, which is its agent's log."""
    told = logging.StreamHandler()
    told.setLevel(logging.WARNING)
    told.setFormatter(_FORMAT)
    logging.getLogger().addHandler(told)


@contextmanager
def trial_log() -> Iterator[TrialLog]:
    """Inside the context everything that is logged is kept too."""
    handler, root = TrialLog(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def epoch_line(result: Mapping[str, Any]) -> str:
    """One epoch in a line, from its JSON."""
    numbers = {
        "training loss": result["training_loss"],
        "validation loss": result["validation_loss"],
        **result["metrics"],
        "learning rate": result["learning_rate"],
    }
    told = ", ".join(f"{name} {'undefined' if value is None else f'{value:.4g}'}" for name, value in numbers.items())
    return f"epoch {result['epoch']}: {told}, {result['seconds']:.2f} s"
