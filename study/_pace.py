"""How fast trials end, and when the budget will be used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.history import TrialRow

LAST = 20
"""Trials that ended last tell the rate: early ones were sampled at random and stopped early or not."""


@dataclass(frozen=True)
class Pace:
    """Trials ended per hour, and seconds to the end of the budget; None where that is unknown."""

    rate: float | None
    eta_s: float | None


def pace_of(trials: Sequence[TrialRow], budget: int | None, *, now: datetime | None = None) -> Pace:
    """The pace of the trials that ended last.

    Args:
        trials: Those of our claims.
        budget: Trials that may be started, or None.
        now: UTC, naive; None asks this machine's clock.
    """
    ended = sorted(trial.ended_at for trial in trials if trial.ended_at is not None)
    if len(ended) < 2:
        return Pace(None, None)
    last = ended[-LAST:]
    present = now or datetime.now(UTC).replace(tzinfo=None)
    # Up to now, so that a study in which nothing ends any more slows down; clocks of two machines may differ.
    seconds = (max(present, last[-1]) - last[0]).total_seconds()
    if seconds <= 0:
        return Pace(None, None)
    rate = (len(last) - 1) / seconds
    left = None if budget is None else max(0, budget - len(ended))
    return Pace(3600 * rate, None if left is None else left / rate)
