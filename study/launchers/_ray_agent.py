"""One agent on a Ray cluster: an actor, and beside it a process that keeps the agent.

The keeper stands between them since a Ray worker, when it ends, kills its children at once. A keeper that is killed
leaves an agent that finds its pipe closed, and hands its trials back.
"""

import contextlib
import io
import json
import platform
import select
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from study.launchers._agent_process import TOLD_TO_END, reason
from study.launchers._launcher import AgentOrder
from study.launchers.local import LocalAgent

POLL_S = 0.1
GRACE_S = 20.0
"""For an agent whose actor is gone to hand its trials back, before it is killed."""
TAIL = 12
"""Last lines of a failed agent's log that its launcher is told: the file may lie on another host."""
INTERRUPT, KILL = "interrupt", "kill"


def order_to_json(order: AgentOrder) -> dict[str, Any]:
    """An order as plain values, so that the cluster's Studyhall unpickles none of ours."""
    return {**asdict(order), "logs": str(order.logs), "options": dict(order.options)}


def order_from_json(tree: dict[str, Any]) -> AgentOrder:
    """An order from its plain values."""
    devices = tree["devices"] if isinstance(tree["devices"], str) else tuple(tree["devices"])
    return AgentOrder(**{**tree, "logs": Path(tree["logs"]), "devices": devices})


class RayAgent:
    """The actor, in a Ray worker; calls may come from several threads."""

    def __init__(self, order: dict[str, Any], folder: str) -> None:
        """Start an agent.

        Args:
            order: As `order_to_json`; ``workers`` are those of this agent.
            folder: Where the agent runs, if this host has it: a relative path in the order refers to it.
        """
        self._study = order["study"]
        self._keeper = subprocess.Popen(
            [sys.executable, "-P", "-m", "study.launchers._ray_agent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd=folder if Path(folder).is_dir() else None,
            start_new_session=True,
        )
        self.tell(json.dumps(order))

    def __repr__(self) -> str:
        return f"agent of study {self._study!r}"

    def begun(self) -> str:
        """The host's name; answered as soon as there is an agent."""
        return platform.node()

    def run(self) -> dict[str, Any]:
        """Wait for the agent's end.

        Returns:
            Its exit ``status``, its ``log``, and the ``tail`` of that.
        """
        output, status = _stream(self._keeper.stdout).read(), self._keeper.wait()
        if not output:
            raise RuntimeError(f"the process that keeps the agent {reason(status)}")
        ended: dict[str, Any] = json.loads(output)
        return ended

    def tell(self, word: str) -> None:
        """Write a line to the keeper; one that has ended needs none."""
        with contextlib.suppress(BrokenPipeError):
            _stream(self._keeper.stdin).write(f"{word}\n".encode())


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("a keeper has pipes")
    return stream


def keep(order: AgentOrder, words: io.RawIOBase) -> dict[str, Any]:
    """Run an agent to its end, started again when it crashes.

    Args:
        words: A line for each word of the actor, unbuffered; the end of it means that the actor is gone.

    Returns:
        As `RayAgent.run`.
    """
    agent = LocalAgent(order)
    status: int | None = None
    try:
        while (status := agent.poll()) is None:
            if not select.select([words], [], [], POLL_S)[0]:
                continue
            word = words.readline().decode().strip()
            if word == INTERRUPT:
                agent.interrupt()
                continue
            status = TOLD_TO_END
            if not word:
                _let_end(agent)
            break
    finally:
        agent.kill()
    return {"status": status, "log": str(agent.log), "tail": _tail(agent.log)}


def _let_end(agent: LocalAgent) -> None:
    agent.interrupt()
    end = time.monotonic() + GRACE_S
    while agent.poll() is None and time.monotonic() < end:
        time.sleep(POLL_S)


def _tail(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]


def main() -> None:
    """The keeper: an order comes as the first line of standard input."""
    words = io.FileIO(sys.stdin.fileno(), closefd=False)
    order = order_from_json(json.loads(words.readline()))
    sys.stdout.write(json.dumps(keep(order, words)))


if __name__ == "__main__":
    main()
