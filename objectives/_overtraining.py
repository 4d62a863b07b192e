"""From which epoch a network learned its training events by heart."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

RISE = 1.02
"""A smaller rise of the validation loss is taken as noise."""
FEWEST_LATER = 2  # epochs


def overtraining(history: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the epoch at which overtraining sets in, or None.

    It is the first epoch of the least validation loss, if at least two epochs follow it, their mean validation loss is
    more than 2 % above it, and their mean training loss is below the training loss of that epoch. Epochs with a loss
    that is not finite are left out.

    Args:
        history: one mapping per epoch, in order, as `EpochResult.to_json` gives it.
    """
    usable = [item for item in history if _finite(item.get("validation_loss")) and _finite(item.get("training_loss"))]
    if not usable:
        return None
    best = min(range(len(usable)), key=lambda index: usable[index]["validation_loss"])
    later = usable[best + 1 :]
    if len(later) < FEWEST_LATER:
        return None
    rises = _mean(later, "validation_loss") > RISE * usable[best]["validation_loss"]
    falls = _mean(later, "training_loss") < usable[best]["training_loss"]
    return int(usable[best]["epoch"]) if rises and falls else None


def _mean(epochs: Sequence[Mapping[str, Any]], key: str) -> float:
    return math.fsum(item[key] for item in epochs) / len(epochs)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
