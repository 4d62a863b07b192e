"""Parameters that are proposed in memory and written together are those that Optuna's trial would have proposed."""

import optuna
import pytest
from jobs import create, took

from models._family import families
from storage import attempts, studies
from storage.database import Database
from storage.trials import open_storage
from study._sampling import sample
from study.space import build_space

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
