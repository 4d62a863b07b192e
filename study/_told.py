"""What the database knows of a study's course, told as a log would: for studies whose logs lie elsewhere."""

from collections.abc import Sequence
from datetime import UTC, datetime

from storage.history import TrialRow
from study.logs import Entry
from study.screen.cells import number, state_text
from study.screen.trials import reason_of
from study.warm_start import is_history


def local(moment: datetime) -> str:
    """A moment of the database, UTC, by this machine's clock."""
    return f"{moment.replace(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S}"


class Told:
    """Beginnings and ends of trials as entries, each told once."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._known: set[tuple[int, bool]] = set()

    def news(self, trials: Sequence[TrialRow]) -> list[Entry]:
        """What has not been told yet, by time."""
        found: list[tuple[datetime, str]] = []
        for trial in trials:
            if is_history(trial):
                continue
            if trial.started_at is not None and self._is_new(trial, ended=False):
                found.append((trial.started_at, f"trial {trial.number} starts"))
            if trial.ended_at is not None and self._is_new(trial, ended=True):
                found.append((trial.ended_at, self._end(trial)))
        return [Entry(local(moment), "database", (f"{local(moment)} {text}",)) for moment, text in sorted(found)]

    def _end(self, trial: TrialRow) -> str:
        text = f"trial {trial.number} {state_text(trial)}"
        if trial.failure:
            return f"{text}: {reason_of(trial)}"
        return text if trial.value is None else f"{text}: {self._metric} {number(trial.value)}"

    def _is_new(self, trial: TrialRow, *, ended: bool) -> bool:
        new = (trial.trial_id, ended) not in self._known
        self._known.add((trial.trial_id, ended))
        return new
