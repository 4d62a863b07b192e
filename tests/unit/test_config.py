import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from storage.errors import ConfigError
from study.config import StudyConfig, flatten
from study.loading import load_config, validated

SMALLEST = "data: {path: x.h5}\n"
DESIGN = """\
study:    {name: cherenkov-pid, metric: accuracy, seed: 7}      # direction follows from the metric
budget:   {trials: 200, gpu_hours: 400, trial_timeout: 4h, until: {accuracy: 0.95}}
data:     {path: events.h5, target: labels, split: {validation: 0.1, test: 0.1, seed: 42}, select: null, cache: auto}
objective: multiclass                                           # multiclass | binary | regression
training: {epochs: 12, precision: auto, early_stop: null, clip_norm: null, class_weights: null, deterministic: true}
space:
  model:        {choice: [cnn, resnet, densenet, mlp]}
  cnn.depth:    {int: [2, 5]}                                   # sampled only when model is cnn
  cnn.kernel:   {choice: [3, 5, 7]}
  optimizer:    {choice: [sgd, adam, adamw]}
  lr:           {float: [1.0e-5, 1.0e-1], log: true}
  momentum:     {float: [0.0, 0.99], when: {optimizer: [sgd]}}
  batch_size:   {choice: [32, 64, 128, 256]}
  normalize:    {choice: [none, standard, log1p]}
search:   {sampler: tpe, pruner: asha}
retry:    {lost: 3, oom: 0, error: 0}
workers:  {devices: auto, per_device: 1}
lease:    {seconds: 60, renew: 15, patience: 30m}
checkpoint: {dir: null}
artifacts:  {dir: null}
"""

Load = Callable[..., StudyConfig]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str, sets: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> StudyConfig:
        file = tmp_path / "study.yaml"
        file.write_text(text, encoding="utf-8")
        return load_config(file, sets, environment or {})[0]

    return load


@pytest.fixture
def refused(load: Load) -> Callable[..., str]:
    def refused(text: str, sets: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> str:
        with pytest.raises(ConfigError) as caught:
            load(text, sets, environment)
        return str(caught.value)

    return refused


def test_a_path_alone_is_a_study_file_and_names_the_study_after_it(load: Load) -> None:
    config = load(SMALLEST)

    assert config.name == "study"
    assert config.budget.trials == 100
    assert config.search.sampler.name == "tpe"
    assert config.search.pruner.name == "asha"
    assert config.training.epochs == 12
    assert config.data.split.validation == config.data.split.test == 0.1


def test_a_study_file_with_every_section_is_read_as_it_stands(load: Load) -> None:
    config = load(DESIGN)

    assert config.name == "cherenkov-pid"
    assert config.budget.trial_timeout == 4 * 3600
    assert config.budget.until == {"accuracy": 0.95}
    assert config.lease.patience == 1800
    assert config.space["momentum"] == {"float": [0.0, 0.99], "when": {"optimizer": ["sgd"]}}
    assert config.checkpoint.dir is None


def test_relative_paths_refer_to_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SMALLEST)

    assert load_config(tmp_path / "s.yaml", environment={})[1] == tmp_path.absolute()


def test_the_environment_goes_over_the_file_and_set_over_both(load: Load) -> None:
    text = SMALLEST + "budget: {trials: 1, gpu_hours: 1}\ntraining: {epochs: 1}\nstudy: {seed: 1}"
    environment = {"STUDYHALL_TRAINING__EPOCHS": "2", "STUDYHALL_STUDY__SEED": "2"}

    config = load(text, ["study.seed=3"], environment)

    assert (config.budget.trials, config.training.epochs, config.study.seed) == (1, 2, 3)
    assert config.budget.trial_timeout is None


def test_the_environment_reaches_deep_keys_and_leaves_other_variables_alone(load: Load) -> None:
    environment = {
        "STUDYHALL_DATA__SPLIT__TEST": "0.2",
        "STUDYHALL_SPACE__CNN__DEPTH": "{int: [2, 3]}",
        "STUDYHALL_STORAGE": "sqlite:///x.db",
        "STUDYHALL_BUDGET__TRIALS": "",
        "OTHER__KEY": "1",
    }

    config = load(SMALLEST, environment=environment)

    assert config.data.split.test == 0.2
    assert config.space == {"cnn.depth": {"int": [2, 3]}}
    assert config.budget.trials == 100


def test_set_gives_options_to_a_sampler_that_the_file_only_names(load: Load) -> None:
    config = load(SMALLEST, ["search.sampler.n_startup_trials=9", "objective.positive=1", "search.pruner=none"])

    assert config.search.sampler.options == {"n_startup_trials": 9}
    assert (config.search.sampler.name, config.search.pruner.name) == ("tpe", "none")
    assert (config.objective.name, config.objective.options) == ("multiclass", {"positive": 1})


@pytest.mark.parametrize(
    "text", ["budget.trials", "budget.trials=", "=3", "budget..trials=3", ".trials=3", "budget.trials=[1,"]
)
def test_malformed_set_is_refused_with_what_was_given(refused: Callable[..., str], text: str) -> None:
    assert text in refused(SMALLEST, [text])


def test_set_below_a_value_is_refused(refused: Callable[..., str]) -> None:
    assert "data.path.x goes below path, which is 'x.h5'" in refused(SMALLEST, ["data.path.x=1"])


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("4h", 14400), ("1h30m", 5400), ("0.5d", 43200)]
)
def test_durations_have_units_or_are_seconds(load: Load, text: str, seconds: float) -> None:
    assert load(SMALLEST + f"budget: {{trial_timeout: {text}}}").budget.trial_timeout == seconds


@pytest.mark.parametrize("text", ["4 hours", "4:30", "-3", "0", "true", "h", "1.2.3s"])
def test_other_durations_are_refused(refused: Callable[..., str], text: str) -> None:
    message = refused(SMALLEST + f"budget: {{trial_timeout: {text}}}")

    assert "budget.trial_timeout is " in message


@pytest.mark.parametrize("text", ["1e-5", "1E-5", "1.e-5", "1.0e-5", "0.00001", ".1e-4"])
def test_a_number_may_be_written_without_a_point(load: Load, text: str) -> None:
    assert load(SMALLEST + f"training: {{clip_norm: {text}}}").training.clip_norm == 1e-5


def test_numbers_are_decimal_and_dates_are_text(load: Load) -> None:
    config = load(SMALLEST + "study: {name: 2026-01-31, seed: 1_000}")

    assert (config.name, config.study.seed) == ("2026-01-31", 1000)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SMALLEST + SMALLEST, "line 2, column 1, is not valid YAML: key 'data' is given twice"),
        ("data: {path: x, path: y}", "key 'path' is given twice"),
        ("data: {path: x\nstudy: 1", "line 2"),
        ("data:\n\tpath: x", "line 2"),
        ("data: {path: !!python/object:os.system x}", "constructor"),
        ("? [a]\n: 1", "a key must be a name"),
        ("data: {path: x.h5}\nstudy: {seed: " + "9" * 5000 + "}", "is not valid YAML"),
    ],
)
def test_bad_yaml_is_refused_with_its_place(refused: Callable[..., str], text: str, problem: str) -> None:
    assert problem in refused(text)


@pytest.mark.parametrize(("text", "found"), [("", "nothing"), ("- a", "list"), ("hello", "str 'hello'")])
def test_a_file_that_is_no_mapping_is_refused(refused: Callable[..., str], text: str, found: str) -> None:
    message = refused(text)

    assert f"holds {found}" in message
    assert "data: {path: FILE.h5}" in message


def test_a_missing_file_is_refused_with_those_beside_it(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(SMALLEST)

    with pytest.raises(ConfigError, match=r"no study file .*studdy.yaml; study files there: other.yaml"):
        load_config(tmp_path / "studdy.yaml", environment={})


def test_a_data_file_in_place_of_a_study_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n\xff\xfe")

    with pytest.raises(ConfigError, match=r"is not text .*is it the data file"):
        load_config(tmp_path / "x.h5", environment={})


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("budget: {trails: 3}", "budget.trails", "did you mean budget.trials? Accepted in budget: trials, gpu_hours"),
        ("data: {path: x, split: {tset: 0.1}}", "data.split.tset", "did you mean data.split.test?"),
        ("data: {path: x, select: {fiducial: {radius: 1, axes: y}}}", "data.select.fiducial.axes", "data.axes?"),
        ("work: {}", "work", "did you mean workers?"),
        ("epochs: 3", "epochs", "did you mean training.epochs?"),
        ("training: {lr: 3}", "training.lr", "did you mean space.lr?"),
    ],
)
def test_unknown_keys_are_refused_at_every_depth_with_the_nearest(
    refused: Callable[..., str], text: str, key: str, hint: str
) -> None:
    message = refused(text if text.startswith("data") else SMALLEST + text)

    assert f"unknown key {key};" in message
    assert hint in message


def test_all_mistakes_are_listed_one_per_line(refused: Callable[..., str]) -> None:
    lines = refused("data: {axes: HWC}\nbudget: {trials: 0}\nstudy: {seed: x}\nlease: 3").splitlines()

    assert lines[0].endswith("study.yaml has 5 mistakes:")
    assert [line.split()[0] for line in lines[1:]] == ["study.seed", "budget.trials", "data.path", "data.axes", "lease"]


def test_a_mistake_from_the_environment_or_set_says_so(refused: Callable[..., str]) -> None:
    message = refused(SMALLEST, ["budget.trials=many"], {"STUDYHALL_TRAINING__EPOCS": "3"})

    assert 'budget.trials is "many"; it must be a valid integer (given by --set budget.trials=many)' in message
    assert "(given by STUDYHALL_TRAINING__EPOCS)" in message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("training: {epochs: yes}", "training.epochs is true"),
        ("training: {epochs: 1.5}", "training.epochs is 1.5"),
        ("training: {epochs:}", "training.epochs is null"),
        ("training: {clip_norm: .inf}", "training.clip_norm"),
        ("training: {deterministic: 1}", "training.deterministic is 1"),
        ("training: {class_weights: blanced}", "training.class_weights is \"blanced\"; it must be 'balanced'"),
        ("training: {class_weights: [1, -1]}", "training.class_weights is [1, -1]"),
        ("training: {class_weights: []}", "training.class_weights is []"),
        ("budget: {trials: null}", "at least one of trials, gpu_hours, wall_time, no_improvement, until"),
        ("budget: {trials: null, until: {}}", "at least one of trials, gpu_hours, wall_time, no_improvement, until"),
        ("budget: {until: {accuracy: high}}", 'budget.until.accuracy is "high"'),
        ("study: {name: a/b}", "for example a-b"),
        ("study: {name: ..}", "study.name"),
        ("study: {name: 7}", "study.name is 7; it must be text in quotes"),
        ("search: {sampler: {n_startup_trials: 3}}", "search.sampler.name is missing"),
        ("search: {pruner: null}", "`pruner: none` switches pruning off"),
        ("workers: {devices: gpu0}", "auto, cpu, or GPUs such as cuda:0,cuda:1"),
        ("workers: {devices: [cuda:0, '']}", "workers.devices"),
        ("workers: {devices: []}", "workers.devices"),
        ("workers: {per_device: 0}", "per_device is 0; it must be 'auto', or it must be greater than or equal to 1"),
        ("workers: {per_device: all}", "per_device is \"all\"; it must be 'auto', or it must be a valid integer"),
        ("lease: {seconds: 20, renew: 15}", "renew (15 s) must be at most half of seconds (20 s)"),
        ("data: 5", "data is 5; it must be a section with keys of path, target"),
        ("space: 5", "space is 5; it must be a section"),
        ("data: {path: ''}", "data.path"),
        ("data: {path: x, split: {validation: 0}}", "data.split.validation is 0"),
        ("data: {path: x, split: {validation: 0.5, test: 0.5}}", "leave nothing to train on"),
        ("data: {path: x, select: {energy: [5, 2]}}", "give [low, high] in MeV"),
        ("data: {path: x, select: {energy: 5}}", "data.select.energy is 5"),
        ("data: {path: x, select: {classes: []}}", "data.select.classes is []; it must not be empty"),
        ("data: {path: x, select: {classes: [a]}}", "data.select.classes.0"),
        ("data: {path: x, select: {fiducial: {axis: y}}}", "needs radius or half_height"),
        ("data:", "data is missing"),
        ("1: 2", "a key must be text"),
    ],
)
def test_values_that_mean_nothing_are_refused_with_their_key(
    refused: Callable[..., str], text: str, problem: str
) -> None:
    assert problem in refused(text if text.startswith("data") else SMALLEST + text)


def test_headings_with_nothing_below_mean_the_defaults(load: Load) -> None:
    config = load("study:\nbudget:\ndata: {path: x.h5, split: }\ntraining:\nspace:\nsearch:\nworkers:\ncheckpoint:\n")

    assert config == load(SMALLEST)


def test_devices_may_be_text_or_a_list(load: Load) -> None:
    assert load(SMALLEST + "workers: {per_device: auto}").workers.per_device == "auto"
    assert load(SMALLEST + "workers: {devices: 'cuda:0,cuda:1'}").workers.devices == "cuda:0,cuda:1"
    assert load(SMALLEST + "workers: {devices: [cuda:0, cpu]}").workers.devices == ("cuda:0", "cpu")


def test_a_file_name_that_cannot_name_a_study_is_refused_with_one_that_can(tmp_path: Path) -> None:
    (tmp_path / "my study (1).yaml").write_text(SMALLEST)

    with pytest.raises(ConfigError, match=r"add study: \{name: my-study-1\}"):
        load_config(tmp_path / "my study (1).yaml", environment={})


def test_a_configuration_survives_the_database(load: Load) -> None:
    config = load(DESIGN + "\n", ["workers.devices=[cuda:0]", "training.class_weights=[1, 2, 3]"])
    stored: dict[str, Any] = json.loads(json.dumps(config.to_json()))

    assert validated(stored, default_name="other", source="the database") == config


def test_flat_keys_name_every_leaf() -> None:
    tree = {"a": {"b": 1, "c": {}}, "d": [1, {"e": 2}]}

    assert flatten(tree) == {"a.b": 1, "a.c": {}, "d": [1, {"e": 2}]}


def test_one_metric_and_several_exclude_each_other(refused: Callable[..., str]) -> None:
    both = refused(SMALLEST + "study: {metric: accuracy, metrics: [accuracy, log_loss]}\n")
    one = refused(SMALLEST + "study: {metrics: [accuracy]}\n")

    assert "metric and metrics are both given" in both
    assert "for one give metric" in one
