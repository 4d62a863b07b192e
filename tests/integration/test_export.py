"""What must not happen around an export: test events opened for nothing, other code, other events."""

import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from lab import CNN, ODD, Lab
from safetensors.torch import load_file, save_file

from storage import studies
from storage.database import Database
from storage.errors import ConfigError, DataError
from storage.openings import list_openings
from study.bundle import load_bundle
from study.curves import read_history
from study.evaluation import evaluate_export, predict_file
from study.export import export_trials
from study.loading import load_config
from study.plan import build_plan
from study.stored import create_or_update, decoded
from study.summary import summarise


@pytest.fixture
def database(lab: Lab) -> Iterator[Database]:
    found = Database(lab.url)
    yield found
    found.close()


def opened(database: Database) -> int:
    return len(list_openings(database, studies.load_study(database, "q").study_id))


def relaunch(lab: Lab, *sets: str) -> None:
    config, folder = load_config(lab.folder / "q.yaml", sets, environment={})
    create_or_update(lab.url, build_plan(config, folder))


def test_an_export_that_cannot_be_written_opens_no_test_events(lab: Lab, database: Database) -> None:
    lab.create(space=CNN, budget={"trials": 1})
    lab.work(workers=1)
    taken = lab.folder / "taken"
    taken.mkdir()
    (taken / "precious.txt").write_text("mine")

    with pytest.raises(FileExistsError, match="taken exists"):
        export_trials(database, "q", taken)

    assert opened(database) == 0
    assert (taken / "precious.txt").read_text() == "mine"


def test_a_file_of_ones_own_that_changed_is_refused_by_launch_and_export(lab: Lab, database: Database) -> None:
    lab.create(space=ODD, budget={"trials": 1})
    lab.work(workers=1)
    family = lab.folder / "odd_family.py"
    family.write_text(family.read_text() + "\n# another network\n")

    with pytest.raises(ConfigError, match=r"odd_family\.py has changed since study 'q' was created"):
        relaunch(lab, "budget.trials=2")
    with pytest.raises(ConfigError, match=r"odd_family\.py has changed"):
        export_trials(database, "q", lab.folder / "best")

    assert opened(database) == 0
    assert lab.record().budget.trials == 1


def test_weights_of_another_training_open_no_test_events(lab: Lab, database: Database) -> None:
    lab.create(space=CNN, budget={"trials": 1})
    lab.work(workers=1)
    weights = Path(str(lab.trials()[0].weights))
    save_file({name: -tensor for name, tensor in load_file(weights).items()}, weights)

    with pytest.raises(DataError, match="have changed since it was trained"):
        export_trials(database, "q", lab.folder / "best")

    assert opened(database) == 0


def test_an_export_holds_the_history_and_the_diagnostics_of_what_was_opened_and_no_more(
    lab: Lab, database: Database
) -> None:
    lab.create(space=CNN, budget={"trials": 2}, search={"pruner": "none"})
    lab.work(workers=1)

    best, second = (item.folder for item in export_trials(database, "q", lab.folder / "both", top=2))

    whole, sealed = load_bundle(best), load_bundle(second)
    assert [epoch["epoch"] for epoch in whole.history] == [1, 2]
    assert whole.history == read_history(database, lab.trials()[whole.number].trial_id)
    assert whole.best_epoch in (1, 2)
    assert [found and found["events"] for found in whole.diagnostics.values()] == [50, 20]
    assert (sealed.diagnostics["test"], sealed.metrics["test"]) == (None, None)
    for part in ("validation", "test"):
        found = whole.diagnostics[part]
        right = np.trace(np.array(found["confusion"])) / found["events"]
        assert right == pytest.approx(whole.metrics[part]["accuracy"])
    assert opened(database) == 1
    assert "## Confusion" in (best / "README.md").read_text()


def test_an_opened_trial_is_exported_again_with_its_recorded_metrics_and_diagnostics(
    lab: Lab, database: Database
) -> None:
    lab.create(space=CNN, budget={"trials": 1})
    lab.work(workers=1)
    export_trials(database, "q", lab.folder / "best")

    export_trials(database, "q", lab.folder / "again")

    first, again = ((lab.folder / name / "metrics.json").read_text() for name in ("best", "again"))
    assert first == again
    assert opened(database) == 1


def test_an_export_made_before_there_were_diagnostics_still_loads_and_evaluates(lab: Lab, database: Database) -> None:
    lab.create(space=CNN, budget={"trials": 1})
    lab.work(workers=1)
    export_trials(database, "q", lab.folder / "best")
    path = lab.folder / "best" / "metrics.json"
    tree = json.loads(path.read_text())
    path.write_text(json.dumps({part: tree[part] for part in ("validation", "test")}, indent=2))

    assert evaluate_export(lab.folder / "best", None).compared == ("validation", "test")
    assert load_bundle(lab.folder / "best").diagnostics == {}


def test_the_studys_own_file_is_not_evaluated_as_if_it_were_new(lab: Lab, database: Database) -> None:
    lab.create(space=CNN, budget={"trials": 1})
    lab.work(workers=1)
    export_trials(database, "q", lab.folder / "best")

    with pytest.raises(ConfigError, match="is the study's own file"):
        evaluate_export(lab.folder / "best", lab.folder / "events.h5")


def test_an_export_trained_in_bf16_evaluates_to_its_record(lab: Lab, database: Database) -> None:
    lab.create(space=CNN, budget={"trials": 1}, training={"precision": "bf16"})
    lab.work(workers=1)
    export_trials(database, "q", lab.folder / "best")

    assert evaluate_export(lab.folder / "best", None).compared == ("validation", "test")


def test_predictions_for_events_with_nan_are_an_error_that_names_the_first(lab: Lab, database: Database) -> None:
    lab.create(space=CNN, budget={"trials": 1})
    lab.work(workers=1)
    export_trials(database, "q", lab.folder / "best")
    with h5py.File(lab.folder / "events.h5") as file, h5py.File(lab.folder / "bad.h5", "w") as bad:
        events = file["event_data"][()]
        events[7, 0, 0, 0] = np.nan
        bad["event_data"] = events

    with pytest.raises(DataError, match="for 1 events are not finite, first for event 7"):
        predict_file(lab.folder / "best", lab.folder / "bad.h5", lab.folder / "p.h5", overwrite=False)

    assert not (lab.folder / "p.h5").exists()


def test_a_study_whose_own_files_are_gone_is_still_shown(lab: Lab, database: Database) -> None:
    lab.create(space=ODD, budget={"trials": 1})
    lab.work(workers=1)
    (lab.folder / "odd_family.py").unlink()

    summary = summarise(database, decoded(lab.record()))

    assert (summary.state, summary.metric, summary.best is not None) == ("finished", "accuracy", True)


def test_a_goal_that_was_reached_still_counts_when_the_budget_grows_and_one_that_is_raised_does_not(lab: Lab) -> None:
    lab.create(space=CNN, budget={"trials": 3, "until": {"accuracy": 0.01}})
    lab.work(workers=1)
    assert lab.record().started == 1

    relaunch(lab, "budget.trials=5")
    lab.work(workers=1)
    assert lab.record().started == 1

    relaunch(lab, "budget.trials=3", "budget.until={accuracy: 2.0}")
    lab.work(workers=1)
    assert lab.record().started == 3


def test_two_databases_that_share_a_checkpoint_folder_share_no_files(lab: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path / "other")
    shared = str(tmp_path / "shared")
    for place in (lab, other):
        place.create(space=CNN, budget={"trials": 1}, checkpoint={"dir": shared})
        place.work(workers=1)

    folders = {str(Path(str(place.trials()[0].weights)).parents[2]) for place in (lab, other)}
    other.clean_up()
    assert len(folders) == 2
