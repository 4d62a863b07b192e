"""Everything known of one trial, and of all that failed, as lines of text."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from storage.database import Database
from storage.epochs import read_epochs
from storage.errors import StudyMissing
from storage.history import TrialRow, read_trials
from storage.tables import AttemptState
from storage.trial_details import AttemptRow, find_trials, list_attempts
from study._told import local
from study.screen.cells import clean, columns, duration, number, short, state_text
from study.screen.trials import reason_of
from study.stored import StoredStudy

LAST_LINES = 6
"""Of a traceback in the short form."""


def trial_digest(database: Database, stored: StoredStudy, trial: TrialRow) -> list[Text]:
    """A trial's state, hyperparameters, attempts and epochs."""
    lines = [_title(trial, stored.metric), *_parameters(trial)]
    lines += _headed("attempts", _attempts(list_attempts(database, trial.trial_id)))
    recorded = read_epochs(database, [trial.trial_id]).get(trial.trial_id, [])
    return lines + _headed("epochs", _epochs(trial, stored.metric, recorded))


def failure_digest(trial: TrialRow) -> list[Text]:
    """The traceback or message of a failed trial; nothing of another."""
    if not trial.failure:
        return []
    message = trial.message or reason_of(trial)
    return _headed(f"failure ({clean(trial.failure)})", [Text(clean(line)) for line in message.splitlines()])


def read_trial(database: Database, stored: StoredStudy, trial_number: int) -> TrialRow:
    """One trial.

    Raises:
        StudyMissing: There is no such trial.
    """
    found = find_trials(database, stored.study_id, [trial_number])
    if trial_number not in found:
        last = max((row.number for row in read_trials(database, stored.study_id)), default=None)
        known = "it has none yet" if last is None else f"its trials are 0 to {last}"
        raise StudyMissing(f"study {stored.name!r} has no trial {trial_number}; {known}")
    return read_trials(database, stored.study_id, [found[trial_number]])[0]


def failed_digest(trials: Sequence[TrialRow]) -> list[Text]:
    """Failed trials by class with their reasons and the ends of their tracebacks; newest last, classes too."""
    classes: dict[str, list[TrialRow]] = {}
    for trial in sorted(trials, key=lambda trial: (trial.ended_at is not None, trial.ended_at, trial.number)):
        if trial.failure and trial.state.is_finished():
            classes[trial.failure] = [*classes.pop(trial.failure, []), trial]
    lines: list[Text] = []
    for name, failed in classes.items():
        shown = [line for trial in failed for line in _short(trial)]
        lines += _headed(f"{clean(name)}: {len(failed)} trial{'s' if len(failed) > 1 else ''}", shown)
    return lines[1:] if lines else [Text("no trial has failed")]


def _short(trial: TrialRow) -> list[Text]:
    first = Text(f"  trial {trial.number} {state_text(trial)}: {reason_of(trial)}")
    last = (trial.message or "").rstrip().splitlines()[-LAST_LINES:]
    if last == [reason_of(trial)]:
        return [first]
    return [first, *(Text(f"      {clean(line)}", style="bright_black") for line in last)]


def _title(trial: TrialRow, metric: str) -> Text:
    line = Text.assemble((f"trial {trial.number}", "bold"), f": {state_text(trial)}")
    if trial.value is not None:
        line.append(f", {clean(metric)} {number(trial.value)}")
    return line.append(
        f", {trial.attempts} attempt{'' if trial.attempts == 1 else 's'}, device time {duration(trial.seconds)}"
    )


def _parameters(trial: TrialRow) -> list[Text]:
    listed = ", ".join(f"{name}={short(value)}" for name, value in trial.parameters.items())
    return [Text(clean(f"hyperparameters: {listed}"))] if listed else []


def _attempts(attempts: Sequence[AttemptRow]) -> list[Text]:
    rows = [["attempt", "worker", "began", "ended", "took", "end"]]
    for attempt in attempts:
        ended = local(attempt.ended_at) if attempt.ended_at else ""
        where = f"{attempt.host or 'unknown host'}#{attempt.slot}"
        took = duration(attempt.seconds)
        rows.append([str(attempt.attempt), where, local(attempt.started_at), ended, took, _end(attempt)])
    return columns(rows, None) if len(rows) > 1 else []


def _end(attempt: AttemptRow) -> str:
    """How an attempt ended, with the class of its failure."""
    if attempt.state is AttemptState.INTERRUPTED:
        return "handed back"
    return f"{attempt.state} ({attempt.failure})" if attempt.failure else str(attempt.state)


def _epochs(trial: TrialRow, metric: str, recorded: Sequence[dict[str, Any]]) -> list[Text]:
    """What each epoch gave; of trials of an older version only the metric is known."""
    by_epoch = {int(epoch["epoch"]): epoch for epoch in recorded}
    rows = [["epoch", "training loss", "validation loss", clean(metric), "learning rate", "seconds"]]
    for epoch in sorted({*by_epoch, *trial.values}):
        known = by_epoch.get(epoch, {})
        value = trial.values.get(epoch, (known.get("metrics") or {}).get(metric))
        rate, seconds = known.get("learning_rate"), known.get("seconds")
        rows.append(
            [
                str(epoch),
                number(known.get("training_loss")),
                number(known.get("validation_loss")),
                number(value),
                "" if rate is None else f"{rate:.3g}",
                "" if seconds is None else f"{seconds:.1f}",
            ]
        )
    return columns(rows, None) if len(rows) > 1 else []


def _headed(title: str, lines: Sequence[Text]) -> list[Text]:
    return [Text(""), Text(title, style="bold"), *lines] if lines else []
