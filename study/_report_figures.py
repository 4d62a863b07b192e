"""The figures of a report, each with a line that says what is seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from objectives._roc import Roc, stored_roc
from study.figures.confusion import confusion_png
from study.figures.curves import curves_png
from study.figures.efficiency import efficiency_png
from study.figures.probabilities import probabilities_png
from study.figures.rejection import rejection_png
from study.figures.residuals import residuals_png
from study.figures.response import response_png
from study.figures.roc import roc_png
from study.figures.significance import significance_png
from study.figures.truth import truth_png


@dataclass(frozen=True)
class Picture:
    """A figure: its title, what is seen in it, and the PNG."""

    title: str
    caption: str
    png: bytes


def training_pictures(history: Sequence[Mapping[str, Any]], metric: str, best_epoch: int | None) -> list[Picture]:
    """The learning curves; none where no epoch is recorded."""
    if not history:
        return []
    caption = (
        f"Mean loss of the training events (with augmentation, dropout and class weights, where they are used) and of "
        f"the validation events, and the validation {metric}, after each epoch. The weights are those of the best "
        "epoch. Shaded, if at all: the epochs from the least validation loss on, where the mean validation loss rises "
        "by more than 2 % while the training loss falls."
    )
    return [Picture("Learning curves", caption, curves_png(history, metric, best_epoch=best_epoch))]


def diagnostic_pictures(found: Mapping[str, Any], pair: tuple[str, str] | None) -> Iterator[Picture]:
    """All figures of one part of the data.

    Args:
        found: Its diagnostics.
        pair: Signal and background; None means the default of the classes.
    """
    if found.get("kind") == "classification":
        yield from _of_classes(found)
        signal, background = pair or found["default_pair"]
        roc = stored_roc(found["roc"], signal, background)
        if roc is not None:
            yield from _of_pair(roc)
    elif found.get("kind") == "regression":
        yield from _of_values(found)


def _of_classes(found: Mapping[str, Any]) -> Iterator[Picture]:
    if found.get("confusion"):
        caption = (
            "Events by true class (rows) and most probable class (columns): per cent of the true class, and number."
        )
        yield Picture("Confusion matrix", caption, confusion_png(found))
    if found.get("probabilities"):
        caption = (
            "Predicted probability p of a class in 25 bins, for the events of each true class; every histogram sums "
            "to 1."
        )
        yield Picture("Probabilities", caption, probabilities_png(found))
    if found.get("efficiency"):
        caption = (
            "Fraction of the events of a class that is told right, in bins of true energy (MeV) that hold equally many "
            "events of all classes together. Bars: Wilson's interval of one sigma. Points lie at the median energy, "
            "moved apart a little."
        )
        yield Picture("Efficiency against energy", caption, efficiency_png(found))


def _of_pair(roc: Roc) -> Iterator[Picture]:
    signal, background = roc.signal, roc.background
    events = f"{roc.signal_events:,} {signal} and {roc.background_events:,} {background} events"
    caption = (
        f"Cuts on p({signal}) / (p({signal}) + p({background})), on {events}. Efficiencies are the fractions of signal "
        "(ε_s) and background (ε_b) that pass a cut; AUC is the area under the curve."
    )
    yield Picture(f"ROC: {signal} against {background}", caption, roc_png(roc))
    caption = (
        f"1 / ε_b against ε_s for the same cuts. With {roc.background_events:,} background events no rejection above "
        "that number can be measured; cuts that no background event passes are left out. Band: Wilson's interval of "
        "one sigma of the background that passes. Dotted: fewer than 10 background events pass."
    )
    yield Picture("Background rejection", caption, rejection_png(roc))
    caption = (
        "ε_s / √ε_b: the factor that a cut gains in S / √B, where background dominates. Dotted: fewer than 10 "
        "background events pass, so that the value is chance."
    )
    yield Picture("Significance gain", caption, significance_png(roc))


def _of_values(found: Mapping[str, Any]) -> Iterator[Picture]:
    if found.get("plane"):
        outside = found["plane"]["outside"]
        caption = f"Number of events by true and predicted value; {outside:,} events lie beyond the edges."
        yield Picture("Predicted against true", caption, truth_png(found))
    if found.get("residuals"):
        caption = (
            "(predicted - true) / |true|, event by event, with the median and half the width of the central 68.27 %."
        )
        yield Picture("Residuals", caption, residuals_png(found))
    for by, what in (("response", "the true value"), ("response_by_energy", "true energy (MeV)")):
        if found.get(by):
            caption = (
                f"In bins of {what} that hold about equally many events. Resolution: half the width of the central "
                "68.27 % of predicted / true, over its median. Bias: the median less 1. Points lie at the median; bars "
                "across: the bins."
            )
            yield Picture(f"Resolution and bias against {what}", caption, response_png(found, by))
