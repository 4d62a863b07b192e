"""A confirmation in words and numbers, for terminals and model cards."""

from study.confirmation.report import Confirmation, Leader

PLACES = 4
COLUMNS = ("trial", "search", "mean", "deviation", "95 % interval", "P(best)", "optimism", "counted")


def cells(leader: Leader) -> list[str]:
    """A leader's line, as `COLUMNS` name its cells."""
    found = leader.estimate
    interval = "–" if found.interval is None else f"{shown(found.interval[0])} … {shown(found.interval[1])}"
    chance = "–" if leader.probability_best is None else f"{leader.probability_best:.2f}"
    failures = ", ".join(f"{count} {failure}" for failure, count in sorted(leader.failures.items()))
    counted = f"{len(leader.values)} of {leader.retrained}" + (f" ({failures})" if failures else "")
    numbers = [shown(leader.searched), shown(found.mean), shown(found.deviation)]
    return [str(leader.number), *numbers, interval, chance, with_error(leader.optimism, found.error), counted]


def lines(confirmation: Confirmation) -> list[str]:
    """All of it, as aligned lines."""
    rows = [list(COLUMNS), *(cells(leader) for leader in confirmation.leaders)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    found = [f"{confirmation.metric} ({confirmation.direction}) of {confirmation.confirms}'s leaders, trained again:"]
    for row in rows:
        *numbers, counted = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        found.append("  ".join([*numbers, counted.strip()]))
    if confirmation.optimism is not None:
        found.append(f"optimism of the search's own values, on average: {with_error(*confirmation.optimism)}")
    return [*found, one_line(confirmation)]


def shown(value: float | None) -> str:
    """A value, or a dash."""
    return "–" if value is None else f"{value:.{PLACES}f}"


def with_error(value: float | None, error: float | None) -> str:
    """A difference with its sign and standard error."""
    if value is None:
        return "–"
    return f"{value:+.{PLACES}f}" + ("" if error is None else f" ± {error:.{PLACES}f}")


def one_line(confirmation: Confirmation) -> str:
    """Where it stands, or what won and when."""
    total = sum(leader.retrained for leader in confirmation.leaders)
    if confirmation.open:
        return f"confirmation {confirmation.name}: {total - confirmation.open} of {total} retrainings have ended"
    if confirmation.winner is None or confirmation.ended_at is None:
        return f"confirmation {confirmation.name}: nothing won, too few of {total} retrainings count"
    return f"confirmed {confirmation.ended_at:%Y-%m-%d %H:%M} UTC: {verdict(confirmation.metric, confirmation.winner)}"


def verdict(metric: str, leader: Leader) -> str:
    """What retraining says about one leader."""
    found = leader.estimate
    mean = shown(found.mean) + ("" if found.error is None else f" ± {found.error:.{PLACES}f}")
    return (
        f"trial {leader.number}, mean {metric} {mean} over {found.count} of {leader.retrained} seeds; "
        f"the search said {shown(leader.searched)}"
    )
