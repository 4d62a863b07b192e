"""What spawned processes do in tests; each waits for one moment, so that all begin together."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from storage import attempts, claims, studies
from storage._schema import ensure_tables
from storage.attempts import Claim
from storage.claims import Refusal
from storage.database import Database, database_url
from storage.endings import Ending
from storage.hdf5 import EventFile
from storage.ingest import ingest
from storage.studies import Budget

HEAD_START_S = 0.3
SAME: dict[str, tuple[float, BaseDistribution]] = {
    "x": (1.0, IntDistribution(0, 3)),
    "colour": (1.0, CategoricalDistribution(["red", "green"])),
}


def moment() -> float:
    """When all shall begin: once each process has its task."""
    return time.time() + HEAD_START_S


def _wait(start: float) -> None:
    time.sleep(max(0.0, start - time.time()))


def take(database: Database, study_id: int, *, lease_s: float = 60.0, retries: int = 3) -> Claim | Refusal:
    """Claim one trial."""
    return claims.claim(database, study_id, agent_id="agent", slot=0, lease_s=lease_s, lost_retries=retries)


def took(database: Database, study_id: int, *, lease_s: float = 60.0, retries: int = 3) -> Claim:
    """Claim one trial, which there must be."""
    claimed = take(database, study_id, lease_s=lease_s, retries=retries)
    if isinstance(claimed, Refusal):
        raise LookupError(claimed)
    return claimed


def create(
    url: str,
    name: str = "study",
    *,
    trials: int | None = 10,
    seconds: float | None = None,
    wall: float | None = None,
    queue: int = 0,
) -> bool:
    """Create a study with so many waiting trials; whether this call created it."""
    return studies.create_study(
        url,
        name,
        directions=["maximize"],
        metric_names=["accuracy"],
        config={"study": {"name": name}},
        facts={"count": 3},
        budget=Budget(trials, seconds, wall),
        trials=[create_trial(state=TrialState.WAITING)] * queue,
    )


def create_together(url: str, name: str, start: float, queue: int = 0) -> bool:
    """Create a study at the same moment as others."""
    _wait(start)
    return create(url, name, queue=queue)


def create_tables_together(url: str, start: float) -> None:
    """Create the tables at the same moment as others."""
    database = Database(url)
    _wait(start)
    ensure_tables(database)
    database.close()


def run_trials(url: str, study_id: int, start: float, hand_back_every: int = 0) -> list[Claim]:
    """Claim and finish trials until none is left, handing some of the first attempts back; all claims."""
    database = Database(url)
    done: list[Claim] = []
    _wait(start)
    while not isinstance(claimed := take(database, study_id), Refusal) or claimed is Refusal.WAIT:
        if isinstance(claimed, Refusal):
            time.sleep(0.02)
            continue
        done.append(claimed)
        if claimed.attempt == 1 and hand_back_every and len(done) % hand_back_every == 0:
            attempts.hand_back(database, claimed)
            continue
        attempts.report(database, claimed, 1, 0.25)
        attempts.finish(database, claimed, Ending(TrialState.COMPLETE, values=(0.5,)))
    database.close()
    return done


def sample_once(url: str, claim: Claim, start: float) -> bool:
    """Give a trial the parameters x = 1, colour = green, unless another has them, at the same moment as others."""
    database = Database(url)
    _wait(start)
    written = attempts.sample(database, claim, SAME, once=True)
    database.close()
    return written


def run_stock_trials(url: str, name: str, start: float, count: int) -> Sequence[int]:
    """Ask a stock Optuna for trials and tell the values of every second one; their numbers."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name=name, storage=stock_storage(url), sampler=optuna.samplers.RandomSampler(1))
    _wait(start)
    numbers = []
    for turn in range(count):
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        if turn % 2:
            study.tell(trial, 0.125)
        numbers.append(trial.number)
    return numbers


def stock_storage(url: str) -> RDBStorage:
    """Optuna's own storage, as any Optuna program would open it."""
    parsed = database_url(url)
    wait = {"timeout": 60.0} if parsed.get_backend_name() == "sqlite" else {}
    return RDBStorage(parsed.render_as_string(hide_password=False), engine_kwargs={"connect_args": wait})


def convert(path: Path, cache: Path, out: Any) -> None:
    """Convert a file of events; tell what came out, and whether this process has made it."""
    steps: list[str] = []
    found = ingest(EventFile.open(path), cache, progress=lambda doing, *_: steps.append(doing))
    out.put((found.events()[:].tobytes(), "converting" in steps))
