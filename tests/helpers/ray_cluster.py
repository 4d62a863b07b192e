"""A Ray cluster of several nodes on this machine, and the agents on each."""

import importlib.util
import logging
import os
import re
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from lab import until

ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # else a token is written to the home folder
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "180",  # slow machines
}
PAGE = Path(__file__).parents[2] / "docs" / "ray.md"


def what_is_missing() -> str:
    """What to install, or nothing."""
    return "" if importlib.util.find_spec("ray") else "needs Ray: pip install 'studyhall[ray]'"


def commands(heading: str) -> list[list[str]]:
    """The words after `studyhall` of the commands below a heading of the page, for the study file of a lab."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^```sh\nstudyhall (.*?)\n```", section, re.DOTALL | re.MULTILINE)
    return [line.replace("study.yaml", "q.yaml").split() for line in lines]


class Nodes:
    """A head, with which drivers connect, and two more nodes; each has two CPUs and two GPUs, which are only numbers.

    Attributes:
        environment: Of processes that take part.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: sockets lie in it
        self._mark = uuid.uuid4().hex
        self.environment = {**ENVIRONMENT, "RAY_TMPDIR": str(self._folder)}
        os.environ.update(self.environment, LAB_MARK=self._mark)
        from ray.cluster_utils import Cluster

        logging.getLogger("ray").setLevel(logging.ERROR)
        with quiet():
            self._cluster: Any = Cluster()
            self._nodes = [self._cluster.add_node(num_cpus=2, num_gpus=2) for _ in range(3)]

    def raylets(self) -> list[psutil.Process]:
        """The process of each node that starts its workers; the head's is the first."""
        return [psutil.Process(node.all_processes["raylet"][0].process.pid) for node in self._nodes]

    def agents(self) -> list[list[psutil.Process]]:
        """The agents on each node."""
        return [[child for child in descendants(raylet) if is_agent(child)] for raylet in self.raylets()]

    def of_studyhall(self) -> list[psutil.Process]:
        """Agents, their workers and their keepers, also those that have lost their node."""
        return [process for process in psutil.process_iter() if self._is_of_studyhall(process)]

    def _is_of_studyhall(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            command = " ".join(process.cmdline())
            ours = process.environ().get("LAB_MARK") == self._mark and process.status() != psutil.STATUS_ZOMBIE
            return ours and ("-m study" in command or "multiprocessing." in command)
        return False

    def said(self) -> str:
        """What Ray has logged."""
        logs = [path for path in self._folder.rglob("*") if path.suffix in (".log", ".out", ".err")]
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in logs)

    def lose(self, number: int) -> None:
        """Kill a node with all that runs on it, at once."""
        node = self._nodes.pop(number)
        lost = descendants(psutil.Process(node.all_processes["raylet"][0].process.pid))
        for process in lost:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with quiet():
            self._cluster.remove_node(node, allow_graceful=False)

    def end(self) -> None:
        """End all nodes."""
        with quiet():
            self._cluster.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def nodes() -> Iterator[Nodes]:
    """A cluster inside the context."""
    before = dict(os.environ)
    made = Nodes()
    try:
        yield made
    finally:
        made.end()
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def quiet() -> Iterator[None]:
    """Ray's own warnings are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Those of a process that run."""
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


def is_agent(process: psutil.Process) -> bool:
    """Whether it is an agent, and none of its forks."""
    with suppress(psutil.Error):
        words = process.cmdline()
        return "--supervised" in words and "worker" in words and process.status() != psutil.STATUS_ZOMBIE
    return False


def gpus_of(agent: psutil.Process) -> str:
    """The GPUs that Ray gave it."""
    return agent.environ()["CUDA_VISIBLE_DEVICES"]


def all_have_begun(nodes: Nodes, agents: int) -> bool:
    """Wait until so many agents run."""
    return until(lambda: sum(map(len, nodes.agents())) == agents, 240)
