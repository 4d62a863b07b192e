"""What a worker, or its agent in its stead, leaves of a trial for people: curve, configuration, log, and the record."""

import csv
import io
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from storage import files
from study._artifact_names import CONFIG, CURVE, LOG, RECORD, artifact_id
from study._diagnosing import Known, known_diagnostics
from study._messages import Done, Failed, TrialJob, state_name
from study._training import TrialRun
from study._trial_record import epoch_json, trial_record
from study.plan import Plan

logger = logging.getLogger(__name__)

CURVE_COLUMNS = ("epoch", "training_loss", "validation_loss", "learning_rate", "seconds", "events_per_second")
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def write_trial_files(folder: str, token: str, record: Mapping[str, Any], log: Sequence[str]) -> None:
    """Write the files; one that cannot be written is only logged, since no result depends on it.

    Args:
        folder: That of the study's artifacts.
        token: Of the attempt.
        record: What `trial_report` draws, with "configuration" for the YAML file.
        log: Lines.
    """
    content = {
        CURVE: curve_csv(record["history"]).encode(),
        CONFIG: _yaml(record["configuration"]).encode(),
        LOG: "".join(f"{line}\n" for line in log).encode("utf-8", "backslashreplace"),
        RECORD: json.dumps(record).encode(),
    }
    for kind, data in content.items():
        place = files.join(folder, artifact_id(kind, token))
        try:
            files.write_file(place, data, durable=False)
        except Exception as error:  # a file system of any kind
            logger.warning("%s cannot be written: %s", place, error)


def leave_files(
    plan: Plan, job: TrialJob, run: TrialRun, answer: Done | Failed, known: Known, log: Sequence[str]
) -> None:
    """Write the files of a trial that has just ended here."""
    history = [epoch_json(result) for result in run.trainer.history] if run.made else []
    state = state_name(answer)
    if isinstance(answer, Done):
        record = trial_record(
            plan,
            job.number,
            job.sampled,
            state=state,
            history=history,
            value=answer.values[0],
            best_epoch=run.trainer.best.epoch,
            diagnostics=_diagnostics(run, known),
        )
    else:
        record = trial_record(plan, job.number, job.sampled, state=state, history=history, reason=answer.reason)
        log = [*log, *answer.details.splitlines()]
    write_trial_files(job.artifacts, job.token, record, log)


def _diagnostics(run: TrialRun, known: Known) -> dict[str, Any] | None:
    try:
        return known_diagnostics(run.trainer.task, known, run.trainer.best_predictions())
    except Exception as error:  # a task of the user's own; no result depends on it
        logger.warning("no diagnostics: %s: %s", type(error).__name__, error)
        return None


def curve_csv(history: Sequence[Mapping[str, Any]]) -> str:
    """One line per epoch: losses, learning rate, time, then every metric."""
    metrics = sorted({name for epoch in history for name in epoch["metrics"]})
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow([*CURVE_COLUMNS, *metrics])
    for epoch in history:
        table.writerow([*(epoch[name] for name in CURVE_COLUMNS), *(epoch["metrics"].get(name) for name in metrics)])
    return buffer.getvalue()


def _yaml(tree: Mapping[str, Any]) -> str:
    return str(yaml.dump(dict(tree), Dumper=_DUMPER, sort_keys=False, allow_unicode=True))
