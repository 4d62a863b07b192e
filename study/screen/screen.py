"""The whole screen."""

from rich.text import Text

from study.screen import head
from study.screen._section import Section, fit
from study.screen.cells import clean, number
from study.screen.look import Look
from study.screen.trials import failures, leaders
from study.screen.workers import workers
from study.summary import Summary

HELD = ("paused", "halted", "stopped")
MOST_NOTICES = 3
"""Devices out of service that are named."""


def screen(summary: Summary, look: Look) -> list[Text]:
    """A study's lines; the least important are left out where there is no room.

    Every line is at most as wide, and there are at most as many, as `look` says.
    """
    told = (look.notice, lost(summary), *quarantined(summary))
    notice = [Text(clean(text), style="bold red") for text in told if text]
    upper = [
        head.title(summary),
        head.progress(summary, look),
        head.counts(summary),
        head.best(summary),
        *head.confirmed(summary),
        *head.origin(summary),
        head.pace(summary),
    ]
    sections = [
        Section([*notice, *upper], rank=0),
        Section([*head.curve(summary, look), *head.gain(summary)], rank=5, least=0),
        Section(workers(summary, look), rank=1, least=3, what="workers"),
        Section(leaders(summary, look), rank=2, least=4),
        Section(failures(summary), rank=3),
        Section([head.tested(summary)] if look.height is None else [], rank=6),
        Section([Text(clean(look.hint), style="bright_black")] if look.hint else [], rank=7, least=0),
    ]
    return fit(sections, look)


def lost(summary: Summary) -> str | None:
    """What it means that workers are lost, or None if none is."""
    if not summary.lost:
        return None
    if len(summary.lost) == 1:
        return "1 worker lost: its trial goes on elsewhere once the lease has ended"
    return f"{len(summary.lost)} workers lost: their trials go on elsewhere once the leases have ended"


def quarantined(summary: Summary) -> list[str]:
    """Which devices are out of service and why; of many the first ones."""
    lines = [f"{device} quarantined: {cause}" for device, cause in summary.quarantined.items()]
    more = len(lines) - MOST_NOTICES
    return lines if more <= 0 else [*lines[:MOST_NOTICES], f"… and {more} more devices"]


def one_line(summary: Summary) -> str:
    """The study in one line that changes only when something happens."""
    parts = [f"{summary.finished}/{summary.budget or '?'} trials"]
    if summary.state in HELD:
        parts.append(f"{summary.state}" + (f" ({clean(summary.reason)})" if summary.reason else ""))
    parts += [f"{len(summary.running)} running", f"{summary.counts.get('PRUNED', 0)} pruned"]
    failed = summary.counts.get("FAIL", 0)
    parts += [f"{failed} failed"] if failed else []
    if summary.lost:
        parts.append(f"{len(summary.lost)} lost")
    if summary.quarantined:
        parts.append(f"quarantined: {', '.join(map(clean, summary.quarantined))}")
    best = summary.best
    value = f"best {clean(summary.metric)} {number(best.value)} (trial {best.number})" if best else "no result yet"
    parts += [f"front of {len(summary.front)}"] if len(summary.objectives) > 1 and best else []
    return ", ".join([*parts, value])
