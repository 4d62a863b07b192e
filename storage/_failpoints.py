"""Named points in a trial's life at which `studyhall drill` may kill, freeze or cut off a process.

Nothing happens at them unless the process was started by a drill, which leaves the address of its socket in the
environment. A process that reaches a point says so and waits for one byte: what is done to it, is done there.
"""

import contextlib
import json
import os
import socket

ADDRESS_VARIABLE = "STUDYHALL_DRILL"
"""Path of the drill's Unix socket."""
UNFENCED_VARIABLE = "STUDYHALL_DRILL_UNFENCED"
"""Set by the drill's self-test alone: attempts are not fenced, and the drill must notice."""
STEPS = ("claim", "sample", "epoch", "checkpoint", "finish")
BEFORE, AFTER = "before the commit", "after the commit"
WRITTEN = "the file written"

_address = os.environ.get(ADDRESS_VARIABLE)
_unfenced = _address is not None and UNFENCED_VARIABLE in os.environ
_line: tuple[int, socket.socket] | None = None
"""The process that opened it, since a fork must open its own, and the connection."""


def reached(step: str, when: str, number: int, attempt: int) -> None:
    """Tell the drill that this process stands at a point, with an attempt in hand; returns when it lets go.

    Args:
        step: One of `STEPS`.
        when: `BEFORE` or `AFTER` its transaction's COMMIT, or `WRITTEN` before the agent hears of a checkpoint.
        number: Of the trial.
        attempt: At the trial.
    """
    if _address is None:
        return
    about = {"pid": os.getpid(), "step": step, "when": when, "number": number, "attempt": attempt}
    with contextlib.suppress(OSError):  # the drill has ended
        line = _connected(_address)
        line.sendall(json.dumps(about).encode() + b"\n")
        line.recv(1)


def fenced() -> bool:
    """Whether an attempt's writes are refused once another owns the trial: always, but for the drill's self-test."""
    return not _unfenced


def _connected(address: str) -> socket.socket:
    global _line
    if _line is None or _line[0] != os.getpid():
        fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        fresh.connect(address)
        _line = (os.getpid(), fresh)
    return _line[1]
