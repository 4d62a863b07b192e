"""A search's leaders are trained again with fresh seeds: once each, whoever asks, and what follows from it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from lab import CNN, Lab
from optuna.trial import TrialState
from sqlalchemy import update

from storage import attempts, studies
from storage.claims import Refusal, claim
from storage.database import Database
from storage.endings import Ending
from storage.errors import ConfigError
from storage.history import read_trials
from storage.openings import list_openings
from storage.tables import STUDIES
from study import control, keeping
from study.bundle import load_bundle
from study.confirmation.opening import open_for
from study.confirmation.prepare import prepare_confirmation
from study.confirmation.report import Confirmation, read_confirmation
from study.confirmation.words import cells
from study.export import export_trials
from study.stored import load_stored
from study.summary import summarise

SPACE = CNN | {
    "optimizer": {"choice": ["sgd", "adam"]},
    "lr": {"float": [1e-3, 1e-1], "log": True},
    "cnn.window": {"int": [2, 3], "when": {"optimizer": ["adam"]}},
}
CRASH = Ending(
    TrialState.FAIL, attributes={"failure": "crash", "reason": "it died"}, failure="crash", message="it died"
)


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the backup of a search, q.db."""
    lab = Lab(tmp_path_factory.mktemp("search") / "lab")
    lab.create(space=SPACE, budget={"trials": 3, "until": {"accuracy": 2.0}}, search={"pruner": "none"})
    lab.work()
    database = Database(lab.url)
    keeping.backup_study(database, "q", lab.folder / "q.db")
    database.close()
    return lab.folder


@pytest.fixture
def lab(tmp_path: Path, backups: Path) -> Iterator[Lab]:
    """Where that search has been made."""
    found = Lab(tmp_path / "lab")
    keeping.restore_study(backups / "q.db", found.url, None)
    yield found
    found.clean_up()


@pytest.fixture
def database(lab: Lab) -> Iterator[Database]:
    found = Database(lab.url)
    yield found
    found.close()


def end(database: Database, *values: float | None) -> None:
    """End the confirmation's next trials with these values; None is a crash."""
    study_id = studies.load_study(database, "q-confirm").study_id
    for value in values:
        claimed = claim(database, study_id, agent_id="agent", slot=0, lease_s=60.0, lost_retries=3)
        assert not isinstance(claimed, Refusal)
        ending = Ending(TrialState.COMPLETE, values=(value,)) if value is not None else CRASH
        attempts.finish(database, claimed, ending)


def prepare(database: Database, top: int, seeds: int) -> int:
    return prepare_confirmation(
        database, database.url.render_as_string(hide_password=False), load_stored(database, "q"), top=top, seeds=seeds
    )


def confirmed(database: Database) -> Confirmation:
    found = read_confirmation(database, load_stored(database, "q"))
    assert found is not None
    return found


def test_leaders_are_trained_again_with_their_parameters_and_seeds_of_their_own(lab: Lab, database: Database) -> None:
    assert prepare(database, 2, 2) == 4
    assert lab.work("q-confirm") is Refusal.DONE

    search, again = lab.trials("q"), lab.trials("q-confirm")
    best = sorted(search, key=lambda row: (-(row.value or 0), row.number))[:2]
    assert [row.attributes["confirms"] for row in again] == [row.number for row in best] * 2
    assert all(row.parameters == search[row.attributes["confirms"]].parameters for row in again)
    assert all(row.state is TrialState.COMPLETE and len(row.values) == 2 for row in again)
    assert len({row.attributes["seed"] for row in [*search, *again]}) == 7
    config = lab.record("q-confirm").config
    assert (config["budget"]["until"], config["search"]["pruner"]["name"]) == (None, "none")


def test_the_report_tells_means_optimism_and_the_winner(database: Database) -> None:
    search = load_stored(database, "q")
    prepare(database, 2, 3)
    assert confirmed(database).winner is None
    assert "0 of 6 retrainings" in str(summarise(database, search).confirmation)
    end(database, 0.7, 0.6, 0.8, 0.7, 0.9, 0.8)  # of the search's first and second in turn

    found = confirmed(database)

    assert found.winner is found.leaders[0]
    assert [(leader.values, leader.estimate.mean) for leader in found.leaders] == [
        ([0.7, 0.8, 0.9], pytest.approx(0.8)),
        ([0.6, 0.7, 0.8], pytest.approx(0.7)),
    ]
    best = summarise(database, search).best
    assert best is not None
    assert (found.winner.number, found.winner.searched) == (best.number, best.value)
    assert found.winner.optimism == pytest.approx(best.value - 0.8)  # type: ignore[operator]
    assert f"trial {best.number}, mean accuracy 0.8000 ± 0.0577" in str(summarise(database, search).confirmation)
    assert "study q" in str(summarise(database, load_stored(database, "q-confirm")).confirmation)


def test_asking_again_adds_what_is_missing_and_takes_nothing_away(lab: Lab, database: Database) -> None:
    added = [prepare(database, top, seeds) for top, seeds in ((2, 2), (2, 2), (1, 1), (2, 3), (3, 3))]

    assert added == [4, 0, 0, 2, 3]
    assert lab.record("q-confirm").budget.trials == len(lab.trials("q-confirm")) == 9
    assert lab.record("q-confirm").config["budget"]["trials"] == 9


def test_several_that_ask_at_once_enqueue_each_retraining_once(url: str, backups: Path) -> None:
    keeping.restore_study(backups / "q.db", url, None)

    def ask(_: int) -> int:
        mine = Database(url)
        try:
            return prepare(mine, 3, 3)
        finally:
            mine.close()

    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(ask, range(4)))

    database = Database(url)
    record = studies.load_study(database, "q-confirm")
    trials = read_trials(database, record.study_id)
    database.close()
    assert sorted(added) == [0, 0, 0, 9]
    assert record.budget.trials == len(trials) == 9


def test_no_trial_starts_before_the_retrainings_are_enqueued(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.confirmation.prepare.add_retrainings", lambda *args, **kwargs: 0)
    prepare(database, 1, 2)

    study_id = studies.load_study(database, "q-confirm").study_id

    assert claim(database, study_id, agent_id="agent", slot=0, lease_s=60.0, lost_retries=3) is Refusal.DONE
    monkeypatch.undo()
    assert prepare(database, 1, 2) == 2


def test_retrainings_that_fail_do_not_count_and_what_mostly_fails_does_not_win(database: Database) -> None:
    prepare(database, 2, 3)
    end(database, None, 0.5, None, 0.6, 0.9, 0.7)

    failing, sound = confirmed(database).leaders

    assert (failing.retrained, failing.values, failing.failures) == (3, [0.9], {"crash": 2})
    assert confirmed(database).winner == sound
    assert cells(failing)[-1] == "1 of 3 (2 crash)"


def test_a_failed_retraining_that_is_retried_counts_once(database: Database) -> None:
    prepare(database, 1, 2)
    end(database, None)
    control.retry_failed(database, "q-confirm")
    end(database, 0.5, 0.7)

    (leader,) = confirmed(database).leaders

    assert (leader.retrained, sorted(leader.values), leader.failures) == (2, [0.5, 0.7], {})


def test_the_test_events_are_opened_once_for_the_winner_and_only_if_wanted(database: Database) -> None:
    prepare(database, 2, 1)
    end(database, 0.6, 0.7)
    search, winner = load_stored(database, "q"), confirmed(database).winner
    assert winner is not None

    assert open_for(database, search, winner.number, opened=False) is None
    metrics = open_for(database, search, winner.number)
    again = open_for(database, search, winner.number, opened=False)

    (opening,) = list_openings(database, search.study_id)
    assert (opening.number, opening.metrics) == (winner.number, metrics)
    assert again == metrics


def test_an_export_prefers_the_winner_and_says_so(lab: Lab, database: Database) -> None:
    prepare(database, 2, 2)
    end(database, 0.1, 0.9, 0.2, 0.8)  # the second of the search turns out the better
    first, second = (row.attributes["confirms"] for row in lab.trials("q-confirm")[:2])

    (won,) = export_trials(database, "q", lab.folder / "best", test=False)
    (given,) = export_trials(database, "q", lab.folder / "own", trial=first, test=False)

    assert (won.number, given.number) == (second, first)
    assert "by the best mean validation `accuracy` over fresh seeds" in (won.folder / "README.md").read_text()
    assert "chosen by the best validation" in (given.folder / "README.md").read_text()
    assert f'"winner": {second}' in (won.folder / "metrics.json").read_text()
    assert load_bundle(won.folder).number == second


def test_an_export_ignores_a_confirmation_that_has_not_ended(lab: Lab, database: Database) -> None:
    prepare(database, 2, 2)

    (done,) = export_trials(database, "q", lab.folder / "best", test=False)

    best = summarise(database, load_stored(database, "q")).best
    assert best is not None
    assert done.number == best.number
    assert "Confirmation" not in (done.folder / "README.md").read_text()


def test_a_study_without_results_a_confirmation_and_a_taken_name_are_refused(lab: Lab, database: Database) -> None:
    lab.create("empty", space=SPACE)
    with pytest.raises(ConfigError, match="no complete trial to confirm"):
        prepare_confirmation(database, lab.url, load_stored(database, "empty"), top=1, seeds=1)
    prepare(database, 1, 1)
    with pytest.raises(ConfigError, match="itself the confirmation of 'q'"):
        prepare_confirmation(database, lab.url, load_stored(database, "q-confirm"), top=1, seeds=1)
    keeping.delete_study(database, "q-confirm")
    lab.create("q-confirm")
    with pytest.raises(ConfigError, match="does not confirm this study"):
        prepare(database, 1, 1)
    assert read_confirmation(database, load_stored(database, "q")) is None


def test_the_confirmation_of_another_study_of_the_name_is_not_taken_for_its_own(lab: Lab, database: Database) -> None:
    prepare(database, 1, 1)
    with database.write() as connection:  # as if q had been deleted and made anew
        connection.execute(update(STUDIES).values(created_at=datetime(2020, 1, 1)))

    with pytest.raises(ConfigError, match="studyhall delete q-confirm"):
        prepare(database, 1, 1)


def test_a_study_and_its_confirmation_stay_linked_through_backups(lab: Lab, database: Database, tmp_path: Path) -> None:
    prepare(database, 1, 1)
    end(database, 0.5)
    for name in ("q", "q-confirm"):
        keeping.backup_study(database, name, tmp_path / f"{name}.db")
    target = f"sqlite:///{tmp_path}/other.db"
    keeping.restore_study(tmp_path / "q.db", target, "r")
    keeping.restore_study(tmp_path / "q-confirm.db", target, "r-confirm")

    other = Database(target)
    found = read_confirmation(other, load_stored(other, "r"))
    other.close()

    assert found is not None
    assert found.leaders[0].values == confirmed(database).leaders[0].values


def test_a_study_of_several_objectives_is_refused(lab: Lab, database: Database) -> None:
    lab.create("two", space=SPACE, study={"metrics": ["accuracy", "parameters"]})

    with pytest.raises(ConfigError, match=r"several objectives \(accuracy, parameters\)"):
        prepare_confirmation(database, lab.url, load_stored(database, "two"), top=1, seeds=1)
