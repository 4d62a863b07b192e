"""A trial is trained again alone and compared with its record; what has changed is named."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from lab import CNN, ODD, Lab, until
from optuna.trial import TrialState
from safetensors.torch import load_file, save_file
from sqlalchemy import update

from storage import _optuna
from storage.database import Database
from storage.errors import ConfigError, StudyMissing
from storage.history import TrialRow, read_trials
from study import keeping
from study._retraining import Retrained, differences, epochs_of, retrain_here
from study._training import load_trial_data
from study.agent import Agent
from study.curves import read_history
from study.plan import Plan, build_plan
from study.reproduction import reproduce
from study.stored import load_stored
from study.weights import one_thread

NAMES = ("complete", "pruned", "half", "resumed")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A study of one trial for each way in which a trial may have come about."""
    lab = Lab(tmp_path_factory.mktemp("trained") / "lab")
    lab.create("complete", space=CNN | {"cnn.dropout": 0.3}, budget={"trials": 1})
    lab.create("pruned", space=CNN, budget={"trials": 1}, search={"pruner": {"name": "threshold", "lower": 2.0}})
    lab.create("half", space=CNN, budget={"trials": 1}, training={"precision": "bf16", "deterministic": False})
    lab.create("resumed", space=ODD | {"odd.pause": 0.1}, budget={"trials": 1}, training={"epochs": 4})
    lab.work("complete", workers=1)
    lab.work("pruned", workers=1)
    lab.work("half", workers=1)
    agent = Agent(lab.url, "resumed", workers=1, devices="cpu")
    ending = Thread(target=lambda: until(lambda: bool(lab.trials("resumed")[:1] and lab.trials("resumed")[0].values)))
    ending.start()
    stopper = Thread(target=lambda: (ending.join(), agent.end()))
    stopper.start()
    agent.run()
    stopper.join()
    lab.work("resumed", workers=1)
    database = Database(lab.url)
    for name in NAMES:
        keeping.backup_study(database, name, lab.folder / f"{name}.db")
    database.close()
    return lab


@pytest.fixture
def database(trained: Lab, tmp_path: Path) -> Iterator[Database]:
    """A copy of the study `complete`, to damage."""
    url = f"sqlite:///{tmp_path}/copy.db"
    keeping.restore_study(trained.folder / "complete.db", url, None)
    found = Database(url)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("name", "state", "epochs", "attempts"),
    [
        ("complete", "COMPLETE", 2, 1),
        ("pruned", "PRUNED", 1, 1),
        ("half", "COMPLETE", 2, 1),
        ("resumed", "COMPLETE", 4, 2),
    ],
)
def test_a_trial_is_equal_however_it_came_about(
    trained: Lab, name: str, state: str, epochs: int, attempts: int
) -> None:
    before = trained.trials(name)
    database = Database(trained.url)
    told: list[int] = []
    found = reproduce(database, name, 0, tell=told.append)
    database.close()

    assert (found.differences, found.equal) == ([], True)
    assert (found.state, found.epochs, found.attempts) == (state, epochs, attempts)
    assert told == list(range(1, epochs + 1))
    assert not any(condition.differs or condition.recorded is None for condition in found.environment)
    assert found.missing == ([] if state == "COMPLETE" else ["the kept weights"])
    assert trained.trials(name) == before


@dataclass(frozen=True)
class Known:
    """The complete trial's record, and a training that is equal to it."""

    plan: Plan
    row: TrialRow
    history: Sequence[Mapping[str, Any]]
    again: Retrained

    def differences(self, **changed: Any) -> list[tuple[str, str]]:
        """In what the training differs from the record with these changes."""
        history = changed.pop("history", self.history)
        found = differences(self.plan, replace(self.row, **changed), history, self.again)
        return [(difference.part, difference.text) for difference in found]


@pytest.fixture(scope="module")
def known(trained: Lab) -> Known:
    database = Database(trained.url)
    stored = load_stored(database, "complete")
    (row,) = read_trials(database, stored.study_id)
    history = read_history(database, row.trial_id)
    database.close()
    plan = build_plan(stored.config, stored.folder)
    data = load_trial_data(plan, stored.facts)
    with one_thread():
        again = retrain_here(plan, stored.facts, row, data, "cpu", epochs=epochs_of(row))
    return Known(plan, row, history, again)


def test_the_first_epoch_that_differs_is_named_with_by_how_much(known: Known) -> None:
    assert known.differences() == []
    second = dict(known.history[1])
    second["training_loss"] += 0.5

    ((part, text),) = known.differences(history=[known.history[0], second])

    assert part == "epochs"
    assert text.startswith("epoch 2 is the first that differs: training_loss ")
    assert text.endswith("now, -0.5")


def test_changed_reported_and_final_values_and_numbers_of_epochs_are_named(known: Known) -> None:
    (curve, value) = known.differences(values={1: 0.125, 2: 0.125}, value=0.125)
    (count,) = known.differences(values={**known.row.values, 3: 0.5})

    assert curve[1].startswith("epoch 1 is the first that differs: reported accuracy 0.125 on record")
    assert curve[1].endswith("(1 later epochs differ too)")
    assert (value[0], value[1].startswith("accuracy 0.125 on record")) == ("value", True)
    assert count == ("epochs", "3 epochs on record, 2 now")


def test_a_changed_file_of_weights_and_its_tensors_are_named(known: Known, tmp_path: Path) -> None:
    file = tmp_path / "changed.safetensors"
    tensors = load_file(str(known.row.weights))
    name = sorted(tensors)[0]
    tensors[name] = tensors[name] + 0.25
    save_file(tensors, file)

    ((part, text),) = known.differences(weights=str(file))

    assert part == "weights"
    assert "has changed since it was recorded" in text
    assert f"1 of {len(tensors)} tensors, {name} by up to 0.25" in text


def test_a_file_of_weights_that_is_gone_or_damaged_is_named(known: Known, tmp_path: Path) -> None:
    file = tmp_path / "damaged.safetensors"
    file.write_bytes(b"nothing")

    assert known.differences(weights=str(file))[0][1].endswith("it cannot be read as weights")
    assert known.differences(weights=str(tmp_path / "gone"))[0][1].endswith("is missing")


def test_weights_that_were_not_kept_are_compared_by_their_digest(known: Known) -> None:
    other = {**known.row.attributes, "weights_digest": "0" * 64}

    assert known.differences(weights=None) == []
    ((part, text),) = known.differences(weights=None, attributes=other)
    assert (part, text.startswith("digest 0000000000000000… on record")) == ("weights", True)


def test_another_environment_is_named_and_one_that_is_not_on_record_too(database: Database) -> None:
    attribute(database, "torch", "1.0.0")
    attribute(database, "instructions", None)

    found = reproduce(database, "complete", 0)

    assert [condition.name for condition in found.environment if condition.differs] == ["torch"]
    assert [condition.name for condition in found.environment if condition.recorded is None] == ["instructions"]


def test_only_a_trial_that_has_ended_with_epochs_is_reproduced_on_a_device_that_is_there(database: Database) -> None:
    with pytest.raises(StudyMissing, match="has no trial 7"):
        reproduce(database, "complete", 7)
    with pytest.raises(ConfigError, match="--device names another one"):
        reproduce(database, "complete", 0, device="cuda:7")
    with database.write() as connection:
        connection.execute(update(_optuna.TRIALS).values(state=TrialState.RUNNING))
    with pytest.raises(ConfigError, match="is RUNNING; it must have ended"):
        reproduce(database, "complete", 0)


def attribute(database: Database, name: str, value: str | None) -> None:
    table = _optuna.TRIAL_USER_ATTRIBUTES
    with database.write() as connection:
        if value is None:
            connection.execute(table.delete().where(table.c.key == name))
        else:
            connection.execute(update(table).where(table.c.key == name).values(value_json=json.dumps(value)))
