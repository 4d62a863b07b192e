"""A process beside an agent's workers: draws trials' pictures and refreshes the study's board, at low priority."""

import contextlib
import logging
import os
from dataclasses import dataclass
from multiprocessing.connection import Connection

from storage.database import Database
from storage.history import History
from study._lifeline import end_with_parent, end_with_peer
from study._trial_log import show_warnings
from study.artifacts import draw_report
from study.stored import load_stored

logger = logging.getLogger(__name__)

NICE = 10
"""Training goes first."""


@dataclass(frozen=True)
class Draw:
    """Draw the picture of a trial whose record lies in the folder."""

    folder: str
    token: str


@dataclass(frozen=True)
class Refresh:
    """Write the study's note and plots anew."""


class Desk:
    """What the process has at hand."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._database: Database | None = None
        self._history: History | None = None

    def do(self, order: object) -> None:
        """Carry out an order."""
        if isinstance(order, Draw):
            draw_report(order.folder, order.token)
        elif isinstance(order, Refresh):
            self._refresh()

    def _refresh(self) -> None:
        from study.board.refresh import refresh_board

        database = self._database = self._database or Database(self._url)
        stored = load_stored(database, self._name)
        self._history = self._history or History(database, stored.study_id)
        refresh_board(database, stored, self._history)


def main(connection: Connection, url: str, name: str) -> None:
    """Carry out orders until the agent says None or hangs up."""
    end_with_parent()
    end_with_peer(connection)
    show_warnings()
    with contextlib.suppress(OSError):
        os.nice(NICE)
    desk = Desk(url, name)
    while (order := connection.recv()) is not None:
        try:
            desk.do(order)
        except Exception as error:  # no result depends on it
            logger.warning("%s: %s: %s", type(order).__name__.lower(), type(error).__name__, error)
