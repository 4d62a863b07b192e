"""What `inspect` and `check` print."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.cli._tables import duration, key_values, short

if TYPE_CHECKING:
    from study.checking import CheckReport
    from study.inspection import Inspection

SHOWN_CLASSES = 20


def inspection_report(console: Console, found: "Inspection") -> None:
    """What is in a file."""
    shape = "×".join(map(str, found.shape))
    how = "memory-mapped" if found.mapped else "to be converted once"
    console.print(f"[bold]{escape(found.path)}[/]", highlight=False, soft_wrap=True)
    lines: dict[str, Any] = {
        "events": f"{found.count:,} of {shape} (C×H×W), {found.dtype}, {found.memory_mb:g} MB, {how}",
        "datasets": ", ".join(f"{name} {'×'.join(map(str, size))}" for name, size in found.datasets.items()),
    }
    for item in found.classes[:SHOWN_CLASSES]:
        lines[f"class {item.label}"] = f"{item.name}: {item.events:,} events ({item.events / found.count:.1%})"
    if len(found.classes) > SHOWN_CLASSES:
        lines["classes"] = f"{len(found.classes)} in all"
    for name, numbers in {"target": found.target, **found.columns, "values": found.statistics}.items():
        if numbers:
            lines[name] = ", ".join(f"{key} {value:.4g}" for key, value in numbers.items())
    if found.dtype.lstrip("<>|=").startswith(("u", "i")) and found.statistics:
        lines["values"] += " (integers scaled to 1, as networks get them)"
    key_values(console, {key: escape(str(text)) for key, text in lines.items()})
    for remark in found.remarks:
        console.print(f"[yellow]note:[/] {escape(remark)}", highlight=False, soft_wrap=True)
    if not found.problems:
        console.print("[green]no problems found[/]")


def check_report(console: Console, report: "CheckReport") -> None:
    """What a study file comes to."""
    console.print(f"[green]{escape(report.name)} is valid[/]: {report.objective}, {report.direction} {report.metric}")
    trials = "no limit" if report.trials is None else f"{report.trials}"
    if report.study_s is not None:
        trials += f", about {duration(report.study_s)} on one core if none were stopped early"
    events = ", ".join(f"{count:,} {part}" for part, count in report.events.items())
    lines = {"events": f"{events}; {report.data_mb:g} MB to train on, held once per host", "trials": trials}
    if len(report.ends) > 1:
        lines["ends after"] = " or ".join(report.ends)
    if len(report.objectives) > 1:
        lines["objectives"] = ", ".join(report.objectives)
    if report.constraints:
        lines["constraints"] = f"{', '.join(report.constraints)}; a network that breaks one is not trained"
    lines["fixed"] = ", ".join(f"{name} {_value(value)}" for name, value in report.fixed.items())
    lines["searched"] = f"{len(report.searched)} hyperparameters"
    if report.unused:
        lines["unused"] = f"{', '.join(report.unused)}: in the file, but the constants there leave no use for them"
    key_values(console, {key: escape(text) for key, text in lines.items() if text})
    _searched(console, report.searched)
    _costs(console, report)


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else short(value)


def _searched(console: Console, searched: Sequence[Mapping[str, str]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("hyperparameter", no_wrap=True)
    table.add_column("range", max_width=30)
    table.add_column("meaning")
    for parameter in searched:
        when = f" (when {parameter['when']})" if parameter["when"] else ""
        table.add_row(parameter["name"], escape(parameter["range"]), escape(parameter["help"] + when))
    console.print(table, highlight=False)


def _costs(console: Console, report: "CheckReport") -> None:
    console.print("\npredicted on one core of this machine:")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("family", "weights", "an epoch", "the slowest", "a trial", "memory"):
        table.add_column(heading, justify="left" if heading == "family" else "right")
    for cost in report.costs:
        table.add_row(
            escape(cost.family),
            f"{cost.parameters:,}",
            duration(cost.epoch_s),
            duration(cost.worst_epoch_s),
            duration(cost.trial_s),
            f"{cost.memory_mb:.0f} MB",
        )
    console.print(table, highlight=False)
