"""A study on several hosts as docs/hosts.md sets it up: a server, three that train, and a home that all share."""

import os
import re
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from hosts import Network
from lab import ODD, Lab
from sqlalchemy import select
from sqlalchemy.engine import make_url

from storage.database import Database
from storage.errors import DatabaseError
from storage.history import TrialRow
from storage.private_server import PrivateServer
from storage.tables import AGENTS, ATTEMPTS, AttemptState

NAME, SERVER, WORKERS = "cherenkov-pid", "node0", ("node1", "node2", "node3")
WORK = f"exec studyhall worker {NAME} --workers 1"
PAGE = Path(__file__).parents[2] / "docs" / "hosts.md"
EPOCHS_EACH = 6
CALM: dict[str, Any] = {
    "study": {"name": NAME},
    "space": ODD | {"odd.pause": 0.4},  # ten seconds for a trial
    "training": {"epochs": EPOCHS_EACH},
    "search": {"pruner": "none"},
    "workers": {"devices": "cpu", "per_device": 1},
    "lease": {"seconds": 5, "renew": 1},
}
OFTEN = "\nfrom study import _checkpoints\n\n_checkpoints.LEAST_S = 1.0\n"
"""Appended to a user's file: a trial of seconds leaves checkpoints, as one of minutes does."""
QUICKLY_S = 120.0


def commands(heading: str) -> list[str]:
    """The shell commands below a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


class Site:
    """The hosts, their server, and their study.

    Attributes:
        export: The page's command that tells a shell where the database is.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.network = Network(folder, (SERVER, *WORKERS))
        self.server = PrivateServer(self.home / "studyhall-server")
        self.lab = Lab(self.home / "pid", "postgresql://nowhere/")
        with (self.lab.folder / "odd_family.py").open("a", encoding="utf-8") as file:
            file.write(OFTEN)
        self._start_server, self.export = commands("The server")
        self._started: list[subprocess.Popen[bytes]] = []

    def set_up(self) -> None:
        """Make the hosts, and start the server by the page's command."""
        self.network.make()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"HOME": str(self.home), "PATH": path, "LAB_MARK": self.lab.mark, "OMP_NUM_THREADS": "1"}
        self._environment = own | {"PATH": f"{self.network.write_ssh(own)}:{path}"}
        assert self.run(SERVER, self._start_server) == 0, self.said(SERVER)
        # This process looks from the server's host, which reaches the server also while it is cut off.
        here = make_url(self.server.url()).set(host="127.0.0.1")
        self.lab.url = here.render_as_string(hide_password=False)

    def start(self, name: str, command: str) -> subprocess.Popen[bytes]:
        """Start a shell's commands on a host; what they say goes to its log."""
        with (self.lab.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self.network[name].shell(command),
                cwd=self.home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def run(self, name: str, command: str) -> int:
        """Run a shell's commands on a host to their end; the exit status."""
        return self.start(name, command).wait(QUICKLY_S)

    def output(self, name: str, command: str) -> str:
        """What a shell's commands print on a host."""
        shell = self.network[name].shell(command)
        return subprocess.run(
            shell, cwd=self.home, env=self._environment, stdout=subprocess.PIPE, text=True, timeout=QUICKLY_S
        ).stdout

    def said(self, name: str) -> str:
        """What the commands on a host have logged."""
        return (self.lab.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def study(self, trials: int) -> None:
        """Write the page's study file."""
        self.lab.study("study", budget={"trials": trials}, **CALM)

    def create(self, trials: int) -> None:
        """Create the study, and run nothing."""
        with self.network[SERVER].inside():
            self.lab.create(NAME, budget={"trials": trials}, **CALM)

    def trials(self) -> list[TrialRow]:
        """The study's trials."""
        with self.network[SERVER].inside():
            return self.lab.trials(NAME)

    def rows(self, table: Any, *order: Any) -> list[Any]:
        """A table as the server holds it."""
        with self.network[SERVER].inside(), closing(Database(self.lab.url)) as database, database.read() as connection:
            return list(connection.execute(select(table).order_by(*order)))

    def hosts(self) -> dict[str, str]:
        """The host of each agent by its id."""
        return {row.agent_id: row.host for row in self.rows(AGENTS)}

    def attempts(self) -> list[Any]:
        """All attempts in the order of their begin."""
        return self.rows(ATTEMPTS, ATTEMPTS.c.started_at, ATTEMPTS.c.attempt)

    def attempts_after(self, attempt: Any) -> list[Any]:
        """Later ones at the same trial."""
        return [row for row in self.attempts() if row.trial_id == attempt.trial_id and row.attempt > attempt.attempt]

    def running(self) -> dict[str, Any]:
        """The running attempt of each host that has one; none while there is no study."""
        with suppress(DatabaseError):
            names = self.hosts()
            return {names[row.agent_id]: row for row in self.attempts() if row.state is AttemptState.RUNNING}
        return {}

    def that_ended_trials(self) -> set[str]:
        """The hosts that have ended a trial."""
        names = self.hosts()
        return {names[row.agent_id] for row in self.attempts() if row.state is AttemptState.FINISHED}

    def tear_down(self) -> None:
        """Stop the server, end whatever runs on the hosts, and remove them."""
        try:
            if self.server.folder.is_dir():
                self.server.stop()
        finally:
            self.network.remove()
        for process in self._started:
            process.wait()

    def left_over(self) -> list[str]:
        """Links, namespaces and processes that outlived it."""
        return [*self.network.left_over(), *(str(process) for process in self.lab.processes())]
