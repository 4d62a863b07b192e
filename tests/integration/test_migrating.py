"""A study's search space changes: its old trials stay what they were, and samplers go on learning from them."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from jobs import took
from lab import CNN, Lab
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import insert, select

from storage import agents, attempts
from storage.claims import Refusal
from storage.clock import utc_now
from storage.database import Database
from storage.errors import ConfigError, SpaceMigrated
from storage.tables import AGENTS, CHANGES
from storage.trials import open_storage
from study import control
from study._ledger import Ledger
from study.agent import Agent
from study.confirmation.prepare import prepare_confirmation
from study.export import export_trials
from study.loading import load_config
from study.migrating import migrate
from study.plan import build_plan
from study.stored import create_or_update, load_stored

LR = {"float": [1e-3, 1e-1], "log": True}
Stock = Callable[[str], RDBStorage]
SPACE = CNN | {"cnn.width": {"int": [4, 8]}, "optimizer": {"choice": ["sgd", "adam"]}, "lr": LR}
MIGRATIONS: dict[str, dict[str, Any]] = {
    "a wider range": {"lr": {"float": [1e-4, 1.0], "log": True}},
    "a narrower range": {"lr": {"float": [0.009, 0.011], "log": True}},
    "another scale": {"lr": {"float": [1e-3, 1e-1]}},
    "a range that becomes a choice": {"cnn.width": {"choice": [4, 8, 16]}},
    "one more choice": {"optimizer": {"choice": ["adam", "adamw", "sgd"]}},
    "one choice less": {"optimizer": {"choice": ["adam", "adamw"]}},
    "a parameter that becomes fixed": {"lr": 0.02},
    "a decision that becomes fixed, without its condition's parameters": {"optimizer": "adam"},
    "a parameter that becomes free": {"cnn.depth": {"int": [1, 3]}},
    "a parameter that becomes free, without its old value": {"batch_size": {"choice": [16, 64]}},
    "one more family": {"model": {"choice": ["cnn", "mlp"]}},
}


@pytest.fixture
def server_lab(tmp_path: Path, url: str) -> Iterator[Lab]:
    found = Lab(tmp_path / "lab", url)
    yield found
    found.clean_up()


@pytest.fixture
def database(lab: Lab) -> Iterator[Database]:
    found = Database(lab.url)
    yield found
    found.close()


SECTIONS: dict[str, Any] = {
    "budget": {"trials": 3},
    "training": {"epochs": 1},
    "search": {"pruner": "none", "sampler": {"name": "tpe", "n_startup_trials": 1, "random_share": 0}},
}
QUEUE = [
    {"cnn.width": 4, "optimizer": "sgd", "lr": 0.01},
    {"cnn.width": 8, "optimizer": "adam", "lr": 0.001},
    {"cnn.width": 5, "optimizer": "sgd", "lr": 0.1},
]


def searched(lab: Lab) -> None:
    """A study with three trials, of known hyperparameters."""
    lab.create(space=SPACE, queue=QUEUE, **SECTIONS)
    lab.work(workers=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    found = Lab(tmp_path_factory.mktemp("trained") / "lab")
    searched(found)
    shutil.copy(found.folder / "study.db", found.folder / "before.db")
    yield found
    found.clean_up()


@pytest.fixture
def old(trained: Lab) -> Lab:
    """The study with its three trials, as if nothing had been done with it since."""
    for path in trained.folder.glob("study.db*"):
        path.unlink()
    shutil.copy(trained.folder / "before.db", trained.folder / "study.db")
    return trained


@pytest.fixture
def old_database(old: Lab) -> Iterator[Database]:
    found = Database(old.url)
    yield found
    found.close()


def resolved(lab: Lab, database: Database) -> list[dict[str, Any]]:
    stored = load_stored(database, "q")
    space = build_plan(stored.config, stored.folder).space
    return [space.resolved(trial.parameters) for trial in lab.trials()]


def to(lab: Lab, changed: Mapping[str, Any]) -> Path:
    return lab.study(space=SPACE | dict(changed), **SECTIONS)


@pytest.mark.parametrize("changed", MIGRATIONS.values(), ids=MIGRATIONS)
def test_an_old_trial_is_rebuilt_exported_and_learned_from_after(
    old: Lab, old_database: Database, stock: Stock, changed: Mapping[str, Any], tmp_path: Path
) -> None:
    before = resolved(old, old_database)

    migrate(old_database, "q", to(old, changed), [])

    assert resolved(old, old_database) == before
    for number in range(3):
        export_trials(old_database, "q", tmp_path / f"best-{number}", trial=number)
    study = optuna.load_study(study_name="q", storage=stock(old.url))
    assert [trial.params["lr"] for trial in study.trials] == [0.01, 0.001, 0.1]
    assert study.best_trial.params == study.trials[study.best_trial.number].params

    config, folder = load_config(old.folder / "q.yaml", ["budget.trials=5"], environment={})
    create_or_update(old.url, build_plan(config, folder))
    assert old.work(workers=1) is Refusal.DONE
    assert [(trial.state, trial.message) for trial in old.trials()[3:]] == [(TrialState.COMPLETE, None)] * 2


def test_it_holds_on_every_database_that_old_values_get_the_new_distribution(server_lab: Lab, stock: Stock) -> None:
    server_lab.create(space=SPACE, queue=QUEUE)
    database, storage = Database(server_lab.url), open_storage(server_lab.url)
    stored = load_stored(database, "q")
    ledger = Ledger(storage, stored, build_plan(stored.config, stored.folder))
    for _ in QUEUE:
        ledger.begin(took(database, stored.study_id), "cpu")
    storage.close()

    done = migrate(database, "q", None, ["space.optimizer={choice: [adamw, adam, sgd]}", "space.lr=0.02"])

    database.close()
    trials = optuna.load_study(study_name="q", storage=stock(server_lab.url)).trials
    assert done.rewritten == 3
    assert [trial.params["optimizer"] for trial in trials] == ["sgd", "adam", "sgd"]
    assert {trial.distributions["optimizer"].choices for trial in trials} == {("adamw", "adam", "sgd")}  # type: ignore[attr-defined]


def test_stock_tpe_goes_on_in_a_space_that_grew(old: Lab, old_database: Database, stock: Stock) -> None:
    changed = {"optimizer": {"choice": ["adamw", "adam", "sgd"]}, "cnn.depth": {"int": [1, 3]}}
    migrate(old_database, "q", to(old, changed), [])
    study = optuna.load_study(
        study_name="q", storage=stock(old.url), sampler=TPESampler(n_startup_trials=1, multivariate=True)
    )

    trial = study.ask()
    values = (
        trial.suggest_categorical("optimizer", ["adamw", "adam", "sgd"]),
        trial.suggest_int("cnn.depth", 1, 3),
        trial.suggest_int("cnn.width", 4, 8),
    )

    assert set(trial.relative_params) >= {"optimizer", "cnn.depth", "cnn.width"}
    assert trial.params == dict(zip(("optimizer", "cnn.depth", "cnn.width"), values, strict=True))


def test_an_interrupted_trial_goes_on_with_what_it_was_begun_with(lab: Lab, database: Database) -> None:
    lab.create(space=SPACE, queue=QUEUE[:1])
    stored = load_stored(database, "q")
    storage = open_storage(lab.url)
    claim = took(database, stored.study_id)
    Ledger(storage, stored, build_plan(stored.config, stored.folder)).begin(claim, "cpu")
    attempts.hand_back(database, claim)
    before = resolved(lab, database)

    migrate(database, "q", None, ["space.optimizer={choice: [adam, adamw]}", "space.lr=0.02"])

    stored = load_stored(database, "q")
    again = took(database, stored.study_id)
    job = Ledger(storage, stored, build_plan(stored.config, stored.folder)).begin(again, "cpu")
    storage.close()
    assert (again.number, again.attempt) == (0, 2)
    assert job is not None
    assert {name: job.sampled[name] for name in QUEUE[0]} == QUEUE[0]
    assert resolved(lab, database) == before


def test_who_changed_which_key_is_recorded_and_a_dry_run_changes_nothing(old: Lab, old_database: Database) -> None:
    before, config = old.trials(), old.record().config

    would = migrate(old_database, "q", None, ["space.lr={float: [0.005, 0.1], log: true}"], dry_run=True)
    assert (would.done, would.rewritten, would.outside) == (False, 2, {"lr": 1})
    assert (old.trials(), old.record().config) == (before, config)

    migrate(old_database, "q", None, ["space.lr={float: [0.005, 0.1], log: true}", "space.optimizer=null"])
    with old_database.read() as connection:
        rows = connection.execute(select(CHANGES.c.key, CHANGES.c.old, CHANGES.c.new, CHANGES.c.changed_by)).all()
    assert [row.key for row in rows] == ["space.lr", "space.optimizer"]
    assert (rows[1].old, rows[1].new) == ('{"choice": ["sgd", "adam"]}', "null")
    assert {row.changed_by for row in rows} == {agents.user_and_host()}


def test_it_is_refused_while_an_agent_is_at_work_and_not_because_of_one_that_has_vanished(
    lab: Lab, database: Database
) -> None:
    lab.create(space=SPACE)
    study_id = lab.record().study_id
    agent = agents.register_agent(database, study_id, alive_s=60)

    with pytest.raises(ConfigError, match=r"has agents at work on .*`studyhall stop q`"):
        migrate(database, "q", None, ["space.lr=0.02"])

    agents.leave(database, agent)
    gone = {"agent_id": "gone", "study_id": study_id, "host": "h", "machine_id": "m", "pid": 1, "alive": True}
    with database.write() as connection:
        connection.execute(insert(AGENTS).values(gone | {"started_at": utc_now(-300), "seen_at": utc_now(-200)}))
    assert migrate(database, "q", None, ["space.lr=0.02"]).done


def test_an_agent_with_the_former_space_ends_before_it_claims_a_trial(lab: Lab, database: Database) -> None:
    lab.create(space=SPACE)
    agent = Agent(lab.url, "q", workers=1, devices="cpu")
    migrate(database, "q", None, ["space.lr=0.02"])

    with pytest.raises(SpaceMigrated, match="start this agent again"):
        agent.run()

    assert lab.record().started == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "mlp"}, r"trial 0 could not be rebuilt in this space"),
        ({"cnn.wdth": 8}, "unknown key space.cnn.wdth"),
    ],
)
def test_a_space_that_does_not_suit_changes_nothing(
    old: Lab, old_database: Database, changed: Mapping[str, Any], message: str
) -> None:
    before = old.record().config
    sets = [f"space.{name}={value}" for name, value in changed.items()]
    sets += [f"space.{name}=null" for name in SPACE if name.startswith("cnn.") and "model" in changed]

    with pytest.raises(ConfigError, match=message):
        migrate(old_database, "q", None, sets)

    assert old.record().config == before


def test_a_file_that_differs_in_other_keys_is_refused_and_they_are_named(lab: Lab, database: Database) -> None:
    lab.create(space=SPACE)
    other = lab.study("other", space=SPACE | {"lr": 0.02}, training={"epochs": 7}, budget={"trials": 9})

    with pytest.raises(ConfigError, match=r"training\.epochs: 2 in the database, 7 given") as refused:
        migrate(database, "q", other, [])

    assert "budget.trials" not in str(refused.value)


def test_a_trial_that_waits_with_a_value_outside_is_named(lab: Lab, database: Database) -> None:
    lab.create(space=SPACE)
    control.enqueue_trials(database, "q", ["lr=0.05"])

    with pytest.raises(ConfigError, match=r"trial 0 waits to be run with lr = 0\.05"):
        migrate(database, "q", None, ["space.lr={float: [0.001, 0.01]}"])

    assert lab.trials()[0].state is TrialState.WAITING


def test_a_trial_that_the_new_space_would_train_otherwise_is_not_confirmed(old: Lab, old_database: Database) -> None:
    migrate(old_database, "q", None, ["space.lr=0.02"])

    with pytest.raises(ConfigError, match=r"has lr = 0\.\d+, which the space of 'q' has no longer"):
        prepare_confirmation(old_database, old.url, load_stored(old_database, "q"), top=3, seeds=1)
