"""Studies are controlled from anywhere, removed, cleaned up, backed up and restored."""

import json
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from lab import CNN, ODD, Lab
from optuna.trial import TrialState

from storage import attempts, studies
from storage.claims import Refusal, claim
from storage.database import Database
from storage.errors import ConfigError, StudyMissing
from storage.history import TrialRow, read_trials
from storage.tables import StudyState
from study import control, keeping


@pytest.fixture
def database(lab: Lab) -> Iterator[Database]:
    found = Database(lab.url)
    yield found
    found.close()


def told(trials: list[TrialRow]) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.parameters, t.values, t.value, t.attributes, t.ours, t.attempts) for t in trials]


def take(database: Database, name: str = "q") -> object:
    study_id = studies.load_study(database, name).study_id
    return claim(database, study_id, agent_id="agent", slot=0, lease_s=60.0, lost_retries=3)


def test_a_paused_and_a_stopped_study_claim_nothing_until_they_are_resumed(lab: Lab, database: Database) -> None:
    lab.create()

    control.set_study_state(database, "q", StudyState.PAUSED)
    assert take(database) is Refusal.PAUSED
    control.set_study_state(database, "q", StudyState.STOPPED)
    assert take(database) is Refusal.STOPPED
    assert "stopped by" in str(lab.record().state_reason)
    control.set_study_state(database, "q", StudyState.RUNNING)
    assert not isinstance(take(database), Refusal)


def test_failed_trials_are_enqueued_again_once_and_the_budget_grows(lab: Lab, database: Database) -> None:
    space = ODD | {"odd.mood": {"choice": ["error", "calm"]}}
    lab.create(queue=[{"odd.mood": "error"}, {"odd.mood": "calm"}], space=space, budget={"trials": 2})
    lab.work(workers=1)

    assert control.retry_failed(database, "q") == [0]
    with pytest.raises(ConfigError, match="has no failed trial"):
        control.retry_failed(database, "q")
    lab.work(workers=1)

    again = lab.trials()[2]
    assert (again.state, again.parameters["odd.mood"]) == (TrialState.FAIL, "error")
    assert again.attributes["retry_of"] == 0
    assert lab.record().started == 3


def test_a_backup_is_an_optuna_database_and_restores_to_the_same_study(
    lab: Lab, database: Database, tmp_path: Path, url: str
) -> None:
    lab.create(space=CNN, budget={"trials": 3})
    lab.work()
    file = tmp_path / "q-backup.db"

    assert keeping.backup_study(database, "q", file) == 3
    stock = optuna.load_study(study_name="q", storage=f"sqlite:///{file}")
    assert [trial.state for trial in stock.trials] == [trial.state for trial in lab.trials()]
    assert keeping.restore_study(file, url, "copy") == ("copy", 3)

    other = Database(url)
    record = studies.load_study(other, "copy")
    copied = read_trials(other, record.study_id)
    refused = claim(other, record.study_id, agent_id="agent", slot=0, lease_s=60.0, lost_retries=3)
    other.close()
    assert told(copied) == told(lab.trials())
    assert json.dumps(record.config) == json.dumps(lab.record().config)
    assert refused is Refusal.DONE


def test_a_backup_overwrites_nothing_and_a_restore_no_study(lab: Lab, database: Database, tmp_path: Path) -> None:
    lab.create()
    file = tmp_path / "q-backup.db"
    keeping.backup_study(database, "q", file)

    with pytest.raises(FileExistsError, match="q-backup"):
        keeping.backup_study(database, "q", file)
    with pytest.raises(ConfigError, match="has a study 'q'"):
        keeping.restore_study(file, lab.url, None)
    assert [path.name for path in tmp_path.iterdir() if "q-backup" in path.name] == ["q-backup.db"]


def test_deleting_a_study_removes_its_rows_and_files_and_nothing_else(lab: Lab, database: Database) -> None:
    for name in ("q", "other"):
        lab.create(name, space=CNN, budget={"trials": 1})
        lab.work(name, workers=1)

    keeping.delete_study(database, "q")

    with pytest.raises(StudyMissing):
        studies.load_study(database, "q")
    assert not (lab.folder / "study-files" / "q").exists()
    assert len(lab.trials("other")) == 1
    assert (lab.folder / "study-files" / "other").is_dir()


def test_a_study_with_a_running_trial_is_not_deleted(lab: Lab, database: Database) -> None:
    lab.create()
    claimed = take(database)

    with pytest.raises(ConfigError, match="has trials running; `studyhall stop q` first"):
        keeping.delete_study(database, "q")

    attempts.hand_back(database, claimed)  # type: ignore[arg-type]
    keeping.delete_study(database, "q")


def test_garbage_is_what_no_attempt_needs_and_a_dry_run_leaves_it(lab: Lab, database: Database) -> None:
    lab.create(space=CNN, budget={"trials": 1})
    lab.work(workers=1)
    needed = Path(str(lab.trials()[0].weights))
    orphan = lab.folder / "study-files" / "q" / "trial-7" / "attempt-1-0123"
    orphan.mkdir(parents=True)
    (orphan / "best.safetensors").write_bytes(b"left behind")

    dry = keeping.collect_garbage(database, dry_run=True)
    assert orphan.is_dir()
    done = keeping.collect_garbage(database, dry_run=False)

    assert dry.places == done.places == [str(orphan)]
    assert not orphan.exists()
    assert needed.is_file()
