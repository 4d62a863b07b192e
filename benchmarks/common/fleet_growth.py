"""One agent alone on studies of growing size: what each transaction costs, and what a new agent has to read."""

import gc
import multiprocessing
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeVar

import psutil
from fleet import KINDS, Record, SimulatedAgent
from fleet_run import Spread, spread
from fleet_server import Server, running_ns
from fleet_study import NAME, fill, make_plan, new_study
from sqlalchemy import Engine, event, func, select

from storage import _optuna
from storage.claims import device_seconds
from storage.database import Database
from storage.trials import open_storage
from study._ledger import Ledger
from study.plan import build_plan
from study.stored import load_stored
from study.summary import summarise

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """Of one kind of transaction, medians but for the spread."""

    wall: Spread
    client_cpu_ms: float
    server_cpu_ms: float
    statements: float
    transactions: float


@dataclass(frozen=True)
class Reading:
    """What a new agent does once: seconds of wall and of its CPU, megabytes that it keeps, and at most has."""

    wall_s: float
    cpu_s: float
    kept_mb: float
    peak_mb: float


@dataclass(frozen=True)
class Size:
    """A study at one size.

    Attributes:
        costs: By kind.
        device_seconds_ms: What a claim pays besides, with a budget in GPU hours.
        trials_read, rungs_read: By the first sampling and the first rung of a new agent.
        summary: What it reads before it begins, as `status` and a launcher do.
    """

    trials: int
    megabytes: float
    costs: dict[str, Cost]
    device_seconds_ms: float
    trials_read: Reading
    rungs_read: Reading
    summary: Reading
    errors: dict[str, int]


def measure_growth(server: Server, sizes: list[int], *, seconds: float, epoch_s: float) -> list[Size]:
    """One study that is filled from size to size."""
    found = []
    with server.fresh_database() as url:
        plan = make_plan("random")
        study_id = new_study(url, plan)
        for size in sizes:
            database = Database(url)
            fill(database, study_id, plan, size - count(database, study_id))
            database.close()
            server.analyze()
            megabytes = server.megabytes()
            trials_read, rungs_read = in_child(lambda: _new_agent(url))
            summary = in_child(lambda: _looks(url))
            costs, errors = in_child(lambda: _costs(server, url, seconds, epoch_s))
            taken = in_child(lambda: _device_seconds_ms(url, study_id))
            found.append(Size(size, megabytes, costs, taken, trials_read, rungs_read, summary, errors))
    return found


def count(database: Database, study_id: int) -> int:
    """Trials of the study."""
    chosen = select(func.count()).select_from(_optuna.TRIALS).where(_optuna.TRIALS.c.study_id == study_id)
    with database.read() as connection:
        return int(connection.scalar(chosen) or 0)


def in_child(work: Callable[[], T]) -> T:
    """Run it in a forked process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(work()), daemon=True)
    child.start()
    sender.close()
    try:
        return receiver.recv()  # type: ignore[no-any-return]
    finally:
        child.join()


@dataclass
class ProbedRecord(Record):
    """Notes CPU, statements and transactions as well."""

    probe: Callable[[], tuple[float, ...]] = lambda: (0.0, 0.0, 0.0, 0.0)
    used: dict[str, list[tuple[float, ...]]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        """See `Record`."""
        before = self.probe()
        with super().timed(kind):
            yield
        self.used[kind].append(tuple(now - then for now, then in zip(self.probe(), before, strict=True)))

    def costs(self) -> dict[str, Cost]:
        """By kind."""
        found = {}
        for kind in KINDS:
            wall = spread(self.times_ms[kind])
            if wall is not None:
                client, backend, statements, transactions = map(list, zip(*self.used[kind], strict=True))
                found[kind] = Cost(wall, median(client), median(backend), median(statements), median(transactions))
        return found


def counters() -> Counter[str]:
    """Statements and transactions of this process from now on."""
    found: Counter[str] = Counter()

    def executed(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        found["statements"] += not statement.startswith("SET TRANSACTION")

    def begun(connection: Any) -> None:
        found["transactions"] += 1

    event.listen(Engine, "before_cursor_execute", executed)
    event.listen(Engine, "begin", begun)
    return found


def _costs(server: Server, url: str, seconds: float, epoch_s: float) -> tuple[dict[str, Cost], dict[str, int]]:
    record = ProbedRecord()
    agent = SimulatedAgent(url, pace_s=0.0, epoch_s=epoch_s, record=record)
    agent.run(time.monotonic() + 0.5)  # every kind of statement has been compiled once
    counted, pids = counters(), server.backends()

    def probe() -> tuple[float, ...]:
        server_ms = sum(map(running_ns, pids)) / 1e6
        return 1000 * time.process_time(), server_ms, counted["statements"], counted["transactions"]

    record.forget()
    record.used.clear()
    record.probe = probe
    agent.run(time.monotonic() + seconds)
    agent.drop_all()
    agent.leave()
    return record.costs(), dict(record.errors)


@contextmanager
def _reading() -> Iterator[list[Reading]]:
    """What the body takes; in the list afterwards."""
    found: list[Reading] = []
    process = psutil.Process()
    gc.collect()
    memory, wall, cpu = process.memory_info().rss, time.perf_counter(), time.process_time()
    yield found
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = _peak_bytes() - memory
    gc.collect()
    found.append(Reading(wall, cpu, (process.memory_info().rss - memory) / 2**20, peak / 2**20))


def _peak_bytes() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def _new_agent(url: str) -> tuple[Reading, Reading]:
    """Its first sampling reads all trials, its first rung all values reported at rungs."""
    storage = open_storage(url)
    stored = load_stored(storage.database, NAME)
    ledger = Ledger(storage, stored, build_plan(stored.config, stored.folder))
    read = ledger._pruning.reading(1)
    assert read is not None
    with _reading() as trials:
        storage.get_all_trials(stored.study_id, deepcopy=False)
    with _reading() as rungs, storage.database.read() as connection:
        read(connection)
    storage.close()
    return trials[0], rungs[0]


def _looks(url: str) -> Reading:
    database = Database(url)
    stored = load_stored(database, NAME)
    with _reading() as found:
        summarise(database, stored)
    database.close()
    return found[0]


def _device_seconds_ms(url: str, study_id: int, times: int = 5) -> float:
    database = Database(url)
    taken = []
    for _ in range(times):
        with database.write() as connection:
            began = time.perf_counter()
            device_seconds(connection, study_id)
            taken.append(1000 * (time.perf_counter() - began))
    database.close()
    return median(taken)
