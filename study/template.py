"""A commented study file fitted to a data file: what `studyhall init` writes."""

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

from storage.hdf5 import Layout
from study._values import plain_name
from study._yaml import parse_yaml
from study.inspection import Inspection

COMMENTS = 28
"""Column at which the remark on a line begins."""
SHOWN_CLASSES = 20
MANY_EVENTS = 100_000


def study_file(inspection: Inspection, data: Path, layout: Layout) -> str:
    """The text of a study file for data without problems."""
    shape = "×".join(map(str, inspection.shape))
    return "\n".join(
        [
            f"# A study of {_one_line(data.name)}: {inspection.count} events of {shape} (channels×rows×columns), "
            f"{inspection.memory_mb:g} MB.",
            "#   studyhall check THIS_FILE     looks for mistakes, and predicts time and memory",
            "#   studyhall launch THIS_FILE    runs it; the same command continues after an interruption",
            "# Every key that is left out has a default; a # switches a line off.",
            "",
            "study:",
            f"  name: {_scalar(plain_name(data.stem))}",
            _line(f"  # metric: {_metrics(inspection)[0]}", f"or {', '.join(_metrics(inspection)[1:])}"),
            _line("  seed: 7", "all randomness follows from it"),
            "",
            "budget:",
            _line("  trials: 50", "exactly so many are started, over all workers and hosts"),
            _line("  # wall_time: 12h", "no trial is started later than so long after the first"),
            _line("  # no_improvement: 50", "no trial is started once so many have ended without a better one"),
            _line("  # trial_timeout: 4h", "a trial that takes longer fails"),
            "",
            "data:",
            f"  path: {_scalar(str(data))}",
            *_images(layout),
            _line(f"  target: {_scalar(layout.target)}", "dataset to learn"),
            "  # Networks learn from the rest, are compared on the validation part, and see the test part at the end.",
            "  split: {validation: 0.1, test: 0.1, seed: 42}",
            *_select(inspection),
            "",
            *_objective(inspection),
            "",
            "training:",
            _line(f"  epochs: {12 if inspection.count < MANY_EVENTS else 6}", "passes over the training part"),
            _line("  # early_stop: 4", "end after so many epochs without a better value"),
            *_weights(inspection),
            "",
            "# What is searched. What is left out has its own range or value: `studyhall check` lists all.",
            "space:",
            "  model: {choice: [cnn, resnet, densenet, mlp]}",
            "  # lr: {float: [1.0e-4, 1.0e-2], log: true}",
            "  # cnn.depth: {int: [2, 4]}",
            _line("  # optimizer: adamw", "a constant is not searched"),
            "",
        ]
    )


def _images(layout: Layout) -> Iterable[str]:
    if layout.pixels is None:
        yield _line(f"  events: {_scalar(layout.events)}", "dataset of the images")
        yield _line(f"  axes: {layout.axes}", "order of its axes: N events, H rows, W columns, C channels")
        return
    yield _line(f"  pixels: {_scalar(str(layout.pixels))}", "places of the tubes in the image")
    yield _line(f"  first_pmt: {layout.first_pmt}", "number of the first tube")


def _metrics(inspection: Inspection) -> list[str]:
    if not inspection.classes:
        return ["rmse", "mae", "resolution", "resolution_68", "bias"]
    found = ["accuracy", "balanced_accuracy", "log_loss", "roc_auc"]
    return [found[-1], *found[:-1]] if len(inspection.classes) == 2 else found


def _objective(inspection: Inspection) -> Iterable[str]:
    classes = inspection.classes
    if not classes:
        positive = inspection.target["minimum"] > 0
        yield "# The network learns the number, or its logarithm (target: log), which suits a relative resolution."
        yield f"objective: {{name: regression, target: {'log' if positive else 'standardised'}}}"
        return
    for item in classes[:SHOWN_CLASSES]:
        yield f"#   {item.label} {_one_line(item.name)}: {item.events} events"
    if len(classes) > SHOWN_CLASSES:
        yield f"#   and {len(classes) - SHOWN_CLASSES} classes more"
    if len(classes) == 2:
        yield f"objective: {{name: binary, positive: {classes[1].label}, negative: {classes[0].label}}}"
    else:
        yield "objective: multiclass"


def _select(inspection: Inspection) -> Iterable[str]:
    """Cuts that suit the file, switched off."""
    cuts = []
    if len(inspection.classes) > 2:
        cuts.append(f"classes: [{inspection.classes[0].label}, {inspection.classes[1].label}]")
    if "energies" in inspection.columns:
        numbers = inspection.columns["energies"]
        cuts.append(f"energy: [{math.floor(numbers['minimum'])}, {math.ceil(numbers['maximum'])}]")
    if "positions" in inspection.columns:
        cuts.append("fiducial: {radius: 300, half_height: 200, axis: y}")
    if cuts:
        yield "  # Use only a part, by label, true energy in MeV, distance from the centre in cm."
        yield f"  # select: {{{', '.join(cuts)}}}"


def _weights(inspection: Inspection) -> Iterable[str]:
    if inspection.classes:
        yield _line("  # class_weights: balanced", "rare classes count as much as others")


def _line(text: str, remark: str) -> str:
    return f"{text:<{COMMENTS}} # {remark}"


def _scalar(text: str) -> str:
    """A text as YAML: plain where it stays the same, else in quotes."""
    plain = re.fullmatch(r"[\w./][\w./-]*", text) is not None and parse_yaml(text, "") == text
    return text if plain else json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())
