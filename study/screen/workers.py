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
    """A heading and a line per worker, those that do not work first; nothing without any."""
    lost = {(worker.agent_id, worker.slot) for worker in summary.lost}
    rows, in_hand = [], _in_hand(summary)
    for worker in sorted(
        summary.workers, key=lambda one: ((one.agent_id, one.slot) not in lost, one.quarantined is None)
    ):
        trial, is_lost = in_hand.pop((worker.agent_id, worker.slot), None), (worker.agent_id, worker.slot) in lost
        bad = is_lost or worker.quarantined is not None
        rows.append(("red" if bad else "", _row(summary, worker, trial, look, is_lost=is_lost)))
    rows += [
        ("red", ["gone", *_trial(summary, trial, look), *[""] * (1 + _uses(summary))])
        for trial in in_hand.values()
        if trial.attempt_state is AttemptState.RUNNING
    ]
    return _table(summary, rows, look) if rows else []


def _table(summary: Summary, rows: Sequence[tuple[str, Row]], look: Look) -> list[Text]:
    headings: Row = ["worker", "trial", "epoch", clean(summary.metric)[:14], "for", "seen"]
    headings += ["gpu", "gpu memory", "power"] if _on_gpus(summary) else []
    lines = columns([[*headings, "memory", "load"], *(row for _, row in rows)], look.width, least=3)
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
    if is_lost or worker.quarantined is not None:
        state = "lost" if is_lost else "quarantined"
        return [name, "" if trial is None else str(trial.number), state, "", "", _seen(worker), *[""] * _uses(summary)]
    doing: Row = ["", "idle", "", ""] if trial is None else _trial(summary, trial, look)
    gpu = _gpu(worker) if _on_gpus(summary) else []
    return [name, *doing, _seen(worker), *gpu, memory(worker.memory_mb), _percent(worker.utilisation)]


def _gpu(worker: WorkerRow) -> Row:
    used, total, power_w = worker.gpu_used_mb, worker.gpu_total_mb, worker.gpu_power_w
    share = "" if used is None or total is None else f"{used / 1024:.1f}/{total / 1024:.0f} GB"
    return [_percent(worker.gpu_utilisation), share, "" if power_w is None else f"{power_w:.0f} W"]


def _on_gpus(summary: Summary) -> bool:
    """Whether anything is known of a worker's GPU."""
    return any((w.gpu_utilisation, w.gpu_used_mb, w.gpu_power_w) != (None, None, None) for w in summary.workers)


def _uses(summary: Summary) -> int:
    """Columns about what a worker uses."""
    return 5 if _on_gpus(summary) else 2


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}%"


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
