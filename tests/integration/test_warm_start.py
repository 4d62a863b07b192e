"""A new study begins with what an older one has found."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jobs
import optuna
import pytest
from lab import CNN, Lab
from optuna.trial import TrialState
from sqlalchemy import update

from storage import studies
from storage._optuna import INTERMEDIATE_VALUES, constraint_key
from storage.database import Database
from storage.errors import ConfigError, DatabaseError, StudyMissing
from storage.history import TrialRow, read_trials
from storage.trials import open_storage
from study import keeping
from study.leaders import leaders
from study.loading import load_config
from study.plan import build_plan
from study.stored import create_or_update, load_stored
from study.summary import Summary, ranked, summarise
from study.warm_start import ORIGIN, Source, is_history

SPACE = CNN | {"optimizer": {"choice": ["sgd", "adam"]}, "lr": {"float": [1e-3, 1e-1], "log": True}}
FIXED = {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.01, "batch_size": 32}
FIXED |= {
    "schedule": "constant",
    "normalize": "none",
    "flip_horizontal": False,
    "flip_vertical": False,
    "rotate": False,
}
ENQUEUED = [{"optimizer": "sgd", "lr": 0.09}, {"optimizer": "adam", "lr": 0.004}, {"optimizer": "sgd", "lr": 0.002}]


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of three trials, which a fourth would follow."""
    lab = Lab(tmp_path_factory.mktemp("search") / "lab")
    lab.create("old", queue=ENQUEUED, space=SPACE, budget={"trials": 3}, search={"pruner": "none"})
    lab.work("old")
    database = Database(lab.url)
    keeping.backup_study(database, "old", lab.folder / "old.db")
    database.close()
    return lab.folder / "old.db"


@pytest.fixture
def lab(tmp_path: Path, backup: Path) -> Iterator[Lab]:
    """Where that search has been made."""
    found = Lab(tmp_path / "lab")
    keeping.restore_study(backup, found.url, None)
    yield found
    found.clean_up()


@pytest.fixture
def server_lab(tmp_path: Path, backup: Path, url: str) -> Iterator[Lab]:
    """Where that search has been made, on each kind of database."""
    found = Lab(tmp_path / "lab", url)
    keeping.restore_study(backup, url, None)
    yield found
    found.clean_up()


def begin(lab: Lab, source: Source, name: str = "new", **sections: Any) -> list[str]:
    """Create a study from the old one; what was told."""
    config, folder = load_config(lab.study(name, **{"space": SPACE, "search": {"pruner": "none"}, **sections}))
    told: list[str] = []
    create_or_update(lab.url, build_plan(config, folder), source=source, tell=told.append)
    return told


def asked(lab: Lab, name: str = "new") -> list[dict[str, Any]]:
    """The hyperparameters of the study's waiting trials, in their order."""
    storage = open_storage(lab.url)
    trials = optuna.load_study(study_name=name, storage=storage).get_trials(states=[TrialState.WAITING])
    storage.close()
    return [trial.system_attrs["fixed_params"] for trial in trials]


def best_of(lab: Lab, name: str = "old") -> list[TrialRow]:
    return leaders(lab.trials(name), "maximize")


def summary_of(lab: Lab, name: str = "new") -> Summary:
    database = Database(lab.url)
    try:
        return summarise(database, load_stored(database, name))
    finally:
        database.close()


def test_the_best_configurations_wait_best_first_and_are_trained_first_within_the_budget(lab: Lab) -> None:
    assert begin(lab, Source("old", top=2)) == []
    best = [dict(row.parameters) for row in best_of(lab)[:2]]
    assert asked(lab) == best
    assert "2 best of study old" in str(summary_of(lab).origin)

    lab.work("new")

    trials = lab.trials("new")
    assert [dict(trial.parameters) for trial in trials[:2]] == best
    assert [trial.attributes[ORIGIN] for trial in trials[:2]] == [f"old/{row.number}" for row in best_of(lab)[:2]]
    assert (len(trials), all(trial.ours for trial in trials)) == (4, True)


def test_all_are_taken_where_fewer_are_there(lab: Lab) -> None:
    begin(lab, Source("old"))

    assert len(asked(lab)) == 3


def test_a_second_launch_takes_nothing_even_when_the_older_study_is_gone(lab: Lab) -> None:
    begin(lab, Source("old"))
    database = Database(lab.url)
    keeping.delete_study(database, "old")
    database.close()

    assert begin(lab, Source("old")) == []

    assert len(asked(lab)) == 3


def test_a_study_that_exists_takes_nothing_and_says_so(lab: Lab) -> None:
    lab.create("new", space=SPACE, search={"pruner": "none"})

    (line,) = begin(lab, Source("old"))

    assert "takes nothing from 'old'" in line
    assert asked(lab) == []


def test_values_that_the_new_space_cannot_have_are_left_out_and_told(lab: Lab) -> None:
    told = begin(lab, Source("old"), space=SPACE | {"optimizer": "sgd", "lr": {"float": [3e-3, 1e-2]}})

    assert [parameters["lr"] for parameters in asked(lab) if "lr" in parameters] == [0.004]
    assert not any("optimizer" in parameters for parameters in asked(lab))
    assert any(line.startswith('optimizer "adam" is left out: it is "sgd" here (trial ') for line in told)


def test_parameters_that_the_new_space_does_not_have_are_left_out_and_told(lab: Lab) -> None:
    told = begin(lab, Source("old", top=1), space={"model": "mlp", "optimizer": "sgd", "lr": SPACE["lr"]})

    (parameters,) = asked(lab)
    assert "lr" in parameters
    assert not any(name.startswith("cnn.") for name in parameters)
    assert any(line.startswith("cnn.width 8 is left out: this space does not have it") for line in told)


def test_a_constant_of_the_older_study_is_kept_where_the_new_one_searches_it(lab: Lab) -> None:
    begin(lab, Source("old", top=1), space=SPACE | {"cnn.width": {"int": [4, 16]}})

    assert asked(lab)[0]["cnn.width"] == CNN["cnn.width"]


def test_without_anything_in_common_no_study_is_created(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="nothing in common"):
        begin(lab, Source("old"), space=FIXED | {"model": "mlp"})

    with pytest.raises(StudyMissing):
        lab.record("new")


def test_an_older_study_that_is_missing_or_has_no_complete_trial_is_refused(lab: Lab) -> None:
    lab.create("empty")

    with pytest.raises(StudyMissing, match="no study 'odl'"):
        begin(lab, Source("odl"))
    with pytest.raises(ConfigError, match="no complete trial"):
        begin(lab, Source("empty"))


def past(lab: Lab, name: str = "new") -> list[TrialRow]:
    """The study's trials that ended in an older one."""
    return [row for row in lab.trials(name) if is_history(row)]


def test_history_is_what_the_older_study_found_and_never_counts_or_wins(lab: Lab) -> None:
    told = begin(lab, Source("old", top=1, history=True), budget={"trials": 2})
    assert told == ["history: 3 of 3 trials are taken"]
    found, theirs = past(lab), lab.trials("old")
    assert [(row.state, row.all_values, row.values) for row in found] == [
        (row.state, row.all_values, row.values) for row in theirs
    ]
    assert [row.parameters for row in found] == [row.parameters for row in theirs]
    assert [(row.started_at, row.ended_at) for row in found] == [(row.started_at, row.ended_at) for row in theirs]
    waits = summary_of(lab)
    assert (waits.best, waits.started, waits.finished, waits.others, waits.history) == (None, 0, 0, 4, 3)

    lab.work("new")

    done = summary_of(lab)
    assert (done.started, done.finished, done.history, len(lab.trials("new"))) == (2, 2, 3, 5)
    assert done.best is not None
    assert done.best.number >= 3
    assert [is_history(row) for row in ranked(done)] == [False, False, True, True, True]
    assert "1 best of study old and 3 of its trials as history" in str(done.origin)


def test_history_is_the_same_on_every_database(server_lab: Lab) -> None:
    begin(server_lab, Source("old", top=1, history=True))

    found, theirs = past(server_lab), server_lab.trials("old")
    assert [(row.state, row.all_values, row.values, row.parameters) for row in found] == [
        (row.state, row.all_values, row.values, row.parameters) for row in theirs
    ]
    assert [(row.started_at, row.ended_at) for row in found] == [(row.started_at, row.ended_at) for row in theirs]
    assert len(asked(server_lab)) == 1


def test_an_optuna_sampler_sees_the_history_in_the_new_space(lab: Lab) -> None:
    begin(lab, Source("old", history=True), space=SPACE | {"lr": {"float": [1e-4, 0.5], "log": True}})
    storage = open_storage(lab.url)

    trials = optuna.load_study(study_name="new", storage=storage).get_trials(states=[TrialState.COMPLETE])
    storage.close()

    assert {str(trial.distributions["lr"]) for trial in trials} == {
        "FloatDistribution(high=0.5, log=True, low=0.0001, step=None)"
    }
    assert [trial.number for trial in trials] == [0, 1, 2]


def test_history_outside_of_the_new_space_is_not_taken_and_counted(lab: Lab) -> None:
    told = begin(lab, Source("old", history=True), space=SPACE | {"lr": {"float": [3e-3, 1e-2], "log": True}})

    assert told[-1] == "history: 1 of 3 trials are taken (2 do not fit the new space)"
    assert [row.parameters["lr"] for row in past(lab)] == [0.004]


def test_what_the_older_study_fixed_and_the_new_one_searches_is_history(lab: Lab) -> None:
    begin(lab, Source("old", history=True), space=SPACE | {"cnn.width": {"int": [4, 16]}})

    assert [row.parameters["cnn.width"] for row in past(lab)] == [CNN["cnn.width"]] * 3


def test_what_the_older_study_searched_and_the_new_one_fixes_is_history_where_it_agrees(lab: Lab) -> None:
    begin(lab, Source("old", history=True), space=SPACE | {"optimizer": "adam"})

    assert [row.parameters["lr"] for row in past(lab)] == [0.004]
    assert "optimizer" not in past(lab)[0].parameters


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"training": {"epochs": 3}}, "training.epochs is 3 here, 2 there"),
        ({"study": {"metric": "log_loss"}}, "the objective is log_loss (minimize) here, "),
        ({"study": {"metrics": ["balanced_accuracy", "parameters"]}}, "the objective is "),
        ({"data": {"split": {"validation": 0.3, "test": 0.1}}}, "the events or their split are others"),
    ],
)
def test_results_that_mean_something_else_are_no_history(lab: Lab, sections: dict[str, Any], reason: str) -> None:
    told = begin(lab, Source("old", history=True), **sections)

    assert told[-1].startswith(f"history: 0 of 3 trials are taken ({reason}")
    assert (past(lab), len(asked(lab))) == ([], 3)


def test_history_carries_the_constraints_of_the_new_study(lab: Lab) -> None:
    begin(lab, Source("old", history=True), constraints={"max_parameters": 1})
    storage = open_storage(lab.url)

    trials = optuna.load_study(study_name="new", storage=storage).get_trials(states=[TrialState.COMPLETE])
    storage.close()

    sizes = [row.attributes["parameters"] for row in lab.trials("old")]
    assert [trial.system_attrs[constraint_key("parameters")] for trial in trials] == [size - 1 for size in sizes]


def test_a_second_launch_imports_no_history_again(lab: Lab) -> None:
    begin(lab, Source("old", history=True))

    begin(lab, Source("old", history=True))

    assert len(past(lab)) == 3


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_a_trial_is_not_stopped_because_those_of_the_older_study_were_better(lab: Lab, pruner: str) -> None:
    options = {"name": pruner} | ({"n_startup_trials": 1} if pruner == "median" else {})
    begin(lab, Source("old", top=1, history=True), search={"pruner": options}, budget={"trials": 1})
    database = Database(lab.url)
    with database.write() as connection:
        raised = update(INTERMEDIATE_VALUES).values(intermediate_value=2.0)
        connection.execute(raised)
    database.close()

    lab.work("new")

    assert [row.state for row in lab.trials("new") if row.ours] == [TrialState.COMPLETE]


def test_the_older_study_may_be_in_another_database(lab: Lab) -> None:
    other = Lab(lab.folder.parent / "other")
    shutil.copy(lab.folder / "events.h5", other.folder)

    told = begin(other, Source("old", history=True, storage=lab.url))

    assert told == ["history: 3 of 3 trials are taken"]
    assert asked(other) == [dict(row.parameters) for row in best_of(lab)]
    assert [row.all_values for row in past(other)] == [row.all_values for row in lab.trials("old")]


def test_a_database_that_is_missing_is_not_made(lab: Lab) -> None:
    with pytest.raises(DatabaseError, match="there is no database"):
        begin(lab, Source("old", storage=f"sqlite:///{lab.folder}/nothing.db"))

    assert not (lab.folder / "nothing.db").exists()


def test_of_eight_processes_that_create_a_study_one_adds_its_first_trials(
    url: str, database: Database, processes: Any
) -> None:
    start = jobs.moment()

    done = [processes.submit(jobs.create_together, url, "study", start, 2) for _ in range(8)]

    assert sorted(job.result() for job in done) == [False] * 7 + [True]
    rows = read_trials(database, studies.load_study(database, "study").study_id)
    assert [(row.number, row.state, row.ours) for row in rows] == [(n, TrialState.WAITING, False) for n in (0, 1)]
