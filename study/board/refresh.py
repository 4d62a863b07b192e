"""Refresh what the dashboard shows of a study."""

import json
from typing import Any

from storage import files
from storage.board import write_board
from storage.database import Database
from storage.history import History
from storage.timeline import last_attempts
from study._artifact_names import RECORD, artifact_id
from study.board import physics, progress
from study.board.note import study_note
from study.importance import study_importances
from study.stored import StoredStudy
from study.summary import Summary, summarise

MOST_SPELLS = 400
"""Attempts in the timeline."""


def refresh_board(database: Database, stored: StoredStudy, history: History) -> None:
    """Write the study's note and plots; at most some hundred kilobytes, however many trials there are."""
    summary = summarise(database, stored, notice_lost=False, history=history)
    plots = _search_plots(database, stored, summary) | _best_plots(stored, summary)
    shown = {name: plot for name, plot in plots.items() if plot is not None}
    importance = study_importances(database, summary.trials, stored.objectives)
    write_board(database, stored.study_id, study_note(summary, stored.study_id, importance), shown)


def _search_plots(database: Database, stored: StoredStudy, summary: Summary) -> dict[str, Any]:
    ours = [trial for trial in summary.trials if trial.ours]
    return {
        "1-learning-curves": progress.learning_curves(ours, stored.metric, stored.direction),
        "2-worker-timeline": progress.worker_timeline(last_attempts(database, stored.study_id, MOST_SPELLS)),
        "3-accuracy-against-cost": progress.accuracy_against_cost(ours, stored.metric, stored.direction),
    }


def _best_plots(stored: StoredStudy, summary: Summary) -> dict[str, Any]:
    diagnostics = _best_diagnostics(stored, summary)
    if diagnostics is None or summary.best is None:
        return {}
    title = f"(trial {summary.best.number}, validation)"
    return {
        "4-confusion-matrix": physics.confusion_matrix(diagnostics, title),
        "5-roc": physics.roc_curve(diagnostics, title),
        "6-rejection": physics.rejection(diagnostics, title),
        "7-response": physics.response_histograms(diagnostics, title),
    }


def _best_diagnostics(stored: StoredStudy, summary: Summary) -> dict[str, Any] | None:
    if summary.best is None or summary.best.token is None:
        return None
    place = files.join(stored.trial_artifacts, artifact_id(RECORD, summary.best.token))
    try:
        found: dict[str, Any] | None = json.loads(files.read_file(place))["diagnostics"]
    except (OSError, ValueError, KeyError):  # another host's folder, or not there
        return None
    return found
