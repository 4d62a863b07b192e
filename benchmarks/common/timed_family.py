"""Our families with a clock: a plug-in that notes what a worker can see of its own time.

Copied beside a study file and named there as `timed_family.py:CNN`, it appends a line to `notes.jsonl` in that folder
when a network is built, at each forward pass, and at each message to and from the agent. Networks, hyperparameters
and results are those of the families themselves.
"""

import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import cnn, densenet, mlp, resnet
from models._family import Family, Shape

NOTES = Path(__file__).with_name("notes.jsonl")

_open: dict[int, int] = {}
_modules: set[str] = set()
_wrapped: set[int] = set()


def note(what: str, **more: object) -> None:
    """Append a line with the moment; a whole line at once, so several processes may write."""
    at, pid = time.monotonic(), os.getpid()
    if pid not in _open:
        _open[pid] = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(_open[pid], (json.dumps({"what": what, "at": at, "pid": pid, **more}) + "\n").encode())


class Timed(nn.Module):
    """A network that notes when it is asked: training batches as they begin, evaluation's as they end."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, events: torch.Tensor) -> torch.Tensor:
        """Logits, N × outputs."""
        if self.training:
            note("train")
            logits: torch.Tensor = self.network(events)
            return logits
        logits = self.network(events)
        note("validated")
        return logits


def _build(family: Family[Any], hp: Any, shape: Shape, outputs: int) -> nn.Module:
    if torch.get_default_device().type == "meta":  # its memory is predicted: the notes are of what is trained
        return family.build(hp, shape, outputs)
    _watch_messages()
    note("build", family=family.name, **_belongings())
    network = Timed(family.build(hp, shape, outputs))
    note("built")
    return network


def _belongings() -> dict[str, object]:
    """Modules that are new since the last build of this process, and its open files."""
    new = sorted(set(sys.modules) - _modules)
    _modules.update(new)
    links = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.islink(entry.path)]
    data = sum(link.endswith(".h5") for link in links)
    return {"modules": len(sys.modules), "new": new[-40:], "files": len(links), "data_files": data}


def _watch_messages() -> None:
    """In a worker: note each message as it is sent and once it has come."""
    worker = sys.modules.get("study._worker")
    if worker is None or os.getpid() in _wrapped:
        return
    _wrapped.add(os.getpid())
    agent = worker._Agent
    send, receive = agent.send, agent.receive

    def noted_send(self: Any, message: object) -> None:
        note(f"sent {type(message).__name__}")  # before: the agent may answer at once
        send(self, message)

    def noted_receive(self: Any) -> Any:
        message = receive(self)
        note(f"got {type(message).__name__}")
        return message

    agent.send, agent.receive = noted_send, noted_receive


CNN, DENSENET, MLP, RESNET = (
    Family(f"timed_{family.name}", family.hyperparameters, partial(_build, family))
    for family in (cnn.FAMILY, densenet.FAMILY, mlp.FAMILY, resnet.FAMILY)
)
