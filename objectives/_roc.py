"""How well two classes are told apart: the ROC curve as counts of events, and what is read from it.

The discriminant of a signal class s and a background class b is p_s / (p_s + p_b), on the events whose true class is
one of the two. A cut keeps the events at or above it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives._binning import Counts, Floats, wilson
from objectives._metrics import roc_auc


@dataclass(frozen=True)
class Roc:
    """A ROC curve at some of its cuts, from the hardest to none.

    Attributes:
        signal_passing: signal events that pass each cut, (P,), ascending.
        background_passing: background events that pass it, (P,), ascending.
        signal_events: number of signal events.
        background_events: number of background events.
        auc: area under the whole curve, ties half; None if a class has no events.
    """

    signal: str
    background: str
    signal_passing: Counts
    background_passing: Counts
    signal_events: int
    background_events: int
    auc: float | None

    @property
    def signal_efficiency(self) -> Floats:
        """Fraction of signal events that pass, (P,)."""
        return self.signal_passing / max(1, self.signal_events)

    @property
    def background_efficiency(self) -> Floats:
        """Fraction of background events that pass, (P,)."""
        return self.background_passing / max(1, self.background_events)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """The cuts that some background and some signal passes, (P,): elsewhere there is no rejection to speak of."""
        return (self.background_passing > 0) & (self.signal_passing > 0)

    def rejection(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return signal efficiency, rejection 1 / ε_b and the ends of its one-sigma interval, at measured cuts."""
        passing = self.background_passing[self.measured]
        low, high = wilson(passing, np.full(len(passing), self.background_events))
        return self.signal_efficiency[self.measured], self.background_events / passing, 1 / high, 1 / low

    def significance(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return signal efficiency, gain ε_s / √ε_b and the ends of its one-sigma interval, at measured cuts.

        The interval is that of ε_b; that of ε_s is far smaller where it matters.
        """
        signal, rejection, low, high = self.rejection()
        return signal, signal * np.sqrt(rejection), signal * np.sqrt(low), signal * np.sqrt(high)

    def reversed(self) -> "Roc":
        """Return the same curve with signal and background exchanged: what failed a cut now passes it."""
        return Roc(
            self.background,
            self.signal,
            (self.background_events - self.background_passing)[::-1],
            (self.signal_events - self.signal_passing)[::-1],
            self.background_events,
            self.signal_events,
            self.auc,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return {
            "signal": self.signal,
            "background": self.background,
            "signal_events": self.signal_events,
            "background_events": self.background_events,
            "auc": self.auc,
            "signal_passing": self.signal_passing.tolist(),
            "background_passing": self.background_passing.tolist(),
        }


def roc_curve(signal: str, background: str, positive: NDArray[np.bool_], scores: Floats, points: int) -> Roc:
    """Return the curve thinned to at most `points` cuts, which lie closer where few background or most signal passes.

    Args:
        signal: the signal's name.
        background: the background's.
        positive: which events are signal, (N,).
        scores: (N,), finite.
        points: 20 or more.
    """
    order = np.argsort(-scores, kind="stable")
    descending, hits = scores[order], positive[order]
    ends = np.append(np.flatnonzero(np.diff(descending)), len(descending) - 1) if len(scores) else np.empty(0, int)
    passed = np.append(0, np.cumsum(hits)[ends]).astype(np.int64)
    false = np.append(0, ends + 1).astype(np.int64) - passed
    kept = _thinned(passed, false, points)
    auc = roc_auc(positive, scores)
    value = float(auc) if np.isfinite(auc) else None
    return Roc(signal, background, passed[kept], false[kept], int(passed[-1]), int(false[-1]), value)


def _thinned(signal: Counts, background: Counts, points: int) -> NDArray[np.intp]:
    """Return indices of the cuts to keep: the curve's corners at chosen efficiencies, and both ends."""
    if len(signal) <= points:
        return np.arange(len(signal))
    share = (points - 2) // 4
    most_signal, most_background = int(signal[-1]), int(background[-1])
    by_signal = np.concatenate(
        [np.linspace(0, most_signal, share), most_signal - np.geomspace(1, max(1, most_signal), share)]
    )
    by_background = np.concatenate(
        [np.linspace(0, most_background, share), np.geomspace(1, max(1, most_background), share)]
    )
    return np.unique(
        np.concatenate(
            [
                [0, len(signal) - 1],
                np.searchsorted(signal, np.floor(by_signal), side="left"),
                np.searchsorted(background, np.floor(by_background), side="right") - 1,
            ]
        )
    )


def stored_roc(pairs: Sequence[dict[str, Any]], signal: str, background: str) -> Roc | None:
    """Return the curve of two classes from what `roc_pairs` gave, whichever of the two is the signal, or None."""
    for pair in pairs:
        if {pair["signal"], pair["background"]} == {signal, background} and signal != background:
            counts = {name: np.asarray(pair[name], np.int64) for name in ("signal_passing", "background_passing")}
            roc = Roc(**{**pair, **counts})
            return roc if roc.signal == signal else roc.reversed()
    return None
