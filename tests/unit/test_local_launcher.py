"""When a local agent is started again, with stand-ins for its processes."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.errors import ConfigError
from study.launchers import _crashes, local
from study.launchers._agent_process import CRASHED, TOLD_TO_END, reason
from study.launchers._launcher import AgentOrder
from study.launchers.local import LAUNCHER, LocalAgent


class Process:
    """Ends at once, with the next status of a list; runs on where that is None."""

    statuses: Iterator[int | None]
    started = 0

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        Process.started += 1
        self.arguments = arguments
        self._status = next(Process.statuses)
        log.parent.mkdir(parents=True, exist_ok=True)

    def poll(self) -> int | None:
        return self._status

    def end(self) -> None:
        self._status = TOLD_TO_END if self._status is None else self._status

    def kill(self) -> None:
        self._status = -9 if self._status is None else self._status


@pytest.fixture
def order(tmp_path: Path) -> AgentOrder:
    return AgentOrder("q", "sqlite:///q.db", tmp_path / "logs", workers=2, devices="cpu")


def started(
    monkeypatch: pytest.MonkeyPatch, order: AgentOrder, *statuses: int | None, pause_s: float = 0.0
) -> LocalAgent:
    monkeypatch.setattr(local, "AgentProcess", Process)
    monkeypatch.setattr(_crashes, "FIRST_PAUSE_S", pause_s)
    Process.statuses, Process.started = iter(statuses), 0
    return LocalAgent(order)


def end_of(agent: LocalAgent) -> int:
    for _ in range(100):
        status = agent.poll()
        if status is not None:
            return status
    raise AssertionError("it never ends")


@pytest.mark.parametrize("status", [0, 1, 2, TOLD_TO_END])
def test_an_agent_that_ends_in_good_order_or_with_a_reason_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch, order: AgentOrder, status: int
) -> None:
    assert end_of(started(monkeypatch, order, status)) == status
    assert Process.started == 1


def test_a_crashed_agent_is_started_again(monkeypatch: pytest.MonkeyPatch, order: AgentOrder) -> None:
    agent = started(monkeypatch, order, -9, CRASHED, 0)

    assert end_of(agent) == 0
    assert Process.started == 3
    log = agent.log.read_text()
    assert "the agent was killed by SIGKILL; memory may have run out, 0 s after its start; it is started again" in log
    assert "the agent ended with exit status 70" in log


def test_the_third_crash_in_a_row_is_the_last(monkeypatch: pytest.MonkeyPatch, order: AgentOrder) -> None:
    agent = started(monkeypatch, order, -11, -11, -11, 0)

    assert end_of(agent) == -11
    assert Process.started == 3
    told = "the agent was killed by SIGSEGV, 0 s after its start; it crashed 3 times in a row"
    assert agent.log.read_text().endswith(f"{told}, so it is not started again\n")


def test_crashes_far_apart_are_no_row(monkeypatch: pytest.MonkeyPatch, order: AgentOrder) -> None:
    monkeypatch.setattr(_crashes, "INSTANT_S", -1.0)

    assert end_of(started(monkeypatch, order, -9, -9, -9, -9, -9, 0)) == 0


def test_it_waits_twice_as_long_after_each_crash(monkeypatch: pytest.MonkeyPatch, order: AgentOrder) -> None:
    now = [100.0]
    agent = started(monkeypatch, order, -9, -9, None, pause_s=1.0)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    agent._began = 100.0

    seen = []
    for now[0] in (100.0, 100.9, 101.1, 101.1, 103.0, 103.2):
        agent.poll()
        seen.append(Process.started)

    assert seen == [1, 1, 2, 2, 2, 3]


def test_ended_while_it_waits_it_is_not_started_again(monkeypatch: pytest.MonkeyPatch, order: AgentOrder) -> None:
    agent = started(monkeypatch, order, -9, 0, pause_s=60.0)
    assert agent.poll() is None

    agent.interrupt()

    assert end_of(agent) == TOLD_TO_END
    assert Process.started == 1


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert reason(-63) == "was killed by signal 63"


def test_options_of_an_engine_are_refused(order: AgentOrder) -> None:
    with pytest.raises(ConfigError, match="no option --slurm-partition to run on this machine"):
        LAUNCHER.preview(AgentOrder("q", "", Path(), options={"slurm-partition": "gpu"}))


def test_the_preview_names_workers_and_devices() -> None:
    order = AgentOrder("q", "", Path(), devices="cpu:0,cpu:1", per_device=2, workers=3)

    assert LAUNCHER.preview(order) == "1 agent on this machine with 3 workers: 2 on cpu:0, 1 on cpu:1"
    assert LAUNCHER.preview(replace(order, per_device="auto", workers=None)) == (
        "1 agent on this machine with 2 workers at first, and as many more as pay: 1 on cpu:0, 1 on cpu:1"
    )
