"""A whole drill: a scratch study, agents, faults, and the verdict."""

import contextlib
import dataclasses
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import URL

from storage import _optuna
from storage._failpoints import ADDRESS_VARIABLE, UNFENCED_VARIABLE
from storage.database import Database
from storage.errors import ConfigError, DatabaseError
from storage.private_server import PrivateServer
from storage.tables import ATTEMPTS, AttemptState
from study.drill import _verdict
from study.drill._agents import Agents
from study.drill._director import Director, Made
from study.drill._faults import SERVER, Fault, Kind, plan_faults, plan_sleepers
from study.drill._line import Line
from study.drill._relay import Relay
from study.drill._scratch import LEASE_S, create_scratch_study
from study.drill.family import pace_file
from study.keeping import delete_study

logger = logging.getLogger(__name__)

AGENTS = 4
TRIALS_PER_FAULT = 2.0
"""So that after the last fault there are trials left, and the budget ends under agents that have been hurt."""
FAST_S, SLOWER_S, SLOWEST_S = 0.002, 4.0, 1.5
"""How much longer a batch takes: where faults are ahead of trials; more the further they are behind; at most."""
LOOK_S = 0.1
MOST_S_PER_FAULT = 30.0
RESTARTS = 2
PORTS = {"postgresql": 5432, "mysql": 3306}


@dataclass(frozen=True)
class Report:
    """What a drill came to.

    Attributes:
        made: The faults that struck.
        checks: What contradicts each guarantee, by its name; nothing where it held.
        trials: Trials of the study.
        resumed: Those with more than one attempt.
        seconds: The drill took.
    """

    database: str
    planned: int
    made: Sequence[Made]
    checks: dict[str, list[str]]
    trials: int
    resumed: int
    seconds: float

    @property
    def good(self) -> bool:
        """Whether every guarantee held and every planned fault struck."""
        return not any(self.checks.values()) and len(self.made) >= self.planned

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        made = [
            {"point": str(m.fault.point), "kind": m.fault.kind, "trial": m.number, "recovered_s": m.recovered_s}
            for m in self.made
        ]
        return dataclasses.asdict(self) | {"made": made, "good": self.good}


def run_drill(
    url: str | None, *, private_server: bool, faults: int, seed: int, fenced: bool, follow: Callable[[int, int], None]
) -> Report:
    """Hurt agents of a scratch study in every way, and see whether its guarantees hold.

    Args:
        url: The user's database, where the study gets a name of its own and is deleted afterwards; None means an SQLite
            file in a temporary folder.
        private_server: Use a PostgreSQL of the drill's own instead, and restart it as well.
        faults: How many; 33 strike each point three times.
        seed: Of what is left to chance in their order and kind.
        fenced: False lets attempts write that have lost their trial: then the drill must find out.
        follow: Told how many faults have struck, of how many.

    Raises:
        ConfigError: The database cannot be drilled.
        DatabaseError: It cannot be used.
    """
    folder = Path(tempfile.mkdtemp(prefix="drill-"))
    try:
        with contextlib.ExitStack() as stack:
            server = None
            if private_server:
                folder.chmod(0o711)  # root's server runs under another account, which must pass
                server = PrivateServer(folder / "server")
                server.start()
                stack.callback(server.stop)
                url = server.url()
            drill = _Drill(url or f"sqlite:///{folder}/drill.db", folder, faults, seed, fenced, server)
            stack.callback(drill.close, leave_rows=url is None)
            report = drill.run(follow)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except BaseException:
        logger.warning("the agents' logs are in %s", folder)
        raise
    if report.good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        logger.warning("the agents' logs are in %s", folder)
    return report


class _Drill:
    def __init__(
        self, url: str, folder: Path, faults: int, seed: int, fenced: bool, server: PrivateServer | None
    ) -> None:
        self._database, self._folder, self._server = Database(url, patience_s=60.0), folder, server
        self._name = f"drill-{uuid.uuid4().hex[:8]}"
        self._trials = round(faults * TRIALS_PER_FAULT)
        self._plan = create_scratch_study(url, folder, self._name, trials=self._trials, seed=seed)
        self._relays = [_relay(self._database.url) for _ in range(AGENTS)] if self._is_server else []
        address = folder / "line"
        environment = {ADDRESS_VARIABLE: str(address)} | ({} if fenced else {UNFENCED_VARIABLE: "1"})
        urls = [_through(self._database.url, relay.port) for relay in self._relays] or [url] * AGENTS
        self._agents = Agents(self._name, urls, folder, environment)
        planned = plan_faults(faults, seed, server=self._is_server) if fenced else plan_sleepers(faults, seed)
        self._faults = len(planned) + (RESTARTS if server else 0)
        self._director = Director(
            planned,
            self._agents,
            self._relays,
            lease_s=LEASE_S,
            runs=self._runs,
            sqlite_file=None if self._is_server else str(self._database.url.database),
        )
        self._pace = pace_file(str(address))
        self._set_pace(FAST_S)
        self._line = Line(address, self._director.arrived)

    @property
    def _is_server(self) -> bool:
        return self._database.url.get_backend_name() != "sqlite"

    def run(self, follow: Callable[[int, int], None]) -> Report:
        began = time.monotonic()
        for slot in range(AGENTS):
            self._agents.start(slot)
        stray = list(self._watch(follow, began + MOST_S_PER_FAULT * (self._faults + 4)))
        self._agents.stop()
        return self._report(stray, time.monotonic() - began)

    def close(self, *, leave_rows: bool) -> None:
        """Leave nothing behind but the folder, and the rows of a database that lies in it."""
        self._agents.stop()
        self._line.close()
        for relay in self._relays:
            relay.close()
        if not leave_rows:
            with contextlib.suppress(DatabaseError, ConfigError):
                delete_study(self._database, self._name)
        self._database.close()

    def _watch(self, follow: Callable[[int, int], None], end: float) -> Iterator[str]:
        """Look after the agents until all have ended; what they did that they should not."""
        left, director = set(range(AGENTS)), self._director
        while left:
            time.sleep(LOOK_S)
            follow(len(director.made), self._faults)
            self._set_pace(self._wanted_pace())
            self._restart_if_due()
            for slot in list(left):
                status = self._agents.ended(slot)
                if status is not None and status >= 0:  # a killed one is started again by the director
                    left.discard(slot)
                    director.ended(slot)
                    if status:
                        yield f"agent {slot} ended with exit status {status}: {self._last_line(slot)}"
            if time.monotonic() > end:
                yield f"not done after {MOST_S_PER_FAULT * (self._faults + 4):.0f} s"
                return

    def _wanted_pace(self) -> float:
        """Trials must not run out before the faults do."""
        made = len(self._director.made)
        ahead = self._director.started / self._trials - made / self._faults
        return FAST_S if ahead < 0 or made >= self._faults else FAST_S + min(SLOWEST_S, SLOWER_S * ahead)

    def _set_pace(self, seconds: float) -> None:
        beside = self._pace.with_suffix(".new")
        beside.write_text(str(seconds))
        os.replace(beside, self._pace)

    def _restart_if_due(self) -> None:
        made = self._director.made
        restarts = sum(one.fault.kind is Kind.RESTART for one in made)
        due = len(made) / self._faults >= (restarts + 1) / (RESTARTS + 2) and restarts < RESTARTS
        if self._server is None or not due:
            return
        # An agent that starts while its database is away ends with an error, as a user would want it to.
        self._director.calm = True
        if self._director.all_heard_of and self._runs():
            self._director.strike(Fault(SERVER, Kind.RESTART), self._server.restart)
            self._director.calm = False

    def _runs(self, number: int | None = None, attempt: int | None = None) -> bool:
        """Whether an attempt runs: the given one, or any; False while the database is away."""
        trials, studies = _optuna.TRIALS, _optuna.STUDIES
        statement = (
            select(ATTEMPTS.c.token)
            .join(trials, trials.c.trial_id == ATTEMPTS.c.trial_id)
            .join(studies, studies.c.study_id == trials.c.study_id)
            .where(studies.c.study_name == self._name, ATTEMPTS.c.state == AttemptState.RUNNING)
        )
        if number is not None:
            statement = statement.where(trials.c.number == number, ATTEMPTS.c.attempt == attempt)
        try:
            with self._database.read() as connection:
                return connection.scalar(statement.limit(1)) is not None
        except DatabaseError:
            return False

    def _last_line(self, slot: int) -> str:
        lines = self._agents.log(slot).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"

    def _report(self, stray: list[str], seconds: float) -> Report:
        made = list(self._director.made)
        killed = sum(m.fault.kind is Kind.KILL_WORKER for m in made)
        where: tuple[Database, str] = (self._database, self._name)
        checks = {
            "the budget is exact": list(_verdict.exact_budget(*where)),
            "no trial is lost": list(_verdict.none_lost(*where, killed)),
            "no trial is doubled": list(_verdict.none_doubled(*where, self._director.arrivals)),
            "every trial equals its reference": list(_verdict.equal_to_references(*where, self._plan)),
            "agents end when the study is done, not before": stray,
        }
        attempts = _verdict.attempts_per_trial(*where)
        resumed = sum(count > 1 for count in attempts)
        return Report(self._database.name, self._faults, made, checks, len(attempts), resumed, seconds)


def _relay(url: URL) -> Relay:
    host = url.host or "127.0.0.1"
    if host.startswith("/") or "host" in url.query or "unix_socket" in url.query:
        raise ConfigError("the drill puts a relay before the database, which needs a TCP address; give host and port")
    return Relay(host, url.port or PORTS[url.get_backend_name()])


def _through(url: URL, port: int) -> str:
    return url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
