"""What each trial carries: attributes that become axes, and files that the dashboard shows."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from lab import CNN, ODD, Lab, until
from optuna.artifacts import get_all_artifact_meta
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from PIL import Image

from storage.database import Database
from storage.epochs import read_epochs
from storage.trials import open_storage
from study import keeping
from study._artifact_names import KINDS, RECORD, REPORT, artifact_id
from study.artifacts import StudyArtifacts
from study.curves import read_history
from study.stored import load_stored

NAMES = ["1-report.png", "2-curve.csv", "3-config.yaml", "4-log.txt", "5-diagnostics.json"]


@pytest.fixture
def database(lab: Lab) -> Iterator[Database]:
    found = Database(lab.url)
    yield found
    found.close()


@pytest.fixture
def theirs(lab: Lab, stock: Callable[[str], RDBStorage]) -> RDBStorage:
    """Optuna's own storage of the lab's database."""
    open_storage(lab.url).close()
    return stock(lab.url)


def stock_trials(theirs: RDBStorage, name: str = "q") -> list[FrozenTrial]:
    return optuna.load_study(study_name=name, storage=theirs).trials


def carried(database: Database, trial: FrozenTrial, theirs: RDBStorage) -> dict[str, bytes]:
    """Content by file name, in the order in which Optuna lists the artifacts."""
    metas = get_all_artifact_meta(trial, storage=theirs)
    store = StudyArtifacts(database)
    return {meta.filename: store.open_reader(meta.artifact_id).read() for meta in metas}


def numeric(trial: FrozenTrial) -> set[str]:
    return {name for name, value in trial.user_attrs.items() if isinstance(value, int | float)}


def test_a_complete_trial_carries_its_files_in_a_fixed_order_and_they_agree(
    lab: Lab, database: Database, theirs: RDBStorage
) -> None:
    lab.create(budget={"trials": 1}, training={"epochs": 3})
    lab.work(workers=1)
    (trial,) = stock_trials(theirs)

    found = carried(database, trial, theirs)

    assert list(found) == NAMES
    rows = list(csv.DictReader(io.StringIO(found["2-curve.csv"].decode())))
    epochs = read_history(database, trial._trial_id)
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert [float(row["validation_loss"]) for row in rows] == [epoch["validation_loss"] for epoch in epochs]
    assert [float(row["accuracy"]) for row in rows] == list(trial.intermediate_values.values())
    configuration = yaml.safe_load(found["3-config.yaml"])
    assert configuration["sampled"] == trial.params
    assert configuration["hyperparameters"]["cnn.width"] == CNN["cnn.width"]
    log = found["4-log.txt"].decode()
    assert [f"epoch {epoch}: training loss" in log for epoch in (1, 2, 3)] == [True] * 3
    record = json.loads(found["5-diagnostics.json"])
    confusion = record["diagnostics"]["confusion"]
    assert sum(map(sum, confusion)) == 50
    assert sum(confusion[i][i] for i in range(3)) / 50 == trial.value
    picture = Image.open(io.BytesIO(found["1-report.png"]))
    assert (picture.format, picture.width) == ("PNG", 800)


def test_trials_of_all_ends_carry_the_same_files(lab: Lab, database: Database, theirs: RDBStorage) -> None:
    moods = ["calm", "error", "nan", "kill"]
    space = ODD | {"odd.mood": {"choice": moods}}
    lab.create(
        queue=[{"odd.mood": mood} for mood in moods], space=space, budget={"trials": 4}, search={"pruner": "none"}
    )

    lab.work(workers=1)

    files = [carried(database, trial, theirs) for trial in stock_trials(theirs)]
    assert [list(found) for found in files] == [NAMES] * 4
    logs = [found["4-log.txt"].decode() for found in files]
    assert "ValueError: the user's own mistake" in logs[1]
    assert "Traceback" in logs[1]
    assert "the loss of batch 1" in logs[2]
    assert "killed by SIGKILL" in logs[3]
    states = [json.loads(found["5-diagnostics.json"])["state"] for found in files]
    assert states == ["COMPLETE", "FAIL (error)", "PRUNED (nan)", "FAIL (crash)"]


def test_a_crashed_trials_curve_is_what_its_worker_had_reported(
    lab: Lab, database: Database, theirs: RDBStorage
) -> None:
    lab.create(budget={"trials": 1, "trial_timeout": 4}, training={"epochs": 1000}, space=ODD | {"odd.pause": 0.05})

    lab.work(workers=1)

    (trial,) = stock_trials(theirs)
    rows = list(csv.DictReader(io.StringIO(carried(database, trial, theirs)["2-curve.csv"].decode())))
    assert trial.state is TrialState.FAIL
    assert len(rows) == len(trial.intermediate_values) > 0
    assert len(read_history(database, trial._trial_id)) == len(rows)


def test_numeric_attributes_are_few_and_the_same_in_every_study_of_a_task(lab: Lab, theirs: RDBStorage) -> None:
    lab.create("one", budget={"trials": 1})
    lab.create("two", budget={"trials": 2}, space={"model": "mlp"}, training={"epochs": 3})
    lab.work("one", workers=1)
    lab.work("two", workers=1)

    found = [numeric(trial) for name in ("one", "two") for trial in stock_trials(theirs, name)]

    assert found == [found[0]] * 3
    assert len(found[0]) <= 15
    assert {"loss", "best_epoch", "parameters", "seconds", "memory_mb", "attempts"} <= found[0]
    strings = stock_trials(theirs, "one")[0].user_attrs
    texts = ("worker", "device", "processor", "instructions", "torch", "threads", "seed", "weights_digest")
    assert all(isinstance(strings[name], str) for name in texts)


def test_a_picture_that_was_not_drawn_is_drawn_when_it_is_looked_at_and_kept(lab: Lab, database: Database) -> None:
    lab.create(budget={"trials": 1})
    lab.work(workers=1)
    (trial,) = lab.trials()
    picture = Path(load_stored(database, "q").trial_artifacts) / artifact_id(REPORT, str(trial.token))
    picture.unlink(missing_ok=True)

    drawn = StudyArtifacts(database).open_reader(picture.name).read()

    assert drawn == picture.read_bytes()
    assert drawn[:4] == b"\x89PNG"


@pytest.mark.parametrize("name", ["1-unknown", "1-../../../etc/passwd", "", "1-report.png", f"9-{'0' * 32}"])
def test_what_is_no_artifact_is_not_found(name: str, lab: Lab, database: Database) -> None:
    lab.create()

    with pytest.raises(ArtifactNotFound):
        StudyArtifacts(database).open_reader(name)


def test_a_trial_completes_though_its_files_cannot_be_written(
    lab: Lab, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.create(budget={"trials": 1})
    folder = Path(load_stored(database, "q").trial_artifacts)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("no folder")

    lab.work(workers=1)

    assert [trial.state for trial in lab.trials()] == [TrialState.COMPLETE]


def test_garbage_collection_keeps_the_files_of_ended_trials_and_removes_those_of_dropped_attempts(
    lab: Lab, database: Database
) -> None:
    lab.create(budget={"trials": 1})
    lab.work(workers=1)
    folder = Path(load_stored(database, "q").trial_artifacts)
    kept = sorted(folder.iterdir())
    (folder / artifact_id(RECORD, "f" * 32)).write_text("{}")

    found = keeping.collect_garbage(database, dry_run=False)

    assert (len(kept), list(found.places)) == (len(KINDS), [str(folder / artifact_id(RECORD, "f" * 32))])
    assert found.bytes == 2
    assert sorted(folder.iterdir()) == kept


def test_files_go_where_the_study_says_and_with_the_study(lab: Lab, database: Database, tmp_path: Path) -> None:
    lab.create(budget={"trials": 1}, artifacts={"dir": str(tmp_path / "elsewhere")})
    lab.work(workers=1)
    folder = tmp_path / "elsewhere" / "q" / "artifacts"
    assert len(list(folder.iterdir())) == len(KINDS)

    keeping.delete_study(database, "q")

    assert not folder.exists()


def test_epochs_are_in_the_database_before_the_trial_ends_and_go_with_it(
    lab: Lab, database: Database, theirs: RDBStorage
) -> None:
    seen: list[Any] = []
    lab.create(budget={"trials": 1}, training={"epochs": 40}, space=ODD | {"odd.pause": 0.05})
    process = lab.start("launch", "q.yaml", "--workers", "1")

    def watch() -> bool:
        running = [trial for trial in lab.trials() if not trial.state.is_finished()]
        found = read_epochs(database, [trial.trial_id for trial in running])
        seen.extend(found.values())
        return bool(seen)

    assert until(watch)
    process.communicate(timeout=120)
    (trial,) = lab.trials()
    assert seen[0][0]["training_loss"] == read_history(database, trial.trial_id)[0]["training_loss"]
    assert len(read_history(database, trial.trial_id)) == 40
    optuna.delete_study(study_name="q", storage=theirs)
    assert read_epochs(database, [trial.trial_id]) == {}
