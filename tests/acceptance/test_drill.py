"""The drill on an SQLite file, on a private PostgreSQL that is restarted meanwhile, and where it must find a fault."""

import json
from collections import Counter
from typing import Any

import pytest
from lab import Lab

from study.drill._faults import POINTS, Kind

FAULTS = 40
pytestmark = pytest.mark.slow


def drilled(lab: Lab, *arguments: str) -> tuple[int, dict[str, Any]]:
    status, output = lab.run("drill", "--json", *arguments, STUDYHALL_STORAGE="")
    return status, json.loads(output[output.index("\n{") if not output.startswith("{") else 0 :])


def strikes_every_point(report: dict[str, Any]) -> bool:
    struck = Counter(made["point"] for made in report["made"])
    return all(struck[str(point)] >= 3 for point in POINTS)


@pytest.mark.parametrize("arguments", [[], ["--private-server"]], ids=["sqlite", "postgresql"])
def test_nothing_is_lost_doubled_or_changed_by_40_faults(lab: Lab, arguments: list[str]) -> None:
    status, report = drilled(lab, "--faults", str(FAULTS), "--seed", "3", *arguments)

    assert report["checks"] == {guarantee: [] for guarantee in report["checks"]}
    assert len(report["checks"]) == 5
    assert len(report["made"]) >= FAULTS
    assert strikes_every_point(report)
    assert report["resumed"] >= 5
    restarts = sum(made["kind"] == Kind.RESTART for made in report["made"])
    assert restarts == (2 if arguments else 0)
    assert status == 0
    assert lab.leaves_no_process()


def test_without_fencing_the_drill_fails(lab: Lab) -> None:
    # Whether a worker that was frozen writes after another has finished is a matter of time: it has three chances.
    drills = (drilled(lab, "--faults", "12", "--seed", str(seed), "--without-fencing") for seed in (4, 5, 6))
    found = next(((status, report) for status, report in drills if report["checks"]["no trial is doubled"]), None)

    assert found is not None
    assert found[0] == 1
