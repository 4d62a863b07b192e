"""Agents on a Ray cluster: Ray places them, and gives each its GPUs."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from storage._url import database_url
from storage.errors import ConfigError
from study._gpus import visible_gpus
from study.launchers import _ray_cluster as cluster
from study.launchers._agent_process import CRASHED, TOLD_TO_END
from study.launchers._agents_of import agents_of
from study.launchers._crashes import Crashes
from study.launchers._launcher import AgentOrder
from study.launchers._ray_agent import INTERRUPT, KILL, RayAgent, order_to_json
from study.launchers._ray_cluster import Share

ADDRESS = "ray-address"
UNHEARD_S = 30.0
"""An agent that has been asked twice and has not ended by then is given up: its host may be gone."""
KILL_S = 5.0
"""For the agents' hosts to kill them, before their actors end anyway."""


class _Notes:
    """What the launcher has to say of its agents, as a log among theirs."""

    def __init__(self, logs: Path) -> None:
        self.path = logs / f"agent-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-ray.log"
        logs.mkdir(parents=True, exist_ok=True)

    def add(self, level: str, text: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')},000 {level} {text}\n")


class _Agent:
    """One agent, wherever Ray runs it; one that is lost with its host is started again elsewhere.

    Attributes:
        status: Its exit status, None while it runs or waits for resources.
        log: Of an agent that has failed, if it lies on this host.
    """

    def __init__(self, name: str, order: AgentOrder, share: Share, notes: _Notes) -> None:
        self.status: int | None = None
        self.log: Path | None = None
        self._name, self._order, self._share, self._notes = name, order_to_json(order), share, notes
        self._losses, self._asked = Crashes(), 0
        self._asked_at = 0.0
        self._start()

    def _start(self) -> None:
        ray = cluster.installed()
        # Arguments are shown nowhere; a runtime_env, with the database's password in it, would be.
        actor_class = ray.remote(num_cpus=self._share.cpus, num_gpus=self._share.gpus, max_concurrency=4)(RayAgent)
        self._actor = actor_class.remote(self._order, os.getcwd())
        self._begun, self._run = self._actor.begun.remote(), self._actor.run.remote()
        self._began_at: float | None = None

    @property
    def begun(self) -> bool:
        """Whether Ray has found a place for it."""
        return self._began_at is not None

    def look(self) -> None:
        """See what has become of it."""
        ray = cluster.installed()
        if self.status is not None:
            return
        if not self.begun and _ready(self._begun):
            self._note_begin()
        if _ready(self._run):
            try:
                self._ended(**ray.get(self._run))
            except ray.exceptions.RayError as error:
                self._lost(error)
        elif self._asked > 1 and time.monotonic() > self._asked_at + UNHEARD_S:
            self.give_up(TOLD_TO_END)

    def _note_begin(self) -> None:
        ray = cluster.installed()
        try:
            host = ray.get(self._begun)
        except ray.exceptions.RayError:
            return  # its run tells more
        self._began_at = time.monotonic()
        self._notes.add("INFO", f"{self._name} runs on {host}")

    def _ended(self, status: int, log: str, tail: list[str]) -> None:
        self.give_up(status)
        if status in (0, TOLD_TO_END):
            return
        self._notes.add("ERROR", "\n".join([f"{self._name} ended with exit status {status}; {log} ends with:", *tail]))
        self.log = Path(log) if Path(log).is_file() else self._notes.path

    def _lost(self, error: Exception) -> None:
        lived_s = 0.0 if self._began_at is None else time.monotonic() - self._began_at
        given_up = self._losses.pause_s(lived_s) is None
        told = f"{self._name} is lost, {lived_s:.0f} s after its start: {str(error).strip()}"
        if self._asked:
            self.give_up(TOLD_TO_END)
        elif getattr(error, "actor_init_failed", False) or given_up:
            self._notes.add("ERROR", f"{told}\nit is not started again")
            self.log = self._notes.path
            self.give_up(CRASHED)
        else:
            self._notes.add("WARNING", f"{told}\nit is started again where the cluster has room")
            cluster.installed().kill(self._actor)  # it may only be out of reach; then it hands its trials back
            self._start()

    def interrupt(self) -> None:
        """Ask it to end; one that waits for resources has ended."""
        if self.status is not None:
            return
        self._asked, self._asked_at = self._asked + 1, time.monotonic()
        if self.begun:
            self._actor.tell.remote(INTERRUPT)
        else:
            self.give_up(TOLD_TO_END)

    def order_killed(self) -> Any:
        """Have its host kill it; the reference of its end."""
        self._asked += 1
        self._actor.tell.remote(KILL)
        return self._run

    def give_up(self, status: int) -> None:
        """Release its resources; if it still runs, it finds its actor gone and hands its trials back."""
        self.status = status
        cluster.installed().kill(self._actor)


def _ready(reference: Any) -> bool:
    return bool(cluster.installed().wait([reference], timeout=0)[0])


class RayAgents:
    """The agents of one launch."""

    def __init__(self, order: AgentOrder) -> None:
        count, slots = agents_of(order)
        share = Share(slots, order.gpus_per_agent)
        one = replace(order, workers=slots, use_busy=True, options={}, devices=_devices(order))
        self._notes = _Notes(order.logs)
        names = [f"agent {number} of {count}" for number in range(1, count + 1)]
        self._agents = [_Agent(name, one, share, self._notes) for name in names]

    @property
    def log(self) -> Path:
        """Of an agent that failed if one has, else what the launcher has noted."""
        return next((agent.log for agent in self._agents if agent.log is not None), self._notes.path)

    def poll(self) -> int | None:
        """The worst exit status, or None while an agent runs or waits for resources."""
        for agent in self._agents:
            agent.look()
        self._leave_the_queue()
        statuses = [agent.status for agent in self._agents if agent.status is not None]
        if len(statuses) < len(self._agents):
            return None
        return max(statuses, key=lambda status: (status != 0) + (status not in (0, TOLD_TO_END)))

    def _leave_the_queue(self) -> None:
        """Agents that wait for resources are not waited for when another has seen the study's end."""
        waiting = [agent for agent in self._agents if agent.status is None]
        if any(agent.status == 0 for agent in self._agents) and not any(agent.begun for agent in waiting):
            for agent in waiting:
                agent.give_up(0)

    def interrupt(self) -> None:
        """Ask all to hand their trials back and end; asked again, they end at once."""
        for agent in self._agents:
            agent.interrupt()

    def kill(self) -> None:
        """End all, and leave the cluster; one of our own ends."""
        ray = cluster.installed()
        if not ray.is_initialized():
            return
        running = [agent for agent in self._agents if agent.status is None]
        ends = [agent.order_killed() for agent in running if agent.begun]
        if ends:
            ray.wait(ends, num_returns=len(ends), timeout=KILL_S)
        for agent in running:
            agent.give_up(TOLD_TO_END)
        cluster.shut_down()


def _devices(order: AgentOrder) -> str | tuple[str, ...]:
    """Ray hides no GPU from an agent that has asked for none."""
    return "cpu" if order.devices == "auto" and order.gpus_per_agent == 0 else order.devices


class RayLauncher:
    """Starts agents on a Ray cluster that is there, or on one of its own on this machine."""

    def preview(self, order: AgentOrder) -> str:
        """Say how many agents are started, where, and whether the cluster has room for them."""
        address = _address(order)
        cluster.installed()
        count, slots = agents_of(order)
        share = Share(slots, order.gpus_per_agent)
        rounded = "" if order.workers in (None, count * slots) else ", rounded up"
        agents = f"{cluster.counted(count, 'agent')} × {cluster.counted(slots, 'slot')}"
        what = f"{cluster.counted(count * slots, 'trial')} at a time: {agents}{rounded}; each asks for {share}"
        if address is None:
            _own_gpus(share)
            return f"{what}; on a Ray cluster that is started on this machine for the time of the launch"
        cluster.connect(address)
        try:
            places, nodes = cluster.room(share)
        finally:
            cluster.shut_down()
        lines = [f"{what}; on the Ray cluster {address}: {nodes}"]
        if places < count:
            lines.append(f"warning: it has room for {places} of them now; the others wait until there is more")
        return "\n".join(lines)

    def start(self, order: AgentOrder) -> RayAgents:
        """Start the agents; returns once Ray runs."""
        address = _address(order)
        count, slots = agents_of(order)
        if address is not None:
            cluster.connect(address)
        else:
            cluster.start_own(count * slots, _own_gpus(Share(slots, order.gpus_per_agent)))
        return RayAgents(order)


def _address(order: AgentOrder) -> str | None:
    for option in order.options:
        if option != ADDRESS:
            raise ConfigError(f"there is no option --{option} to run on Ray; accepted: --{ADDRESS} ADDRESS")
    address = order.options.get(ADDRESS)
    if address == "":
        raise ConfigError(f"--{ADDRESS} needs a value: auto, HOST:6379, or ray://HOST:10001")
    if address is not None and database_url(order.storage).get_backend_name() == "sqlite":
        raise ConfigError(
            "an SQLite database serves one host, and a Ray cluster may have several: start a server with "
            "`studyhall database start` and give its address as --storage or STUDYHALL_STORAGE"
        )
    return address


def _own_gpus(share: Share) -> int:
    """This machine's GPUs, which must be enough for one agent."""
    gpus = len(visible_gpus()) if share.gpus else 0
    if gpus < share.gpus:
        raise ConfigError(
            f"this machine has {gpus} GPUs that torch can use, and each agent asks for {share.gpus}: give "
            f"--gpus-per-agent 0 to run on the CPU, or --{ADDRESS} of a cluster that has GPUs"
        )
    return gpus


LAUNCHER = RayLauncher()
