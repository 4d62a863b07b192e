"""What a study allows a network to cost, and what becomes of one that costs more."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from study.config import ConstraintsSection

MEASURED = "latency_ms"
"""The cost that takes a measurement; the others follow from the network or its training."""


class Infeasible(Exception):
    """The network breaks a constraint: its trial is not trained."""


@dataclass(frozen=True)
class Limit:
    """The most that a network may cost.

    Attributes:
        cost: What is limited, a name in `study._objectives.COSTS`.
        key: That of the study file.
        most: The limit, above 0.
        unit: For messages.
    """

    cost: str
    key: str
    most: float
    unit: str

    def __str__(self) -> str:
        return f"{self.cost} ≤ {self.most:,}"


def limits_of(section: ConstraintsSection) -> list[Limit]:
    """The limits of a study, the one that is cheapest to look at first."""
    given = [
        ("parameters", "constraints.max_parameters", section.max_parameters, "parameters"),
        (MEASURED, "constraints.max_latency_ms", section.max_latency_ms, "ms for one event"),
    ]
    return [Limit(cost, key, most, unit) for cost, key, most, unit in given if most is not None]


def constraints_of(section: ConstraintsSection, costs: Mapping[str, float]) -> dict[str, float]:
    """Optuna's constraints by name: by what share a cost exceeds its limit, 0 or less where it does not.

    A share, so that samplers can add those of different units up.

    Args:
        section: The study's.
        costs: Those known, by name.
    """
    return {limit.cost: costs[limit.cost] / limit.most - 1 for limit in limits_of(section) if limit.cost in costs}


def check_constraints(section: ConstraintsSection, costs: Mapping[str, float]) -> None:
    """Refuse a network.

    Raises:
        Infeasible: It costs more than is allowed; the message says how much of what.
    """
    broken = list(_broken(section, costs))
    if broken:
        raise Infeasible("; ".join(broken))


def _broken(section: ConstraintsSection, costs: Mapping[str, float]) -> Iterator[str]:
    for limit in limits_of(section):
        if costs.get(limit.cost, 0) > limit.most:
            yield f"{costs[limit.cost]:,} {limit.unit}, more than {limit.key} {limit.most:,}"
