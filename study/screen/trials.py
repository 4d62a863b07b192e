"""The best trials with what they differ in, and the failures by class."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from rich.text import Text

from storage.history import TrialRow
from study._best import trained_epochs
from study.screen.cells import clean, columns, duration, number, quantity, short, state_text
from study.screen.look import Look
from study.summary import Summary, ranked

USUAL = ("model", "lr", "batch_size", "optimizer")
"""Hyperparameters that every study has: they come first, and stand for all where there is one trial."""


def leaders(summary: Summary, look: Look) -> list[Text]:
    """A heading and the best trials that have ended; nothing before the first value."""
    rows = [trial for trial in ranked(summary) if trial.value is not None][: look.trials]
    if not rows:
        return []
    shown, others = differing(rows), summary.objectives[1:]
    front = {trial.number for trial in summary.front} if others else set[int]()
    head = f"best {len(rows)}{' (* front)' if others else ''}"
    names = [clean(each.name)[:14] for each in others]
    table = [[head, clean(summary.metric)[:14], *names, "state", "epochs", "time", *shown]]
    for trial in rows:
        further = zip_longest(others, trial.all_values[1:])
        table.append(
            [
                f"{trial.number}{'*' if trial.number in front else ''}",
                number(trial.value),
                *(quantity(each.name, value) for each, value in further if each is not None),
                state_text(trial),
                str(trained_epochs(trial)),
                duration(trial.seconds),
                *(short(trial.parameters.get(name, "")) for name in shown),
            ]
        )
    lines = columns(table, look.width, least=3)
    lines[0].stylize("bright_black")
    return lines


def differing(rows: Sequence[TrialRow]) -> list[str]:
    """Hyperparameters that are not the same in all the trials; of a single one the usual."""
    found = dict.fromkeys(name for trial in rows for name in trial.parameters)
    usual = [name for name in USUAL if name in found]
    if len(rows) < 2:
        return usual
    names = [*usual, *(name for name in found if name not in usual)]
    return [name for name in names if len({repr(trial.parameters.get(name)) for trial in rows}) > 1]


def failures(summary: Summary) -> list[Text]:
    """A line per class: how many, and why the last one."""
    lines = []
    for name, count in sorted(summary.failures.items(), key=lambda item: (-item[1], item[0])):
        last = max(
            (trial for trial in summary.trials if trial.failure == name and trial.state.is_finished()),
            key=_ended,
        )
        line = Text.assemble("failures: ", (f"{count} {clean(name)}", "red"))
        lines.append(line.append(f", last trial {last.number}, {state_text(last)}: {reason_of(last)}"))
    return lines


def reason_of(trial: TrialRow) -> str:
    """Why a trial failed, on one line."""
    reason = trial.attributes.get("reason")
    lines = str(trial.message or "").strip().splitlines()
    return clean(reason if reason is not None else lines[-1] if lines else "no reason was recorded")


def _ended(trial: TrialRow) -> tuple[bool, Any, int]:
    return trial.ended_at is not None, trial.ended_at, trial.number
