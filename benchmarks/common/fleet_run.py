"""A fleet of simulated agents, a process each, and one launcher that looks at the study; what came of it."""

import gc
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from statistics import quantiles

from fleet import KINDS, SLOTS, Record, SimulatedAgent
from fleet_server import Server, busy_seconds, cpu_seconds
from fleet_study import NAME, make_plan, new_study

from storage.database import Database
from study.launching import FOLLOW_S
from study.stored import load_stored
from study.summary import summarise
from study.watching import LOOK_SHARE

START_S = 240.0
"""How long a fleet may take until every agent is connected."""
WARM_SHARE = 0.25
"""Of the measured time; so long at least an agent runs before, and until each of its workers has had a trial."""


@dataclass(frozen=True)
class Spread:
    """Times of one kind of transaction, in ms; `count` of them."""

    count: int
    p50: float
    p95: float
    p99: float


def spread(times_ms: list[float]) -> Spread | None:
    """The percentiles; None without any."""
    if len(times_ms) < 2:
        return Spread(1, times_ms[0], times_ms[0], times_ms[0]) if times_ms else None
    cuts = quantiles(times_ms, n=100, method="inclusive")
    return Spread(len(times_ms), cuts[49], cuts[94], cuts[98])


@dataclass(frozen=True)
class FleetResult:
    """What a fleet did in the measured time.

    Attributes:
        pace_s: Mean length of a simulated epoch; 0: as fast as it goes.
        seconds: Measured, up to the end of the last transaction that began in time.
        offered: Epochs per second if the database took no time; None as fast as it goes.
        times: By kind of transaction.
        rollbacks: Transactions that the server rolled back, deadlocks among them; each was tried again.
        client_cpu_s, server_cpu_s: Of all agents and the launcher, and of their connections' processes.
        others_cpu_s: Of everything else on this machine, the server's background processes among it.
        start_s: From the first agent's start until all were connected.
    """

    workers: int
    pace_s: float
    seconds: float
    offered: float | None
    times: dict[str, Spread]
    errors: dict[str, int]
    warnings: int
    rollbacks: int
    deadlocks: int
    client_cpu_s: float
    server_cpu_s: float
    others_cpu_s: float
    connections: int
    start_s: float

    def rate(self, *kinds: str) -> float:
        """Of these kinds together, per second."""
        return sum(self.times[kind].count for kind in kinds if kind in self.times) / self.seconds

    @property
    def epochs(self) -> float:
        """Epochs per second."""
        return self.rate("report", "report at a rung")

    @property
    def trials(self) -> float:
        """Finished trials per second."""
        return self.rate("finish, pruned", "finish, complete")


def run_fleet(
    server: Server, workers: int, *, pace_s: float, epoch_s: float, seconds: float, sampler: str
) -> FleetResult:
    """A fleet on a study of its own, which is new and gone afterwards."""
    with server.fresh_database() as url:
        new_study(url, make_plan(sampler))
        agents = max(1, workers // SLOTS)
        context = multiprocessing.get_context("fork")
        barrier, out = context.Barrier(agents + 2), context.Queue()
        jobs = [(_agent, (url, pace_s, epoch_s, seconds, min(workers, SLOTS))) for _ in range(agents)]
        jobs.append((_launcher, (url, seconds)))
        children = [context.Process(target=job, args=(*given, barrier, out), daemon=True) for job, given in jobs]
        gc.collect()
        gc.freeze()  # else each child's collector would copy all that the children share
        began = time.monotonic()
        for child in children:
            child.start()
        gc.unfreeze()
        barrier.wait(START_S)  # all are connected, and warm up
        start_s = time.monotonic() - began
        barrier.wait(START_S)  # the measured time begins
        pids, failed = server.backends(), server.rollbacks()
        before, busy, measured_from = cpu_seconds(pids), busy_seconds(), time.monotonic()
        barrier.wait(seconds + START_S)  # it has ended, and all are still connected
        used, busy = cpu_seconds(pids) - before, busy_seconds() - busy
        measured_s = time.monotonic() - measured_from
        barrier.wait(START_S)
        records: list[Record] = [out.get() for _ in children]
        for child in children:
            child.join()
        rollbacks, deadlocks = (now - then for now, then in zip(server.rollbacks(), failed, strict=True))
    return FleetResult(
        workers=workers,
        pace_s=pace_s,
        seconds=measured_s,
        offered=workers / pace_s if pace_s else None,
        times={kind: found for kind in KINDS if (found := spread([t for r in records for t in r.times_ms[kind]]))},
        errors=dict(sum((record.errors for record in records), Counter[str]())),
        warnings=sum(record.warnings for record in records),
        rollbacks=rollbacks,
        deadlocks=deadlocks,
        client_cpu_s=sum(record.cpu_s for record in records),
        server_cpu_s=used,
        others_cpu_s=max(0.0, busy - used - sum(record.cpu_s for record in records)),
        connections=len(pids),
        start_s=start_s,
    )


def _agent(
    url: str, pace_s: float, epoch_s: float, seconds: float, slots: int, barrier: Barrier, out: "Queue[Record]"
) -> None:
    record = Record()
    with _breaking(barrier):
        agent = SimulatedAgent(url, pace_s=pace_s, epoch_s=epoch_s, record=record, slots=slots)
        _measured(barrier, seconds, lambda until: agent.warm_up(WARM_SHARE * seconds, until), agent.run, record)
        agent.leave()
    out.put(record)


def _launcher(url: str, seconds: float, barrier: Barrier, out: "Queue[Record]") -> None:
    """Looks at the study as `study.launching` does."""
    record, database = Record(), Database(url, patience_s=60.0)

    def follow(until: float) -> None:
        while (began := time.monotonic()) < until:
            with record.timed("look"):
                summarise(database, load_stored(database, NAME))
            pause = max(FOLLOW_S, LOOK_SHARE * (time.monotonic() - began))
            time.sleep(max(0.0, min(pause, until - time.monotonic())))

    with _breaking(barrier):
        load_stored(database, NAME)
        _measured(barrier, seconds, lambda until: None, follow, record)
        database.close()
    out.put(record)


@contextmanager
def _breaking(barrier: Barrier) -> Iterator[None]:
    """Whoever fails before or after the measured time ends the whole run."""
    try:
        yield
    except BaseException:
        barrier.abort()
        raise


def _measured(
    barrier: Barrier,
    seconds: float,
    warm_up: Callable[[float], None],
    run: Callable[[float], None],
    record: Record,
) -> None:
    """Wait for all, warm up, then run for the measured time together with all others."""
    barrier.wait(START_S)
    warm_up(time.monotonic() + START_S / 2)
    record.forget()
    barrier.wait(START_S)
    began = time.process_time()
    run(time.monotonic() + seconds)
    record.cpu_s = time.process_time() - began
    barrier.wait(START_S)
    barrier.wait(START_S)
