import io
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.errors import ConfigError
from study.launchers import _agent_process, _ray_agent
from study.launchers._launcher import AgentOrder
from study.launchers._ray_agent import keep, order_from_json, order_to_json
from study.launchers._ray_cluster import Share
from study.launchers.ray import LAUNCHER, RayAgents, _devices

POSTGRES = "postgresql://user:s3cr3t@dbhost/studyhall"


@pytest.fixture
def order(tmp_path: Path) -> AgentOrder:
    return AgentOrder(study="q", storage=f"sqlite:///{tmp_path}/study.db", logs=tmp_path / "logs", gpus_per_agent=0)


@pytest.fixture
def words() -> Iterator[tuple[io.FileIO, Any]]:
    """Both ends of the pipe through which an actor talks to its keeper."""
    reads, writes = os.pipe()
    with io.FileIO(reads) as reader, io.FileIO(writes, "w") as writer:
        yield reader, writer


def agent_that(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let a script take the place of `studyhall worker`."""
    started = _agent_process.subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        return started([sys.executable, "-c", code], **options)

    monkeypatch.setattr(_agent_process.subprocess, "Popen", start)


def kept(order: AgentOrder, reader: io.FileIO) -> tuple[threading.Thread, dict[str, Any]]:
    ended: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: ended.update(keep(order, reader)))
    thread.start()
    return thread, ended


def has_begun(order: AgentOrder) -> None:
    while not any(path.stat().st_size for path in order.logs.glob("agent-*.log")):
        time.sleep(0.01)


@pytest.mark.parametrize("devices", ["auto", ("cuda:0", "cuda:1")])
def test_an_order_travels_as_plain_values(order: AgentOrder, devices: str | tuple[str, ...]) -> None:
    sent = replace(order, devices=devices, workers=3)

    assert order_from_json(json.loads(json.dumps(order_to_json(sent)))) == sent


def test_an_option_that_ray_does_not_have_is_refused_by_name(order: AgentOrder) -> None:
    with pytest.raises(ConfigError, match="no option --ray-partition to run on Ray; accepted: --ray-address"):
        LAUNCHER.preview(replace(order, options={"ray-partition": "gpu"}))


def test_an_address_needs_a_value(order: AgentOrder) -> None:
    with pytest.raises(ConfigError, match="--ray-address needs a value"):
        LAUNCHER.preview(replace(order, options={"ray-address": ""}))


@pytest.mark.parametrize("storage", ["sqlite:///study.db", "study.db"])
def test_several_hosts_need_a_server(order: AgentOrder, storage: str) -> None:
    with pytest.raises(ConfigError, match="studyhall database start"):
        LAUNCHER.preview(replace(order, storage=storage, options={"ray-address": "auto"}))


def test_without_ray_the_message_says_what_to_install(order: AgentOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(ConfigError, match=r"pip install 'studyhall\[ray\]'"):
        LAUNCHER.preview(order)


@pytest.mark.engine
def test_more_gpus_than_this_machine_has_are_refused(order: AgentOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.launchers.ray.visible_gpus", list)

    with pytest.raises(ConfigError, match="each agent asks for 2: give --gpus-per-agent 0"):
        LAUNCHER.preview(replace(order, gpus_per_agent=2))


@pytest.mark.engine
def test_the_preview_tells_agents_slots_and_what_each_asks_for(order: AgentOrder) -> None:
    told = LAUNCHER.preview(replace(order, workers=5, per_device=2))

    assert told.startswith("6 trials at a time: 3 agents × 2 slots, rounded up; each asks for 2 CPUs; on a Ray cluster")


@pytest.mark.parametrize(
    ("share", "agents"), [(Share(2, 0), 4), (Share(2, 1), 4), (Share(2, 3), 1), (Share(16, 1), 0), (Share(1, 8), 0)]
)
def test_a_node_has_room_for_whole_agents(share: Share, agents: int) -> None:
    assert share.fits({"CPU": 8.0, "GPU": 4.0, "memory": 1e9}) == agents


def test_an_agent_that_asks_for_no_gpu_takes_none_that_its_host_has(order: AgentOrder) -> None:
    assert _devices(order) == "cpu"
    assert _devices(replace(order, gpus_per_agent=1)) == "auto"


def test_a_keeper_tells_how_its_agent_has_ended(
    order: AgentOrder, words: tuple[io.FileIO, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent_that(monkeypatch, "print('no such study'); raise SystemExit(2)")

    ended = keep(order, words[0])

    assert (ended["status"], ended["tail"]) == (2, ["no such study"])


@pytest.mark.parametrize("word", [b"interrupt\n", None])
def test_an_agent_is_asked_to_end_by_a_word_and_by_the_end_of_its_actor(
    order: AgentOrder, words: tuple[io.FileIO, Any], monkeypatch: pytest.MonkeyPatch, word: bytes | None
) -> None:
    reader, writer = words
    asked = "signal.signal(signal.SIGTERM, lambda *_: (print('asked', flush=True), os._exit(130)))"
    agent_that(monkeypatch, f"import os, signal, time; {asked}; print('begun', flush=True); time.sleep(60)")
    thread, ended = kept(order, reader)
    has_begun(order)

    writer.write(word) if word else writer.close()
    thread.join()

    assert (ended["status"], ended["tail"]) == (130, ["begun", "asked"])


def test_an_agent_is_killed_by_a_word(
    order: AgentOrder, words: tuple[io.FileIO, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = words
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    agent_that(monkeypatch, f"import signal, time; {deaf}; print('begun', flush=True); time.sleep(60)")
    thread, ended = kept(order, reader)
    has_begun(order)

    writer.write(f"{_ray_agent.KILL}\n".encode())
    thread.join()

    assert ended["tail"] == ["begun"]


class FakeAgent:
    """An agent of which only its end is of interest."""

    log = None

    def __init__(self, status: int | None, begun: bool = True) -> None:
        self.status, self.begun = status, begun

    def look(self) -> None:
        """Nothing changes."""

    def give_up(self, status: int) -> None:
        self.status = status


@pytest.mark.parametrize(
    ("agents", "status"),
    [
        ([FakeAgent(0), FakeAgent(0)], 0),
        ([FakeAgent(0), FakeAgent(130)], 130),
        ([FakeAgent(130), FakeAgent(-9), FakeAgent(0)], -9),
        ([FakeAgent(2), FakeAgent(None)], None),
        ([FakeAgent(None, begun=False), FakeAgent(130)], None),
        ([FakeAgent(0), FakeAgent(None, begun=False)], 0),
        ([FakeAgent(0), FakeAgent(None), FakeAgent(None, begun=False)], None),
    ],
)
def test_the_worst_end_is_told_and_who_waits_in_vain_is_not_waited_for(
    agents: list[FakeAgent], status: int | None
) -> None:
    launched = RayAgents.__new__(RayAgents)
    launched._agents = agents  # type: ignore[assignment]

    assert launched.poll() == status
