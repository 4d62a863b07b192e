"""A commented study file fitted to a data file: what `studyhall init` writes."""

from pathlib import Path

from storage.errors import DataError
from study.inspection import Inspection


def study_file(inspection: Inspection, data: Path, *, axes: str, target: str, events: str) -> str:
    """The text of a study file for these data.

    Raises:
        DataError: The file has no target, so there is nothing to learn.
    """
    if not inspection.classes and not inspection.target:
        raise DataError(f"{data} has no dataset {target!r} to learn; name the target with --target")
    count, classes = inspection.count, inspection.classes
    epochs = 12 if count < 100_000 else 6
    return f"""\
# A study of {data.name}: {count} events of {"×".join(map(str, inspection.shape))} (C×H×W), {inspection.memory_mb:g} MB.
# Check it with `studyhall check`, run it with `studyhall launch`. Every key that is left out has a default.

study:
  name: {data.stem}
  # metric: {_metrics(inspection)}
  seed: 7

budget:
  trials: 50              # exactly so many are started, over all workers and hosts
  # trial_timeout: 4h     # a trial that takes longer fails

data:
  path: {data}
  events: {events}
  axes: {axes}            # order of the axes of {events}
  target: {target}
  split: {{validation: 0.1, test: 0.1, seed: 42}}   # the test part is opened once, at export
{_select(inspection)}
{_objective(inspection)}

training:
  epochs: {epochs}
  # early_stop: 4         # epochs without a better validation value{_weights(classes)}

# What is searched. Left out: each hyperparameter's own range (`studyhall check` lists them).
space:
  model: {{choice: [cnn, resnet, densenet, mlp]}}
  # lr: {{float: [1.0e-4, 1.0e-2], log: true}}
  # optimizer: adamw      # a constant is not searched
  # cnn.depth: {{int: [2, 4]}}
"""


def _metrics(inspection: Inspection) -> str:
    if inspection.classes:
        return "accuracy         # or balanced_accuracy, log_loss, roc_auc"
    return "rmse             # or mae, resolution, bias"


def _objective(inspection: Inspection) -> str:
    if not inspection.classes:
        return "objective: {name: regression, target: standardised}   # or target: log"
    names = "".join(f"\n#   {c.label} {c.name}: {c.events} events" for c in inspection.classes[:20])
    if len(inspection.classes) == 2:
        positive = inspection.classes[1].label
        negative = inspection.classes[0].label
        return f"objective: {{name: binary, positive: {positive}, negative: {negative}}}{names}"
    return f"objective: multiclass{names}"


def _select(inspection: Inspection) -> str:
    cuts = []
    if len(inspection.classes) > 2:
        cuts.append(f"classes: [{inspection.classes[0].label}, {inspection.classes[1].label}]")
    if "energies" in inspection.datasets:
        cuts.append("energy: [200, 1000]")
    if "positions" in inspection.datasets:
        cuts.append("fiducial: {radius: 300, half_height: 200, axis: y}")
    return f"  # select: {{{', '.join(cuts)}}}   # MeV, cm\n" if cuts else ""


def _weights(classes: object) -> str:
    return "\n  # class_weights: balanced" if classes else ""
