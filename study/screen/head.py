"""The upper lines: where the study stands, how far it is, its best trial."""

from datetime import UTC, datetime

from optuna.trial import TrialState
from rich.text import Text

from storage.history import TrialRow
from study._best import best_epoch, best_so_far, in_order
from study.screen.cells import bar, clean, duration, number, sparkline
from study.screen.look import Look
from study.summary import Summary

BAR, LONG_BAR = 24, 60
STYLES = {"running": "green", "finished": "bold green", "paused": "yellow", "halted": "red", "stopped": "yellow"}


def title(summary: Summary) -> Text:
    """Name, state and why."""
    line = Text.assemble((clean(summary.name), "bold"), ": ", (summary.state, STYLES.get(summary.state, "")))
    return line.append(f" ({clean(summary.reason)})") if summary.reason else line


def progress(summary: Summary, look: Look) -> Text:
    """Trials that have ended, of the budget."""
    count = f"{summary.finished}/{summary.budget if summary.budget is not None else '?'} trials"
    if not summary.budget:
        return Text(count)
    width = BAR if look.width is None else max(4, min(LONG_BAR, look.width - len(count) - 2))
    return bar(summary.finished / summary.budget, width, plain=look.plain).append(f"  {count}")


def counts(summary: Summary) -> Text:
    """Trials by what has become of them."""
    by_state = {
        "running": len(summary.running),
        "waiting": summary.waiting,
        "paused": summary.paused,
        "complete": summary.counts.get("COMPLETE", 0),
        "pruned": summary.counts.get("PRUNED", 0),
        "failed": summary.counts.get("FAIL", 0),
    }
    parts = [f"{count} {state}" for state, count in by_state.items() if count or state in ("running", "complete")]
    enqueued = sum(not trial.ours and trial.state is TrialState.WAITING for trial in summary.trials)
    if enqueued:
        parts.append(f"{enqueued} enqueued")
    if summary.history:
        parts.append(f"{summary.history} of an older study (not counted)")
    foreign = summary.others - enqueued - summary.history
    if foreign:
        parts.append(f"{foreign} by other Optuna programs (not counted)")
    return Text(", ".join(parts))


def pace(summary: Summary) -> Text:
    """How fast, how long still, how long so far."""
    parts = []
    if summary.rate is not None:
        parts.append(f"{summary.rate:.1f} trials/h")
    if summary.eta_s is not None:
        parts.append(f"ETA {duration(summary.eta_s)}")
    elapsed = elapsed_s(summary)
    if elapsed is not None:
        parts.append(f"elapsed {duration(elapsed)}")
    parts.append(f"device time {duration(summary.device_seconds)}")
    return Text(", ".join(parts))


def elapsed_s(summary: Summary, *, now: datetime | None = None) -> float | None:
    """Seconds since the first trial began, up to the last one's end if nothing runs or waits; None before.

    Args:
        now: UTC, naive; None asks this machine's clock.
    """
    begun = [trial.started_at for trial in summary.trials if trial.ours and trial.started_at is not None]
    if not begun:
        return None
    last = max((trial.ended_at for trial in summary.trials if trial.ours and trial.ended_at), default=None)
    goes_on = summary.running or summary.waiting
    end = last if last is not None and not goes_on else now or datetime.now(UTC).replace(tzinfo=None)
    return max(0.0, (end - min(begun)).total_seconds())


def best(summary: Summary) -> Text:
    """The best trial, and what it scored on the test events."""
    line = Text(f"best {', '.join(clean(each) for each in summary.objectives)}: ")
    if summary.best is None:
        return line.append("no complete trial yet", "bright_black")
    if len(summary.objectives) > 1:
        line.append(f"front of {len(summary.front)}, the best {clean(summary.metric)} ")
    line.append(number(summary.best.value), "bold cyan").append(f" ({_where(summary, summary.best)})")
    if summary.test is not None:
        line.append(f", test {number(summary.test)}")
    return line


def gain(summary: Summary) -> list[Text]:
    """What the last trials have gained; nothing before a trial is complete."""
    found = summary.improvement
    if found.best is None or found.since is None or len(summary.objectives) > 1:  # the front may grow without it
        return []
    since = "the last one" if found.since == 0 else f"{found.since} trial{'s' if found.since > 1 else ''} ago"
    if found.gain is None:
        return [Text(f"last improvement {since}, of {found.trials} with a result")]
    gained = f"{number(found.gain)} (from {number(found.before)})" if found.gain else "nothing"
    return [Text(f"last {found.last} trials gained {gained}; last improvement {since}")]


def tested(summary: Summary) -> Text:
    """How often anybody has looked at the test events."""
    return Text(f"test events opened for {summary.tested} of {summary.finished} trials")


def confirmed(summary: Summary) -> list[Text]:
    """What training the leaders again has found; nothing where that was not done."""
    return [Text(clean(summary.confirmation))] if summary.confirmation else []


def origin(summary: Summary) -> list[Text]:
    """What it took from an older study; nothing where it took nothing."""
    return [Text(clean(summary.origin))] if summary.origin else []


def curve(summary: Summary, look: Look) -> list[Text]:
    """The best value as trials ended, as a line of blocks; nothing without two values, or for plain text."""
    label = "so far "
    values = [value for value in best_so_far(in_order(summary.trials), summary.direction) if value == value]
    if look.plain or len(values) < 2:
        return []
    return [Text.assemble((label, "bright_black"), (sparkline(values, (look.width or LONG_BAR) - len(label)), "cyan"))]


def _where(summary: Summary, trial: TrialRow) -> str:
    epoch = trial.attributes.get("best_epoch") or best_epoch(trial, summary.direction)
    return f"trial {trial.number}" + (f", epoch {epoch}" if epoch else "")
