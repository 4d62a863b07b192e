from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from models._family import Family, families, load_family
from models._hyperparameters import Choice
from storage.errors import ConfigError
from study._random import RandomSuggester
from study._yaml import parse_yaml
from study.space import Space, build_space, chosen_models

EXAMPLES = Path(__file__).parents[2] / "examples"


def space_of(text: str) -> Space:
    given: Mapping[str, Any] = parse_yaml(text, "test") or {}
    names = chosen_models(given, list(families()))
    return build_space(given, {name: load_family(name, folder=EXAMPLES) for name in names})


def mistake(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        space_of(text)
    return str(caught.value)


def draws(space: Space, count: int = 60) -> list[dict[str, Any]]:
    suggester = RandomSuggester(0)
    return [space.sample(suggester) for _ in range(count)]


def ask(space: Space, seed: int) -> dict[str, Any]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return space.sample(study.ask())


def test_without_a_word_every_family_and_its_own_ranges_are_searched() -> None:
    space = space_of("")

    assert list(space.families) == ["cnn", "densenet", "mlp", "resnet"]
    names = {parameter.name for parameter in space.searched}
    assert {"model", "lr", "optimizer", "cnn.depth", "resnet.width"} <= names
    assert space.fixed["nesterov"] is True
    assert "nesterov" not in names


@pytest.mark.parametrize("name", families())
def test_one_family_is_a_constant(name: str) -> None:
    space = space_of(f"model: {name}")

    assert space.fixed["model"] == name
    assert {parameter.name.partition(".")[0] for parameter in space.searched if "." in parameter.name} == {name}
    assert space.family(space.defaults(name))[0] is families()[name]


def test_a_trial_samples_active_parameters_only_and_resolves_to_all_that_count() -> None:
    space = space_of("")

    for sampled in draws(space):
        resolved = space.resolved(sampled)
        model = sampled["model"]
        assert {name.partition(".")[0] for name in sampled if "." in name} == {model}
        assert ("momentum" in sampled) == (sampled["optimizer"] in ("sgd", "rmsprop"))
        assert ("nesterov" in resolved) == (sampled["optimizer"] == "sgd")
        assert {key: value for key, value in resolved.items() if key not in space.fixed} == sampled
        family, hyperparameters = space.family(sampled)
        assert family.name == model
        assert hyperparameters.activation == sampled[f"{model}.activation"]
        assert space.learning(sampled).lr == sampled["lr"]


def test_optuna_trials_with_the_same_seed_get_the_same_values() -> None:
    space = space_of("")

    assert ask(space, seed=5) == ask(space, seed=5)
    assert ask(space, seed=5) != ask(space, seed=6)


def test_the_order_in_the_file_changes_nothing() -> None:
    text = ["lr: {float: [0.001, 0.1], when: {batch_size: [32]}}", "batch_size: {choice: [32, 64]}", "model: cnn"]

    one, other = space_of("\n".join(text)), space_of("\n".join(reversed(text)))

    assert [parameter.name for parameter in one.parameters] == [parameter.name for parameter in other.parameters]
    assert ask(one, seed=3) == ask(other, seed=3)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("model: cnn\noptimizer: sgd", "optimizer", "sgd"),
        ("model: cnn\nlr: 1e-5", "lr", 1e-5),
        ("model: cnn\nlr: 1", "lr", 1.0),
        ("model: cnn\nbatch_size: 48", "batch_size", 48),
        ("model: cnn\nweight_decay: 0", "weight_decay", 0.0),
        ("model: cnn\ncnn.kernel: 9", "cnn.kernel", 9),
        ("model: cnn\nrotate: true", "rotate", True),
        ("model: resnet\nresnet.layout: 18", "resnet.layout", "18"),
        ("model: resnet\nresnet.layout: '34'", "resnet.layout", "34"),
    ],
)
def test_a_constant_is_not_searched(text: str, name: str, value: object) -> None:
    space = space_of(text)

    assert name not in {parameter.name for parameter in space.searched}
    assert all(space.resolved(sampled)[name] == value for sampled in draws(space, 5))
    assert type(space.fixed[name]) is type(value)


@pytest.mark.parametrize(
    ("text", "name", "inside"),
    [
        ("cnn.depth: {int: [2, 3]}", "cnn.depth", lambda value: value in (2, 3)),
        ("cnn.depth: {int: [6, 8]}", "cnn.depth", lambda value: value in (6, 7, 8)),
        ("cnn.width: {int: [16, 64], step: 16}", "cnn.width", lambda value: value in (16, 32, 48, 64)),
        ("cnn.width: {choice: [10, 20]}", "cnn.width", lambda value: value in (10, 20)),
        ("cnn.kernel: {int: [3, 9], step: 2}", "cnn.kernel", lambda value: value in (3, 5, 7, 9)),
        ("cnn.dropout: {choice: [0, 0.5]}", "cnn.dropout", lambda value: isinstance(value, float)),
        ("cnn.dropout: {float: [0, 0.2], step: 0.1}", "cnn.dropout", lambda value: round(value, 9) in (0, 0.1, 0.2)),
        ("lr: {float: [1e-6, 1e-5], log: true}", "lr", lambda value: 1e-6 <= value <= 1e-5),
        ("batch_size: {int: [16, 512], log: true}", "batch_size", lambda value: 16 <= value <= 512),
        ("nesterov: {choice: [true, false]}\noptimizer: sgd", "nesterov", lambda value: isinstance(value, bool)),
        ("optimizer: {choice: [adam]}", "optimizer", lambda value: value == "adam"),
    ],
)
def test_a_range_may_be_narrowed_widened_and_given_to_what_is_not_searched(text: str, name: str, inside: Any) -> None:
    space = space_of(f"model: cnn\n{text}")

    values = [sampled[name] for sampled in draws(space, 30)]
    assert all(inside(value) for value in values)
    assert name in ask(space, seed=1)


def test_a_condition_of_the_file_says_where_a_parameter_is_searched_and_the_default_counts_elsewhere() -> None:
    space = space_of("model: {choice: [cnn, mlp]}\nlr: {float: [0.05, 0.1], when: {model: [cnn]}}")

    for sampled in draws(space):
        assert ("lr" in sampled) == (sampled["model"] == "cnn")
        lr = space.resolved(sampled)["lr"]
        assert lr == space.learning(sampled).lr
        assert (lr >= 0.05) if sampled["model"] == "cnn" else (lr == 1e-3)


def test_a_condition_narrows_the_declared_one() -> None:
    space = space_of(
        "model: cnn\noptimizer: {choice: [sgd, rmsprop]}\nmomentum: {float: [0.1, 0.5], when: {optimizer: sgd}}"
    )

    for sampled in draws(space):
        assert ("momentum" in sampled) == (sampled["optimizer"] == "sgd")
        assert "momentum" in space.resolved(sampled)


@pytest.mark.parametrize(("optimizer", "searched"), [("sgd", True), ("rmsprop", False), ("adam", False)])
def test_a_condition_on_a_constant_holds_always_or_never(optimizer: str, searched: bool) -> None:
    text = f"model: cnn\noptimizer: {optimizer}\nmomentum: {{float: [0.1, 0.5], when: {{optimizer: [sgd]}}}}"

    space = space_of(text)

    assert all(("momentum" in sampled) == searched for sampled in draws(space, 10))
    assert ("momentum" in {parameter.name for parameter in space.searched}) == searched
    assert (space.unused == ("momentum",)) == (not searched)
    assert ("momentum" in space.resolved(draws(space, 1)[0])) == (optimizer != "adam")


def test_a_chain_of_conditions_is_followed() -> None:
    space = space_of(
        "model: cnn\nschedule: {choice: [cosine, constant], when: {optimizer: [sgd]}}\n"
        "warmup: {float: [0.1, 0.2], when: {schedule: [constant]}}\noptimizer: {choice: [sgd, adam]}"
    )

    for sampled in draws(space):
        assert ("schedule" in sampled) == (sampled["optimizer"] == "sgd")
        assert ("warmup" in sampled) == (sampled.get("schedule") == "constant")
        assert space.resolved(sampled)["warmup"] == sampled.get("warmup", 0.05)


def test_a_textbook_layout_leaves_no_use_for_the_free_ones_parameters() -> None:
    space = space_of("model: resnet\nresnet.layout: {choice: [18, free]}")

    for sampled in draws(space):
        assert ("resnet.stages" in sampled) == (sampled["resnet.layout"] == "free")


def test_a_family_from_the_users_file_has_its_own_prefix() -> None:
    space = space_of("model: {choice: [cnn, my_models.py:LENET]}\nlenet.width: {int: [8, 16]}\nlenet.kernel: 3")

    for sampled in draws(space):
        assert ("lenet.width" in sampled) == (sampled["model"] == "my_models.py:LENET")
        assert ("cnn.depth" in sampled) == (sampled["model"] == "cnn")
    family, hyperparameters = space.family(space.defaults("my_models.py:LENET"))
    assert (family.name, hyperparameters.kernel) == ("lenet", 3)


def test_two_families_of_one_name_are_refused() -> None:
    mine = load_family("my_models.py:LENET", folder=EXAMPLES)

    with pytest.raises(ConfigError, match=r"a.py:A and b.py:B, which are both named 'lenet'"):
        build_space({}, {"a.py:A": mine, "b.py:B": mine})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model: cnn\nresnet.width: 3", "belongs to the family resnet, which space.model leaves out (it allows cnn)"),
        ("model: cnn\ncnn.dept: 3", "unknown key space.cnn.dept; did you mean space.cnn.depth? Accepted: cnn.depth, "),
        ("model: cnn\ndepth: 3", "did you mean space.cnn.depth?"),
        ("model: cnn\noptimiser: adam", "did you mean space.optimizer?"),
        ("model: cnn\nepochs: 3", "did you mean training.epochs?"),
        ("model: cnn\nzzz: 3", "Accepted: model, optimizer, lr, "),
        ("model: cnn\noptimizer: adm", 'is "adm"; did you mean adam? Accepted: sgd | adam | adamw | rmsprop'),
        ("model: cnn\nlr: fast", "Accepted: a number, by default from 0.0001 to 0.1; or a distribution such as {float"),
        ("model: cnn\nlr: -1", "lr is -1.0; it must be a number above 0"),
        ("model: cnn\nlr: true", "space.lr is true"),
        ("model: cnn\nlr:", "space.lr is null"),
        ("model: cnn\nlr: [0.1, 0.2]", "space.lr is [0.1, 0.2]"),
        ("model: cnn\ncnn.depth: 2.0", "Accepted: an integer"),
        ("model: cnn\ncnn.depth: 17", "it must be an integer from 1 to 16"),
        ("model: cnn\ncnn.depth: {float: [2, 3]}", "use int in place of float"),
        ("model: cnn\ncnn.dropout: {int: [0, 1]}", "use float in place of int"),
        (
            "model: cnn\ncnn.kernel: {int: [3, 9]}",
            "4 is not accepted; it must be an integer from 1 to 31 in steps of 2",
        ),
        ("model: cnn\nbatch_size: {int: [1, 64]}", "it must be an integer from 2 up"),
        ("model: cnn\nmomentum: {float: [0.5, 1.0]}", "from 0 up to but not including 1"),
        ("model: cnn\ncnn.pooling: {choice: [max, min]}", "Accepted: max | average | none"),
        ("model: cnn\ncnn.pooling: {choice: [max, max]}", "'max' is an option twice"),
        ("model: cnn\ncnn.pooling: {choice: max}", "choice needs a list"),
        ("model: cnn\ncnn.pooling: {choice: [max], log: true}", "neither log nor step"),
        ("model: cnn\nlr: {float: [0.1]}", "float needs two numbers, low and high"),
        ("model: cnn\nlr: {float: [a, b]}", "float needs two numbers, low and high"),
        ("model: cnn\nlr: {float: [0.2, 0.1]}", "low must not be above high"),
        ("model: cnn\nlr: {float: [0, 0.1], log: true}", "a logarithmic range starts above 0"),
        ("model: cnn\nlr: {float: [0.1, 0.2], log: yess}", "log is true or false"),
        ("model: cnn\nlr: {flaot: [0.1, 0.2]}", "give a distribution such as {float: [low, high]}"),
        ("model: cnn\nlr: {float: [0.1, 0.2], int: [1, 2]}", "give a distribution"),
        ("model: cnn\nlr: {}", "give a distribution"),
        ("model: cnn\nlr: {float: [0.1, 0.2], when: sgd}", "when needs a mapping"),
        ("model: cnn\nlr: {float: [0.1, 0.2], when: {optimizer: []}}", "when needs a mapping"),
        ("model: cnn\nlr: {float: [0.1, 0.2], when: {optimiser: sgd}}", "did you mean space.optimizer?"),
        ("model: cnn\nlr: {float: [0.1, 0.2], when: {optimizer: sdg}}", "did you mean sgd?"),
        ("model: cnn\nlr: {float: [0.1, 0.2], when: {momentum: 0.9}}", "any number in a range"),
        (
            "model: cnn\nmomentum: {float: [0.1, 0.2], when: {optimizer: adam}}",
            "momentum counts where optimizer is one",
        ),
        (
            "model: cnn\noptimizer: {choice: [adam, adamw]}\nlr: {float: [0.1, 0.2], when: {optimizer: sgd}}",
            "which never holds",
        ),
        ("model: cnn\nlr: {float: [0.1, 0.2], when: {lr: 0.1}}", "any number in a range"),
        (
            "model: cnn\noptimizer: {choice: [sgd, adam], when: {batch_size: 32}}\n"
            "batch_size: {choice: [32, 64], when: {optimizer: sgd}}",
            "go in a circle: optimizer → batch_size → optimizer",
        ),
        ("model: {choice: [cnn, cnn]}", "give each family once"),
        ("model: [cnn]", "give one family, or {choice: [cnn, resnet]}"),
        ("model: {choice: []}", "give one family"),
        ("model:", "space.model is null"),
        ("model: my_models.py:LENET\nlenet.width: 64", "it must be an integer from 4 to 32"),
        ("model: my_models.py:LENET\nlent.width: 8", "did you mean space.lenet.width?"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_accepted(text: str, problem: str) -> None:
    assert problem in mistake(text)


def test_all_mistakes_of_the_space_are_listed() -> None:
    lines = mistake("model: cnn\nlr: fast\noptimiser: sgd\nmomentum: 2").splitlines()

    assert lines[0] == "the search space has 3 mistakes:"
    assert [line.split()[0] for line in lines[1:]] == ["space.lr", "space.momentum", "unknown"]


def test_every_declared_default_and_end_of_range_is_accepted_as_a_constant() -> None:
    for name, family in families().items():
        for parameter in build_space({}, {name: family}).searched:
            range_ = parameter.range
            ends = range_.options if isinstance(range_, Choice) else (range_.low, range_.high)
            for value in {parameter.default, *ends}:
                assert build_space({parameter.name: value}, {name: family}).fixed[parameter.name] == value


def test_a_familys_own_condition_may_be_searched_for() -> None:
    family: Family[Any] = families()["cnn"]
    space = build_space({"cnn.window": {"choice": [2, 3], "when": {"cnn.pooling": ["max"]}}}, {"cnn": family})

    for sampled in draws(space):
        assert ("cnn.window" in sampled) == (sampled["cnn.pooling"] == "max")
