"""Tables on the terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from storage.history import TrialRow
    from study.summary import Summary

SHOWN_TRIALS = 10
TABLE_PARAMETERS = ("model", "optimizer", "lr", "batch_size")
"""Those that every study has; `status --json` lists all of a trial."""


def summary_table(console: Console, summary: "Summary", *, trials: int = SHOWN_TRIALS) -> None:
    """One study: where it stands, its leaders, its failures."""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(summary.counts.items())) or "none yet"
    budget = summary.budget if summary.budget is not None else "no limit"
    console.print(f"[bold]{summary.name}[/]: {summary.state}" + (f" ({summary.reason})" if summary.reason else ""))
    lines = {
        "trials": f"{summary.started} started of {budget}: {counts}",
        "device time": duration(summary.device_seconds),
        "test events": f"opened for {summary.tested} of {summary.finished} trials",
    }
    if summary.others:
        lines["others"] = f"{summary.others} trials by other Optuna programs (not counted)"
    if summary.failures:
        lines["failures"] = ", ".join(f"{count} {name}" for name, count in sorted(summary.failures.items()))
        failed = [trial for trial in summary.trials if "reason" in trial.attributes]
        if failed:
            last = failed[-1]
            lines["last failure"] = f"trial {last.number}, {state_text(last)}: {last.attributes['reason']}"
    if summary.waiting:
        lines["waiting"] = f"{summary.waiting} handed back or lost; the next worker takes them up"
    key_values(console, lines)
    running_table(console, summary)
    trials_table(console, summary, trials)


def key_values(console: Console, lines: Mapping[str, Any]) -> None:
    """Two columns, without a frame."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for key, value in lines.items():
        table.add_row(key, str(value))
    console.print(table, highlight=False)


def running_table(console: Console, summary: "Summary") -> None:
    """What runs now."""
    if not summary.running:
        return
    table = Table(title="running", title_justify="left", box=None, pad_edge=False)
    for heading in ("trial", "attempt", "epoch", summary.metric, "for", "worker"):
        table.add_column(heading)
    for trial in summary.running:
        value = "" if trial.value is None else f"{trial.value:.4f}"
        table.add_row(
            str(trial.number), str(trial.attempt), str(trial.epoch), value, duration(trial.seconds), trial.worker
        )
    console.print(table, highlight=False)


def trials_table(console: Console, summary: "Summary", limit: int) -> None:
    """The best trials, then the others, with the parameters in which they differ."""
    from study.summary import ranked

    rows = ranked(summary)[:limit]
    if not rows:
        return
    table = Table(
        title=f"best {len(rows)} of {len(summary.trials)} trials",
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    shown = [name for name in TABLE_PARAMETERS if any(name in row.parameters for row in rows)]
    for heading in ("trial", "state", summary.metric, "epochs", "time", *shown):
        table.add_column(heading)
    for trial in rows:
        table.add_row(
            str(trial.number),
            state_text(trial),
            "" if trial.value is None else f"{trial.value:.4f}",
            str(trial.attributes.get("epochs", max(trial.values, default=0))),
            duration(trial.seconds),
            *(short(trial.parameters.get(name, "")) for name in shown),
        )
    console.print(table, highlight=False)


def state_text(trial: "TrialRow") -> str:
    """Optuna's state, with the class of the failure or the number of the attempt."""
    if trial.failure and trial.state.is_finished():
        return f"{trial.state.name} ({trial.failure})"
    if trial.attempts > 1 and not trial.state.is_finished():
        return f"{trial.state.name} (attempt {trial.attempts})"
    return trial.state.name


def short(value: Any) -> str:
    """A value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Seconds as 12.3s, 4m05s or 3h07m."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    if seconds < 3600:
        return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"
    return f"{int(seconds // 3600)}h{int(seconds % 3600 // 60):02d}m"
