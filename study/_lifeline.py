"""No worker outlives its agent: not in an endless loop, and on Linux not even frozen."""

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
from multiprocessing.connection import Connection

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_peer(connection: Connection, status: int = 0) -> None:
    """End this process as soon as the other end of the pipe is closed, whatever it does at that moment.

    Args:
        connection: This end of the pipe.
        status: The exit status of this process.
    """
    poller = select.poll()
    poller.register(connection.fileno(), 0)  # a hang-up is reported unasked; messages are not looked at

    def watch() -> None:
        poller.poll()
        os._exit(status)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent dies; does nothing where there is no such call."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call
        os._exit(0)
