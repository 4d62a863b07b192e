"""Replays of pruners as a table and sentences, for the terminal."""

from study.replay import TOPS, Verdict, judge
from study.replaying import Recorded, Replayed, Replays
from study.screen.cells import duration, number


def table(replays: Replays) -> list[list[str]]:
    """A heading, the study as it was recorded, and a row per pruner."""
    headings = ["pruner", "stopped", "censored", "epochs", "saved", "device time", "saved", "winner", "best", "trial"]
    headings += ["rank", "regret", *(f"top {top}" for top in TOPS)]
    return [headings, _recorded(replays.recorded), *(_row(replays.recorded, one) for one in replays.pruners)]


def _recorded(recorded: Recorded) -> list[str]:
    verdict = judge(recorded.courses, frozenset(), recorded.stored.direction)
    counts = [str(recorded.stopped), "", str(recorded.epochs), "", duration(recorded.device_s), ""]
    return ["as recorded", *counts, *_verdict(verdict)]


def _row(recorded: Recorded, one: Replayed) -> list[str]:
    found = one.replay
    return [
        one.title,
        str(len(found.stopped)),
        str(len(found.censored)),
        str(found.epochs),
        _share(recorded.epochs - found.epochs, recorded.epochs),
        duration(found.device_s),
        _share(recorded.device_s - found.device_s, recorded.device_s),
        *_verdict(one.verdict),
    ]


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole > 0 else ""


def _verdict(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return [""] * (5 + len(TOPS))
    winner = "survives" if verdict.survives else "stopped"
    best = [number(verdict.value), _text(verdict.best), _text(verdict.rank), number(verdict.regret)]
    return [winner, *best, *(str(verdict.tops[top]) for top in TOPS)]


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def remarks(replays: Replays) -> list[str]:
    """What must be known to read the table."""
    recorded = replays.recorded
    trials, own = len(recorded.courses), recorded.stored.config.search.pruner
    said = [
        f"{trials} trials of {recorded.stored.name} in the order in which they began, {replays.workers} at a time; "
        f"{recorded.stored.metric} ({recorded.stored.direction}). The proposals are the recorded ones, although the "
        "sampler would have seen other results."
    ]
    if recorded.stopped:
        said.append(
            f"{recorded.stopped} curves end where the study's own pruner ({own.name}) stopped them. Trials that "
            "another would have let go on are censored: its epochs and time are at least, its savings at most what is "
            "shown, and those trials cannot win. A study recorded with `pruner: none` has none."
        )
    said += [
        f"{one.title} is the study's own pruner: {one.agrees} of {trials} trials end here as they did in the study. "
        "Where workers ran side by side, reports may have come in another order."
        for one in replays.pruners
        if one.pruner == own
    ]
    if len(recorded.stored.objectives) > 1:
        said.append(f"Trials are stopped and judged by {recorded.stored.metric}, the first objective, alone.")
    if any(one.pauses for one in replays.pruners):
        said.append("Halving that pauses is replayed without pauses: a trial that would wait counts as stopped.")
    if recorded.open:
        said.append(f"{recorded.open} trials have not ended; they count as far as they have come.")
    if recorded.left_out:
        said.append(f"{recorded.left_out} trials of other Optuna programs are left out.")
    if judge(recorded.courses, frozenset(), recorded.stored.direction) is None:
        said.append("No trial is complete, so there is no winner to judge by.")
    return said
