"""What the default sampler costs an agent per trial, on studies of growing size and with other trials running."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from fleet import Record, SimulatedAgent
from fleet_growth import count, counters, in_child
from fleet_server import Server, running_ns
from fleet_study import fill, make_plan, new_study
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from storage.attempts import Claim, finish
from storage.claims import claim
from storage.database import Database
from storage.endings import Ending
from study.search import make_sampler

AGENT, FLEET = 8, 1000
"""Trials that run meanwhile: of one agent, of a fleet."""


@dataclass(frozen=True)
class Sampling:
    """Medians of one trial's sampling by TPE, the writing of its parameters included.

    Attributes:
        trials, running: In the study, ended and not.
        cpu_ms, wall_ms, statements, server_ms: Of all of it; the server's by its own process.
        reading_cpu_ms: Of its reading of the trials that run; there are no new ones here.
    """

    trials: int
    running: int
    cpu_ms: float
    wall_ms: float
    server_ms: float
    statements: float
    transactions: float
    reading_cpu_ms: float


def measure_sampler(server: Server, sizes: list[int], *, repeats: int) -> list[Sampling]:
    """On one study that is filled from size to size, last with a fleet's trials running."""
    found = []
    with server.fresh_database() as url:
        plan = make_plan("tpe")
        study_id = new_study(url, plan)
        cases = [(size, AGENT if size else 0) for size in sizes] + [(sizes[-1], FLEET)]
        running = 0
        for size, wanted in cases:
            database = Database(url)
            fill(database, study_id, plan, max(0, size - count(database, study_id)))
            fill(database, study_id, plan, wanted - running, running=True)
            database.close()
            running = wanted
            server.analyze()
            found.append(in_child(lambda size=size, wanted=wanted: _sampling(server, url, size, wanted, repeats)))
    return found


def _sampling(server: Server, url: str, trials: int, running: int, repeats: int) -> Sampling:
    agent = SimulatedAgent(url, pace_s=0.0, epoch_s=10.0, record=Record())
    storage, study_id = agent.storage, agent.stored.study_id
    first = _claim(agent)
    agent.ledger.begin(first, "cpu")  # reads all trials
    _drop(agent, first)
    counted, pids = counters(), server.backends()

    def used(work: Callable[[], object]) -> tuple[float, ...]:
        asked, begun, backend = counted["statements"], counted["transactions"], sum(map(running_ns, pids))
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        backend = sum(map(running_ns, pids)) - backend
        asked, begun = counted["statements"] - asked, counted["transactions"] - begun
        return 1000 * cpu, 1000 * wall, backend / 1e6, asked, begun

    wholes, readings = [], []
    while len(wholes) < repeats:
        mine = _claim(agent)
        tpe = isinstance(make_sampler(agent.plan.config, mine.number, agent.plan.space), TPESampler)
        whole = used(lambda mine=mine: agent.ledger.begin(mine, "cpu"))
        if tpe:  # the others are the random share
            wholes.append(whole)
            readings.append(used(lambda: storage.get_all_trials(study_id, deepcopy=False))[0])
        _drop(agent, mine)
    agent.leave()
    medians = [median(column) for column in zip(*wholes, strict=True)]
    return Sampling(trials, running, *medians, median(readings))


def _claim(agent: SimulatedAgent) -> Claim:
    config = agent.stored.config
    taken = claim(
        agent.database,
        agent.stored.study_id,
        agent_id=agent.agent_id,
        slot=0,
        lease_s=config.lease.seconds,
        lost_retries=config.retry.lost,
    )
    assert isinstance(taken, Claim)
    return taken


def _drop(agent: SimulatedAgent, mine: Claim) -> None:
    """End the trial in such a way that the sampler does not look at it again."""
    finish(agent.database, mine, Ending(TrialState.FAIL))
