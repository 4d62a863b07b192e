"""The model card of an export, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from storage.history import TrialRow
from storage.openings import Opening
from study.bundle import Metrics
from study.confirmation import words
from study.confirmation.report import Confirmation
from study.plan import Facts, Plan

MOST_CLASSES = 10
"""With more there is no matrix in the card."""


def model_card(
    plan: Plan,
    facts: Facts,
    row: TrialRow,
    metrics: Metrics,
    diagnostics: Mapping[str, Mapping[str, Any] | None],
    openings: Sequence[Opening],
    confirmation: Confirmation | None = None,
) -> str:
    """The text.

    Args:
        plan: The study.
        facts: Of its data.
        row: The exported trial.
        metrics: By part of the data.
        diagnostics: By part of the data.
        openings: Those of the study's test events, for this trial or another.
        confirmation: Of the study, if the trial was retrained in it.
    """
    opening = next((item for item in openings if item.number == row.number), None)
    shape = "×".join(map(str, facts.shape))
    values = plan.space.resolved(row.parameters)
    return f"""\
# {plan.config.name}, trial {row.number}

A network of family `{values["model"]}` with {row.attributes.get("parameters", "?")} parameters for
`{plan.kind.name}` on events of {shape} (C×H×W), {_chosen(plan, row, confirmation)}.

## Metrics

{_metrics_table(metrics)}

{_test_note(facts, opening, len(openings))}
The validation numbers chose this trial among others (and its epoch {row.attributes.get("best_epoch", "?")}), so they
are optimistic.

{_confirmation_section(row, confirmation)}{_diagnostics_section(diagnostics)}
## Data

`{plan.data_path}`: {facts.events["training"]} training, {facts.events["validation"]} validation and
{facts.events["test"]} test events (split seed {plan.config.data.split.seed}). Fingerprint: `data.json`.

## Hyperparameters

{_table({"hyperparameter": "value"}, values)}

## Use

```
studyhall evaluate .                            # the metrics above, computed again
studyhall report .                              # figures, on one page
studyhall predict . --data FILE.h5 --out P.h5   # predictions, event by event
```

Files: `config.yaml` (every resolved value), `model.safetensors` (weights), `metrics.json` (with
diagnostics and the history of the training), `data.json` (fingerprint, statistics), `environment.json` (versions and
machine), `importance.json` (which hyperparameters mattered in the search), and the user's own families and tasks, if
any.
"""


def _chosen(plan: Plan, row: TrialRow, confirmation: Confirmation | None) -> str:
    winner = confirmation.winner if confirmation else None
    if winner is not None and winner.number == row.number:
        return f"chosen among its study's leaders by the best mean validation `{plan.metric}` over fresh seeds"
    if len(plan.objectives) == 1:
        return f"chosen by the best validation `{plan.metric}` of its study"
    named = [f"`{each.name}` ({each.direction})" for each in plan.objectives]
    return f"of a study that optimises {', '.join(named[:-1])} and {named[-1]}"


def _confirmation_section(row: TrialRow, confirmation: Confirmation | None) -> str:
    """What training the study's leaders again has found; nothing without that."""
    leader = confirmation.leader(row.number) if confirmation else None
    if confirmation is None or leader is None:
        return ""
    numbers: dict[str, str] = dict(zip(words.COLUMNS, words.cells(leader), strict=True))
    won = "" if confirmation.winner is None else f" Trial {confirmation.winner.number} has the best mean of them."
    return f"""\
## Confirmation

{len(confirmation.leaders)} leaders of the study were trained again with fresh seeds (study `{confirmation.name}`).{won}
Of this trial:

{_table({f"validation {confirmation.metric}": "of this trial"}, numbers)}

"Optimism" is how much better the search's own number is than the mean, with the mean's standard error. The best of
several means is itself slightly optimistic; the test events are the unbiased judge.

"""


def _metrics_table(metrics: Metrics) -> str:
    parts = {part: values for part, values in metrics.items() if values}
    lines = [f"| metric | {' | '.join(parts)} |", "|---|" + "---|" * len(parts)]
    for name in dict.fromkeys(name for values in parts.values() for name in values):
        cells = [values.get(name) for values in parts.values()]
        shown = ["undefined" if cell is None else f"{cell:.4f}" for cell in cells]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _test_note(facts: Facts, opening: Opening | None, opened: int) -> str:
    if not facts.events["test"]:
        return "The study has no test events."
    if opening is None:
        return f"The test events were not opened for this trial; they were for {opened} trials of the study."
    when = f"{opening.opened_at:%Y-%m-%d %H:%M} UTC"
    return (
        f"The test events were opened for this trial on {when} by {opening.opened_by}; in all, {opened} "
        f"trial{'s' if opened != 1 else ''} of this study {'have' if opened != 1 else 'has'} seen them."
    )


def _diagnostics_section(diagnostics: Mapping[str, Mapping[str, Any] | None]) -> str:
    """The confusion matrix, or the response, of the test events where they were opened, else of the validation ones."""
    part = "test" if diagnostics.get("test") else "validation"
    found = diagnostics.get(part) or {}
    if found.get("confusion") and len(found["classes"]) <= MOST_CLASSES:
        rows = [
            f"| **{name}** | {' | '.join(map(str, row))} |"
            for name, row in zip(found["classes"], found["confusion"], strict=True)
        ]
        head = f"| true class | {' | '.join(found['classes'])} |\n|---|{'---|' * len(rows)}\n"
        return f"## Confusion\n\n{part.capitalize()} events by true class and class they are taken as:\n\n" + (
            head + "\n".join(rows) + "\n"
        )
    if found.get("residuals"):
        median, half = found["residuals"]["median"], found["residuals"]["half_width"]
        return (
            f"## Response\n\nRelative residuals of the {part} events: median {median:+.4f}, half width of the central "
            f"68.27 % {half:.4f}.\n"
        )
    return ""


def _table(head: Mapping[str, str], rows: Mapping[str, Any]) -> str:
    lines = [f"| {left} | {right} |\n|---|---|" for left, right in head.items()]
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(lines)
