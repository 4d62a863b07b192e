"""A report's section about the search: which hyperparameters mattered in the study that the network is from."""

from collections.abc import Mapping, Sequence
from typing import Any

from study import _report_page as html
from study._report_figures import Picture
from study.bundle import Bundle
from study.figures.importance import importance_png
from study.importance import ALL, THE_MODEL

CAPTION = (
    "How much the values of the best tenth of the trials differ from those of all (PED-ANOVA), as a share of the sum; "
    "bars across: one standard deviation over trials drawn with replacement. Faint: what it explains of the trials' "
    "ranks beyond all other parameters cannot be told from chance."
)


def importance_section(bundle: Bundle) -> str:
    """The parameters that all families share, and those of this network's family; nothing for an older export."""
    family = bundle.plan.space.resolved(bundle.sampled)["model"]
    shown = [group for group in bundle.importance if group["group"] in (ALL, THE_MODEL, family)]
    if not shown:
        return ""
    return html.section("What mattered in the search", *(part for group in shown for part in _group(group)))


def _group(group: Mapping[str, Any]) -> Sequence[str]:
    counts = f"{group['trials']:,} trials, {group['complete']:,} of them complete"
    said = (
        f"{counts}. {_sentence(group['note'])}" if group["note"] else f"{counts}; the best tenth is {group['best']:,}."
    )
    told = [[one["name"], one["share"], one["sigma"], one["best"]] for one in group["parameters"] if one["told"]]
    title = str(group["group"]).capitalize() + (f", by {group['objective']}" if group.get("objective") else "")
    if not group["parameters"]:
        return [html.paragraph(f"{title}: {said}")]
    picture = Picture(title, f"{said} {CAPTION}", importance_png(group["parameters"]))
    table = html.table(["told from chance", "share", "one sigma", "where the best tenth lies"], told) if told else ""
    return [html.picture(picture), table]


def _sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:]}."
