"""The importance of hyperparameters as tables, for the terminal."""

from collections.abc import Sequence

from rich.text import Text

from study.importance import Importance, ParameterImportance
from study.screen.cells import clean, columns

UNTOLD = 3
"""Parameters shown that cannot be told from chance; the others are named."""


def importance_lines(groups: Sequence[Importance]) -> list[Text]:
    """All groups, each under a heading."""
    return [line for group in groups for line in [Text(""), *_group(group)]]


def _group(group: Importance) -> list[Text]:
    heading = f"importance, {clean(group.title)}: {group.trials} trials, {group.complete} complete"
    heading += f", the best tenth is {group.best}" if group.parameters else ""
    lines = [Text(heading, style="bold")]
    if group.note:
        lines.append(Text(group.note, style="yellow"))
    told = [parameter for parameter in group.parameters if parameter.told]
    untold = [parameter for parameter in group.parameters if not parameter.told]
    shown = told + untold[:UNTOLD]
    if shown:
        head = ["parameter", "share", "+/-", "told from chance", "best tenth"]
        lines += columns([head, *map(_row, shown)], None)
    if untold[UNTOLD:]:
        names = ", ".join(clean(parameter.name) for parameter in untold[UNTOLD:])
        lines.append(Text(f"not told from chance either: {names}", style="bright_black"))
    return lines


def _row(one: ParameterImportance) -> list[str]:
    return [one.name, f"{one.share:.2f}", f"{one.sigma:.2f}", "yes" if one.told else "no", one.best if one.told else ""]
