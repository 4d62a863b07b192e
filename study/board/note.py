"""The study's note: where it stands, its best trials, and where to look further."""

from collections.abc import Sequence
from urllib.parse import quote

from storage.history import TrialRow
from study.importance import Importance
from study.screen.cells import quantity
from study.summary import Summary, ranked

ROWS = 10
"""Trials in the table."""
FIRST = ("model", "optimizer", "lr", "batch_size")
"""Hyperparameters that tell most; then come the others in which the trials differ."""


def study_note(summary: Summary, study_id: int, importance: Sequence[Importance] = ()) -> str:
    """The note, in Markdown."""
    parts = [_standing(summary), _table(summary), _mattered(importance)]
    if summary.failures:
        told = ", ".join(f"{count} {name}" for name, count in sorted(summary.failures.items()))
        parts.append(f"Failures: {told}.")
    page = f"/studyhall/study/{quote(summary.name, safe='')}"
    links = [f"[live page]({page})", "[all studies](/studyhall/)", f"[table of trials](/csv/{study_id})"]
    parts.append(" · ".join(links))
    return "\n\n".join(part for part in parts if part)


def _standing(summary: Summary) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in sorted(summary.counts.items())) or "no trial yet"
    budget = summary.budget if summary.budget is not None else "unlimited"
    lines = [f"**{_plain(summary.state)}**: {summary.started} of {budget} trials started ({counts})."]
    if summary.best is not None and summary.best.value is not None:
        best = f"Best {_plain(summary.metric)}: **{summary.best.value:.4f}** (trial {summary.best.number})"
        test = "not opened for it" if summary.test is None else f"{summary.test:.4f}"
        front = f" Front of {len(summary.front)} trials." if len(summary.objectives) > 1 else ""
        lines.append(f"{best}; test events: {test}.{front}")
    return " ".join(lines)


def _table(summary: Summary) -> str:
    rows = [trial for trial in ranked(summary) if trial.value is not None][:ROWS]
    names = [name for name in _parameters(rows) if len({str(row.parameters.get(name)) for row in rows}) > 1][:6]
    if not rows:
        return ""
    others = [each.name for each in summary.objectives[1:]]
    head = ["trial", "state", summary.metric, *others, "epochs", "seconds", *names]
    lines = ["| " + " | ".join(map(_plain, head)) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        shown = [str(row.number), row.state.name, f"{row.value:.4f}"]
        shown += [quantity(*each) for each in zip(others, row.all_values[1:], strict=False)] or [""] * len(others)
        shown += [str(row.attributes.get("epochs", ""))]
        shown += [f"{row.seconds:.1f}", *(_short(row.parameters.get(name, "")) for name in names)]
        lines.append("| " + " | ".join(map(_plain, shown)) + " |")
    return "\n".join(lines)


def _mattered(importance: Sequence[Importance]) -> str:
    """A line for each group of parameters that has something to tell."""
    lines = []
    for group in importance:
        told = [one for one in group.parameters if one.told]
        named = ", ".join(
            f"**{_plain(one.name)}** {one.share:.2f} ± {one.sigma:.2f} ({_plain(one.best)})" for one in told
        )
        if told:
            lines.append(f"- {_plain(group.title)} ({group.trials} trials): {named}")
    if lines:
        return "\n".join(["What mattered, with its share of the importance and where the best tenth lies:", "", *lines])
    return f"What mattered: {_plain(importance[0].note)}." if importance and importance[0].note else ""


def _parameters(rows: Sequence[TrialRow]) -> list[str]:
    return list(dict.fromkeys([*FIRST, *(name for row in rows for name in row.parameters)]))


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(text: str) -> str:
    """Text that Markdown takes for nothing else."""
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]<>#|~" else sign for sign in text.replace("\n", " "))
