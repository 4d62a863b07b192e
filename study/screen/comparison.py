"""A comparison as tables: cells of text, for the terminal and for a page."""

import json
from collections.abc import Sequence
from typing import Any

from study.comparing import Compared, Comparison
from study.screen.cells import duration, number

STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")


def results(comparison: Comparison) -> list[list[str]]:
    """A heading, and a row per study."""
    headings = ["study", "state", "best", "trial", "test", "metric"]
    states = [state for state in STATES if any(state in study.counts for study in comparison.studies)]
    headings += [*(state.lower() for state in states), "failures", "epochs", "GPU-h", "wall time", "trials/h"]
    return [headings, *(_row(study, states) for study in comparison.studies)]


def differences(comparison: Comparison) -> list[list[str]]:
    """A heading, and a row per configuration key that differs; nothing when none does."""
    if not comparison.differences:
        return []
    headings = ["key", *(study.name for study in comparison.studies)]
    return [headings, *([key, *map(_value, values)] for key, values in comparison.differences.items())]


def _row(study: Compared, states: Sequence[str]) -> list[str]:
    best = study.best
    failures = ", ".join(f"{count} {name}" for name, count in sorted(study.failures.items()))
    return [
        study.name,
        study.state,
        number(best.value) if best else "",
        str(best.number) if best else "",
        number(study.test),
        ", ".join(
            [f"{study.metric} ({study.direction[:3]})", *(f"{o.name} ({o.direction[:3]})" for o in study.further)]
        ),
        *(str(study.counts.get(state, 0)) for state in states),
        failures,
        str(study.epochs),
        f"{study.device_seconds / 3600:.2f}",
        duration(study.wall_s) if study.wall_s else "",
        "" if study.rate is None else f"{study.rate:.1f}",
    ]


def _value(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
