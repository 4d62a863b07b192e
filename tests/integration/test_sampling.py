"""Parameters that are proposed in memory and written together are those that Optuna's trial would have proposed."""

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from jobs import create, took
from lab import Lab

from models._family import families
from storage import attempts, studies
from storage.database import Database
from storage.trials import open_storage
from study._sampling import sample
from study.plan import build_plan
from study.proposals import Proposals
from study.space import build_space
from study.stored import decoded

SAMPLERS = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=3, multivariate=False),
    "multivariate tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, n_startup_trials=3),
    "qmc": lambda seed: optuna.samplers.QMCSampler(seed=7),
    "nsga-ii": lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=4),
}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_values_as_suggesting_one_by_one(name: str, sqlite_url: str) -> None:
    space = build_space({}, {family: families()[family] for family in ("cnn", "mlp")})
    create(sqlite_url, trials=None)
    storage, database = open_storage(sqlite_url), Database(sqlite_url)
    study_id = studies.list_studies(database)[0].study_id
    ours = optuna.load_study(study_name="study", storage=storage)
    theirs = optuna.create_study(direction="maximize", storage=optuna.storages.InMemoryStorage())

    for number in range(8):
        ours.sampler, theirs.sampler = SAMPLERS[name](number), SAMPLERS[name](number)
        claimed = took(database, study_id)
        values, new = sample(ours, space, claimed.trial_id)
        attempts.sample(database, claimed, new)
        trial = theirs.ask()
        assert space.sample(trial) == values
        assert ours.trials[number].params == values
        score = values["lr"] + values.get("cnn.depth", 0)
        ours.tell(number, score)
        theirs.tell(trial, score)

    database.close()
    storage.close()


def test_a_trial_that_has_its_parameters_keeps_them(sqlite_url: str) -> None:
    space = build_space({}, {"mlp": families()["mlp"]})
    create(sqlite_url)
    storage, database = open_storage(sqlite_url), Database(sqlite_url)
    study = optuna.load_study(study_name="study", storage=storage, sampler=optuna.samplers.RandomSampler(seed=1))
    first = took(database, studies.list_studies(database)[0].study_id)
    values, new = sample(study, space, first.trial_id)
    attempts.sample(database, first, new)
    attempts.hand_back(database, first)

    again = took(database, first.study_id)
    study.sampler = optuna.samplers.RandomSampler(seed=2)

    assert again.trial_id == first.trial_id
    assert sample(study, space, again.trial_id) == (values, {})
    database.close()
    storage.close()


class TestAhead:
    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[Lab]:
        found = Lab(tmp_path / "lab")
        yield found
        found.clean_up()

    @pytest.fixture
    def proposing(self, lab: Lab) -> Iterator[tuple[Proposals, Database, int]]:
        lab.create(
            budget={"trials": 10}, space={"model": "mlp"}, search={"sampler": {"name": "tpe", "random_share": 0}}
        )
        storage, stored = open_storage(lab.url), decoded(lab.record())
        study = optuna.load_study(study_name="q", storage=storage)
        proposals = Proposals(storage.database, study, build_plan(stored.config, stored.folder))
        yield proposals, storage.database, stored.study_id
        storage.close()

    def test_is_what_is_proposed_for_the_claimed_trial(self, proposing: tuple[Proposals, Database, int]) -> None:
        proposals, database, study_id = proposing
        first, second = took(database, study_id), took(database, study_id)
        plain = [proposals.propose(claim) for claim in (first, second)]

        proposals.prepare(2)
        third = took(database, study_id)
        ahead = proposals.propose(third)
        proposals.prepare(2)
        again = proposals._sample(2, third.trial_id, fresh=True)[0]

        assert ahead == again
        assert ahead not in plain
        assert proposals._study.trials[2].params == ahead

    def test_a_trial_of_another_number_is_sampled_for_itself(self, proposing: tuple[Proposals, Database, int]) -> None:
        proposals, database, study_id = proposing
        claim = took(database, study_id)
        own = proposals._sample(0, claim.trial_id, fresh=True)[0]

        proposals.prepare(1)

        assert proposals.propose(claim) == own

    def test_a_trial_that_has_values_keeps_them(self, proposing: tuple[Proposals, Database, int]) -> None:
        proposals, database, study_id = proposing
        claim = took(database, study_id)
        values = proposals.propose(claim)
        attempts.hand_back(database, claim)

        proposals.prepare(0)
        again = took(database, study_id)

        assert proposals.propose(again) == values


def test_the_other_trials_are_read_once_for_all_parameters_of_a_trial(sqlite_url: str) -> None:
    create(sqlite_url, trials=None)
    storage = open_storage(sqlite_url)
    database, reads = storage.database, []
    study_id = studies.list_studies(database)[0].study_id
    space = build_space({}, {"mlp": families()["mlp"]})
    sampler = optuna.samplers.TPESampler(seed=1, n_startup_trials=0, multivariate=False, constant_liar=True)
    study = optuna.load_study(study_name="study", storage=storage, sampler=sampler)
    read = storage.get_all_trials
    storage.get_all_trials = lambda *args, **more: reads.append(1) or read(*args, **more)  # type: ignore[method-assign]

    sample(study, space, took(database, study_id).trial_id)

    assert len(reads) == 1
    storage.close()
