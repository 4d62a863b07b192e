"""Samplers learn where memory runs out, and other trials count as before."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jobs
import optuna
import pytest
from jobs import took
from lab import ODD, Lab
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import select

from storage import _optuna, attempts, studies
from storage.database import Database
from storage.endings import Ending
from storage.trials import open_storage
from study._messages import Failed
from study._outcomes import ending_of

X = FloatDistribution(0.0, 1.0)
OOM = ending_of(Failed("oom", "out of memory", "out of memory"), "cpu", weights="")
PRUNED = Ending(TrialState.PRUNED, values=(0.4,))


def add(database: Database, study_id: int, x: float, curve: list[float], ending: Ending) -> int:
    """Run a trial to its end; its id."""
    claim = took(database, study_id)
    attempts.sample(database, claim, {"x": (x, X)})
    for epoch, value in enumerate(curve, start=1):
        attempts.report(database, claim, epoch, value)
    attempts.finish(database, claim, ending)
    return claim.trial_id


def history(database: Database, url: str, name: str, above: Ending) -> optuna.Study:
    """A study whose trials above 0.5 do better and longer than those below, but end so."""
    jobs.create(url, name, trials=100)
    study_id = studies.load_study(database, name).study_id
    for step in range(20):
        add(database, study_id, 0.02 * step, [0.3], PRUNED)
        add(database, study_id, 0.6 + 0.02 * step, [0.4, 0.5, 0.6], above)
    for x in (0.1, 0.2):
        add(database, study_id, x, [0.3, 0.4, 0.5, 0.6], Ending(TrialState.COMPLETE, values=(0.6,)))
    return optuna.load_study(study_name=name, storage=open_storage(url))


def proposals(study: optuna.Study, make: Callable[[int], BaseSampler], count: int) -> list[float]:
    """What samplers propose next, with seeds 0, 1, …"""
    found = []
    for seed in range(count):
        study.sampler = make(seed)
        trial = study.ask()
        found.append(trial.suggest_float("x", 0.0, 1.0))
        # Not `tell`: it calls the sampler's after_trial, which agents do not.
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    return found


def test_a_trial_out_of_memory_is_kept_as_optunas_own_set_constraint_keeps_it(
    url: str, database: Database, stock: Callable[[str], RDBStorage]
) -> None:
    jobs.create(url)
    ours = add(database, studies.load_study(database, "study").study_id, 0.5, [0.1], OOM)
    study = optuna.load_study(study_name="study", storage=stock(url))
    theirs = study.ask()
    theirs.set_constraint("memory", 1.0)
    study.tell(theirs, state=TrialState.PRUNED)

    first, second = study.trials
    assert first.state is second.state is TrialState.PRUNED
    assert first.constraints == second.constraints == {"memory": 1.0}
    table = _optuna.TRIAL_SYSTEM_ATTRIBUTES.c
    with database.read() as connection:
        rows = {row.trial_id: row for row in connection.execute(select(table.trial_id, table.key, table.value_json))}
    assert rows[ours][1:] == rows[theirs._trial_id][1:]
    assert json.loads(rows[ours].value_json) == 1.0


def test_tpe_turns_away_from_where_memory_ran_out(sqlite_url: str, opened: Callable[[str], Database]) -> None:
    database = opened(sqlite_url)
    pruned = history(database, sqlite_url, "pruned", above=PRUNED)
    out_of_memory = history(database, sqlite_url, "oom", above=OOM)

    def tpe(seed: int) -> TPESampler:
        return TPESampler(seed=seed, n_startup_trials=5, constant_liar=True)

    before, after = proposals(pruned, tpe, 30), proposals(out_of_memory, tpe, 30)

    assert before != after
    assert sum(x > 0.5 for x in before) > 20
    assert sum(x > 0.5 for x in after) < 5


def test_trials_without_a_constraint_are_feasible_for_tpe(
    sqlite_url: str, opened: Callable[[str], Database], stock: Callable[[str], RDBStorage]
) -> None:
    database = opened(sqlite_url)
    study = history(database, sqlite_url, "some", above=OOM)
    every = optuna.load_study(study_name="some", storage=study._storage)
    held = {trial.number: trial for trial in every.trials}
    copied = optuna.create_study(direction="maximize")
    for trial in held.values():
        if not trial.constraints:
            trial.set_constraint("memory", 0.0)
        copied.add_trial(trial)

    def tpe(seed: int) -> TPESampler:
        return TPESampler(seed=seed, n_startup_trials=5)

    assert proposals(study, tpe, 10) == proposals(copied, tpe, 10)
    assert optuna.load_study(study_name="some", storage=stock(sqlite_url)).best_value == 0.6


@pytest.mark.parametrize("kind", [TPESampler, GPSampler, NSGAIISampler, NSGAIIISampler])
def test_every_sampler_goes_on_without_a_warning(sqlite_url: str, opened: Callable[[str], Database], kind: Any) -> None:
    study = history(opened(sqlite_url), sqlite_url, "some", above=OOM)

    assert all(0 <= x <= 1 for x in proposals(study, lambda seed: kind(seed=seed), 3))


def test_a_workers_memory_error_is_read_as_a_constraint_by_stock_optuna(
    tmp_path: Path, stock: Callable[[str], RDBStorage]
) -> None:
    lab = Lab(tmp_path / "lab")
    moods = ["memory", "cuda memory", "nan", "calm"]
    space = ODD | {"odd.mood": {"choice": moods}}
    queue = [{"odd.mood": mood} for mood in moods]
    lab.create(queue=queue, space=space, budget={"trials": 4}, search={"pruner": "none"})

    lab.work(workers=1)

    trials = optuna.load_study(study_name="q", storage=stock(lab.url)).trials
    assert [trial.constraints for trial in trials] == [{"memory": 1.0}, {"memory": 1.0}, {}, {}]
    assert [trial.state.name for trial in trials] == ["PRUNED", "PRUNED", "PRUNED", "COMPLETE"]
