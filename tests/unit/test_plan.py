from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from objectives._data import Dataset
from storage.errors import ConfigError, DataError
from storage.hdf5 import write_events
from study.config import StudyConfig
from study.plan import Facts, Plan, build_plan, check_fingerprint, gather_facts, make_task, open_data

COUNT = 60
EXAMPLES = Path(__file__).parents[2] / "examples"
Made = Callable[..., Plan]


def events(**changes: Any) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "event_data": random.random((COUNT, 4, 5, 2), dtype=np.float32),
        "labels": np.arange(COUNT) % 3,
        "energies": 100 + np.arange(COUNT, dtype=np.float32)[:, None],
        "positions": random.uniform(-100, 100, (COUNT, 1, 3)).astype(np.float32),
    } | changes


@pytest.fixture
def plan(tmp_path: Path) -> Made:
    """A plan on a file with some datasets replaced, and a study file with some sections replaced."""

    def plan(changed: dict[str, np.ndarray] | None = None, names: Any = ("gamma", "e", "mu"), **sections: Any) -> Plan:
        write_events(tmp_path / "e.h5", [events(**(changed or {}))], count=COUNT, class_names=names, overwrite=True)
        data = {"path": "e.h5", **sections.pop("data", {})}
        return build_plan(StudyConfig.model_validate({"study": {"name": "s"}, "data": data, **sections}), tmp_path)

    return plan


def facts_of(plan: Plan) -> tuple[Dataset, Facts]:
    dataset = open_data(plan)
    return dataset, gather_facts(plan, dataset)


def mistake(make: Callable[[], object], kind: type[Exception] = ConfigError) -> str:
    with pytest.raises(kind) as caught:
        make()
    return str(caught.value)


def test_the_metric_and_its_direction_follow_from_the_objective(plan: Made) -> None:
    assert (plan().metric, plan().direction) == ("accuracy", "maximize")
    regression = plan(objective="regression", data={"target": "energies"})
    assert (regression.metric, regression.direction) == ("rmse", "minimize")
    assert plan(study={"metric": "log_loss"}).direction == "minimize"


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        (
            {"study": {"metric": "acuracy"}},
            "study.metric is acuracy; did you mean accuracy? Objective multiclass has: ",
        ),
        ({"budget": {"until": {"rmse": 1.0}}}, "budget.until is rmse; Objective multiclass has: accuracy,"),
        ({"objective": "multiclas"}, "objective: 'multiclas' is unknown (did you mean 'multiclass'?)"),
        ({"objective": {"name": "binary", "positve": 1}}, "unknown key objective.positve; did you mean positive?"),
        (
            {"objective": {"name": "regression", "delta": "wide"}},
            'objective.delta is "wide"; it must be a valid',
        ),
        ({"objective": {"name": "regression", "loss": "l1"}}, 'objective.loss is "l1"; it must be'),
        ({"objective": {"name": "regression", "delta": -1.0}}, "it must be a number above 0"),
        ({"objective": {"name": "multiclass", "class_names": "abc"}}, 'objective.class_names is "abc"'),
        ({"objective": {"name": "binary", "positive": 1, "negative": 1}}, "they must be two classes"),
        ({"objective": "regression", "training": {"class_weights": "balanced"}}, "regression has no classes"),
        ({"space": {"model": "resnett"}}, "space.model: 'resnett' is unknown (did you mean 'resnet'?)"),
        ({"space": {"model": "mine.py:NET"}}, "there is no file 'mine.py'"),
        ({"search": {"sampler": "tpee"}}, "did you mean tpe?"),
        ({"search": {"pruner": "medan"}}, "did you mean median?"),
    ],
)
def test_names_that_do_not_exist_are_refused(plan: Made, sections: dict[str, Any], problem: str) -> None:
    assert problem in mistake(lambda: plan(**sections))


def test_mistakes_in_several_sections_are_listed_together(plan: Made) -> None:
    message = mistake(lambda: plan(study={"metric": "x"}, search={"pruner": "y"}, space={"model": "z"}))

    assert message.startswith("the study has 3 mistakes:\n  study.metric is x")
    assert len(message.splitlines()) == 4


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("1 / 0\n", "space.model: ZeroDivisionError: division by zero ("),
        ("def f(:\n", "space.model: SyntaxError"),
        ("NET = 3\n", "it must be a models._family.Family"),
        ("import no_such_module\n", "No module named 'no_such_module'"),
    ],
)
def test_mistakes_in_the_users_own_code_are_told_with_their_place(
    plan: Made, tmp_path: Path, code: str, problem: str
) -> None:
    (tmp_path / "mine.py").write_text(code)

    assert problem in mistake(lambda: plan(space={"model": "mine.py:NET"}))


def test_a_users_task_takes_its_own_options(plan: Made, tmp_path: Path) -> None:
    (tmp_path / "my_task.py").write_text((EXAMPLES / "my_task.py").read_text())

    made = plan(objective={"name": "my_task.py:FOCAL", "gamma": 1})

    assert made.options.gamma == 1.0
    assert "gamma" in mistake(lambda: plan(objective={"name": "my_task.py:FOCAL", "gamma": -1}))


def test_facts_tell_the_shape_the_parts_and_the_classes(plan: Made) -> None:
    dataset, facts = facts_of(plan())

    assert facts.shape == (2, 4, 5)
    assert facts.events == {"training": 48, "validation": 6, "test": 6}
    assert facts.target == {"labels": [0, 1, 2], "class_names": ["gamma", "e", "mu"]}
    assert facts.statistics["events"] == 48
    assert Facts.from_json(facts.to_json()) == facts
    assert make_task(plan(), facts).outputs == 3
    check_fingerprint(plan(), facts, dataset)


def test_another_file_is_refused_by_what_differs(plan: Made) -> None:
    _, facts = facts_of(plan())
    other = plan({"labels": np.arange(COUNT)[::-1] % 3})

    message = mistake(lambda: check_fingerprint(other, facts, open_data(other)), DataError)

    assert "is not the file that study 's' was created with: target_sha256 differ" in message


def test_a_binary_objective_uses_its_two_classes_only(plan: Made) -> None:
    made = plan(objective={"name": "binary", "positive": "mu", "negative": "e"})

    dataset, facts = facts_of(made)

    assert len(dataset.used) == 40
    assert facts.target["labels"] == [1, 2]


def test_cuts_on_energy_and_position_are_applied(plan: Made) -> None:
    made = plan(data={"select": {"energy": [110, 150], "fiducial": {"radius": 120}, "classes": [0, 1]}})

    dataset, _ = facts_of(made)

    used = events()
    radius = np.hypot(used["positions"][:, 0, 0], used["positions"][:, 0, 2])
    wanted = (np.arange(COUNT) >= 10) & (np.arange(COUNT) < 50) & (radius <= 120) & (used["labels"] < 2)
    assert dataset.used.tolist() == np.flatnonzero(wanted).tolist()


def test_cuts_that_take_away_a_class_of_the_objective_are_refused(plan: Made) -> None:
    made = plan(objective={"name": "binary", "positive": 2, "negative": 1}, data={"select": {"classes": [0, 1]}})

    message = mistake(lambda: open_data(made))

    assert message.startswith("data.select.classes is [0, 1], but objective binary tells apart [1, 2]")


LABELS = np.arange(COUNT) % 3
NAN_ENERGY = np.where(np.arange(COUNT) == 7, np.nan, 200.0).astype(np.float32)
BAD_EVENTS = events()["event_data"].copy()
BAD_EVENTS[5, 0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("changed", "sections", "problem"),
    [
        ({"labels": LABELS - 1}, {}, "dataset 'labels': 20 of 60 labels are -1; accepted are whole numbers from 0"),
        ({"labels": LABELS + 1}, {}, "dataset 'labels': 20 of 60 labels are 3, but there are 3 class names"),
        ({"kind": LABELS + 0.5}, {"data": {"target": "kind"}}, "dataset 'kind' has 0.5 at event 0"),
        ({"labels": LABELS * 0}, {}, "dataset 'labels': all 60 labels are 0; a classification needs at least 2"),
        ({"labels": np.where(np.arange(COUNT) == 3, 2, LABELS % 2)}, {}, "dataset 'labels': of 2 there is only one"),
        ({"labels": np.stack([LABELS, LABELS], 1)}, {}, "2 numbers per event"),
        ({"labels": LABELS * 0 + 2}, {"objective": "binary"}, "dataset 'labels': the labels that occur are 2"),
        ({"energies": NAN_ENERGY}, {"objective": "regression", "data": {"target": "energies"}}, "has nan at event 7"),
        (
            {"energies": np.ones(COUNT, np.float32)},
            {"objective": "regression", "data": {"target": "energies"}},
            "dataset 'energies': all 48 training targets are equal",
        ),
        (
            {"energies": np.arange(COUNT, dtype=np.float32)},
            {"objective": {"name": "regression", "target": "log"}, "data": {"target": "energies"}},
            "dataset 'energies': 1 of 60 targets are 0.0; accepted are finite numbers above 0",
        ),
        ({"event_data": BAD_EVENTS}, {}, "dataset 'event_data' has 1 NaN and 0 infinite values"),
        ({}, {"data": {"target": "label"}}, "has no dataset 'label'"),
        ({}, {"data": {"events": "images"}}, "has no dataset 'images'"),
        ({}, {"data": {"axes": "NHW"}}, "has 4 axes"),
        ({}, {"data": {"target": "positions"}}, "3 numbers per event"),
        ({}, {"data": {"split": {"validation": 0.001}}}, "leaves the validation part empty"),
        ({}, {"data": {"select": {"energy": [900, 1000]}}}, "`data.select` leaves no event"),
        ({}, {"data": {"select": {"energy": [100, 101]}}}, "leaves"),
        ({}, {"data": {"path": "f.h5"}}, "does not exist; give the path of an HDF5 file; did you mean"),
        ({}, {"data": {"split": {"file": "none.npz"}}}, "none.npz: does not exist"),
    ],
)
def test_data_that_cannot_be_used_are_refused_with_file_and_dataset(
    plan: Made, tmp_path: Path, changed: dict[str, np.ndarray], sections: dict[str, Any], problem: str
) -> None:
    made = plan(changed, **sections)

    message = mistake(lambda: facts_of(made), DataError)

    assert problem in message
    assert message.startswith(str(tmp_path))
    assert message.count(str(tmp_path)) <= 2


def test_a_class_that_the_file_does_not_name_is_refused(plan: Made) -> None:
    made = plan(objective={"name": "binary", "positive": "muon", "negative": "e"})

    assert "objective binary: there is no class 'muon' (did you mean 'mu'?)" in mistake(lambda: open_data(made))


@pytest.mark.parametrize(
    ("weights", "accepted"), [([1, 2], False), ([1, 2, 3], True), ("balanced", True), (None, True)]
)
def test_class_weights_are_one_per_class(plan: Made, weights: Any, accepted: bool) -> None:
    made = plan(training={"class_weights": weights})

    if accepted:
        facts_of(made)
    else:
        assert "class_weights has 2 numbers; accepted are 3" in mistake(lambda: facts_of(made))


def test_a_metric_that_is_undefined_on_the_validation_events_is_refused(plan: Made) -> None:
    true = np.where(np.arange(COUNT) % 2, 0, 5).astype(np.float32)
    made = plan({"energies": true}, objective="regression", data={"target": "energies"}, study={"metric": "resolution"})

    message = mistake(lambda: facts_of(made), DataError)

    assert "dataset 'energies': the metric resolution is undefined for the 6 validation events" in message


def test_a_split_file_without_validation_events_is_refused(plan: Made, tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", train_idxs=np.arange(50), val_idxs=np.array([], int), test_idxs=np.arange(50, 60))
    made = plan(data={"split": {"file": "s.npz"}})

    assert "leaves the validation part empty" in mistake(lambda: open_data(made), DataError)


def test_several_objectives_keep_their_order_and_have_their_own_directions(plan: Made) -> None:
    several = plan(study={"metrics": ["log_loss", "accuracy", "parameters"]})

    assert (several.metric, several.direction) == ("log_loss", "minimize")
    assert several.directions == ("minimize", "maximize", "minimize")


def test_with_several_objectives_nothing_is_pruned_unless_the_study_says_by_what(plan: Made) -> None:
    study = {"metrics": ["accuracy", "parameters"]}

    assert plan(study=study).config.search.pruner.name == "none"
    assert plan(study=study, search={"sampler": "nsgaii"}).config.search.pruner.name == "none"
    named = plan(study=study, search={"pruner": {"name": "asha", "metric": "accuracy"}})
    assert named.config.search.pruner.name == "asha"
    stored = StudyConfig.model_validate(named.config.to_json())
    assert stored == named.config


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        (
            {"study": {"metrics": ["accuracy", "acuracy"]}},
            "did you mean accuracy? Objective multiclass has: parameters",
        ),
        ({"study": {"metrics": ["parameters", "accuracy"]}}, "begin with the metric that chooses"),
        ({"study": {"metrics": ["accuracy", "accuracy"]}}, "give each once"),
        ({"study": {"metric": "parameters"}}, "Objective multiclass has: accuracy"),
        (
            {"study": {"metrics": ["accuracy", "parameters"]}, "search": {"pruner": "asha"}},
            "{name: asha, metric: accuracy}",
        ),
        ({"search": {"pruner": {"name": "asha", "metric": "log_loss"}}}, "pruned by the first objective, accuracy"),
        (
            {"study": {"metrics": ["accuracy", "parameters"]}, "search": {"sampler": "cma_es"}},
            "is for one objective, but study.metrics is accuracy, parameters",
        ),
    ],
)
def test_objectives_that_cannot_be_optimised_are_refused(plan: Made, sections: dict[str, Any], problem: str) -> None:
    assert problem in mistake(lambda: plan(**sections))


def test_the_latency_is_measured_only_where_something_needs_it(plan: Made) -> None:
    assert not plan(study={"metrics": ["accuracy", "parameters"]}).measures_latency
    assert plan(study={"metrics": ["accuracy", "latency_ms"]}).measures_latency
    assert plan(constraints={"max_latency_ms": 2}).measures_latency
