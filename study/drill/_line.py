"""Where processes of a drill say that they stand at a named point, and wait until they may go on."""

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arrival:
    """A process at a point.

    Attributes:
        at: `time.monotonic`.
        number: Of the trial.
        attempt: At the trial.
    """

    at: float
    pid: int
    step: str
    when: str
    number: int
    attempt: int


class Line:
    """Listens on a Unix socket; `arrived` is called in a thread for each arrival, and holds the process meanwhile."""

    def __init__(self, path: Path, arrived: Callable[[Arrival], None]) -> None:
        """Listen.

        Args:
            path: Of the socket; at most about 100 characters.
            arrived: May be called by several threads at once.
        """
        self._arrived = arrived
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more; processes that wait go on."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    self._arrived(Arrival(at=time.monotonic(), **json.loads(line)))
                    connection.sendall(b".")
        except OSError:  # the process was killed
            return
