"""What a report tells, section by section."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from study import _report_page as html
from study._report_events import worst_events
from study._report_figures import diagnostic_pictures, training_pictures
from study._report_importance import importance_section
from study.bundle import ENVIRONMENT, Bundle


def report_page(bundle: Bundle, found: Mapping[str, dict[str, Any] | None], pair: tuple[str, str] | None) -> str:
    """The whole page.

    Args:
        bundle: The export.
        found: Its diagnostics, by part of the data.
        pair: Signal and background of the ROC curve; None means the default.
    """
    plan = bundle.plan
    part = "test" if found.get("test") else "validation"
    others = [name for name, item in found.items() if item and name != part]
    sections = [
        html.section("Metrics", _about(bundle, part), _metrics(bundle)),
        *_training(bundle),
        html.section(f"The {part} events", _events_line(found[part] or {}), *_pictures(found[part] or {}, pair)),
        _wrong(bundle, part),
        *[html.folded(f"The {name} events", *_pictures(found[name] or {}, pair)) for name in others],
        html.section("Hyperparameters", html.values(plan.space.resolved(bundle.sampled))),
        importance_section(bundle),
        html.section("Environment", html.values(_environment(bundle))),
    ]
    subtitle = f"{plan.kind.name} on {plan.data_path.name}, chosen by the validation {plan.metric} ({plan.direction})"
    return html.page(f"{plan.config.name}, trial {bundle.number}", subtitle, sections)


def _about(bundle: Bundle, part: str) -> str:
    events, shape = bundle.facts.events, "×".join(map(str, bundle.facts.shape))
    text = (
        f"A network of family {bundle.plan.space.resolved(bundle.sampled)['model']} on events of {shape} (C×H×W): "
        f"{events['training']:,} training, {events['validation']:,} validation and {events['test']:,} test events. "
        "The validation events chose this trial and its epoch, so their numbers are optimistic. "
    )
    opened = "The test events were opened for this trial." if part == "test" else "No test events were opened for it."
    return html.paragraph(text + opened)


def _metrics(bundle: Bundle) -> str:
    parts = {part: metrics for part, metrics in bundle.metrics.items() if metrics}
    names = dict.fromkeys(name for metrics in parts.values() for name in metrics)
    rows = [[name, *(metrics.get(name) for metrics in parts.values())] for name in names]
    return html.table(["metric", *parts], rows)


def _training(bundle: Bundle) -> Sequence[str]:
    pictures = training_pictures(bundle.history, bundle.plan.metric, bundle.best_epoch)
    return [html.section("Training", *map(html.picture, pictures))] if pictures else []


def _events_line(found: Mapping[str, Any]) -> str:
    left_out = found.get("left_out", 0)
    extra = f"; {left_out:,} with a prediction that is not finite are left out" if left_out else ""
    nothing = " Of this kind of task there are no figures." if found.get("kind") == "other" else ""
    return html.paragraph(f"{found.get('events', 0):,} events{extra}.{nothing}")


def _pictures(found: Mapping[str, Any], pair: tuple[str, str] | None) -> Sequence[str]:
    shown = [html.picture(picture) for picture in diagnostic_pictures(found, pair)]
    rows = [
        [item["signal"], item["background"], item["signal_events"], item["background_events"], item["auc"]]
        for item in found.get("roc") or []
    ]
    if len(rows) > 1:
        shown.append("<h3>All pairs of classes</h3>\n")
        shown.append(html.table(["class", "against", "its events", "the other's", "AUC"], rows))
    return shown


def _wrong(bundle: Bundle, part: str) -> str:
    pictures, reason = worst_events(bundle, part)
    return html.section("Events", *map(html.picture, pictures), *([html.paragraph(reason)] if reason else []))


def _environment(bundle: Bundle) -> dict[str, Any]:
    try:
        tree: dict[str, Any] = json.loads((bundle.folder / ENVIRONMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    packages = tree.pop("packages", {})
    return tree | {"packages": ", ".join(f"{name} {version}" for name, version in packages.items())}
