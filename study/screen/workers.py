"""One line per worker: what it trains, how far it is, when it was last seen."""

from collections.abc import Sequence

from rich.text import Text

from storage.agents import WorkerRow
from storage.history import TrialRow
from storage.tables import AttemptState
from study._best import trained_epochs
from study.screen.cells import bar, clean, columns, duration, memory, number
from study.screen.look import Look
from study.summary import Summary

BAR = 6
LONGEST_NAME = 24

Row = list[str | Text]
Hand = tuple[str | None, int | None]
"""An agent's id and one of its slots."""


def workers(summary: Summary, look: Look) -> list[Text]:
    """A heading and a line per worker, lost ones first; nothing without any."""
    lost = {(worker.agent_id, worker.slot) for worker in summary.lost}
    rows, in_hand = [], _in_hand(summary)
    for worker in sorted(summary.workers, key=lambda worker: (worker.agent_id, worker.slot) not in lost):
        trial, is_lost = in_hand.pop((worker.agent_id, worker.slot), None), (worker.agent_id, worker.slot) in lost
        rows.append(("red" if is_lost else "", _row(summary, worker, trial, look, is_lost=is_lost)))
    rows += [
        ("red", ["gone", *_trial(summary, trial, look), "", "", ""])
        for trial in in_hand.values()
        if trial.attempt_state is AttemptState.RUNNING
    ]
    return _table(summary, rows, look) if rows else []


def _table(summary: Summary, rows: Sequence[tuple[str, Row]], look: Look) -> list[Text]:
    headings: Row = ["worker", "trial", "epoch", clean(summary.metric)[:14], "for", "seen", "memory", "load"]
    lines = columns([headings, *(row for _, row in rows)], look.width, least=3)
    lines[0].stylize("bright_black")
    for line, (style, _) in zip(lines[1:], rows, strict=True):
        line.stylize(style)
    return lines


def name_of(worker: WorkerRow, longest: int | None = LONGEST_NAME) -> str:
    """Host, device and slot; a long host's name is cut."""
    place = f"/{worker.device}#{worker.slot}"
    host = clean(worker.host)
    if longest is not None and len(host) + len(place) > longest:
        host = host[: max(1, longest - len(place) - 1)] + "…"
    return host + place


def _row(summary: Summary, worker: WorkerRow, trial: TrialRow | None, look: Look, *, is_lost: bool) -> Row:
    name = name_of(worker, None if look.width is None else LONGEST_NAME)
    if is_lost:
        return [name, "" if trial is None else str(trial.number), "lost", "", "", _seen(worker), "", ""]
    load = "" if worker.utilisation is None else f"{worker.utilisation:.0f}%"
    doing: Row = ["", "idle", "", ""] if trial is None else _trial(summary, trial, look)
    return [name, *doing, _seen(worker), memory(worker.memory_mb), load]


def _trial(summary: Summary, trial: TrialRow, look: Look) -> Row:
    epoch = trained_epochs(trial)
    attempt = f" ({trial.attempts})" if trial.attempts > 1 else ""
    done = bar(epoch / max(1, summary.epochs), BAR, plain=look.plain).append(f" {epoch}/{summary.epochs}")
    return [f"{trial.number}{attempt}", done, number(trial.values.get(epoch)), duration(trial.seconds)]


def _in_hand(summary: Summary) -> dict[Hand, TrialRow]:
    """Trials that run, or whose worker was lost and that nobody has taken up again, by who has or had them."""
    held = (AttemptState.LOST, AttemptState.RUNNING)
    trials = [trial for trial in summary.trials if trial.attempt_state in held and not trial.settled]
    ordered = sorted(trials, key=lambda trial: held.index(trial.attempt_state or AttemptState.LOST))
    return {(trial.agent_id, trial.slot): trial for trial in ordered}


def _seen(worker: WorkerRow) -> str:
    return f"{max(0.0, worker.idle_s):.0f}s" if worker.idle_s < 100 else duration(worker.idle_s)
