"""Named points at which a fault drill may kill or freeze this process; nothing happens unless it is told so.

The drill names a folder in ``STUDYHALL_FAILPOINTS``. A file ``NAME.kill`` or ``NAME.stop`` there means that the first
process to reach the point NAME takes the file away and then kills or freezes itself with SIGKILL or SIGSTOP.
"""

import os
import signal
from pathlib import Path

VARIABLE = "STUDYHALL_FAILPOINTS"
POINTS = tuple(
    f"{step}.{when}_commit"
    for step in ("claim", "sample", "epoch", "checkpoint", "finish")
    for when in ("before", "after")
)
ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def failpoint(name: str) -> None:
    """Fail here if a drill has asked for it."""
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return
    for action, number in ACTIONS.items():
        wish = Path(folder) / f"{name}.{action}"
        taken = wish.with_suffix(f".{action}.{os.getpid()}")
        try:
            os.rename(wish, taken)  # one process only gets it
        except FileNotFoundError:
            continue
        os.kill(os.getpid(), number)
