"""The scribe as its agent sees it."""

import contextlib
import select
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Protocol

from storage.database import Database
from storage.studies import take_refresh
from study import _scribe
from study._forkserver import ForkserverLost
from study.stored import StoredStudy

EVERY_S = 60.0
"""A study's board is refreshed no more often, by whichever agent."""
END_S = 5.0
"""That the scribe gets at the end for what it has been told; pictures it leaves are drawn when they are looked at."""


class Process(Protocol):
    """What is needed of a process."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        ...

    def kill(self) -> None:
        """End it."""
        ...

    def is_alive(self) -> bool:
        """Whether it runs."""
        ...


Fork = Callable[..., Process]


class Scribe:
    """Has pictures drawn and the board refreshed without waiting; started at the first order, again after its death."""

    def __init__(self, database: Database, stored: StoredStudy, url: str, fork: Fork) -> None:
        self._database, self._stored, self._url, self._fork = database, stored, url, fork
        self._process: Process | None = None
        self._connection: Connection | None = None
        self._asked_at = -EVERY_S

    def draw(self, folder: str, token: str) -> None:
        """Have a trial's picture drawn from its record; with too much to do already it is left out."""
        self._tell(_scribe.Draw(folder, token))

    def refresh(self, every_s: float = EVERY_S) -> None:
        """Have the board refreshed, if nobody has done so lately."""
        now = time.monotonic()
        if now - self._asked_at < every_s:
            return
        self._asked_at = now
        if take_refresh(self._database, self._stored.study_id, every_s):
            self._tell(_scribe.Refresh())

    def close(self, *, hurry: bool) -> None:
        """End it: at once where its agent is in a hurry, else after what it has been told, but not for ever."""
        if self._process is None:
            return
        if not hurry:
            self._tell(None)
            self._process.join(END_S)
        self._process.kill()
        self._process.join()

    def _tell(self, order: object) -> None:
        if self._process is None or not self._process.is_alive():
            if order is None:
                return
            with contextlib.suppress(ForkserverLost):
                self._start()
        if self._connection is None:
            return
        # A full pipe means that it is far behind; the agent must not wait for it.
        if order is None or select.select([], [self._connection], [], 0)[1]:
            with contextlib.suppress(OSError):
                self._connection.send(order)

    def _start(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        ours, theirs = Pipe()
        try:
            self._process = self._fork(_scribe.main, theirs, self._url, self._stored.name)
            self._connection = ours
        finally:
            theirs.close()
