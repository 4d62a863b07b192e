"""Run a command and account for its whole tree of processes.

    python peer_supervisor.py RESULT.json COMMAND...

It declares itself the reaper of orphans (Linux), so every descendant ends as its child or as a child waited for by
another one, and their CPU times add up in its RUSAGE_CHILDREN. Those of a process that ignores its children's ends
would be lost there; so the tree is also looked at four times a second, and the last CPU times seen of every process
are added up. The larger of the two sums counts; the second misses up to a quarter of a second per process.
The wall time ends with the command itself; what it leaves behind gets a few seconds, and is then killed. So does a
command that takes more than an hour, or is interrupted.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

SET_CHILD_SUBREAPER = 36  # of prctl, <linux/prctl.h>
LOOK_S = 0.25
GRACE_S = 15.0
TIMEOUT_S = 3600.0


def main() -> None:
    """Run, wait, write the result; exit as the command did."""
    result, command = Path(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    tree = Tree()
    start = time.time()
    process = subprocess.Popen(command)
    tree.start()
    try:
        status = process.wait(TIMEOUT_S)
        wall_s = time.time() - start
    finally:
        wait_for_orphans()
        tree.stop()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    waited_s = usage.ru_utime + usage.ru_stime
    facts = {"start": start, "wall_s": wall_s, "waited_cpu_s": waited_s, "seen_cpu_s": tree.cpu_s, "status": status}
    result.write_text(json.dumps(facts), encoding="utf-8")
    sys.exit(0 if status == 0 else 1)


class Tree(threading.Thread):
    """Looks at all descendants again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()
        self._last: dict[tuple[int, float], float] = {}

    def run(self) -> None:
        """Until told to stop."""
        while not self._ended.wait(LOOK_S):
            self._look()

    def stop(self) -> None:
        """End."""
        self._ended.set()
        self.join()

    @property
    def cpu_s(self) -> float:
        """The sum of what each process was last seen to have used."""
        return sum(self._last.values())

    def _look(self) -> None:
        for process in psutil.Process().children(recursive=True):
            try:
                times = process.cpu_times()
                self._last[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:  # it has just ended
                continue


def wait_for_orphans() -> None:
    """Reap what is left; after the grace time it is killed."""
    end = time.monotonic() + GRACE_S
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if time.monotonic() > end:
                for process in psutil.Process().children(recursive=True):
                    process.send_signal(signal.SIGKILL)
            time.sleep(0.05)


if __name__ == "__main__":
    main()
